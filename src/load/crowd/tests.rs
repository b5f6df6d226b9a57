use super::*;
use crate::load::response::ServerTime;
use crate::types::{OrderId, Shard};

const SECRET: [u8; 10] = [0; 10];

fn rules(lapse_after: Option<Duration>) -> BehaviorRules {
    BehaviorRules {
        seed: 7,
        crowd: Crowd::Real,
        asks_twice: true,
        lapse_after,
        asks_once: false,
        has_other_nodes: false,
    }
}

fn view(seq: u64, state: OrderState) -> OrderView {
    let secret = crate::types::OrderSecret::from_random(Shard::SINGLE, SECRET);
    let seq = crate::types::Seq::new(seq).expect("seq");
    OrderView {
        id: OrderId { seq, secret },
        state,
        replayed: false,
        reserved_at: ServerTime::parse("2026-01-01T00:00:00.000Z"),
        expires_at: ServerTime::parse("2026-01-01T00:00:03.000Z"),
    }
}

/// The first buyer who takes exactly these steps after the order.
fn who(rules: &BehaviorRules, steps: &[BuyerStep]) -> Buyer {
    let takes = |number| AFTER_THE_ORDER.into_iter().filter(|step| rules.takes(number, *step)).collect::<Vec<_>>();
    Buyer::new((0..100_000).find(|number| takes(*number) == steps).expect("such a buyer"), 0)
}

/// A buyer takes a step and is answered; which step is next, if one is.
fn answer(
    rules: &BehaviorRules,
    buyer: &mut Buyer,
    step: BuyerStep,
    answer: LoadResponse,
    ledger: &mut Ledger,
) -> (Option<BuyerStep>, bool) {
    let turn = rules.answered(buyer, step, &answer, ledger);
    match turn.next {
        NextAction::Again { step, .. } => (Some(step), turn.unit_returned),
        NextAction::WaitForUnit | NextAction::Done => (None, turn.unit_returned),
    }
}

const LAPSING: Option<Duration> = Some(Duration::from_secs(3));

#[test]
fn the_crowd_is_the_same_for_the_same_seed_and_has_its_shares() {
    let real = rules(None);
    let share = |step| (0..100_000).filter(|number| real.takes(*number, step)).count();
    for (step, expected) in [
        (BuyerStep::Repeat, 5_000),
        (BuyerStep::AskTwice, 5_000),
        (BuyerStep::CheckOut, 62_000),
        (BuyerStep::Cancel, 10_000),
    ] {
        assert!(share(step).abs_diff(expected) < 600, "{step:?}: {}", share(step));
        assert_eq!(share(step), share(step));
    }
    assert_eq!(share(BuyerStep::ReadLapsed), 0, "no buyer waits for a lapse that does not come");
    let plain = BehaviorRules { crowd: Crowd::Plain, ..rules(LAPSING) };
    assert!((0..1_000).all(|number| AFTER_THE_ORDER.into_iter().all(|step| !plain.takes(number, step))));
    let checkout = BehaviorRules { crowd: Crowd::Checkout, ..rules(LAPSING) };
    let takes = |number, step| checkout.takes(number, step) == (step == BuyerStep::CheckOut);
    assert!((0..1_000).all(|number| AFTER_THE_ORDER.into_iter().all(|step| takes(number, step))));
    assert_eq!(checkout.think(&Buyer::new(3, 0), BuyerStep::CheckOut), Duration::ZERO);
}

#[test]
fn a_busy_buyer_takes_every_step_and_gives_the_unit_back() {
    let (rules, mut ledger) = (rules(None), Ledger::default());
    let mut buyer = who(&rules, &[BuyerStep::Repeat, BuyerStep::AskTwice, BuyerStep::CheckOut, BuyerStep::Cancel]);
    let first = LoadResponse::Order(view(1, OrderState::Reserved));
    assert_eq!(answer(&rules, &mut buyer, BuyerStep::Order, first, &mut ledger), (Some(BuyerStep::Repeat), false));
    let again = LoadResponse::Order(OrderView { replayed: true, ..view(1, OrderState::Reserved) });
    assert_eq!(answer(&rules, &mut buyer, BuyerStep::Repeat, again, &mut ledger), (Some(BuyerStep::AskTwice), false));
    assert_eq!((buyer.key_of(BuyerStep::Repeat), buyer.key_of(BuyerStep::AskTwice)), (0, 1));
    let limit = LoadResponse::No(RefusalKind::LimitReached);
    assert_eq!(answer(&rules, &mut buyer, BuyerStep::AskTwice, limit, &mut ledger), (Some(BuyerStep::CheckOut), false));
    let checked_out = LoadResponse::Order(view(1, OrderState::AwaitingPayment));
    assert_eq!(
        answer(&rules, &mut buyer, BuyerStep::CheckOut, checked_out, &mut ledger),
        (Some(BuyerStep::Cancel), false)
    );
    let cancelled = LoadResponse::Order(view(1, OrderState::Cancelled));
    assert_eq!(answer(&rules, &mut buyer, BuyerStep::Cancel, cancelled, &mut ledger), (None, true));
    assert_eq!((ledger.ended(BuyerEnd::Cancelled), ledger.violations().count()), (1, 0));
}

#[test]
fn sold_out_waits_in_the_real_crowd_and_leaves_in_the_plain_one() {
    let mut ledger = Ledger::default();
    let sold_out = LoadResponse::No(RefusalKind::SoldOut);
    let mut buyer = Buyer::new(1, 0);
    assert_eq!(
        rules(None).answered(&mut buyer, BuyerStep::Order, &sold_out, &mut ledger),
        Reaction { next: NextAction::WaitForUnit, unit_returned: false }
    );
    let plain = BehaviorRules { crowd: Crowd::Plain, ..rules(None) };
    let turn = plain.answered(&mut buyer, BuyerStep::Order, &sold_out, &mut ledger);
    assert_eq!((turn.next, ledger.ended(BuyerEnd::Unsatisfied)), (NextAction::Done, 1));
}

#[test]
fn a_rejected_buyer_waits_for_retry_after_and_keeps_the_key() {
    let (rules, mut ledger) = (rules(None), Ledger::default());
    let mut buyer = Buyer::new(1, 0);
    let away = LoadResponse::Rejected { retry_after: Duration::from_secs(2) };
    for _ in 0..REJECTED_MAX {
        let turn = rules.answered(&mut buyer, BuyerStep::Order, &away, &mut ledger);
        let NextAction::Again { step: BuyerStep::Order, pause } = turn.next else { panic!("{turn:?}") };
        assert!((Duration::from_secs(2)..=Duration::from_secs(3)).contains(&pause), "{pause:?}");
    }
    assert_eq!((buyer.key, buyer.unsure), (0, false));
    assert_eq!(answer(&rules, &mut buyer, BuyerStep::Order, away, &mut ledger), (None, false));
    assert_eq!(ledger.ended(BuyerEnd::GaveUp), 1);
}

#[test]
fn retry_after_is_bounded() {
    let away = LoadResponse::Rejected { retry_after: Duration::from_secs(86_400) };
    let turn = rules(None).answered(&mut Buyer::new(1, 0), BuyerStep::Order, &away, &mut Ledger::default());
    assert!(matches!(turn.next, NextAction::Again { pause, .. } if pause <= RETRY_AFTER_MAX * 3 / 2), "{turn:?}");
}

#[test]
fn a_replay_is_the_buyers_order_only_after_a_doubt() {
    let rules = rules(None);
    let replay = || LoadResponse::Order(OrderView { replayed: true, ..view(1, OrderState::Reserved) });
    let mut ledger = Ledger::default();
    let mut buyer = who(&rules, &[]);
    assert_eq!(
        answer(&rules, &mut buyer, BuyerStep::Order, LoadResponse::Unsure, &mut ledger),
        (Some(BuyerStep::Order), false)
    );
    assert_eq!(answer(&rules, &mut buyer, BuyerStep::Order, replay(), &mut ledger), (None, false));
    assert_eq!((ledger.ended(BuyerEnd::Keeps), ledger.violations().count()), (1, 0));
    let mut other = Buyer::new(buyer.number, 0);
    assert_eq!(answer(&rules, &mut other, BuyerStep::Order, replay(), &mut ledger), (None, false));
    assert_eq!(ledger.violations().next().map(|(violation, _)| violation), Some(Violation::ReplayedUnasked));
}

#[test]
fn every_breach_of_the_contract_is_noted() {
    let rules = rules(None);
    let unmarked = LoadResponse::Order(view(1, OrderState::Reserved));
    let marked = |seq| LoadResponse::Order(OrderView { replayed: true, ..view(seq, OrderState::Reserved) });
    for (step, reply, expected) in [
        (BuyerStep::Repeat, unmarked, Violation::RepeatNotMarked),
        (BuyerStep::Repeat, marked(2), Violation::RepeatGaveAnotherOrder),
        (BuyerStep::Repeat, LoadResponse::No(RefusalKind::SoldOut), Violation::UnexpectedRefusal),
        (BuyerStep::AskTwice, LoadResponse::Order(view(2, OrderState::Reserved)), Violation::LimitNotHeld),
        (BuyerStep::CheckOut, LoadResponse::Order(view(1, OrderState::Reserved)), Violation::WrongState),
        (BuyerStep::CheckOut, LoadResponse::Order(view(2, OrderState::AwaitingPayment)), Violation::WrongState),
        (BuyerStep::CheckOut, LoadResponse::No(RefusalKind::OrderExpired), Violation::LapsedEarly),
        (BuyerStep::Cancel, LoadResponse::No(RefusalKind::IllegalTransition), Violation::UnexpectedRefusal),
        (BuyerStep::Cancel, LoadResponse::Invalid, Violation::InvalidResponse),
    ] {
        let mut ledger = Ledger::default();
        let mut buyer = Buyer::new(1, 0);
        buyer.hold(&view(1, OrderState::Reserved));
        rules.answered(&mut buyer, step, &reply, &mut ledger);
        let noted: Vec<Violation> = ledger.violations().map(|(violation, _)| violation).collect();
        assert_eq!((noted, ledger.ended(BuyerEnd::Violation)), (vec![expected], 1), "{step:?} {reply:?}");
    }
}

#[test]
fn an_abandoned_reservation_is_watched_until_it_lapses() {
    let (rules, mut ledger) = (rules(LAPSING), Ledger::default());
    let mut buyer = who(&rules, &[BuyerStep::ReadLapsed]);
    let reserved = LoadResponse::Order(view(1, OrderState::Reserved));
    let turn = rules.answered(&mut buyer, BuyerStep::Order, &reserved, &mut ledger);
    assert!(
        matches!(turn.next, NextAction::Again { step: BuyerStep::ReadLapsed, pause } if pause > Duration::from_secs(3))
    );
    let early = answer(&rules, &mut buyer, BuyerStep::ReadLapsed, reserved.clone(), &mut ledger);
    assert_eq!(early, (Some(BuyerStep::ReadLapsed), false));
    let expired = LoadResponse::Order(view(1, OrderState::Expired));
    assert_eq!(answer(&rules, &mut buyer, BuyerStep::ReadLapsed, expired, &mut ledger), (None, true));
    assert_eq!(ledger.ended(BuyerEnd::Lapsed), 1);
}

#[test]
fn who_comes_too_late_to_check_out_orders_again_with_another_key() {
    let (rules, mut ledger) = (rules(LAPSING), Ledger::default());
    let mut buyer = who(&rules, &[BuyerStep::CheckOut]);
    answer(&rules, &mut buyer, BuyerStep::Order, LoadResponse::Order(view(1, OrderState::Reserved)), &mut ledger);
    let late = LoadResponse::No(RefusalKind::OrderExpired);
    assert_eq!(answer(&rules, &mut buyer, BuyerStep::CheckOut, late, &mut ledger), (Some(BuyerStep::Order), false));
    assert_eq!((buyer.key, buyer.order), (1, None));
}

#[test]
fn a_second_unit_is_right_only_after_the_first_reservation_ended() {
    let rules = rules(LAPSING);
    for (from, violations) in [("2026-01-01T00:00:03.000Z", 0), ("2026-01-01T00:00:02.999Z", 1)] {
        let mut ledger = Ledger::default();
        let mut buyer = who(&rules, &[BuyerStep::AskTwice, BuyerStep::CheckOut]);
        answer(&rules, &mut buyer, BuyerStep::Order, LoadResponse::Order(view(1, OrderState::Reserved)), &mut ledger);
        let second = OrderView { reserved_at: ServerTime::parse(from), ..view(2, OrderState::Reserved) };
        answer(&rules, &mut buyer, BuyerStep::AskTwice, LoadResponse::Order(second), &mut ledger);
        assert_eq!(ledger.violations().count(), violations, "{from}");
    }
}

#[test]
fn buyers_who_know_other_nodes_outlast_redirects_and_refused_connections_of_a_takeover() {
    let cluster = BehaviorRules { has_other_nodes: true, ..rules(None) };
    for (rules, goes_on) in [(&cluster, true), (&rules(None), false)] {
        let (mut buyer, mut ledger) = (Buyer::new(1, 0), Ledger::default());
        let redirected = || LoadResponse::Rejected { retry_after: Duration::from_millis(100) };
        for _ in 0..20 {
            let next = answer(rules, &mut buyer, BuyerStep::Order, redirected(), &mut ledger).0;
            assert_eq!(next, Some(BuyerStep::Order));
        }
        let next = answer(rules, &mut buyer, BuyerStep::Order, LoadResponse::NotSent, &mut ledger).0;
        assert_eq!(next.is_some(), goes_on);
        assert_eq!(ledger.ended(BuyerEnd::GaveUp), u64::from(!goes_on));
    }
}

#[test]
fn a_buyer_whose_order_is_recorded_asks_again_when_it_is_decided_and_may_have_it_by_then() {
    let (rules, mut ledger) = (rules(None), Ledger::default());
    let mut buyer = who(&rules, &[BuyerStep::CheckOut]);
    let recorded = LoadResponse::Recorded { wait: Duration::from_secs(4) };
    for _ in 0..3 {
        let turn = rules.answered(&mut buyer, BuyerStep::Order, &recorded, &mut ledger);
        let NextAction::Again { step: BuyerStep::Order, pause } = turn.next else { panic!("{turn:?}") };
        assert!((Duration::from_secs(4)..=Duration::from_secs(6)).contains(&pause), "{pause:?}");
    }
    let granted = LoadResponse::Order(OrderView { replayed: true, ..view(1, OrderState::Reserved) });
    let next = answer(&rules, &mut buyer, BuyerStep::Order, granted, &mut ledger);
    assert_eq!(next, (Some(BuyerStep::CheckOut), false));
    assert_eq!(ledger.violations().count(), 0);
}

use super::*;

const SECRET: [u8; 10] = [0; 10];

fn rules(lapse_after: Option<Duration>) -> Rules {
    Rules { seed: 7, crowd: Crowd::Real, asks_twice: true, lapse_after, asks_once: false }
}

fn view(seq: u64, state: OrderState) -> OrderView {
    let secret = crate::types::OrderSecret::from_random(SECRET);
    let seq = crate::types::Seq::new(seq).expect("seq");
    OrderView {
        id: OrderId { seq, secret },
        state,
        replayed: false,
        reserved_at: Stamp::parse("2026-01-01T00:00:00.000Z"),
        expires_at: Stamp::parse("2026-01-01T00:00:03.000Z"),
    }
}

/// The first buyer who takes exactly these steps after his order.
fn who(rules: &Rules, steps: &[Step]) -> Buyer {
    let takes = |number| AFTER_THE_ORDER.into_iter().filter(|step| rules.takes(number, *step)).collect::<Vec<_>>();
    Buyer::new((0..100_000).find(|number| takes(*number) == steps).expect("somebody does"), 0)
}

/// A buyer takes a step and is answered; which step is next, if one is.
fn answer(rules: &Rules, buyer: &mut Buyer, step: Step, answer: Answer, ledger: &mut Ledger) -> (Option<Step>, bool) {
    let turn = rules.answered(buyer, step, &answer, ledger);
    match turn.next {
        Next::Again { step, .. } => (Some(step), turn.unit_back),
        Next::WaitForUnit | Next::Done => (None, turn.unit_back),
    }
}

const LAPSING: Option<Duration> = Some(Duration::from_secs(3));

#[test]
fn the_crowd_is_the_same_for_the_same_seed_and_has_its_shares() {
    let real = rules(None);
    let share = |step| (0..100_000).filter(|number| real.takes(*number, step)).count();
    for (step, expected) in
        [(Step::Repeat, 5_000), (Step::AskTwice, 5_000), (Step::CheckOut, 62_000), (Step::Cancel, 10_000)]
    {
        assert!(share(step).abs_diff(expected) < 600, "{step:?}: {}", share(step));
        assert_eq!(share(step), share(step));
    }
    assert_eq!(share(Step::SeeLapse), 0, "nobody waits for what does not lapse");
    let plain = Rules { crowd: Crowd::Plain, ..rules(LAPSING) };
    assert!((0..1_000).all(|number| AFTER_THE_ORDER.into_iter().all(|step| !plain.takes(number, step))));
    let checkout = Rules { crowd: Crowd::Checkout, ..rules(LAPSING) };
    let takes = |number, step| checkout.takes(number, step) == (step == Step::CheckOut);
    assert!((0..1_000).all(|number| AFTER_THE_ORDER.into_iter().all(|step| takes(number, step))));
    assert_eq!(checkout.think(&Buyer::new(3, 0), Step::CheckOut), Duration::ZERO);
}

#[test]
fn a_busy_buyer_takes_every_step_and_gives_the_unit_back() {
    let (rules, mut ledger) = (rules(None), Ledger::default());
    let mut buyer = who(&rules, &[Step::Repeat, Step::AskTwice, Step::CheckOut, Step::Cancel]);
    let first = Answer::Order(view(1, OrderState::Reserved));
    assert_eq!(answer(&rules, &mut buyer, Step::Order, first, &mut ledger), (Some(Step::Repeat), false));
    let again = Answer::Order(OrderView { replayed: true, ..view(1, OrderState::Reserved) });
    assert_eq!(answer(&rules, &mut buyer, Step::Repeat, again, &mut ledger), (Some(Step::AskTwice), false));
    assert_eq!((buyer.key_of(Step::Repeat), buyer.key_of(Step::AskTwice)), (0, 1));
    let limit = Answer::No(Refusal::LimitReached);
    assert_eq!(answer(&rules, &mut buyer, Step::AskTwice, limit, &mut ledger), (Some(Step::CheckOut), false));
    let checked_out = Answer::Order(view(1, OrderState::AwaitingPayment));
    assert_eq!(answer(&rules, &mut buyer, Step::CheckOut, checked_out, &mut ledger), (Some(Step::Cancel), false));
    let cancelled = Answer::Order(view(1, OrderState::Cancelled));
    assert_eq!(answer(&rules, &mut buyer, Step::Cancel, cancelled, &mut ledger), (None, true));
    assert_eq!((ledger.ended(End::Cancelled), ledger.violations().count()), (1, 0));
}

#[test]
fn sold_out_waits_in_the_real_crowd_and_leaves_in_the_plain_one() {
    let mut ledger = Ledger::default();
    let sold_out = Answer::No(Refusal::SoldOut);
    let mut buyer = Buyer::new(1, 0);
    assert_eq!(
        rules(None).answered(&mut buyer, Step::Order, &sold_out, &mut ledger),
        Turn { next: Next::WaitForUnit, unit_back: false }
    );
    let plain = Rules { crowd: Crowd::Plain, ..rules(None) };
    let turn = plain.answered(&mut buyer, Step::Order, &sold_out, &mut ledger);
    assert_eq!((turn.next, ledger.ended(End::Unsatisfied)), (Next::Done, 1));
}

#[test]
fn who_is_turned_away_waits_as_long_as_he_is_told_and_keeps_his_key() {
    let (rules, mut ledger) = (rules(None), Ledger::default());
    let mut buyer = Buyer::new(1, 0);
    let away = Answer::TurnedAway { retry_after: Duration::from_secs(2) };
    for _ in 0..TURNED_AWAY_MAX {
        let turn = rules.answered(&mut buyer, Step::Order, &away, &mut ledger);
        let Next::Again { step: Step::Order, pause } = turn.next else { panic!("{turn:?}") };
        assert!((Duration::from_secs(2)..=Duration::from_secs(3)).contains(&pause), "{pause:?}");
    }
    assert_eq!((buyer.key, buyer.unsure), (0, false));
    assert_eq!(answer(&rules, &mut buyer, Step::Order, away, &mut ledger), (None, false));
    assert_eq!(ledger.ended(End::GaveUp), 1);
}

#[test]
fn retry_after_is_bounded() {
    let away = Answer::TurnedAway { retry_after: Duration::from_secs(86_400) };
    let turn = rules(None).answered(&mut Buyer::new(1, 0), Step::Order, &away, &mut Ledger::default());
    assert!(matches!(turn.next, Next::Again { pause, .. } if pause <= RETRY_AFTER_MAX * 3 / 2), "{turn:?}");
}

#[test]
fn a_replay_is_his_order_only_after_a_doubt() {
    let rules = rules(None);
    let replay = || Answer::Order(OrderView { replayed: true, ..view(1, OrderState::Reserved) });
    let mut ledger = Ledger::default();
    let mut buyer = who(&rules, &[]);
    assert_eq!(answer(&rules, &mut buyer, Step::Order, Answer::Unsure, &mut ledger), (Some(Step::Order), false));
    assert_eq!(answer(&rules, &mut buyer, Step::Order, replay(), &mut ledger), (None, false));
    assert_eq!((ledger.ended(End::Keeps), ledger.violations().count()), (1, 0));
    let mut other = Buyer::new(buyer.number, 0);
    assert_eq!(answer(&rules, &mut other, Step::Order, replay(), &mut ledger), (None, false));
    assert_eq!(ledger.violations().next().map(|(violation, _)| violation), Some(Violation::ReplayedUnasked));
}

#[test]
fn every_breach_of_the_contract_is_noted() {
    let rules = rules(None);
    let unmarked = Answer::Order(view(1, OrderState::Reserved));
    let marked = |seq| Answer::Order(OrderView { replayed: true, ..view(seq, OrderState::Reserved) });
    for (step, reply, expected) in [
        (Step::Repeat, unmarked, Violation::RepeatNotMarked),
        (Step::Repeat, marked(2), Violation::RepeatGaveAnotherOrder),
        (Step::Repeat, Answer::No(Refusal::SoldOut), Violation::UnexpectedRefusal),
        (Step::AskTwice, Answer::Order(view(2, OrderState::Reserved)), Violation::LimitNotHeld),
        (Step::CheckOut, Answer::Order(view(1, OrderState::Reserved)), Violation::WrongState),
        (Step::CheckOut, Answer::Order(view(2, OrderState::AwaitingPayment)), Violation::WrongState),
        (Step::CheckOut, Answer::No(Refusal::OrderExpired), Violation::LapsedEarly),
        (Step::Cancel, Answer::No(Refusal::IllegalTransition), Violation::UnexpectedRefusal),
        (Step::Cancel, Answer::Strange, Violation::StrangeAnswer),
    ] {
        let mut ledger = Ledger::default();
        let mut buyer = Buyer::new(1, 0);
        buyer.hold(&view(1, OrderState::Reserved));
        rules.answered(&mut buyer, step, &reply, &mut ledger);
        let noted: Vec<Violation> = ledger.violations().map(|(violation, _)| violation).collect();
        assert_eq!((noted, ledger.ended(End::Odd)), (vec![expected], 1), "{step:?} {reply:?}");
    }
}

#[test]
fn an_abandoned_reservation_is_watched_until_it_lapses() {
    let (rules, mut ledger) = (rules(LAPSING), Ledger::default());
    let mut buyer = who(&rules, &[Step::SeeLapse]);
    let reserved = Answer::Order(view(1, OrderState::Reserved));
    let turn = rules.answered(&mut buyer, Step::Order, &reserved, &mut ledger);
    assert!(matches!(turn.next, Next::Again { step: Step::SeeLapse, pause } if pause > Duration::from_secs(3)));
    let early = answer(&rules, &mut buyer, Step::SeeLapse, reserved.clone(), &mut ledger);
    assert_eq!(early, (Some(Step::SeeLapse), false));
    let expired = Answer::Order(view(1, OrderState::Expired));
    assert_eq!(answer(&rules, &mut buyer, Step::SeeLapse, expired, &mut ledger), (None, true));
    assert_eq!(ledger.ended(End::Lapsed), 1);
}

#[test]
fn who_comes_too_late_to_check_out_orders_again_with_another_key() {
    let (rules, mut ledger) = (rules(LAPSING), Ledger::default());
    let mut buyer = who(&rules, &[Step::CheckOut]);
    answer(&rules, &mut buyer, Step::Order, Answer::Order(view(1, OrderState::Reserved)), &mut ledger);
    let late = Answer::No(Refusal::OrderExpired);
    assert_eq!(answer(&rules, &mut buyer, Step::CheckOut, late, &mut ledger), (Some(Step::Order), false));
    assert_eq!((buyer.key, buyer.order), (1, None));
}

#[test]
fn a_second_unit_is_right_only_after_the_first_reservation_ended() {
    let rules = rules(LAPSING);
    for (from, violations) in [("2026-01-01T00:00:03.000Z", 0), ("2026-01-01T00:00:02.999Z", 1)] {
        let mut ledger = Ledger::default();
        let mut buyer = who(&rules, &[Step::AskTwice, Step::CheckOut]);
        answer(&rules, &mut buyer, Step::Order, Answer::Order(view(1, OrderState::Reserved)), &mut ledger);
        let second = OrderView { reserved_at: Stamp::parse(from), ..view(2, OrderState::Reserved) };
        answer(&rules, &mut buyer, Step::AskTwice, Answer::Order(second), &mut ledger);
        assert_eq!(ledger.violations().count(), violations, "{from}");
    }
}

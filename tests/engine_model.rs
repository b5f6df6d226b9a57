//! Random commands through the engine and through a naive second implementation: the same answers, and after every
//! command conservation, no oversell, exact counters and every invariant.
//!
//! `FIRSTCOME_TEST_SEED` replays one world, `FIRSTCOME_TEST_SCALE` multiplies the count.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test cares for one outcome")]

mod model;

mod test_drop;

use firstcome::engine::{Command, CreateDrop, DropCommand, Effect, Event, OrderCommand, PlaceOrder, State, invariants};
use firstcome::types::{DigestKey, Seq, Shard, UnixMillis};
use test_drop::test_drop;

use model::naive::Naive;
use model::{Random, World};

const KEYS_MAX: usize = 1_000_000;
const COMMANDS_PER_WORLD: u64 = 500;

/// What was asked in one world, and when.
type Script = Vec<(UnixMillis, Command)>;

/// Every third world is of shard 0, as a server without a cluster.
fn shard_of(seed: u64) -> Shard {
    Shard::new([0, 3, 255][usize::try_from(seed % 3).expect("small")])
}

fn begin(seed: u64) -> State {
    let mut state = State::new(KEYS_MAX);
    state.settle_shard(shard_of(seed)).expect("without drops");
    state
}

fn run_world(seed: u64) -> (Script, Vec<Event>, State, Naive) {
    let mut world = World::new(seed, DigestKey::new(&[7; 32]));
    world.shard = shard_of(seed);
    let mut state = begin(seed);
    let mut naive = Naive::default();
    naive.above = u32::from(world.shard.get()) << 24;
    let (mut script, mut events) = (Vec::new(), Vec::new());
    for step in 0..COMMANDS_PER_WORLD {
        let at = world.instant(&state);
        // Both advance first, so that the generator sees what the command will see.
        assert!(state.advance(at, &mut events, usize::MAX));
        naive.advance(at.get());
        let command = world.command(&state);
        let outcome = state.apply(at, &command, &mut events);
        let expected = naive.decide(&command);
        assert_eq!(outcome, expected, "seed {seed} step {step} at {at:?}: {command:?}");
        check(&state, &naive, seed, step);
        world.learn(&state, &outcome);
        script.push((at, command));
    }
    (script, events, state, naive)
}

fn check(state: &State, naive: &Naive, seed: u64, step: u64) {
    assert_eq!(state.seq().get(), naive.events, "seed {seed} step {step}: the number of events");
    for (index, entry) in state.drops().enumerate() {
        let (held, sold) = (naive.held(index), naive.sold(index));
        assert_eq!(
            (u64::from(entry.held), u64::from(entry.sold)),
            (held, sold),
            "seed {seed} step {step}: drop {index}"
        );
        assert!(held + sold <= u64::from(entry.spec.total), "seed {seed} step {step}: oversold");
        assert_eq!(u64::from(entry.available()) + held + sold, u64::from(entry.spec.total), "seed {seed} step {step}");
        assert_eq!(entry.spec.total, naive.drops[index].spec.total, "seed {seed} step {step}: total");
    }
    assert!(naive.money_is_accounted_for(), "seed {seed} step {step}: money");
    assert!(naive.auctions_are_fair(), "seed {seed} step {step}: auctions");
    assert!(naive.winners_money_is_accounted_for(), "seed {seed} step {step}: what winners paid");
    for (order, told) in naive.orders.iter().filter_map(|told| Some((state.order(Seq::new(told.seq)?)?, told))) {
        let kept: u64 = order.payments.iter().map(|payment| payment.kept().get()).sum();
        assert_eq!(kept, told.kept(), "seed {seed} step {step}: what order {} keeps", order.seq);
    }
    assert!(naive.agrees_on_endpoints(state), "seed {seed} step {step}: endpoints");
    if let Err(broken) = invariants::check(state) {
        panic!("seed {seed} step {step}: {broken}");
    }
}

/// Returns whether recorded orders of a blind window are being decided. Each advance decides a step of them at its own instant
/// (`State::put_off_decision`), so a look at the clock changes when.
fn decides_recorded_orders(state: &State) -> bool {
    state.drops().any(|entry| entry.spec.blind_ms > 0 && entry.owes_an_offer().is_some())
}

/// The same script again, with extra looks at the clock in between where `looks` says so.
fn replay(seed: u64, script: &Script, mut looks: Option<Random>) -> (Vec<Event>, State) {
    let (mut state, mut events) = (begin(seed), Vec::new());
    for (at, command) in script {
        if let Some(random) = &mut looks {
            let gap = at.since(state.at());
            if gap > 1 && !decides_recorded_orders(&state) {
                let between = state.at().plus_millis(i64::try_from(random.below(gap)).expect("small"));
                // In several goes, as a bounded batch would.
                while !state.advance(between, &mut events, 1) {}
            }
        }
        state.apply(*at, command, &mut events);
    }
    (events, state)
}

/// Runs one world's script again in other ways, which give the same events and the same state.
fn check_replays(seed: u64, script: &Script, events: &[Event], state: &State) {
    let (again, same) = replay(seed, script, None);
    assert!(again == events && same == *state, "seed {seed}: a second run gives other events");
    let (looked, same) = replay(seed, script, Some(Random(seed)));
    if let Some((told, now)) = events.iter().zip(&looked).find(|(told, now)| told != now) {
        panic!("seed {seed}: looking at the clock in between changes {told:?} to {now:?}");
    }
    assert!(looked == events && same == *state, "seed {seed}: looking at the clock in between changes events");
    let mut rebuilt = begin(seed);
    for event in events {
        rebuilt.evolve(event);
    }
    // The last command can have made something due at its own instant, which the next look does.
    let (mut state, mut due, mut due_again) = (state.clone(), Vec::new(), Vec::new());
    assert!(state.advance(state.at(), &mut due, usize::MAX) && rebuilt.advance(state.at(), &mut due_again, usize::MAX));
    assert!(due == due_again && rebuilt == state, "seed {seed}: the events alone do not give the state");
}

#[test]
fn the_engine_agrees_with_a_naive_second_implementation() {
    if let Some(seed) = model::replayed_seed() {
        let (script, events, state, _) = run_world(seed);
        check_replays(seed, &script, &events, &state);
        return;
    }
    let mut winners = [0, 0];
    for world in 0..model::scaled(2200, 60) {
        let seed = world.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x0f1c;
        let (script, events, state, naive) = run_world(seed);
        let more = naive.winners();
        winners = [0, 1].map(|n| winners[n] + more[n]);
        if world % 8 == 0 {
            check_replays(seed, &script, &events, &state);
        }
    }
    assert!(winners.iter().all(|count| *count > 0), "winners who paid, and who got something back: {winners:?}");
}

#[test]
fn with_enough_demand_every_unit_is_held_or_sold_at_the_end() {
    use firstcome::engine::{CommandKey, DropSpec, Outcome};
    use firstcome::types::{Digest, DropId, Quantity};
    for seed in 0..model::scaled(300, 30) {
        let mut random = Random(seed);
        let total = u32::try_from(random.below(60)).expect("small");
        let mut state = State::new(KEYS_MAX);
        let mut events = Vec::new();
        let digest = |n: u64| Digest([n.to_le_bytes(), (!n).to_le_bytes()].concat().try_into().expect("16 bytes"));
        let spec = DropSpec { reservation_seconds: 2, payment_seconds: 3, ..test_drop(total) };
        let key = CommandKey { digest: digest(0), params: digest(0) };
        state.apply(
            UnixMillis::ZERO,
            &Command::Drop(DropCommand::Create(CreateDrop { key, spec: Box::new(spec) })),
            &mut events,
        );
        let drop_id = DropId::new(1).expect("not 0");
        let (mut at, mut live) = (0, Vec::new());
        for buyer in 1..400u64 {
            at += i64::try_from(random.below(200)).expect("small");
            let order = Command::Order(OrderCommand::Place(PlaceOrder {
                drop_id,
                buyer: digest(buyer),
                key: digest(1_000_000 + buyer),
                quantity: Quantity::ONE,
                contact_given: random.one_in(3),
                facts: None,
            }));
            let outcome = state.apply(UnixMillis::new(at).expect("in range"), &order, &mut events);
            let entry = state.drop_entry(drop_id).expect("there");
            match outcome {
                Outcome::Accepted(Effect::Reserved(reservation)) => live.push(reservation.order),
                // Sold out is only said while nothing is free.
                _ => assert_eq!(entry.available(), 0, "seed {seed}: a unit was kept back: {outcome:?}"),
            }
            if random.one_in(4) && !live.is_empty() {
                let order = live.swap_remove(usize::try_from(random.below(live.len() as u64)).expect("small"));
                state.apply(
                    UnixMillis::new(at).expect("in range"),
                    &Command::Order(OrderCommand::Cancel { order }),
                    &mut events,
                );
            }
        }
        // As many more as there are units come at one instant: then nothing may be left.
        for buyer in 0..u64::from(total) {
            let order = Command::Order(OrderCommand::Place(PlaceOrder {
                drop_id,
                buyer: digest(10_000 + buyer),
                key: digest(2_000_000 + buyer),
                quantity: Quantity::ONE,
                contact_given: false,
                facts: None,
            }));
            state.apply(UnixMillis::new(at).expect("in range"), &order, &mut events);
        }
        let entry = state.drop_entry(drop_id).expect("there");
        assert_eq!(entry.held + entry.sold, total, "seed {seed}");
    }
}

#[test]
fn a_crowd_in_a_room_is_admitted_as_by_the_second_implementation() {
    use firstcome::engine::{CommandKey, DropSpec, RoomCommand, RoomSpec, TakeTicket};
    use firstcome::types::{Digest, DropId, RoomDraw};
    let digests = DigestKey::new(&[7; 32]);
    let room = RoomSpec {
        opens_at: UnixMillis::ZERO,
        draw: RoomDraw::Arrival,
        admit_per_second: 100_000,
        order_seconds: 1,
        oversubscribe_percent: 100,
    };
    let starts_at = UnixMillis::new(1000).expect("in range");
    let spec = DropSpec { starts_at, room: Some(Box::new(room)), ..test_drop(5400) };
    let key = CommandKey { digest: Digest([1; 16]), params: Digest([1; 16]) };
    let create = Command::Drop(DropCommand::Create(CreateDrop { key, spec: Box::new(spec) }));
    let drop_id = DropId::new(1).expect("not 0");
    let tickets = (0..5600).map(|buyer| {
        RoomCommand::TakeTicket(TakeTicket { drop_id, buyer: digests.buyer(&format!("{buyer}")), origin: None })
    });
    let (mut state, mut naive, mut events) = (State::new(KEYS_MAX), Naive::default(), Vec::new());
    let script = std::iter::once(create).chain(tickets.map(Command::Room)).map(|command| (0, command));
    // Units for 5,400 buyers: the first 5,000 at once, 400 a millisecond later, the others when the time of the first has passed.
    let looks = [999, 1000, 1001, 1050, 1101, 1999, 2000, 2001, 2100].map(|at| (at, Command::Advance));
    for (at, command) in script.chain(looks) {
        naive.advance(at);
        let outcome = state.apply(UnixMillis::new(at).expect("in range"), &command, &mut events);
        assert_eq!((outcome, state.seq().get()), (naive.decide(&command), naive.events), "at {at}: {command:?}");
    }
    let served = events.iter().filter(|event| event.body.name() == "room_served");
    assert_eq!(served.map(|event| event.at.get()).collect::<Vec<_>>(), [1000, 1001, 2000]);
}

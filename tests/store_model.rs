//! Random commands through the engine and into a real SQLite file: what is loaded from the file is what the engine has
//! in memory, after every few batches and at the end; and `verify` agrees.
//!
//! `FIRSTCOME_TEST_SEED` replays one world, `FIRSTCOME_TEST_SCALE` multiplies the count.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod model;
mod test_drop;

use firstcome::engine::{
    AdjustStock, Command, CommandKey, CreateDrop, DropCommand, DropSpec, OrderCommand, PlaceOrder, RoomCommand,
    RoomSpec, TakeTicket,
};
use firstcome::store::{Store, load, verify};
use firstcome::types::{DropId, Quantity, RoomDraw, Shard, UnitPrice, UnixMillis};

use model::World;
use model::recording::Recording;
use test_drop::test_drop;

const KEYS_MAX: usize = 40;
const COMMANDS_PER_WORLD: usize = 600;

/// Runs a world. What is due is done in transactions of at most `events_max` events, each followed by a load: one that
/// ends within an instant is what a crash there leaves.
fn run_world(seed: u64, events_max: usize) {
    let scratch = tempfile::tempdir().expect("scratch");
    let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("opened");
    let mut world = World::new(seed, store.digest_key.clone());
    world.shard = Shard::new([0, 3, 255][usize::try_from(seed % 3).expect("small")]);
    let (mut recording, mut recorder) = Recording::begin_shard(&store, KEYS_MAX, world.shard);
    for step in 0..COMMANDS_PER_WORLD {
        let at = world.instant(&recording.state);
        while !recording.advance_by(at, events_max) {
            let what = format!("seed {seed} step {step}: in the middle of what is due");
            recording.commit(&mut recorder, &what);
            let loaded = load::load(&store.connection, &store.digest_key, KEYS_MAX);
            let mut loaded = loaded.unwrap_or_else(|error| panic!("{what}: {error}"));
            loaded.settle_shard(world.shard).expect("of that shard");
            let mut loaded = loaded.state;
            let (mut alive, mut rest, mut rest_loaded) = (recording.state.clone(), Vec::new(), Vec::new());
            assert!(alive.advance(at, &mut rest, usize::MAX) && loaded.advance(at, &mut rest_loaded, usize::MAX));
            assert_eq!(rest_loaded, rest, "{what}: the rest");
            assert!(loaded == alive, "{what}");
        }
        let command = world.command(&recording.state);
        recording.decide(&mut world, &command, at);
        if world.random.one_in(4) || step + 1 == COMMANDS_PER_WORLD {
            recording.commit(&mut recorder, &format!("seed {seed} step {step}"));
            let state = &recording.state;
            if step % 50 < 4 || step + 1 == COMMANDS_PER_WORLD {
                let mut loaded = load::load(&store.connection, &store.digest_key, KEYS_MAX)
                    .unwrap_or_else(|error| panic!("seed {seed} step {step}: {error}"));
                loaded.settle_shard(world.shard).expect("of that shard");
                let mut loaded = loaded.state;
                // What the last command made due at its own instant, such as an admission, is done by the next advance.
                let (mut alive, mut due, mut due_loaded) = (state.clone(), Vec::new(), Vec::new());
                assert!(alive.advance(state.at(), &mut due, usize::MAX));
                assert!(loaded.advance(state.at(), &mut due_loaded, usize::MAX));
                assert_eq!(due_loaded, due, "seed {seed} step {step}: what is still due");
                assert_eq!(loaded.orders_by_state(), alive.orders_by_state(), "seed {seed} step {step}");
                assert!(loaded == alive, "seed {seed} step {step}: loaded\n{loaded:#?}\nin memory\n{alive:#?}");
            }
        }
    }
    drop(recorder);
    let report = verify::verify_connection(&store.connection).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new(), "seed {seed}");
    assert_eq!((report.last_seq, report.shard), (recording.state.seq(), world.shard));
    // What no start may take for a file of its own.
    let mut loaded = load::load(&store.connection, &store.digest_key, KEYS_MAX).expect("loaded");
    let other = Shard::new(world.shard.get() ^ 1);
    let refused = loaded.settle_shard(other).expect_err("a file of another shard");
    assert_eq!(refused.exit_code(), 65, "{refused}");
}

#[test]
fn a_crash_between_two_events_of_one_instant_leaves_a_file_that_loads() {
    if let Some(seed) = model::replayed_seed() {
        return run_world(seed, 1);
    }
    for seed in 0..model::scaled(30, 6) {
        run_world(seed.wrapping_mul(0x9e37_79b9) ^ 0xb0d5, 1 + usize::try_from(seed % 3).expect("small"));
    }
}

#[test]
fn what_is_loaded_from_the_file_is_what_the_engine_has_in_memory() {
    if let Some(seed) = model::replayed_seed() {
        return run_world(seed, usize::MAX);
    }
    for seed in 0..model::scaled(60, 6) {
        run_world(seed.wrapping_mul(0x9e37_79b9) ^ 0xf1c0, usize::MAX);
    }
}

/// The line gives a buyer an order before the buyer takes a ticket: at a load it must not count for the ticket.
#[test]
fn an_order_that_is_older_than_its_buyers_ticket_does_not_use_the_ticket() {
    let scratch = tempfile::tempdir().expect("scratch");
    let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("opened");
    let digests = store.digest_key.clone();
    let mut world = World::new(1, digests.clone());
    let (mut recording, mut recorder) = Recording::begin(&store, KEYS_MAX);
    let drop_id = DropId::new(1).expect("not 0");
    let room = RoomSpec {
        opens_at: UnixMillis::ZERO,
        draw: RoomDraw::Arrival,
        admit_per_second: 1000,
        order_seconds: 60,
        oversubscribe_percent: 1000,
    };
    let starts_at = UnixMillis::new(1000).expect("in range");
    let spec = Box::new(DropSpec {
        starts_at,
        per_buyer_limit: 2,
        unit_price: UnitPrice::default(),
        room: Some(Box::new(room)),
        ..test_drop(1)
    });
    let digest = digests.params(b"create");
    let wish = |buyer: &str| PlaceOrder {
        drop_id,
        buyer: digests.buyer(buyer),
        key: digests.params(buyer.as_bytes()),
        quantity: Quantity::ONE,
        contact_given: false,
        facts: None,
    };
    let ticket = |buyer: &str| {
        Command::Room(RoomCommand::TakeTicket(TakeTicket { drop_id, buyer: digests.buyer(buyer), origin: None }))
    };
    let create = CreateDrop { key: CommandKey { digest, params: digest }, spec };
    let mut decide = |recording: &mut Recording<'_>, ms, command: &Command| {
        let at = UnixMillis::new(ms).expect("in range");
        recording.advance(at);
        recording.decide(&mut world, command, at);
        recording.commit(&mut recorder, &format!("{ms}"));
    };
    decide(&mut recording, 1, &Command::Drop(DropCommand::Create(create)));
    decide(&mut recording, 2, &ticket("buyer0"));
    // An order that costs nothing is paid with its checkout: the only unit is sold, so that anybody may join the line.
    let paid = PlaceOrder { contact_given: true, ..wish("buyer0") };
    decide(&mut recording, 2000, &Command::Order(OrderCommand::Place(paid)));
    decide(&mut recording, 3000, &Command::Order(OrderCommand::JoinStandby(wish("buyer1"))));
    let one_more = |expected_total| AdjustStock { drop_id, delta: 1, expected_total, reason: "one more".into() };
    decide(&mut recording, 4000, &Command::Drop(DropCommand::AdjustStock(one_more(1))));
    decide(&mut recording, 5000, &ticket("buyer1"));
    let granted = recording.state.live_orders().next().expect("an order from the line");
    assert_eq!(granted.buyer, digests.buyer("buyer1"));
    decide(&mut recording, 6000, &Command::Drop(DropCommand::AdjustStock(one_more(2))));
    decide(&mut recording, 7000, &ticket("buyer2"));
    let admitted = recording.state.drop_entry(drop_id).and_then(|entry| entry.room.as_ref()).expect("a room");
    assert_eq!((admitted.serving, admitted.admitted_idle(recording.state.at())), (2, 1), "the order is the older one");
    let loaded = load::load(&store.connection, &store.digest_key, KEYS_MAX).expect("loaded").state;
    assert!(loaded == recording.state, "loaded\n{loaded:#?}\nin memory\n{:#?}", recording.state);
}

//! Random commands through the engine and into a real SQLite file: what is loaded from the file is what the engine has
//! in memory, after every few batches and at the end; and `verify` agrees.
//!
//! `FIRSTCOME_TEST_SEED` replays one world, `FIRSTCOME_TEST_SCALE` multiplies the count.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::wildcard_enum_match_arm, reason = "only some commands matter to a helper")]

use firstcome::engine::{Command, CommandKey, DropPatch, DropSpec, Outcome, State};
use firstcome::store::{Batch, Beside, Recorder, SecondsTally, Store, load, verify};
use firstcome::types::{
    Amount, BuyerText, Contact, Currency, Digest, DigestKey, DropId, OrderSecret, Quantity, Seq, UnitPrice, UnixMillis,
};

const KEYS_MAX: usize = 40;
const COMMANDS_PER_WORLD: usize = 600;

/// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).expect("small")]
    }
}

struct World {
    random: Random,
    digests: DigestKey,
    at: i64,
    orders: Vec<Seq>,
    drops: u32,
}

impl World {
    fn digest(&self, kind: &str, n: u64) -> Digest {
        self.digests.params(format!("{kind}{n}").as_bytes())
    }

    fn instant(&mut self) -> UnixMillis {
        self.at += match self.random.below(20) {
            0..=9 => 0,
            10..=14 => 1,
            15..=17 => self.random.pick(&[999, 1000, 1001, 2000]) as i64,
            18 => 60_000,
            _ if self.random.one_in(4) => 25 * 3_600_000,
            _ => 10_000,
        };
        UnixMillis::new(self.at).expect("in range")
    }

    fn spec(&mut self) -> DropSpec {
        let at = UnixMillis::new(self.at).expect("in range");
        let total = if self.random.one_in(2) { self.random.below(6) } else { self.random.below(1000) };
        DropSpec {
            sku: "S".into(),
            name: "N".into(),
            description: self.random.one_in(2).then(|| "text".into()),
            image_url: None,
            currency: Currency::new("EUR").expect("a currency"),
            unit_price: UnitPrice::new(self.random.pick(&[0, 1, 1999])).expect("a price"),
            total: u32::try_from(total).expect("small"),
            starts_at: at.plus_millis(self.random.pick(&[-5, 0, 1, 1000])),
            ends_at: self.random.one_in(3).then(|| at.plus_millis(self.random.pick(&[1001, 5000, 100_000]))),
            per_buyer_limit: u32::try_from(self.random.pick(&[1, 2, 5, 1000])).expect("small"),
            reservation_seconds: u32::try_from(self.random.pick(&[1, 2, 60])).expect("small"),
            payment_seconds: u32::try_from(self.random.pick(&[1, 3, 60])).expect("small"),
        }
    }

    fn command_key(&mut self) -> CommandKey {
        let (key, params) = (self.random.below(30), self.random.below(2));
        CommandKey { digest: self.digest("key", key), params: self.digest("params", params) }
    }

    fn command(&mut self, state: &State) -> Command {
        let drop_id = DropId::new(u32::try_from(self.random.below(u64::from(self.drops) + 1)).expect("small") + 1)
            .expect("not 0");
        let order = match self.orders.len() {
            0 => Seq::ZERO,
            len => self.orders[usize::try_from(self.random.below(len as u64)).expect("small")],
        };
        let reason = || "because".into();
        match self.random.below(40) {
            0 if self.drops < 4 => Command::CreateDrop { key: self.command_key(), spec: Box::new(self.spec()) },
            1 => Command::PatchDrop {
                drop_id,
                expected_revision: state.drop_entry(drop_id).map_or(1, |entry| entry.revision),
                patch: Box::new(DropPatch {
                    name: Some("renamed".into()),
                    starts_at: self.random.one_in(3).then(|| UnixMillis::new(self.at + 500).expect("in range")),
                    ends_at: self.random.one_in(4).then(|| UnixMillis::new(self.at + 9000).expect("in range")),
                    per_buyer_limit: self.random.one_in(2).then_some(3),
                    ..DropPatch::default()
                }),
                reason: reason(),
            },
            2 => Command::PauseDrop { drop_id, reason: reason() },
            3 => Command::ResumeDrop { drop_id, reason: reason() },
            4 if self.random.one_in(10) => Command::CloseDrop { drop_id, reason: reason() },
            5 => Command::AdjustStock {
                drop_id,
                delta: self.random.pick(&[-1, 1, 5]),
                expected_total: state.drop_entry(drop_id).map_or(0, |entry| entry.spec.total),
                reason: reason(),
            },
            6 => Command::ReportMismatch { drop_id, stands: self.random.one_in(2) },
            7..=9 => Command::Checkout { order },
            10..=12 => Command::CancelOrder { order },
            13..=16 => {
                let amount = state.order(order).map_or(Amount::ZERO, |order| order.amount());
                let currency = Currency::new("EUR").expect("a currency");
                let reference = format!("ref{}", self.random.below(3)).into();
                Command::RecordPayment { order, reference, amount, currency, reason: reason() }
            }
            17..=19 => Command::RefundOrder {
                order,
                key: self.command_key(),
                amount: self.random.one_in(2).then(|| Amount::new(1).expect("small")),
                restock_quantity: u16::try_from(self.random.below(2)).expect("small"),
                reason: reason(),
            },
            20 => Command::EraseContact { order },
            21 => Command::ReadContact { order },
            22 => Command::Advance,
            _ => {
                let (buyer, key) = (self.random.below(6), self.random.below(50));
                Command::PlaceOrder {
                    drop_id,
                    buyer: self.digests.buyer(&format!("buyer{buyer}")),
                    key: self.digest(&format!("order{drop_id}-{buyer}-"), key),
                    quantity: Quantity::new(self.random.pick(&[1, 1, 1, 2, 5, 65_535])).expect("not 0"),
                    contact_given: self.random.one_in(4),
                }
            }
        }
    }

    fn beside(&mut self, command: &Command) -> Option<Beside> {
        let contact = Contact { email: Some("a@b".into()), ..Contact::default() };
        match command {
            Command::PlaceOrder { buyer, contact_given, .. } => {
                let name = (0..6).map(|n| format!("buyer{n}")).find(|name| self.digests.buyer(name) == *buyer);
                Some(Beside::Order {
                    secret: OrderSecret::from_random([7; 10]),
                    buyer: BuyerText::new(&name.expect("one of six")).expect("a buyer"),
                    contact: contact_given.then(|| Box::new(contact)),
                })
            }
            Command::Checkout { .. } => Some(Beside::Contact(Box::new(contact))),
            _ => None,
        }
    }
}

fn run_world(seed: u64) {
    let scratch = tempfile::tempdir().expect("scratch");
    let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("opened");
    let digests = store.digest_key.clone();
    let mut world =
        World { random: Random(seed), digests: digests.clone(), at: 1_000_000, orders: Vec::new(), drops: 0 };
    let loaded = load::load(&store.connection, &digests, KEYS_MAX).expect("an empty file");
    let mut state = loaded.state;
    let mut recorder = Recorder::new(&store.connection, loaded.link).expect("prepared");
    let (mut batch, mut tally) = (Batch::default(), SecondsTally::default());
    for step in 0..COMMANDS_PER_WORLD {
        let at = world.instant();
        assert!(state.advance(at, &mut batch.events, usize::MAX));
        let command = if world.drops == 0 {
            Command::CreateDrop { key: world.command_key(), spec: Box::new(world.spec()) }
        } else {
            world.command(&state)
        };
        if let Some(order) = command.named_order()
            && state.order(order).is_none()
            && let Some(found) = load::load_order(&store.connection, &digests, order).expect("read")
        {
            state.admit_order(found);
        }
        let first = batch.events.len();
        let outcome = state.decide(&command, &mut batch.events);
        for event in &batch.events[first..] {
            state.evolve(event);
        }
        if let (Some(event), Some(beside)) = (batch.events.get(first), world.beside(&command)) {
            batch.beside.push((event.seq, beside));
        }
        if let Outcome::Reserved(reservation) = &outcome {
            world.orders.push(reservation.order);
        }
        if let Some(id) = command.named_drop().filter(|id| state.drop_entry(*id).is_some()) {
            tally.count(id, at, &outcome, std::time::Duration::ZERO);
        }
        world.drops = u32::try_from(state.drops().count()).expect("few");
        if world.random.one_in(4) || step + 1 == COMMANDS_PER_WORLD {
            recorder.begin().expect("begun");
            recorder.record(&batch, &mut tally).unwrap_or_else(|error| panic!("seed {seed} step {step}: {error}"));
            recorder.commit().expect("committed");
            batch.clear();
            state.release_settled();
            if step % 50 < 4 || step + 1 == COMMANDS_PER_WORLD {
                let mut loaded = load::load(&store.connection, &digests, KEYS_MAX)
                    .unwrap_or_else(|error| panic!("seed {seed} step {step}: {error}"))
                    .state;
                let mut none = Vec::new();
                assert!(loaded.advance(state.at(), &mut none, usize::MAX));
                assert_eq!(none, [], "seed {seed} step {step}: something was still due");
                assert!(loaded == state, "seed {seed} step {step}: loaded\n{loaded:#?}\nin memory\n{state:#?}");
            }
        }
    }
    drop(recorder);
    drop(store);
    let report = verify::verify(scratch.path()).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new(), "seed {seed}");
    assert_eq!(report.last_seq, state.seq());
}

#[test]
fn what_is_loaded_from_the_file_is_what_the_engine_has_in_memory() {
    if let Some(seed) = std::env::var("FIRSTCOME_TEST_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return run_world(seed);
    }
    let scale: u64 = std::env::var("FIRSTCOME_TEST_SCALE").ok().and_then(|scale| scale.parse().ok()).unwrap_or(1);
    let worlds = scale * if cfg!(debug_assertions) { 6 } else { 60 };
    for seed in 0..worlds {
        run_world(seed.wrapping_mul(0x9e37_79b9) ^ 0xf1c0);
    }
}

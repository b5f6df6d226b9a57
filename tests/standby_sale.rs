//! A sale whose units come back and go to the line: 10,000 units and 100,000 buyers in release code, a tenth of both otherwise.
//! 30 % of those who have an order never check out.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(clippy::print_stdout, reason = "prints what it measured")]

mod test_drop;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use firstcome::engine::{
    Command, CommandKey, CreateDrop, DropCommand, Event, EventBody, OrderCommand, OrderEvent, Outcome, PaymentCommand,
    PlaceOrder, RecordPayment, State, invariants,
};
use firstcome::types::{Amount, Currency, Digest, DigestKey, DropId, Quantity, Seq, UnixMillis};
use test_drop::test_drop;

const SEED: u64 = 19;
/// The most events of a commit here: fewer than reservations that lapse at one instant.
const COMMIT_EVENTS: usize = 64;

/// A step of a buyer.
enum Step {
    Order(u32),
    Pay(Seq),
}

struct Sale {
    state: State,
    digests: DigestKey,
    random: u64,
    steps: BTreeMap<i64, Vec<Step>>,
    /// The joining of the last buyer who got an order from the line.
    last_granted: Seq,
    granted: u32,
    /// Commits at whose end a unit was free although a buyer stood by, one after another: the most so far.
    free_commits_max: u32,
    longest_commit: Duration,
}

fn at(ms: i64) -> UnixMillis {
    UnixMillis::new(ms).expect("in range")
}

impl Sale {
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    fn id() -> DropId {
        DropId::new(1).expect("not 0")
    }

    /// Does what is due, a commit after another. No unit is free at the end while a buyer stands by.
    fn advance(&mut self, ms: i64) {
        let (mut done, mut free_commits) = (false, 0);
        while !done {
            let (mut events, began) = (Vec::new(), Instant::now());
            done = self.state.advance(at(ms), &mut events, COMMIT_EVENTS);
            self.longest_commit = self.longest_commit.max(began.elapsed());
            let entry = self.state.drop_entry(Sale::id()).expect("a drop");
            free_commits = if entry.available() > 0 && entry.standby_len() > 0 { free_commits + 1 } else { 0 };
            self.free_commits_max = self.free_commits_max.max(free_commits);
            self.note(ms, &events);
        }
        assert_eq!(free_commits, 0, "at {ms} a unit is free although a buyer stands by");
    }

    /// Whoever has an order pays for it within a minute, or never.
    fn note(&mut self, ms: i64, events: &[Event]) {
        for event in events {
            let EventBody::Order(body) = &event.body else { continue };
            if let OrderEvent::Granted(granted) = body {
                assert!(granted.joined > self.last_granted, "event {}: a buyer was passed over", event.seq);
                self.last_granted = granted.joined;
                self.granted += 1;
            }
            if body.reservation().is_some() && self.below(10) >= 3 {
                let pays_at = ms + 1 + i64::try_from(self.below(60_000)).expect("small");
                self.steps.entry(pays_at).or_default().push(Step::Pay(event.seq));
            }
        }
    }

    fn decide(&mut self, ms: i64, command: &Command) -> Outcome {
        let mut events = Vec::new();
        let outcome = self.state.decide(command, &mut events);
        for event in &events {
            self.state.evolve(event);
        }
        self.note(ms, &events);
        outcome
    }

    fn step(&mut self, ms: i64, step: &Step) {
        match step {
            Step::Order(buyer) => {
                let buyer = self.digests.buyer(&format!("buyer{buyer}"));
                let key = self.digests.order_key(Sale::id(), &buyer, b"key");
                let order = PlaceOrder {
                    drop_id: Sale::id(),
                    buyer,
                    key,
                    quantity: Quantity::ONE,
                    contact_given: false,
                    facts: None,
                };
                let outcome = self.decide(ms, &Command::Order(OrderCommand::PlaceOrStandBy(order)));
                assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
            }
            Step::Pay(order) => {
                let payment = RecordPayment {
                    order: *order,
                    reference: order.to_string().into(),
                    amount: Amount::new(100).expect("an amount"),
                    currency: Currency::new("EUR").expect("a currency"),
                    reason: "paid".into(),
                };
                let outcome = self.decide(ms, &Command::Payment(PaymentCommand::Record(payment)));
                assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
            }
        }
    }
}

#[test]
fn no_unit_stays_free_while_a_buyer_stands_by_and_the_line_is_served_in_order() {
    let units: u32 = if cfg!(debug_assertions) { 1000 } else { 10_000 };
    let buyers = units * 10;
    let mut sale = Sale {
        state: State::new(usize::MAX >> 8),
        digests: DigestKey::new(&[7; 32]),
        random: SEED,
        steps: BTreeMap::new(),
        last_granted: Seq::ZERO,
        granted: 0,
        free_commits_max: 0,
        longest_commit: Duration::ZERO,
    };
    let digest = Digest([1; 16]);
    let create = CreateDrop { key: CommandKey { digest, params: digest }, spec: Box::new(test_drop(units)) };
    let done = sale.state.advance(at(1000), &mut Vec::new(), COMMIT_EVENTS);
    assert!(done, "nothing is due");
    sale.decide(1000, &Command::Drop(DropCommand::Create(create)));
    for buyer in 0..buyers {
        // Most come within a second.
        let ms = 1000 + i64::try_from(sale.below(1000)).expect("small");
        sale.steps.entry(ms).or_default().push(Step::Order(buyer));
    }
    while let Some(next) = sale.steps.first_key_value().map(|(ms, _)| *ms) {
        // What lapses in between is due before the next step.
        while let Some(due) = sale.state.next_due().map(UnixMillis::get).filter(|due| *due < next) {
            sale.advance(due.max(sale.state.at().get()));
        }
        for step in sale.steps.remove(&next).expect("it is there") {
            sale.advance(next);
            sale.step(next, &step);
        }
        sale.advance(next);
    }
    while let Some(due) = sale.state.next_due() {
        sale.advance(due.get());
        while let Some((ms, steps)) = sale.steps.pop_first() {
            sale.advance(ms);
            steps.iter().for_each(|step| sale.step(ms, step));
            sale.advance(ms);
        }
    }
    invariants::check(&sale.state).expect("whole");
    let entry = sale.state.drop_entry(Sale::id()).expect("a drop");
    assert_eq!((entry.sold, entry.held), (units, 0), "every unit is sold");
    assert_eq!(entry.standby_len(), buyers - units - sale.granted, "the others still stand by");
    assert!(sale.granted > units * 3 / 10, "{} units came back", sale.granted);
    assert!(sale.free_commits_max <= 1, "a unit was free for {} commits", sale.free_commits_max);
    println!(
        "{units} units, {buyers} buyers: {} grants; a unit was free at the end of at most {} commit(s) of {COMMIT_EVENTS} events; longest advance of a commit {:?}",
        sale.granted, sale.free_commits_max, sale.longest_commit
    );
}

//! Every order of a payment's events, with repetitions, for every provider: the engine and the naive model agree on each
//! step, and the end depends on what was told and not on when.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod model;

mod test_drop;

use std::collections::{BTreeMap, BTreeSet};

use firstcome::engine::{
    Command, CommandKey, CreateDrop, DropCommand, DropSpec, Effect, OrderCommand, Outcome, Payment, PaymentCommand,
    PlaceOrder, RecordProviderEvent,
};
use firstcome::types::{
    Amount, Currency, Digest, DropId, OrderState, Provider, ProviderEventKind as Kind, Quantity, Seq, UnitPrice,
};
use model::sale::Sale;
use test_drop::test_drop;

const COST: u64 = 500;

/// The order before its first event.
#[derive(Clone, Copy, Debug)]
enum Begin {
    Reserved,
    Expired,
    Cancelled,
}

fn begin(begin: Begin) -> (Sale, Seq) {
    let mut sale = Sale::begin(format!("{begin:?}"));
    let spec = DropSpec { unit_price: UnitPrice::new(COST).expect("a price"), reservation_seconds: 10, ..test_drop(1) };
    let key = CommandKey { digest: Digest([1; 16]), params: Digest([2; 16]) };
    sale.ask(&Command::Drop(DropCommand::Create(CreateDrop { key, spec: Box::new(spec) })));
    let outcome = sale.ask(&Command::Order(OrderCommand::Place(PlaceOrder {
        drop_id: DropId::new(1).expect("not 0"),
        buyer: Digest([3; 16]),
        key: Digest([4; 16]),
        quantity: Quantity::new(1).expect("not 0"),
        contact_given: false,
        facts: None,
    })));
    let Outcome::Accepted(Effect::Reserved(reservation)) = outcome else { panic!("{outcome:?}") };
    let order = reservation.order;
    match begin {
        Begin::Reserved => {}
        Begin::Expired => sale.at += 10_000,
        Begin::Cancelled => drop(sale.ask(&Command::Order(OrderCommand::Cancel { order }))),
    }
    sale.ask(&Command::Advance);
    sale.commit();
    (sale, order)
}

/// An event by its place in what a provider may tell of one payment.
fn event(provider: Provider, order: Seq, number: u8) -> RecordProviderEvent {
    let refund = |n: u8| (Digest([10 + n; 16]), Some(Digest([20 + n; 16])));
    let (kind, amount, (id, counterpart)) = match number {
        0 => (Kind::PaymentSucceeded, COST, (Digest([5; 16]), None)),
        1 => (Kind::PaymentFailed, COST, (Digest([6; 16]), None)),
        2 => (Kind::ChargebackCreated, COST, (Digest([7; 16]), None)),
        3 => (Kind::RefundSucceeded, 200, refund(1)),
        4 => (Kind::RefundSucceeded, 300, refund(2)),
        5 => (Kind::RefundFailed, 200, (Digest([21; 16]), Some(Digest([11; 16])))),
        6 => (Kind::RefundFailed, 300, (Digest([22; 16]), Some(Digest([12; 16])))),
        8 => (Kind::RefundSucceeded, COST, refund(3)),
        9 => (Kind::RefundSucceeded, COST, refund(4)),
        10 => (Kind::RefundFailed, COST, (Digest([23; 16]), Some(Digest([13; 16])))),
        11 => (Kind::RefundFailed, COST, (Digest([24; 16]), Some(Digest([14; 16])))),
        12 => (Kind::RefundSucceeded, COST, refund(5)),
        // The provider tells of the same payment in another event.
        _ => (Kind::PaymentSucceeded, COST, (Digest([8; 16]), None)),
    };
    RecordProviderEvent {
        provider,
        id,
        order: Some(order),
        kind,
        reference: "P1".into(),
        amount: Amount::new(amount).expect("small"),
        currency: Currency::new("EUR").expect("a currency"),
        counterpart,
    }
}

const EVENTS: u8 = 8;

/// Returns the order's end after these events, each in a batch of its own or all in one.
fn end(from: Begin, provider: Provider, told: &[u8], commits: bool) -> (OrderState, Vec<Payment>) {
    let (mut sale, order) = begin(from);
    for number in told {
        let mut event = event(provider, order, *number);
        let names_payment_alone = provider == Provider::Stripe && ((2..=6).contains(number) || *number > 7);
        // Stripe names the payment alone; the writer finds the order where the payment is recorded.
        if names_payment_alone && sale.order(order).payments.is_empty() {
            event.order = None;
        }
        sale.ask(&Command::Payment(PaymentCommand::RecordProviderEvent(Box::new(event))));
        if commits {
            sale.commit();
        }
    }
    assert!(sale.naive.money_is_accounted_for(), "{told:?}");
    let found = sale.order(order);
    (found.state, found.payments.to_vec())
}

/// Runs every sequence of so many events, with repetitions.
fn each_sequence(length: u32, mut run: impl FnMut(&[u8])) {
    for number in 0..u32::from(EVENTS).pow(length) {
        let digit = |place: u32| u8::try_from(number / u32::from(EVENTS).pow(place) % u32::from(EVENTS));
        let sequence: Vec<u8> = (0..length).map(|place| digit(place).expect("small")).collect();
        run(&sequence);
    }
}

/// The end of each set of events: the sequence that came to it first, and what it came to.
type Ends = BTreeMap<BTreeSet<u8>, (Vec<u8>, (OrderState, Vec<Payment>))>;

#[test]
fn every_order_of_a_payments_events_has_the_same_end() {
    for provider in Provider::ALL.into_iter().filter(|provider| *provider != Provider::Manual) {
        for from in [Begin::Reserved, Begin::Expired, Begin::Cancelled] {
            for commits in [false, true] {
                let mut ends = Ends::new();
                for length in 1..=3 {
                    each_sequence(length, |told| {
                        let found = end(from, provider, told, commits);
                        let set: BTreeSet<u8> = told.iter().copied().collect();
                        let (first, expected) =
                            ends.entry(set).or_insert_with(|| (told.to_vec(), found.clone())).clone();
                        assert_eq!(found, expected, "{provider:?} {from:?}: {told:?} ends otherwise than {first:?}");
                    });
                }
            }
        }
    }
}

#[test]
fn of_several_full_refunds_one_counts_as_long_as_one_of_them_did_not_fail_whatever_is_told_first() {
    const TOLD: [u8; 6] = [0, 8, 9, 10, 11, 12];
    for provider in Provider::ALL.into_iter().filter(|provider| *provider != Provider::Manual) {
        for commits in [false, true] {
            let mut ends = Ends::new();
            for number in 0..6_usize.pow(5) {
                let told: Vec<u8> = (0..5).map(|place| TOLD[number / 6_usize.pow(place) % 6]).collect();
                let set: BTreeSet<u8> = told.iter().copied().collect();
                if !set.contains(&0) {
                    continue;
                }
                let found = end(Begin::Reserved, provider, &told, commits);
                let alive = set.contains(&8) && !set.contains(&10) || set.contains(&9) && !set.contains(&11);
                if alive || set.contains(&12) {
                    assert_eq!(found.0, OrderState::Refunded, "{provider:?}: {told:?}");
                }
                let (first, expected) = ends.entry(set).or_insert_with(|| (told.clone(), found.clone())).clone();
                assert_eq!(found, expected, "{provider:?}: {told:?} ends otherwise than {first:?}");
            }
        }
    }
}

#[test]
fn the_model_agrees_on_every_sequence_of_four_events() {
    each_sequence(4, |told| {
        for provider in [Provider::Stripe, Provider::StandardWebhooks] {
            end(Begin::Reserved, provider, told, told.first() < told.last());
        }
    });
}

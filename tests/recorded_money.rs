//! Refunds of payments that do not pay for their order, in the file: the rows say what the events do.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod model;

mod test_drop;

use firstcome::engine::{
    Command, CommandKey, CreateDrop, DropCommand, DropSpec, OrderCommand, Outcome, PaymentCommand, PlaceOrder,
    RecordProviderEvent,
};
use firstcome::store::{PrivateData, Store, load, verify};
use firstcome::types::{
    Amount, BuyerText, Currency, Digest, DropId, OrderSecret, Provider, ProviderEventKind as Kind, Quantity, Seq,
    Shard, UnitPrice, UnixMillis,
};
use model::recording::Recording;
use test_drop::test_drop;

const KEYS_MAX: usize = 40;

/// A payment by its name and currency, and the kinds of its events in their order.
const TOLD: [(&str, &str, &[Kind]); 4] = [
    ("P1", "EUR", &[Kind::PaymentSucceeded]),
    ("P2", "EUR", &[Kind::PaymentSucceeded, Kind::RefundSucceeded, Kind::RefundFailed, Kind::RefundSucceeded]),
    ("P3", "USD", &[Kind::PaymentSucceeded, Kind::RefundSucceeded, Kind::RefundFailed]),
    ("P1", "EUR", &[Kind::RefundSucceeded, Kind::RefundFailed]),
];

#[test]
fn a_refund_that_fails_is_owed_again_of_its_own_payment_and_currency() {
    let scratch = tempfile::tempdir().expect("scratch");
    let store = Store::open(scratch.path(), UnixMillis::ZERO).expect("opened");
    let (mut recording, mut recorder) = Recording::begin(&store, KEYS_MAX);
    let (buyer, at) = (store.digest_key.buyer("ann"), UnixMillis::new(1000).expect("in range"));
    let mut run = |command: Command, private_data| {
        assert!(recording.advance_by(at, usize::MAX));
        let outcome = recording.decide_with(&command, private_data, at);
        assert!(matches!(outcome, Outcome::Accepted(_)), "{command:?}: {outcome:?}");
        recording.commit(&mut recorder, "a command");
        recording.state.seq()
    };
    let spec = DropSpec { unit_price: UnitPrice::new(500).expect("a price"), ..test_drop(1) };
    let key = CommandKey { digest: Digest([1; 16]), params: Digest([2; 16]) };
    run(Command::Drop(DropCommand::Create(CreateDrop { key, spec: Box::new(spec) })), None);
    let order = run(
        Command::Order(OrderCommand::Place(PlaceOrder {
            drop_id: DropId::new(1).expect("not 0"),
            buyer,
            key: Digest([4; 16]),
            quantity: Quantity::new(1).expect("not 0"),
            contact_given: false,
            facts: None,
        })),
        Some(PrivateData::Order {
            secret: OrderSecret::from_random(Shard::SINGLE, [7; 10]),
            buyer: BuyerText::new("ann").expect("a buyer"),
            contact: None,
        }),
    );
    let id = |number: u8| store.digest_key.provider_event(Provider::StandardWebhooks, &format!("e{number}"));
    let mut number = 0;
    for (reference, currency, kinds) in TOLD {
        for kind in kinds {
            number += 1;
            let counterpart = match kind {
                Kind::RefundSucceeded => Some(id(number + 1)),
                Kind::RefundFailed => Some(id(number - 1)),
                Kind::PaymentSucceeded | Kind::PaymentFailed | Kind::ChargebackCreated => None,
            };
            run(
                Command::Payment(PaymentCommand::RecordProviderEvent(Box::new(RecordProviderEvent {
                    provider: Provider::StandardWebhooks,
                    id: id(number),
                    order: Some(order),
                    kind: *kind,
                    reference: reference.into(),
                    amount: Amount::new(500).expect("small"),
                    currency: Currency::new(currency).expect("a currency"),
                    counterpart,
                }))),
                Some(PrivateData::ProviderEvent { event_id: format!("e{number}").into() }),
            );
        }
    }
    drop(recorder);
    let report = verify::verify_connection(&store.connection).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new());
    let row = |seq: Seq| {
        let sums = "SELECT received, refunded, refund_due FROM orders WHERE seq = ?1";
        store.connection.query_row(sums, [seq], |row| Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?]))
    };
    // P1 came back and is owed again, P2 went back; money of another currency is in no sum.
    assert_eq!(row(order).expect("read"), [1000, 500, 500]);
    let loaded = load::load_order(&store.connection, &store.digest_key, order).expect("read").expect("there");
    let of = |name: &str| {
        let payment = loaded.payments.iter().find(|payment| *payment.received.reference == *name).expect("there");
        (payment.refunded.get(), payment.refund_due.get())
    };
    assert_eq!([of("P1"), of("P2"), of("P3")], [(0, 500), (500, 0), (0, 500)]);
}

//! What the engine tells those above it beside its decisions: the names of commands, outcomes and events, whose they are,
//! how many orders there are, and what a restored key does.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod test_drop;

use std::collections::BTreeSet;

use firstcome::engine::{
    Admitted, AuctionCommand, AuctionSpec, COMMAND_NAMES, ChangeDrop, Command, CommandKey, CreateAuction, CreateDrop,
    DropCommand, DropSpec, Effect, Event, FileCommand, OUTCOME_NAMES, OrderCommand, Outcome, PaymentCommand,
    PlaceOrder, RememberedCommand, SettleRefund, State, Subject, endpoints,
};
use firstcome::types::published::DROPS_MAX;
use firstcome::types::{
    Currency, Digest, DigestKey, DropId, Increment, OrderState, Quantity, Seq, UnitPrice, UnixMillis,
};
use test_drop::test_drop;

fn at(ms: i64) -> UnixMillis {
    UnixMillis::new(ms).expect("in range")
}

fn seq(number: u64) -> Seq {
    Seq::new(number).expect("in range")
}

fn digest(text: &str) -> Digest {
    DigestKey::new(&[7; 32]).params(text.as_bytes())
}

fn first_drop() -> DropId {
    DropId::new(1).expect("not 0")
}

fn create(key: &str) -> Command {
    let key = CommandKey { digest: digest(key), params: digest("params") };
    let spec = DropSpec { per_buyer_limit: 9, ..test_drop(9) };
    Command::Drop(DropCommand::Create(CreateDrop { key, spec: Box::new(spec) }))
}

fn place(key: &str) -> Command {
    Command::Order(OrderCommand::Place(PlaceOrder {
        drop_id: first_drop(),
        buyer: digest("buyer"),
        quantity: Quantity::new(1).expect("not 0"),
        key: digest(key),
        contact_given: false,
        facts: None,
    }))
}

/// An engine with one drop on sale and all events so far.
struct Sale {
    state: State,
    events: Vec<Event>,
}

impl Sale {
    fn new() -> Sale {
        let mut sale = Sale { state: State::new(100), events: Vec::new() };
        assert!(matches!(sale.ask(&create("first")), Outcome::Accepted(_)));
        sale
    }
    fn ask(&mut self, command: &Command) -> Outcome {
        self.state.apply(at(10), command, &mut self.events)
    }
    fn order(&mut self, key: &str) -> Seq {
        self.ask(&place(key)).order_made().expect("an order")
    }
}

/// The event of an auction's creation.
fn sole_auction() -> Event {
    let price = |minor| UnitPrice::new(minor).expect("a price");
    let spec = AuctionSpec {
        sku: "S".into(),
        name: "N".into(),
        currency: Currency::new("EUR").expect("a currency"),
        start_price: price(100),
        reserve_price: None,
        increments: [Increment { from: price(0), step: price(10) }].into_iter().collect(),
        buy_now: None,
        starts_at: at(10),
        ends_at: at(1000),
        soft_close_seconds: 0,
        extensions_max: 0,
        hard_end_at: None,
        payment_seconds: 900,
        offer_next: false,
        exposure_limit: None,
    };
    let key = CommandKey { digest: digest("auction"), params: digest("params") };
    let command = Command::Auction(AuctionCommand::Create(CreateAuction { key, spec: Box::new(spec) }));
    let mut events = Vec::new();
    State::new(10).apply(at(10), &command, &mut events);
    events.into_iter().next().expect("an event")
}

#[test]
fn every_command_has_the_name_of_its_verb() {
    let distinct: BTreeSet<&str> = COMMAND_NAMES.into_iter().collect();
    assert_eq!(distinct.len(), COMMAND_NAMES.len(), "{COMMAND_NAMES:?}");
    let order = seq(2);
    let change = || ChangeDrop { drop_id: first_drop(), reason: "because".into() };
    for (command, name) in [
        (create("k"), "create_drop"),
        (Command::Drop(DropCommand::Close(change())), "close_drop"),
        (place("k"), "place_order"),
        (Command::Order(OrderCommand::EraseContact { order }), "erase_contact"),
        (
            Command::Payment(PaymentCommand::SettleRefund(Box::new(SettleRefund {
                order,
                reference: "reference".into(),
                payment: None,
                amount: None,
                reason: "because".into(),
            }))),
            "settle_refund",
        ),
        (Command::File(FileCommand::ExportContacts { drop_id: None }), "export_contacts"),
    ] {
        assert_eq!(command.index().map(|index| COMMAND_NAMES[index]), Some(name));
    }
    assert_eq!(Command::Advance.index(), None);
    assert_eq!(COMMAND_NAMES.last(), Some(&"finish_draw"));
}

#[test]
fn an_outcome_has_its_name_and_names_its_order_also_when_repeated() {
    let mut sale = Sale::new();
    let first = sale.ask(&place("a"));
    let repeated = sale.ask(&place("a"));
    let refused = sale.ask(&Command::Order(OrderCommand::Cancel { order: Seq::MAX }));
    let names = [&first, &repeated, &refused, &Outcome::Advanced].map(|outcome| OUTCOME_NAMES[outcome.index()]);
    assert_eq!(names, ["accepted", "repeated", "not_found", "accepted"]);
    assert_eq!(first.order_made(), Some(seq(2)));
    assert_eq!(repeated.order_made(), Some(seq(2)));
    assert_eq!(refused.order_made(), None);
}

#[test]
fn an_event_has_its_name_its_drop_and_its_order() {
    let mut sale = Sale::new();
    let order = sale.order("a");
    sale.ask(&Command::Order(OrderCommand::Checkout { order }));
    sale.ask(&Command::Order(OrderCommand::Cancel { order }));
    let change = ChangeDrop { drop_id: first_drop(), reason: "because".into() };
    sale.ask(&Command::Drop(DropCommand::Pause(change)));
    let told: Vec<_> = sale.events.iter().map(|event| (event.body.name(), event.drop_id(), event.order())).collect();
    let drop_id = Some(first_drop());
    assert_eq!(
        told,
        [
            ("drop_created", drop_id, None),
            ("order_reserved", drop_id, Some(order)),
            ("order_checked_out", drop_id, Some(order)),
            ("order_cancelled", drop_id, Some(order)),
            ("drop_paused", drop_id, None),
        ]
    );
}

#[test]
fn orders_are_counted_by_their_state_and_leave_memory_when_their_batch_is_durable() {
    let mut sale = Sale::new();
    let [first, second] = ["a", "b"].map(|key| sale.order(key));
    sale.order("c");
    sale.ask(&Command::Order(OrderCommand::Cancel { order: first }));
    sale.ask(&Command::Order(OrderCommand::Checkout { order: second }));
    let count = |state: &State, wanted: OrderState| {
        let place = OrderState::ALL.iter().position(|state| *state == wanted).expect("a state");
        state.orders_by_state()[place]
    };
    assert_eq!(sale.state.orders_in_memory(), 3);
    sale.state.release_settled();
    assert_eq!(sale.state.orders_in_memory(), 2);
    assert_eq!(count(&sale.state, OrderState::Reserved), 1);
    assert_eq!(count(&sale.state, OrderState::AwaitingPayment), 1);
    assert_eq!(count(&sale.state, OrderState::Cancelled), 1);
    assert_eq!(count(&sale.state, OrderState::Paid), 0);
}

#[test]
fn a_key_that_was_read_from_the_file_repeats_its_command() {
    let mut sale = Sale::new();
    let mut restored = Sale::new();
    let remembered = RememberedCommand { seq: seq(1), params: digest("params"), subject: 1 };
    restored.state.restore_command_key(digest("of the file"), remembered, at(10));
    assert!(matches!(sale.ask(&create("of the file")), Outcome::Accepted(Effect::Changed { .. })));
    let answer = restored.ask(&create("of the file"));
    let repeated = matches!(answer, Outcome::Repeated { subject: Subject::Drop(id), .. } if id == first_drop());
    assert!(repeated, "{answer:?}");
}

#[test]
fn the_bound_of_remembered_keys_is_told() {
    assert_eq!(State::new(100).idempotency_keys_max(), 100);
}

#[test]
fn an_auction_brings_its_unit_into_the_totals() {
    let created = sole_auction();
    let delta = created.stock_delta().expect("a change");
    assert_eq!((delta.total, delta.held, delta.sold), (1, 0, 0));
}

#[test]
fn prefetch_that_found_anything_is_not_empty() {
    assert!(Admitted::default().is_empty());
    let mut sale = Sale::new();
    let order = sale.order("a");
    let order = sale.state.order(order).cloned();
    assert!(!Admitted { order, ..Admitted::default() }.is_empty());
    assert!(!Admitted { heard: [digest("event")].into(), ..Admitted::default() }.is_empty());
}

#[test]
fn the_position_before_an_event_is_one_less_and_never_below_the_first() {
    assert_eq!(endpoints::before(seq(5)), seq(4));
    assert_eq!(endpoints::before(Seq::ZERO), Seq::ZERO);
}

#[test]
fn the_table_of_versions_bounds_the_number_of_drops() {
    let mut state = State::new(10);
    let mut events = Vec::new();
    let mut refused = None;
    for number in 1..=DROPS_MAX {
        events.clear();
        let outcome = state.apply(at(10), &create(&number.to_string()), &mut events);
        if matches!(outcome, Outcome::Refused { .. }) {
            refused = Some(number);
            break;
        }
    }
    assert_eq!(refused, Some(DROPS_MAX), "the place 0 belongs to no drop");
}

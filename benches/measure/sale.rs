//! A drop and orders of it, as every bench of the engine sells them.

#[path = "../../tests/test_drop/mod.rs"]
pub mod test_drop;

use firstcome::engine::{
    Command, CommandKey, CreateDrop, DropCommand, DropSpec, Effect, Event, OrderCommand, Outcome, PlaceOrder, State,
};
use firstcome::types::{Digest, DropId, Quantity, UnixMillis};
use test_drop::test_drop;

/// When everything happens.
pub const START: UnixMillis = UnixMillis::ZERO;
/// How long an order is reserved.
pub const RESERVATION_SECONDS: u32 = 120;

/// Uniformly distributed bytes, as keyed digests are (splitmix64).
pub fn digest(number: u32, purpose: u64) -> Digest {
    let mix = |seed: u64| {
        let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let (high, low) = (mix(u64::from(number) * 4 + purpose), mix(u64::from(number) * 4 + purpose + (1 << 40)));
    Digest(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
}

/// The order of the buyer of this number.
pub fn order(number: u32) -> Command {
    order_with_key(number, 1)
}

/// The same with the key of another purpose.
pub fn order_with_key(number: u32, purpose: u64) -> Command {
    Command::Order(OrderCommand::Place(PlaceOrder {
        drop_id: drop_id(),
        buyer: digest(number, 0),
        key: digest(number, purpose),
        quantity: Quantity::ONE,
        contact_given: false,
        facts: None,
    }))
}

/// The one drop.
pub fn drop_id() -> DropId {
    DropId::new(1).expect("not 0")
}

/// A drop of so many units, each buyer one.
pub fn spec(total: u32) -> DropSpec {
    DropSpec { starts_at: START, reservation_seconds: RESERVATION_SECONDS, ..test_drop(total) }
}

/// Makes the drop.
pub fn create(total: u32) -> Command {
    let key = CommandKey { digest: digest(0, 2), params: digest(0, 3) };
    Command::Drop(DropCommand::Create(CreateDrop { key, spec: Box::new(spec(total)) }))
}

/// A state with one live drop.
pub fn state(total: u32) -> State {
    let mut state = State::new(4_000_000);
    state.apply(START, &create(total), &mut Vec::new());
    state
}

/// A state with so many live orders of a drop that has no more units.
pub fn sold_out(orders: u32) -> State {
    let mut state = state(orders);
    let mut events = Vec::new();
    for number in 0..orders {
        let outcome = take(&mut state, &order(number), &mut events);
        assert!(matches!(outcome, Outcome::Accepted(Effect::Reserved(_))), "{outcome:?}");
    }
    state
}

/// One command as the writer takes it.
pub fn take(state: &mut State, command: &Command, events: &mut Vec<Event>) -> Outcome {
    events.clear();
    state.apply(START, command, events)
}

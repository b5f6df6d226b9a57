//! Provider events for a few orders, permuted, repeated up to 20 times (also in one batch), late, lost and forged: the
//! engine and the naive model agree on every outcome, each payment counts once, and no money and no unit is lost.
//!
//! `FIRSTCOME_TEST_SEED` replays one shuffle, `FIRSTCOME_TEST_SCALE` multiplies the count.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

mod model;

mod test_drop;

use std::collections::BTreeMap;

use firstcome::engine::{
    Command, CommandKey, CreateDrop, DropCommand, DropSpec, Effect, OrderCommand, Outcome, PaymentCommand, PlaceOrder,
    RecordProviderEvent, RefundOrder, SettleRefund,
};
use firstcome::types::{
    Amount, Currency, Digest, DropId, Provider, ProviderEventKind, Quantity, Seq, UnitPrice, UnixMillis,
};
use model::Random;
use model::sale::Sale;
use test_drop::test_drop;

const PRICE: u64 = 500;

fn digest(kind: u8, n: u64) -> Digest {
    let mut bytes = [kind; 16];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    Digest(bytes)
}

fn instant(ms: i64) -> UnixMillis {
    UnixMillis::new(ms).expect("in range")
}

/// Returns events of one order: honest sequences, mistakes and nonsense.
fn told_of(order: Option<Seq>, cost: u64, random: &mut Random, number: &mut u64) -> Vec<RecordProviderEvent> {
    use ProviderEventKind::{ChargebackCreated, PaymentFailed, PaymentSucceeded, RefundFailed, RefundSucceeded};
    let mut events = Vec::new();
    let mut tell = |kind, reference: u64, amount: u64, currency: &str| {
        *number += 1;
        events.push(RecordProviderEvent {
            provider: if reference == 9 { Provider::Payos } else { Provider::Stripe },
            id: if kind == RefundFailed { digest(b'f', *number - 1) } else { digest(b'e', *number) },
            order,
            kind,
            // Another shop's payments have names of their own.
            reference: format!("{}{reference}", if order.is_some() { 'P' } else { 'N' }).into(),
            amount: Amount::new(amount).expect("small"),
            currency: Currency::new(currency).expect("a currency"),
            counterpart: match kind {
                RefundSucceeded => Some(digest(b'f', *number)),
                RefundFailed => Some(digest(b'e', *number - 1)),
                PaymentSucceeded | PaymentFailed | ChargebackCreated => None,
            },
        });
    };
    if random.one_in(3) {
        tell(PaymentFailed, 1, cost, "EUR");
    }
    tell(PaymentSucceeded, 1, cost, "EUR");
    if random.one_in(3) {
        // The provider reports the same payment with another event.
        tell(PaymentSucceeded, 1, cost, "EUR");
    }
    if random.one_in(3) {
        tell(PaymentSucceeded, random.pick(&[2, 9]), random.pick(&[cost, cost - 1, cost + 1]), "EUR");
    }
    if random.one_in(6) {
        tell(PaymentSucceeded, 3, cost, "VND");
    }
    if random.one_in(3) {
        tell(RefundSucceeded, random.pick(&[1, 2]), random.pick(&[1, cost / 2, cost]), random.pick(&["EUR", "VND"]));
        let back = random.pick(&[cost / 2, cost]);
        tell(RefundSucceeded, 1, back, "EUR");
        if random.one_in(3) {
            tell(RefundFailed, 1, back, "EUR");
        }
    }
    if random.one_in(6) {
        tell(ChargebackCreated, 1, cost, "EUR");
    }
    events
}

fn begin(seed: u64, random: &mut Random) -> (Sale, Vec<(Seq, u64)>) {
    let mut sale = Sale::begin(format!("seed {seed}"));
    let total = u32::try_from(2 + random.below(5)).expect("small");
    let spec = DropSpec {
        unit_price: UnitPrice::new(PRICE).expect("a price"),
        ends_at: random.one_in(3).then(|| instant(40_000)),
        per_buyer_limit: u32::try_from(1 + random.below(3)).expect("small"),
        reservation_seconds: 10,
        payment_seconds: 20,
        ..test_drop(total)
    };
    let key = CommandKey { digest: digest(b'k', 0), params: digest(b'p', 0) };
    sale.ask(&Command::Drop(DropCommand::Create(CreateDrop { key, spec: Box::new(spec) })));
    let drop_id = DropId::new(1).expect("not 0");
    let mut orders = Vec::new();
    for n in 0..2 + random.below(4) {
        let quantity = Quantity::new(u16::try_from(1 + random.below(2)).expect("small")).expect("not 0");
        let (buyer, key) = (digest(b'b', random.below(3)), digest(b'o', n));
        let command = Command::Order(OrderCommand::Place(PlaceOrder {
            drop_id,
            buyer,
            key,
            quantity,
            contact_given: random.one_in(2),
            facts: None,
        }));
        if let Outcome::Accepted(Effect::Reserved(reservation)) = sale.ask(&command) {
            orders.push((reservation.order, PRICE * u64::from(quantity.get())));
        }
    }
    sale.commit();
    (sale, orders)
}

fn shuffle(seed: u64) {
    let mut random = Random(seed);
    let (mut sale, orders) = begin(seed, &mut random);
    let mut number = 0;
    let mut told = Vec::new();
    for (order, cost) in &orders {
        told.extend(told_of(Some(*order), *cost, &mut random, &mut number));
    }
    // A signed event for an order of another shop.
    told.extend(told_of(None, PRICE, &mut random, &mut number));
    // Some never arrive; the others arrive up to 20 times, in any order.
    let mut queue: Vec<usize> = Vec::new();
    for index in 0..told.len() {
        let times = if random.one_in(8) { 0 } else { random.pick(&[1, 1, 1, 2, 3, 20]) };
        queue.extend(std::iter::repeat_n(index, usize::try_from(times).expect("small")));
    }
    for last in (1..queue.len()).rev() {
        queue.swap(last, usize::try_from(random.below(last as u64 + 1)).expect("small"));
    }
    let mut received: BTreeMap<(Seq, Provider, Box<str>), u64> = BTreeMap::new();
    for index in queue {
        let event = &told[index];
        if random.one_in(6) {
            sale.at += random.pick(&[1_u64, 999, 10_000, 21_000]).cast_signed();
        }
        let first_time = !sale.inbox.contains(&event.id) && !sale.state.has_heard(&event.id);
        let outcome = sale.ask(&Command::Payment(PaymentCommand::RecordProviderEvent(Box::new(event.clone()))));
        assert_eq!(
            first_time,
            matches!(outcome, Outcome::Accepted(Effect::ProviderEventRecorded { .. })),
            "seed {seed}"
        );
        if let (Some(order), ProviderEventKind::PaymentSucceeded) = (event.order, event.kind) {
            received.insert((order, event.provider, event.reference.clone()), event.amount.get());
        }
        if let Some((order, _)) = orders.first().filter(|_| random.one_in(12)) {
            operate(&mut sale, *order, &mut random);
        }
        if random.one_in(3) {
            sale.commit();
        }
    }
    sale.commit();
    check(seed, &sale, &orders, &received);
}

/// Actions of buyers and operators in between.
fn operate(sale: &mut Sale, order: Seq, random: &mut Random) {
    let reason: Box<str> = "because".into();
    let n = random.below(4);
    sale.ask(&match n {
        0 => Command::Order(OrderCommand::Cancel { order }),
        1 => Command::Payment(PaymentCommand::SettleRefund(Box::new(SettleRefund {
            order,
            reference: random.pick(&["R", "S", "T"]).into(),
            payment: random.one_in(2).then(|| random.pick(&["P1", "P2", "P9"]).into()),
            amount: random.one_in(3).then(|| Amount::new(random.pick(&[1, PRICE])).expect("small")),
            reason,
        }))),
        2 => Command::Order(OrderCommand::Checkout { order }),
        _ => Command::Payment(PaymentCommand::Refund(Box::new(RefundOrder {
            order,
            key: CommandKey { digest: digest(b'r', random.below(4)), params: digest(b'p', 1) },
            amount: random.one_in(2).then(|| Amount::new(100).expect("small")),
            restock_quantity: 0,
            reason,
        }))),
    });
}

fn check(seed: u64, sale: &Sale, orders: &[(Seq, u64)], received: &BTreeMap<(Seq, Provider, Box<str>), u64>) {
    assert!(sale.naive.money_is_accounted_for(), "seed {seed}");
    for (seq, cost) in orders {
        let order = sale.order(*seq);
        let counted: BTreeMap<_, _> = order
            .payments
            .iter()
            .map(|payment| {
                let of = &payment.received;
                ((*seq, of.provider, of.reference.clone()), of.amount.get())
            })
            .collect();
        assert_eq!(counted.len(), order.payments.len(), "seed {seed}: a payment counts twice");
        // Every payment is recorded with an amount that the provider reported.
        let of_order: Vec<_> = received.keys().filter(|(order, ..)| order == seq).cloned().collect();
        assert_eq!(counted.keys().cloned().collect::<Vec<_>>(), of_order, "seed {seed}: order {seq}");
        let kept: Vec<u64> = order.payments.iter().map(|payment| payment.kept().get()).filter(|n| *n > 0).collect();
        assert!(kept.len() <= 1 && kept.iter().all(|kept| kept <= cost), "seed {seed}: order {seq} keeps {kept:?}");
        let paid = order.state == firstcome::types::OrderState::Paid;
        assert_eq!(!kept.is_empty(), paid, "seed {seed}: order {seq} is {:?} and keeps {kept:?}", order.state);
    }
    let entry = sale.state.drop_entry(DropId::new(1).expect("not 0")).expect("the drop");
    let taken: u32 = orders.iter().map(|(seq, _)| u32::from(sale.order(*seq).taken())).sum();
    assert_eq!(entry.taken(), taken, "seed {seed}: units");
    assert_eq!(entry.spec.total, entry.available() + entry.held + entry.sold, "seed {seed}: stock");
}

#[test]
fn providers_may_say_anything_in_any_order_any_number_of_times() {
    if let Some(seed) = model::replayed_seed() {
        return shuffle(seed);
    }
    for seed in 0..model::scaled(20_000, 300) {
        shuffle(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x9a1d);
    }
}

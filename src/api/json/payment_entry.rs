//! Payments of all orders, for the comparison with a provider's books.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::encoding::to_bytes;
use super::scalars;
use crate::read::payments::AnyPayment;
use crate::types::order_id::code_of;
use crate::types::text::rfc3339;
use crate::types::{JSON_INTEGER_MAX, Seq};

/// A payment with the order that it was received for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct PaymentEntry {
    #[schemars(with = "scalars::OrderCode")]
    pub order_code: String,
    #[schemars(range(min = 1, max = Seq::MAX.get()))]
    pub order_seq: u64,
    #[schemars(range(min = 1))]
    pub drop_id: u32,
    /// The instant at which it was recorded.
    #[schemars(with = "scalars::Instant")]
    pub at: String,
    pub provider: String,
    /// The reference of the payment at the provider.
    pub reference: String,
    /// The received amount in minor units.
    #[schemars(range(max = JSON_INTEGER_MAX))]
    pub amount: u64,
    #[schemars(with = "scalars::Currency")]
    pub currency: String,
    /// True if it paid for the order. Every other payment is to be refunded.
    pub pays: bool,
    #[schemars(range(max = JSON_INTEGER_MAX))]
    pub refunded_amount: u64,
    #[schemars(range(max = JSON_INTEGER_MAX))]
    pub refund_due_amount: u64,
    /// The event that recorded it.
    #[schemars(range(min = 1, max = Seq::MAX.get()))]
    pub seq: u64,
}

impl PaymentEntry {
    /// Returns the entry of a row.
    #[must_use]
    pub fn of(row: &AnyPayment) -> PaymentEntry {
        let payment = &row.payment;
        PaymentEntry {
            order_code: code_of(row.drop_id.shard(), row.order),
            order_seq: row.order.get(),
            drop_id: row.drop_id.get(),
            at: rfc3339(row.at),
            provider: payment.provider.as_str().to_owned(),
            reference: payment.reference.clone(),
            amount: payment.received.get(),
            currency: payment.currency.as_str().to_owned(),
            pays: payment.pays,
            refunded_amount: payment.refunded.get(),
            refund_due_amount: payment.refund_due.get(),
            seq: payment.seq.get(),
        }
    }

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> Bytes {
        to_bytes(self)
    }
}

//! An order's payments, for operators.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use super::encoding::to_bytes;
use super::scalars;
use crate::read::PaymentRow;
use crate::types::{JSON_INTEGER_MAX, Provider, Seq};

/// Money that came in for an order, and what became of it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PaymentRecord")]
pub(super) struct PaymentJson<'a> {
    #[schemars(schema_with = "provider_words")]
    provider: &'static str,
    /// Its name at the provider.
    reference: &'a str,
    /// How much came in.
    #[schemars(range(max = JSON_INTEGER_MAX))]
    amount: u64,
    #[schemars(with = "scalars::Currency")]
    currency: &'a str,
    /// Whether it paid for the order; every other is owed back.
    pays: bool,
    #[schemars(range(max = JSON_INTEGER_MAX))]
    refunded_amount: u64,
    #[schemars(range(max = JSON_INTEGER_MAX))]
    refund_due_amount: u64,
    /// The event that recorded it.
    #[schemars(range(min = 1, max = Seq::MAX.get()))]
    seq: u64,
}

fn provider_words(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let words: Vec<_> = Provider::ALL.iter().map(|provider| provider.as_str()).collect();
    schemars::json_schema!({ "type": "string", "enum": words })
}

/// One payment.
#[must_use]
pub fn payment_body(row: &PaymentRow) -> Bytes {
    to_bytes(&PaymentJson {
        provider: row.provider.as_str(),
        reference: &row.reference,
        amount: row.received.get(),
        currency: row.currency.as_str(),
        pays: row.pays,
        refunded_amount: row.refunded.get(),
        refund_due_amount: row.refund_due.get(),
        seq: row.seq.get(),
    })
}

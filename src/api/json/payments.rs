//! Bodies of an order's payments.

use hyper::body::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use super::encoding::to_bytes;
use super::scalars;
use crate::read::PaymentRow;
use crate::types::{AutomaticRefund, JSON_INTEGER_MAX, Provider, Seq};

/// A payment received for an order, and its refunds.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PaymentRecord")]
pub(super) struct PaymentJson<'a> {
    #[schemars(schema_with = "provider_words")]
    provider: &'static str,
    /// The reference of the payment at the provider.
    reference: &'a str,
    /// The received amount in minor units.
    #[schemars(range(max = JSON_INTEGER_MAX))]
    amount: u64,
    #[schemars(with = "scalars::Currency")]
    currency: &'a str,
    /// True if it paid for the order. Every other payment is to be refunded.
    pays: bool,
    #[schemars(range(max = JSON_INTEGER_MAX))]
    refunded_amount: u64,
    #[schemars(range(max = JSON_INTEGER_MAX))]
    refund_due_amount: u64,
    /// The event that recorded it.
    #[schemars(range(min = 1, max = Seq::MAX.get()))]
    seq: u64,
    /// The state of the refund that the server makes at the provider: pending there, to be retried after a failure, or
    /// given up and left to an operator. Absent if none of these holds, and where refunds are made by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "automatic_refund_words")]
    automatic_refund: Option<&'static str>,
    /// The reason why the automatic refund failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    automatic_refund_reason: Option<&'a str>,
}

fn automatic_refund_words(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "enum": ["pending", "retried", "given_up"] })
}

fn provider_words(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let words: Vec<_> = Provider::ALL.iter().map(|provider| provider.as_str()).collect();
    schemars::json_schema!({ "type": "string", "enum": words })
}

#[must_use]
pub fn payment_body(row: &PaymentRow, refund: Option<&AutomaticRefund>) -> Bytes {
    to_bytes(&PaymentJson {
        provider: row.provider.as_str(),
        reference: &row.reference,
        amount: row.received.get(),
        currency: row.currency.as_str(),
        pays: row.pays,
        refunded_amount: row.refunded.get(),
        refund_due_amount: row.refund_due.get(),
        seq: row.seq.get(),
        automatic_refund: refund.map(AutomaticRefund::as_str),
        automatic_refund_reason: refund.and_then(AutomaticRefund::reason),
    })
}

//! The payments that the server has recorded for a drop, read through the admin listener.

use std::collections::HashMap;

use serde::Deserialize;

use crate::client::http::{HttpClient, RequestError};
use crate::exit::Exit;

/// Payments of a page, about.
const PAGE: u32 = 1_000;

/// A recorded payment.
#[derive(Deserialize)]
pub(super) struct RecordedPayment {
    pub(super) order_seq: u64,
    pub(super) reference: String,
    pub(super) amount: u64,
    pub(super) currency: String,
    pub(super) pays: bool,
    pub(super) refunded_amount: u64,
    pub(super) refund_due_amount: u64,
}

#[derive(Deserialize)]
struct PaymentPage {
    data: Vec<RecordedPayment>,
    #[serde(default)]
    next_after: Option<u64>,
}

/// Sums over all recorded payments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct RecordedMoney {
    pub(super) payments: u64,
    /// Orders that a payment pays for.
    pub(super) orders_paid: u64,
    /// Payments whose order or reference another payment has, too.
    pub(super) doubled: u64,
    pub(super) received: u64,
    pub(super) refunded: u64,
    pub(super) refund_due: u64,
    /// Payments in another currency.
    pub(super) foreign: u64,
}

impl RecordedMoney {
    /// Adds up payments in this currency.
    pub(super) fn of(payments: impl IntoIterator<Item = RecordedPayment>, currency: &str) -> RecordedMoney {
        let mut sum = RecordedMoney::default();
        let (mut orders, mut references) = (HashMap::<u64, u32>::new(), HashMap::<String, u32>::new());
        for payment in payments {
            let of_order = orders.entry(payment.order_seq).or_default();
            let of_reference = references.entry(payment.reference).or_default();
            sum.doubled += u64::from(*of_order > 0 || *of_reference > 0);
            *of_order += 1;
            *of_reference += 1;
            sum.payments += 1;
            sum.orders_paid += u64::from(payment.pays);
            sum.received = sum.received.saturating_add(payment.amount);
            sum.refunded = sum.refunded.saturating_add(payment.refunded_amount);
            sum.refund_due = sum.refund_due.saturating_add(payment.refund_due_amount);
            sum.foreign += u64::from(payment.currency != currency);
        }
        sum
    }
}

/// Reads all payments of a drop.
///
/// # Errors
/// 69: the admin listener is unreachable or refuses.
pub(super) async fn read(admin: &HttpClient, drop_id: u32) -> Result<Vec<RecordedPayment>, Exit> {
    let (mut payments, mut after) = (Vec::new(), 0);
    loop {
        let path = format!("/v1/payments?drop_id={drop_id}&limit={PAGE}&after={after}");
        let page = admin.get_json(&path).await.map_err(|error| admin.exit("GET /v1/payments", &error))?;
        let page: PaymentPage = serde_json::from_value(page)
            .map_err(|error| admin.exit("GET /v1/payments", &RequestError::Invalid(error.to_string())))?;
        payments.extend(page.data);
        match page.next_after {
            Some(next) if next > after => after = next,
            Some(_) | None => return Ok(payments),
        }
    }
}

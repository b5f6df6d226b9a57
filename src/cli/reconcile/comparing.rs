//! The payments of an export beside those of the file.

use serde::Serialize;

use super::stripe_export::{ExportedPayment, StripeExport};
use crate::api::json::payment_entry::PaymentEntry;
use crate::types::instant::parse_rfc3339;
use crate::types::text::rfc3339;
use crate::types::{Amount, UnixMillis};

/// A payment that is not the same on both sides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct PaymentDifference {
    pub(super) kind: DifferenceKind,
    /// The payment at the provider.
    pub(super) reference: String,
    /// The order here; missing for a payment that is not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) order_code: Option<String>,
    /// The instant at the provider, or of the record here for a payment that is not there.
    pub(super) at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) there: Option<Side>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) here: Option<Side>,
}

/// The kinds of differences.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DifferenceKind {
    /// Paid at the provider, and unknown here.
    NotHere,
    /// Recorded here, and unpaid there, or not in an export that covers its instant.
    NotThere,
    /// The payment has another currency there than here.
    Currency,
    /// The amounts received differ.
    Amount,
    /// The amounts that went back differ.
    Refunded,
}

impl DifferenceKind {
    pub(super) const ALL: [DifferenceKind; 5] = [
        DifferenceKind::NotHere,
        DifferenceKind::NotThere,
        DifferenceKind::Currency,
        DifferenceKind::Amount,
        DifferenceKind::Refunded,
    ];

    /// Returns the words of a heading.
    pub(super) const fn words(self) -> &'static str {
        match self {
            DifferenceKind::NotHere => "paid there and not here",
            DifferenceKind::NotThere => "here and not there",
            DifferenceKind::Currency => "in another currency",
            DifferenceKind::Amount => "of another amount",
            DifferenceKind::Refunded => "refunded by another amount",
        }
    }
}

/// A payment on one side, in minor units.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Side {
    pub(super) amount: u64,
    /// Missing where the export has it in another currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refunded: Option<u64>,
    pub(super) currency: String,
    /// Money that is still due here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refund_due: Option<u64>,
}

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct Reconciliation {
    /// Payments of the export.
    pub(super) there: u64,
    /// Payments of this provider here.
    pub(super) here: u64,
    /// Payments that are the same on both sides.
    pub(super) equal: u64,
    /// Payments of the export whose metadata has no order's id, and that are unknown here.
    pub(super) other_business: u64,
    /// Payments here that were recorded outside of the period of the export.
    pub(super) outside_period: u64,
    /// Refunds of payments that the export does not have.
    pub(super) refunds_of_others: u64,
    /// The period that the export covers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<String>,
    pub(super) differences: Vec<PaymentDifference>,
}

/// A comparison under way: payments of the file are added one by one.
pub(super) struct Comparing {
    export: StripeExport,
    period: Option<(UnixMillis, UnixMillis)>,
    result: Reconciliation,
}

impl Comparing {
    /// Begins. The period is that of the export's payments, unless the operator names its ends.
    pub(super) fn new(export: StripeExport, from: Option<UnixMillis>, until: Option<UnixMillis>) -> Comparing {
        let own = export.period();
        let period = from.or(own.map(|(first, _)| first)).zip(until.or(own.map(|(_, last)| last)));
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let result = Reconciliation {
            there: count(export.payments.len()),
            here: 0,
            equal: 0,
            other_business: 0,
            outside_period: 0,
            refunds_of_others: 0,
            from: period.map(|(from, _)| rfc3339(from)),
            until: period.map(|(_, until)| rfc3339(until)),
            differences: Vec::new(),
        };
        Comparing { export, period, result }
    }

    /// Adds a payment of the file.
    pub(super) fn add(&mut self, payment: &PaymentEntry) {
        self.result.here = self.result.here.saturating_add(1);
        if let Some((currency, refunded)) = self.export.refunds_alone.remove(&payment.reference) {
            // The export has the refund and not the payment, which is older.
            if currency.as_str() == payment.currency && refunded.get() > payment.refunded_amount {
                self.tell(DifferenceKind::Refunded, payment, Some(refunded), None);
            } else {
                self.result.outside_period = self.result.outside_period.saturating_add(1);
            }
            return;
        }
        let Some(there) = self.export.payments.remove(&payment.reference) else {
            let at = parse_rfc3339(&payment.at);
            let is_unpaid = self.export.unpaid.contains(&payment.reference);
            let is_covered =
                is_unpaid || at.zip(self.period).is_some_and(|(at, (from, until))| from <= at && at <= until);
            if is_covered {
                self.tell(DifferenceKind::NotThere, payment, None, None);
            } else {
                self.result.outside_period = self.result.outside_period.saturating_add(1);
            }
            return;
        };
        let kind = if there.currency.as_str() != payment.currency {
            DifferenceKind::Currency
        } else if there.received.get() != payment.amount {
            DifferenceKind::Amount
        } else if there.refunded.is_some_and(|refunded| refunded.get() != payment.refunded_amount) {
            DifferenceKind::Refunded
        } else {
            self.result.equal = self.result.equal.saturating_add(1);
            return;
        };
        self.tell(kind, payment, None, Some(&there));
    }

    fn tell(
        &mut self,
        kind: DifferenceKind,
        payment: &PaymentEntry,
        refunded_alone: Option<Amount>,
        there: Option<&ExportedPayment>,
    ) {
        let alone = refunded_alone.map(|refunded| Side {
            amount: payment.amount,
            refunded: Some(refunded.get()),
            currency: payment.currency.clone(),
            refund_due: None,
        });
        self.result.differences.push(PaymentDifference {
            kind,
            reference: payment.reference.clone(),
            order_code: Some(payment.order_code.clone()),
            at: there.map_or_else(|| payment.at.clone(), |there| rfc3339(there.created_at)),
            there: there.map(side_of).or(alone),
            here: Some(Side {
                amount: payment.amount,
                refunded: Some(payment.refunded_amount),
                currency: payment.currency.clone(),
                refund_due: Some(payment.refund_due_amount).filter(|due| *due > 0),
            }),
        });
    }

    /// Ends: what is left of the export is not here.
    pub(super) fn finish(mut self) -> Reconciliation {
        for (reference, payment) in self.export.payments {
            if !payment.may_be_ours {
                self.result.other_business = self.result.other_business.saturating_add(1);
                continue;
            }
            self.result.differences.push(PaymentDifference {
                kind: DifferenceKind::NotHere,
                reference,
                order_code: None,
                at: rfc3339(payment.created_at),
                there: Some(side_of(&payment)),
                here: None,
            });
        }
        self.result.refunds_of_others = u64::try_from(self.export.refunds_alone.len()).unwrap_or(u64::MAX);
        self.result.differences.sort_by(|one, other| (one.kind, &one.reference).cmp(&(other.kind, &other.reference)));
        self.result
    }
}

fn side_of(payment: &ExportedPayment) -> Side {
    Side {
        amount: payment.received.get(),
        refunded: payment.refunded.map(Amount::get),
        currency: payment.currency.as_str().to_owned(),
        refund_due: None,
    }
}

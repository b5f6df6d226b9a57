//! The words of an order's history: one sentence for each event, for operators. The route of the history and
//! `firstcome explain` have the same.

use serde_json::Value;

use crate::read::history::HistoryRow;
use crate::types::{Amount, Currency, NotKeptReason, money};

/// Returns what an event did, in words. `currency` is that of the order's drop.
#[must_use]
pub fn sentence(row: &HistoryRow, currency: Currency) -> String {
    let told = EventDetail::of(row, currency);
    let units = told.units();
    let said = match &*row.kind {
        "order_reserved" if told.is_of_line() => {
            format!("{units} came back, and the buyer was the next in line{}", told.risk())
        }
        "order_reserved" => match told.detail["ticket"].as_u64() {
            Some(ticket) => {
                format!("recorded as no. {ticket} in the blind window, drawn, and {units} reserved{}", told.risk())
            }
            None => format!("the buyer reserved {units}{}", told.risk()),
        },
        "auction_awarded" => format!("the auction awarded {units} to the buyer"),
        "order_checked_out" => "the buyer gave a contact, and the order awaits its payment".into(),
        "contact_corrected" => "the buyer corrected the contact".into(),
        "contact_read" => "an operator read the contact".into(),
        "contact_erased" => "the contact was erased".into(),
        "order_cancelled" if told.text("by") == "operator" => {
            format!("an operator cancelled the order, and {units} came back")
        }
        "order_cancelled" => format!("the buyer cancelled the order, and {units} came back"),
        "order_expired" => format!("the time to pay ran out, and {units} came back"),
        "order_paid" => format!("{} came in{}: {units} sold", told.amount(), told.by_payment()),
        "order_retaken" => {
            format!("{} came in late{}: {units} taken again and sold", told.amount(), told.by_payment())
        }
        "payment_not_kept" => {
            format!("{} came in{} and is owed back, because {}", told.amount(), told.by_payment(), told.not_kept())
        }
        "payment_failed" => format!("a payment of {} failed{}", told.amount(), told.by_payment()),
        "order_refunded" => format!("{} was refunded{}", told.amount(), told.restocked()),
        "refund_requested" => format!("{} is to be refunded by its provider{}", told.amount(), told.restocked()),
        "refund_settled" => {
            format!("{} that was owed has gone back{}{}", told.amount(), told.by_payment(), told.transfer())
        }
        "refund_reported" => format!("the provider gave {} back{} without a request", told.amount(), told.by_payment()),
        "refund_failed" => {
            format!("a refund of {} did not reach the buyer{}, and is owed again", told.amount(), told.by_payment())
        }
        "chargeback_created" => format!("the buyer's bank takes {} back{}", told.amount(), told.by_payment()),
        "provider_event_recorded" => match told.text("ignored") {
            "" => format!("{} reported {}", told.text("provider"), told.text("kind")),
            why => format!("{} reported {}, which changed nothing: {why}", told.text("provider"), told.text("kind")),
        },
        "provider_event_deferred" => format!("{} reported {}, which waits", told.text("provider"), told.text("kind")),
        "payment_replaced" => "another payment of the order pays for it from here on".into(),
        "session_recorded" => format!("{} is ready to take the money", told.text("provider")),
        other => other.replace('_', " "),
    };
    match told.text("reason") {
        "" => said,
        reason => format!("{said}; reason: {reason}"),
    }
}

/// Returns the money that an event moved. `currency` is that of the order's drop.
#[must_use]
pub fn money_of(row: &HistoryRow, currency: Currency) -> Option<(Amount, Currency)> {
    EventDetail::of(row, currency).money()
}

/// Returns true if an event is an operator's doing.
#[must_use]
pub fn is_by_operator(row: &HistoryRow, currency: Currency) -> bool {
    EventDetail::of(row, currency).text("by") == "operator"
}

/// The values of an event.
struct EventDetail<'a> {
    row: &'a HistoryRow,
    currency: Currency,
    detail: Value,
}

impl EventDetail<'_> {
    fn of(row: &HistoryRow, currency: Currency) -> EventDetail<'_> {
        let detail = row.detail.as_deref().and_then(|text| serde_json::from_str(text).ok());
        EventDetail { row, currency, detail: detail.unwrap_or_default() }
    }

    fn text(&self, member: &str) -> &str {
        self.detail[member].as_str().unwrap_or("")
    }

    fn units(&self) -> String {
        match self.row.quantity.unwrap_or(0) {
            1 => "1 unit".into(),
            units => format!("{units} units"),
        }
    }

    fn amount(&self) -> String {
        self.money().map_or_else(|| "an amount".into(), |(amount, currency)| money::shown(amount, currency))
    }

    /// The money that moved: a column, or for money that is not the drop's a member of the detail.
    fn money(&self) -> Option<(Amount, Currency)> {
        let column = self.row.amount.and_then(|amount| u64::try_from(amount).ok());
        let minor =
            column.or_else(|| self.detail["amount"].as_u64()).or_else(|| self.detail["foreign_amount"].as_u64());
        let foreign = ["foreign_currency", "currency"].iter().find_map(|member| Currency::new(self.text(member)));
        minor.and_then(Amount::new).map(|amount| (amount, foreign.unwrap_or(self.currency)))
    }

    /// The payment, as its provider names it.
    fn by_payment(&self) -> String {
        match (self.text("provider"), self.text("reference")) {
            ("", _) => String::new(),
            (provider, reference) => format!(" ({provider} {reference})"),
        }
    }

    fn transfer(&self) -> String {
        match self.text("refund_reference") {
            "" => String::new(),
            reference => format!(" by {reference}"),
        }
    }

    fn restocked(&self) -> String {
        match self.row.quantity.unwrap_or(0) {
            0 => String::new(),
            _ => format!(", and {} went on sale again", self.units()),
        }
    }

    /// Returns whether the order came from the line behind its drop.
    fn is_of_line(&self) -> bool {
        self.detail["standby"] == true
    }

    fn risk(&self) -> String {
        match self.detail["risk"]["score"].as_u64() {
            Some(score) => format!(" at a risk score of {score}"),
            None => String::new(),
        }
    }

    fn not_kept(&self) -> &str {
        let why = self.text("why");
        match NotKeptReason::ALL.into_iter().find(|reason| reason.as_str() == why) {
            Some(reason) => words_of(reason),
            None => why,
        }
    }
}

const fn words_of(reason: NotKeptReason) -> &'static str {
    match reason {
        NotKeptReason::Differs => "it is not what the order costs",
        NotKeptReason::PaidBefore => "the order was paid before",
        NotKeptReason::Cancelled => "the order was cancelled before",
        NotKeptReason::DropClosed => "the drop was closed before",
        NotKeptReason::LimitReached => "the buyer has reached the limit meanwhile",
        NotKeptReason::SoldOut => "the units were sold to others meanwhile",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Seq, UnixMillis};

    fn said(kind: &str, quantity: Option<i64>, amount: Option<i64>, detail: &str) -> String {
        let (kind, detail) = (kind.into(), Some(detail.into()));
        let row = HistoryRow { seq: Seq::ZERO, at: UnixMillis::ZERO, kind, quantity, amount, detail };
        sentence(&row, Currency::new("EUR").expect("a currency"))
    }

    #[test]
    fn events_are_told_with_their_units_amounts_and_reasons() {
        assert_eq!(said("order_reserved", Some(2), None, "{}"), "the buyer reserved 2 units");
        assert_eq!(
            said("order_reserved", Some(1), None, r#"{"joined_seq":5,"ticket":7}"#),
            "recorded as no. 7 in the blind window, drawn, and 1 unit reserved"
        );
        assert_eq!(
            said("order_cancelled", Some(1), None, r#"{"by":"operator","reason":"a mistake"}"#),
            "an operator cancelled the order, and 1 unit came back; reason: a mistake"
        );
        assert_eq!(
            said("order_paid", Some(2), Some(9980), r#"{"provider":"manual","reference":"BANK-1"}"#),
            "99.80 EUR came in (manual BANK-1): 2 units sold"
        );
        assert_eq!(said("order_refunded", Some(0), Some(1000), "{}"), "10.00 EUR was refunded");
        assert_eq!(said("an_event_of_tomorrow", None, None, "no JSON"), "an event of tomorrow");
    }

    #[test]
    fn every_reason_not_to_keep_a_payment_has_words() {
        for why in NotKeptReason::ALL {
            let told = said("payment_not_kept", None, Some(5), &format!(r#"{{"why":"{}"}}"#, why.as_str()));
            assert!(told.contains(" owed back, because the ") || told.contains("because it is not"), "{told}");
        }
    }
}

//! The mails, and the events that they tell of.

/// A mail. Its name is that of its templates: `LANGUAGE/NAME.txt` and `LANGUAGE/NAME.html`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum MailKind {
    /// Units are held for the buyer, who gave a contact; with the link to the payment.
    Reserved,
    /// An order is held for the winner of an auction, or for the next bidder; with the link to the payment.
    Won,
    /// Another buyer's bid took the lead; with what it takes to lead again.
    Outbid,
    /// The auction is over, and this bidder is not awarded.
    Lost,
    Paid,
    Expired,
    Cancelled,
    RefundDue,
    Refunded,
}

/// The types of webhooks whose events become mails.
pub const EVENT_TYPES: [&str; 12] = [
    "order.checked_out",
    "order.paid",
    "order.expired",
    "order.cancelled",
    "order.refunded",
    "payment.not_kept",
    "refund.requested",
    "refund.settled",
    "refund.reported",
    "auction.ended",
    "auction.cancelled",
    "auction.awarded",
];

impl MailKind {
    pub const ALL: [MailKind; 9] = [
        MailKind::Reserved,
        MailKind::Won,
        MailKind::Outbid,
        MailKind::Lost,
        MailKind::Paid,
        MailKind::Expired,
        MailKind::Cancelled,
        MailKind::RefundDue,
        MailKind::Refunded,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            MailKind::Reserved => "reserved",
            MailKind::Won => "won",
            MailKind::Outbid => "outbid",
            MailKind::Lost => "lost",
            MailKind::Paid => "paid",
            MailKind::Expired => "expired",
            MailKind::Cancelled => "cancelled",
            MailKind::RefundDue => "refund-due",
            MailKind::Refunded => "refunded",
        }
    }

    #[must_use]
    pub fn parse(name: &str) -> Option<MailKind> {
        MailKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns the mail that tells of an audit event of this kind. `is_offered` is true for an order that an auction awarded, and
    /// for a reservation that came from a line: no request of the buyer placed them.
    #[must_use]
    pub fn of_event(kind: &str, is_offered: bool) -> Option<MailKind> {
        Some(match kind {
            "order_checked_out" => MailKind::Reserved,
            "order_reserved" if is_offered => MailKind::Reserved,
            "auction_awarded" => MailKind::Won,
            "contact_corrected" if is_offered => MailKind::Won,
            "bid_placed" => MailKind::Outbid,
            "auction_ended" | "auction_cancelled" => MailKind::Lost,
            "order_paid" | "order_retaken" => MailKind::Paid,
            "order_expired" => MailKind::Expired,
            "order_cancelled" => MailKind::Cancelled,
            "payment_not_kept" | "refund_requested" | "refund_failed" => MailKind::RefundDue,
            "order_refunded" | "refund_settled" | "refund_reported" => MailKind::Refunded,
            _ => return None,
        })
    }

    /// Returns whether the mail asks for a payment, and so is of no use once the order no longer awaits one.
    #[must_use]
    pub const fn asks_for_payment(self) -> bool {
        match self {
            MailKind::Reserved | MailKind::Won => true,
            MailKind::Outbid
            | MailKind::Lost
            | MailKind::Paid
            | MailKind::Expired
            | MailKind::Cancelled
            | MailKind::RefundDue
            | MailKind::Refunded => false,
        }
    }

    /// Returns whether the mail is about an auction and no order.
    #[must_use]
    pub const fn is_about_auction(self) -> bool {
        matches!(self, MailKind::Outbid | MailKind::Lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::webhooks::CATALOGUE;

    #[test]
    fn every_kind_of_the_chosen_types_becomes_a_mail_and_no_other_does() {
        for event in &CATALOGUE {
            for kind in event.kinds {
                let mailed = MailKind::of_event(kind, false).is_some();
                assert_eq!(mailed, EVENT_TYPES.contains(&event.name), "{kind}");
            }
        }
        let more = ["bid_placed", "contact_corrected", "order_reserved"];
        assert!(more.iter().all(|kind| MailKind::of_event(kind, true).is_some()));
        assert!(EVENT_TYPES.iter().all(|name| CATALOGUE.iter().any(|event| event.name == *name)));
    }
}

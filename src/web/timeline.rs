//! The history of an order in words for its buyer: one line for each event that matters to them. Operators, their reasons,
//! and the names of payments at their providers are for the shop alone.

use maud::{Markup, html};

use super::{PageFrame, amount, instant};
use crate::types::{Amount, Currency, UnixMillis};

/// An event of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderStep {
    pub at: UnixMillis,
    pub kind: StepKind,
    /// The money that moved.
    pub money: Option<(Amount, Currency)>,
}

/// The kind of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepKind {
    Reserved,
    Awarded,
    CheckedOut,
    Corrected,
    Erased,
    PageReady,
    Paid,
    Retaken,
    NotKept,
    PaymentFailed,
    Cancelled,
    CancelledByShop,
    Expired,
    Refunded,
    RefundRequested,
    RefundFailed,
    Chargeback,
}

impl StepKind {
    /// Every kind.
    pub const ALL: [StepKind; 17] = [
        StepKind::Reserved,
        StepKind::Awarded,
        StepKind::CheckedOut,
        StepKind::Corrected,
        StepKind::Erased,
        StepKind::PageReady,
        StepKind::Paid,
        StepKind::Retaken,
        StepKind::NotKept,
        StepKind::PaymentFailed,
        StepKind::Cancelled,
        StepKind::CancelledByShop,
        StepKind::Expired,
        StepKind::Refunded,
        StepKind::RefundRequested,
        StepKind::RefundFailed,
        StepKind::Chargeback,
    ];

    /// Returns the kind of an event by its name in the audit. None for what only the shop has to know, and for events that a
    /// later version has made.
    #[must_use]
    pub fn of(name: &str, is_by_operator: bool) -> Option<StepKind> {
        Some(match name {
            "order_reserved" => StepKind::Reserved,
            "auction_awarded" => StepKind::Awarded,
            "order_checked_out" => StepKind::CheckedOut,
            "contact_corrected" => StepKind::Corrected,
            "contact_erased" => StepKind::Erased,
            "session_recorded" => StepKind::PageReady,
            "order_paid" => StepKind::Paid,
            "order_retaken" => StepKind::Retaken,
            "payment_not_kept" => StepKind::NotKept,
            "payment_failed" => StepKind::PaymentFailed,
            "order_cancelled" if is_by_operator => StepKind::CancelledByShop,
            "order_cancelled" => StepKind::Cancelled,
            "order_expired" => StepKind::Expired,
            "order_refunded" | "refund_settled" | "refund_reported" => StepKind::Refunded,
            "refund_requested" => StepKind::RefundRequested,
            "refund_failed" => StepKind::RefundFailed,
            "chargeback_created" => StepKind::Chargeback,
            _ => return None,
        })
    }

    /// Returns the key of its words, and the tone of its dot.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            StepKind::Reserved => ("step.reserved", ""),
            StepKind::Awarded => ("step.awarded", "good"),
            StepKind::CheckedOut => ("step.checked_out", ""),
            StepKind::Corrected => ("step.corrected", ""),
            StepKind::Erased => ("step.erased", ""),
            StepKind::PageReady => ("step.page_ready", ""),
            StepKind::Paid => ("step.paid", "good"),
            StepKind::Retaken => ("step.retaken", "good"),
            StepKind::NotKept => ("step.not_kept", "warn"),
            StepKind::PaymentFailed => ("step.payment_failed", "warn"),
            StepKind::Cancelled => ("step.cancelled", "bad"),
            StepKind::CancelledByShop => ("step.cancelled_by_shop", "bad"),
            StepKind::Expired => ("step.expired", "bad"),
            StepKind::Refunded => ("step.refunded", "good"),
            StepKind::RefundRequested => ("step.refund_requested", "warn"),
            StepKind::RefundFailed => ("step.refund_failed", "warn"),
            StepKind::Chargeback => ("step.chargeback", "warn"),
        }
    }
}

/// Renders the events, oldest first, and at the end what comes next if it is known.
pub(super) fn timeline(frame: &PageFrame<'_>, steps: &[OrderStep], next: Option<UnixMillis>) -> Markup {
    html! {
        ol.steps {
            @for step in steps { (line(frame, step)) }
            @if let Some(at) = next {
                li.next { span { (frame.text("step.next")) } (instant(at)) }
            }
        }
    }
}

fn line(frame: &PageFrame<'_>, step: &OrderStep) -> Markup {
    let (key, tone) = step.kind.words();
    let money = match step.money {
        Some((minor, currency)) => amount(frame, minor, currency),
        None => html! { (frame.text("step.some_amount")) },
    };
    html! { li class=(tone) { span { (frame.language.filled_with(key, &[("amount", money)])) } (instant(step.at)) } }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::web::words::Language;

    fn frame(language: &str) -> PageFrame<'static> {
        PageFrame {
            language: Language::of("", language),
            path: "/",
            shop_name: "Shop",
            has_shop: true,
            is_demo: true,
            needs_token: false,
            login_url: "",
            now: UnixMillis::ZERO,
        }
    }

    #[test]
    fn every_kind_has_its_own_words_in_every_language_with_amounts_as_it_writes_them() {
        let money = Amount::new(1_234_500).zip(Currency::new("KWD"));
        for language in Language::tags() {
            let lines: BTreeSet<_> = StepKind::ALL
                .map(|kind| timeline(&frame(language), &[OrderStep { at: UnixMillis::ZERO, kind, money }], None))
                .map(Markup::into_string)
                .into();
            assert_eq!(lines.len(), StepKind::ALL.len(), "{language}");
            assert!(lines.iter().all(|line| !line.contains("step.") && line.contains("1970-01-01 00:00 UTC")));
            let written = if language == "vi" { ">1.234,500 KWD<" } else { ">1,234.500 KWD<" };
            assert!(lines.iter().filter(|line| line.contains(written)).count() == 8, "{lines:?}");
        }
    }

    #[test]
    fn what_only_the_shop_has_to_know_is_no_step() {
        for name in ["contact_read", "provider_event_recorded", "provider_event_deferred", "payment_replaced", "new"] {
            assert_eq!(StepKind::of(name, false), None, "{name}");
        }
        assert_eq!(StepKind::of("order_cancelled", true), Some(StepKind::CancelledByShop));
        let step = OrderStep { at: UnixMillis::ZERO, kind: StepKind::PaymentFailed, money: None };
        let shown = timeline(&frame("en"), &[step], Some(UnixMillis::ZERO)).into_string();
        assert!(shown.contains("A payment of an amount failed") && shown.contains("class=\"next\""), "{shown}");
    }
}

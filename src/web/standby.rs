//! Standing by for a drop that is sold out: the part of its page that scripts show, and the page of a buyer's place for browsers
//! without them.

use maud::{Markup, html};

use super::shop::Offer;
use super::words::counted;
use super::{PageFrame, instant, page, page_that_loads_again};
use crate::types::{DropId, DropState, UnixMillis};

/// The seconds after which the page of a place loads again.
const REFRESH_SECONDS: u32 = 10;

/// A buyer's place in the line.
#[derive(Clone, Copy, Debug)]
pub struct LinePlace<'a> {
    pub drop_id: DropId,
    pub drop_name: &'a str,
    pub buyer: &'a str,
    pub quantity: u32,
    /// The first in the line has 1.
    pub position: u32,
    pub held: u32,
    pub next_expiry_at: Option<UnixMillis>,
}

/// An order that the blind window of its drop has recorded.
#[derive(Clone, Copy, Debug)]
pub struct RecordedPlace<'a> {
    pub drop_id: DropId,
    pub drop_name: &'a str,
    pub buyer: &'a str,
    /// The number of the order, from 1 in the order of arrival.
    pub ticket: u32,
    /// The end of the window.
    pub decided_at: UnixMillis,
    pub is_paused: bool,
}

/// The reason for which a recorded order, or a place in the line, became no order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MissedDraw {
    SoldOut,
    Limit,
    /// The buyer took it back.
    TakenBack,
    /// A limit ended a place in the line of a drop that was sold out.
    LineLimit,
}

/// Returns how many stand by.
pub(super) fn count(frame: &PageFrame<'_>, n: u32) -> String {
    let key = counted(n, "standby.count.one", "standby.count.other");
    frame.language.filled(key, &[("n", &frame.language.count(n))])
}

/// Renders the page of a place.
#[must_use]
pub fn place(frame: &PageFrame<'_>, place: &LinePlace<'_>) -> String {
    let language = frame.language;
    let count = |n: u32| language.count(n);
    let text = match (place.held, place.quantity) {
        (0, _) => "standby.text_none",
        (_, quantity) => counted(quantity, "standby.text.one", "standby.text.other"),
    };
    let held = counted(place.held, "standby.held.one", "standby.held.other");
    let body = html! {
        section.card.narrow {
            span.chip.accent { (frame.text("standby.chip")) }
            h1 { (language.filled("standby.place", &[("n", &count(place.position))])) }
            p dir="auto" { (place.drop_name) }
            p.row.small {
                span { b.num { (count(place.position.saturating_sub(1))) } " " (frame.text("room.ahead")) }
                span.soft.num { (language.filled(held, &[("n", &count(place.held))])) }
            }
            @if let Some(at) = place.next_expiry_at { p.small { (language.filled_with("page.next_return", &[("at", instant(at))])) } }
            p { (language.filled(text, &[("n", &count(place.quantity))])) }
            p.small.soft { (frame.text("standby.keep_page")) }
            form method="post" action=(language.path(&format!("/drops/{}/standby/leave", place.drop_id))) {
                input type="hidden" name="buyer" value=(place.buyer);
                button.button.ghost.wide { (frame.text("standby.leave")) }
            }
            a.button.ghost.wide href=(language.path(&format!("/drops/{}", place.drop_id))) { (frame.text("page.back_drop")) }
        }
    };
    page_that_loads_again(frame, frame.text("standby.chip"), None, Some(REFRESH_SECONDS), &body)
}

/// Renders the page of a recorded order. It loads again at the end of the window, and then until the order is decided.
#[must_use]
pub fn recorded(frame: &PageFrame<'_>, place: &RecordedPlace<'_>) -> String {
    let language = frame.language;
    let is_open = frame.now < place.decided_at;
    let seconds = u32::try_from(place.decided_at.since(frame.now).div_ceil(1000)).unwrap_or(REFRESH_SECONDS);
    let title = language.filled("blind.title", &[("n", &language.count(place.ticket))]);
    let next = if place.is_paused { "blind.paused" } else { "blind.soon" };
    let body = html! {
        section.card.narrow {
            span.chip.accent { (frame.text("blind.chip")) }
            h1 { (title) }
            p dir="auto" { (place.drop_name) }
            @if is_open && !place.is_paused { p.row.small { span.soft { (frame.text("blind.at")) } b { (instant(place.decided_at)) } } }
            @else { p.note { (frame.text(next)) } }
            p { (frame.text("blind.text")) }
            p.small.soft { (frame.text("blind.keep_page")) }
            form method="post" action=(language.path(&format!("/drops/{}/standby/leave", place.drop_id))) {
                input type="hidden" name="buyer" value=(place.buyer);
                button.button.ghost.wide { (frame.text("blind.leave")) }
            }
            a.button.ghost.wide href=(language.path(&format!("/drops/{}", place.drop_id))) { (frame.text("page.back_drop")) }
        }
    };
    page_that_loads_again(frame, frame.text("blind.chip"), None, Some(seconds.clamp(2, REFRESH_SECONDS)), &body)
}

/// Renders the page of a recorded order that became none.
#[must_use]
pub fn missed(frame: &PageFrame<'_>, drop_id: DropId, drop_name: &str, missed: MissedDraw) -> String {
    let (title, text) = match missed {
        MissedDraw::SoldOut => ("blind.missed", "blind.missed_text"),
        MissedDraw::Limit => ("blind.missed", "blind.limit_text"),
        MissedDraw::TakenBack => ("blind.left", "blind.left_text"),
        MissedDraw::LineLimit => ("standby.left", "blind.limit_text"),
    };
    let chip = if missed == MissedDraw::LineLimit { "standby.chip" } else { "blind.decided" };
    let body = html! {
        section.card.narrow {
            span.chip { (frame.text(chip)) }
            h1 { (frame.text(title)) }
            p dir="auto" { (drop_name) }
            p { (frame.text(text)) }
            a.button.wide href=(frame.language.path(&format!("/drops/{drop_id}"))) { (frame.text("page.back_drop")) }
        }
    };
    page(frame, frame.text(title), None, &body)
}

/// The rule of a blind window, as long as it may come or runs.
pub(super) fn blind_rule(frame: &PageFrame<'_>, offer: &Offer) -> Markup {
    let ends_at = offer.starts_at.plus_millis(i64::from(offer.blind_ms));
    let is_ahead = frame.now < ends_at && offer.state != DropState::Ended;
    let tenths = offer.blind_ms.div_ceil(100);
    let seconds =
        if tenths.is_multiple_of(10) { (tenths / 10).to_string() } else { format!("{}.{}", tenths / 10, tenths % 10) };
    let key = if tenths == 10 { "blind.rule.one" } else { "blind.rule.other" };
    html! {
        p.note hidden[!is_ahead] x-bind:hidden="noBlindRule" { (frame.language.filled(key, &[("n", &seconds)])) }
    }
}

/// The draw of a blind window and its proof, which the script reads when a reader opens it.
pub(super) fn blind_proof(frame: &PageFrame<'_>) -> Markup {
    html! {
        details.proof x-cloak x-show="hasBlindProof" x-on:toggle="lookAtBlindDraw" {
            summary { (frame.text("draw.title")) }
            ol.steps {
                template x-for="step in blindProof" { li x-bind:class="step.tone" { span x-text="step.text" {} code.mono x-show="step.value" x-text="step.value" {} } }
            }
            p.small.soft x-bind:hidden="isBlindCancelled" { (frame.text("draw.check")) }
            p x-bind:hidden="isBlindCancelled" { code.mono.command x-text="blindCommand" {} }
            p.small { a x-bind:href="blindProofLink" { (frame.text("draw.data")) } }
        }
    }
}

/// The part of a drop's page that the script shows while the buyer's order is recorded.
pub(super) fn recorded_scripted(frame: &PageFrame<'_>) -> Markup {
    html! {
        section.card.line aria-label=(frame.text("blind.chip")) x-cloak x-show="isRecorded" {
            span.chip.accent { (frame.text("blind.chip")) }
            h2 aria-live="polite" x-text="recordedTitle" {}
            div x-show="hasRecordedClock" {
                p.small.soft { (frame.text("blind.wait")) }
                p.clock.num role="timer" aria-label=(frame.text("blind.wait")) x-text="recordedClock" {}
            }
            p.note.small x-show="hasRecordedNote" x-text="recordedNote" {}
            p.soft.small x-text="recordedText" {}
            button.button.ghost type="button" x-on:click="leaveLine" x-bind:disabled="isLeaving" { (frame.text("blind.leave")) }
        }
    }
}

/// The part of a drop's page that the script shows to a buyer who stands by.
pub(super) fn scripted(frame: &PageFrame<'_>) -> Markup {
    html! {
        section.card.line aria-label=(frame.text("standby.chip")) x-cloak x-show="standsBy" {
            span.chip.accent { (frame.text("standby.chip")) }
            h2 aria-live="polite" x-text="lineTitle" {}
            div.tight {
                p.row.small {
                    span { b.num x-text="lineAhead" {} " " (frame.text("room.ahead")) }
                    span.soft.num x-text="lineHeld" {}
                }
                p.small.num x-show="hasLineNext" { (frame.text("drop.next_return")) " " b x-text="lineNext" {} }
            }
            p.soft.small x-text="lineText" {}
            button.button.ghost type="button" x-on:click="leaveLine" x-bind:disabled="isLeaving" { (frame.text("standby.leave")) }
        }
    }
}

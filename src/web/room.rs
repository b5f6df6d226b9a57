//! The waiting room on the page of a drop, as browsers without scripts see it: what is going on, the buyer's place, and the form
//! that takes a ticket. The script shows its own part in its stead.

use maud::{Markup, html};

use super::words::counted;
use super::{PageFrame, instant};
use crate::types::{RoomClaims, RoomState, UnixMillis};

/// A waiting room as buyers see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitingRoom {
    pub state: RoomState,
    pub opens_at: UnixMillis,
    pub starts_at: UnixMillis,
    pub order_seconds: u32,
    /// True if a draw gives the positions, else the order of arrival.
    pub is_drawn: bool,
    pub tickets: u32,
    /// Tickets at positions below it have been admitted.
    pub serving: u32,
    /// The first position whose time to order had not passed at the last admission.
    pub window_from: u32,
    /// Units that are left, and units in orders that are not paid: those may come back.
    pub available: u32,
    pub held: u32,
    /// Buyers who come before those who wait.
    pub claims: RoomClaims,
    pub is_paused: bool,
}

/// A ticket that the page's address names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldPlace {
    pub buyer: String,
    pub number: u32,
    /// Missing until it is known.
    pub position: Option<u32>,
}

/// The stage at which a buyer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum BuyerStage {
    /// No ticket is taken yet.
    Closed,
    /// Tickets are taken, and the start has not come.
    Gathering,
    /// The start has come, and the places are being drawn.
    Drawing,
    /// Buyers are admitted; the buyer has no ticket.
    Queue,
    /// The buyer has a ticket whose position the page's address does not have.
    Unknown,
    Waiting {
        ahead: u32,
    },
    Admitted,
    /// The time to order has passed.
    Passed,
    /// Every unit is sold.
    SoldOut,
    Over,
}

impl BuyerStage {
    /// Returns whether the page of a buyer at this stage has the form that takes a ticket.
    fn takes_tickets(self, place: Option<&HeldPlace>) -> bool {
        match self {
            BuyerStage::Gathering | BuyerStage::Drawing => place.is_none(),
            BuyerStage::Queue => true,
            BuyerStage::Closed
            | BuyerStage::Unknown
            | BuyerStage::Waiting { .. }
            | BuyerStage::Admitted
            | BuyerStage::Passed
            | BuyerStage::SoldOut
            | BuyerStage::Over => false,
        }
    }
}

impl WaitingRoom {
    fn stage(&self, place: Option<&HeldPlace>) -> BuyerStage {
        match self.state {
            RoomState::Closed => BuyerStage::Closed,
            RoomState::Gathering => BuyerStage::Gathering,
            RoomState::Drawing => BuyerStage::Drawing,
            RoomState::Over => BuyerStage::Over,
            RoomState::Serving => match place.map(|place| place.position) {
                Some(Some(position)) if position < self.window_from => BuyerStage::Passed,
                _ if self.available == 0 && self.held == 0 => BuyerStage::SoldOut,
                Some(Some(position)) if position < self.serving => BuyerStage::Admitted,
                Some(Some(position)) => BuyerStage::Waiting { ahead: position - self.serving },
                Some(None) => BuyerStage::Unknown,
                None => BuyerStage::Queue,
            },
        }
    }

    /// Returns whether an order of this buyer can succeed.
    #[must_use]
    pub fn admits(&self, place: Option<&HeldPlace>) -> bool {
        match self.stage(place) {
            BuyerStage::Admitted => true,
            // Every ticket has been admitted: what is left is for those who were late, too.
            BuyerStage::Passed => self.serving >= self.tickets && self.available > 0,
            BuyerStage::Closed
            | BuyerStage::Gathering
            | BuyerStage::Drawing
            | BuyerStage::Queue
            | BuyerStage::Unknown
            | BuyerStage::Waiting { .. }
            | BuyerStage::SoldOut
            | BuyerStage::Over => false,
        }
    }

    /// Returns the seconds after which a page without scripts asks again, if something can change.
    pub(super) fn refresh_seconds(&self, place: Option<&HeldPlace>, now: UnixMillis) -> Option<u32> {
        let until = |at: UnixMillis, most: u64| u32::try_from((at.since(now) / 1000).clamp(5, most)).unwrap_or(60);
        let stage = self.stage(place);
        // A reader who types into the form of a ticket or of an order is not interrupted.
        if stage.takes_tickets(place) {
            return None;
        }
        match stage {
            BuyerStage::Closed => Some(until(self.opens_at, 60)),
            BuyerStage::Gathering => Some(until(self.starts_at, 60)),
            BuyerStage::Drawing => Some(10),
            BuyerStage::Queue | BuyerStage::Unknown => Some(30),
            BuyerStage::Admitted | BuyerStage::Passed | BuyerStage::SoldOut | BuyerStage::Over => None,
            BuyerStage::Waiting { ahead } => Some(if ahead < 100 { 5 } else { 15 }),
        }
    }
}

/// Returns a time such as `2:00`.
fn clock(seconds: u32) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// Returns the room's part of a page.
pub(super) fn card(frame: &PageFrame<'_>, room: &WaitingRoom, place: Option<&HeldPlace>, path: &str) -> Markup {
    let language = frame.language;
    let text = |key| html! { p { (frame.text(key)) } };
    let rule = if room.is_drawn { "room.rule_random" } else { "room.rule_arrival" };
    let holders = html! {
        p.small { b.num data-count=(room.tickets) { (language.count(room.tickets)) } " " (frame.text(counted(room.tickets, "room.tickets.one", "room.tickets.other"))) }
    };
    let stage = room.stage(place);
    let body = match stage {
        BuyerStage::Over => return html! {},
        BuyerStage::Closed => html! {
            h2 { (language.filled_with("room.opens_at", &[("at", instant(room.opens_at))])) }
            (text(rule))
        },
        BuyerStage::Gathering => html! {
            h2 {
                @match place {
                    Some(place) => { (language.filled("room.number", &[("n", &language.count(place.number))])) }
                    None => { (frame.text("room.open")) }
                }
            }
            (holders)
            (text(rule))
            @if place.is_some() { (text("room.keep_page")) }
            (draw_at(frame, room))
        },
        BuyerStage::Drawing => html! {
            h2 { (frame.text("room.drawing")) }
            (holders)
            @match place {
                Some(place) => {
                    p { b { (language.filled("room.number", &[("n", &language.count(place.number))])) } }
                    (text("room.drawing_text"))
                    (text("room.keep_page"))
                }
                None => { (text("room.drawing_late")) }
            }
        },
        BuyerStage::Queue => html! {
            h2 { (frame.text("room.line")) }
            p {
                @let ahead = room.tickets.saturating_sub(room.serving);
                (language.filled(counted(ahead, "room.line_text.one", "room.line_text.other"), &[("n", &language.count(ahead))]))
            }
        },
        BuyerStage::Unknown => html! {
            h2 { (frame.text("room.drawn")) }
            form method="post" action=(language.path(&format!("{path}/ticket"))) {
                @if let Some(place) = place { input type="hidden" name="buyer" value=(place.buyer); }
                button.button.wide { (frame.text("room.show_place")) }
            }
        },
        BuyerStage::Waiting { ahead } => html! {
            @if let Some(position) = place.and_then(|place| place.position) {
                h2 { (language.filled("room.place", &[("n", &language.count(position.saturating_add(1)))])) }
            }
            p { b.num { (language.count(ahead)) } " " (frame.text("room.ahead")) }
            @let units = room.claims.leave(room.available, room.held);
            @if ahead >= units {
                p.note.warn { (language.filled(counted(units, "room.short_text.one", "room.short_text.other"), &[("n", &language.count(units))])) }
            }
            p.small.soft { (language.filled("room.waiting_text", &[("time", &clock(room.order_seconds))])) " " (frame.text("room.keep_page")) }
        },
        BuyerStage::Admitted => html! {
            h2 { (frame.text("room.turn")) }
            @if room.is_paused { (text("room.turn_paused")) }
            @else if room.available == 0 { (text("room.turn_none")) }
            @else { p { (language.filled("room.turn_time", &[("time", &clock(room.order_seconds))])) } }
        },
        BuyerStage::Passed => html! { h2 { (frame.text("room.passed")) } (text("room.passed_text")) },
        BuyerStage::SoldOut => html! { h2 { (frame.text("room.none")) } (text("room.none_text")) },
    };
    html! {
        section.card.plain-room aria-label=(frame.text("room.chip")) {
            span.chip.accent { (frame.text("room.chip")) }
            (body)
            @if stage.takes_tickets(place) {
                (take_form(frame, path))
                p.small { a href=(language.path(path)) { (frame.text("room.look_again")) } }
            }
            @if room.is_paused { p.note.warn { (frame.text("room.paused_text")) } }
        }
    }
}

fn draw_at(frame: &PageFrame<'_>, room: &WaitingRoom) -> Markup {
    html! { p.small.soft { (frame.text("clock.starts_at")) " " (instant(room.starts_at)) } }
}

/// The form that takes a ticket, or finds the one that the buyer has.
fn take_form(frame: &PageFrame<'_>, path: &str) -> Markup {
    html! {
        form.stack method="post" action=(frame.language.path(&format!("{path}/ticket"))) {
            @if frame.needs_token { p.note.warn { (frame.text("drop.need_script")) } }
            @else {
                label.field { (frame.text("drop.buyer")) input name="buyer" maxlength="40" autocomplete="username" required; }
                button.button.wide { (frame.text("room.take")) }
            }
        }
    }
}

/// The part that the script shows: what the room and the buyer's ticket are now.
pub(super) fn scripted(frame: &PageFrame<'_>) -> Markup {
    html! {
        section.card.room aria-label=(frame.text("room.chip")) x-cloak x-show="hasRoom" {
            span x-bind:class="roomChip" x-text="roomWord" {}
            h2 aria-live="polite" x-text="roomTitle" {}
            div x-show="hasRoomClock" {
                p.small.soft id="room-clock" x-text="roomClockLabel" {}
                p.clock.num role="timer" aria-labelledby="room-clock" x-text="roomClock" {}
            }
            div.tight x-show="hasPlace" {
                p.row.small {
                    span { b.num x-text="roomAhead" {} " " span x-text="roomAheadWord" {} }
                    span.soft.num x-text="roomEstimate" {}
                }
                div.bar aria-hidden="true" { span data-bar="room" {} }
            }
            p x-show="hasRoomCount" { b.num x-text="roomCount" {} " " span x-text="roomCountWord" {} }
            p.soft.small x-show="hasRoomText" x-text="roomText" {}
            p.note.warn.small x-show="hasRoomNote" x-text="roomNote" {}
            div.buy-row x-show="canTake" {
                button.button.wide type="button" x-on:click="takeTicket" x-bind:disabled="isTaking" x-text="takeText" {}
            }
            details.proof x-show="hasProof" x-on:toggle="lookAtDraw" {
                summary { (frame.text("draw.title")) }
                ol.steps {
                    template x-for="step in proof" { li x-bind:class="step.tone" { span x-text="step.text" {} code.mono x-show="step.value" x-text="step.value" {} } }
                }
                p.small.soft x-bind:hidden="isCancelled" { (frame.text("draw.check")) }
                p x-bind:hidden="isCancelled" { code.mono.command x-text="proofCommand" {} }
                p.small { a x-bind:href="proofLink" { (frame.text("draw.data")) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(state: RoomState) -> WaitingRoom {
        WaitingRoom {
            state,
            opens_at: UnixMillis::ZERO,
            starts_at: UnixMillis::ZERO,
            order_seconds: 120,
            is_drawn: false,
            tickets: 100,
            serving: 20,
            window_from: 10,
            available: 5,
            held: 3,
            claims: RoomClaims::default(),
            is_paused: false,
        }
    }

    fn place(position: Option<u32>) -> HeldPlace {
        HeldPlace { buyer: "ann".into(), number: 1, position }
    }

    #[test]
    fn a_buyer_s_stage_follows_from_the_room_and_the_position() {
        let serving = room(RoomState::Serving);
        let at = |position| serving.stage(Some(&place(Some(position))));
        assert_eq!([at(9), at(10), at(19)], [BuyerStage::Passed, BuyerStage::Admitted, BuyerStage::Admitted]);
        assert_eq!([at(20), at(99)], [BuyerStage::Waiting { ahead: 0 }, BuyerStage::Waiting { ahead: 79 }]);
        assert_eq!((serving.stage(None), serving.stage(Some(&place(None)))), (BuyerStage::Queue, BuyerStage::Unknown));
        let sold = WaitingRoom { available: 0, held: 0, ..serving };
        assert_eq!(sold.stage(None), BuyerStage::SoldOut);
        assert_eq!(sold.stage(Some(&place(Some(9)))), BuyerStage::Passed);
        for (state, stage) in [
            (RoomState::Closed, BuyerStage::Closed),
            (RoomState::Gathering, BuyerStage::Gathering),
            (RoomState::Drawing, BuyerStage::Drawing),
            (RoomState::Over, BuyerStage::Over),
        ] {
            assert_eq!(room(state).stage(Some(&place(Some(0)))), stage);
        }
    }

    #[test]
    fn a_page_does_not_load_again_under_a_reader_who_types_a_name() {
        let now = UnixMillis::ZERO;
        let known = place(Some(50));
        for state in RoomState::ALL {
            for held in [None, Some(&place(None)), Some(&known)] {
                let room = room(state);
                let reloads = room.refresh_seconds(held, now).is_some();
                assert!(!(reloads && room.stage(held).takes_tickets(held)), "{state:?} {held:?}");
            }
            let takes = [RoomState::Gathering, RoomState::Drawing, RoomState::Serving].contains(&state);
            assert_eq!(room(state).stage(None).takes_tickets(None), takes, "{state:?}");
        }
        let waiting = |state| room(state).refresh_seconds(Some(&place(None)), now).is_some();
        assert!(waiting(RoomState::Gathering) && waiting(RoomState::Drawing), "who has a ticket sees what changes");
    }
}

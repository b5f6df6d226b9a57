//! The page of an auction.

use maud::{Markup, html};

use super::{PageFrame, amount, instant, page};
use crate::types::{Amount, AuctionId, AuctionState, Currency, UnixMillis, money};

/// An auction as buyers see it.
#[derive(Clone, Debug)]
pub struct Lot {
    pub id: AuctionId,
    pub name: String,
    pub currency: Currency,
    pub state: AuctionState,
    /// The price; before the first bid the start price.
    pub price: Amount,
    pub minimum_next: Amount,
    pub bids: u32,
    pub reserve_met: bool,
    pub starts_at: UnixMillis,
    pub ends_at: UnixMillis,
}

impl Lot {
    fn path(&self) -> String {
        format!("/auctions/{}", self.id)
    }

    fn next_change(&self) -> UnixMillis {
        if self.state == AuctionState::Scheduled { self.starts_at } else { self.ends_at }
    }
}

fn word_of(state: AuctionState) -> (&'static str, &'static str) {
    match state {
        AuctionState::Scheduled => ("state.scheduled", "accent"),
        AuctionState::Live => ("state.live", "good"),
        AuctionState::Ended(_) => ("state.ended", ""),
        AuctionState::Cancelled => ("state.cancelled", ""),
    }
}

fn price_label(lot: &Lot) -> &'static str {
    if lot.bids == 0 { "auction.start" } else { "auction.current" }
}

pub(super) fn tile(frame: &PageFrame<'_>, lot: &Lot) -> Markup {
    let (word, tone) = word_of(lot.state);
    html! {
        article.tile aria-label=(lot.name) {
            div.picture.lot { span aria-hidden="true" { (lot.name.chars().next().unwrap_or(' ')) } }
            div.tight {
                span class={ "chip " (tone) } { (frame.text("shop.auctions")) " · " (frame.text(word)) }
                h2 dir="auto" { a href=(frame.language.path(&lot.path())) { (lot.name) } }
                p.row {
                    b { (amount(frame, lot.price, lot.currency)) }
                    span.soft.small { (frame.text(price_label(lot))) }
                }
            }
        }
    }
}

/// Renders the page of an auction.
#[must_use]
pub fn auction(frame: &PageFrame<'_>, lot: &Lot) -> String {
    let (word, tone) = word_of(lot.state);
    let is_open = matches!(lot.state, AuctionState::Scheduled | AuctionState::Live);
    let body = html! {
        section.drop x-data="auction" data-auction=(lot.id) data-currency=(lot.currency.as_str())
            data-digits=(money::digits_of(lot.currency)) data-state=(lot.state.as_str()) data-price=(lot.price.get())
            data-minimum=(lot.minimum_next.get()) data-bids=(lot.bids) data-starts=(lot.starts_at.get()) data-ends=(lot.ends_at.get())
        {
            div.picture.lot { span aria-hidden="true" { (lot.name.chars().next().unwrap_or(' ')) } }
            div.stack {
                p.row.start {
                    span class={ "chip " (tone) } x-bind:class="chip" x-text="word" { (frame.text(word)) }
                    span.small.soft {
                        span x-text="clockLabel" { (frame.text(if lot.state == AuctionState::Scheduled { "clock.starts_at" } else { "clock.ends_at" })) }
                        " " b.num.ink x-text="clock" { (instant(lot.next_change())) }
                    }
                }
                h1 dir="auto" { (lot.name) }
                div {
                    p.soft.small x-text="priceLabel" { (frame.text(price_label(lot))) }
                    p.clock.num x-text="priceText" { (amount(frame, lot.price, lot.currency)) }
                }
                p.row.start.small {
                    span.num x-text="bidsText" { (frame.language.filled("auction.bids.other", &[("n", &lot.bids.to_string())])) }
                    span.soft x-text="reserveText" { (frame.text(if lot.reserve_met { "auction.reserve_met" } else { "auction.reserve_open" })) }
                }
                p.chip x-cloak x-show="hasStanding" x-bind:class="standingTone" x-text="standingText" {}
                (super::shop::notice_area(frame, None))
                @if is_open { (form(frame, lot)) }
            }
        }
    };
    page(frame, &lot.name, Some(lot.state.as_str()), &body)
}

fn form(frame: &PageFrame<'_>, lot: &Lot) -> Markup {
    html! {
        noscript { p.note.warn { (frame.text("auction.need_script")) } }
        form.card x-cloak x-show="isOpen" x-on:submit="bid" {
            p.row { span { (frame.text("auction.next")) } b.num x-text="minimumText" { (amount(frame, lot.minimum_next, lot.currency)) } }
            label.field {
                span { (frame.text("auction.amount")) " (" (lot.currency.as_str()) ")" }
                input name="amount" inputmode="decimal" autocomplete="off" required x-ref="amount" x-bind:placeholder="minimumPlain";
            }
            label.field {
                span { (frame.text("auction.maximum")) " (" (frame.text("order.optional")) ")" }
                input name="maximum" inputmode="decimal" autocomplete="off" x-ref="maximum";
                span.soft { (frame.text("auction.maximum_text")) }
            }
            button.button.wide x-bind:disabled="cannotBid" x-text="bidText" { (frame.text("auction.bid")) }
            p.soft.small { (frame.text("auction.soft_close")) }
        }
    }
}

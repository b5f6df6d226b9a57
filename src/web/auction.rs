//! The page of an auction.

use maud::{Markup, html};

use super::{PageFrame, amount, instant, page};
use crate::types::{Amount, AuctionEnding, AuctionId, AuctionState, Currency, UnixMillis, money};

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
    /// The fixed price, while the unit can be bought at once.
    pub buy_now: Option<Amount>,
    pub bids: u32,
    pub reserve_met: bool,
    pub starts_at: UnixMillis,
    pub ends_at: UnixMillis,
    /// A bid in the last seconds of an auction moves its end that far away; 0 if none does.
    pub soft_close_seconds: u32,
}

/// The parts of an auction's page besides the auction.
#[derive(Clone, Copy, Debug)]
pub struct Bidding<'a> {
    /// The idempotency key of the page's forms, so that two clicks on one page are one bid.
    pub key: &'a str,
    /// The name that the reader typed into a form, or an empty text.
    pub buyer: &'a str,
    /// The result of the form that was sent.
    pub standing: Option<Standing>,
    /// True if the shop writes mails to bidders.
    pub sends_mails: bool,
}

/// The result of a form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    Leading,
    Outbid,
    /// The bid was refused: the price is higher now.
    TooLow,
    /// The purchase was refused: there is a bid.
    NoFixedPrice,
    /// The reader asked for an order, and has none.
    WithoutOrder,
}

impl Standing {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Standing::Leading => ("good", "auction.leading"),
            Standing::Outbid => ("warn", "auction.outbid"),
            Standing::TooLow => ("bad", "problem.bid-too-low"),
            Standing::NoFixedPrice => ("bad", "auction.buy_now_over"),
            Standing::WithoutOrder => ("warn", "auction.no_order"),
        }
    }
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
                span class={ "chip " (tone) } { (frame.text("auction.one")) " · " (frame.text(word)) }
                h2 dir="auto" { a href=(frame.language.path(&lot.path())) { (lot.name) } }
                p { b { (amount(frame, lot.price, lot.currency)) } " " span.soft.small { (frame.text(price_label(lot))) } }
            }
        }
    }
}

/// Returns the key of what a reader should know of an auction that is over.
fn end_text(lot: &Lot) -> Option<&'static str> {
    match lot.state {
        AuctionState::Scheduled | AuctionState::Live => None,
        AuctionState::Ended(AuctionEnding::ReserveNotMet) => Some("auction.ended_reserve"),
        AuctionState::Ended(AuctionEnding::NoBids) => Some("auction.ended_unsold"),
        AuctionState::Ended(AuctionEnding::Sold | AuctionEnding::BoughtNow) => Some("auction.ended_sold"),
        AuctionState::Cancelled => Some("auction.ended_cancelled"),
    }
}

/// Renders the page of an auction.
#[must_use]
pub fn auction(frame: &PageFrame<'_>, lot: &Lot, bidding: &Bidding<'_>) -> String {
    let (word, tone) = word_of(lot.state);
    let is_open = matches!(lot.state, AuctionState::Scheduled | AuctionState::Live);
    let body = html! {
        section.drop x-data="auction" data-auction=(lot.id) data-currency=(lot.currency.as_str())
            data-digits=(money::digits_of(lot.currency)) data-state=(lot.state.as_str()) data-price=(lot.price.get())
            data-minimum=(lot.minimum_next.get()) data-reserve=(lot.reserve_met) data-buy-now=[lot.buy_now.map(Amount::get)] data-bids=(lot.bids) data-starts=(lot.starts_at.get()) data-ends=(lot.ends_at.get())
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
                    span.soft x-text="reserveText" { @if !lot.reserve_met { (frame.text("auction.reserve_open")) } }
                }
                p.chip x-cloak x-show="hasStanding" x-bind:class="standingTone" x-text="standingText" {}
                @if let Some((tone, key)) = bidding.standing.map(Standing::words) {
                    p class={ "note " (tone) } role="status" { (frame.text(key)) }
                }
                p.soft x-text="endText" x-show="hasEnded" { @if let Some(key) = end_text(lot) { (frame.text(key)) } }
                (super::shop::notice_area(frame, None))
                @if is_open {
                    (bid_form(frame, lot, bidding))
                    @if let Some(price) = lot.buy_now { (buy_form(frame, lot, bidding, price)) }
                } @else if !frame.needs_token && lot.state != AuctionState::Cancelled {
                    noscript { (order_form(frame, lot, bidding)) }
                }
            }
        }
    };
    page(frame, &lot.name, Some(lot.state.as_str()), &body)
}

/// The hidden fields of a form, and the name of a reader whose browser has no script.
fn form_head(frame: &PageFrame<'_>, bidding: &Bidding<'_>, what: &str) -> Markup {
    html! {
        input type="hidden" name="what" value=(what);
        input type="hidden" name="key" value=(bidding.key);
        noscript {
            @if frame.needs_token { p.note.warn { (frame.text("auction.need_script")) } }
            @else {
                label.field {
                    span { (frame.text("drop.buyer")) }
                    input name="buyer" maxlength="40" autocomplete="username" required value=(bidding.buyer);
                }
            }
        }
    }
}

fn bid_form(frame: &PageFrame<'_>, lot: &Lot, bidding: &Bidding<'_>) -> Markup {
    let soft_close = format!("{}:{:02}", lot.soft_close_seconds / 60, lot.soft_close_seconds % 60);
    let mail_text = if bidding.sends_mails { "auction.email_text" } else { "auction.email_kept" };
    html! {
        form.card method="post" action=(frame.language.path(&lot.path())) x-show="isOpen" x-on:submit="bid" {
            (form_head(frame, bidding, "bid"))
            p.row { span { (frame.text("auction.next")) } b.num x-text="minimumText" { (amount(frame, lot.minimum_next, lot.currency)) } }
            label.field {
                span { (frame.text("auction.amount")) " (" (lot.currency.as_str()) ")" }
                input name="amount" inputmode="decimal" autocomplete="off" required x-bind:placeholder="minimumPlain";
            }
            label.field {
                span { (frame.text("auction.maximum")) " (" (frame.text("order.optional")) ")" }
                input name="maximum" inputmode="decimal" autocomplete="off" aria-describedby="maximum-text";
                span.soft id="maximum-text" { (frame.text("auction.maximum_text")) }
            }
            label.field {
                span { (frame.text("order.email")) " (" (frame.text("order.optional")) ")" }
                input name="email" type="email" autocomplete="email" maxlength="254" aria-describedby="email-text";
                span.soft id="email-text" { (frame.text(mail_text)) }
            }
            button.button.wide x-bind:disabled="cannotBid" x-text="bidText" { (frame.text("auction.bid")) }
            @if lot.soft_close_seconds > 0 {
                p.soft.small { (frame.language.filled("auction.soft_close", &[("time", &soft_close)])) }
            }
        }
    }
}

fn buy_form(frame: &PageFrame<'_>, lot: &Lot, bidding: &Bidding<'_>, price: Amount) -> Markup {
    html! {
        form.card method="post" action=(frame.language.path(&lot.path())) x-show="canBuyNow" x-on:submit="buyNow" {
            (form_head(frame, bidding, "buy_now"))
            p.row { span { (frame.text("auction.buy_now")) } b.num { (amount(frame, price, lot.currency)) } }
            p.soft.small { (frame.text("auction.buy_now_text")) }
            label.check {
                input name="sure" type="checkbox" value="yes" required;
                span { (frame.text("auction.buy_now_sure")) " " b.num { (amount(frame, price, lot.currency)) } }
            }
            button.button.ghost.wide x-bind:disabled="cannotBid" x-text="buyText" { (frame.text("auction.buy_now")) }
        }
    }
}

/// The way to the order of who has won, without a script.
fn order_form(frame: &PageFrame<'_>, lot: &Lot, bidding: &Bidding<'_>) -> Markup {
    html! {
        form.card method="post" action=(frame.language.path(&lot.path())) {
            input type="hidden" name="what" value="order";
            label.field {
                span { (frame.text("drop.buyer")) }
                input name="buyer" maxlength="40" autocomplete="username" required value=(bidding.buyer);
            }
            button.button.wide { (frame.text("drop.open_order")) }
        }
    }
}

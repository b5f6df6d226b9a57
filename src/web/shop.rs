//! The storefront: the list of what is sold, and the page of a drop.

use maud::{Markup, html};

use super::auction::Lot;
use super::refusal::RefusalText;
use super::room::{self, HeldPlace, WaitingRoom};
use super::standby;
use super::{PageFrame, amount, instant, page, page_that_loads_again};
use crate::types::{Amount, Currency, DropId, DropState, IdentityLimits, UnixMillis};

/// A drop as buyers see it.
#[derive(Clone, Debug)]
pub struct Offer {
    pub id: DropId,
    pub name: String,
    pub description: Option<String>,
    pub image_url: Option<String>,
    /// The price of one unit.
    pub price: Amount,
    pub currency: Currency,
    pub total: u32,
    pub available: u32,
    pub held: u32,
    pub sold: u32,
    pub per_buyer_limit: u32,
    pub reservation_seconds: u32,
    pub state: DropState,
    pub starts_at: UnixMillis,
    pub ends_at: Option<UnixMillis>,
    /// The caps of the drop: an order must come with what they compare.
    pub identity_limits: IdentityLimits,
    pub room: Option<WaitingRoom>,
    /// Buyers who stand by.
    pub standby: u32,
    /// The length of the blind window, in milliseconds; 0 without one.
    pub blind_ms: u16,
}

impl Offer {
    fn path(&self) -> String {
        format!("/drops/{}", self.id)
    }

    /// The instant that the page counts down to.
    fn next_change(&self) -> Option<UnixMillis> {
        match self.state {
            DropState::Scheduled => Some(self.starts_at),
            DropState::Live | DropState::SoldOut | DropState::Paused => self.ends_at,
            DropState::Ended => None,
        }
    }

    /// Returns whether the buyer of a page may stand by: others than admitted buyers of a room while every unit is sold.
    fn takes_standby(&self, place: Option<&HeldPlace>) -> bool {
        let admits = self.room.as_ref().is_none_or(|room| room.admits(place));
        self.state == DropState::SoldOut && (admits || self.held == 0)
    }

    /// The most units that one order may have.
    fn quantity_max(&self) -> u32 {
        self.per_buyer_limit.min(u32::from(u16::MAX)).min(self.total.max(1))
    }
}

/// Returns the key of a state's word and the tone of its dot.
fn word_of(state: DropState) -> (&'static str, &'static str) {
    match state {
        DropState::Scheduled => ("state.scheduled", "accent"),
        DropState::Live => ("state.live", "good"),
        DropState::Paused => ("state.paused", "warn"),
        DropState::SoldOut => ("state.sold_out", "bad"),
        DropState::Ended => ("state.ended", ""),
    }
}

/// Returns the key of what a buyer should know of a state in which nothing can be bought. The page does not follow the sale.
fn state_text(offer: &Offer) -> Option<&'static str> {
    match offer.state {
        DropState::Paused => Some("drop.paused_plain"),
        DropState::Ended => Some("drop.ended_text"),
        DropState::SoldOut if offer.held == 0 => Some("drop.sold_out_all"),
        DropState::SoldOut => Some("drop.sold_out"),
        DropState::Scheduled | DropState::Live => None,
    }
}

/// A picture, or a surface with the first letter of the name.
fn picture(name: &str, image_url: Option<&str>) -> Markup {
    html! {
        div.picture {
            @if let Some(url) = image_url { img src=(url) alt="" width="800" height="720" decoding="async" referrerpolicy="no-referrer"; }
            @else { span aria-hidden="true" { (name.chars().next().unwrap_or(' ')) } }
        }
    }
}

/// A part of the list.
#[derive(Clone, Copy, Debug)]
pub struct ListPart<'a> {
    pub offers: &'a [Offer],
    pub lots: &'a [Lot],
    /// The state of all that is shown, if the reader chose one.
    pub state: Option<DropState>,
    /// The number below which older drops are, if there are any; the same of auctions.
    pub older_drops: Option<u64>,
    pub older_auctions: Option<u64>,
    /// True for the part that a reader sees first.
    pub is_newest: bool,
}

/// The states in the order in which the list offers them.
const STATES: [DropState; 5] =
    [DropState::Live, DropState::Scheduled, DropState::Paused, DropState::SoldOut, DropState::Ended];

impl ListPart<'_> {
    fn path(&self, more: &str) -> String {
        match (self.state, more) {
            (None, "") => "/".into(),
            (None, more) => format!("/?{more}"),
            (Some(state), "") => format!("/?state={}", state.as_str()),
            (Some(state), more) => format!("/?state={}&{more}", state.as_str()),
        }
    }
}

/// Renders the list.
#[must_use]
pub fn list(frame: &PageFrame<'_>, part: &ListPart<'_>) -> String {
    let title = frame.text("shop.title");
    let is_empty = part.offers.is_empty() && part.lots.is_empty();
    let empty = if part.state.is_none() && part.is_newest { "shop.empty" } else { "shop.none" };
    let path = |more: &str| frame.language.path(&part.path(more));
    let body = html! {
        h1 { (title) }
        (filters(frame, part))
        @if is_empty { p.empty { (frame.text(empty)) } }
        ul.tiles {
            @for offer in part.offers { li { (tile(frame, offer)) } }
            @for lot in part.lots { li { (super::auction::tile(frame, lot)) } }
        }
        @if !part.is_newest || part.older_drops.is_some() || part.older_auctions.is_some() {
            nav.buttons aria-label=(frame.text("shop.title")) {
                @if !part.is_newest { a.button.ghost href=(path("")) { (frame.text("shop.newest")) } }
                @if let Some(id) = part.older_drops { a.button.ghost rel="next" href=(path(&format!("before={id}"))) { (frame.text("shop.older_drops")) } }
                @if let Some(id) = part.older_auctions { a.button.ghost rel="next" href=(path(&format!("auctions_before={id}"))) { (frame.text("shop.older_auctions")) } }
            }
        }
    };
    page(frame, title, None, &body)
}

/// The choice of a state, as links.
fn filters(frame: &PageFrame<'_>, part: &ListPart<'_>) -> Markup {
    let current = |is_chosen: bool| is_chosen.then_some("true");
    html! {
        nav.filters aria-label=(frame.text("shop.filter")) {
            a href=(frame.language.path("/")) aria-current=[current(part.state.is_none())] { (frame.text("shop.all")) }
            @for state in STATES {
                a href=(frame.language.path(&format!("/?state={}", state.as_str()))) aria-current=[current(part.state == Some(state))] {
                    (frame.text(word_of(state).0))
                }
            }
        }
    }
}

fn tile(frame: &PageFrame<'_>, offer: &Offer) -> Markup {
    let (word, tone) = word_of(offer.state);
    html! {
        article.tile.ended[offer.state == DropState::Ended] aria-label=(offer.name) {
            (picture(&offer.name, offer.image_url.as_deref()))
            div.tight {
                span class={ "chip " (tone) } { (frame.text(word)) }
                h2 dir="auto" { a href=(frame.language.path(&offer.path())) { (offer.name) } }
                p.row {
                    b { (amount(frame, offer.price, offer.currency)) }
                    @if matches!(offer.state, DropState::Live) { span.soft.small { b.num data-count=(offer.available) { (frame.language.count(offer.available)) } " " (frame.text("drop.left")) } }
                    @if offer.state == DropState::Scheduled { span.soft.small { (instant(offer.starts_at)) } }
                }
            }
        }
    }
}

/// The parts of a drop's page besides the drop.
#[derive(Clone, Copy, Debug)]
pub struct Purchase<'a> {
    /// The idempotency key of the page's form, so that two clicks on one page are one order.
    pub key: &'a str,
    /// The reason for which the last attempt was refused.
    pub refusal: Option<&'a RefusalText>,
    /// The fields of a form that was refused, by their names.
    pub typed: &'a [(String, String)],
    /// The ticket that the page's address names.
    pub place: Option<&'a HeldPlace>,
}

impl<'a> Purchase<'a> {
    fn typed(&self, field: &str) -> Option<&'a str> {
        self.typed.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
    }
}

/// Renders the page of a drop.
#[must_use]
pub fn drop(frame: &PageFrame<'_>, offer: &Offer, purchase: Purchase<'_>) -> String {
    let (word, tone) = word_of(offer.state);
    let body = html! {
        section.drop x-data="drop" data-drop=(offer.id) data-price=(offer.price.get()) data-currency=(offer.currency.as_str())
            data-digits=(crate::types::money::digits_of(offer.currency)) data-limit=(offer.quantity_max())
            data-total=(offer.total) data-available=(offer.available) data-held=(offer.held) data-sold=(offer.sold)
            data-state=(offer.state.as_str()) data-starts=(offer.starts_at.get()) data-ends=[offer.ends_at.map(UnixMillis::get)]
            data-room[offer.room.is_some()] data-standby=(offer.standby) data-blind=(offer.blind_ms)
        {
            (picture(&offer.name, offer.image_url.as_deref()))
            div.stack {
                p.row.start {
                    span class={ "chip " (tone) } x-bind:class="chip" x-text="word" { (frame.text(word)) }
                    @if let Some(at) = offer.next_change() {
                        span.small.soft {
                            span x-text="clockLabel" { (frame.text(if offer.state == DropState::Scheduled { "clock.starts_at" } else { "clock.ends_at" })) }
                            " " b.num.ink x-text="clock" { (instant(at)) }
                        }
                    }
                }
                h1 dir="auto" { (offer.name) }
                @if let Some(waiting) = &offer.room {
                    (room::card(frame, waiting, purchase.place, &offer.path()))
                    (room::scripted(frame))
                }
                @if let Some(description) = &offer.description { p.description dir="auto" { (description) } }
                p.price { (amount(frame, offer.price, offer.currency)) " " span.soft.small { (frame.text("drop.each")) } }
                (stock(frame, offer))
                p.soft x-text="stateText" x-show="hasStateText" { @if let Some(key) = state_text(offer) { (frame.text(key)) } }
                @if offer.standby > 0 && offer.state == DropState::SoldOut {
                    p.soft.plain-line { (standby::count(frame, offer.standby)) }
                }
                p.soft x-cloak x-show="hasLine" x-text="lineCount" {}
                @if offer.blind_ms > 0 { (standby::blind_rule(frame, offer)) (standby::recorded_scripted(frame)) }
                (standby::scripted(frame))
                (notice_area(frame, purchase.refusal))
                @if offer.state != DropState::Ended { (form(frame, offer, purchase)) }
                @if offer.blind_ms > 0 { (standby::blind_proof(frame)) }
            }
        }
    };
    let seconds = offer.room.as_ref().and_then(|room| room.refresh_seconds(purchase.place, frame.now));
    page_that_loads_again(frame, &offer.name, Some(offer.state.as_str()), seconds, &body)
}

fn stock(frame: &PageFrame<'_>, offer: &Offer) -> Markup {
    html! {
        div.tight aria-label=(frame.text("drop.stock")) role="group" {
            p.row.small {
                span { b.num x-text="availableText" { (frame.language.count(offer.available)) } " " (frame.text("drop.left")) }
                span.soft {
                    span.num x-text="heldText" { (frame.language.count(offer.held)) } " " (frame.text("drop.held")) " · "
                    span.num x-text="soldText" { (frame.language.count(offer.sold)) } " " (frame.text("drop.sold"))
                }
            }
            div.bar aria-hidden="true" { span data-bar="stock" {} }
        }
    }
}

/// The place of refusals, with one thing to do. The script shows what happens here.
pub(super) fn notice_area(frame: &PageFrame<'_>, refusal: Option<&RefusalText>) -> Markup {
    html! {
        (super::notice(refusal))
        div.note role="status" aria-live="polite" x-cloak x-show="hasNotice" x-bind:class="tone" {
            b x-text="noticeTitle" {}
            p x-text="noticeText" {}
            p.num x-show="hasWait" { span x-text="waitLabel" {} " " b x-text="waitClock" {} }
            p.row.start x-show="hasAction" {
                a.button.ghost x-show="hasLink" x-bind:href="link" x-text="linkText" {}
                button.button.ghost type="button" x-show="canRetry" x-on:click="retry" { (frame.text("try.again")) }
                button.button.ghost type="button" x-show="isWaiting" x-on:click="stopTrying" { (frame.text("try.stop")) }
            }
            p.small.soft x-show="hasReference" x-text="reference" {}
        }
    }
}

fn form(frame: &PageFrame<'_>, offer: &Offer, purchase: Purchase<'_>) -> Markup {
    let seconds = offer.reservation_seconds;
    let held = format!("{}:{:02}", seconds / 60, seconds % 60);
    let most = offer.quantity_max();
    // A browser without scripts shows the form to admitted buyers alone.
    let path = if purchase.place.is_some() { frame.path.to_owned() } else { offer.path() };
    let stands_by = offer.takes_standby(purchase.place);
    let admits = |room: &WaitingRoom| room.admits(purchase.place) && !room.is_paused;
    let is_closed = !stands_by && offer.room.as_ref().is_some_and(|room| !admits(room));
    html! {
        form.buy hidden[is_closed] method="post" action=(frame.language.path(&path)) x-on:submit="buy" x-show="hasForm" {
            input type="hidden" name="key" value=(purchase.key);
            @if let Some(place) = purchase.place { input type="hidden" name="buyer" value=(place.buyer); }
            @else { noscript {
                @if frame.needs_token { p.note.warn { (frame.text("drop.need_script")) } }
                @else { label.field { (frame.text("drop.buyer")) input name="buyer" maxlength="40" autocomplete="username" required value=[purchase.typed("buyer")]; } }
            } }
            (identities(frame, offer, purchase))
            @if stands_by { input type="hidden" name="standby" value="1"; }
            @if offer.identity_limits.email.is_none() {
                label.field hidden[!stands_by] x-bind:hidden="cannotStandBy" {
                    span { (frame.text("order.email")) " " span.soft { "(" (frame.text("order.optional")) ")" } }
                    input name="email" type="email" autocomplete="email" maxlength="254" value=[purchase.typed("email")];
                    span.soft { (frame.text("standby.email_text")) }
                }
            }
            div.buy-row {
                div.stepper hidden[most == 1] {
                    button type="button" aria-label=(frame.text("drop.fewer")) x-on:click="fewer" x-bind:disabled="atLeast" { "−" }
                    input name="quantity" type="number" inputmode="numeric" min="1" max=(most) value=(purchase.typed("quantity").unwrap_or("1")) required aria-label=(frame.text("drop.quantity")) x-ref="quantity" x-on:input="typed";
                    button type="button" aria-label=(frame.text("drop.more")) x-on:click="more" x-bind:disabled="atMost" { "+" }
                }
                button.button.wide x-bind:disabled="cannotBuy" x-text="buttonText" { (frame.text(if stands_by { "standby.join" } else { "drop.reserve" })) }
            }
        }
        p.soft.small hidden[is_closed || stands_by] x-show="hasPromise" {
            @if most > 1 { (frame.language.filled("drop.limit", &[("n", &offer.per_buyer_limit.to_string())])) ". " }
            (frame.language.filled("drop.promise", &[("time", &held)]))
        }
        p.soft.small hidden[!stands_by] x-bind:hidden="cannotStandBy" x-show="hasForm" { (frame.text("standby.promise")) }
    }
}

/// The fields that an order of a drop with caps needs.
fn identities(frame: &PageFrame<'_>, offer: &Offer, purchase: Purchase<'_>) -> Markup {
    let limits = &offer.identity_limits;
    html! {
        @if limits.email.is_some() {
            label.field { (frame.text("order.email")) input name="email" type="email" autocomplete="email" maxlength="254" required value=[purchase.typed("email")]; }
        }
        @if limits.phone.is_some() {
            label.field { (frame.text("order.phone")) input name="phone" type="tel" autocomplete="tel" maxlength="40" required value=[purchase.typed("phone")]; }
        }
        @if limits.address.is_some() {
            label.field { (frame.text("order.address")) textarea name="address" autocomplete="street-address" rows="3" maxlength="500" required { "\n" (purchase.typed("address").unwrap_or("")) } }
        }
    }
}

#[cfg(test)]
mod tests {
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

    fn part() -> ListPart<'static> {
        ListPart { offers: &[], lots: &[], state: None, older_drops: None, older_auctions: None, is_newest: true }
    }

    fn shown(language: &str, offer: Offer) -> String {
        list(&frame(language), &ListPart { offers: &[offer], ..part() })
    }

    fn offer() -> Offer {
        Offer {
            id: DropId::new(7).expect("not 0"),
            name: "A \"shoe\" <1>".into(),
            description: Some("<img src=x>".into()),
            image_url: None,
            price: Amount::new(14_900).expect("an amount"),
            currency: Currency::new("EUR").expect("a currency"),
            total: 5,
            available: 0,
            held: 1,
            sold: 4,
            per_buyer_limit: 2,
            reservation_seconds: 120,
            state: DropState::SoldOut,
            starts_at: UnixMillis::ZERO,
            ends_at: None,
            identity_limits: IdentityLimits::default(),
            room: None,
            standby: 0,
            blind_ms: 0,
        }
    }

    #[test]
    fn texts_of_others_are_text() {
        let refusal = RefusalText { title: "no", text: html! { "a < b" } };
        let purchase = Purchase { key: "k", refusal: Some(&refusal), typed: &[], place: None };
        for page in [shown("en", offer()), drop(&frame("en"), &offer(), purchase)] {
            assert!(page.contains("149.00 EUR") && page.contains("Sold out"), "{page}");
            assert!(page.contains("A \"shoe\" &lt;1&gt;") || page.contains("A &quot;shoe&quot; &lt;1&gt;"), "{page}");
            assert!(!page.contains("<img") && !page.contains("<1>") && !page.contains("style="), "{page}");
        }
        assert!(drop(&frame("en"), &offer(), purchase).contains("a &lt; b"));
    }

    #[test]
    fn every_state_has_its_word_in_every_language() {
        for language in Language::tags() {
            for state in
                [DropState::Scheduled, DropState::Live, DropState::Paused, DropState::SoldOut, DropState::Ended]
            {
                let page = shown(language, Offer { state, ..offer() });
                let (_, tile) = page.split_once("<article").expect("a tile");
                let word = Language::of("", language).text(word_of(state).0);
                assert!(tile.contains(word) && !page.contains("state."), "{page}");
                assert!(page.contains(&format!("href=\"/?state={}\">{word}</a>", state.as_str())), "{page}");
            }
        }
        let none = ListPart { offers: &[], ..part() };
        assert!(list(&frame("vi"), &none).contains("Hiện chưa có gì được bán"));
        let ended = ListPart { state: Some(DropState::Ended), older_drops: Some(7), is_newest: false, ..none };
        let page = list(&frame("en"), &ended);
        for link in [
            "href=\"/?state=ended&amp;before=7\"",
            "href=\"/?state=ended\" aria-current=\"true\"",
            "There is nothing here.",
        ] {
            assert!(page.contains(link), "{link}: {page}");
        }
    }
}

//! Pages for browsers, rendered on the server. Their essential path works without JavaScript.
//!
//! Rendering is pure: plain values go in, text comes out. maud escapes every value.

pub mod assets;
pub mod auction;
pub mod console;
pub mod docs;
pub mod order;
pub mod policy;
pub mod refusal;
pub mod report;
pub mod room;
pub mod runbooks;
pub mod shop;
pub mod standby;
pub mod timeline;
pub mod words;

use maud::{DOCTYPE, Markup, html};

use refusal::RefusalText;
use words::Language;

use crate::types::text::rfc3339;
use crate::types::{Amount, Currency, UnixMillis, money};

/// The parts of a page that do not come from its content.
#[derive(Clone, Copy, Debug)]
pub struct PageFrame<'a> {
    pub language: Language,
    /// The path of the page, without its query.
    pub path: &'a str,
    /// The name of the shop, which leads to its list if there is one.
    pub shop_name: &'a str,
    pub has_shop: bool,
    /// True if no real money is moved.
    pub is_demo: bool,
    /// True if a purchase needs the buyer's token.
    pub needs_token: bool,
    /// The address that gives buyers a token, or an empty text.
    pub login_url: &'a str,
    pub now: UnixMillis,
}

impl PageFrame<'_> {
    fn text(&self, key: &'static str) -> &'static str {
        self.language.text(key)
    }
}

/// The attribute of a page that has the server's clock, by which its script counts.
const CLOCK_ATTRIBUTE: &str = "data-now=\"";

/// A page that is shown more than once, each time with the server's clock.
#[derive(Clone, Debug)]
pub struct ReadyPage {
    before_clock: Box<str>,
    after_clock: Box<str>,
}

impl ReadyPage {
    /// Keeps a page that was rendered with this clock; `None` without a clock in it.
    #[must_use]
    pub fn new(page: &str, rendered_at: UnixMillis) -> Option<ReadyPage> {
        let (before, after) = page.split_once(&format!("{CLOCK_ATTRIBUTE}{}", rendered_at.get()))?;
        Some(ReadyPage { before_clock: before.into(), after_clock: after.into() })
    }

    /// Returns the page with the clock of now.
    #[must_use]
    pub fn at(&self, now: UnixMillis) -> String {
        format!("{}{CLOCK_ATTRIBUTE}{}{}", self.before_clock, now.get(), self.after_clock)
    }
}

/// A whole page.
fn page(frame: &PageFrame<'_>, title: &str, state: Option<&str>, body: &Markup) -> String {
    page_that_loads_again(frame, title, state, None, body)
}

/// A whole page. A browser without scripts loads it again after so many seconds.
fn page_that_loads_again(
    frame: &PageFrame<'_>,
    title: &str,
    state: Option<&str>,
    seconds: Option<u32>,
    body: &Markup,
) -> String {
    let language = frame.language;
    let page = html! {
        (DOCTYPE)
        html lang=(language.tag()) data-now=(frame.now.get()) data-needs-token[frame.needs_token] data-login=(frame.login_url) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
                meta name="robots" content="noindex";
                meta name="color-scheme" content="light dark";
                @if let Some(seconds) = seconds { noscript { meta http-equiv="refresh" content=(seconds); } }
                title { (title) }
                link rel="icon" href=(assets::path("icon.svg"));
                link rel="stylesheet" href=(assets::path("storefront.css"));
                script type="module" src=(assets::path(&format!("texts-{}.js", language.tag()))) {}
                script type="module" src=(assets::path("storefront.js")) {}
            }
            body {
                a.skip href="#content" { (frame.text("shop.skip")) }
                (header(frame))
                main id="content" data-state=[state] { (body) }
            }
        }
    };
    page.into_string()
}

fn header(frame: &PageFrame<'_>) -> Markup {
    let language = frame.language;
    html! {
        header.top {
            @if frame.has_shop { a.brand href=(language.path("/")) { (frame.shop_name) } } @else { span.brand { (frame.shop_name) } }
            nav aria-label=(frame.text("shop.language")) {
                @for tag in Language::tags() {
                    a href=(words::path_in(frame.path, tag)) hreflang=(tag) lang=(tag) aria-current=[(tag == language.tag()).then_some("true")] {
                        (tag.to_uppercase())
                    }
                }
            }
        }
        @if frame.is_demo { aside.demo aria-label=(frame.text("sandbox.title")) { (frame.text("shop.demo")) } }
    }
}

/// A refusal above the content.
fn notice(refusal: Option<&RefusalText>) -> Markup {
    html! { @if let Some(refusal) = refusal { div.note.bad role="alert" { b { (refusal.title) } p { (refusal.text) } } } }
}

/// An amount in the page's language. Scripts write it with the currency's sign.
fn amount(frame: &PageFrame<'_>, amount: Amount, currency: Currency) -> Markup {
    html! {
        span.num data-amount=(amount.get()) data-currency=(currency.as_str()) data-digits=(money::digits_of(currency)) {
            (frame.language.amount(amount, currency))
        }
    }
}

/// Returns an instant in UTC. Scripts write it in the reader's time.
#[must_use]
pub fn instant(at: UnixMillis) -> Markup {
    let text = rfc3339(at);
    // `2026-11-28T12:30:00.000Z`, to the minute.
    let shown = text.get(..16).unwrap_or(&text).replace('T', " ");
    html! { time.num datetime=(text) { (shown) " UTC" } }
}

#[must_use]
pub fn not_found(frame: &PageFrame<'_>) -> String {
    let title = frame.text("order.gone");
    let body = html! {
        section.card.narrow {
            h1 { (title) }
            p { (frame.text("order.gone_text")) }
            @if frame.has_shop { a.button href=(frame.language.path("/")) { (frame.text("order.back")) } }
        }
    };
    page(frame, title, None, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_shown_again_has_the_clock_of_then() {
        let at = |milliseconds| UnixMillis::ZERO.plus_millis(milliseconds);
        let page = "<html lang=\"en\" data-now=\"1000\"><p>data-now=\"1000\"</p></html>";
        let ready = ReadyPage::new(page, at(1_000)).expect("it has a clock");
        assert_eq!(ready.at(at(1_000)), page);
        assert_eq!(ready.at(at(2_500)), "<html lang=\"en\" data-now=\"2500\"><p>data-now=\"1000\"</p></html>");
        assert!(ReadyPage::new("<html lang=\"en\">", at(1_000)).is_none());
    }
}

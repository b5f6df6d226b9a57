//! The demo shop: the drops on sale, with a form to reserve units.

use maud::{Markup, html};

use super::{notice, page};
use crate::types::{Amount, Currency, DropId, money};

/// A drop in the shop.
#[derive(Clone, Debug)]
pub struct Offer {
    pub id: DropId,
    pub name: String,
    pub description: Option<String>,
    /// The price of one unit.
    pub price: Amount,
    pub currency: Currency,
    pub available: u32,
    pub per_buyer_limit: u32,
    pub reservation_seconds: u32,
}

/// The rendered shop, kept until something in it changes.
#[derive(Clone, Debug)]
pub struct ShopPage {
    /// The newest change of any drop in the snapshot that was rendered.
    pub version: u64,
    html: String,
    key: String,
}

impl ShopPage {
    /// Renders the shop with `key`, a random text that no text of a drop contains.
    #[must_use]
    pub fn new(version: u64, offers: &[Offer], key: String) -> ShopPage {
        ShopPage { version, html: render(offers, &key, None), key }
    }

    /// Returns the page with an idempotency key of its own.
    #[must_use]
    pub fn with_key(&self, key: &str) -> String {
        self.html.replace(&self.key, key)
    }
}

/// Renders the shop. `key` is the idempotency key, so that two clicks on one page are one order.
#[must_use]
pub fn render(offers: &[Offer], key: &str, notice_text: Option<&str>) -> String {
    page(
        "Demo shop",
        None,
        &html! {
            (notice(notice_text))
            h1 { "Demo shop" }
            p { "A shop to try things out: no real money is moved, and buyers are not authenticated." }
            @if offers.is_empty() { p { "Nothing is on sale now." } }
            @for offer in offers { (shown(offer, key)) }
        },
    )
}

fn shown(offer: &Offer, key: &str) -> Markup {
    html! {
        section aria-label=(offer.name) {
            h2 { (offer.name) }
            @if let Some(description) = &offer.description { p { (description) } }
            dl {
                dt { "Price" } dd { (money::shown(offer.price, offer.currency)) }
                dt { "Available" } dd { @if offer.available == 0 { "sold out" } @else { (offer.available) } }
                dt { "Held for" } dd { (offer.reservation_seconds) " s" }
            }
            form method="post" action="/" {
                input type="hidden" name="drop_id" value=(offer.id);
                input type="hidden" name="key" value=(key);
                label { "Buyer" input name="buyer" required maxlength="40" autocomplete="username"; }
                label {
                    "Units"
                    input name="quantity" type="number" min="1" max=(offer.per_buyer_limit.min(u32::from(u16::MAX))) value="1" required;
                }
                button { "Reserve" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_copy_of_a_page_has_its_own_key() {
        let offer = |id| Offer {
            id: DropId::new(id).expect("not 0"),
            name: "shoe".into(),
            description: None,
            price: Amount::new(100).expect("an amount"),
            currency: Currency::new("EUR").expect("a currency"),
            available: 1,
            per_buyer_limit: 1,
            reservation_seconds: 120,
        };
        let page = ShopPage::new(7, &[offer(1), offer(2)], "0123456789abcdef".into());
        for key in ["first", "second"] {
            let copy = page.with_key(key);
            assert_eq!(copy.matches(&format!("value=\"{key}\"")).count(), 2, "{copy}");
            assert!(!copy.contains("0123456789abcdef"), "{copy}");
        }
    }

    #[test]
    fn an_offer_has_its_own_form_and_texts_of_others_are_text() {
        let offer = Offer {
            id: DropId::new(7).expect("not 0"),
            name: "A \"shoe\" <1>".into(),
            description: Some("<img src=x>".into()),
            price: Amount::new(14_900).expect("an amount"),
            currency: Currency::new("EUR").expect("a currency"),
            available: 0,
            per_buyer_limit: 2,
            reservation_seconds: 120,
        };
        let page = render(&[offer], "k", Some("a < b"));
        for part in ["value=\"7\"", "149.00 EUR", "sold out", "a &lt; b", "aria-label=\"A &quot;shoe&quot; &lt;1&gt;\""]
        {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("<img"), "{page}");
    }
}

//! The facts of a mail: one event and its order.

use super::kind::MailKind;
use crate::types::{Amount, Currency, UnixMillis};

/// The facts of a mail, as they are when it is sent.
#[derive(Clone, Debug)]
pub struct MailDetails {
    pub kind: MailKind,
    /// The short code of the order.
    pub code: String,
    /// The name of the drop.
    pub product: String,
    pub sku: String,
    pub quantity: u16,
    /// The price of the whole order.
    pub total: (Amount, Currency),
    /// The money that the event moved: what was paid, or goes back.
    pub amount: Option<(Amount, Currency)>,
    pub pay_url: String,
    /// The end of the reservation.
    pub pay_until: UnixMillis,
    /// The instant of the event.
    pub at: UnixMillis,
    /// The buyer's name, if they gave one.
    pub name: Option<String>,
    /// The name of the shop: that of `mail.from`.
    pub shop: String,
}

/// Returns an order that shows all of a mail, for the check of templates and for `firstcome mail preview`.
///
/// # Panics
/// Never: EUR is a currency.
#[must_use]
pub fn example_details(kind: MailKind) -> MailDetails {
    let Some(currency) = Currency::new("EUR") else { panic!("EUR is a currency") };
    let amount = |minor| Amount::new(minor).unwrap_or(Amount::ZERO);
    let at = |milliseconds| UnixMillis::new(milliseconds).unwrap_or(UnixMillis::ZERO);
    MailDetails {
        kind,
        code: "FC-7ZU".into(),
        product: "Sneaker \"Đỏ\" <limited>".into(),
        sku: "SHOE-42".into(),
        quantity: 2,
        total: (amount(258_000), currency),
        amount: Some((amount(258_000), currency)),
        pay_url: "https://shop.example/pay/00000000-0007-8000-8000-000000000000".into(),
        pay_until: at(1_795_252_500_000),
        at: at(1_795_251_600_000),
        name: Some("Ann Nguyễn".into()),
        shop: "Shop Example".into(),
    }
}

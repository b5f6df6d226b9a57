//! The facts of a mail: one event, and its order or its auction.

use super::kind::MailKind;
use crate::types::{Amount, AuctionEnding, AuctionState, Currency, UnixMillis};

/// The facts of a mail, as they are when it is sent.
#[derive(Clone, Debug)]
pub struct MailDetails {
    pub kind: MailKind,
    /// The name of the drop or of the auction.
    pub product: String,
    pub sku: String,
    /// The instant of the event.
    pub at: UnixMillis,
    /// The buyer's name, if they gave one.
    pub name: Option<String>,
    /// The name of the shop: that of `mail.from`.
    pub shop: String,
    pub about: MailSubject,
}

/// The subject of a mail: which templates may name what.
#[derive(Clone, Debug)]
pub enum MailSubject {
    Order(OrderDetails),
    Auction(AuctionDetails),
}

#[derive(Clone, Debug)]
pub struct OrderDetails {
    /// The short code of the order.
    pub code: String,
    pub quantity: u16,
    /// The price of the whole order.
    pub total: (Amount, Currency),
    /// The money that the event moved: what was paid, or goes back.
    pub amount: Option<(Amount, Currency)>,
    pub pay_url: String,
    /// The end of the reservation.
    pub pay_until: UnixMillis,
}

#[derive(Clone, Debug)]
pub struct AuctionDetails {
    pub price: (Amount, Currency),
    /// The minimum of the next bid.
    pub minimum: (Amount, Currency),
    pub ends_at: UnixMillis,
    pub state: AuctionState,
    /// The page of the auction, on a server with a storefront.
    pub url: Option<String>,
}

impl AuctionDetails {
    /// The word of templates for how the auction ended: that of the audit, or none while it runs.
    pub(super) const fn ending(&self) -> &'static str {
        match self.state {
            AuctionState::Scheduled | AuctionState::Live => "",
            AuctionState::Ended(ending) => ending.as_str(),
            AuctionState::Cancelled => "cancelled",
        }
    }
}

/// Returns a mail that shows all that there is, for `firstcome mail preview`.
#[must_use]
pub fn example_details(kind: MailKind) -> MailDetails {
    let about = if kind.is_about_auction() {
        let state = match kind {
            MailKind::Outbid => AuctionState::Live,
            MailKind::Lost
            | MailKind::Won
            | MailKind::Reserved
            | MailKind::Paid
            | MailKind::Expired
            | MailKind::Cancelled
            | MailKind::RefundDue
            | MailKind::Refunded => AuctionState::Ended(AuctionEnding::Sold),
        };
        let (price, minimum) = (euro(258_000), euro(268_000));
        let url = Some("https://shop.example/auctions/42".into());
        MailSubject::Auction(AuctionDetails { price, minimum, ends_at: at(1_795_252_500_000), state, url })
    } else {
        MailSubject::Order(OrderDetails {
            code: "FC-7ZU".into(),
            quantity: 2,
            total: euro(258_000),
            amount: Some(euro(258_000)),
            pay_url: "https://shop.example/pay/00000000-0007-8000-8000-000000000000".into(),
            pay_until: at(1_795_252_500_000),
        })
    };
    MailDetails {
        kind,
        product: "Sneaker \"Đỏ\" <limited>".into(),
        sku: "SHOE-42".into(),
        at: at(1_795_251_600_000),
        name: Some("Ann Nguyễn".into()),
        shop: "Shop Example".into(),
        about,
    }
}

/// Returns examples for the check of templates: one with everything, one without what may be missing, and one of each way in
/// which an auction ends.
pub(super) fn examples(kind: MailKind) -> Vec<MailDetails> {
    let whole = example_details(kind);
    let mut bare = MailDetails { name: None, ..whole.clone() };
    match &mut bare.about {
        MailSubject::Order(order) => {
            order.amount = None;
            vec![whole, bare]
        }
        MailSubject::Auction(auction) => {
            let states = [AuctionState::Ended(AuctionEnding::ReserveNotMet), AuctionState::Cancelled];
            auction.url = None;
            let auction = auction.clone();
            let ended = states.map(|state| MailDetails {
                about: MailSubject::Auction(AuctionDetails { state, ..auction.clone() }),
                ..bare.clone()
            });
            [whole, bare].into_iter().chain(ended).collect()
        }
    }
}

fn euro(minor: u64) -> (Amount, Currency) {
    let Some(currency) = Currency::new("EUR") else { panic!("EUR is a currency") };
    (Amount::new(minor).unwrap_or(Amount::ZERO), currency)
}

fn at(milliseconds: i64) -> UnixMillis {
    UnixMillis::new(milliseconds).unwrap_or(UnixMillis::ZERO)
}

//! The page of an order: its state, and how to pay it.

use maud::{Markup, html};

use super::{notice, page};
use crate::types::text::rfc3339;
use crate::types::{Amount, Currency, OrderState, Quantity, Seq, UnixMillis, money};

/// The way in which an order can be paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PaymentOption {
    /// A provider has not created the buyer's session yet.
    SessionPending,
    /// The provider does not take the order: its currency, its amount, or for a reason of its own.
    NotTaken,
    /// No buyer can be sent to the provider's session, or it is at a provider that the server does not hear.
    NoPage,
    Sandbox,
    /// The shop takes the money itself.
    Shop,
}

/// The content of the page.
#[derive(Clone, Copy, Debug)]
pub struct OrderPage<'a> {
    pub path: &'a str,
    pub code: &'a str,
    pub drop_name: &'a str,
    pub quantity: Quantity,
    /// The price of all units.
    pub amount: Amount,
    /// The amount that was refunded.
    pub refunded: Amount,
    /// The amount that is still to be refunded.
    pub refund_due: Amount,
    /// The currency of all amounts.
    pub currency: Currency,
    pub state: OrderState,
    /// True if an operator cancelled the order.
    pub cancelled_by_operator: bool,
    pub expires_at: UnixMillis,
    /// The order's last event, so that two clicks on one page are one.
    pub last_seq: Seq,
    pub now: UnixMillis,
    pub payment_option: PaymentOption,
    pub notice: Option<&'a str>,
}

/// The interval in seconds at which a page that waits for a provider reloads.
const LOOK_AGAIN_SECONDS: u64 = 2;

const CANNOT_BE_PAID: &str = "This order cannot be paid online, because the shop's payment provider does not take it. Ask the \
                              shop how to pay; your order is held for you meanwhile.";

const NO_PAGE: &str = "This order cannot be paid online, because the shop has no page of its payment provider for it that \
                       works. Ask the shop how to pay; your order is held for you meanwhile.";

impl OrderPage<'_> {
    fn live_seconds(&self) -> Option<u64> {
        let left = self.expires_at.get().saturating_sub(self.now.get()).max(0);
        self.state.is_live().then(|| u64::try_from(left).unwrap_or(0).div_ceil(1000))
    }

    /// Returns the seconds until the page reloads.
    #[must_use]
    pub fn refresh_seconds(&self) -> Option<u64> {
        let left = self.live_seconds()?;
        let waits = self.payment_option == PaymentOption::SessionPending && self.state == OrderState::AwaitingPayment;
        // At its expiry the order's page changes.
        Some(if waits { LOOK_AGAIN_SECONDS } else { left.saturating_add(1) })
    }

    #[must_use]
    pub fn render(&self) -> String {
        let (title, words) = self.words();
        page(
            &format!("{title}: {}", self.drop_name),
            Some(self.state.as_str()),
            &html! {
                (notice(self.notice))
                h1 { (title) }
                p { (words) }
                (self.facts())
                @if self.payment_option == PaymentOption::Sandbox && self.state == OrderState::Reserved { (self.checkout()) }
                @if self.payment_option == PaymentOption::Sandbox { (self.sandbox()) }
            },
        )
    }

    fn shown(&self, amount: Amount) -> String {
        money::shown(amount, self.currency)
    }

    /// Returns a title and a text for the state.
    fn words(&self) -> (&'static str, String) {
        let due = self.shown(self.refund_due);
        match self.state {
            OrderState::Reserved if self.payment_option == PaymentOption::NotTaken => {
                ("Reserved for you", CANNOT_BE_PAID.into())
            }
            OrderState::Reserved if self.payment_option == PaymentOption::NoPage => {
                ("Reserved for you", NO_PAGE.into())
            }
            OrderState::Reserved => {
                ("Reserved for you", "Enter your contact details, then pay. Your order is held for you meanwhile.".into())
            }
            OrderState::AwaitingPayment => (
                "Waiting for your payment",
                match self.payment_option {
                    PaymentOption::SessionPending => {
                        "Your payment is being prepared. This page reloads by itself.".into()
                    }
                    PaymentOption::NotTaken => CANNOT_BE_PAID.into(),
                    PaymentOption::NoPage => NO_PAGE.into(),
                    PaymentOption::Sandbox => "Pay with play money below.".into(),
                    PaymentOption::Shop => "The shop will tell you how to pay.".into(),
                },
            ),
            OrderState::Paid if self.refund_due == Amount::ZERO => ("Paid", "Thank you. Your order is paid.".into()),
            OrderState::Paid => ("Paid", format!("Thank you. Your order is paid. You paid {due} too much, which will be refunded.")),
            OrderState::Cancelled if self.cancelled_by_operator => {
                ("Cancelled", "The shop had to cancel this order. You have not paid anything.".into())
            }
            OrderState::Cancelled => ("Cancelled", "You cancelled this order. There is nothing to pay.".into()),
            OrderState::Expired => (
                "Expired",
                "The time to pay ran out, so the units are on sale again. There is nothing to pay. If you have already paid, \
                 you get your order if there is still stock; otherwise your money will be refunded."
                    .into(),
            ),
            OrderState::RefundDue => ("Refund pending", format!("{due} will be refunded to you.")),
            OrderState::Refunded => ("Refunded", "Your money was refunded.".into()),
        }
    }

    fn facts(&self) -> Markup {
        html! {
            dl {
                dt { "Order" } dd { (self.code) }
                dt { "Item" } dd { (self.quantity.get()) " × " (self.drop_name) }
                dt { "Amount" } dd { (self.shown(self.amount)) }
                @if self.refunded != Amount::ZERO { dt { "Refunded" } dd { (self.shown(self.refunded)) } }
                @if let Some(seconds) = self.live_seconds() {
                    dt { "Time left" }
                    dd {
                        (seconds / 60) " min " (seconds % 60) " s, until "
                        time datetime=(rfc3339(self.expires_at)) { (rfc3339(self.expires_at)) }
                    }
                }
            }
        }
    }

    fn checkout(&self) -> Markup {
        html! {
            section aria-label="Checkout" {
                h2 { "Contact details" }
                form method="post" action={ (self.path) "/checkout" } {
                    label { "Name" input name="name" autocomplete="name" maxlength="120"; }
                    label { "E-mail" input name="email" type="email" autocomplete="email" maxlength="120" required; }
                    label { "Telephone" input name="phone" type="tel" autocomplete="tel" maxlength="120"; }
                    label { "Address" textarea name="address" autocomplete="street-address" rows="3" maxlength="120" {} }
                    button { "Proceed to payment" }
                }
            }
        }
    }

    fn sandbox(&self) -> Markup {
        let (live, late) = (self.state.is_live(), self.state == OrderState::Expired);
        html! {
            section aria-label="Sandbox" {
                h2 { "Play money" }
                p { "No real money is moved. Each button sends the event that a payment provider would send." }
                form method="post" action={ (self.path) "/sandbox" } {
                    input type="hidden" name="seen" value=(self.last_seq);
                    button name="what" value="pay" disabled[!live] { "Pay" }
                    button name="what" value="fail" disabled[!live] { "Fail" }
                    button name="what" value="pay_twice" disabled[!live] { "Pay twice" }
                    button name="what" value="pay_late" disabled[!late] { "Pay late" }
                }
                p { "\"Pay late\" pays after the order has expired: the order is accepted if there is still stock and your limit \
                     allows it; otherwise the payment is refunded." }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> UnixMillis {
        UnixMillis::new(ms).expect("in range")
    }

    fn shown(change: impl FnOnce(&mut OrderPage<'_>)) -> (String, Option<u64>) {
        let amount = |amount| Amount::new(amount).expect("an amount");
        let mut page = OrderPage {
            path: "/pay/x",
            code: "FC-1",
            drop_name: "<script>alert('1')</script> & \"more\"",
            quantity: Quantity::new(2).expect("not 0"),
            amount: amount(29_800),
            refunded: amount(0),
            refund_due: amount(0),
            currency: Currency::new("EUR").expect("a currency"),
            state: OrderState::AwaitingPayment,
            cancelled_by_operator: false,
            expires_at: at(61_001),
            last_seq: Seq::new(7).expect("in range"),
            now: at(0),
            payment_option: PaymentOption::Shop,
            notice: None,
        };
        change(&mut page);
        (page.render(), page.refresh_seconds())
    }

    #[test]
    fn texts_of_others_are_text() {
        let (page, _) = shown(|page| page.notice = Some("<b>no</b>"));
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script") && !page.contains("<b>"), "{page}");
        assert!(page.contains("298.00 EUR") && page.contains("1 min 2 s"), "{page}");
    }

    #[test]
    fn a_page_that_waits_for_a_provider_looks_again_and_any_other_at_the_expiry() {
        assert_eq!(shown(|page| page.payment_option = PaymentOption::SessionPending).1, Some(2));
        assert!(shown(|page| page.payment_option = PaymentOption::SessionPending).0.contains("being prepared"));
        assert_eq!(shown(|page| page.payment_option = PaymentOption::NotTaken).1, Some(63));
        for state in [OrderState::Reserved, OrderState::AwaitingPayment] {
            for option in [PaymentOption::NotTaken, PaymentOption::NoPage] {
                let (page, again) = shown(|page| (page.state, page.payment_option) = (state, option));
                assert!(page.contains("cannot be paid online") && !page.contains("being prepared"), "{page}");
                assert_eq!(page.contains("does not take it"), option == PaymentOption::NotTaken, "{page}");
                assert_eq!(again, Some(63));
            }
        }
        assert_eq!(shown(|_| {}).1, Some(63));
        assert_eq!(shown(|page| page.state = OrderState::Paid).1, None);
    }

    #[test]
    fn play_money_can_be_paid_while_the_order_lives_and_late_when_it_has_expired() {
        let buttons = |state| {
            let (page, _) = shown(|page| (page.state, page.payment_option) = (state, PaymentOption::Sandbox));
            ["pay", "fail", "pay_twice", "pay_late"].map(|what| page.contains(&format!("value=\"{what}\">")))
        };
        assert_eq!(buttons(OrderState::AwaitingPayment), [true, true, true, false]);
        assert_eq!(buttons(OrderState::Expired), [false, false, false, true]);
        assert_eq!(buttons(OrderState::Paid), [false; 4]);
        assert!(!shown(|_| {}).0.contains("Play money"));
    }

    #[test]
    fn every_state_has_its_words() {
        let mut seen = std::collections::BTreeSet::new();
        for state in OrderState::ALL {
            let (page, _) = shown(|page| (page.state, page.refund_due) = (state, Amount::new(100).expect("an amount")));
            assert!(page.contains(&format!("data-state=\"{}\"", state.as_str())), "{page}");
            let heading = page.split("<h1>").nth(1).and_then(|rest| rest.split("</h1>").next()).expect("a heading");
            assert!(seen.insert(heading.to_string()), "{heading} is there twice");
        }
        assert!(
            shown(|page| (page.state, page.refund_due) = (OrderState::RefundDue, Amount::new(5).expect("an amount")))
                .0
                .contains("0.05 EUR will be refunded")
        );
    }
}

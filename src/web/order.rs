//! The page of an order: what it is, what is to be paid, and how.

use maud::{Markup, html};

use super::{notice, page};
use crate::types::text::rfc3339;
use crate::types::{Amount, Currency, OrderState, Quantity, Seq, UnixMillis, money};

/// How an order can be paid, while it can.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PaymentOption {
    /// With a provider who has not made the buyer's session yet.
    SessionPending,
    /// With play money.
    Sandbox,
    /// The shop takes the money itself.
    Shop,
}

/// What the page shows.
#[derive(Clone, Copy, Debug)]
pub struct OrderPage<'a> {
    /// The path of the page.
    pub path: &'a str,
    /// The order's short code.
    pub code: &'a str,
    /// What is sold.
    pub drop_name: &'a str,
    /// How many units.
    pub quantity: Quantity,
    /// What they cost together.
    pub amount: Amount,
    /// How much went back.
    pub refunded: Amount,
    /// How much is owed back.
    pub refund_due: Amount,
    /// The currency of all amounts.
    pub currency: Currency,
    /// The order's state.
    pub state: OrderState,
    /// Whether an operator cancelled it, if it is cancelled.
    pub cancelled_by_operator: bool,
    /// Until when it is live.
    pub expires_at: UnixMillis,
    /// The order's last event: two clicks on one page are one.
    pub last_seq: Seq,
    /// The server's clock.
    pub now: UnixMillis,
    /// How it can be paid.
    pub payment_option: PaymentOption,
    /// What must be read first.
    pub notice: Option<&'a str>,
}

/// How soon a page that waits for a provider looks again, in seconds.
const LOOK_AGAIN_SECONDS: u64 = 2;

impl OrderPage<'_> {
    fn live_seconds(&self) -> Option<u64> {
        let left = self.expires_at.get().saturating_sub(self.now.get()).max(0);
        self.state.is_live().then(|| u64::try_from(left).unwrap_or(0).div_ceil(1000))
    }

    /// After how many seconds the page changes by itself.
    #[must_use]
    pub fn refresh_seconds(&self) -> Option<u64> {
        let left = self.live_seconds()?;
        let waits = self.payment_option == PaymentOption::SessionPending && self.state == OrderState::AwaitingPayment;
        // At its expiry an order is another one.
        Some(if waits { LOOK_AGAIN_SECONDS } else { left.saturating_add(1) })
    }

    /// The page.
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

    /// The state, in plain words.
    fn words(&self) -> (&'static str, String) {
        let due = self.shown(self.refund_due);
        match self.state {
            OrderState::Reserved => {
                ("Reserved for you", "Say how you can be reached, then pay. Until then it is held for you.".into())
            }
            OrderState::AwaitingPayment => (
                "Waiting for your payment",
                match self.payment_option {
                    PaymentOption::SessionPending => {
                        "Your payment is being prepared. This page looks again by itself.".into()
                    }
                    PaymentOption::Sandbox => "Pay with play money, below.".into(),
                    PaymentOption::Shop => "The shop takes your payment itself, and tells you how.".into(),
                },
            ),
            OrderState::Paid if self.refund_due == Amount::ZERO => ("Paid", "Thank you. It is yours.".into()),
            OrderState::Paid => ("Paid", format!("Thank you. It is yours. {due} that came besides goes back to you.")),
            OrderState::Cancelled if self.cancelled_by_operator => {
                ("Cancelled", "The shop had to cancel this order. You have paid nothing.".into())
            }
            OrderState::Cancelled => ("Cancelled", "You gave it back. Nothing is to be paid.".into()),
            OrderState::Expired => (
                "Expired",
                "The time to pay ran out, and it went back on sale. Nothing is to be paid. If you have paid all the \
                 same, you get it if there is still stock for you; else your money goes back to you."
                    .into(),
            ),
            OrderState::RefundDue => ("Your money goes back", format!("{due} is owed to you and on its way back.")),
            OrderState::Refunded => ("Refunded", "Your money went back to you.".into()),
        }
    }

    fn facts(&self) -> Markup {
        html! {
            dl {
                dt { "Order" } dd { (self.code) }
                dt { "What" } dd { (self.quantity.get()) " × " (self.drop_name) }
                dt { "Amount" } dd { (self.shown(self.amount)) }
                @if self.refunded != Amount::ZERO { dt { "Went back" } dd { (self.shown(self.refunded)) } }
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
                h2 { "How can you be reached?" }
                form method="post" action={ (self.path) "/checkout" } {
                    label { "Name" input name="name" autocomplete="name" maxlength="120"; }
                    label { "E-mail" input name="email" type="email" autocomplete="email" maxlength="120" required; }
                    label { "Telephone" input name="phone" type="tel" autocomplete="tel" maxlength="120"; }
                    label { "Address" textarea name="address" autocomplete="street-address" rows="3" maxlength="120" {} }
                    button { "Go on to payment" }
                }
            }
        }
    }

    fn sandbox(&self) -> Markup {
        let (live, late) = (self.state.is_live(), self.state == OrderState::Expired);
        html! {
            section aria-label="Sandbox" {
                h2 { "Play money" }
                p { "No money moves here. Each button sends what a payment provider would send." }
                form method="post" action={ (self.path) "/sandbox" } {
                    input type="hidden" name="seen" value=(self.last_seq);
                    button name="what" value="pay" disabled[!live] { "Pay" }
                    button name="what" value="fail" disabled[!live] { "Fail" }
                    button name="what" value="pay_twice" disabled[!live] { "Pay twice" }
                    button name="what" value="pay_late" disabled[!late] { "Pay late" }
                }
                p { "Pay late sends the payment although the order has expired: it is taken again if there is stock and \
                     your limit allows it, else the money goes back." }
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
                .contains("0.05 EUR is owed")
        );
    }
}

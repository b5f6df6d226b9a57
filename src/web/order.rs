//! The page of an order: its state, and how to pay it.

use maud::{Markup, html};

use super::refusal::RefusalText;
use super::timeline::{OrderStep, timeline};
use super::{PageFrame, amount, notice, page};
use crate::types::{Amount, Currency, OrderState, Quantity, Seq, UnixMillis};

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
    pub frame: PageFrame<'a>,
    /// The order's id in paths.
    pub id: &'a str,
    /// The page where it is paid, which forwards to the provider's.
    pub is_pay_page: bool,
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
    pub reserved_at: UnixMillis,
    pub expires_at: UnixMillis,
    /// The order's last events, oldest first.
    pub steps: &'a [OrderStep],
    /// The order's last event, so that two clicks on one page are one.
    pub last_seq: Seq,
    /// The tag of the order as the API has it: a script asks for what is newer.
    pub etag: &'a str,
    pub payment_option: PaymentOption,
    pub refusal: Option<&'a RefusalText>,
}

/// The interval in seconds at which a page that waits for a provider reloads.
const LOOK_AGAIN_SECONDS: u64 = 2;

impl OrderPage<'_> {
    fn live_seconds(&self) -> Option<u64> {
        let left = self.expires_at.get().saturating_sub(self.frame.now.get()).max(0);
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
        let frame = &self.frame;
        let title = self.text(self.chip());
        let seconds = self.live_seconds();
        let body = html! {
            (notice(self.refusal))
            div.order x-data="order" data-order=(self.id) data-state=(self.state.as_str()) data-etag=(self.etag)
                data-from=(self.reserved_at.get()) data-until=[seconds.map(|_| self.expires_at.get())]
            {
                section.card {
                    span class={ "chip " (self.tone()) } { (frame.text(self.chip())) }
                    @if let Some(seconds) = seconds {
                        p.clock.num role="timer" aria-label=(frame.text("order.left")) x-text="clock" { (seconds / 60) ":" (format!("{:02}", seconds % 60)) }
                        div.bar.warn aria-hidden="true" { span x-ref="bar" {} }
                    }
                    h1 { (title) }
                    p data-live="words" { (self.words()) }
                    div.note role="status" aria-live="polite" x-cloak x-show="hasNotice" x-bind:class="tone" {
                        b x-text="noticeTitle" {}
                        p x-text="noticeText" {}
                        p.num x-show="hasWait" { span x-text="waitLabel" {} " " b x-text="waitClock" {} }
                    }
                    @if self.state == OrderState::Reserved { (self.contact_form("order.proceed")) }
                    @if self.state == OrderState::AwaitingPayment { (self.payment_step()) }
                    @if self.state.is_live() { (self.cancel_form()) }
                    @if self.state == OrderState::Paid {
                        button.button.ghost.print type="button" x-cloak x-show="isScripted" x-on:click="print" { (frame.text("order.print")) }
                    }
                }
                (self.facts())
                @if self.payment_option == PaymentOption::Sandbox && self.is_pay_page { (self.sandbox()) }
                @if frame.has_shop { p.no-print { a href=(frame.language.path("/")) { (frame.text("order.back")) } } }
            }
        };
        page(frame, &format!("{title}: {}", self.drop_name), Some(self.state.as_str()), &body)
    }

    fn text(&self, key: &'static str) -> &'static str {
        self.frame.text(key)
    }

    fn chip(&self) -> &'static str {
        match self.state {
            OrderState::Reserved => "order.reserved",
            OrderState::AwaitingPayment => "order.awaiting",
            OrderState::Paid => "order.paid",
            OrderState::Cancelled => "order.cancelled",
            OrderState::Expired => "order.expired",
            OrderState::RefundDue => "order.refund_due",
            OrderState::Refunded => "order.refunded_title",
        }
    }

    fn tone(&self) -> &'static str {
        match self.state {
            OrderState::Reserved | OrderState::AwaitingPayment | OrderState::RefundDue => "warn",
            OrderState::Paid => "good",
            OrderState::Expired => "bad",
            OrderState::Cancelled | OrderState::Refunded => "",
        }
    }

    /// Returns what the state means, and what to do.
    fn words(&self) -> Markup {
        let frame = &self.frame;
        let with_due = |key| frame.language.filled_with(key, &[("due", amount(frame, self.refund_due, self.currency))]);
        let key = match (self.state, self.payment_option) {
            (OrderState::Reserved | OrderState::AwaitingPayment, PaymentOption::NotTaken) => "order.not_taken",
            (OrderState::Reserved | OrderState::AwaitingPayment, PaymentOption::NoPage) => "order.no_page",
            (OrderState::Reserved, PaymentOption::SessionPending | PaymentOption::Sandbox | PaymentOption::Shop) => {
                "order.reserved_text"
            }
            (OrderState::AwaitingPayment, PaymentOption::SessionPending) if self.is_pay_page => "order.preparing",
            (OrderState::AwaitingPayment, PaymentOption::Sandbox) if self.is_pay_page => "order.play",
            (OrderState::AwaitingPayment, PaymentOption::SessionPending | PaymentOption::Sandbox) => "order.keep",
            (OrderState::AwaitingPayment, PaymentOption::Shop) => "order.shop_tells",
            (OrderState::Paid, _) if self.refund_due == Amount::ZERO => "order.paid_text",
            (OrderState::Paid, _) => return with_due("order.paid_over"),
            (OrderState::Cancelled, _) if self.cancelled_by_operator => "order.cancelled_by_shop",
            (OrderState::Cancelled, _) => "order.cancelled_text",
            (OrderState::Expired, _) => "order.expired_text",
            (OrderState::RefundDue, _) => return with_due("order.refund_due_text"),
            (OrderState::Refunded, _) => "order.refunded_text",
        };
        html! { (self.text(key)) }
    }

    fn facts(&self) -> Markup {
        let frame = &self.frame;
        html! {
            section.card {
                dl data-live="facts" {
                    dt { (self.text("order.number")) } dd.num { (self.code) }
                    dt { (self.text("order.item")) } dd { span.num { (self.quantity.get()) " × " } bdi { (self.drop_name) } }
                    dt { (self.text("order.amount")) } dd { b { (amount(frame, self.amount, self.currency)) } }
                    @if self.refunded != Amount::ZERO { dt { (self.text("order.refunded")) } dd { (amount(frame, self.refunded, self.currency)) } }
                }
                h2.small-title { (self.text("order.history")) }
                div data-live="history" { (timeline(frame, self.steps, self.state.is_live().then_some(self.expires_at))) }
            }
        }
    }

    /// An address under that of the payment page: forms go there from either page.
    fn action(&self, what: &str) -> String {
        self.frame.language.path(&format!("/pay/{}/{what}", self.id))
    }

    fn contact_form(&self, button: &'static str) -> Markup {
        html! {
            form.stack method="post" action=(self.action("checkout")) aria-label=(self.text("order.contact")) x-on:submit="submit" {
                label.field { (self.text("order.email")) input name="email" type="email" autocomplete="email" maxlength="254" required; }
                label.field { (self.text("order.name")) input name="name" autocomplete="name" maxlength="120"; }
                label.field { (self.text("order.phone")) " (" (self.text("order.optional")) ")" input name="phone" type="tel" autocomplete="tel" maxlength="40"; }
                label.field { (self.text("order.address")) " (" (self.text("order.optional")) ")" textarea name="address" autocomplete="street-address" rows="3" maxlength="500" {} }
                button.button.wide x-bind:disabled="isSending" { (self.text(button)) }
            }
        }
    }

    /// The way to the payment, and the contact details for a correction.
    fn payment_step(&self) -> Markup {
        let is_payable = matches!(self.payment_option, PaymentOption::SessionPending | PaymentOption::Sandbox);
        html! {
            @if is_payable && !self.is_pay_page {
                a.button.wide href=(self.frame.language.path(&format!("/pay/{}", self.id))) {
                    span { (self.frame.language.filled_with("order.pay", &[("price", amount(&self.frame, self.amount, self.currency))])) }
                }
            }
            @if self.payment_option != PaymentOption::SessionPending || !self.is_pay_page {
                details { summary { (self.text("order.contact_change")) } (self.contact_form("order.contact_save")) }
            }
        }
    }

    fn cancel_form(&self) -> Markup {
        html! {
            form method="post" action=(self.action("cancel")) x-on:submit="submit" {
                button.button.ghost.wide x-bind:disabled="isSending" { (self.text("order.give_back")) }
            }
        }
    }

    fn sandbox(&self) -> Markup {
        let (live, late) = (self.state.is_live(), self.state == OrderState::Expired);
        html! {
            section.card.no-print aria-label=(self.text("sandbox.title")) {
                h2 { (self.text("sandbox.title")) }
                p.soft { (self.text("sandbox.text")) }
                form.buttons method="post" action=(self.action("sandbox")) {
                    input type="hidden" name="seen" value=(self.last_seq);
                    button.button name="what" value="pay" disabled[!live] { (self.text("sandbox.pay")) }
                    button.button.ghost name="what" value="fail" disabled[!live] { (self.text("sandbox.fail")) }
                    button.button.ghost name="what" value="pay_twice" disabled[!live] { (self.text("sandbox.pay_twice")) }
                    button.button.ghost name="what" value="pay_late" disabled[!late] { (self.text("sandbox.pay_late")) }
                }
                p.small.soft { (self.text("sandbox.late_text")) }
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

    fn shown<'a>(change: impl FnOnce(&mut OrderPage<'a>)) -> (String, Option<u64>) {
        let amount = |amount| Amount::new(amount).expect("an amount");
        let mut page = OrderPage {
            frame: PageFrame {
                language: crate::web::words::Language::of("", "en"),
                path: "/pay/x",
                shop_name: "Shop",
                has_shop: false,
                is_demo: false,
                needs_token: false,
                login_url: "",
                now: at(0),
            },
            id: "x",
            is_pay_page: true,
            code: "FC-1",
            drop_name: "<script>alert('1')</script> & \"more\"",
            quantity: Quantity::new(2).expect("not 0"),
            amount: amount(29_800),
            refunded: amount(0),
            refund_due: amount(0),
            currency: Currency::new("EUR").expect("a currency"),
            state: OrderState::AwaitingPayment,
            cancelled_by_operator: false,
            reserved_at: at(0),
            expires_at: at(61_001),
            steps: &[],
            last_seq: Seq::new(7).expect("in range"),
            etag: "\"o1\"",
            payment_option: PaymentOption::Shop,
            refusal: None,
        };
        change(&mut page);
        (page.render(), page.refresh_seconds())
    }

    #[test]
    fn texts_of_others_are_text() {
        let refusal = RefusalText { title: "<i>no", text: html! { "<b>no</b>" } };
        let (page, _) = shown(|page| page.refusal = Some(&refusal));
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>") && !page.contains("<b>no"), "{page}");
        assert!(page.contains("298.00 EUR") && !page.contains("<i>no") && page.contains(">1:02<"), "{page}");
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
                .contains("0.05 EUR</span> will be refunded")
        );
    }
}

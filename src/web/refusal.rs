//! Refusals as pages, for browsers whose forms were sent without a script: what happened, what to do next, and a form that sends
//! the same fields again.

use maud::{Markup, html};

use super::{PageFrame, page};

/// A refusal in words of the page's language.
#[derive(Clone, Debug)]
pub struct RefusalText {
    pub title: &'static str,
    pub text: Markup,
}

/// The next step that a page offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextStep {
    /// A repeat would be refused again.
    Back,
    /// The same request may succeed later. Nothing counts twice.
    Repeat,
    /// The fields have to be corrected first.
    Correct,
}

/// The request that was refused.
#[derive(Clone, Copy, Debug)]
pub enum BrowserRequest<'a> {
    Page,
    /// A form: its address, and its fields as they came. None if they did not come.
    Form {
        action: &'a str,
        fields: Option<&'a [(String, String)]>,
    },
}

/// A page that tells a refusal.
#[derive(Clone, Copy, Debug)]
pub struct RefusalPage<'a> {
    pub frame: PageFrame<'a>,
    pub refusal: &'a RefusalText,
    pub request: BrowserRequest<'a>,
    pub next: NextStep,
    /// The seconds after which a repeat makes sense.
    pub retry_after: Option<u64>,
}

/// Returns the key of the label of a form's field, by its name or the end of its JSON pointer. Other fields are not shown.
#[must_use]
pub fn label_of(field: &str) -> Option<&'static str> {
    Some(match field.rsplit('/').next().unwrap_or(field) {
        "contact" => "order.contact",
        "email" => "order.email",
        "name" => "order.name",
        "phone" => "order.phone",
        "address" => "order.address",
        "quantity" => "drop.quantity",
        "buyer" => "drop.buyer",
        "amount" => "auction.amount",
        "maximum" => "auction.maximum",
        _ => return None,
    })
}

impl RefusalPage<'_> {
    #[must_use]
    pub fn render(&self) -> String {
        let frame = &self.frame;
        let body = html! {
            section.card.narrow {
                h1 { (self.refusal.title) }
                div role="alert" { p { (self.refusal.text) } }
                @if let (NextStep::Repeat, Some(seconds)) = (self.next, self.retry_after) {
                    p.soft { (frame.language.filled("page.wait", &[("n", &seconds.to_string())])) }
                }
                (self.again())
                (self.way_back())
            }
        };
        page(frame, self.refusal.title, None, &body)
    }

    fn again(&self) -> Markup {
        let frame = &self.frame;
        match (self.request, self.next) {
            (BrowserRequest::Form { action, fields: Some(fields) }, NextStep::Repeat | NextStep::Correct) => html! {
                form.stack method="post" action=(action) {
                    @for (name, value) in fields { (self.field(name, value)) }
                    button.button.wide { (frame.text("page.send_again")) }
                }
            },
            (BrowserRequest::Page, NextStep::Repeat) => html! {
                a.button.wide href=(frame.language.path(frame.path)) { (frame.text("try.again")) }
            },
            (BrowserRequest::Form { .. } | BrowserRequest::Page, _) => html! {},
        }
    }

    /// A field that keeps what was sent; fields to be corrected are shown.
    fn field(&self, name: &str, value: &str) -> Markup {
        let label = label_of(name).filter(|_| self.next == NextStep::Correct);
        html! {
            @match label {
                Some(label) if name == "address" => {
                    label.field { (self.frame.text(label)) textarea name=(name) rows="3" maxlength="500" { "\n" (value) } }
                }
                Some(label) => { label.field { (self.frame.text(label)) input name=(name) value=(value) maxlength="500"; } }
                None => { input type="hidden" name=(name) value=(value); }
            }
        }
    }

    fn way_back(&self) -> Markup {
        let frame = &self.frame;
        let (path, key) = match frame.path.strip_prefix("/pay/") {
            Some(rest) => (format!("/pay/{}", rest.split('/').next().unwrap_or(rest)), "page.back_order"),
            None if frame.path.starts_with("/orders/") => (frame.path.to_owned(), "page.back_order"),
            None if frame.path.starts_with("/drops/") => (frame.path.to_owned(), "page.back_drop"),
            None => ("/".to_owned(), "order.back"),
        };
        let is_there = frame.has_shop || path.starts_with("/pay/");
        html! {
            @if is_there && !matches!(self.request, BrowserRequest::Page) {
                a.button.ghost.wide href=(frame.language.path(&path)) { (frame.text(key)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::UnixMillis;
    use crate::web::words::Language;

    fn shown(next: NextStep, fields: Option<&[(String, String)]>) -> String {
        let frame = PageFrame {
            language: Language::of("lang=vi", ""),
            path: "/drops/7",
            shop_name: "Shop",
            has_shop: true,
            is_demo: false,
            needs_token: false,
            login_url: "",
            now: UnixMillis::ZERO,
        };
        let refusal = RefusalText { title: "A < b", text: html! { "why" } };
        let request = BrowserRequest::Form { action: "/drops/7?lang=vi", fields };
        RefusalPage { frame, refusal: &refusal, request, next, retry_after: Some(7) }.render()
    }

    #[test]
    fn a_repeat_sends_what_was_sent_and_a_correction_shows_it() {
        let fields = [("key", "k1"), ("address", "\n<b>&\""), ("email", "a@b")].map(|(n, v)| (n.into(), v.into()));
        let page = shown(NextStep::Repeat, Some(&fields));
        for part in [
            "<form class=\"stack\" method=\"post\" action=\"/drops/7?lang=vi\">",
            "<input type=\"hidden\" name=\"key\" value=\"k1\">",
            "<input type=\"hidden\" name=\"address\" value=\"\n&lt;b&gt;&amp;&quot;\">",
            "href=\"/drops/7?lang=vi\"",
            "A &lt; b",
            "7",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let page = shown(NextStep::Correct, Some(&fields));
        assert!(
            page.contains("maxlength=\"500\">\n\n&lt;b&gt;") && page.contains("type=\"hidden\" name=\"key\""),
            "{page}"
        );
        assert!(
            !shown(NextStep::Back, Some(&fields)).contains("<form") && !shown(NextStep::Repeat, None).contains("<form")
        );
    }
}

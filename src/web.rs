//! Pages for browsers, rendered on the server. They work without JavaScript and load nothing from elsewhere.
//!
//! Rendering is pure: plain values go in, text comes out. maud escapes every value.

pub mod assets;
pub mod console;
pub mod order;
pub mod policy;
pub mod report;
pub mod runbooks;
pub mod shop;

use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("web/style.css");

/// Allows a page only its own style, and forms to this server.
pub static CONTENT_SECURITY_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// A whole page.
fn page(title: &str, state: Option<&str>, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main data-state=[state] { (body) } }
        }
    };
    page.into_string()
}

/// A notice above the content.
fn notice(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { p.notice role="alert" { (text) } } }
}

#[must_use]
pub fn not_found() -> String {
    page(
        "Not found",
        None,
        &html! {
            h1 { "Page not found" }
            p { "The address may be incomplete or mistyped. The message from the shop has the address of your order." }
        },
    )
}

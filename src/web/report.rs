//! The report of a drop as one page that needs no other file: pictures first, then tables. It has no scripts, looks right on a
//! telephone and on paper, and follows the reader's choice of light and dark.

mod chart;
mod fairness;
mod pictures;
mod tables;
pub mod words;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::words::{amount, count, counted, instant, percent, span};
use crate::api::json::report::DropReport;

const STYLE: &str = include_str!("report.css");

/// Allows the page its own style and nothing else, so that no text in it could load or run anything.
fn policy() -> String {
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'")
}

/// Returns the page.
#[must_use]
pub fn page(report: &DropReport) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                meta http-equiv="Content-Security-Policy" content=(policy());
                title { "Report on drop " (report.drop.id) ": " (report.drop.name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (head(report))
                    (figures(report))
                    (pictures::all(report))
                    (fairness::section(report))
                    (tables::all(report))
                    (foot(report))
                }
            }
        }
    };
    page.into_string()
}

fn head(report: &DropReport) -> Markup {
    let drop = &report.drop;
    html! {
        header {
            p { "Report on drop " (drop.id) " · " bdi { (drop.sku) } }
            h1 { bdi { (drop.name) } }
            p {
                span.chip { (drop.state.replace('_', " ")) } " "
                @match &drop.opened_at {
                    Some(opened) => { "Sales began " (instant(opened)) }
                    None => { "Starts at " (instant(&drop.starts_at)) }
                }
                @if let Some(ends) = &drop.ends_at { ", until " (instant(ends)) }
                ". Counted up to event " (count(report.as_of_seq)) ", " (instant(&report.as_of)) "."
            }
        }
        @if !report.counters_agree {
            p.warning role="alert" {
                "The events of this drop do not add up to its counters. Run " code { "firstcome verify" } " before these figures are used."
            }
        }
    }
}

/// The figures that most readers look for.
fn figures(report: &DropReport) -> Markup {
    let (drop, orders, lost) = (&report.drop, &report.orders, &report.lost_demand);
    let figure = |title: &str, value: &str, note: &str| {
        html! { div { dt { (title) } dd { (value) " " small { (note) } } } }
    };
    let total = u64::from(drop.total);
    html! {
        dl.figures {
            (figure("Sold", &count(drop.sold.into()), &format!("of {}, {}", counted(total, "unit"), percent(drop.sold.into(), total))))
            @match drop.sold_out_after_ms {
                Some(after) => (figure("Sold out after", &span(after), "until the last unit was held or sold")),
                None => (figure("Available", &count(drop.available.into()), &format!("{} held for buyers", count(drop.held.into())))),
            }
            (figure("Orders", &count(orders.placed.orders), &format!("{} of them paid in time", percent(orders.paid.orders, orders.placed.orders))))
            @for sums in &report.money.payments {
                (figure(
                    &format!("Kept, {}", sums.provider),
                    &amount(sums.kept, &sums.currency),
                    &format!("of {} received", amount(sums.received, &sums.currency)),
                ))
            }
            (figure("Refused as sold out", &count(lost.refused_sold_out), "requests, not buyers"))
            (figure("Busiest second", &count(report.commands.peak_per_second), "requests decided"))
        }
    }
}

fn foot(report: &DropReport) -> Markup {
    html! {
        footer {
            p {
                "Times are in UTC. Orders and units are counted from the audit up to event " (count(report.as_of_seq)) ". Requests are those that the server decided for the drop: orders, tickets and places of a line with their repeats, and operators' commands."
                @if report.rejections.is_none() { " Requests that were rejected before a decision are in no file, so they are not in this report." }
            }
            p { "Made by firstcome. The page has no buyers, order ids and contacts." }
        }
    }
}

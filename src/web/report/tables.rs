//! The tables of a report.

use maud::{Markup, html};

use super::words::{amount, count, instant, percent, span, wait};
use crate::api::json::report::{DropReport, Durations, OrdersAndUnits};

/// All tables.
pub(super) fn all(report: &DropReport) -> Markup {
    html! {
        (drop(report))
        (orders(report))
        (outcomes(report))
        (payments(report))
        (refunds(report))
        (plan(report))
        (rejections(report))
    }
}

/// A table of names and values.
fn pairs(title: &str, rows: &[(&str, String)]) -> Markup {
    html! {
        section {
            h2 { (title) }
            div.table {
                table.figures {
                    tbody { @for (name, value) in rows { tr { th scope="row" { (name) } td.number { (value) } } } }
                }
            }
        }
    }
}

fn drop(report: &DropReport) -> Markup {
    let drop = &report.drop;
    let or_not = |text: &Option<String>| text.as_deref().map_or_else(|| "not yet".into(), instant);
    pairs(
        "The drop",
        &[
            ("Price of a unit", amount(drop.unit_price, &drop.currency)),
            ("Units", count(drop.total.into())),
            ("Sold", count(drop.sold.into())),
            ("Held", count(drop.held.into())),
            ("Available", count(drop.available.into())),
            ("Created", or_not(&drop.created_at)),
            ("Start", instant(&drop.starts_at)),
            ("Sales began", or_not(&drop.opened_at)),
            ("Sold out", or_not(&drop.sold_out_at)),
            ("Every unit paid", or_not(&drop.all_paid_at)),
        ],
    )
}

fn orders(report: &DropReport) -> Markup {
    let orders = &report.orders;
    let row = |name: &str, counted: &OrdersAndUnits| {
        html! {
            tr {
                th scope="row" { (name) }
                td.number { (count(counted.orders)) }
                td.number { (percent(counted.orders, orders.placed.orders)) }
                td.number { (count(counted.units)) }
            }
        }
    };
    let times = |name: &str, durations: &Durations| {
        html! {
            tr {
                th scope="row" { (name) }
                td.number { (count(durations.count)) }
                @for ms in [durations.p50_ms, durations.p90_ms, durations.p99_ms, durations.max_ms] {
                    td.number { @if durations.count == 0 { "–" } @else { (span(ms)) } }
                }
            }
        }
    };
    html! {
        section {
            h2 { "Orders" }
            div.table {
                table.figures {
                    thead { tr { th scope="col" { "Orders" } th.number scope="col" { "Number" } th.number scope="col" { "Share" } th.number scope="col" { "Units" } } }
                    tbody {
                        (row("reserved", &orders.placed))
                        (row("paid in time", &orders.paid))
                        (row("expired", &orders.expired))
                        (row("paid after expiry", &orders.paid_late))
                        (row("cancelled by the buyer", &orders.cancelled_by_buyer))
                        (row("cancelled by an operator", &orders.cancelled_by_operator))
                        (row("waiting for payment", &orders.live))
                    }
                }
            }
            h3 { "Time since the reservation" }
            div.table {
                table.figures {
                    thead { tr { th scope="col" { "Until" } th.number scope="col" { "Orders" } @for title in ["half", "90 %", "99 %", "all"] { th.number scope="col" { (title) } } } }
                    tbody { (times("checkout", &report.until_checkout)) (times("payment", &report.until_payment)) }
                }
            }
        }
    }
}

fn outcomes(report: &DropReport) -> Markup {
    let (commands, outcomes) = (&report.commands, &report.commands.outcomes);
    pairs(
        "Requests",
        &[
            ("Decided", count(commands.decided)),
            ("Orders reserved", count(outcomes.reserved)),
            ("Other commands accepted", count(outcomes.other_accepted)),
            ("Repeats of earlier requests", count(outcomes.repeated)),
            ("Refused: sold out", count(outcomes.sold_out)),
            ("Refused: limit of the buyer", count(outcomes.limit_reached)),
            ("Refused: not started", count(outcomes.not_started)),
            ("Refused: ended", count(outcomes.ended)),
            ("Refused: paused", count(outcomes.paused)),
            ("Refused: key of another request", count(outcomes.key_reused)),
            ("Refused: not admitted by the waiting room", count(outcomes.not_admitted)),
            ("Refused: caps, other reasons", count(outcomes.other_refused)),
            ("Most in one second", count(commands.peak_per_second)),
            ("Busiest second", commands.peak_at.as_deref().map_or_else(|| "–".into(), instant)),
            ("Mean wait in the queue", wait(commands.queue_wait_ms_mean)),
            ("Longest wait in the queue", wait(commands.queue_wait_ms_max)),
            ("Commits", count(commands.commits)),
            ("Mean time of a commit", wait(commands.commit_ms_mean)),
        ],
    )
}

fn payments(report: &DropReport) -> Markup {
    if report.money.payments.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Payments" }
            div.table {
                table.figures {
                    thead {
                        tr {
                            th scope="col" { "Provider" }
                            @for title in ["Payments", "Not kept", "Received", "Kept", "Refunded", "Owed"] { th.number scope="col" { (title) } }
                        }
                    }
                    tbody {
                        @for sums in &report.money.payments {
                            tr {
                                th scope="row" { (sums.provider) }
                                td.number { (count(sums.payments)) }
                                td.number { (count(sums.not_kept)) }
                                @for minor in [sums.received, sums.kept, sums.refunded, sums.refund_due] {
                                    td.number { (amount(minor, &sums.currency)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn refunds(report: &DropReport) -> Markup {
    let (money, refunds) = (&report.money, &report.money.refunds);
    let mut rows = vec![
        ("Refunds paid out at once", refunds.made),
        ("Refunds requested of a provider", refunds.requested),
        ("Refunds that were owed and are paid out", refunds.settled),
        ("Refunds made by a provider without a request", refunds.reported),
        ("Refunds that did not reach the buyer", refunds.failed),
        ("Chargebacks", money.chargebacks),
        ("Failed payments", money.payments_failed),
    ];
    let reasons: Vec<(String, u64)> = money
        .not_kept
        .iter()
        .map(|sum| (format!("Payments owed back: {}", sum.reason.replace('_', " ")), sum.payments))
        .collect();
    rows.extend(reasons.iter().map(|(name, payments)| (name.as_str(), *payments)));
    rows.retain(|(_, number)| *number > 0);
    if rows.is_empty() {
        return html! {};
    }
    let rows: Vec<(&str, String)> = rows.into_iter().map(|(name, number)| (name, count(number))).collect();
    pairs("Refunds and failures", &rows)
}

fn plan(report: &DropReport) -> Markup {
    let Some(plan) = &report.plan else { return html! {} };
    let mut rows = Vec::new();
    if let Some(requests) = plan.requests_per_second {
        rows.push(("Requests a second", count(requests.into()), count(plan.commands_per_second)));
    }
    if let Some(seconds) = plan.depletion_seconds {
        let took = report.drop.sold_out_after_ms.map_or_else(|| "not sold out".into(), span);
        rows.push(("Time until sold out", span(u64::from(seconds) * 1000), took));
    }
    html! {
        section {
            h2 { "Plan and sale" }
            p { "The settings " code { "plan." } " beside what happened. Requests of the plan may be of any kind; those of the sale are decided requests for this drop in its busiest second." }
            div.table {
                table.figures {
                    thead { tr { th scope="col" { "Figure" } th.number scope="col" { "Plan" } th.number scope="col" { "Sale" } } }
                    tbody { @for (name, planned, found) in &rows { tr { th scope="row" { (name) } td.number { (planned) } td.number { (found) } } } }
                }
            }
        }
    }
}

fn rejections(report: &DropReport) -> Markup {
    let Some(rejections) = &report.rejections else { return html! {} };
    let rows: Vec<(String, u64)> = rejections
        .iter()
        .filter(|rejection| rejection.requests > 0)
        .map(|rejection| (rejection.reason.replace('_', " "), rejection.requests))
        .collect();
    html! {
        section {
            h2 { "Rejected requests" }
            p { "Requests that the server rejected before a decision since it was started, over all drops: limits, a full queue, or a token." }
            @if rows.is_empty() { p { "There were no such requests." } } @else {
                div.table {
                    table.figures { tbody { @for (reason, requests) in &rows { tr { th scope="row" { (reason) } td.number { (count(*requests)) } } } } }
                }
            }
        }
    }
}

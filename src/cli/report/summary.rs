//! The most important figures of a report, as lines.

use crate::api::json::report::{DropReport, Durations, OrdersAndUnits, ProviderSums};
use crate::client::http::printable;
use crate::output;
use crate::web::report::words::{amount, span};

/// Prints the figures.
pub(super) fn print(report: &DropReport) {
    for (title, text) in lines(report) {
        output::line(format!("{title:14}{text}"));
    }
}

fn lines(report: &DropReport) -> Vec<(&'static str, String)> {
    let (drop, orders, commands, lost) = (&report.drop, &report.orders, &report.commands, &report.lost_demand);
    let mut lines = vec![
        ("drop", format!("{}: {} ({})", drop.id, printable(&drop.name), drop.state.replace('_', " "))),
        (
            "stock",
            format!("{} units: {} sold, {} held, {} available", drop.total, drop.sold, drop.held, drop.available),
        ),
    ];
    if let Some(after) = drop.sold_out_after_ms {
        lines.push(("sold out", format!("{} after sales began", span(after))));
    }
    let units = |counted: &OrdersAndUnits| format!("{} ({} units)", counted.orders, counted.units);
    lines.push((
        "orders",
        format!(
            "{} placed: {} paid, {} expired, {} cancelled, {} live",
            units(&orders.placed),
            units(&orders.paid),
            units(&orders.expired),
            orders.cancelled_by_buyer.orders.saturating_add(orders.cancelled_by_operator.orders),
            orders.live.orders,
        ),
    ));
    if report.until_payment.count > 0 {
        let Durations { p50_ms, p99_ms, .. } = report.until_payment;
        lines.push((
            "payment",
            format!("half within {} of the reservation, 99 % within {}", span(p50_ms), span(p99_ms)),
        ));
    }
    lines.push((
        "requests",
        format!(
            "{} for orders decided, at most {} in one second; mean wait {:.2} ms, mean commit {:.2} ms",
            commands.decided, commands.peak_per_second, commands.queue_wait_ms_mean, commands.commit_ms_mean
        ),
    ));
    lines.push((
        "lost demand",
        format!(
            "{} requests refused as sold out, {} over the limit, {} outside the sale",
            lost.refused_sold_out, lost.refused_limit_reached, lost.refused_not_open
        ),
    ));
    lines.extend(report.money.payments.iter().map(|sums| ("money", money_line(sums))));
    if !report.counters_agree {
        lines.push(("warning", "the events do not add up to the counters: run `firstcome verify`".into()));
    }
    lines
}

fn money_line(sums: &ProviderSums) -> String {
    let shown = |minor| amount(minor, &sums.currency);
    format!(
        "{}: {} payments, {} received, {} kept, {} refunded, {} due",
        printable(&sums.provider),
        sums.payments,
        shown(sums.received),
        shown(sums.kept),
        shown(sums.refunded),
        shown(sums.refund_due),
    )
}

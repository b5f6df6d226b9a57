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
            "{} decided, at most {} in one second; mean wait {:.2} ms, mean commit {:.2} ms",
            commands.decided, commands.peak_per_second, commands.queue_wait_ms_mean, commands.commit_ms_mean
        ),
    ));
    lines.push((
        "lost demand",
        format!(
            "{} requests refused as sold out, {} over the limit, {} outside the sale, {} not admitted, {} for other reasons",
            lost.refused_sold_out, lost.refused_limit_reached, lost.refused_not_open, commands.outcomes.not_admitted,
            commands.outcomes.other_refused
        ),
    ));
    lines.extend(report.money.payments.iter().map(|sums| ("money", money_line(sums))));
    let told = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:+.3}"));
    let correlations = |position, units| {
        let text = format!("correlation of arrival with position {}, with units {}", told(position), told(units));
        ("fairness", text)
    };
    if let Some(blind) = &report.fairness.blind {
        let proof = match blind.proof.as_ref().and_then(|proof| proof.is_proven) {
            Some(true) => "proven",
            Some(false) => "not what was published",
            None => "not done",
        };
        lines.push((
            "blind window",
            format!("{} orders recorded, {} of them granted; the draw is {proof}", blind.orders, blind.granted),
        ));
        lines.push(correlations(blind.arrival_position, blind.arrival_units));
    }
    if let Some(room) = &report.fairness.room {
        lines.push((
            "waiting room",
            format!(
                "{} tickets, {} admitted{}; half waited at most {}",
                room.tickets,
                room.admitted,
                room.without_order.map_or_else(String::new, |without| format!(", {without} of them without an order")),
                span(room.ticket_to_admission.p50_ms)
            ),
        ));
        lines.push(correlations(room.arrival_position, room.arrival_units));
    }
    if report.fairness.room.as_ref().and_then(|room| room.proof.as_ref()).is_some_and(|proof| proof.beacon_missed) {
        lines.push(("warning", "the beacon of the draw was missed: the seed alone decided".into()));
    }
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

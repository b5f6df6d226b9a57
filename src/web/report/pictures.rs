//! The pictures of a report, each with a sentence that says what it shows.

use maud::{Markup, html};

use super::chart::{Chart, Layer, LayerShape, Moment, TimeAxis, stacked};
use super::words::{amount, count, counted, date_and_time, percent, second, span, wait};
use crate::api::json::report::{DropReport, Outcomes, ReportPoint, ReportTimeline};

/// A kind of outcome: its words, its colour and its count.
type OutcomeKind = (&'static str, &'static str, fn(&Outcomes) -> u64);

/// Outcomes in the order in which they stand on each other.
const OUTCOMES: [OutcomeKind; 7] = [
    ("reserved", "sold", |outcomes| outcomes.reserved),
    ("repeats and other commands", "pale", |outcomes| outcomes.other_accepted.saturating_add(outcomes.repeated)),
    ("sold out", "red", |outcomes| outcomes.sold_out),
    ("over the limit", "held", |outcomes| outcomes.limit_reached),
    ("not on sale", "grey", not_open),
    ("not admitted", "blue", |outcomes| outcomes.not_admitted),
    ("other refusals", "violet", |outcomes| outcomes.key_reused.saturating_add(outcomes.other_refused)),
];

fn not_open(outcomes: &Outcomes) -> u64 {
    outcomes.not_started.saturating_add(outcomes.ended).saturating_add(outcomes.paused)
}

/// All pictures.
pub(super) fn all(report: &DropReport) -> Markup {
    html! {
        @match &report.whole {
            Some(whole) => {
                (stock(report, whole))
                (outcomes(report, whole))
                (conversion(report))
                (waits(report, whole))
            }
            None => {
                section {
                    h2 { "Nothing has happened yet" }
                    p { "No request for this drop was decided, so there is nothing to draw." }
                }
            }
        }
        (lost_demand(report))
        (money(report))
    }
}

fn axis(timeline: &ReportTimeline) -> TimeAxis {
    TimeAxis {
        from: second(&timeline.from).unwrap_or(0),
        point_seconds: timeline.point_seconds.max(1),
        points: timeline.points.len(),
    }
}

/// Returns the period of a timeline in words.
fn period(timeline: &ReportTimeline) -> String {
    let axis = axis(timeline);
    let length = i64::from(axis.point_seconds).saturating_mul(i64::try_from(axis.points).unwrap_or(0));
    let ((date, from), (last_date, until)) =
        (date_and_time(axis.from), date_and_time(axis.from.saturating_add(length)));
    if date == last_date {
        format!("{date}, {from} to {until} UTC")
    } else {
        format!("{date} {from} to {last_date} {until} UTC")
    }
}

fn values(timeline: &ReportTimeline, of: impl Fn(&ReportPoint) -> u64) -> Vec<f64> {
    timeline.points.iter().map(|point| as_float(of(point))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a height in a picture needs fewer digits")]
pub(super) fn as_float(number: u64) -> f64 {
    number as f64
}

fn moments(report: &DropReport) -> Vec<Moment> {
    let at = |text: &Option<String>, label| {
        let second = text.as_deref().and_then(second)?;
        Some(Moment { second, label })
    };
    [at(&report.drop.opened_at, "sales begin"), at(&report.drop.sold_out_at, "sold out")]
        .into_iter()
        .flatten()
        .collect()
}

pub(super) fn legend(kinds: &[(&str, &str)]) -> Markup {
    html! { ul.legend { @for (class, words) in kinds { li class=(class) { span { (words) } } } } }
}

/// The parts of a report over time: the opening, if there is one, and the whole.
fn parts<'a>(report: &'a DropReport, whole: &'a ReportTimeline) -> Vec<(&'static str, &'a ReportTimeline)> {
    match &report.opening {
        Some(opening) => vec![("The opening", opening), ("The whole sale", whole)],
        None => vec![("", whole)],
    }
}

fn stock(report: &DropReport, whole: &ReportTimeline) -> Markup {
    let drop = &report.drop;
    let told = match drop.sold_out_after_ms {
        Some(after) => format!("All units were held or sold {} after sales began", span(after)),
        None => format!("{} are still available", counted(drop.available.into(), "unit")),
    };
    let planned = report.plan.and_then(|plan| plan.depletion_seconds);
    html! {
        section {
            h2 { "Stock over time" }
            p {
                "Units of the drop: sold ones at the bottom, units held for buyers who have not paid above them, and free ones on top. "
                (told) "."
                @if let Some(seconds) = planned { " The plan was to sell evenly for " (span(u64::from(seconds) * 1000)) "." }
            }
            @for (title, timeline) in parts(report, whole) {
                figure {
                    @if !title.is_empty() { h3 { (title) } }
                    (stock_chart(report, timeline, planned).draw())
                    p { (period(timeline)) "; a point is " (span(u64::from(timeline.point_seconds) * 1000)) "." }
                }
            }
            @let kinds = [("sold", "sold"), ("held", "held"), ("free", "available"), ("plan", "plan: units held or sold")];
            (legend(if planned.is_some() { &kinds } else { &kinds[..3] }))
        }
    }
}

fn stock_chart(report: &DropReport, timeline: &ReportTimeline, planned: Option<u32>) -> Chart {
    let axis = axis(timeline);
    let free = |point: &ReportPoint| point.total.saturating_sub(point.held).saturating_sub(point.sold);
    let mut layers = stacked(vec![
        ("sold", values(timeline, |point| point.sold)),
        ("held", values(timeline, |point| point.held)),
        ("free", values(timeline, free)),
    ]);
    let opened = report.drop.opened_at.as_deref().and_then(second);
    if let Some((opened, seconds)) = opened.zip(planned) {
        let seen = i64::from(axis.point_seconds) * i64::try_from(axis.points.max(1)).unwrap_or(1);
        let place = |at: i64| as_percent(at - axis.from, seen);
        let total = as_float(report.drop.total.into());
        let until = (place(opened + i64::from(seconds)), total);
        layers.push(Layer { class: "plan", shape: LayerShape::Straight((place(opened), 0.0), until) });
    }
    let last = timeline.points.last().copied().unwrap_or_default();
    Chart {
        axis,
        sentence: format!(
            "Stock over time: at the end {} sold, {} held and {} available.",
            count(last.sold),
            count(last.held),
            count(free(&last))
        ),
        unit: "units",
        layers,
        moments: moments(report),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a place in a picture needs fewer digits")]
fn as_percent(part: i64, whole: i64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

fn outcomes(report: &DropReport, whole: &ReportTimeline) -> Markup {
    let commands = &report.commands;
    let present: Vec<_> = OUTCOMES.iter().filter(|(_, _, of)| of(&commands.outcomes) > 0).collect();
    let names: Vec<(&str, &str)> = present.iter().map(|(words, class, _)| (*class, *words)).collect();
    html! {
        section {
            h2 { "Requests by outcome" }
            p {
                "Requests that were decided for this drop per second, by outcome: orders, tickets of a waiting room, and other commands on it. "
                (count(commands.decided)) " in all, at most " (count(commands.peak_per_second)) " in one second. "
                "Each colour is an outcome; the height is the mean over a point."
            }
            @for (title, timeline) in parts(report, whole) {
                figure {
                    @if !title.is_empty() { h3 { (title) } }
                    (outcome_chart(report, timeline).draw())
                    p { (period(timeline)) "; a point is " (span(u64::from(timeline.point_seconds) * 1000)) "." }
                }
            }
            (legend(&names))
        }
    }
}

fn outcome_chart(report: &DropReport, timeline: &ReportTimeline) -> Chart {
    let seconds = f64::from(timeline.point_seconds.max(1));
    let rates = |of: fn(&Outcomes) -> u64| {
        timeline.points.iter().map(|point| as_float(of(&point.outcomes)) / seconds).collect::<Vec<f64>>()
    };
    Chart {
        axis: axis(timeline),
        sentence: format!("Requests per second by outcome; {} in all.", count(report.commands.decided)),
        unit: "requests/s",
        layers: stacked(OUTCOMES.iter().map(|(_, class, of)| (*class, rates(*of))).collect()),
        moments: moments(report),
    }
}

/// A bar of a list: its words, its colour, its share of the longest, and its number in words.
pub(super) struct Bar {
    pub(super) words: String,
    pub(super) class: &'static str,
    pub(super) value: u64,
    pub(super) number: String,
}

pub(super) fn bars(list: &[Bar]) -> Markup {
    bars_of(list, list.iter().map(|bar| bar.value).max().unwrap_or(0))
}

/// Draws bars as shares of a value that may be larger than each of them.
pub(super) fn bars_of(list: &[Bar], longest: u64) -> Markup {
    html! {
        table.bars { @for bar in list { tr { th scope="row" { (bar.words) } (bar.cells(longest)) } } }
    }
}

/// Draws two bars under each other for each row, which has the words of the first.
pub(super) fn pairs_of_bars(list: &[[Bar; 2]], longest: u64) -> Markup {
    html! {
        table.bars.pairs {
            @for [first, second] in list {
                tbody {
                    tr { th scope="rowgroup" rowspan="2" { (first.words) } (first.cells(longest)) }
                    tr { (second.cells(longest)) }
                }
            }
        }
    }
}

impl Bar {
    /// The cells of its row; a sign of percent stays beside its number.
    fn cells(&self, longest: u64) -> Markup {
        let width = format!("{:.2}%", as_float(self.value) * 100.0 / as_float(longest.max(1)));
        html! {
            td { svg width="100%" height="18" aria-hidden="true" { rect class=(self.class) width=(width) height="18" {} } }
            td.number { (self.number.replace(" %", "\u{a0}%")) }
        }
    }
}

fn conversion(report: &DropReport) -> Markup {
    let orders = &report.orders;
    let placed = orders.placed.orders;
    let bar = |words: &str, class, value| Bar {
        words: words.to_owned(),
        class,
        value,
        number: format!("{} · {}", count(value), percent(value, placed)),
    };
    let mut list = vec![
        bar("reserved", "pale", placed),
        bar("checked out", "blue", orders.checked_out),
        bar("paid in time", "sold", orders.paid.orders),
    ];
    let others = [
        ("expired", "held", orders.expired.orders),
        ("paid after expiry", "sold", orders.paid_late.orders),
        ("cancelled by buyer", "grey", orders.cancelled_by_buyer.orders),
        ("cancelled by operator", "grey", orders.cancelled_by_operator.orders),
        ("still waiting", "held", orders.live.orders),
    ];
    list.extend(
        others.into_iter().filter(|(_, _, value)| *value > 0).map(|(words, class, value)| bar(words, class, value)),
    );
    let paid = report.until_payment;
    html! {
        section {
            h2 { "From reservation to payment" }
            p {
                (counted(placed, "order")) " with " (counted(orders.placed.units, "unit")) "; the bars are orders, in percent of those that were reserved."
                @if paid.count > 0 {
                    " Half of the paid orders were paid within " (span(paid.p50_ms)) " of the reservation, 90 % within "
                    (span(paid.p90_ms)) ", the last after " (span(paid.max_ms)) "."
                }
            }
            figure { (bars(&list)) }
        }
    }
}

fn waits(report: &DropReport, whole: &ReportTimeline) -> Markup {
    let timeline = report.opening.as_ref().unwrap_or(whole);
    let commands = &report.commands;
    let chart = |sentence: String, layers| Chart {
        axis: axis(timeline),
        sentence,
        unit: "ms",
        layers,
        moments: moments(report),
    };
    let of = |value: fn(&ReportPoint) -> f64| timeline.points.iter().map(value).collect::<Vec<f64>>();
    let queue = vec![
        Layer {
            class: "pale",
            shape: LayerShape::Area(vec![0.0; timeline.points.len()], of(|point| point.queue_wait_ms_max)),
        },
        Layer { class: "mean", shape: LayerShape::Line(of(|point| point.queue_wait_ms_mean)) },
    ];
    let commit = vec![Layer {
        class: "blue",
        shape: LayerShape::Area(vec![0.0; timeline.points.len()], of(|point| point.commit_ms_mean)),
    }];
    html! {
        section {
            h2 { "Waits of the server" }
            p {
                "A request waited " (wait(commands.queue_wait_ms_mean)) " for its turn on average, and "
                (wait(commands.queue_wait_ms_max)) " at most; a commit to the disk took " (wait(commands.commit_ms_mean))
                " on average. The time on the network is not in these figures."
            }
            figure {
                h3 { "Wait in the queue" }
                (chart(format!("Wait in the queue over time, at most {}.", wait(commands.queue_wait_ms_max)), queue).draw())
                (legend(&[("pale", "longest wait"), ("mean", "mean")]))
            }
            figure {
                h3 { "Commit" }
                (chart(format!("Mean time of a commit over time, {} over all.", wait(commands.commit_ms_mean)), commit).draw())
                p { (period(timeline)) "; a point is " (span(u64::from(timeline.point_seconds) * 1000)) "." }
            }
        }
    }
}

fn lost_demand(report: &DropReport) -> Markup {
    let lost = &report.lost_demand;
    let bar = |words: &str, class, value| Bar { words: words.to_owned(), class, value, number: count(value) };
    let list = [
        bar("sold out", "red", lost.refused_sold_out),
        bar("over the limit", "held", lost.refused_limit_reached),
        bar("not on sale", "grey", lost.refused_not_open),
        bar("not admitted", "blue", report.commands.outcomes.not_admitted),
        bar("other reasons", "violet", report.commands.outcomes.other_refused),
    ];
    let any = list.iter().any(|bar| bar.value > 0);
    html! {
        section {
            h2 { "Demand that was not served" }
            @if any {
                p {
                    "Requests that were refused, by reason. One buyer may have sent many of them, and the units that they asked for are not recorded. "
                    (counted(lost.units_returned, "unit")) " came back from orders that were not kept; "
                    (counted(lost.units_left_over, "unit")) " are free although buyers were refused as sold out before."
                }
                figure { (bars(&list)) }
            } @else {
                p { "No request was refused." }
            }
        }
    }
}

fn money(report: &DropReport) -> Markup {
    let payments = &report.money.payments;
    html! {
        section {
            h2 { "Money" }
            @if payments.is_empty() {
                p { "No payment has come in." }
            } @else {
                p { "Money that came in, by provider and currency: kept for orders, given back, and still owed to buyers." }
            }
            @for sums in payments {
                @let bar = |words: &str, class, value| Bar {
                    words: words.to_owned(), class, value, number: amount(value, &sums.currency),
                };
                figure {
                    h3 { (sums.provider) ", " (sums.currency) }
                    (bars(&[
                        bar("received", "pale", sums.received),
                        bar("kept", "sold", sums.kept),
                        bar("refunded", "grey", sums.refunded),
                        bar("owed to buyers", "red", sums.refund_due),
                    ]))
                }
            }
        }
    }
}

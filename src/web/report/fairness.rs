//! The pictures of fairness: who got the units, and whether the first to come were the first in the line.

use maud::{Markup, html};

use super::chart::{Chart, Layer, LayerShape, Moment, TimeAxis};
use super::pictures::{Bar, as_float, bars, bars_of, legend, pairs_of_bars};
use super::words::{count, counted, percent, second, span};
use crate::api::json::report::fairness::{
    ArrivalTenth, Arrivals, BlindFairness, BlockShare, DrawProof, FairnessReport, GroupShare, OTHER, RoomFairness,
    UNKNOWN, UnitsShare,
};
use crate::api::json::report::{DropReport, Durations};
use crate::types::DrawState;

/// The words for a beacon that did not come.
const MISSED: &str = "missed: one was required and none came in time, so the seed alone decided";
/// The length of a bar that is a share of a tenth, for all of it.
const WHOLE: u64 = 10_000;

/// The section; nothing before the first order or ticket.
pub(super) fn section(report: &DropReport) -> Markup {
    let fairness = &report.fairness;
    let has_tickets = fairness.room.as_ref().is_some_and(|room| room.tickets > 0)
        || fairness.blind.as_ref().is_some_and(|window| window.orders > 0);
    if report.orders.placed.orders == 0 && !has_tickets {
        return html! {};
    }
    html! {
        section {
            h2 { "Fairness" }
            p {
                "Units are those that buyers hold or have bought. Groups of fewer than " (count(fairness.group_buyers_min))
                " buyers could point at a person: they are one sum, “" (OTHER) "”, or are left out."
            }
            @if let Some(room) = &fairness.room { (line(report, room)) }
            @if let Some(blind) = &fairness.blind { (window(report, blind)) }
            (buyers(fairness))
            (tiers(fairness))
            (blocks(fairness))
        }
    }
}

/// Returns a correlation in words.
fn correlation(value: f64) -> String {
    let meaning = match value.abs() {
        size if size < 0.1 => "arrival made no difference",
        size if size < 0.3 => "arrival made little difference",
        _ if value > 0.99 => "exactly by arrival",
        _ if value > 0.0 => "earlier arrivals came first",
        _ => "later arrivals came first",
    };
    format!("{value:+.3}: {meaning}")
}

fn line(report: &DropReport, room: &RoomFairness) -> Markup {
    html! {
        figure {
            h3 { "The waiting room" }
            p {
                (counted(room.tickets, "ticket")) ", " (count(room.admitted)) " of them admitted"
                @if let Some(without) = room.without_order { "; " (count(without)) " of those did not order" }
                ". "
                @if room.draw == "arrival" { "The line was in the order of arrival." } @else { "The line was drawn by lot." }
            }
            @if let Some(arrivals) = &room.arrivals { (arrivals_chart(report, arrivals, (room.tickets, "ticket")).draw()) }
            p { "Tickets by the time at which they were taken." }
        }
        (by_arrival(&room.tenths, "Each bar is a tenth of the tickets, in the order in which they were taken, and the share of it whose buyers have units."))
        (correlations(room.arrival_position, room.arrival_units))
        @if let Some(proof) = &room.proof { (draw(proof, &ROOM_DRAW)) }
        (waits(room))
    }
}

fn window(report: &DropReport, blind: &BlindFairness) -> Markup {
    let Durations { count: decided, p50_ms, max_ms, .. } = blind.recorded_to_decision;
    html! {
        figure {
            h3 { "The blind window" }
            p {
                (counted(blind.orders, "order")) " recorded in the first moments; the draw gave units to " (count(blind.granted)) " of them."
                @if decided > 0 { " Half of those were decided within " (span(p50_ms)) " of their recording, all within " (span(max_ms)) "." }
            }
            @if let Some(arrivals) = blind.arrivals.as_ref().filter(|arrivals| arrivals.tickets.len() > 1) {
                (arrivals_chart(report, arrivals, (blind.orders, "order")).draw())
                p { "Recorded orders by the time at which they came." }
            }
        }
        (by_arrival(&blind.tenths, "Each bar is a tenth of the recorded orders, in the order of arrival, and the share of it whose buyers have units."))
        (correlations(blind.arrival_position, blind.arrival_units))
        @if let Some(proof) = &blind.proof { (draw(proof, &BLIND_DRAW)) }
    }
}

fn by_arrival(tenths: &[ArrivalTenth], words: &str) -> Markup {
    let bars: Vec<Bar> = tenths.iter().enumerate().map(|(index, tenth)| tenth_bar(index, tenth)).collect();
    html! {
        @if !bars.is_empty() {
            figure {
                h3 { "Who got units, by arrival" }
                p { (words) }
                (bars_of(&bars, WHOLE))
            }
        }
    }
}

fn correlations(position: Option<f64>, units: Option<f64>) -> Markup {
    html! {
        @if position.is_some() || units.is_some() {
            h3 { "Does an early arrival help?" }
            div.table {
                table.figures {
                    tbody {
                        @if let Some(value) = position {
                            tr { th scope="row" { "Correlation of arrival and position" } td.words { (correlation(value)) } }
                        }
                        @if let Some(value) = units {
                            tr { th scope="row" { "Correlation of arrival and units" } td.words { (correlation(value)) } }
                        }
                    }
                }
            }
        }
    }
}

/// The words of a draw: what is drawn, the root over it, and before what the seed was committed to.
struct DrawWords {
    drawn: &'static str,
    root: &'static str,
    before: &'static str,
}

const ROOM_DRAW: DrawWords =
    DrawWords { drawn: "Tickets", root: "Root over the tickets", before: "before the room opened" };
const BLIND_DRAW: DrawWords = DrawWords { drawn: "Orders", root: "Root over the orders", before: "before the start" };

fn draw(proof: &DrawProof, words: &DrawWords) -> Markup {
    let tickets = proof.tickets.map(|tickets| count(tickets.into()));
    let rows: [(&str, Option<&str>); 7] = [
        ("Commitment", Some(proof.commitment.as_str())),
        (words.drawn, tickets.as_deref()),
        (words.root, proof.root.as_deref()),
        ("Beacon", proof.beacon.as_deref().or(proof.beacon_missed.then_some(MISSED))),
        ("Source of the beacon", proof.beacon_source.as_deref()),
        ("Seed", proof.seed.as_deref()),
        ("Result", proof.result.as_deref()),
    ];
    html! {
        h3 { "The draw" }
        p {
            @match proof.is_proven {
                Some(true) => { "The seed is the one that was committed to " (words.before) ". The report drew again with it, and came to the same result." }
                Some(false) => strong { "The draw does not follow from what was published: its seed or its result is another one." },
                None if proof.state == DrawState::Cancelled.as_str() => {
                    "The drop ended before its draw: nothing was drawn, and the seed stays secret."
                }
                None => "The draw is not done.",
            }
        }
        dl.proof {
            @for (name, value) in rows {
                @if let Some(value) = value { dt { (name) } dd { bdi { (value) } } }
            }
        }
    }
}

fn arrivals_chart(report: &DropReport, arrivals: &Arrivals, (number, noun): (u64, &'static str)) -> Chart {
    let axis = TimeAxis {
        from: second(&arrivals.from).unwrap_or(0),
        point_seconds: arrivals.point_seconds.max(1),
        points: arrivals.tickets.len(),
    };
    let heights: Vec<f64> = arrivals.tickets.iter().map(|tickets| as_float(*tickets)).collect();
    let starts = second(&report.drop.starts_at);
    Chart {
        axis,
        sentence: format!("{} by the time at which they came.", counted(number, noun)),
        unit: if noun == "order" { "orders" } else { "tickets" },
        layers: vec![Layer { class: "blue", shape: LayerShape::Area(vec![0.0; heights.len()], heights) }],
        moments: starts.map(|second| Moment { second, label: "start" }).into_iter().collect(),
    }
}

fn tenth_bar(index: usize, tenth: &ArrivalTenth) -> Bar {
    let words = match index {
        0 => "the first tenth".to_owned(),
        9 => "the last tenth".to_owned(),
        _ => format!("tenth {}", index.saturating_add(1)),
    };
    // Bars are shares: a tenth may have a ticket more than another.
    let share = tenth.with_units.saturating_mul(WHOLE).checked_div(tenth.tickets).unwrap_or(0);
    let number = format!("{} · {}", count(tenth.with_units), percent(tenth.with_units, tenth.tickets));
    Bar { words, class: "sold", value: share, number }
}

fn waits(room: &RoomFairness) -> Markup {
    let row = |name: &str, durations: &Durations| {
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
        h3 { "Waiting times" }
        div.table {
            table.figures {
                thead { tr { th scope="col" { "From … to" } th.number scope="col" { "Tickets" } @for title in ["half", "90 %", "99 %", "all"] { th.number scope="col" { (title) } } } }
                tbody {
                    (row("ticket to admission", &room.ticket_to_admission))
                    (row("start to admission", &room.start_to_admission))
                    @if let Some(until_order) = &room.admission_to_order { (row("admission to order", until_order)) }
                }
            }
        }
    }
}

fn buyers(fairness: &FairnessReport) -> Markup {
    let Some(buyers) = &fairness.buyers else {
        return html! { p { "There are too many buyers to tell them apart." } };
    };
    html! {
        @if !buyers.is_empty() {
            figure {
                h3 { "Units per buyer" }
                (unit_bars(buyers, "buyer"))
            }
        }
        @for identity in &fairness.identities {
            @let (title, noun) = identity_words(&identity.kind);
            @if !identity.shares.is_empty() {
                figure { h3 { (title) } (unit_bars(&identity.shares, noun)) }
            }
        }
    }
}

fn identity_words(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "email" => ("Units per e-mail address", "address"),
        "phone" => ("Units per phone number", "number"),
        "payment" => ("Units per payment method", "method"),
        _ => ("Units per postal address", "address"),
    }
}

fn unit_bars(shares: &[UnitsShare], noun: &str) -> Markup {
    let all: u64 = shares.iter().map(|share| share.buyers).sum();
    let list: Vec<Bar> = shares
        .iter()
        .map(|share| Bar {
            words: match share.units.as_str() {
                OTHER => "other numbers".to_owned(),
                "0" => "none left".to_owned(),
                "1" => "1 unit".to_owned(),
                units => format!("{units} units"),
            },
            class: if share.units == "0" { "grey" } else { "sold" },
            value: share.buyers,
            number: format!("{} · {}", many(share.buyers, noun), percent(share.buyers, all)),
        })
        .collect();
    bars(&list)
}

fn many(number: u64, noun: &str) -> String {
    if noun == "address" && number != 1 { format!("{} addresses", count(number)) } else { counted(number, noun) }
}

/// The words about groups of buyers: the title, what is shown, and the reason why something is not known of some of them.
struct GroupWords {
    title: &'static str,
    about: &'static str,
    unknown: &'static str,
}

const TIERS: GroupWords = GroupWords {
    title: "Units by the buyer's tier",
    about: "A buyer counts by the tier of the moment at which the ticket or the order came.",
    unknown: "Of exempt clients no tier is noted.",
};
const BLOCKS: GroupWords = GroupWords {
    title: "Units by address block",
    about: "Buyers from the same block of internet addresses (256 of IPv4, a customer's network of IPv6), by their number in one block. A few blocks with many buyers are a sign of bots.",
    unknown: "Of exempt clients, and of buyers behind the shop's back end, no address block is noted.",
};

/// A group of buyers, which may be of those of whom nothing is known.
struct GroupRow {
    words: String,
    is_unknown: bool,
    tickets: u64,
    units: u64,
}

fn tiers(fairness: &FairnessReport) -> Markup {
    let row = |share: &GroupShare| {
        let is_unknown = share.group == UNKNOWN;
        let words = if is_unknown { "not noted".to_owned() } else { share.group.clone() };
        GroupRow { words, is_unknown, tickets: share.tickets, units: share.units }
    };
    groups(fairness, &TIERS, &fairness.tiers.iter().map(row).collect::<Vec<_>>())
}

fn blocks(fairness: &FairnessReport) -> Markup {
    let row = |share: &BlockShare| GroupRow {
        words: match share.buyers_in_block.as_str() {
            OTHER => "other blocks".to_owned(),
            UNKNOWN => "not noted".to_owned(),
            "1" => "1 buyer".to_owned(),
            buyers => format!("{} buyers", buyers.replace('-', "–")),
        },
        is_unknown: share.buyers_in_block == UNKNOWN,
        tickets: share.tickets,
        units: share.units,
    };
    groups(fairness, &BLOCKS, &fairness.blocks.iter().map(row).collect::<Vec<_>>())
}

/// Draws two bars for each group: its share of the tickets, and its share of the units.
fn groups(fairness: &FairnessReport, words: &GroupWords, rows: &[GroupRow]) -> Markup {
    let (noun, nouns) = if fairness.blind.is_some() { ("order", "recorded orders") } else { ("ticket", "tickets") };
    let tickets: u64 = rows.iter().map(|row| row.tickets).sum();
    let units: u64 = rows.iter().map(|row| row.units).sum();
    let bar = |row: &GroupRow, class, (value, whole): (u64, u64), noun: &str| Bar {
        words: row.words.clone(),
        class,
        value: value.saturating_mul(WHOLE).checked_div(whole).unwrap_or(0),
        number: format!("{} · {}", counted(value, noun), percent(value, whole)),
    };
    let pairs: Vec<[Bar; 2]> = rows
        .iter()
        .map(|row| [bar(row, "pale", (row.tickets, tickets), noun), bar(row, "violet", (row.units, units), "unit")])
        .collect();
    html! {
        @if !rows.is_empty() {
            figure {
                h3 { (words.title) }
                @if rows.iter().all(|row| row.is_unknown) { p { (words.unknown) } } @else {
                    p {
                        (words.about) " Each group has its share of the " (nouns) " and, below, its share of the units."
                        @if rows.iter().any(|row| row.is_unknown) { " " (words.unknown) }
                    }
                    (pairs_of_bars(&pairs, WHOLE))
                    (legend(&[("pale", nouns), ("violet", "units")]))
                }
            }
        }
    }
}

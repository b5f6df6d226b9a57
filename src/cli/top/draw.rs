//! Renders a view into terminal cells. At 80 by 24 everything fits; a smaller terminal cuts off the bottom and the right.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{LineGauge, Paragraph, Widget};

use super::view::{ConnectionState, RoomLine, StockRow, View, rate, seconds, whole};
use crate::telemetry::outcome_rates::FigureLevel;
use crate::telemetry::page::Percentile;

/// Smallest size at which everything fits, and the size of `--once`.
pub(super) const SMALLEST: (u16, u16) = (80, 24);
/// Limit for the rows of drops.
const DROPS_MAX: usize = 12;
/// Heights of fixed parts; the stock table takes the remaining lines.
const LATENCY_LINES: u16 = 8;
const FACT_LINES: u16 = 8;
const FACT_WIDTH: u16 = 40;

impl FigureLevel {
    fn style(self) -> Style {
        match self {
            FigureLevel::Normal => Style::new(),
            FigureLevel::Warning => Style::new().fg(Color::Yellow),
            // Distinguishable without colours too.
            FigureLevel::Alarm => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD | Modifier::REVERSED),
        }
    }
}

const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws a view, or without one the state of the connection.
pub(super) fn draw(view: Option<&View>, server: &str, state: &ConnectionState, area: Rect, buffer: &mut Buffer) {
    let Some(view) = view else {
        let lines = vec![Line::styled(format!("firstcome top  {server}"), BOLD), state_line(state)];
        return Paragraph::new(lines).render(area, buffer);
    };
    let [head, queue, middle, stock, facts] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(2),
        Constraint::Length(LATENCY_LINES),
        Constraint::Min(4),
        Constraint::Length(FACT_LINES),
    ])
    .areas(area);
    heading(view, head, buffer);
    queue_lines(view, queue, buffer);
    let [left, right] = Layout::horizontal([Constraint::Length(50), Constraint::Min(28)]).areas(middle);
    latencies(view, left, buffer);
    outcomes(view, right, buffer);
    stock_lines(view, stock, buffer);
    fact_lines(view, facts, buffer);
}

fn state_line(state: &ConnectionState) -> Line<'static> {
    match state {
        ConnectionState::Waiting => Line::styled("waiting for the first response", DIM),
        ConnectionState::Fresh => Line::styled("q quits", DIM),
        ConnectionState::Lost { reason, for_seconds } => {
            let text = format!("NO RESPONSE for {for_seconds} s ({reason}): retrying; the figures below are old");
            Line::styled(text, FigureLevel::Alarm.style())
        }
    }
}

fn heading(view: &View, area: Rect, buffer: &mut Buffer) {
    let events = view.events_per_second.map_or("-".into(), rate);
    let batch = view.batch.map_or("-".into(), rate);
    let line = Line::from(vec![
        Span::styled("firstcome top  ", BOLD),
        Span::raw(format!("{}  ", view.server)),
        Span::raw(format!("seq {}  {events} events/s  batch {batch}", whole(view.seq))),
    ]);
    Paragraph::new(vec![line, state_line(&view.state)]).render(area, buffer);
}

fn queue_lines(view: &View, area: Rect, buffer: &mut Buffer) {
    let queue = view.queue;
    let [words, gauge] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(area);
    let text = format!(
        "queue  {} of {}, peak {} in the last minute",
        whole(queue.depth),
        whole(queue.capacity),
        whole(queue.peak)
    );
    Line::styled(text, queue.level().style()).render(words, buffer);
    LineGauge::default()
        .ratio((queue.percent() / 100.0).clamp(0.0, 1.0))
        .label(format!("{:>3.0} %", queue.percent()))
        .filled_symbol("█")
        .unfilled_symbol("·")
        .filled_style(queue.level().style())
        .render(gauge, buffer);
}

fn latencies(view: &View, area: Rect, buffer: &mut Buffer) {
    let mut lines = vec![Line::styled(format!("{:15}{:>8}{:>8}{:>8}{:>8}", "", "/s", "p50", "p95", "p99"), BOLD)];
    for row in &view.latencies {
        let text = format!(
            "{:15}{:>8}{:>8}{:>8}{:>8}",
            row.name,
            row.per_second.map_or("-".into(), rate),
            shown(row.p50),
            shown(row.p95),
            shown(row.p99)
        );
        lines.push(Line::styled(text, row.level.style()));
    }
    Paragraph::new(lines).render(area, buffer);
}

fn shown(percentile: Option<Percentile>) -> String {
    match percentile {
        None => "-".into(),
        Some(Percentile::At(value)) => seconds(value),
        Some(Percentile::Above(value)) => format!(">{}", seconds(value)),
    }
}

fn outcomes(view: &View, area: Rect, buffer: &mut Buffer) {
    let mut lines = vec![Line::styled(format!("{:>7}  outcomes", "/s"), BOLD)];
    if view.outcomes.is_empty() {
        lines.push(Line::styled(format!("{:>7}  no decisions", "-"), DIM));
    }
    let room = usize::from(area.height).saturating_sub(2);
    for one in view.outcomes.iter().take(room) {
        lines.push(Line::styled(format!("{:>7}  {}", rate(one.per_second), one.name), one.level.style()));
    }
    let left_out = view.outcomes.len().saturating_sub(room);
    if left_out > 0 {
        lines.push(Line::styled(format!("{:>7}  and {left_out} more", ""), DIM));
    }
    Paragraph::new(lines).render(area, buffer);
}

fn stock_lines(view: &View, area: Rect, buffer: &mut Buffer) {
    let title = format!("{:<24}{:>11}{:>9}{:>9}  █ sold ▒ held ░ free", "drop", "free", "held", "sold");
    let mut lines = vec![Line::styled(title, BOLD)];
    if view.stock.is_empty() {
        lines.push(Line::styled("no drop is on sale (--drop ID shows one)", DIM));
    }
    let room = usize::from(area.height).saturating_sub(2).min(DROPS_MAX);
    let bar_width = usize::from(area.width).saturating_sub(56).min(60);
    let mut left_out = view.stock.len();
    for drop in &view.stock {
        let needed = 1 + usize::from(drop.room.is_some());
        if lines.len() - 1 + needed > room {
            break;
        }
        left_out -= 1;
        let name: String = match drop.state.as_str() {
            "" => drop.drop.clone(),
            state => format!("{}, {state}", drop.drop),
        };
        let name: String = name.chars().take(23).collect();
        let figures =
            format!("{name:<24}{:>11}{:>9}{:>9}  ", whole(drop.available), whole(drop.held), whole(drop.sold));
        lines.push(Line::from(vec![Span::raw(figures), Span::raw(bar(drop, bar_width))]));
        lines.extend(drop.room.map(|room| Line::styled(room_line(&room), DIM)));
    }
    if left_out > 0 {
        lines.push(Line::styled(format!("and {left_out} more"), DIM));
    }
    Paragraph::new(lines).render(area, buffer);
}

/// The line of a drop's waiting room.
fn room_line(room: &RoomLine) -> String {
    let state = match room.beacon_wait {
        Some(seconds) => format!("waits for a beacon since {} s", whole(seconds)),
        None if room.is_serving => "serving".to_owned(),
        None => "not serving".to_owned(),
    };
    let idle = room.idle.map_or_else(String::new, |idle| format!(", {} of them without an order", whole(idle)));
    format!("  room, {state}: {} wait, {} admitted{idle}", whole(room.waiting), whole(room.admitted))
}

/// Draws sold, held and free units as a bar. A part above zero has at least one cell.
fn bar(stock: &StockRow, width: usize) -> String {
    let mut bar = String::new();
    let mut left = width;
    for (units, cell) in [(stock.sold, '█'), (stock.held, '▒'), (stock.available, '░')] {
        let part = if stock.total > 0.0 { (units / stock.total).clamp(0.0, 1.0) } else { 0.0 };
        let cells = cells(part, width).max(usize::from(units > 0.0)).min(left);
        left = left.saturating_sub(cells);
        bar.extend(std::iter::repeat_n(cell, cells));
    }
    bar
}

/// Returns a part of the width in cells, rounded.
fn cells(part: f64, width: usize) -> usize {
    (0..=width).rev().find(|cells| f64_of(*cells) - 0.5 <= part * f64_of(width)).unwrap_or(0)
}

fn f64_of(cells: usize) -> f64 {
    u16::try_from(cells).map_or(f64::from(u16::MAX), f64::from)
}

/// Draws the facts in as many columns as fit.
fn fact_lines(view: &View, area: Rect, buffer: &mut Buffer) {
    let title = Line::styled("health", BOLD);
    title.render(Rect { height: area.height.min(1), ..area }, buffer);
    let rows = area.height.saturating_sub(1);
    let mut facts = view.facts.iter();
    let mut column = Rect { y: area.y.saturating_add(1), height: rows, width: FACT_WIDTH, ..area };
    while rows > 0 && column.x.saturating_add(FACT_WIDTH) <= area.x.saturating_add(area.width) {
        let lines: Vec<Line<'_>> = facts
            .by_ref()
            .take(usize::from(rows))
            .map(|fact| {
                let value = Span::styled(fact.value.clone(), fact.level.style());
                Line::from(vec![Span::raw(format!("{:<18}", fact.name)), value])
            })
            .collect();
        if lines.is_empty() {
            break;
        }
        Paragraph::new(lines).render(column, buffer);
        column.x = column.x.saturating_add(FACT_WIDTH);
    }
}

/// Renders the screen as lines of text.
pub(super) fn plain(view: Option<&View>, server: &str, state: &ConnectionState) -> Vec<String> {
    let rows = |view: &View| view.stock.iter().map(|drop| 1 + usize::from(drop.room.is_some())).sum::<usize>();
    let drops = view.map_or(0, |view| rows(view).min(DROPS_MAX));
    let more = u16::try_from(drops.saturating_sub(2)).unwrap_or(0);
    let area = Rect::new(0, 0, SMALLEST.0, SMALLEST.1.saturating_add(more));
    let mut buffer = Buffer::empty(area);
    draw(view, server, state, area, &mut buffer);
    let mut lines: Vec<String> = (0..area.height)
        .map(|y| {
            let cells = (0..area.width).filter_map(|x| buffer.cell((x, y)).map(|cell| cell.symbol()));
            cells.collect::<String>().trim_end().to_owned()
        })
        .collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

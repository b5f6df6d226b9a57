//! The screen: a view, put into cells. At 80 by 24 all of it is there; a smaller one loses from below and from the right.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{LineGauge, Paragraph, Widget};

use super::view::{Contact, Level, Stock, View, rate, seconds, whole};
use crate::client::metrics::Percentile;

/// What a terminal has at least, and what `--once` fills.
pub(super) const SMALLEST: (u16, u16) = (80, 24);
/// The most drops that have a line.
const DROPS_MAX: usize = 12;
/// Heading, queue, latencies and facts take these lines; what is left is stock's.
const LATENCY_LINES: u16 = 8;
const FACT_LINES: u16 = 8;
const FACT_WIDTH: u16 = 40;

impl Level {
    fn style(self) -> Style {
        match self {
            Level::Calm => Style::new(),
            Level::Watch => Style::new().fg(Color::Yellow),
            // Told without colours too.
            Level::Alarm => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD | Modifier::REVERSED),
        }
    }
}

const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws a view, or why there is none yet.
pub(super) fn draw(view: Option<&View>, server: &str, contact: &Contact, area: Rect, buffer: &mut Buffer) {
    let Some(view) = view else {
        let lines = vec![Line::styled(format!("firstcome top  {server}"), BOLD), state(contact)];
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

/// What is known of the server's being there.
fn state(contact: &Contact) -> Line<'static> {
    match contact {
        Contact::Waiting => Line::styled("waiting for its first answer", DIM),
        Contact::Fresh => Line::styled("q leaves", DIM),
        Contact::Gone { why, for_seconds } => {
            let text = format!("NO ANSWER for {for_seconds} s ({why}): trying on; what is below is old");
            Line::styled(text, Level::Alarm.style())
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
    Paragraph::new(vec![line, state(&view.contact)]).render(area, buffer);
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
        lines.push(Line::styled(format!("{:>7}  nothing is decided", "-"), DIM));
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
        lines.push(Line::styled("no drop is on sale (--drop ID looks at one)", DIM));
    }
    let room = usize::from(area.height).saturating_sub(2).min(DROPS_MAX);
    let bar_width = usize::from(area.width).saturating_sub(56).min(60);
    for drop in view.stock.iter().take(room) {
        let name: String = match drop.state.as_str() {
            "" => drop.drop.clone(),
            state => format!("{}, {state}", drop.drop),
        };
        let name: String = name.chars().take(23).collect();
        let figures =
            format!("{name:<24}{:>11}{:>9}{:>9}  ", whole(drop.available), whole(drop.held), whole(drop.sold));
        lines.push(Line::from(vec![Span::raw(figures), Span::raw(bar(drop, bar_width))]));
    }
    let left_out = view.stock.len().saturating_sub(room);
    if left_out > 0 {
        lines.push(Line::styled(format!("and {left_out} more"), DIM));
    }
    Paragraph::new(lines).render(area, buffer);
}

/// Sold, held and free units as parts of a bar. What is there at all has a cell.
fn bar(stock: &Stock, width: usize) -> String {
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

/// A part of so many cells, rounded.
fn cells(part: f64, width: usize) -> usize {
    (0..=width).rev().find(|cells| f64_of(*cells) - 0.5 <= part * f64_of(width)).unwrap_or(0)
}

fn f64_of(cells: usize) -> f64 {
    u16::try_from(cells).map_or(f64::from(u16::MAX), f64::from)
}

/// In columns, as many as there is room for.
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

/// The screen as lines of text, for a pipe.
pub(super) fn plain(view: Option<&View>, server: &str, contact: &Contact) -> Vec<String> {
    let drops = view.map_or(0, |view| view.stock.len().min(DROPS_MAX));
    let more = u16::try_from(drops.saturating_sub(2)).unwrap_or(0);
    let area = Rect::new(0, 0, SMALLEST.0, SMALLEST.1.saturating_add(more));
    let mut buffer = Buffer::empty(area);
    draw(view, server, contact, area, &mut buffer);
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

//! The history of a place in the line behind a drop, and of an order that a blind window recorded, by the rows of the drop's audit,
//! which names no buyer. A place is known by the event of its joining.

use std::collections::BTreeMap;

use super::line::{Story, drawn_position};
use super::past::AuditLine;
use super::rows;
use crate::cli::verbs::OperatorSession;
use crate::exit::Exit;
use crate::types::order_id::code_of;
use crate::types::{DropId, Seq};

/// A line as one of its entries meets it.
#[derive(Default)]
struct LinePast {
    /// Units of the entries that wait, by the events of their joining.
    waiting: BTreeMap<u64, i64>,
    units: i64,
    /// The number under which a blind window recorded it.
    recorded: Option<u64>,
    /// The number of orders that the draw of the window takes, and the same once it is done; later ones queue behind.
    to_draw: Option<u64>,
    drawn: Option<u64>,
    /// The end of the entry, in words.
    end: Option<String>,
    passed_over: u64,
}

/// Explains a place in the line behind a drop, or an order that a blind window recorded, by the event of its joining.
///
/// # Errors
/// 1 if there is no such place, or 69.
pub(super) async fn explain_standby(session: &OperatorSession<'_>, drop: u64, joined: u64) -> Result<(), Exit> {
    let mut story = Story::new("standby", drop, joined);
    let id = u32::try_from(drop).ok().and_then(DropId::new);
    let mut line_past = LinePast::default();
    rows::each(session, drop, |row| {
        if let Some(line) = AuditLine::of(row) {
            line_past.add(&line, joined, id, &mut story);
        }
        true
    })
    .await?;
    if line_past.units == 0 {
        return Err(Exit::failed(format!(
            "event {joined} is no joining of the line of drop {drop}; the answer to a joining has it in Firstcome-Seq"
        )));
    }
    let (units, length) = (line_past.units, line_past.waiting.len());
    story.put("quantity", units);
    story.put("state", if line_past.end.is_some() { "ended" } else { "waiting" });
    let noun = if units == 1 { "unit" } else { "units" };
    if let Some(number) = line_past.recorded {
        story.noun = "recorded_order";
        story.put("number", number);
        story.put("joined_seq", joined);
        let position = match line_past.drawn {
            Some(drawn) if number <= drawn => Some(drawn_position(session, drop, number).await?),
            Some(_) => number.checked_sub(1),
            None => None,
        };
        let place = position.map_or_else(|| "not drawn yet".to_owned(), |position| format!("position {position}"));
        if let Some(position) = position {
            story.put("position", position);
        }
        let end = line_past.end.as_deref().unwrap_or("is not decided yet");
        story.words = format!("{units} {noun}, {place}: it {end}");
        story.print(session);
        return Ok(());
    }
    let words = match line_past.end {
        Some(end) => end,
        None => {
            let position = line_past.waiting.range(..=joined).count();
            story.put("position", position);
            format!("waits at position {position} of {length}")
        }
    };
    let passed = match line_past.passed_over {
        0 => String::new(),
        1 => "; 1 later and smaller wish got units that were too few for it".into(),
        orders => format!("; {orders} later and smaller wishes got units that were too few for it"),
    };
    story.put("passed_over", line_past.passed_over);
    story.words = format!("{units} {noun}, {words}{passed}");
    story.print(session);
    Ok(())
}

impl LinePast {
    fn add(&mut self, line: &AuditLine<'_>, joined: u64, drop: Option<DropId>, story: &mut Story) {
        let of_entry = line.detail["joined_seq"].as_u64();
        let is_mine = of_entry == Some(joined);
        match line.kind {
            "standby_joined" => {
                self.waiting.insert(line.seq, line.quantity);
                if line.seq == joined {
                    self.units = line.quantity;
                    self.recorded = line.detail["number"].as_u64();
                    let (units, position) = (line.quantity, self.waiting.len());
                    let text = match self.recorded {
                        Some(number) => format!("the blind window recorded the order of {units} as no. {number}"),
                        None => format!("the buyer joined the line for {units}, at position {position}"),
                    };
                    story.tell(line, text);
                }
            }
            "window_ended" => {
                self.to_draw = line.detail["tickets"].as_u64();
                if self.recorded.is_some() {
                    let orders = self.to_draw.unwrap_or(0);
                    story.tell(line, format!("the blind window ended: orders 1 to {orders} are drawn"));
                }
            }
            "room_drawn" => {
                self.drawn = self.to_draw;
                if self.recorded.is_some() {
                    story.tell(line, "the draw gave each of them a position");
                }
            }
            "order_reserved" if of_entry.is_some() => {
                self.waiting.remove(&of_entry.unwrap_or(0));
                if is_mine {
                    self.grant(line, drop, story);
                } else if line.detail["standby"] == true
                    && of_entry.is_some_and(|entry| entry > joined)
                    && self.waiting.contains_key(&joined)
                {
                    self.passed_over = self.passed_over.saturating_add(1);
                }
            }
            "standby_left" => {
                self.waiting.remove(&of_entry.unwrap_or(0));
                if is_mine {
                    let text = self.leaving(line.detail["reason"].as_str());
                    story.tell(line, text);
                    self.end = Some(text.into());
                }
            }
            "drop_ended" | "drop_closed" => {
                if self.waiting.contains_key(&joined) {
                    story.tell(line, "the drop ended, and its line with it");
                    let undecided = "became no order: the drop ended before its turn";
                    let waiting = "was in the line when the drop ended";
                    self.end = Some(if self.recorded.is_some() { undecided } else { waiting }.into());
                }
                self.waiting.clear();
            }
            _ => {}
        }
    }

    /// Tells that the entry became an order.
    fn grant(&mut self, line: &AuditLine<'_>, drop: Option<DropId>, story: &mut Story) {
        let code = drop.zip(line.order.and_then(Seq::new)).map(|(drop, order)| code_of(drop.shard(), order));
        let code = code.unwrap_or_default();
        story.put("order", code.as_str());
        let turn = match self.recorded {
            Some(_) => "its turn came in the order of the draw",
            None => "units came back, and the buyer was the next in line",
        };
        story.tell(line, format!("{turn}: order {code}"));
        self.end = Some(format!("became order {code}"));
    }

    /// Returns the reason why the entry left without an order.
    fn leaving(&self, reason: Option<&str>) -> &'static str {
        match (self.recorded.is_some(), reason) {
            (true, Some("limit")) => "became no order: at its turn a limit left no room for it",
            (true, Some("sold_out")) => "became no order: at its turn fewer units were left than it asked for",
            (true, _) => "became no order: the buyer took it back",
            (false, Some("limit")) => "left the line: units came back, and a limit left no room for them",
            (false, _) => "left the line at the buyer's wish",
        }
    }
}

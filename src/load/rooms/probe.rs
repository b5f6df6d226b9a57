//! The writer's pauses, seen from outside: a repeat of a ticket, which the writer decides, once in a while on a connection of its own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::runtime::Builder;

use super::line::WaitingLine;
use super::requests::RoomRequests;
use crate::exit::Exit;
use crate::load::client::LoadConnection;
use crate::load::meter::{DIGITS, LATENCY_US_MAX};

/// The pause between two repeats.
const EVERY: Duration = Duration::from_millis(2);
/// The pauses of the start are those of so long after it.
const START: Duration = Duration::from_secs(3);

/// The times of the repeats, in microseconds.
pub(super) struct Pauses {
    /// The time from the last ticket to the start.
    pub(super) waiting: Histogram<u64>,
    /// Those that were under way at the start or began within [`START`] of it.
    pub(super) start: Histogram<u64>,
    /// The rest of the sale.
    pub(super) serving: Histogram<u64>,
}

/// Repeats the ticket of buyer 0 from the last ticket to the end of the run.
///
/// # Errors
/// 71 no runtime.
pub(super) fn measure(line: &WaitingLine, requests: &RoomRequests, server: SocketAddr) -> Result<Pauses, Exit> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Exit::system(format!("no runtime: {error}")))?;
    let one = || Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).map_err(|error| Exit::bug(error.to_string()));
    let mut pauses = Pauses { waiting: one()?, start: one()?, serving: one()? };
    let mut request = Vec::new();
    requests.ticket(0, &mut request);
    runtime.block_on(async {
        let mut open: Option<LoadConnection> = None;
        while !line.is_over() {
            tokio::time::sleep(EVERY).await;
            if line.tickets_taken_at().is_none() || line.polls_fast() {
                continue;
            }
            if open.as_ref().is_none_or(|open| !open.is_quiet()) {
                open = LoadConnection::open(server).await.ok();
            }
            let Some(connection) = open.as_mut() else { continue };
            let sent = Instant::now();
            let was_answered = connection.exchange(&request).await.is_ok();
            let us = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
            if !was_answered || !connection.is_reusable() {
                open = None;
            }
            let series = match line.serving_since() {
                None => &mut pauses.waiting,
                Some(since) if sent.saturating_duration_since(since) < START => &mut pauses.start,
                Some(_) => &mut pauses.serving,
            };
            series.saturating_record(us);
        }
    });
    Ok(pauses)
}

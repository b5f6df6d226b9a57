//! A crowd that waits in a room: tickets before the start, polls of the public body, an order once admitted.
//!
//! Most buyers take a ticket, poll, order when they are admitted and check out. Some ask for their ticket twice, come after the
//! start, never come back, never check out, or order before their turn; some order without a ticket. `habits` says what a buyer
//! does, `requests` and `answers` are the protocol, `line` is what the threads share, `ledger` counts, `worker` has the
//! connections, `probe` measures the writer's pauses from outside, `report` compares the books with the server.

pub(super) mod answers;
mod habits;
mod ledger;
mod line;
mod plan;
mod probe;
mod report;
mod requests;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use serde_json::json;

use super::drops;
use super::response::DropView;
use crate::client::http::{HttpClient, block_on};
use crate::exit::Exit;
use crate::telemetry::catalogue::RESIDENT;
use crate::telemetry::page::MetricsPage;
use ledger::RoomLedger;
use line::WaitingLine;
use requests::RoomRequests;
use worker::RoomJob;

pub(crate) use plan::{DrawKind, RoomPlan};
pub(crate) use report::RoomReport;

/// The interval at which the run is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs the crowd, and compares its books with the server's counters.
///
/// # Errors
/// 69 no server, or a server without waiting rooms, 70 a bug, 71 no thread or runtime.
pub(crate) fn run(plan: &RoomPlan) -> Result<RoomReport<'_>, Exit> {
    let memory_before = resident_bytes(&plan.admin);
    let drop_id = block_on(make_drop(plan))?;
    let line = Arc::new(WaitingLine::new(plan));
    let requests = Arc::new(RoomRequests::new(&plan.public.authority, drop_id, plan.seed));
    let mut threads = Vec::with_capacity(plan.threads);
    for thread in 0..plan.threads {
        let job = RoomJob {
            line: Arc::clone(&line),
            requests: Arc::clone(&requests),
            server: plan.public.address,
            connections: plan.connections / plan.threads + usize::from(thread < plan.connections % plan.threads),
            order_seconds: plan.order_seconds,
        };
        threads.push(spawn(format!("rush-room-{thread}"), move || worker::work(job))?);
    }
    let probe = {
        let (line, requests, server) = (Arc::clone(&line), Arc::clone(&requests), plan.public.address);
        spawn("rush-room-probe".to_owned(), move || probe::measure(&line, &requests, server))?
    };
    let memory_after = supervise(plan, &line);
    let bug = |what: &str| Exit::bug(format!("a load thread failed: {what}"));
    let mut ledger = RoomLedger::new().map_err(|error| bug(&error.to_string()))?;
    for thread in threads {
        let worked = thread.recv().map_err(|_| bug("it panicked"))?;
        ledger.merge(worked?).map_err(|error| bug(&error.to_string()))?;
    }
    let pauses = probe.recv().map_err(|_| bug("it panicked"))??;
    let drop = block_on(drops::read_patiently(std::iter::once(&plan.public), drop_id))?;
    let room = block_on(read_room(&plan.public.authority, drop_id))?;
    Ok(RoomReport::new(plan, &line, ledger, pauses, report::ServerFigures { drop, room, memory_before, memory_after }))
}

type Joined<T> = Receiver<Result<T, Exit>>;

/// Starts a thread whose result can be received.
fn spawn<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> Result<T, Exit> + Send + 'static,
) -> Result<Joined<T>, Exit> {
    let (send, receive) = bounded(1);
    let run = move || {
        // The receiver waits until every thread has ended.
        let _unreceived = send.send(work());
    };
    let spawned = std::thread::Builder::new().name(name).spawn(run);
    spawned.map(|_handle| receive).map_err(|error| Exit::system(format!("no thread: {error}")))
}

/// Waits for the end of the run; returns the server's memory once all tickets before the start are taken.
fn supervise(plan: &RoomPlan, line: &WaitingLine) -> Option<f64> {
    let started = Instant::now();
    let mut memory = None;
    while !line.is_over() {
        if started.elapsed() >= plan.deadline {
            line.cut_off();
        }
        if memory.is_none() && line.tickets_taken_at().is_some() {
            memory = resident_bytes(&plan.admin);
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    memory
}

/// Returns the server's resident memory, if its metrics can be read.
fn resident_bytes(admin: &HttpClient) -> Option<f64> {
    let text = block_on(async { admin.get_text("/metrics").await.map_err(|error| admin.exit("/metrics", &error)) });
    MetricsPage::parse(&text.ok()?).ok()?.value(RESIDENT.name)
}

/// Makes the drop with its room; returns its number.
async fn make_drop(plan: &RoomPlan) -> Result<u32, Exit> {
    let gather_ms = i64::try_from(plan.gather.as_millis()).unwrap_or(i64::MAX);
    let outlasts = plan.deadline.as_secs() + 60;
    let body = json!({
        "sku": format!("ROOM-{}", plan.seed),
        "name": format!("A room of seed {}", plan.seed),
        "currency": "EUR",
        "unit_price": 1_999,
        "total": plan.units,
        "per_buyer_limit": 1,
        "reservation_seconds": outlasts,
        "payment_seconds": outlasts.max(900),
        "starts_at": drops::from_now(&plan.admin, gather_ms).await?,
        "room": {
            "opens_at": drops::from_now(&plan.admin, -1_000).await?,
            "draw": plan.draw.as_str(),
            "admit_per_second": plan.admit_per_second,
            "order_seconds": plan.order_seconds,
        },
    });
    let made = drops::create_at(&plan.admin, "/v1/drops", &body).await?;
    let id = made["id"].as_u64().and_then(|id| u32::try_from(id).ok());
    id.ok_or_else(|| Exit::unavailable("invalid response: a drop without an id"))
}

/// Reads the room at the end of the run.
async fn read_room(authority: &str, drop_id: u32) -> Result<answers::RoomView, Exit> {
    let client = HttpClient::new(authority, "--public", None)?;
    let path = format!("/v1/drops/{drop_id}/room");
    let room = client.get_json(&path).await.map_err(|error| client.exit(&format!("GET {path}"), &error))?;
    serde_json::from_value(room).map_err(|error| Exit::unavailable(format!("invalid response: a room: {error}")))
}

/// Returns whether every unit is taken.
fn is_exhausted(drop: &DropView) -> bool {
    drop.taken() == drop.total
}

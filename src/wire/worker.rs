//! The state that all wire connections of a worker share.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::frame::{FrameType, Malformed};
use super::reason;
use super::subscriptions::Subscriptions;
use super::timeouts::{WIRE_CLOSE_CAUSES, WireCloseCause};
use crate::admission::Admission;
use crate::admission::largest_amounts::{Above, LargestAmounts};
use crate::admission::verified::VerifiedTokens;
use crate::config::WireLimits;
use crate::read::connection::is_moved;
use crate::read::{Reader, RoomFacts, auctions, rows};
use crate::telemetry::traces::{TraceOptions, TraceReason, Tracer, WriteTimeline, WriteTrace};
use crate::telemetry::{Telemetry, WireMeter, catalogue as metric};
use crate::types::{AuctionId, DropId, Quantity, UnitPrice};
use crate::writer::WriterHandle;
use crate::writer::clock::wall_clock_us;

/// Bytes of one read at most. One buffer of the worker takes all reads, so that an idle connection has none.
const READ_BYTES: usize = 4096;

/// The parts of the server that the wire protocol uses.
pub struct WireWorkerParts {
    pub limits: WireLimits,
    pub traces: TraceOptions,
    /// The client receives `outcome-unknown` if the writer has not replied by then.
    pub reply_deadline: Duration,
    pub admission: Arc<Admission>,
    pub telemetry: Arc<Telemetry>,
    /// Turns true when the server is stopping.
    pub stopping: watch::Receiver<bool>,
    pub writer: WriterHandle,
    /// The worker's index among the writer's reply mailboxes.
    pub mailbox: usize,
    pub reader: Reader,
    pub verified: Rc<RefCell<VerifiedTokens>>,
    pub room_facts: Rc<RefCell<RoomFacts>>,
    pub largest_amounts: Rc<LargestAmounts>,
}

/// The shared state of a worker's wire connections.
pub struct WireWorker {
    pub(super) parts: WireWorkerParts,
    pub(super) read_buffer: RefCell<Box<[u8]>>,
    pub(super) subscriptions: Rc<Subscriptions>,
    meter: RefCell<WireMeter>,
    tracer: RefCell<Tracer>,
    rejected: metrics::Counter,
    reply_timeouts: metrics::Counter,
    closed: [metrics::Counter; WIRE_CLOSE_CAUSES.len()],
    malformed: [metrics::Counter; MALFORMED.len()],
}

/// The types of a client's frames as labels, in the order of [`label`].
const TYPES: &[&str] = &["bid", "hello", "subscribe", "ping", "reserve", "join", "room", "other"];
/// The kinds of malformed frames as labels of metrics, in the order of their counters.
const MALFORMED: [&str; 4] = ["unknown_type", "length", "content", "truncated"];

/// Returns the index of a type's label.
const fn label(kind: FrameType) -> usize {
    match kind {
        FrameType::Bid => 0,
        FrameType::Hello => 1,
        FrameType::Subscribe => 2,
        FrameType::Ping => 3,
        FrameType::Reserve => 4,
        FrameType::Join => 5,
        FrameType::Room => 6,
        FrameType::Result
        | FrameType::Error
        | FrameType::Update
        | FrameType::Pong
        | FrameType::Reserved
        | FrameType::Ok
        | FrameType::Ticket
        | FrameType::RoomState => 7,
    }
}

#[cold]
fn emit_trace(kind: FrameType, reason: u8, received: Instant, timeline: WriteTimeline, why: TraceReason) {
    let write = WriteTrace {
        request_id: None,
        route: TYPES.get(label(kind)).copied().unwrap_or("other"),
        method: "frame",
        status: u16::from(reason),
        problem: None,
        started: received,
        answered: Instant::now(),
        answered_unix_us: wall_clock_us(),
        timeline,
        parent: None,
    };
    write.emit(why);
}

/// Returns the reason of a failed read, which is logged. If the file was replaced, the server ends within a second.
pub(super) fn fault(error: &rusqlite::Error) -> u8 {
    tracing::error!(%error, "database read failed");
    if is_moved(error) { reason::DRAINING } else { reason::INTERNAL }
}

fn refuse_above(above: rusqlite::Result<Option<Above>>) -> Result<(), u8> {
    match above {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(reason::VALIDATION),
        Err(error) => Err(fault(&error)),
    }
}

impl WireWorker {
    /// Refuses a bid above the largest amount that the payment provider takes.
    pub(super) fn check_bid(&self, auction_id: AuctionId, amount: UnitPrice) -> Result<(), u8> {
        let WireWorkerParts { largest_amounts, reader, .. } = &self.parts;
        let read = || {
            let row = reader.read(|connection| auctions::auction_by_id(connection, auction_id))?;
            Ok(row.map(|row| row.currency))
        };
        refuse_above(largest_amounts.of_bid(auction_id, amount, read))
    }

    /// Refuses an order above the largest amount that the payment provider takes.
    pub(super) fn check_order(&self, drop_id: DropId, quantity: Quantity) -> Result<(), u8> {
        let WireWorkerParts { largest_amounts, reader, writer, .. } = &self.parts;
        let read = || {
            let row = reader.read(|connection| rows::drop_by_id(connection, drop_id))?;
            Ok(row.map(|row| (row.currency, row.unit_price)))
        };
        refuse_above(largest_amounts.of_order(&writer.published, drop_id, quantity, read))
    }

    #[must_use]
    pub fn new(parts: WireWorkerParts) -> WireWorker {
        let telemetry = &parts.telemetry;
        let conflated = telemetry.counter(&metric::WIRE_CONFLATED, &[]);
        let published = Arc::clone(&parts.writer.published);
        WireWorker {
            read_buffer: RefCell::new(vec![0; READ_BYTES].into_boxed_slice()),
            subscriptions: Rc::new(Subscriptions::new(parts.reader.clone(), published, conflated)),
            meter: RefCell::new(WireMeter::new(telemetry, TYPES)),
            tracer: RefCell::new(Tracer::new(telemetry, parts.traces)),
            rejected: telemetry.counter(&metric::TURNED_AWAY, &[("reason", "queue")]),
            reply_timeouts: telemetry.counter(&metric::REPLY_TIMEOUT, &[]),
            closed: WIRE_CLOSE_CAUSES.map(|cause| telemetry.counter(&metric::CONNECTIONS_CLOSED, &[("cause", cause)])),
            malformed: MALFORMED.map(|reason| telemetry.counter(&metric::WIRE_MALFORMED, &[("reason", reason)])),
            parts,
        }
    }

    /// Counts a frame whose reply is known.
    pub(super) fn count_frame(&self, kind: FrameType, reason: u8) {
        self.meter.borrow_mut().frame(label(kind), reason::fate(reason));
    }

    /// Traces a command that the writer has decided, if it is due for a trace. The writer measures its duration, so that a
    /// bid reads no clock.
    pub(super) fn trace(&self, kind: FrameType, reason: u8, received: Instant, timeline: WriteTimeline) {
        let durable = timeline.stages.map_or_else(Instant::now, |stages| stages.committed);
        let why = self.tracer.borrow_mut().wants(timeline.took(durable), false, durable);
        if let Some(why) = why {
            emit_trace(kind, reason, received, timeline, why);
        }
    }

    /// Counts a command that the queue did not take.
    pub(super) fn count_rejected(&self) {
        self.rejected.increment(1);
    }

    /// Counts a reply that was late.
    pub(super) fn count_reply_timeout(&self) {
        self.reply_timeouts.increment(1);
    }

    /// Counts a connection that the server closed.
    pub(super) fn count_closed(&self, cause: WireCloseCause) {
        self.closed[cause as usize].increment(1);
    }

    /// Counts a malformed frame.
    pub(super) fn count_malformed(&self, malformed: Malformed) {
        let index = match malformed {
            Malformed::UnknownType(_) => 0,
            Malformed::Length { .. } => 1,
            Malformed::Content(_) => 2,
            Malformed::Truncated => 3,
        };
        self.malformed[index].increment(1);
    }

    /// Adds the worker's figures to the shared metrics.
    pub fn flush(&self) {
        self.meter.borrow_mut().flush(&self.parts.telemetry);
    }
}

/// Runs until the runtime ends: sends updates of auctions and rooms to their subscribers, and once a second drops subscriptions of
/// closed connections and flushes metrics.
pub async fn upkeep(wire: Rc<WireWorker>) {
    tokio::task::spawn_local(Rc::clone(&wire.subscriptions).watch());
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    loop {
        interval.tick().await;
        wire.meter.borrow_mut().subscriptions(wire.subscriptions.sweep());
        wire.flush();
    }
}

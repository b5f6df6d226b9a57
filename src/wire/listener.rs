//! What a serving thread keeps for all its connections of the binary protocol.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::frame::{FrameType, Malformed};
use super::pace::{CAUSES, Cause};
use super::reason;
use super::subscriptions::{self, Subscriptions};
use crate::admission::Admission;
use crate::admission::verified::VerifiedTokens;
use crate::config::WireLimits;
use crate::read::Reader;
use crate::telemetry::traces::{TraceOptions, TraceReason, Tracer, WriteTimeline, WriteTrace};
use crate::telemetry::{Telemetry, WireMeter, catalogue as metric};
use crate::writer::WriterHandle;
use crate::writer::clock::wall_clock_us;

/// What one read brings at most. One buffer of a thread takes all reads, so that a connection that says nothing has none.
const READ_BYTES: usize = 4096;

/// What the protocol needs of its thread.
pub struct WireParts {
    /// What a client may take.
    pub limits: WireLimits,
    /// Which of its commands are traced.
    pub traces: TraceOptions,
    /// After this a client is told `outcome-unknown`.
    pub reply_deadline: Duration,
    /// Who may come in.
    pub admission: Arc<Admission>,
    /// The metrics.
    pub telemetry: Arc<Telemetry>,
    /// Whether the server is ending.
    pub stopping: watch::Receiver<bool>,
    /// The way to the writer.
    pub writer: WriterHandle,
    /// Through which port the writer's answers come.
    pub port: usize,
    /// The thread's reader.
    pub reader: Rc<Reader>,
    /// Tokens that the thread has verified.
    pub verified: Rc<RefCell<VerifiedTokens>>,
}

/// What a thread's connections share.
pub struct Wire {
    pub(super) parts: WireParts,
    pub(super) scratch: RefCell<Box<[u8]>>,
    pub(super) subscriptions: Subscriptions,
    meter: RefCell<WireMeter>,
    tracer: RefCell<Tracer>,
    turned_away: metrics::Counter,
    reply_timeouts: metrics::Counter,
    closed: [metrics::Counter; CAUSES.len()],
    malformed: [metrics::Counter; MALFORMED.len()],
    conflated: metrics::Counter,
}

/// The types of a client's frames as labels, in the order of [`label`].
const TYPES: &[&str] = &["bid", "hello", "subscribe", "ping", "reserve", "other"];
/// What can be wrong with a frame, in the order of its counters.
const MALFORMED: [&str; 4] = ["unknown_type", "length", "content", "truncated"];

/// The position of a type's label.
const fn label(kind: FrameType) -> usize {
    match kind {
        FrameType::Bid => 0,
        FrameType::Hello => 1,
        FrameType::Subscribe => 2,
        FrameType::Ping => 3,
        FrameType::Reserve => 4,
        FrameType::Result
        | FrameType::Error
        | FrameType::Update
        | FrameType::Pong
        | FrameType::Reserved
        | FrameType::Ok => 5,
    }
}

#[cold]
fn tell(kind: FrameType, reason: u8, taken: Instant, timeline: WriteTimeline, why: TraceReason) {
    let write = WriteTrace {
        request_id: None,
        route: TYPES.get(label(kind)).copied().unwrap_or("other"),
        method: "frame",
        status: u16::from(reason),
        problem: None,
        started: taken,
        answered: Instant::now(),
        answered_unix_us: wall_clock_us(),
        timeline,
        parent: None,
    };
    write.tell(why);
}

impl Wire {
    /// Puts a thread's things together.
    #[must_use]
    pub fn new(parts: WireParts) -> Wire {
        let telemetry = &parts.telemetry;
        Wire {
            scratch: RefCell::new(vec![0; READ_BYTES].into_boxed_slice()),
            subscriptions: Subscriptions::default(),
            meter: RefCell::new(WireMeter::new(telemetry, TYPES)),
            tracer: RefCell::new(Tracer::new(telemetry, parts.traces)),
            turned_away: telemetry.counter(&metric::TURNED_AWAY, &[("reason", "queue")]),
            reply_timeouts: telemetry.counter(&metric::REPLY_TIMEOUT, &[]),
            closed: CAUSES.map(|cause| telemetry.counter(&metric::CONNECTIONS_CLOSED, &[("cause", cause)])),
            malformed: MALFORMED.map(|reason| telemetry.counter(&metric::WIRE_MALFORMED, &[("reason", reason)])),
            conflated: telemetry.counter(&metric::WIRE_CONFLATED, &[]),
            parts,
        }
    }

    /// A frame was answered, or will be: what with is certain.
    pub(super) fn answered(&self, kind: FrameType, reason: u8) {
        self.meter.borrow_mut().frame(label(kind), reason::fate(reason));
    }

    /// A command came back: it is traced, if it is to be. How long it took is known from the writer, so that a bid looks
    /// at no clock.
    pub(super) fn trace(&self, kind: FrameType, reason: u8, taken: Instant, timeline: WriteTimeline) {
        let durable = timeline.stages.map_or_else(Instant::now, |stages| stages.committed);
        let why = self.tracer.borrow_mut().wants(timeline.took(durable), false, durable);
        if let Some(why) = why {
            tell(kind, reason, taken, timeline, why);
        }
    }

    /// A command was not let into the queue.
    pub(super) fn turned_away(&self) {
        self.turned_away.increment(1);
    }

    /// A client was told that its answer is late.
    pub(super) fn reply_timed_out(&self) {
        self.reply_timeouts.increment(1);
    }

    /// A connection was closed.
    pub(super) fn closed(&self, cause: Cause) {
        self.closed[cause as usize].increment(1);
    }

    /// A frame was none.
    pub(super) fn malformed(&self, malformed: Malformed) {
        let index = match malformed {
            Malformed::UnknownType(_) => 0,
            Malformed::Length { .. } => 1,
            Malformed::Content(_) => 2,
            Malformed::Truncated => 3,
        };
        self.malformed[index].increment(1);
    }

    /// So many clients were not told of a change, because another came before they had read the one before.
    pub(super) fn conflated(&self, clients: usize) {
        if clients > 0 {
            self.conflated.increment(u64::try_from(clients).unwrap_or(u64::MAX));
        }
    }

    /// Figures go to the shared ones.
    pub fn flush(&self) {
        self.meter.borrow_mut().flush(&self.parts.telemetry);
    }
}

/// Once a second: figures go to the shared ones, and what nobody listens to is forgotten. And all the time: what has
/// changed is told to those who listen.
pub async fn upkeep(wire: Rc<Wire>) {
    tokio::task::spawn_local(subscriptions::watch(Rc::clone(&wire)));
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    loop {
        interval.tick().await;
        wire.meter.borrow_mut().subscriptions(wire.subscriptions.sweep());
        wire.flush();
    }
}

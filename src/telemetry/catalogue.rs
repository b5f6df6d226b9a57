//! The list of all metrics.

/// A metric: its name, what it counts, and how.
pub struct Metric {
    /// The name in Prometheus.
    pub name: &'static str,
    /// The HELP text.
    pub help: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricKind,
}

/// How a metric counts.
#[derive(Clone, Copy)]
pub enum MetricKind {
    /// Only upwards; its name ends with `_total`.
    Counter,
    /// Up and down.
    Gauge,
    /// Into these buckets.
    Histogram(&'static Buckets),
}

/// The bounds of a histogram.
pub struct Buckets {
    /// Inclusive, ascending; nanoseconds where the metric is in seconds, else what it counts.
    pub bounds: &'static [u64],
    /// How many of a bound's units make one of the metric's.
    pub per_unit: u64,
}

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;
const S: u64 = 1_000 * MS;

/// From 10 us (a decision) to 10 s (beyond every deadline): three per decade, and 20, 50, 150 and 200 ms, on which alerts stand.
#[rustfmt::skip] // a decade per line
pub const SECONDS: Buckets = Buckets {
    bounds: &[
        10 * US, 25 * US, 50 * US,
        100 * US, 250 * US, 500 * US,
        MS, 2_500 * US, 5 * MS,
        10 * MS, 20 * MS, 50 * MS,
        100 * MS, 150 * MS, 200 * MS, 500 * MS,
        S, 2 * S, 5 * S,
        10 * S,
    ],
    per_unit: S,
};
/// Powers of two up to the largest batch.
pub const COMMANDS: Buckets = Buckets { bounds: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096], per_unit: 1 };

macro_rules! catalogue {
    ($($name:ident = $kind:expr, $text:literal, $help:literal;)*) => {
        $(#[doc = $help] pub static $name: Metric = Metric { name: $text, help: $help, kind: $kind };)*
        /// Every metric.
        pub static CATALOGUE: &[&Metric] = &[$(&$name),*];
    };
}

catalogue! {
    QUEUE_DEPTH = MetricKind::Gauge, "firstcome_writer_queue_depth", "Commands that wait for the writer.";
    QUEUE_CAPACITY = MetricKind::Gauge, "firstcome_writer_queue_capacity", "Places in the writer's queue, the operators' reserve included.";
    QUEUE_WAIT = MetricKind::Histogram(&SECONDS), "firstcome_writer_queue_wait_seconds", "From the edge to the writer.";
    TOO_OLD = MetricKind::Counter, "firstcome_writer_too_old_total", "Buyers' commands that waited too long and were answered overloaded, undecided.";
    BATCH_COMMANDS = MetricKind::Histogram(&COMMANDS), "firstcome_writer_batch_commands", "Commands that shared one commit.";
    DECIDE = MetricKind::Histogram(&SECONDS), "firstcome_writer_decide_seconds", "Advance, prefetch, decide and evolve of one command.";
    RECORD = MetricKind::Histogram(&SECONDS), "firstcome_writer_record_seconds", "Writing a batch's rows.";
    COMMIT = MetricKind::Histogram(&SECONDS), "firstcome_writer_commit_seconds", "COMMIT of a batch, the wait for the disk included.";
    CHECKPOINT = MetricKind::Histogram(&SECONDS), "firstcome_checkpoint_seconds", "Copying the write-ahead log into the database.";
    CHECKPOINT_BUSY = MetricKind::Counter, "firstcome_checkpoint_busy_total", "Resets of the write-ahead log that readers prevented.";
    WAL_BYTES = MetricKind::Gauge, "firstcome_wal_bytes", "Size of the write-ahead log.";
    DATABASE_BYTES = MetricKind::Gauge, "firstcome_database_bytes", "Size of the database, without its write-ahead log.";
    DISK_FREE = MetricKind::Gauge, "firstcome_disk_free_bytes", "Room on the database's file system.";
    READ_ONLY = MetricKind::Gauge, "firstcome_read_only", "1 while nothing is sold because the disk is full.";
    CLOCK_OFFSET = MetricKind::Gauge, "firstcome_clock_offset_seconds", "Wall clock minus the clock of decisions.";
    KEYS_EVICTED = MetricKind::Gauge, "firstcome_idempotency_keys_evicted", "Keys forgotten before their 24 hours since the start.";
    CAPTURE_DROPPED = MetricKind::Counter, "firstcome_capture_dropped_total", "Decided commands that the capture leaves out because its recorder did not keep up, or has ended.";
    OUTCOMES = MetricKind::Counter, "firstcome_outcomes_total", "Decided commands by command and outcome.";
    ORDERS = MetricKind::Gauge, "firstcome_orders", "Orders of the file by state, those of auctions included.";
    DROP_UNITS = MetricKind::Gauge, "firstcome_drop_units", "Units of the live and scheduled drops that changed last: total, held, sold, available.";
    DROP_PLANNED = MetricKind::Gauge, "firstcome_drop_planned_units", "Units that should still be available now by plan.depletion_seconds, of the same drops once they have started; without that setting nothing.";
    PLAN_REQUESTS = MetricKind::Gauge, "firstcome_plan_requests_per_second", "The setting plan.requests_per_second; without it nothing.";
    AUCTIONS = MetricKind::Gauge, "firstcome_auctions", "Auctions by state.";
    AUCTION_PRICE = MetricKind::Gauge, "firstcome_auction_price", "Price in minor units of the live and scheduled auctions that changed last, from the first bid on.";
    AUCTION_BIDS = MetricKind::Gauge, "firstcome_auction_bids", "Accepted bids of the same auctions.";
    AUCTION_REMAINING = MetricKind::Gauge, "firstcome_auction_remaining_seconds", "Until the end of the same auctions, as late bids have moved it.";
    TURNED_AWAY = MetricKind::Counter, "firstcome_turned_away_total", "Requests that were not let in, so that nothing was decided, by reason: no place in the queue, no good token, a role that may not, too many in flight of one client.";
    REPLY_TIMEOUT = MetricKind::Counter, "firstcome_reply_timeout_total", "Clients that were told outcome-unknown because the answer was late.";
    SEQ = MetricKind::Gauge, "firstcome_seq", "The last durable event.";
    READS = MetricKind::Counter, "firstcome_reads_total", "Reads of drops and orders by source: a ready body, or the file.";
    READ = MetricKind::Histogram(&SECONDS), "firstcome_read_seconds", "Reads by source.";
    HTTP_REQUESTS = MetricKind::Counter, "firstcome_http_requests_total", "Answered requests by route, method and status.";
    HTTP_REQUEST = MetricKind::Histogram(&SECONDS), "firstcome_http_request_seconds", "From a request's head to its answer's head, by route; those of operators together.";
    PROBLEMS = MetricKind::Counter, "firstcome_problems_total", "Problems that HTTP clients were told, by code.";
    WORKER_REQUESTS = MetricKind::Counter, "firstcome_worker_requests_total", "Answered requests by serving thread: they should have about the same.";
    STREAMS = MetricKind::Gauge, "firstcome_streams", "Open event streams over HTTP by what they tell of.";
    CONNECTIONS = MetricKind::Gauge, "firstcome_connections", "Open connections by listener.";
    CONNECTIONS_REFUSED = MetricKind::Counter, "firstcome_connections_refused_total", "Connections closed at once, by reason: too many in total, of one address, or for the descriptors of the process.";
    CONNECTIONS_CLOSED = MetricKind::Counter, "firstcome_connections_closed_total", "Connections that the server closed because the client was too slow, by cause.";
    WIRE_FRAMES = MetricKind::Counter, "firstcome_wire_frames_total", "Answered frames of the binary protocol by type and what became of them: accepted, refused (a decision), turned away (nothing was decided), fault.";
    WIRE_SUBSCRIPTIONS = MetricKind::Gauge, "firstcome_wire_subscriptions", "Auctions that connections of the binary protocol want to hear of.";
    WIRE_CONFLATED = MetricKind::Counter, "firstcome_wire_conflated_total", "Changes of auctions that a subscriber was not told of by themselves, because the next came before it had read the one before.";
    WIRE_MALFORMED = MetricKind::Counter, "firstcome_wire_malformed_total", "Connections of the binary protocol that ended with a frame that cannot be, by what was wrong with it.";
    TLS_RELOADS = MetricKind::Counter, "firstcome_tls_reloads_total", "Changed certificate files that were taken (ok), or not, so that the old certificate stays in force (failed).";
    OVERSOLD = MetricKind::Gauge, "firstcome_oversold_units", "Recounted held and sold units above the total, over all drops. Anything but 0 is an emergency.";
    UNDERSOLD = MetricKind::Gauge, "firstcome_undersold_units", "Units that the counters keep but no live or paid order has, over all drops.";
    MISMATCHED = MetricKind::Gauge, "firstcome_mismatched_drops", "Drops whose counters do not agree with the recount; they are paused.";
    REFUNDS_DUE = MetricKind::Gauge, "firstcome_refunds_due", "Payments that are owed back, in whole or in part.";
    AUDIT_LAG = MetricKind::Gauge, "firstcome_audit_lag", "Events that the auditor has not counted yet.";
    PROVIDER_EVENTS = MetricKind::Counter, "firstcome_provider_events_total", "Webhooks of payment providers by provider and result: applied, ignored or duplicate; unauthorized: no good signature; stale; unfit: signed, but not as its provider writes; unused: of a type that means nothing here, or about no order; failed: not recorded, and sent again by its provider.";
    SESSIONS = MetricKind::Counter, "firstcome_payment_sessions_total", "Payment sessions by result: made; failed, and asked for again; refused by the provider for good.";
    SESSIONS_WAITING = MetricKind::Gauge, "firstcome_payment_sessions_waiting", "Orders whose payment session is asked for, or will be again.";
    OUTBOX_DELIVERIES = MetricKind::Counter, "firstcome_outbox_deliveries_total", "Attempts to tell endpoints of events by result; dead: given up after its last attempt, besides failed.";
    OUTBOX_ATTEMPT = MetricKind::Histogram(&SECONDS), "firstcome_outbox_attempt_seconds", "From a call to an endpoint to the end of its answer.";
    OUTBOX_AGE = MetricKind::Gauge, "firstcome_outbox_age_seconds", "Age of the oldest event that an enabled endpoint has not been told, and that is no dead letter.";
    OUTBOX_WAITING = MetricKind::Gauge, "firstcome_outbox_waiting", "Deliveries that failed, or stand behind one that did, and wait for their next attempt.";
    OUTBOX_DEAD = MetricKind::Gauge, "firstcome_outbox_dead_letters", "Deliveries that were given up and wait for an operator.";
    OUTBOX_BROKEN = MetricKind::Gauge, "firstcome_outbox_breakers_open", "Endpoints to which nothing gets through: only the oldest delivery is tried.";
    TRACES = MetricKind::Counter, "firstcome_traces_total", "Writes to be traced (slow, asked for by their sender, or one in traces.one_in) by what became of it: told, or left out because the second had enough.";
    TRACE_SPANS = MetricKind::Counter, "firstcome_trace_spans_total", "Spans for the collector of traces.otlp_url by what became of them: sent; dropped because it did not keep up; failed because it was away or refused them.";
    RESIDENT = MetricKind::Gauge, "firstcome_resident_memory_bytes", "Resident memory of the process.";
    DESCRIPTORS = MetricKind::Gauge, "firstcome_open_descriptors", "Open file descriptors of the process.";
    DESCRIPTORS_MAX = MetricKind::Gauge, "firstcome_max_descriptors", "File descriptors that the process may open.";
}

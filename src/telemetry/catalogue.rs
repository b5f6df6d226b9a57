//! The list of all metrics.

/// A metric: its name, what it counts, and how.
pub struct Metric {
    /// The name in Prometheus.
    pub name: &'static str,
    /// The HELP text.
    pub help: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
}

/// How a metric counts.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Only upwards; its name ends with `_total`.
    Counter,
    /// Up and down.
    Gauge,
    /// Into these buckets.
    Histogram(&'static [f64]),
}

/// From 10 us (a decision) to 10 s (beyond every deadline): three per decade, and 20, 50, 150 and 200 ms, on which alerts stand.
pub const SECONDS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2,
    0.5, 1.0, 2.0, 5.0, 10.0,
];
/// Powers of two up to the largest batch.
pub const COMMANDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

macro_rules! catalogue {
    ($($name:ident = $kind:expr, $text:literal, $help:literal;)*) => {
        $(#[doc = $help] pub static $name: Metric = Metric { name: $text, help: $help, kind: $kind };)*
        /// Every metric.
        pub static CATALOGUE: &[&Metric] = &[$(&$name),*];
    };
}

catalogue! {
    QUEUE_DEPTH = Kind::Gauge, "firstcome_writer_queue_depth", "Commands that wait for the writer.";
    QUEUE_CAPACITY = Kind::Gauge, "firstcome_writer_queue_capacity", "Places in the writer's queue, the operators' reserve included.";
    QUEUE_WAIT = Kind::Histogram(SECONDS), "firstcome_writer_queue_wait_seconds", "From the edge to the writer.";
    TOO_OLD = Kind::Counter, "firstcome_writer_too_old_total", "Buyers' commands that waited too long and were answered overloaded, undecided.";
    BATCH_COMMANDS = Kind::Histogram(COMMANDS), "firstcome_writer_batch_commands", "Commands that shared one commit.";
    DECIDE = Kind::Histogram(SECONDS), "firstcome_writer_decide_seconds", "Advance, prefetch, decide and evolve of one command.";
    RECORD = Kind::Histogram(SECONDS), "firstcome_writer_record_seconds", "Writing a batch's rows.";
    COMMIT = Kind::Histogram(SECONDS), "firstcome_writer_commit_seconds", "COMMIT of a batch, the wait for the disk included.";
    CHECKPOINT = Kind::Histogram(SECONDS), "firstcome_checkpoint_seconds", "Copying the write-ahead log into the database.";
    CHECKPOINT_BUSY = Kind::Counter, "firstcome_checkpoint_busy_total", "Resets of the write-ahead log that readers prevented.";
    WAL_BYTES = Kind::Gauge, "firstcome_wal_bytes", "Size of the write-ahead log.";
    CLOCK_OFFSET = Kind::Gauge, "firstcome_clock_offset_seconds", "Wall clock minus the clock of decisions.";
    KEYS_EVICTED = Kind::Gauge, "firstcome_idempotency_keys_evicted", "Keys forgotten before their 24 hours since the start.";
    OUTCOMES = Kind::Counter, "firstcome_outcomes_total", "Decided commands by command and outcome.";
    TURNED_AWAY = Kind::Counter, "firstcome_turned_away_total", "Commands that were not let into the queue.";
    REPLY_TIMEOUT = Kind::Counter, "firstcome_reply_timeout_total", "Clients that were told outcome-unknown because the answer was late.";
    SEQ = Kind::Gauge, "firstcome_seq", "The last durable event.";
    READS = Kind::Counter, "firstcome_reads_total", "Reads of drops and orders by source: a ready body, or the file.";
    READ = Kind::Histogram(SECONDS), "firstcome_read_seconds", "Reads by source.";
    HTTP_REQUESTS = Kind::Counter, "firstcome_http_requests_total", "Answered requests by route, method and status.";
    HTTP_REQUEST = Kind::Histogram(SECONDS), "firstcome_http_request_seconds", "From a request's head to its answer's head, by route.";
    CONNECTIONS = Kind::Gauge, "firstcome_connections", "Open connections by listener.";
    CONNECTIONS_REFUSED = Kind::Counter, "firstcome_connections_refused_total", "Connections closed at once because there were too many.";
    OVERSOLD = Kind::Gauge, "firstcome_oversold_units", "Recounted held and sold units above the total, over all drops. Anything but 0 is an emergency.";
    UNDERSOLD = Kind::Gauge, "firstcome_undersold_units", "Units that the counters keep but no live or paid order has, over all drops.";
    AUDIT_LAG = Kind::Gauge, "firstcome_audit_lag", "Events that the auditor has not counted yet.";
    RESIDENT = Kind::Gauge, "firstcome_resident_memory_bytes", "Resident memory of the process.";
    DESCRIPTORS = Kind::Gauge, "firstcome_open_descriptors", "Open file descriptors of the process.";
    DESCRIPTORS_MAX = Kind::Gauge, "firstcome_max_descriptors", "File descriptors that the process may open.";
}

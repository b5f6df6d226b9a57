//! The catalogue of all metrics.

/// A metric: its name in Prometheus, its HELP text and its kind.
pub struct Metric {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: MetricKind,
}

/// Kind of a metric.
#[derive(Clone, Copy)]
pub enum MetricKind {
    /// Only increases; the metric's name ends with `_total`.
    Counter,
    Gauge,
    Histogram(&'static Buckets),
}

/// Buckets of a histogram.
pub struct Buckets {
    /// Inclusive upper bounds, ascending; in nanoseconds if the metric is in seconds.
    pub bounds: &'static [u64],
    /// Number of the bounds' units in one unit of the metric.
    pub per_unit: u64,
}

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;
const S: u64 = 1_000 * MS;

/// From 10 us (a decision) to 10 s (beyond every deadline): three per decade, and 20, 50, 150 and 200 ms for alerts.
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
        $(pub static $name: Metric = Metric { name: $text, help: $help, kind: $kind };)*
        /// Every metric.
        pub static CATALOGUE: &[&Metric] = &[$(&$name),*];
    };
}

catalogue! {
    QUEUE_DEPTH = MetricKind::Gauge, "firstcome_writer_queue_depth", "Commands queued for the writer.";
    QUEUE_CAPACITY = MetricKind::Gauge, "firstcome_writer_queue_capacity", "Capacity of the writer's queue in commands, including the operators' reserve.";
    QUEUE_WAIT = MetricKind::Histogram(&SECONDS), "firstcome_writer_queue_wait_seconds", "Time from queueing a command until the writer takes it.";
    TOO_OLD = MetricKind::Counter, "firstcome_writer_too_old_total", "Buyers' commands answered overloaded, undecided, because they waited longer than writer.queue_wait_max_ms.";
    BATCH_COMMANDS = MetricKind::Histogram(&COMMANDS), "firstcome_writer_batch_commands", "Commands per batch, which share one commit.";
    DECIDE = MetricKind::Histogram(&SECONDS), "firstcome_writer_decide_seconds", "Time to decide one command: advance, prefetch, decide and evolve.";
    RECORD = MetricKind::Histogram(&SECONDS), "firstcome_writer_record_seconds", "Time to write the rows of a batch.";
    COMMIT = MetricKind::Histogram(&SECONDS), "firstcome_writer_commit_seconds", "Time of a batch's COMMIT, including the wait for the disk.";
    CHECKPOINT = MetricKind::Histogram(&SECONDS), "firstcome_checkpoint_seconds", "Time to copy the write-ahead log into the database.";
    CHECKPOINT_BUSY = MetricKind::Counter, "firstcome_checkpoint_busy_total", "Resets of the write-ahead log that open snapshots prevented.";
    WAL_BYTES = MetricKind::Gauge, "firstcome_wal_bytes", "Size of the write-ahead log.";
    DATABASE_BYTES = MetricKind::Gauge, "firstcome_database_bytes", "Size of the database, without its write-ahead log.";
    DISK_FREE = MetricKind::Gauge, "firstcome_disk_free_bytes", "Free bytes on the database's file system.";
    READ_ONLY = MetricKind::Gauge, "firstcome_read_only", "1 while nothing is sold because the disk is full or another program holds the lock, otherwise 0.";
    CLOCK_OFFSET = MetricKind::Gauge, "firstcome_clock_offset_seconds", "Wall clock minus the clock of decisions.";
    KEYS_EVICTED = MetricKind::Gauge, "firstcome_idempotency_keys_evicted", "Idempotency keys forgotten before their 24 hours, since the start.";
    CAPTURE_DROPPED = MetricKind::Counter, "firstcome_capture_dropped_total", "Decided commands missing from the capture because its recorder was too slow or has ended.";
    OUTCOMES = MetricKind::Counter, "firstcome_outcomes_total", "Decided commands by command and outcome.";
    ORDERS = MetricKind::Gauge, "firstcome_orders", "Orders in the file by state, including those of auctions.";
    DROP_UNITS = MetricKind::Gauge, "firstcome_drop_units", "Units of the most recently changed live and scheduled drops by state: total, held, sold, available.";
    DROP_STANDBY = MetricKind::Gauge, "firstcome_drop_standby", "Buyers who stand by for the same drops; absent without any.";
    DROP_PAUSED = MetricKind::Gauge, "firstcome_drop_paused", "1 while such a drop is paused, otherwise 0.";
    DROP_INFO = MetricKind::Gauge, "firstcome_drop_info", "1 for each of the same drops; the label name is its name, cut after 64 characters.";
    DROP_PLANNED = MetricKind::Gauge, "firstcome_drop_planned_units", "Units of the same drops that should still be available by plan.depletion_seconds; absent before the start and without that setting.";
    ROOMS = MetricKind::Gauge, "firstcome_rooms", "Waiting rooms by state.";
    ROOM_TICKETS = MetricKind::Gauge, "firstcome_room_tickets", "Tickets of the waiting rooms of the same drops, by state: admitted, waiting.";
    ROOM_SERVING = MetricKind::Gauge, "firstcome_room_serving", "1 while such a room admits buyers (its drop has started), otherwise 0; a pause does not change it.";
    ROOM_IDLE = MetricKind::Gauge, "firstcome_room_admitted_idle", "Admitted buyers of such a room whose time to order has not passed and who have no order.";
    ROOM_BEACON_WAIT = MetricKind::Gauge, "firstcome_room_beacon_wait_seconds", "Time for which the draw of such a room has waited for its beacon; absent while it waits for none.";
    PLAN_REQUESTS = MetricKind::Gauge, "firstcome_plan_requests_per_second", "Setting plan.requests_per_second; absent if unset.";
    AUCTIONS = MetricKind::Gauge, "firstcome_auctions", "Auctions by state.";
    AUCTION_INFO = MetricKind::Gauge, "firstcome_auction_info", "1 for each of the most recently changed live and scheduled auctions; the label name is its name, cut after 64 characters.";
    AUCTION_PRICE = MetricKind::Gauge, "firstcome_auction_price", "Current price in minor units of the same auctions; absent before the first bid.";
    AUCTION_BIDS = MetricKind::Gauge, "firstcome_auction_bids", "Accepted bids of the same auctions.";
    AUCTION_REMAINING = MetricKind::Gauge, "firstcome_auction_remaining_seconds", "Time until the end of the same auctions, including extensions by late bids.";
    TURNED_AWAY = MetricKind::Counter, "firstcome_turned_away_total", "Requests rejected before admission, by reason: queue full, unauthenticated, forbidden, in-flight limit, rate limit.";
    RATE_LIMITED = MetricKind::Counter, "firstcome_rate_limited_total", "Requests that a rate limit had no room for, by policy; one that several refuse counts for each.";
    TIER_REQUESTS = MetricKind::Counter, "firstcome_tier_requests_total", "Requests of buyers by tier, as far as limits apply to them: writes that name a buyer, and whatever comes with a buyer's token.";
    CHALLENGES = MetricKind::Counter, "firstcome_challenges_total", "Challenges issued, and solutions that came with orders, by result; an order's repeat counts nothing.";
    TIER_ORDERS = MetricKind::Counter, "firstcome_tier_orders_total", "Orders that the door let through, by the buyer's tier, as far as limits apply to them.";
    RISK_SIGNALS = MetricKind::Counter, "firstcome_risk_signals_total", "Bot signals that requests of buyers raised, by signal.";
    SUSPECTED_BUYERS = MetricKind::Gauge, "firstcome_suspected_buyers", "Buyers whose risk score is at least risk.suspect_at.";
    DOOR_FILL = MetricKind::Gauge, "firstcome_door_fill_ratio", "Used share of the door's tables: limits (clients that have not recovered) and risk (buyers with recent writes or signals).";
    REPLY_TIMEOUT = MetricKind::Counter, "firstcome_reply_timeout_total", "Requests answered outcome-unknown because the writer's reply was late.";
    SEQ = MetricKind::Gauge, "firstcome_seq", "Number of the last durable event.";
    NODE_LEADS = MetricKind::Gauge, "firstcome_node_leads", "1 while this node of a cluster surely leads, otherwise 0; absent on a single machine.";
    NODE_APPLIED = MetricKind::Gauge, "firstcome_node_applied_entry", "Number of the last entry of the log in this node's file; absent on a single machine.";
    NODE_CLOCK_LEAD = MetricKind::Gauge, "firstcome_node_clock_lead_seconds", "This node's wall clock minus that of the leaders whose entries it applied; absent before it could compare, and on a single machine.";
    APPEND = MetricKind::Histogram(&SECONDS), "firstcome_node_append_seconds", "Time from an append to the log to its answer, at the node that leads.";
    NODE_STALE = MetricKind::Gauge, "firstcome_node_stale_seconds", "Time that this node's state may be behind: 0 while it leads, otherwise the age of its last entry; absent before the first, and on a single machine.";
    READS = MetricKind::Counter, "firstcome_reads_total", "Reads of drops and orders by source: hot (cached response) or cold (file).";
    READ = MetricKind::Histogram(&SECONDS), "firstcome_read_seconds", "Time of a read by source: hot (cached response) or cold (file).";
    HTTP_REQUESTS = MetricKind::Counter, "firstcome_http_requests_total", "Answered requests by route, method and status.";
    HTTP_REQUEST = MetricKind::Histogram(&SECONDS), "firstcome_http_request_seconds", "Time from a request's head to its response's head, by route; all admin routes are one route.";
    PROBLEMS = MetricKind::Counter, "firstcome_problems_total", "Problem responses by code.";
    WORKER_REQUESTS = MetricKind::Counter, "firstcome_worker_requests_total", "Requests served per worker thread; should be roughly even.";
    STREAMS = MetricKind::Gauge, "firstcome_streams", "Open event streams over HTTP by subject.";
    CONNECTIONS = MetricKind::Gauge, "firstcome_connections", "Open connections by listener.";
    CONNECTIONS_REFUSED = MetricKind::Counter, "firstcome_connections_refused_total", "Connections closed at once by reason: limit in total, limit per address, or file descriptors of the process.";
    CONNECTIONS_CLOSED = MetricKind::Counter, "firstcome_connections_closed_total", "Connections closed by the server because the client was too slow, by cause.";
    WIRE_FRAMES = MetricKind::Counter, "firstcome_wire_frames_total", "Answered wire protocol frames by type and outcome: accepted, refused (decided no), turned_away (rejected, undecided), fault.";
    WIRE_SUBSCRIPTIONS = MetricKind::Gauge, "firstcome_wire_subscriptions", "Auction subscriptions of wire connections.";
    WIRE_CONFLATED = MetricKind::Counter, "firstcome_wire_conflated_total", "Auction updates skipped because a newer one replaced them before the subscriber had read them.";
    WIRE_MALFORMED = MetricKind::Counter, "firstcome_wire_malformed_total", "Wire connections closed because of a malformed frame, by error type.";
    TLS_RELOADS = MetricKind::Counter, "firstcome_tls_reloads_total", "Reloads of changed certificate files by result: ok, or failed (the old certificate stays in use).";
    OVERSOLD = MetricKind::Gauge, "firstcome_oversold_units", "Recounted held and sold units above the total, over all drops. Any value but 0 is an emergency.";
    UNDERSOLD = MetricKind::Gauge, "firstcome_undersold_units", "Units that the counters hold but no live or paid order has, over all drops.";
    MISMATCHED = MetricKind::Gauge, "firstcome_mismatched_drops", "Drops whose counters differ from the recount; they are paused.";
    REFUNDS_DUE = MetricKind::Gauge, "firstcome_refunds_due", "Payments with an open refund, in whole or in part.";
    AUDIT_LAG = MetricKind::Gauge, "firstcome_audit_lag", "Events not yet counted by the auditor.";
    PROVIDER_EVENTS = MetricKind::Counter, "firstcome_provider_events_total", "Webhooks of payment providers by provider and result: applied, ignored, duplicate, unauthorized (bad signature), stale, unfit (signed, but malformed), unused (type without meaning here, or no order), failed (not recorded; the provider sends it again).";
    SESSIONS = MetricKind::Counter, "firstcome_payment_sessions_total", "Payment sessions by result: made, failed (will be retried), refused (by the provider, final).";
    SESSIONS_WAITING = MetricKind::Gauge, "firstcome_payment_sessions_waiting", "Orders whose payment session is requested or will be retried.";
    PROVIDER_REFUNDS = MetricKind::Counter, "firstcome_provider_refunds_total", "Refunds that the server makes at payment providers by provider and result: made, found (existed there and is settled now), pending (the provider has not finished it), failed (will be retried), given_up (left to the operator).";
    PROVIDER_REFUNDS_WAITING = MetricKind::Gauge, "firstcome_provider_refunds_waiting", "Payments whose refund is requested, pending at the provider or will be retried, by provider.";
    PROVIDER_REFUNDS_GIVEN_UP = MetricKind::Gauge, "firstcome_provider_refunds_given_up", "Payments whose automatic refund is left to the operator, by provider.";
    OUTBOX_DELIVERIES = MetricKind::Counter, "firstcome_outbox_deliveries_total", "Delivery attempts by result: delivered, failed; dead counts deliveries given up, in addition to failed.";
    OUTBOX_ATTEMPT = MetricKind::Histogram(&SECONDS), "firstcome_outbox_attempt_seconds", "Time of a delivery attempt, from the request to the end of the response.";
    OUTBOX_AGE = MetricKind::Gauge, "firstcome_outbox_age_seconds", "Age of the oldest event not yet delivered to an enabled endpoint, excluding dead letters.";
    OUTBOX_WAITING = MetricKind::Gauge, "firstcome_outbox_waiting", "Failed deliveries, and deliveries behind them, that wait for their next attempt.";
    OUTBOX_DEAD = MetricKind::Gauge, "firstcome_outbox_dead_letters", "Dead letters: deliveries given up, waiting for an operator.";
    OUTBOX_BROKEN = MetricKind::Gauge, "firstcome_outbox_breakers_open", "Endpoints with an open circuit breaker: only the oldest delivery is attempted.";
    MAILS = MetricKind::Counter, "firstcome_mails_total", "Mails to buyers by result: sent, skipped (no address, too old, or no longer true), deferred (the server asked for a later attempt), rejected (it will never take this mail), failed (the server does not work); dead counts mails given up after their last attempt, in addition.";
    MAIL_DEAD = MetricKind::Gauge, "firstcome_mail_dead_letters", "Mails given up or rejected that were not sent again; the newest 10,000 are kept.";
    TRACES = MetricKind::Counter, "firstcome_traces_total", "Traces by result: told (emitted), or left_out (dropped by the per-second limit).";
    TRACE_SPANS = MetricKind::Counter, "firstcome_trace_spans_total", "Spans for the collector of traces.otlp_url by result: sent, dropped (collector too slow), failed (collector unreachable or refused them).";
    ACCESS_LOG_LINES = MetricKind::Counter, "firstcome_access_log_lines_total", "Lines of the access log by result: written, dropped (the reader of standard output is too slow or gone).";
    BACKUP_LAST = MetricKind::Gauge, "firstcome_backup_last_success_timestamp_seconds", "Instant of the newest backup, in seconds since 1970; the start of the server before the first.";
    BACKUP_INTERVAL = MetricKind::Gauge, "firstcome_backup_interval_seconds", "backup.every_seconds; 0 if no backup is made by schedule.";
    BACKUP_SECONDS = MetricKind::Gauge, "firstcome_backup_duration_seconds", "Time of the last backup, from its beginning to its end.";
    BACKUP_BYTES = MetricKind::Gauge, "firstcome_backup_bytes", "Size of the newest backup, packed if it is.";
    BACKUPS = MetricKind::Counter, "firstcome_backups_total", "Backups by result: made (verified, and in their place), failed (nothing of them is left).";
    THREAD_PANICS = MetricKind::Counter, "firstcome_thread_panics_total", "Panics of background threads by thread. The outbox, the payment sessions, the refunds, the auditor, queries and the export of traces begin again; a capture ends; a worker ends the process.";
    ROUTE_REQUESTS = MetricKind::Counter, "firstcome_route_requests_total", "Requests that a router passed on by shard and result: answered, unavailable (no node took it), unknown (a node may have taken it and did not answer), busy (too many of the shard in flight).";
    ROUTE_ERRORS = MetricKind::Counter, "firstcome_route_errors_total", "Attempts of a router at a node that failed, by shard: not_sent (no connection), unanswered (sent, and no answer).";
    ROUTE_LEADER_CHANGES = MetricKind::Counter, "firstcome_route_leader_changes_total", "Changes of a shard's leader that a router saw, the first one included.";
    ROUTE_NODES = MetricKind::Gauge, "firstcome_route_nodes", "Nodes of a shard that serve reads, as a router saw them last.";
    ROUTE_MISPLACED = MetricKind::Gauge, "firstcome_route_misplaced_nodes", "Nodes that the router's file names under this shard and that say another one, or none: they are left out.";
    ROUTE_LEADER = MetricKind::Gauge, "firstcome_route_leader_known", "1 while a router knows a leader of the shard, otherwise 0.";
    ROUTE_DROPS_MADE = MetricKind::Counter, "firstcome_route_drops_made_total", "New drops and auctions that a router had made on this shard.";
    RESIDENT = MetricKind::Gauge, "firstcome_resident_memory_bytes", "Resident memory of the process.";
    DESCRIPTORS = MetricKind::Gauge, "firstcome_open_descriptors", "Open file descriptors of the process.";
    DESCRIPTORS_MAX = MetricKind::Gauge, "firstcome_max_descriptors", "Maximum number of open file descriptors of the process.";
    BUILD_INFO = MetricKind::Gauge, "firstcome_build_info", "1; the labels are the version of the program and the revision of its sources.";
    PROCESS_CPU = MetricKind::Counter, "process_cpu_seconds_total", "CPU time of the process, of the user and of the system.";
    PROCESS_OPEN_FDS = MetricKind::Gauge, "process_open_fds", "Open file descriptors.";
    PROCESS_MAX_FDS = MetricKind::Gauge, "process_max_fds", "Maximum number of open file descriptors; 0 without a limit.";
    PROCESS_VIRTUAL = MetricKind::Gauge, "process_virtual_memory_bytes", "Virtual memory.";
    PROCESS_VIRTUAL_MAX = MetricKind::Gauge, "process_virtual_memory_max_bytes", "Maximum of virtual memory; 0 without a limit.";
    PROCESS_RESIDENT = MetricKind::Gauge, "process_resident_memory_bytes", "Resident memory.";
    PROCESS_START = MetricKind::Gauge, "process_start_time_seconds", "Start of the process, since 1970.";
    PROCESS_THREADS = MetricKind::Gauge, "process_threads", "Threads of the process.";
}

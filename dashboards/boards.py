"""What the dashboards show: the one source of their JSON (generate.py).

A panel is a title, one sentence of help, a unit of Grafana's, queries with their legends, thresholds, and the alerts whose
runbooks explain it. In a query `@` stands for the chosen instances and `[]` for the time that rates are taken over.
"""

from dataclasses import dataclass, field

Query = tuple[str, str]  # expression, legend


@dataclass
class Panel:
    title: str
    help: str
    unit: str
    queries: list[Query]
    steps: list[tuple[float, str]] = field(default_factory=list)  # from this value on this colour; green before
    runbooks: list[str] = field(default_factory=list)
    kind: str = "timeseries"  # or "stat"
    width: int = 8
    stacked: bool = False


@dataclass
class Row:
    title: str
    panels: list[Panel]


@dataclass
class Board:
    file: str
    title: str
    help: str
    rows: list[Row]


def stat(title: str, help: str, unit: str, query: str, steps, runbooks=(), width: int = 4) -> Panel:
    return Panel(title, help, unit, [(query, "{{instance}}")], list(steps), list(runbooks), "stat", width)


def quantiles(metric: str, by: str = "", labels: str = "@", of=(50, 95, 99)) -> list[Query]:
    """Percentiles of a histogram over the chosen instances, each `by` of a label if one is named."""
    grouped, legend = (f"le, {by}", f" {{{{{by}}}}}") if by else ("le", "")
    return [
        (f"histogram_quantile({n / 100:g}, sum by ({grouped}) (rate({metric}_bucket{{{labels}}}[])))", f"p{n}{legend}")
        for n in of
    ]


RED = "red"
ORANGE = "orange"
ANY = [(1, RED)]  # anything but 0 is wrong
SOME = [(1, ORANGE)]

READS = 'route=~"/v1/drops|/v1/drops/[{]drop_id[}]|/v1/orders/[{]order_id[}]|/v1/auctions|/v1/auctions/[{]auction_id[}]"'
WRITES = (
    'route=~"/v1/drops/[{]drop_id[}]/orders|/v1/orders/[{]order_id[}]/(checkout|cancel)'
    '|/v1/auctions/[{]auction_id[}]/(bids|buy-now)"'
)
STOCK = 'firstcome_drop_units{@,drop=~"$drop",state="%s"}'
PLANNED = 'firstcome_drop_planned_units{@,drop=~"$drop"}'



def named(expression: str, of: str = "drop") -> str:
    """The same series with the name of their drop or auction, which a series of its own has."""
    return f"({expression}) * on (instance, {of}) group_left (name) firstcome_{of}_info{{@}}"


DROP = "{{name}} ({{drop}})"
AUCTION = "{{name}} ({{auction}})"

SALE = Board("sale", "Sale", "Stock, orders and payments of a sale, compared with the plan.", [
    Row("Correctness", [
        stat("Oversold units",
             "Held and sold units above the totals, by the auditor's recount; anything but 0 is an emergency.", "short",
             "firstcome_oversold_units{@}", ANY, ["FirstcomeOversold"]),
        stat("Undersold units", "Units that the counters reserve although no live or paid order has them.", "short",
             "firstcome_undersold_units{@}", ANY, ["FirstcomeUndersold"]),
        stat("Mismatched drops", "Paused drops whose counters differ from the sums of their audit.", "short",
             "firstcome_mismatched_drops{@}", ANY, ["FirstcomeCountersDisagree"]),
        stat("Refunds due", "Received payments without a unit, owed back to their buyers.", "short",
             "firstcome_refunds_due{@}", SOME, ["FirstcomeRefundsDue"]),
        stat("Read-only", "1 while the disk is full or another program holds the lock: reads continue, writes are answered read-only.", "short",
             "firstcome_read_only{@}", ANY, ["FirstcomeReadOnly"]),
        stat("Conversion", "Paid orders as a share of all orders of the database.", "percentunit",
             'sum by (instance) (firstcome_orders{@,state="paid"}) / sum by (instance) (firstcome_orders{@})', []),
    ]),
    Row("Stock", [
        Panel("Stock", "Units of the chosen drops: available, held by live orders, and sold.", "short",
              [(named(STOCK % state), f"{DROP} {state}") for state in ("available", "held", "sold")], width=12),
        Panel("Depletion against plan", "Available units, and those that plan.depletion_seconds expects by now.",
              "short",
              [(named(STOCK % "available"), f"{DROP} available"), (named(PLANNED), f"{DROP} planned")],
              runbooks=["FirstcomeDepletionOffPlan"], width=12),
        Panel("Deviation from plan",
              "Difference between available and planned units, as a share of all units of the drop.",
              "percentunit", [(named(f"abs({STOCK % 'available'} - ignoring (state) {PLANNED}) / ignoring (state) "
                                     f"{STOCK % 'total'}"), DROP)],
              [(0.1, ORANGE), (0.2, RED)], ["FirstcomeDepletionOffPlan"]),
        Panel("Sold share", "Sold units as a share of all units of the drop.", "percentunit",
              [(named(f"{STOCK % 'sold'} / ignoring (state) {STOCK % 'total'}"), DROP)]),
        Panel("Time to sold out", "Time until no unit is available, at the rate of the last minute.", "s",
              [(named(f"{STOCK % 'available'} / clamp_min(-deriv({STOCK % 'available'}[1m]), 0.001)"), DROP)]),
    ]),
    Row("Waiting rooms and standby", [
        Panel("Waiting rooms by state", "All waiting rooms of the database by state.", "short",
              [("sum by (state) (firstcome_rooms{@})", "{{state}}")], stacked=True, width=8),
        Panel("Tickets", "Tickets of the chosen drops: admitted, and waiting for their turn.", "short",
              [(named('firstcome_room_tickets{@,drop=~"$drop"}'), f"{DROP} {{{{state}}}}")],
              runbooks=["FirstcomeRoomNotMoving"], width=8),
        Panel("Admissions", "Tickets admitted per second over the last minute, of rooms that have started.", "ops",
              [(named('clamp_min(deriv(firstcome_room_tickets{@,drop=~"$drop",state="admitted"}[1m]), 0)'
                      ' and on (instance, drop) firstcome_room_serving{@} == 1'), DROP)],
              runbooks=["FirstcomeRoomNotMoving"], width=8),
        Panel("Admitted without an order",
              "Admitted buyers whose time to order has not passed and who have no order, and the available units.",
              "short",
              [(named('firstcome_room_admitted_idle{@,drop=~"$drop"}'), f"{DROP} without an order"),
               (named(f"{STOCK % 'available'} and on (instance, drop) firstcome_room_serving{{@}} == 1"),
                f"{DROP} available")], runbooks=["FirstcomeAdmittedIdle"], width=6),
        Panel("Wait for a beacon", "Time for which a draw waits for the beacon that an operator posts.", "s",
              [(named('firstcome_room_beacon_wait_seconds{@,drop=~"$drop"}'), DROP)],
              [(30, RED)], ["FirstcomeBeaconMissing"], width=6),
        Panel("Standby", "Buyers who stand by for units of the chosen drops that come back.", "short",
              [(named('firstcome_drop_standby{@,drop=~"$drop"}'), DROP)], width=6),
        Panel("Paused", "1 while a chosen drop is paused: no buyer orders or is admitted, and turns stand still.", "short",
              [(named('firstcome_drop_paused{@,drop=~"$drop"}'), DROP)],
              runbooks=["FirstcomeRoomNotMoving", "FirstcomeAdmittedIdle"], width=6),
    ]),
    Row("Orders", [
        Panel("Orders by state", "All orders of the database by their current state.", "short",
              [("sum by (state) (firstcome_orders{@})", "{{state}}")], stacked=True),
        Panel("New orders", "Accepted orders per second.", "ops",
              [('sum by (instance) (rate(firstcome_outcomes_total{@,command="place_order",outcome="accepted"}[]))',
                "{{instance}}")]),
        Panel("Order outcomes", "Decided orders by outcome: accepted, repeated, or the reason of the refusal.", "ops",
              [('sum by (outcome) (rate(firstcome_outcomes_total{@,command="place_order"}[]))', "{{outcome}}")],
              stacked=True),
        Panel("Checkouts, payments, cancellations",
              "Accepted checkouts, payments, cancellations and refunds, per second.", "ops",
              [('sum by (command) (rate(firstcome_outcomes_total{@,outcome="accepted",command=~"checkout|record_payment|'
                'hear_provider|cancel_order|cancel_by_operator|refund_order|settle_refund"}[]))', "{{command}}")]),
        Panel("Refusals", "Refused commands per second by reason.", "ops",
              [('sum by (outcome) (rate(firstcome_outcomes_total{@,outcome!~"accepted|repeated"}[]))', "{{outcome}}")]),
        Panel("Rejected requests", "Requests rejected before a decision, per second by reason.", "ops",
              [("sum by (reason) (rate(firstcome_turned_away_total{@}[]))", "{{reason}}"),
               ("sum (rate(firstcome_writer_too_old_total{@}[]))", "waited too long")],
              [(1, ORANGE)], ["FirstcomeQueueFull"]),
        Panel("Rate limits", "Requests that a rate limit had no room for, per second by policy.", "ops",
              [("sum by (policy) (rate(firstcome_rate_limited_total{@}[]))", "{{policy}}")]),
        Panel("Buyers by tier", "Requests of buyers to whom limits apply, per second by tier.", "ops",
              [("sum by (tier) (rate(firstcome_tier_requests_total{@}[]))", "{{tier}}")], stacked=True),
        Panel("Challenges", "Challenges issued, and solutions that came with orders by result, per second.", "ops",
              [("sum by (result) (rate(firstcome_challenges_total{@}[]))", "{{result}}")]),
    ]),
])

WRITER = Board("writer", "Writer", "The thread that decides and commits: its load, and the time of each stage.", [
    Row("Queue", [
        Panel("Queue", "Queued commands and the queue's capacity.", "short",
              [("firstcome_writer_queue_depth{@}", "{{instance}} queued"),
               ("firstcome_writer_queue_capacity{@}", "{{instance}} capacity")], runbooks=["FirstcomeQueueFull"]),
        Panel("Queue utilization", "Used share of the queue; at 1, buyers' requests are rejected.", "percentunit",
              [("firstcome_writer_queue_depth{@} / firstcome_writer_queue_capacity{@}", "{{instance}}")],
              [(0.5, ORANGE), (0.8, RED)], ["FirstcomeQueueFull"]),
        Panel("Queue wait",
              "Time from submission to the writer; beyond writer.queue_wait_max_ms buyers get overloaded.", "s",
              quantiles("firstcome_writer_queue_wait_seconds"), [(0.1, ORANGE), (1, RED)],
              ["FirstcomeQueueFull", "FirstcomeWriterStalled"]),
        Panel("Commands", "Decided commands per second by kind.", "ops",
              [("sum by (command) (rate(firstcome_outcomes_total{@}[]))", "{{command}}")], stacked=True,
              runbooks=["FirstcomeWriterStalled"]),
        Panel("Batch size", "Commands per commit; grows with the load, up to writer.batch_commands_max.",
              "short", [("sum (rate(firstcome_writer_batch_commands_sum{@}[])) / "
                         "sum (rate(firstcome_writer_batch_commands_count{@}[]))", "mean"),
                        *quantiles("firstcome_writer_batch_commands", of=(50, 99))]),
        Panel("Late replies", "Replies overloaded after too long a wait, and outcome-unknown after the reply deadline.",
              "ops", [("sum (rate(firstcome_writer_too_old_total{@}[]))", "waited too long, undecided"),
                      ("sum (rate(firstcome_reply_timeout_total{@}[]))", "outcome unknown")],
              [(0.01, RED)], ["FirstcomeRepliesLate"]),
    ]),
    Row("Time per stage", [
        Panel("Decide", "Advance, prefetch, decide and evolve of one command.", "s",
              quantiles("firstcome_writer_decide_seconds"), [(0.001, ORANGE), (0.01, RED)], ["FirstcomeWriterStalled"]),
        Panel("Record", "Writing a batch's rows into the transaction.", "s",
              quantiles("firstcome_writer_record_seconds"), [(0.02, ORANGE), (0.1, RED)], ["FirstcomeCommitsSlow"]),
        Panel("Commit", "COMMIT of a batch with its disk sync; every reply waits for it.", "s",
              quantiles("firstcome_writer_commit_seconds"), [(0.02, ORANGE), (0.05, RED)], ["FirstcomeCommitsSlow"]),
    ]),
    Row("File", [
        Panel("Write-ahead log",
              "Size of the write-ahead log; copied from 16 MB on and reset at 64 MB, unless a reader prevents it.",
              "bytes", [("firstcome_wal_bytes{@}", "{{instance}}")], [(67108864, ORANGE), (134217728, RED)],
              ["FirstcomeWalGrowing"]),
        Panel("Checkpoints", "Duration of copying the log into the database; the writer does nothing else meanwhile.",
              "s",
              quantiles("firstcome_checkpoint_seconds", of=(50, 99)), [(0.05, ORANGE), (0.5, RED)], ["FirstcomeWalGrowing"]),
        Panel("Checkpoints per minute", "Completed checkpoints, and resets of the log that a reader prevented.", "cpm",
              [("60 * sum (rate(firstcome_checkpoint_seconds_count{@}[]))", "ran"),
               ("60 * sum (rate(firstcome_checkpoint_busy_total{@}[]))", "prevented by readers")],
              runbooks=["FirstcomeWalGrowing"]),
        Panel("Events", "Events per second; each is one row of the audit.", "ops",
              [("deriv(firstcome_seq{@}[1m])", "{{instance}}")]),
        Panel("Database", "Size of the database file, without its log.", "bytes",
              [("firstcome_database_bytes{@}", "{{instance}}")]),
        Panel("Free disk space", "Free bytes; below writer.free_bytes_min nothing is sold.", "bytes",
              [("firstcome_disk_free_bytes{@}", "{{instance}}")], runbooks=["FirstcomeDiskLow", "FirstcomeDiskFilling"]),
    ]),
    Row("Auditor, clock, gaps", [
        Panel("Auditor lag", "Events that the auditor has not recounted yet; an oversell in them is not detected.",
              "short", [("firstcome_audit_lag{@}", "{{instance}}")], [(100000, ORANGE), (1000000, RED)],
              ["FirstcomeAuditorBehind"]),
        Panel("Clock", "Wall clock minus the server's clock; up to a second is slewed away, more needs an operator.",
              "s",
              [("firstcome_clock_offset_seconds{@}", "{{instance}}")], [(0.5, ORANGE), (1, RED)], ["FirstcomeClockOff"]),
        Panel("Age of the newest backup", "Seconds since the newest backup was made, and the interval of the schedule.", "s",
              [("time() - firstcome_backup_last_success_timestamp_seconds{@}", "{{instance}} age"),
               ("firstcome_backup_interval_seconds{@}", "{{instance}} interval")], runbooks=["FirstcomeBackupOld"]),
        Panel("Backups", "Backups made and failed within 5 minutes, and how long the last one took.", "short",
              [("increase(firstcome_backups_total{@}[5m])", "{{instance}} {{result}}"),
               ("firstcome_backup_duration_seconds{@}", "{{instance}} seconds")], runbooks=["FirstcomeBackupFailed"]),
        Panel("Size of the newest backup", "Bytes of the newest backup, packed if it is.", "bytes",
              [("firstcome_backup_bytes{@}", "{{instance}}")], runbooks=["FirstcomeBackupFailed"]),
        Panel("Evicted keys and capture gaps",
              "Idempotency keys evicted before their 24 hours, commands missing from a capture, and panics of threads.",
              "short", [("firstcome_idempotency_keys_evicted{@}", "{{instance}} keys"),
                        ("firstcome_capture_dropped_total{@}", "{{instance}} captured commands"),
                        ("firstcome_thread_panics_total{@}", "{{instance}} panics of {{thread}}")],
              ANY, ["FirstcomeKeysForgotten", "FirstcomeCaptureGap", "FirstcomeThreadPanicked"]),
    ]),
])

EDGE = Board("edge", "Edge", "Requests, latencies, problems and connections of clients.", [
    Row("Requests", [
        Panel("Requests against plan", "Answered requests per second, and the plan (plan.requests_per_second).",
              "reqps",
              [("sum by (instance) (rate(firstcome_http_requests_total{@}[]))", "{{instance}}"),
               ("firstcome_plan_requests_per_second{@}", "{{instance}} planned")],
              runbooks=["FirstcomeRequestsAbovePlan"]),
        Panel("Requests by status", "Answered requests per second by their status.", "reqps",
              [("sum by (status) (rate(firstcome_http_requests_total{@}[]))", "{{status}}")], stacked=True),
        Panel("Requests by route", "The ten busiest routes.", "reqps",
              [("topk(10, sum by (method, route) (rate(firstcome_http_requests_total{@}[])))", "{{method}} {{route}}")]),
        Panel("Errors", "Share of answers with status 500 and above; refusals such as sold-out do not count.",
              "percentunit",
              [('sum by (instance) (rate(firstcome_http_requests_total{@,status=~"5.."}[])) / '
                "sum by (instance) (rate(firstcome_http_requests_total{@}[]))", "{{instance}}")],
              [(0.005, ORANGE), (0.01, RED)], ["FirstcomeErrors"]),
        Panel("Problems", "Problem responses per second by code.", "ops",
              [("sum by (code) (rate(firstcome_problems_total{@}[]))", "{{code}}")], runbooks=["FirstcomeErrors"]),
        Panel("Requests per worker", "Requests per second of each worker thread; should be roughly even.",
              "reqps", [("sum by (instance, worker) (rate(firstcome_worker_requests_total{@}[]))",
                         "{{instance}} thread {{worker}}")]),
    ]),
    Row("Latency", [
        Panel("Reads", "Latency of reads of drops, orders and auctions, from the request's head to the answer's.", "s",
              quantiles("firstcome_http_request_seconds", labels=f"@,{READS}"), [(0.05, ORANGE), (0.2, RED)],
              ["FirstcomeReadsSlow"]),
        Panel("Writes", "Latency of orders, checkouts, cancellations and bids, including the commit.", "s",
              quantiles("firstcome_http_request_seconds", labels=f"@,{WRITES}"), [(0.05, ORANGE), (0.15, RED)],
              ["FirstcomeWritesSlow"]),
        Panel("By route", "95th percentile of each public route, and of the admin routes together.", "s",
              quantiles("firstcome_http_request_seconds", by="route", of=(95,)), [(0.15, ORANGE), (0.2, RED)],
              ["FirstcomeReadsSlow", "FirstcomeWritesSlow"]),
        Panel("Traces and access log",
              "Traces emitted or dropped by the limit per second, their spans, and lines of the access log.",
              "ops", [("sum by (result) (rate(firstcome_traces_total{@}[]))", "traces {{result}}"),
                      ("sum by (result) (rate(firstcome_trace_spans_total{@}[]))", "spans {{result}}"),
                      ("sum by (result) (rate(firstcome_access_log_lines_total{@}[]))", "access log {{result}}")],
              runbooks=["FirstcomeWritesSlow"]),
    ]),
    Row("Reads", [
        Panel("Hot reads", "Share of reads answered from the response cache; orders are always read from the database.",
              "percentunit", [('sum by (instance) (rate(firstcome_reads_total{@,source="hot"}[])) / '
                               "sum by (instance) (rate(firstcome_reads_total{@}[]))", "{{instance}}")],
              runbooks=["FirstcomeHotReadsLow"]),
        Panel("Reads by source",
              "Reads of drops and orders per second, from the response cache (hot) or the database (cold).", "ops",
              [("sum by (source) (rate(firstcome_reads_total{@}[]))", "{{source}}")], stacked=True,
              runbooks=["FirstcomeHotReadsLow"]),
        Panel("Time per read", "99th percentile of a read by its source.", "s",
              quantiles("firstcome_read_seconds", by="source", of=(99,)), [(0.01, ORANGE), (0.1, RED)],
              ["FirstcomeReadsSlow"]),
    ]),
    Row("Connections", [
        Panel("Open connections", "By listener; together at most http.connections_max.", "short",
              [("sum by (listener) (firstcome_connections{@})", "{{listener}}")], runbooks=["FirstcomeConnectionsRefused"]),
        Panel("Refused connections", "Connections closed at accept, per second by reason.", "ops",
              [("sum by (reason) (rate(firstcome_connections_refused_total{@}[]))", "{{reason}}")], [(1, RED)],
              ["FirstcomeConnectionsRefused"]),
        Panel("Slow clients", "Connections that the server closed because the client was too slow, per second.", "ops",
              [("sum by (cause) (rate(firstcome_connections_closed_total{@}[]))", "{{cause}}")]),
        Panel("Streams and subscriptions",
              "Open event streams of drops, auctions and the audit, and wire subscriptions.", "short",
              [("sum by (of) (firstcome_streams{@})", "streams of {{of}}"),
               ("sum (firstcome_wire_subscriptions{@})", "wire subscriptions")]),
        Panel("Frames", "Answered frames of the wire protocol per second by outcome.", "ops",
              [("sum by (outcome) (rate(firstcome_wire_frames_total{@}[]))", "{{outcome}}"),
               ("sum (rate(firstcome_wire_malformed_total{@}[]))", "malformed, closed")]),
        Panel("Certificates", "Reloads of changed certificate files by result.", "short",
              [("sum by (result) (increase(firstcome_tls_reloads_total{@}[1h]))", "{{result}}")],
              runbooks=["FirstcomeCertificateNotTaken"]),
    ]),
    Row("Process", [
        Panel("Memory", "Resident memory; the unit file allows 2 GiB.", "bytes",
              [("firstcome_resident_memory_bytes{@}", "{{instance}}")], [(1073741824, ORANGE), (1610612736, RED)],
              ["FirstcomeMemoryHigh"], width=12),
        Panel("Descriptors", "Open file descriptors as a share of the process's limit.", "percentunit",
              [("firstcome_open_descriptors{@} / firstcome_max_descriptors{@}", "{{instance}}")],
              [(0.6, ORANGE), (0.8, RED)], ["FirstcomeDescriptorsLow"], width=12),
        Panel("Versions", "Processes by version and revision; more than one while nodes are upgraded one after the other.",
              "short", [("count by (version, revision) (firstcome_build_info{@})", "{{version}} ({{revision}})")], width=12),
    ]),
])

PAYMENTS = Board("payments", "Payments and outbox", "Payments, refunds, and deliveries to the shop's endpoints.", [
    Row("Money", [
        stat("Awaiting payment", "Live orders with a contact, ready for payment.", "short",
             'firstcome_orders{@,state="awaiting_payment"}', []),
        stat("Paid", "Orders that are paid.", "short", 'firstcome_orders{@,state="paid"}', []),
        stat("Refunds due", "Payments that are owed back, in whole or in part.",
             "short", "firstcome_refunds_due{@}", SOME,
             ["FirstcomeRefundsDue"]),
        stat("Sessions waiting", "Orders without a payment session yet.", "short",
             "firstcome_payment_sessions_waiting{@}", [(100, ORANGE), (1000, RED)], ["FirstcomeSessionsFailing"]),
        stat("Dead letters", "Deliveries without attempts left; an operator has to send them again.", "short",
             "firstcome_outbox_dead_letters{@}", ANY, ["FirstcomeDeadLetters"]),
        stat("Open circuit breakers", "Endpoints whose deliveries fail: only their oldest delivery is tried.",
             "short", "firstcome_outbox_breakers_open{@}", ANY,
             ["FirstcomeEndpointDead"]),
    ]),
    Row("Providers", [
        Panel("Provider webhooks", "Providers' webhooks per second by provider and result.", "ops",
              [("sum by (provider, result) (rate(firstcome_provider_events_total{@}[]))", "{{provider}} {{result}}")],
              runbooks=["FirstcomeProviderEventsRefused"]),
        Panel("Rejected webhooks", "Share of webhooks with a bad signature, too old, malformed or not recorded.",
              "percentunit",
              [('sum (rate(firstcome_provider_events_total{@,result=~"unauthorized|stale|unfit|failed"}[])) / '
                "sum (rate(firstcome_provider_events_total{@}[]))", "share")], [(0.01, ORANGE), (0.05, RED)],
              ["FirstcomeProviderEventsRefused"]),
        Panel("Sessions", "Payment sessions per second by their result.", "ops",
              [("sum by (result) (rate(firstcome_payment_sessions_total{@}[]))", "{{result}}")],
              runbooks=["FirstcomeSessionsFailing"]),
        Panel("Refunds at providers", "Refunds that the server makes at providers, per second by their result.", "ops",
              [("sum by (provider, result) (rate(firstcome_provider_refunds_total{@}[]))", "{{provider}} {{result}}")]),
        Panel("Refunds waiting and given up", "Payments whose refund is under way, and those left to an operator.", "short",
              [("sum by (provider) (firstcome_provider_refunds_waiting{@})", "{{provider}} waiting"),
               ("sum by (provider) (firstcome_provider_refunds_given_up{@})", "{{provider}} given up")],
              runbooks=["FirstcomeRefundsGivenUp"]),
        Panel("Payments and refunds", "Accepted payment and refund commands per second.", "ops",
              [('sum by (command) (rate(firstcome_outcomes_total{@,outcome="accepted",command=~"record_payment|'
                'hear_provider|refund_order|settle_refund"}[]))', "{{command}}")], width=12),
        Panel("Final order states", "Orders that are paid, refund_due, refunded, expired or cancelled.", "short",
              [('sum by (state) (firstcome_orders{@,state!~"reserved|awaiting_payment"})', "{{state}}")], stacked=True,
              width=12),
    ]),
    Row("Outbox", [
        Panel("Oldest undelivered event", "Age of the oldest event that an enabled endpoint has not received.", "s",
              [("firstcome_outbox_age_seconds{@}", "{{instance}}")], [(60, ORANGE), (300, RED)], ["FirstcomeOutboxLate"]),
        Panel("Deliveries", "Delivery attempts per second by result; a dead one counts as failed, too.", "ops",
              [("sum by (result) (rate(firstcome_outbox_deliveries_total{@}[]))", "{{result}}")],
              runbooks=["FirstcomeEndpointDead", "FirstcomeDeadLetters"]),
        Panel("Attempt duration", "Time from a request to the end of the endpoint's answer.", "s",
              quantiles("firstcome_outbox_attempt_seconds"), [(1, ORANGE), (5, RED)], ["FirstcomeEndpointDead"]),
        Panel("Waiting deliveries", "Failed deliveries, and those queued behind one, that wait for their next attempt.",
              "short",
              [("firstcome_outbox_waiting{@}", "{{instance}}")], [(100, ORANGE), (1000, RED)],
              ["FirstcomeEndpointDead", "FirstcomeOutboxLate"]),
        Panel("Dead letters over time", "Deliveries that need an operator.", "short",
              [("firstcome_outbox_dead_letters{@}", "{{instance}}")], ANY, ["FirstcomeDeadLetters"]),
        Panel("Mails", "Mails to buyers per second by result; a dead one is counted as rejected or failed, too.", "ops",
              [("sum by (result) (rate(firstcome_mails_total{@}[]))", "{{result}}")],
              runbooks=["FirstcomeMailsRefused"], width=12),
        Panel("Mails given up", "Mails that were rejected or given up, and not sent again.", "short",
              [("firstcome_mail_dead_letters{@}", "{{instance}}")], runbooks=["FirstcomeMailsRefused"], width=12),
        Panel("Open circuit breakers over time", "Endpoints of which only the oldest delivery is tried.", "short",
              [("firstcome_outbox_breakers_open{@}", "{{instance}}")], ANY, ["FirstcomeEndpointDead"]),
    ]),
])

AUCTIONS = Board("auctions", "Auctions", "Prices, bids and subscribers.", [
    Row("Auctions", [
        Panel("Auctions by state", "All auctions of the database by state; ended ones by how they ended.", "short",
              [("sum by (state) (firstcome_auctions{@})", "{{state}}")], stacked=True),
        Panel("Price", "Current price of the live auctions that changed last, in minor units.", "short",
              [(named("firstcome_auction_price{@}", "auction"), AUCTION)]),
        Panel("Time left", "Time until the end of live auctions, including extensions.", "s",
              [(named("firstcome_auction_remaining_seconds{@}", "auction"), AUCTION)]),
    ]),
    Row("Bids", [
        Panel("Bids by auction", "Accepted bids of the live auctions that changed last.", "short",
              [(named("firstcome_auction_bids{@}", "auction"), AUCTION)]),
        Panel("Bid outcomes", "Decided bids per second by outcome.", "ops",
              [('sum by (outcome) (rate(firstcome_outcomes_total{@,command="place_bid"}[]))', "{{outcome}}")], stacked=True),
        Panel("Bids too low", "Share of bids that were below the current minimum.", "percentunit",
              [('sum (rate(firstcome_outcomes_total{@,command="place_bid",outcome="bid_too_low"}[])) / '
                'sum (rate(firstcome_outcomes_total{@,command="place_bid"}[]))', "share")]),
        Panel("Bid latency over HTTP", "Time from the request's head to the answer's, including the commit.", "s",
              quantiles("firstcome_http_request_seconds", labels='@,route="/v1/auctions/{auction_id}/bids"'),
              [(0.05, ORANGE), (0.15, RED)], ["FirstcomeWritesSlow"]),
        Panel("Frames", "BID and SUBSCRIBE frames per second by outcome.", "ops",
              [('sum by (type, outcome) (rate(firstcome_wire_frames_total{@,type=~"bid|subscribe"}[]))',
                "{{type}} {{outcome}}")]),
        Panel("Buy-now and cancelled auctions", "Accepted buy-now purchases and cancelled auctions per second.", "ops",
              [('sum by (command) (rate(firstcome_outcomes_total{@,outcome="accepted",command=~"buy_now|cancel_auction"}[]))',
                "{{command}}")]),
    ]),
    Row("Subscribers", [
        Panel("Subscribers", "Wire subscriptions, and event streams of auctions over HTTP.", "short",
              [("sum (firstcome_wire_subscriptions{@})", "wire"), ('sum (firstcome_streams{@,of="auction"})', "HTTP")],
              width=12),
        Panel("Conflated", "Changes per second that slow subscribers received only as part of a later update.", "ops",
              [("sum (rate(firstcome_wire_conflated_total{@}[]))", "changes")], width=12),
    ]),
])

# Members of etcd are a job of their own (prometheus.yml); nodes and members of one cluster have its labels, if there are several.
CLUSTER = Board("cluster", "Cluster", "The nodes of a cluster and the members of etcd that keep its log.", [
    Row("Nodes", [
        stat("Leaders", "Nodes that surely lead; 0 for longer than a takeover means that nothing is sold.", "short",
             "sum by (cluster, shard) (firstcome_node_leads{@})", [], ["FirstcomeNoLeader"], width=6),
        stat("Nodes", "Nodes that answer Prometheus.", "short",
             "count by (cluster, shard) (firstcome_node_leads{@})", [], ["FirstcomeDown"], width=6),
        stat("Leader changes", "Times that a node began to lead or ceased to, within the last hour.", "short",
             "sum by (cluster, shard) (changes(firstcome_node_leads{@}[1h]))", [(6, ORANGE), (20, RED)],
             ["FirstcomeLeaderChanges"], width=6),
        stat("Members of etcd", "Members of etcd that answer Prometheus; a log needs two of three.", "short",
             'sum(up{job="etcd"})', [], ["FirstcomeEtcdMemberLost"], width=6),
        Panel("Leader", "1 at the node that surely leads.", "short", [("firstcome_node_leads{@}", "{{instance}}")]),
        Panel("Staleness", "Time that a node's state may be behind; a leader writes an entry every second.", "s",
              [("firstcome_node_stale_seconds{@}", "{{instance}}")], [(2, ORANGE), (5, RED)],
              ["FirstcomeNodeBehind"]),
        Panel("Entries behind", "Entries of the log that the foremost node has applied and this one has not.", "short",
              [("scalar(max(firstcome_node_applied_entry{@})) - firstcome_node_applied_entry{@}", "{{instance}}")],
              [(100, ORANGE), (1024, RED)], ["FirstcomeNodeBehind"]),
        Panel("Clocks", "A node's wall clock minus that of the leaders that it followed; from 1 s on it may not lead.", "s",
              [("firstcome_node_clock_lead_seconds{@}", "{{instance}}")], [(0.5, ORANGE), (1, RED)],
              ["FirstcomeNodeClockOff"], width=24),
    ]),
    Row("Log", [
        Panel("Appends", "Time from an append to the log to its answer: the sync of two members' disks, and the network.", "s",
              quantiles("firstcome_node_append_seconds"), [(0.02, ORANGE), (0.05, RED)], ["FirstcomeEtcdSlow"]),
        Panel("Entries", "Entries per second that a node applies: one per group commit, and one a second when idle.",
              "ops", [("deriv(firstcome_node_applied_entry{@}[1m])", "{{instance}}")]),
        Panel("Writes", "Latency of orders, checkouts, cancellations and bids, including the append to the log.", "s",
              quantiles("firstcome_http_request_seconds", labels=f"@,{WRITES}"), [(0.05, ORANGE), (0.15, RED)],
              ["FirstcomeWritesSlow"]),
        Panel("Problems of nodes", "Answers per second that send a client to the leader or say that a node is behind.",
              "ops", [('sum by (instance, code) (rate(firstcome_problems_total{@,code=~"not-leader|behind"}[]))',
                       "{{instance}} {{code}}")]),
    ]),
    Row("Router", [
        Panel("Requests by shard", "Requests per second that `firstcome route` passed on, by shard.", "ops",
              [("sum by (shard) (rate(firstcome_route_requests_total{@}[]))", "shard {{shard}}")], width=6),
        Panel("Not answered", "Requests per second that got no node's answer, by shard and reason.", "ops",
              [('sum by (shard, result) (rate(firstcome_route_requests_total{@,result!="answered"}[]))',
                "shard {{shard}} {{result}}")], [(0.1, ORANGE), (10, RED)], ["FirstcomeNoLeader"], width=6),
        Panel("Failed attempts", "Attempts per second at a node that failed, by shard: not sent, or sent and not answered.",
              "ops", [("sum by (shard, error) (rate(firstcome_route_errors_total{@}[]))",
                       "shard {{shard}} {{error}}")], width=6),
        Panel("Leader changes seen", "Changes of a shard's leader that the routers saw, within five minutes.", "short",
              [("sum by (shard) (increase(firstcome_route_leader_changes_total{@}[5m]))", "shard {{shard}}")],
              runbooks=["FirstcomeLeaderChanges"], width=6),
        Panel("Nodes seen", "Nodes of a shard that serve reads, 1 if a leader is known, and nodes that are of another shard.", "short",
              [("min by (shard) (firstcome_route_nodes{@})", "shard {{shard}}"),
               ("min by (shard) (firstcome_route_leader_known{@})", "shard {{shard}} has a leader"),
               ("max by (shard) (firstcome_route_misplaced_nodes{@})", "shard {{shard}} left out: of another shard")],
              runbooks=["FirstcomeNodeBehind", "FirstcomeRouterNoLeader", "FirstcomeRouterNodeMisplaced"],
              width=12),
        Panel("New drops by shard", "New drops and auctions of the last hour that routers had made on the shard.", "short",
              [("sum by (shard) (increase(firstcome_route_drops_made_total{@}[1h]))", "shard {{shard}}")], width=12),
    ]),
    Row("Members of etcd", [
        Panel("Used quota", "Used share of a member's quota: above 60 % no node starts, at the whole of it nothing is sold.",
              "percentunit", [('etcd_mvcc_db_total_size_in_bytes{job="etcd"} / '
                               'etcd_server_quota_backend_bytes{job="etcd"}', "{{instance}}")],
              [(0.4, ORANGE), (0.5, RED)], ["FirstcomeEtcdNearlyFull"]),
        Panel("Disk syncs", "99th percentile of a sync of a member's write-ahead log; every order waits for two of them.",
              "s", [('histogram_quantile(0.99, sum by (le, instance) '
                     '(rate(etcd_disk_wal_fsync_duration_seconds_bucket{job="etcd"}[])))', "{{instance}}")],
              [(0.01, ORANGE), (0.05, RED)], ["FirstcomeEtcdSlow"]),
        Panel("Members with a leader", "1 while the member knows a leader of etcd; 0 at a member that was cut off.",
              "short", [('etcd_server_has_leader{job="etcd"}', "{{instance}}")], runbooks=["FirstcomeEtcdMemberLost"]),
    ]),
])

DOOR = Board("door", "Door", "Who is refused at the door, and for which reasons: limits, tiers, bot signals, challenges.", [
    Row("Limits", [
        Panel("Refusals by policy", "Requests that a rate limit had no room for, per second by policy.", "ops",
              [("sum by (policy) (rate(firstcome_rate_limited_total{@}[]))", "{{policy}}")],
              runbooks=["FirstcomeDoorRefusesMany"]),
        Panel("Refused share", "Refusals by buyers' policies as a share of the requests of buyers.", "percentunit",
              [('sum by (instance) (rate(firstcome_rate_limited_total{@,policy=~"buyer-.*"}[])) / '
                "sum by (instance) (rate(firstcome_tier_requests_total{@}[]))", "{{instance}}")],
              [(0.1, ORANGE), (0.3, RED)], ["FirstcomeDoorRefusesMany"]),
        Panel("Table fill", "Used share of the door's tables; full ones admit newcomers by a shared budget only.",
              "percentunit", [("max by (table) (firstcome_door_fill_ratio{@})", "{{table}}")],
              [(0.7, ORANGE), (0.95, RED)], ["FirstcomeDoorRefusesMany"]),
    ]),
    Row("Tiers", [
        Panel("Requests by tier", "Requests of buyers to whom limits apply, per second by tier.", "ops",
              [("sum by (tier) (rate(firstcome_tier_requests_total{@}[]))", "{{tier}}")], stacked=True, width=12),
        Panel("Orders by tier", "Orders that the door let through, as a share of all of them, by the buyer's tier.",
              "percentunit",
              [("sum by (tier) (rate(firstcome_tier_orders_total{@}[])) / ignoring (tier) group_left () "
                "sum (rate(firstcome_tier_orders_total{@}[]))", "{{tier}}")], stacked=True, width=12),
    ]),
    Row("Challenges", [
        Panel("Challenges by result", "Challenges issued, and solutions that came with orders, per second by result.", "ops",
              [("sum by (result) (rate(firstcome_challenges_total{@}[]))", "{{result}}")],
              runbooks=["FirstcomeChallengesFail"], width=12),
        Panel("Share of failed challenges", "Solutions without success as a share of all solutions that came with orders.",
              "percentunit",
              [('sum by (instance) (rate(firstcome_challenges_total{@,result!~"issued|solved"}[])) / '
                'sum by (instance) (rate(firstcome_challenges_total{@,result!="issued"}[]))', "{{instance}}")],
              [(0.3, ORANGE), (0.5, RED)], ["FirstcomeChallengesFail"], width=12),
    ]),
    Row("Signals", [
        Panel("Signals by name", "Bot signals that requests raised, per second by name.", "ops",
              [("sum by (signal) (rate(firstcome_risk_signals_total{@}[]))", "{{signal}}")],
              runbooks=["FirstcomeManySuspected"]),
        Panel("Suspected buyers", "Buyers whose risk score is at least risk.suspect_at.", "short",
              [("firstcome_suspected_buyers{@}", "{{instance}}")], runbooks=["FirstcomeManySuspected"]),
        Panel("Suspected share", "Requests of suspected buyers as a share of all requests of buyers.", "percentunit",
              [('sum by (instance) (rate(firstcome_tier_requests_total{@,tier="suspected"}[])) / '
                "sum by (instance) (rate(firstcome_tier_requests_total{@}[]))", "{{instance}}")],
              [(0.1, ORANGE), (0.3, RED)], ["FirstcomeManySuspected"]),
    ]),
])

BOARDS = [SALE, WRITER, EDGE, DOOR, PAYMENTS, AUCTIONS, CLUSTER]

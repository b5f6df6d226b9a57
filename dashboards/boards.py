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

SALE = Board("sale", "Sale", "Stock, orders and money of a sale: is it going as planned, and is it right?", [
    Row("Is it right?", [
        stat("Oversold units", "Units that the recount has above the totals: anything but 0 is an emergency.", "short",
             "firstcome_oversold_units{@}", ANY, ["FirstcomeOversold"]),
        stat("Undersold units", "Units that the counters keep from buyers although no order has them.", "short",
             "firstcome_undersold_units{@}", ANY, ["FirstcomeUndersold"]),
        stat("Drops that disagree", "Drops whose counters are not what their audit adds up to; they are paused.", "short",
             "firstcome_mismatched_drops{@}", ANY, ["FirstcomeCountersDisagree"]),
        stat("Refunds due", "Payments that came in, that no unit stands against, and that are owed back.", "short",
             "firstcome_refunds_due{@}", SOME, ["FirstcomeRefundsDue"]),
        stat("Nothing is sold", "1 while the disk is full: reads go on, every write is answered read-only.", "short",
             "firstcome_read_only{@}", ANY, ["FirstcomeReadOnly"]),
        stat("Conversion", "Paid orders as a share of all orders of the file.", "percentunit",
             'sum by (instance) (firstcome_orders{@,state="paid"}) / sum by (instance) (firstcome_orders{@})', []),
    ]),
    Row("Stock", [
        Panel("Stock", "Units of the chosen drops: available, held by live orders, and sold.", "short",
              [(STOCK % state, f"drop {{{{drop}}}} {state}") for state in ("available", "held", "sold")], width=12),
        Panel("Depletion against plan", "Available units beside those that plan.depletion_seconds expects by now.", "short",
              [(STOCK % "available", "drop {{drop}} available"), (PLANNED, "drop {{drop}} planned")],
              runbooks=["FirstcomeDepletionOffPlan"], width=12),
        Panel("Off the plan", "How far the available units are from the plan, as a share of all units of the drop.",
              "percentunit", [(f"abs({STOCK % 'available'} - ignoring (state) {PLANNED}) / ignoring (state) "
                               f"{STOCK % 'total'}", "drop {{drop}}")],
              [(0.1, ORANGE), (0.2, RED)], ["FirstcomeDepletionOffPlan"]),
        Panel("Sold share", "Sold units as a share of all units of the drop.", "percentunit",
              [(f"{STOCK % 'sold'} / ignoring (state) {STOCK % 'total'}", "drop {{drop}}")]),
        Panel("Sold out in", "When nothing is available any more if the last minute goes on like that.", "s",
              [(f"{STOCK % 'available'} / clamp_min(-deriv({STOCK % 'available'}[1m]), 0.001)", "drop {{drop}}")]),
    ]),
    Row("Orders", [
        Panel("Orders by state", "All orders of the file by the state that they are in now.", "short",
              [("sum by (state) (firstcome_orders{@})", "{{state}}")], stacked=True),
        Panel("Orders made", "Orders that took units, per second.", "ops",
              [('sum by (instance) (rate(firstcome_outcomes_total{@,command="place_order",outcome="accepted"}[]))',
                "{{instance}}")]),
        Panel("What becomes of orders", "Every decided order by its outcome: accepted, repeated, or why not.", "ops",
              [('sum by (outcome) (rate(firstcome_outcomes_total{@,command="place_order"}[]))', "{{outcome}}")],
              stacked=True),
        Panel("Steps after the order", "Accepted checkouts, payments, cancellations and refunds, per second.", "ops",
              [('sum by (command) (rate(firstcome_outcomes_total{@,outcome="accepted",command=~"checkout|record_payment|'
                'hear_provider|cancel_order|cancel_by_operator|refund_order|settle_refund"}[]))', "{{command}}")]),
        Panel("Refusals", "Decided, and the answer was no: per second by the reason.", "ops",
              [('sum by (outcome) (rate(firstcome_outcomes_total{@,outcome!~"accepted|repeated"}[]))', "{{outcome}}")]),
        Panel("Turned away", "Not let in, so nothing was decided: per second by the reason.", "ops",
              [("sum by (reason) (rate(firstcome_turned_away_total{@}[]))", "{{reason}}"),
               ("sum (rate(firstcome_writer_too_old_total{@}[]))", "waited too long")],
              [(1, ORANGE)], ["FirstcomeQueueFull"]),
    ]),
])

WRITER = Board("writer", "Writer", "The one thread that decides and records: does it keep up, and what does it wait for?", [
    Row("Queue", [
        Panel("Queue", "Commands that wait for the writer, and the places that there are.", "short",
              [("firstcome_writer_queue_depth{@}", "{{instance}} waiting"),
               ("firstcome_writer_queue_capacity{@}", "{{instance}} places")], runbooks=["FirstcomeQueueFull"]),
        Panel("Queue filled", "The share of its places that are taken; at 1 buyers are turned away.", "percentunit",
              [("firstcome_writer_queue_depth{@} / firstcome_writer_queue_capacity{@}", "{{instance}}")],
              [(0.5, ORANGE), (0.8, RED)], ["FirstcomeQueueFull"]),
        Panel("Wait in the queue", "From the edge to the writer; beyond queue_wait_max buyers are answered overloaded.", "s",
              quantiles("firstcome_writer_queue_wait_seconds"), [(0.1, ORANGE), (1, RED)],
              ["FirstcomeQueueFull", "FirstcomeWriterStalled"]),
        Panel("Commands", "Commands that the writer decides, per second by their kind.", "ops",
              [("sum by (command) (rate(firstcome_outcomes_total{@}[]))", "{{command}}")], stacked=True,
              runbooks=["FirstcomeWriterStalled"]),
        Panel("Commands of a batch", "How many commands share one commit: it grows with the load, up to batch_commands_max.",
              "short", [("sum (rate(firstcome_writer_batch_commands_sum{@}[])) / "
                         "sum (rate(firstcome_writer_batch_commands_count{@}[]))", "mean"),
                        *quantiles("firstcome_writer_batch_commands", of=(50, 99))]),
        Panel("Late answers", "Clients told overloaded because they waited, or outcome-unknown because the answer was late.",
              "ops", [("sum (rate(firstcome_writer_too_old_total{@}[]))", "waited too long, undecided"),
                      ("sum (rate(firstcome_reply_timeout_total{@}[]))", "outcome unknown")],
              [(0.01, RED)], ["FirstcomeRepliesLate"]),
    ]),
    Row("Where the time goes", [
        Panel("Decide", "Advance, prefetch, decide and evolve of one command.", "s",
              quantiles("firstcome_writer_decide_seconds"), [(0.001, ORANGE), (0.01, RED)], ["FirstcomeWriterStalled"]),
        Panel("Record", "Writing the rows of a batch into the transaction.", "s",
              quantiles("firstcome_writer_record_seconds"), [(0.02, ORANGE), (0.1, RED)], ["FirstcomeCommitsSlow"]),
        Panel("Commit", "COMMIT of a batch, the wait for the disk included; every answer waits for it.", "s",
              quantiles("firstcome_writer_commit_seconds"), [(0.02, ORANGE), (0.05, RED)], ["FirstcomeCommitsSlow"]),
    ]),
    Row("File", [
        Panel("Write-ahead log", "Its size: it is copied from 16 MB on and emptied at 64 MB, unless a reader is in the way.",
              "bytes", [("firstcome_wal_bytes{@}", "{{instance}}")], [(67108864, ORANGE), (134217728, RED)],
              ["FirstcomeWalGrowing"]),
        Panel("Checkpoints", "How long copying the log into the database takes, while the writer does nothing else.", "s",
              quantiles("firstcome_checkpoint_seconds", of=(50, 99)), [(0.05, ORANGE), (0.5, RED)], ["FirstcomeWalGrowing"]),
        Panel("Checkpoints per minute", "Checkpoints that ran, and resets of the log that a reader prevented.", "cpm",
              [("60 * sum (rate(firstcome_checkpoint_seconds_count{@}[]))", "ran"),
               ("60 * sum (rate(firstcome_checkpoint_busy_total{@}[]))", "readers in the way")],
              runbooks=["FirstcomeWalGrowing"]),
        Panel("Events", "Numbers given per second: every event is one row of the audit.", "ops",
              [("deriv(firstcome_seq{@}[1m])", "{{instance}}")]),
        Panel("Database", "Size of the database file, without its log.", "bytes",
              [("firstcome_database_bytes{@}", "{{instance}}")]),
        Panel("Room on the disk", "Below writer.free_bytes_min nothing is sold any more.", "bytes",
              [("firstcome_disk_free_bytes{@}", "{{instance}}")], runbooks=["FirstcomeDiskLow", "FirstcomeDiskFilling"]),
    ]),
    Row("Watchmen", [
        Panel("Auditor's lag", "Events that the auditor has not recounted: until it has, an oversell would not be seen.",
              "short", [("firstcome_audit_lag{@}", "{{instance}}")], [(100000, ORANGE), (1000000, RED)],
              ["FirstcomeAuditorBehind"]),
        Panel("Clock", "Wall clock minus the clock of decisions; up to a second is slewed away, more is for people.", "s",
              [("firstcome_clock_offset_seconds{@}", "{{instance}}")], [(0.5, ORANGE), (1, RED)], ["FirstcomeClockOff"]),
        Panel("Forgotten and left out", "Idempotency keys that went before their time, and commands that a capture lacks.",
              "short", [("firstcome_idempotency_keys_evicted{@}", "{{instance}} keys"),
                        ("firstcome_capture_dropped_total{@}", "{{instance}} captured commands")],
              ANY, ["FirstcomeKeysForgotten", "FirstcomeCaptureGap"]),
    ]),
])

EDGE = Board("edge", "Edge", "What clients see: requests, latencies, problems, connections.", [
    Row("Requests", [
        Panel("Requests against plan", "Answered requests per second, and what plan.requests_per_second says.", "reqps",
              [("sum by (instance) (rate(firstcome_http_requests_total{@}[]))", "{{instance}}"),
               ("firstcome_plan_requests_per_second{@}", "{{instance}} planned")],
              runbooks=["FirstcomeRequestsAbovePlan"]),
        Panel("Requests by status", "Answered requests per second by their status.", "reqps",
              [("sum by (status) (rate(firstcome_http_requests_total{@}[]))", "{{status}}")], stacked=True),
        Panel("Requests by route", "The ten busiest routes.", "reqps",
              [("topk(10, sum by (method, route) (rate(firstcome_http_requests_total{@}[])))", "{{method}} {{route}}")]),
        Panel("Errors", "The share of answers with status 500 and above; a refusal such as sold-out is none.", "percentunit",
              [('sum by (instance) (rate(firstcome_http_requests_total{@,status=~"5.."}[])) / '
                "sum by (instance) (rate(firstcome_http_requests_total{@}[]))", "{{instance}}")],
              [(0.005, ORANGE), (0.01, RED)], ["FirstcomeErrors"]),
        Panel("Problems", "What clients were told, per second by the code of the problem.", "ops",
              [("sum by (code) (rate(firstcome_problems_total{@}[]))", "{{code}}")], runbooks=["FirstcomeErrors"]),
        Panel("Balance over cores", "Requests per second of each serving thread: the kernel should share them out evenly.",
              "reqps", [("sum by (instance, worker) (rate(firstcome_worker_requests_total{@}[]))",
                         "{{instance}} thread {{worker}}")]),
    ]),
    Row("Latency", [
        Panel("Reads", "Drops, orders and auctions read, from the request's head to the answer's.", "s",
              quantiles("firstcome_http_request_seconds", labels=f"@,{READS}"), [(0.05, ORANGE), (0.2, RED)],
              ["FirstcomeReadsSlow"]),
        Panel("Writes", "Orders, checkouts, cancellations and bids, their commit included.", "s",
              quantiles("firstcome_http_request_seconds", labels=f"@,{WRITES}"), [(0.05, ORANGE), (0.15, RED)],
              ["FirstcomeWritesSlow"]),
        Panel("By route", "95th percentile of each route of buyers, and of operators' routes together.", "s",
              quantiles("firstcome_http_request_seconds", by="route", of=(95,)), [(0.15, ORANGE), (0.2, RED)],
              ["FirstcomeReadsSlow", "FirstcomeWritesSlow"]),
        Panel("Traces", "Slow and chosen writes that were traced, or left out because the second had enough; and their spans.",
              "ops", [("sum by (result) (rate(firstcome_traces_total{@}[]))", "traces {{result}}"),
                      ("sum by (result) (rate(firstcome_trace_spans_total{@}[]))", "spans {{result}}")],
              runbooks=["FirstcomeWritesSlow"]),
    ]),
    Row("Reads", [
        Panel("Hot reads", "The share of reads that a ready body answers; orders are always read from the file.",
              "percentunit", [('sum by (instance) (rate(firstcome_reads_total{@,source="hot"}[])) / '
                               "sum by (instance) (rate(firstcome_reads_total{@}[]))", "{{instance}}")],
              runbooks=["FirstcomeHotReadsLow"]),
        Panel("Reads by source", "Reads of drops and orders per second: a ready body, or the file.", "ops",
              [("sum by (source) (rate(firstcome_reads_total{@}[]))", "{{source}}")], stacked=True,
              runbooks=["FirstcomeHotReadsLow"]),
        Panel("Time of a read", "99th percentile of a read by its source.", "s",
              quantiles("firstcome_read_seconds", by="source", of=(99,)), [(0.01, ORANGE), (0.1, RED)],
              ["FirstcomeReadsSlow"]),
    ]),
    Row("Connections", [
        Panel("Open connections", "By listener; together at most http.connections_max.", "short",
              [("sum by (listener) (firstcome_connections{@})", "{{listener}}")], runbooks=["FirstcomeConnectionsRefused"]),
        Panel("Refused connections", "Closed at the door, per second by the reason.", "ops",
              [("sum by (reason) (rate(firstcome_connections_refused_total{@}[]))", "{{reason}}")], [(1, RED)],
              ["FirstcomeConnectionsRefused"]),
        Panel("Slow clients", "Connections that the server closed because the client was too slow, per second.", "ops",
              [("sum by (cause) (rate(firstcome_connections_closed_total{@}[]))", "{{cause}}")]),
        Panel("Streams and subscriptions", "Who follows drops, auctions and the audit at the moment.", "short",
              [("sum by (of) (firstcome_streams{@})", "streams of {{of}}"),
               ("sum (firstcome_wire_subscriptions{@})", "subscriptions by frames")]),
        Panel("Frames", "Answered frames of the binary protocol, per second by what became of them.", "ops",
              [("sum by (outcome) (rate(firstcome_wire_frames_total{@}[]))", "{{outcome}}"),
               ("sum (rate(firstcome_wire_malformed_total{@}[]))", "malformed, closed")]),
        Panel("Certificates", "Changed certificate files that were taken, or not.", "short",
              [("sum by (result) (increase(firstcome_tls_reloads_total{@}[1h]))", "{{result}}")],
              runbooks=["FirstcomeCertificateNotTaken"]),
    ]),
    Row("Process", [
        Panel("Memory", "Resident memory; the unit file allows 2 GiB.", "bytes",
              [("firstcome_resident_memory_bytes{@}", "{{instance}}")], [(1073741824, ORANGE), (1610612736, RED)],
              ["FirstcomeMemoryHigh"], width=12),
        Panel("Descriptors", "The share of the process's file descriptors that are open.", "percentunit",
              [("firstcome_open_descriptors{@} / firstcome_max_descriptors{@}", "{{instance}}")],
              [(0.6, ORANGE), (0.8, RED)], ["FirstcomeDescriptorsLow"], width=12),
    ]),
])

PAYMENTS = Board("payments", "Payments and outbox", "Money in, money owed, and what the world is told.", [
    Row("Money", [
        stat("Awaiting payment", "Live orders with a contact, whose buyers may pay now.", "short",
             'firstcome_orders{@,state="awaiting_payment"}', []),
        stat("Paid", "Orders that are paid.", "short", 'firstcome_orders{@,state="paid"}', []),
        stat("Refunds due", "Payments that are owed back, in whole or in part.", "short", "firstcome_refunds_due{@}", SOME,
             ["FirstcomeRefundsDue"]),
        stat("Sessions waiting", "Orders whose payment session is asked for, or will be again.", "short",
             "firstcome_payment_sessions_waiting{@}", [(100, ORANGE), (1000, RED)], ["FirstcomeSessionsFailing"]),
        stat("Dead letters", "Deliveries that were given up and wait for an operator.", "short",
             "firstcome_outbox_dead_letters{@}", ANY, ["FirstcomeDeadLetters"]),
        stat("Dead endpoints", "Endpoints to which nothing gets through.", "short", "firstcome_outbox_breakers_open{@}", ANY,
             ["FirstcomeEndpointDead"]),
    ]),
    Row("Providers", [
        Panel("What providers tell", "Webhooks per second by provider and what became of them.", "ops",
              [("sum by (provider, result) (rate(firstcome_provider_events_total{@}[]))", "{{provider}} {{result}}")],
              runbooks=["FirstcomeProviderEventsRefused"]),
        Panel("Not taken", "The share of webhooks without a good signature, stale, unfit or not recorded.", "percentunit",
              [('sum (rate(firstcome_provider_events_total{@,result=~"unauthorized|stale|unfit|failed"}[])) / '
                "sum (rate(firstcome_provider_events_total{@}[]))", "share")], [(0.01, ORANGE), (0.05, RED)],
              ["FirstcomeProviderEventsRefused"]),
        Panel("Sessions", "Payment sessions per second by their result.", "ops",
              [("sum by (result) (rate(firstcome_payment_sessions_total{@}[]))", "{{result}}")],
              runbooks=["FirstcomeSessionsFailing"]),
        Panel("Payments and refunds", "Accepted commands about money, per second.", "ops",
              [('sum by (command) (rate(firstcome_outcomes_total{@,outcome="accepted",command=~"record_payment|'
                'hear_provider|refund_order|settle_refund"}[]))', "{{command}}")], width=12),
        Panel("Where orders end", "Orders that are paid, owed back, refunded, lapsed or cancelled.", "short",
              [('sum by (state) (firstcome_orders{@,state!~"reserved|awaiting_payment"})', "{{state}}")], stacked=True,
              width=12),
    ]),
    Row("Outbox", [
        Panel("Age", "Age of the oldest event that an enabled endpoint has not been told.", "s",
              [("firstcome_outbox_age_seconds{@}", "{{instance}}")], [(60, ORANGE), (300, RED)], ["FirstcomeOutboxLate"]),
        Panel("Deliveries", "Attempts per second by their result; dead ones are counted besides failed.", "ops",
              [("sum by (result) (rate(firstcome_outbox_deliveries_total{@}[]))", "{{result}}")],
              runbooks=["FirstcomeEndpointDead", "FirstcomeDeadLetters"]),
        Panel("Time of an attempt", "From the call of an endpoint to the end of its answer.", "s",
              quantiles("firstcome_outbox_attempt_seconds"), [(1, ORANGE), (5, RED)], ["FirstcomeEndpointDead"]),
        Panel("Waiting", "Deliveries that failed, or stand behind one that did, and wait for their next attempt.", "short",
              [("firstcome_outbox_waiting{@}", "{{instance}}")], [(100, ORANGE), (1000, RED)],
              ["FirstcomeEndpointDead", "FirstcomeOutboxLate"]),
        Panel("Given up", "Deliveries that wait for an operator.", "short",
              [("firstcome_outbox_dead_letters{@}", "{{instance}}")], ANY, ["FirstcomeDeadLetters"]),
        Panel("Endpoints that take nothing", "Only their oldest delivery is tried.", "short",
              [("firstcome_outbox_breakers_open{@}", "{{instance}}")], ANY, ["FirstcomeEndpointDead"]),
    ]),
])

AUCTIONS = Board("auctions", "Auctions", "Prices, bids and who listens.", [
    Row("Auctions", [
        Panel("Auctions by state", "All auctions of the file; those that are over by how they ended.", "short",
              [("sum by (state) (firstcome_auctions{@})", "{{state}}")], stacked=True),
        Panel("Price", "Current price in minor units of the live auctions that changed last.", "short",
              [("firstcome_auction_price{@}", "auction {{auction}}")]),
        Panel("Time left", "Until their end, as late bids have moved it.", "s",
              [("firstcome_auction_remaining_seconds{@}", "auction {{auction}}")]),
    ]),
    Row("Bids", [
        Panel("Bids by auction", "Accepted bids of the live auctions that changed last.", "short",
              [("firstcome_auction_bids{@}", "auction {{auction}}")]),
        Panel("What becomes of bids", "Every decided bid per second by its outcome.", "ops",
              [('sum by (outcome) (rate(firstcome_outcomes_total{@,command="place_bid"}[]))', "{{outcome}}")], stacked=True),
        Panel("Too low", "The share of bids that somebody was faster than.", "percentunit",
              [('sum (rate(firstcome_outcomes_total{@,command="place_bid",outcome="bid_too_low"}[])) / '
                'sum (rate(firstcome_outcomes_total{@,command="place_bid"}[]))', "share")]),
        Panel("Time of a bid over HTTP", "From the request's head to the answer's, the commit included.", "s",
              quantiles("firstcome_http_request_seconds", labels='@,route="/v1/auctions/{auction_id}/bids"'),
              [(0.05, ORANGE), (0.15, RED)], ["FirstcomeWritesSlow"]),
        Panel("Frames", "BID and SUBSCRIBE frames per second by what became of them.", "ops",
              [('sum by (type, outcome) (rate(firstcome_wire_frames_total{@,type=~"bid|subscribe"}[]))',
                "{{type}} {{outcome}}")]),
        Panel("Sold at once", "Accepted purchases for the buy-now price, and auctions called off, per second.", "ops",
              [('sum by (command) (rate(firstcome_outcomes_total{@,outcome="accepted",command=~"buy_now|cancel_auction"}[]))',
                "{{command}}")]),
    ]),
    Row("Who listens", [
        Panel("Subscribers", "Subscriptions by frames, and event streams of auctions over HTTP.", "short",
              [("sum (firstcome_wire_subscriptions{@})", "frames"), ('sum (firstcome_streams{@,of="auction"})', "HTTP")],
              width=12),
        Panel("Conflated", "Changes per second that slow subscribers were not told of by themselves, only of the next.", "ops",
              [("sum (rate(firstcome_wire_conflated_total{@}[]))", "changes")], width=12),
    ]),
])

BOARDS = [SALE, WRITER, EDGE, PAYMENTS, AUCTIONS]

"""Runs every query of every dashboard on a Prometheus, and checks every alert rule that it has loaded.

    ask.py PROMETHEUS BUSY EMPTY FROM
    ask.py --cluster PROMETHEUS FROM

BUSY is the instance of the sale: since FROM (seconds since 1970) each query must have had a value other than 0 there, or its
metric is listed below with a reason. EMPTY is an idle instance, at which no query may be an error.
With --cluster: each query of the dashboard of clusters must have had a value other than 0 at some instance.
"""

import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

BOARDS = Path(__file__).resolve().parents[2] / "dashboards"
STEP_SECONDS = 1

# Metrics, or parts of queries, without values in this sale, with the reason.
QUIET = {
    "firstcome_oversold_units": "never: promise 2; tests/server/routes.rs corrupts a counter to see it",
    "firstcome_undersold_units": "never: promise 2",
    "firstcome_mismatched_drops": "never: promise 2; tests/server/routes.rs",
    "firstcome_provider_refunds_": "the sale's refunds are made by hand; tests/server/provider_refunds.rs",
    "firstcome_read_only": "the disk is not full; scripts/full-disk.sh",
    "firstcome_clock_offset_seconds": "the clock is right",
    "firstcome_idempotency_keys_evicted": "takes more orders than engine.idempotency_keys_max",
    "firstcome_thread_panics_total": "never; tests/server/panics.rs",
    "firstcome_capture_dropped_total": "nothing is captured; tests/capture_gap.rs",
    "firstcome_checkpoint_busy_total": "takes a reader that holds its snapshot for minutes",
    "firstcome_reply_timeout_total": "takes a blocked writer; tests/server/disk_fault.rs",
    "firstcome_writer_too_old_total": "takes a queue that is longer than queue_wait_max; tests/writer.rs",
    "firstcome_wire_conflated_total": "takes a subscriber whose buffers are full; tests/wire/auctions.rs",
    "firstcome_traces_total": "takes slow writes; tests/server/traces.rs",
    "firstcome_trace_spans_total": "takes a program with the feature otlp; tests/server/traces_otlp.rs",
    "firstcome_tls_reloads_total": "the sale is without TLS; tests/server/tls.rs",
    "firstcome_node_leads": "the sale is on a single machine; tests/viewed_node",
    "firstcome_node_applied_entry": "the sale is on a single machine; tests/viewed_node",
    "firstcome_node_stale_seconds": "the sale is on a single machine; tests/viewed_node",
    "firstcome_node_clock_lead_seconds": "the sale is on a single machine; scripts/cluster/rehearse.sh",
    "firstcome_node_append_seconds_bucket": "the sale is on a single machine; scripts/cluster/rehearse.sh",
    "firstcome_route_": "the sale has no router; scripts/cluster/rehearse.sh",
    "firstcome_rate_limited_total": "clients on loopback are exempt; tests/server/door.rs",
    "firstcome_tier_requests_total": "clients on loopback are exempt; tests/server/door.rs",
    "firstcome_challenges_total": "the sale's drops demand none; tests/server/challenges.rs",
    "firstcome_tier_orders_total": "clients on loopback are exempt; tests/server/risk.rs",
    "firstcome_risk_signals_total": "clients on loopback are exempt; tests/server/risk.rs",
    "firstcome_suspected_buyers": "clients on loopback are exempt; tests/server/risk.rs",
    "firstcome_mail": "the sale sends no mails; tests/server/mail.rs",
    "firstcome_backup": "the sale makes no backups; tests/server/backup_restore.rs",
    "firstcome_door_fill_ratio": "clients on loopback are exempt; tests/server/risk.rs",
    "firstcome_drop_standby": "no buyer of the sale stands by",
    "firstcome_drop_paused": "no drop of the sale is paused; scripts/alerts.sh",
    "firstcome_room": "the sale has no waiting room; tests/server/series.rs, scripts/rooms.sh",
    'code=~"not-leader|behind"': "the sale is on a single machine; tests/viewed_node",
    'job="etcd"': "the sale is on a single machine, without etcd",
}


class Prometheus:
    def __init__(self, url):
        self.url = url

    def get(self, path, **parameters):
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(json.load(error)["error"]) from error

    def values(self, expression, since):
        found = self.get("query_range", query=expression, start=since, end=time.time(), step=STEP_SECONDS)["result"]
        return [float(value) for series in found for _, value in series["values"]]


def filled_in(expression, instance):
    for name, value in {"$instance": re.escape(instance), "$drop": ".+", "$__rate_interval": "10s"}.items():
        expression = expression.replace(name, value.replace("\\", "\\\\"))
    return expression


def metrics_of(expression):
    return set(re.findall(r"\bfirstcome_\w+", expression))


def check_boards(prometheus, busy, empty, since):
    wrong, asked, quiet = [], 0, 0
    for path in sorted(BOARDS.glob("*.json")):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                asked += 1
                where = f"{board['title']} / {panel['title']}: {target['expr']}"
                try:
                    values = prometheus.values(filled_in(target["expr"], busy), since)
                    prometheus.values(filled_in(target["expr"], empty), since)
                except ValueError as error:
                    wrong.append(f"{where}: {error}")
                    continue
                shown = any(value == value and value != 0 for value in values)  # excludes NaN
                if shown:
                    continue
                if any(part in target["expr"] for part in QUIET):
                    quiet += 1
                else:
                    wrong.append(f"{where}: {'only 0' if values else 'nothing'}")
    print(f"{asked} queries: {asked - quiet - len(wrong)} have values, {quiet} have none for a known reason")
    return wrong


def check_alerts(prometheus, busy, since):
    """Checks that the metrics of every alert rule exist, although most alerts do not fire."""
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    wrong = [f"rule {rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] == "err"]
    for rule in rules:
        for metric in metrics_of(rule["query"]):
            is_quiet = any(metric.startswith(part) for part in QUIET)
            if not is_quiet and not prometheus.values(f'{metric}{{instance="{busy}"}}', since):
                wrong.append(f"rule {rule['name']}: {metric} has no samples")
    fired = prometheus.get("series", **{"match[]": 'ALERTS{alertstate="firing"}', "start": since})
    names = sorted({series["alertname"] for series in fired})
    print(f"{len(rules)} rules; fired in this sale: {', '.join(names) or 'none'}")
    return wrong


def check_cluster(prometheus, since):
    """Shows the last values of every query of the dashboard of clusters. Returns those without any."""
    board, wrong = json.loads((BOARDS / "cluster.json").read_text()), []
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$instance", ".+").replace("$__rate_interval", "10s")
            values = [value for value in prometheus.values(expression, since) if value == value]
            if not any(values):
                wrong.append(f"{panel['title']}: {target['expr']}: {'only 0' if values else 'nothing'}")
                continue
            print(f"  {panel['title']}: {len(values)} values from {min(values):.4g} to {max(values):.4g}")
    return wrong


def main(url, busy, empty, since):
    prometheus = Prometheus(url)
    wrong = check_boards(prometheus, busy, empty, float(since)) + check_alerts(prometheus, busy, float(since))
    for metric in sorted(QUIET):
        print(f"  quiet: {metric}: {QUIET[metric]}")
    print("\n".join(wrong), file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1] == "--cluster":
        without = check_cluster(Prometheus(sys.argv[2]), float(sys.argv[3]))
        sys.exit("\n".join(without) if without else 0)
    sys.exit(main(*sys.argv[1:]))

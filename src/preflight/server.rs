//! Checks of the running server: readiness, clock, disk space, the drop and its stock, reads, and webhook endpoints.

use std::time::Duration;

use hyper::header::{ETAG, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use rustix::fs::statvfs;
use serde_json::Value;

use super::finding::{Finding, Verdict};
use crate::client::http::{HttpClient, RequestError, TimedResponse, printable};
use crate::config::Config;
use crate::egress::{EgressClient, OutboundRequest, SendError, Target};
use crate::outbox::OutboxSetup;
use crate::read::outbox::MAIL_URL;
use crate::telemetry::catalogue as metric;
use crate::telemetry::page::MetricsPage;
use crate::types::UnixMillis;

/// Limits for the offset between clocks: the server slews up to a second, and an alert fires above it.
const OFFSET_WARN_MS: u64 = 200;
const OFFSET_FAIL_MS: u64 = 1_000;
/// Disk space for a unit until it is paid, including its lapsed orders.
pub(super) const BYTES_PER_UNIT: u64 = 2_000;
/// Limit for the events that the auditor has not counted yet.
const LAG_MAX: f64 = 10_000.0;
/// Reads over new connections, to reach every worker: each has its own response cache.
const FRESH_READS: usize = 16;
/// Limits for a read. A cached read takes far less; the published plan wants 95 % of reads below the second limit.
const READ_WARN: Duration = Duration::from_millis(50);
const READ_FAIL: Duration = Duration::from_millis(200);
/// Limit for the endpoints that are called.
const ENDPOINTS_MAX: usize = 20;

/// Returns the value of a metric; 0 if the page lacks it.
fn value_of(page: &MetricsPage, metric: &metric::Metric) -> f64 {
    page.value(metric.name).unwrap_or(0.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bytes and counts below 2^53; `as` saturates"
)]
pub fn count(page: &MetricsPage, metric: &metric::Metric) -> u64 {
    value_of(page, metric) as u64
}

/// Checks that the server accepts traffic, and that it is the one of these settings.
pub fn readiness(ready: Result<(), RequestError>, page: &MetricsPage, config: &Config) -> Vec<Finding> {
    let seq = count(page, &metric::SEQ);
    let ready = match ready {
        Ok(()) => Finding::pass("server", format!("ready; event {seq}")),
        Err(error) => Finding::fail("server", error.to_string(), "start it, or wait until it has started"),
    };
    let (depth, capacity) = (count(page, &metric::QUEUE_DEPTH), count(page, &metric::QUEUE_CAPACITY));
    let configured = u64::try_from(config.queue_capacity).unwrap_or(u64::MAX);
    let queue = if capacity != configured {
        Finding::warn(
            "limits",
            format!("the queue holds {capacity} commands, these settings say {configured}"),
            "run preflight with the server's own --config and environment",
        )
    } else {
        let found = format!("{depth} of {capacity} commands in the queue");
        let limits = (capacity / 10, capacity / 2);
        Finding::graded("limits", depth, limits, found, "the server is busy already: see firstcome top")
    };
    vec![ready, queue]
}

/// Compares the server's clock with this machine's, and its clock of decisions with its own wall clock.
pub fn clock(headers: &HeaderMap, took: Duration, wall: UnixMillis, page: &MetricsPage) -> Finding {
    const CHECK: &str = "clock offset";
    let theirs = headers.get("firstcome-time-ms").and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
    let Some(theirs) = theirs else {
        return Finding::warn(CHECK, "the response has no time", "check that this is a firstcome server");
    };
    // The time was taken about halfway between request and response.
    let half_way = i64::try_from(took.as_millis() / 2).unwrap_or(0);
    let apart = wall.get().saturating_sub(half_way).abs_diff(theirs);
    let inside = value_of(page, &metric::CLOCK_OFFSET);
    let found = format!("{apart} ms from this machine's clock; clock of decisions off by {inside:+.3} s");
    let worst = apart.max(if inside.abs() > 1.0 { OFFSET_FAIL_MS.saturating_add(1) } else { 0 });
    let to_do = "see FirstcomeClockOff: correct the wrong one; the server's follows the wall clock at its next start (one that is \
                 60 s to 1 h ahead, within a boot and while anything is due, only with --accept-clock), and never goes back";
    Finding::graded(CHECK, worst, (OFFSET_WARN_MS, OFFSET_FAIL_MS), found, to_do)
}

/// Compares the clock of decisions with the server's own wall clock.
#[must_use]
pub fn clock_of_decisions(page: &MetricsPage) -> Finding {
    let offset = value_of(page, &metric::CLOCK_OFFSET);
    let found = format!("the clock of decisions is off by {offset:+.3} s from the wall clock");
    let to_do = "see FirstcomeClockOff: it follows the wall clock at the next start, and never goes back";
    Finding::graded("clock offset", offset.abs(), (0.2, 1.0), found, to_do)
}

/// Checks that the sale fits on the disk.
pub fn disk_space(page: &MetricsPage, config: &Config, total: u64) -> Finding {
    const CHECK: &str = "disk room";
    // The metric is 0 shortly after the server's start.
    let here = || statvfs(&config.data).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)).ok();
    let Some(free) = Some(count(page, &metric::DISK_FREE)).filter(|free| *free > 0).or_else(here) else {
        return Finding::warn(CHECK, "not known yet", "run preflight again in a second");
    };
    let least = config.free_bytes_min.saturating_add(config.reset_wal_bytes.saturating_mul(2));
    let wanted = least.saturating_add(total.saturating_mul(BYTES_PER_UNIT));
    let mb = |bytes: u64| bytes >> 20;
    let found = format!("{} MB free, a sale of {total} units may take {} MB", mb(free), mb(wanted));
    let to_do = "free disk space for the database, or orders will fail with read-only";
    if value_of(page, &metric::READ_ONLY) > 0.0 {
        let found = "read-only, no sales at the moment: the disk is full, or another program has the file locked";
        return Finding::fail(CHECK, found, "free disk space, or end that program: see FirstcomeReadOnly");
    }
    // Graded by the missing space.
    Finding::graded(CHECK, wanted.saturating_sub(free), (0, wanted.saturating_sub(least)), found, to_do)
}

/// Checks that the drop is or will be on sale.
pub fn drop_state(drop: &Value) -> Finding {
    const CHECK: &str = "drop";
    let text = |name: &str| drop[name].as_str().unwrap_or("");
    let total = drop["total"].as_u64().unwrap_or(0);
    let found = format!("{}, starts at {}, {total} units", text("state").replace('_', " "), text("starts_at"));
    match text("state") {
        _ if total == 0 => Finding::fail(CHECK, found, "it has no units: POST /v1/drops/{id}/stock"),
        "scheduled" | "live" => Finding::pass(CHECK, found),
        "paused" => Finding::warn(CHECK, found, "it takes no orders until POST /v1/drops/{id}/resume"),
        "sold_out" => Finding::warn(CHECK, found, "no unit is available: check the number of the drop"),
        _ => Finding::fail(CHECK, found, "it takes no more orders: create a new drop"),
    }
}

/// Checks that the counters agree with the orders, according to the server's auditor.
pub fn stock(drop: &Value, page: &MetricsPage) -> Finding {
    const CHECK: &str = "stock";
    let units = |name: &str| drop[name].as_u64().unwrap_or(0);
    let parts = units("available").saturating_add(units("held")).saturating_add(units("sold"));
    let (over, under) = (count(page, &metric::OVERSOLD), count(page, &metric::UNDERSOLD));
    let (lag, mismatched) = (value_of(page, &metric::AUDIT_LAG), count(page, &metric::MISMATCHED));
    let total = units("total");
    let to_do = "do not sell: pause the drop, run `firstcome verify` for the differences, restore a backup";
    if parts != total {
        return Finding::fail(CHECK, format!("{total} units, but available, held and sold add up to {parts}"), to_do);
    }
    if over > 0 || under > 0 || mismatched > 0 {
        let found = format!("auditor: {mismatched} drops disagree, {over} units oversold, {under} undersold");
        return Finding::fail(CHECK, found, to_do);
    }
    let found = format!("{total} units = available + held + sold; the auditor agrees, {lag} events behind");
    Finding::graded(
        CHECK,
        lag,
        (LAG_MAX, f64::INFINITY),
        found,
        "wait until the auditor has caught up: see firstcome top",
    )
}

/// Checks that no units are held or sold before the sale.
pub fn leftovers(drop: &Value) -> Finding {
    const CHECK: &str = "left over";
    let units = |name: &str| drop[name].as_u64().unwrap_or(0);
    let (held, sold) = (units("held"), units("sold"));
    if held == 0 && sold == 0 {
        return Finding::pass(CHECK, "no unit is held or sold");
    }
    let id = &drop["id"];
    Finding::warn(
        CHECK,
        format!("{held} units are held and {sold} sold already"),
        format!("if they are from a test: firstcome remedy {id} --last 20; otherwise the sale has begun"),
    )
}

/// Reads the drop as buyers will: twice in a row, and over new connections, which reach every worker.
///
/// # Errors
/// The first failed read.
pub async fn reads(public: &HttpClient, path: &str) -> Result<Finding, RequestError> {
    let first = public.request(Method::GET, path, None).await?;
    let second = public.request(Method::GET, path, None).await?;
    let mut all = vec![read_of(&first), read_of(&second)];
    for _ in 0..FRESH_READS {
        all.push(read_of(&public.get_on_new_connection(path).await?));
    }
    Ok(judge_reads(&all))
}

/// Time, version (ETag) and body of a read.
type DropRead = (Duration, Vec<u8>, Vec<u8>);

fn read_of(response: &TimedResponse) -> DropRead {
    let version = response.reply.headers.get(ETAG).map(|tag| tag.as_bytes().to_vec()).unwrap_or_default();
    (response.elapsed, version, response.reply.body.to_vec())
}

fn judge_reads(reads: &[DropRead]) -> Finding {
    const CHECK: &str = "hot reads";
    let of_one_version = |a: &DropRead, b: &DropRead| a.1 != b.1 || a.2 == b.2;
    if !reads.iter().all(|a| reads.iter().all(|b| of_one_version(a, b))) {
        return Finding::fail(CHECK, "two bodies have the same version", "do not sell: this is a bug, report it");
    }
    let versions: std::collections::BTreeSet<&Vec<u8>> = reads.iter().map(|read| &read.1).collect();
    let slowest = reads.iter().map(|read| read.0).max().unwrap_or_default();
    let second = reads.get(1).map_or(slowest, |read| read.0);
    let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let same = if versions.len() == 1 { "all equal" } else { "the drop changed meanwhile" };
    let found =
        format!("the second took {}, the slowest of {} {}; {same}", millis(second), reads.len(), millis(slowest));
    let to_do = "find the load on the machine or the network: see firstcome top";
    Finding::graded(CHECK, slowest.max(second), (READ_WARN, READ_FAIL), found, to_do)
}

/// Checks that webhook endpoints respond, and that no deliveries wait. `listed` is the answer of `GET /v1/webhook-endpoints`.
pub async fn endpoints(listed: Result<Value, String>, page: &MetricsPage, config: &Config) -> Finding {
    const CHECK: &str = "endpoints";
    let list = match listed {
        Ok(list) => list,
        Err(error) => {
            let to_do = "set FIRSTCOME_TOKEN to a token with the role operator";
            return Finding::warn(CHECK, format!("unknown: {error}"), to_do);
        }
    };
    let client = match OutboxSetup::open(config) {
        Ok(configured) => configured.client,
        // The check of the secrets reports the error.
        Err(_) => return Finding::warn(CHECK, "not called: the settings of the outbox are invalid", "see secrets"),
    };
    let enabled = list["data"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|endpoint| endpoint["state"] == "enabled" && endpoint["url"] != MAIL_URL);
    let calls: Vec<_> =
        enabled.take(ENDPOINTS_MAX).map(|endpoint| tokio::spawn(call(client.clone(), endpoint.clone()))).collect();
    let mut responses = Vec::new();
    for call in calls {
        if let Ok(endpoint) = call.await {
            responses.push(endpoint);
        }
    }
    judge_endpoints(&responses, count(page, &metric::OUTBOX_BROKEN))
}

/// An endpoint with its response to a HEAD request.
#[derive(Debug)]
struct CheckedEndpoint {
    host: String,
    waiting: u64,
    dead: u64,
    answer: Result<StatusCode, String>,
}

/// Sends a HEAD request, which changes nothing at the endpoint. Any status shows that it is reachable.
async fn call(client: EgressClient, endpoint: Value) -> CheckedEndpoint {
    let number = |name: &str| endpoint[name].as_u64().unwrap_or(0);
    let target = Target::parse(endpoint["url"].as_str().unwrap_or(""), client.guard());
    let (host, answer) = match target {
        Ok(target) => {
            let mut headers = HeaderMap::new();
            headers.insert("firstcome-preflight", HeaderValue::from_static("true"));
            let call =
                OutboundRequest { target: &target, method: Method::HEAD, headers, body: hyper::body::Bytes::new() };
            let answer = client.send(call).await.map(|reply| reply.status);
            (target.host(), answer.map_err(|failure: SendError| failure.to_string()))
        }
        // Valid by the server's settings; these may be others.
        Err(wrong) => ("an endpoint".into(), Err(wrong.to_string())),
    };
    CheckedEndpoint { host, waiting: number("waiting"), dead: number("dead"), answer }
}

fn judge_endpoints(endpoints: &[CheckedEndpoint], broken: u64) -> Finding {
    const CHECK: &str = "endpoints";
    if endpoints.is_empty() {
        let to_do = "POST /v1/webhook-endpoints or set outbox.endpoint_url, unless the shop polls for orders";
        return Finding::warn(CHECK, "no endpoint receives orders", to_do);
    }
    let (mut problems, mut worst) = (Vec::new(), Verdict::Pass);
    for CheckedEndpoint { host, waiting, dead, answer } in endpoints {
        let host = printable(host);
        match answer {
            Ok(status) if status.is_server_error() => {
                problems.push(format!("{host} responds with {status}"));
                worst = worst.max(Verdict::Warn);
            }
            Ok(_) => {}
            Err(why) => {
                problems.push(format!("{host}: {why}"));
                worst = Verdict::Fail;
            }
        }
        if *waiting > 0 || *dead > 0 {
            problems.push(format!("{host}: {waiting} deliveries waiting, {dead} given up"));
            worst = worst.max(Verdict::Warn);
        }
    }
    if broken > 0 {
        problems.push(format!("{broken} endpoints are failing at the moment"));
        worst = Verdict::Fail;
    }
    let to_do = "repair them, then POST /v1/webhook-endpoints/{id}/resend";
    match worst {
        Verdict::Pass => Finding::pass(CHECK, format!("{} respond, no deliveries wait", endpoints.len())),
        Verdict::Warn => Finding::warn(CHECK, problems.join("; "), to_do),
        Verdict::Fail => Finding::fail(CHECK, problems.join("; "), to_do),
    }
}

#[cfg(test)]
mod tests;

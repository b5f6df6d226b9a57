//! What the running server shows: its clock, its room, the drop and its stock, its answers, and whom it tells.

use std::time::Duration;

use hyper::header::{ETAG, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode};
use rustix::fs::statvfs;
use serde_json::Value;

use super::finding::{Finding, Verdict};
use crate::client::http::{HttpClient, RequestError, TimedResponse, printable};
use crate::client::metrics::MetricsPage;
use crate::config::Config;
use crate::egress::{EgressClient, OutboundRequest, SendError, Target};
use crate::outbox::OutboxSetup;
use crate::telemetry::catalogue as metric;
use crate::types::UnixMillis;

/// How far clocks may be apart: what is decided is slewed up to a second, and alarmed beyond.
const OFFSET_WARN_MS: u64 = 200;
const OFFSET_FAIL_MS: u64 = 1_000;
/// What a unit may take on the disk until it is paid for, its lapsed orders included.
const BYTES_PER_UNIT: u64 = 2_000;
/// Events that the auditor may be behind.
const LAG_MAX: f64 = 10_000.0;
/// A drop is read so often over connections of their own: each serving thread has bodies of its own.
const FRESH_READS: usize = 16;
/// A read that is ready takes far less; the published plan wants 95 % of reads below the second.
const READ_WARN: Duration = Duration::from_millis(50);
const READ_FAIL: Duration = Duration::from_millis(200);
/// Endpoints that are called.
const ENDPOINTS_MAX: usize = 20;

/// A metric that the server always has; 0 where it does not.
fn figure(page: &MetricsPage, metric: &metric::Metric) -> f64 {
    page.value(metric.name).unwrap_or(0.0)
}

/// A gauge of whole numbers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bytes and counts below 2^53; `as` saturates"
)]
pub(super) fn count(page: &MetricsPage, metric: &metric::Metric) -> u64 {
    figure(page, metric) as u64
}

/// Whether it takes traffic, and is the one that these settings describe.
pub(super) fn readiness(ready: Result<(), RequestError>, page: &MetricsPage, config: &Config) -> Vec<Finding> {
    let seq = count(page, &metric::SEQ);
    let ready = match ready {
        Ok(()) => Finding::pass("server", format!("takes traffic; event {seq}")),
        Err(error) => Finding::fail("server", error.to_string(), "wait for its start, or start it"),
    };
    let (depth, capacity) = (count(page, &metric::QUEUE_DEPTH), count(page, &metric::QUEUE_CAPACITY));
    let places = u64::try_from(config.queue_capacity).unwrap_or(u64::MAX);
    let queue = if capacity != places {
        Finding::warn(
            "limits",
            format!("its queue has {capacity} places, these settings say {places}"),
            "give preflight the server's own --config and environment",
        )
    } else {
        let found = format!("{depth} of {capacity} places of the queue are taken");
        let limits = (capacity / 10, capacity / 2);
        Finding::graded("limits", depth, limits, found, "something keeps it busy already: firstcome top")
    };
    vec![ready, queue]
}

/// Its clock against ours, and its clock of decisions against its own wall clock.
pub(super) fn clock(headers: &HeaderMap, took: Duration, wall: UnixMillis, page: &MetricsPage) -> Finding {
    const CHECK: &str = "clock offset";
    let theirs = headers.get("firstcome-time-ms").and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
    let Some(theirs) = theirs else {
        return Finding::warn(CHECK, "the server does not say what time it is", "is this a firstcome server?");
    };
    // It said so about half way between question and answer.
    let half_way = i64::try_from(took.as_millis() / 2).unwrap_or(0);
    let apart = wall.get().saturating_sub(half_way).abs_diff(theirs);
    let inside = figure(page, &metric::CLOCK_OFFSET);
    let found = format!("{apart} ms between its clock and this machine's, {inside:+.3} s inside");
    let worst = apart.max(if inside.abs() > 1.0 { OFFSET_FAIL_MS.saturating_add(1) } else { 0 });
    let to_do = "set this machine's clock right; a server whose wall clock stepped takes it over at its next start";
    Finding::graded(CHECK, worst, (OFFSET_WARN_MS, OFFSET_FAIL_MS), found, to_do)
}

/// Whether the disk holds the sale.
pub(super) fn room(page: &MetricsPage, config: &Config, total: u64) -> Finding {
    const CHECK: &str = "disk room";
    // A server that has just started has not looked yet.
    let here = || statvfs(&config.data).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)).ok();
    let Some(free) = Some(count(page, &metric::DISK_FREE)).filter(|free| *free > 0).or_else(here) else {
        return Finding::warn(CHECK, "the server does not say yet", "ask again in a second");
    };
    let least = config.free_bytes_min.saturating_add(config.reset_wal_bytes.saturating_mul(2));
    let wanted = least.saturating_add(total.saturating_mul(BYTES_PER_UNIT));
    let mb = |bytes: u64| bytes >> 20;
    let found = format!("{} MB free, a sale of {total} units may take {} MB", mb(free), mb(wanted));
    let to_do = "make room where the database is, before buyers are told read-only";
    if figure(page, &metric::READ_ONLY) > 0.0 {
        return Finding::fail(CHECK, "full: nothing is sold at the moment", to_do);
    }
    // From little to much: what is missing.
    Finding::graded(CHECK, wanted.saturating_sub(free), (0, wanted.saturating_sub(least)), found, to_do)
}

/// Whether it will sell.
pub(super) fn drop_state(drop: &Value) -> Finding {
    const CHECK: &str = "drop";
    let text = |name: &str| drop[name].as_str().unwrap_or("");
    let total = drop["total"].as_u64().unwrap_or(0);
    let found = format!("{}, starts at {}, {total} units", text("state").replace('_', " "), text("starts_at"));
    match text("state") {
        _ if total == 0 => Finding::fail(CHECK, found, "it has nothing to sell: POST /v1/drops/{id}/stock"),
        "scheduled" | "live" => Finding::pass(CHECK, found),
        "paused" => Finding::warn(CHECK, found, "it takes no orders until POST /v1/drops/{id}/resume"),
        "sold_out" => Finding::warn(CHECK, found, "nothing is free: is this the drop you mean?"),
        _ => Finding::fail(CHECK, found, "it takes no orders any more: make a new one"),
    }
}

/// Whether counters and ledger agree, by the server's own auditor.
pub(super) fn stock(drop: &Value, page: &MetricsPage) -> Finding {
    const CHECK: &str = "stock";
    let units = |name: &str| drop[name].as_u64().unwrap_or(0);
    let parts = units("available").saturating_add(units("held")).saturating_add(units("sold"));
    let (over, under) = (count(page, &metric::OVERSOLD), count(page, &metric::UNDERSOLD));
    let (lag, mismatched) = (figure(page, &metric::AUDIT_LAG), count(page, &metric::MISMATCHED));
    let total = units("total");
    let to_do = "do not sell: pause the drop, `firstcome verify` says what disagrees, restore a backup";
    if parts != total {
        return Finding::fail(CHECK, format!("{total} units, but free, held and sold are {parts}"), to_do);
    }
    if over > 0 || under > 0 || mismatched > 0 {
        let found =
            format!("by the auditor's count {mismatched} drops disagree, {over} units oversold, {under} undersold");
        return Finding::fail(CHECK, found, to_do);
    }
    let found = format!("{total} units = free + held + sold; the auditor agrees, {lag} events behind");
    Finding::graded(CHECK, lag, (LAG_MAX, f64::INFINITY), found, "wait until the auditor has counted: firstcome top")
}

/// Whether anybody has units from before.
pub(super) fn leftovers(drop: &Value) -> Finding {
    const CHECK: &str = "left over";
    let units = |name: &str| drop[name].as_u64().unwrap_or(0);
    let (held, sold) = (units("held"), units("sold"));
    if held == 0 && sold == 0 {
        return Finding::pass(CHECK, "no unit is held, none is sold");
    }
    let id = &drop["id"];
    Finding::warn(
        CHECK,
        format!("{held} units are held and {sold} sold already"),
        format!("if they are from a trial: firstcome remedy {id} --last 20; else the sale has begun"),
    )
}

/// Reads the drop as buyers will: twice in a row, and over connections that come to every thread.
///
/// # Errors
/// If it cannot be read.
pub(super) async fn reads(public: &HttpClient, path: &str) -> Result<Finding, RequestError> {
    let first = public.request(Method::GET, path, None).await?;
    let second = public.request(Method::GET, path, None).await?;
    let mut all = vec![seen(&first), seen(&second)];
    for _ in 0..FRESH_READS {
        all.push(seen(&public.get_on_new_connection(path).await?));
    }
    Ok(judge_reads(&all))
}

/// A read: how long it took, its version and its body.
type Read = (Duration, Vec<u8>, Vec<u8>);

fn seen(response: &TimedResponse) -> Read {
    let version = response.reply.headers.get(ETAG).map(|tag| tag.as_bytes().to_vec()).unwrap_or_default();
    (response.elapsed, version, response.reply.body.to_vec())
}

fn judge_reads(reads: &[Read]) -> Finding {
    const CHECK: &str = "hot reads";
    let of_one_version = |a: &Read, b: &Read| a.1 != b.1 || a.2 == b.2;
    if !reads.iter().all(|a| reads.iter().all(|b| of_one_version(a, b))) {
        return Finding::fail(CHECK, "the same version has two bodies", "do not sell: that is a bug, report it");
    }
    let versions: std::collections::BTreeSet<&Vec<u8>> = reads.iter().map(|read| &read.1).collect();
    let slowest = reads.iter().map(|read| read.0).max().unwrap_or_default();
    let second = reads.get(1).map_or(slowest, |read| read.0);
    let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let same = if versions.len() == 1 { "all equal" } else { "the drop changes meanwhile" };
    let found =
        format!("the second took {}, the slowest of {} {}; {same}", millis(second), reads.len(), millis(slowest));
    let to_do = "find what keeps the machine or the way to it busy: firstcome top";
    Finding::graded(CHECK, slowest.max(second), (READ_WARN, READ_FAIL), found, to_do)
}

/// Whether those who are told of orders can be.
pub(super) async fn endpoints(admin: &HttpClient, page: &MetricsPage, config: &Config) -> Finding {
    const CHECK: &str = "endpoints";
    let list = match admin.get_json("/v1/webhook-endpoints").await {
        Ok(list) => list,
        Err(error) => {
            let to_do = "an operator's token in FIRSTCOME_TOKEN may list them";
            return Finding::warn(CHECK, format!("not known: {error}"), to_do);
        }
    };
    let client = match OutboxSetup::open(config) {
        Ok(configured) => configured.client,
        // The secrets' check says what is wrong with them.
        Err(_) => return Finding::warn(CHECK, "not called: the outbox's settings are wrong", "see secrets"),
    };
    let enabled = list["data"].as_array().into_iter().flatten().filter(|endpoint| endpoint["state"] == "enabled");
    let calls: Vec<_> =
        enabled.take(ENDPOINTS_MAX).map(|endpoint| tokio::spawn(call(client.clone(), endpoint.clone()))).collect();
    let mut told = Vec::new();
    for call in calls {
        if let Ok(endpoint) = call.await {
            told.push(endpoint);
        }
    }
    judge_endpoints(&told, count(page, &metric::OUTBOX_BROKEN))
}

/// An endpoint: its host, deliveries that wait and that were given up, and how it answers.
#[derive(Debug)]
struct Endpoint {
    host: String,
    waiting: u64,
    dead: u64,
    answer: Result<StatusCode, String>,
}

/// Asks for the head of its answer to HEAD, which does nothing there; whatever it says, it is there.
async fn call(client: EgressClient, endpoint: Value) -> Endpoint {
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
        // By the server's settings; these may be others.
        Err(wrong) => ("an endpoint".into(), Err(wrong.to_string())),
    };
    Endpoint { host, waiting: number("waiting"), dead: number("dead"), answer }
}

fn judge_endpoints(endpoints: &[Endpoint], broken: u64) -> Finding {
    const CHECK: &str = "endpoints";
    if endpoints.is_empty() {
        let to_do = "POST /v1/webhook-endpoints, or outbox.endpoint_url: else your shop must ask for orders";
        return Finding::warn(CHECK, "nobody is told of orders", to_do);
    }
    let (mut said, mut worst) = (Vec::new(), Verdict::Pass);
    for Endpoint { host, waiting, dead, answer } in endpoints {
        let host = printable(host);
        match answer {
            Ok(status) if status.is_server_error() => {
                said.push(format!("{host} answers {status}"));
                worst = worst.max(Verdict::Warn);
            }
            Ok(_) => {}
            Err(why) => {
                said.push(format!("{host}: {why}"));
                worst = Verdict::Fail;
            }
        }
        if *waiting > 0 || *dead > 0 {
            said.push(format!("{host}: {waiting} deliveries wait, {dead} were given up"));
            worst = worst.max(Verdict::Warn);
        }
    }
    if broken > 0 {
        said.push(format!("{broken} are not getting anything at the moment"));
        worst = Verdict::Fail;
    }
    let to_do = "mend them, then POST /v1/webhook-endpoints/{id}/resend";
    match worst {
        Verdict::Pass => Finding::pass(CHECK, format!("{} answer, nothing waits", endpoints.len())),
        Verdict::Warn => Finding::warn(CHECK, said.join("; "), to_do),
        Verdict::Fail => Finding::fail(CHECK, said.join("; "), to_do),
    }
}

#[cfg(test)]
mod tests;

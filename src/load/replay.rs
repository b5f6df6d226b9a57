//! Replay of a capture over HTTP: the requests of its buyers once more, on new drops.
//!
//! Requests of different buyers race as they do in production, so other buyers than in the capture may get the units; totals
//! stand side by side, and the invariants of any run are checked.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::drops;
use super::response::DropView;
use crate::api::json::{ADMIT_PER_SECOND_MAX, ORDER_SECONDS_MAX, OVERSUBSCRIBE_PERCENT_MAX};
use crate::capture::format::{RecordReader, Trouble};
use crate::capture::replay::Pace;
use crate::client::http::{HttpClient, block_on};
use crate::client::target::ServerAddress;
use crate::exit::Exit;
use crate::types::{DropId, RoomDraw, RoomSpec};
use connection::{ReplayContext, ReplayCounts, send_all};
use report::ReplayReport;
use script::ReplayScript;

mod connection;
mod report;
mod script;

/// Above every time limit of a request, in microseconds.
const LATENCY_US_MAX: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// The target of a replay, and its pace.
pub(crate) struct ReplayParams<'a> {
    pub(crate) public: &'a str,
    pub(crate) admin: &'a str,
    /// PEM file of authorities that are trusted for the admin listener.
    pub(crate) ca: Option<&'a Path>,
    pub(crate) connections: usize,
    pub(crate) allow_remote: bool,
    pub(crate) pace: Pace,
}

/// Sends the requests of a capture's buyers, and compares.
///
/// # Errors
/// 64 a wrong address, 65 the file, 69 no server, 70 a bug, 71 no runtime.
pub(crate) fn run<R: Read>(params: &ReplayParams<'_>, reader: &mut RecordReader<R>) -> Result<ReplayReport, Exit> {
    let public = ServerAddress::parse(params.public, params.allow_remote).map_err(Exit::usage)?;
    ServerAddress::check(params.admin, params.allow_remote).map_err(Exit::usage)?;
    let admin = HttpClient::for_admin(params.admin, "--admin", params.ca)?;
    let read = ReplayScript::read(reader, params.connections);
    let mut script = read.map_err(|trouble: Trouble| Exit::bad_data(trouble.to_string()))?;
    script.keep_ordered_drops();
    block_on(async {
        let mut made = BTreeMap::new();
        for (id, wanted) in &script.drops {
            made.insert(*id, create(&admin, &script, *id, wanted, params.pace).await?.id);
        }
        let start = Instant::now();
        let context = ReplayContext { public: public.clone(), drops: made.clone(), pace: params.pace, start };
        let lanes = std::mem::take(&mut script.lanes);
        let requests = lanes.iter().map(Vec::len).sum::<usize>();
        let counts = send_lanes(Arc::new(context), lanes).await?;
        let took = start.elapsed();
        let mut after = BTreeMap::new();
        for (id, new) in &made {
            after.insert(*id, drops::read_patiently(std::iter::once(&public), *new).await?);
        }
        Ok(ReplayReport { script, requests: requests as u64, counts, after, took })
    })
}

/// Makes a drop of the capture again. One with a waiting room starts as long after the first request as in the capture, at the
/// replay's pace; others have started.
async fn create(
    admin: &HttpClient,
    script: &ReplayScript,
    id: DropId,
    wanted: &script::ReplayDrop,
    pace: Pace,
) -> Result<DropView, Exit> {
    let mut body = body(id, wanted);
    let Some(room) = &wanted.spec.room else { return drops::create_from(admin, body).await };
    let later = match pace {
        Pace::Max => Duration::ZERO,
        Pace::Times(times) => script.starts_after(wanted) / times.max(1),
    };
    body["room"] = room_body(room, pace, later);
    let milliseconds = i64::try_from(later.as_millis()).unwrap_or(i64::MAX);
    drops::create_starting(admin, body, if milliseconds == 0 { -1_000 } else { milliseconds }).await
}

/// The room of a drop, in which time runs as fast as in the replay. As fast as possible, it lets in every buyer whom it may. A room
/// that draws does so again by a seed of the new drop, without a beacon, if it gathers tickets in the replay.
fn room_body(room: &RoomSpec, pace: Pace, gathers: Duration) -> Value {
    let (rate, order_seconds, percent) = match pace {
        Pace::Max => (ADMIT_PER_SECOND_MAX, ORDER_SECONDS_MAX, OVERSUBSCRIBE_PERCENT_MAX),
        Pace::Times(times) => (
            room.admit_per_second.saturating_mul(times).min(ADMIT_PER_SECOND_MAX),
            (room.order_seconds / times.max(1)).max(1),
            room.oversubscribe_percent,
        ),
    };
    let draw = if gathers.is_zero() { RoomDraw::Arrival } else { room.draw };
    json!({
        "draw": draw.as_str(), "admit_per_second": rate, "order_seconds": order_seconds, "oversubscribe_percent": percent,
    })
}

fn body(id: DropId, wanted: &script::ReplayDrop) -> Value {
    let spec = &wanted.spec;
    let caps: Map<String, Value> =
        spec.identity_limits.iter().map(|(kind, cap)| (kind.as_str().to_owned(), cap.into())).collect();
    let mut body = json!({
        "sku": format!("REPLAY-{id}"),
        "name": format!("Drop {id} of a capture"),
        "currency": spec.currency.as_str(),
        "unit_price": spec.unit_price.get(),
        "total": wanted.units,
        "per_buyer_limit": spec.per_buyer_limit,
        "reservation_seconds": spec.reservation_seconds,
        "payment_seconds": spec.payment_seconds,
    });
    if !caps.is_empty() {
        body["identity_limits"] = caps.into();
    }
    body
}

async fn send_lanes(context: Arc<ReplayContext>, lanes: Vec<Vec<script::ReplayStep>>) -> Result<ReplayCounts, Exit> {
    let bug = |what: String| Exit::bug(format!("the replay failed: {what}"));
    let histogram = || Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).map_err(|error| bug(error.to_string()));
    let mut sending = JoinSet::new();
    for steps in lanes.into_iter().filter(|steps| !steps.is_empty()) {
        sending.spawn(send_all(Arc::clone(&context), steps, histogram()?));
    }
    let mut sum = send_all(context, Vec::new(), histogram()?).await;
    while let Some(sent) = sending.join_next().await {
        let counts = sent.map_err(|error| bug(error.to_string()))?;
        for (outcome, count) in counts.outcomes {
            *sum.outcomes.entry(outcome).or_default() += count;
        }
        for (drop_id, units) in counts.units {
            *sum.units.entry(drop_id).or_default() += units;
        }
        sum.without_order += counts.without_order;
        sum.ids.extend(counts.ids);
        sum.latency.add(&counts.latency).map_err(|error| bug(error.to_string()))?;
    }
    Ok(sum)
}

//! `GET /metrics`: counters, and values that are sampled at each scrape.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hyper::{Method, Response};
use serde_json::json;

use super::RouteEntry;
use super::health::text;
use crate::admission::operators::Role;
use crate::config::PlanSettings;
use crate::http::body::Body;
use crate::http::compression::{accepts_gzip, gzip, mark};
use crate::http::request::Call;
use crate::http::route::ResponseBody::Inline;
use crate::http::route::{COMPRESSED_FOR_SOME, Route};
use crate::http::worker::Worker;
use crate::read::metrics_sample::{AuctionStanding, DropStock, MetricsSample};
use crate::read::payments;
use crate::read::rooms::RoomStanding;
use crate::telemetry::{Telemetry, TransientSeries, catalogue as metric};
use crate::types::{DropId, RoomState, UnixMillis};
use crate::writer::{NodeRole, NodeView};

pub(in crate::http) const ROUTES: &[RouteEntry] =
    &[Route::admin(Role::Viewer, Method::GET, "/metrics", "Metrics", "Metrics for Prometheus")
        .responds(
            &[200],
            &[Inline("text/plain", || json!({ "type": "string", "description": "The text format of Prometheus." }))],
        )
        .headers(COMPRESSED_FOR_SOME)
        .now(|worker, call| Ok(show(worker, call)))];

/// `GET /metrics`.
pub(super) fn show(worker: &Worker, call: &Call) -> Response<Body> {
    respond(worker, call, measured(worker).0)
}

/// Samples what is not counted as it happens. Returns all metrics as text, and the sample of drops and auctions.
pub(in crate::http) fn measured(worker: &Worker) -> (String, MetricsSample) {
    let telemetry = &worker.server.telemetry;
    let auditor = &worker.server.auditor;
    let seq = worker.writer.published.seq();
    let lag = seq.saturating_sub(auditor.counted_seq.load(Ordering::Relaxed));
    let refunds_due = or_nothing(worker.reader.read(payments::refunds_due), "the refunds due could not be counted");
    let as_u64 = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    for (gauge, value) in [
        (&metric::QUEUE_DEPTH, as_u64(worker.writer.queue_depth())),
        (&metric::QUEUE_CAPACITY, as_u64(worker.writer.queue_capacity())),
        (&metric::SEQ, seq),
        (&metric::OVERSOLD, auditor.oversold_units.load(Ordering::Relaxed)),
        (&metric::UNDERSOLD, auditor.undersold_units.load(Ordering::Relaxed)),
        (&metric::MISMATCHED, auditor.mismatched_drops.load(Ordering::Relaxed)),
        (&metric::AUDIT_LAG, lag),
        (&metric::REFUNDS_DUE, refunds_due),
        (&metric::DATABASE_BYTES, worker.reader.database_bytes()),
    ] {
        telemetry.set(gauge, value);
    }
    let (door, now) = (&worker.server.admission.door, Instant::now());
    telemetry.set(&metric::SUSPECTED_BUYERS, door.risk().counts(now).suspected);
    for (table, share) in door.fill(now) {
        telemetry.gauge(&metric::DOOR_FILL, &[("table", table)]).set(share);
    }
    if let Some(node) = &worker.writer.node {
        show_node(telemetry, node);
    }
    let plan = &worker.server.config.plan;
    if plan.requests_per_second > 0 {
        telemetry.set(&metric::PLAN_REQUESTS, u64::from(plan.requests_per_second));
    }
    let sample =
        or_nothing(worker.sampler.borrow_mut().sample(&worker.reader), "drops and auctions could not be looked at");
    let rooms: Vec<DropId> = sample.drops.iter().filter(|drop| drop.room.is_some()).map(|drop| drop.id).collect();
    let idle = worker.writer.admitted_idle(&rooms);
    let now = worker.writer.clock.now();
    let mut series = transient_series(&sample, plan, now);
    room_series(&sample, &idle, now, &mut series);
    for (state, rooms) in &sample.rooms_by_state {
        telemetry.set_labelled(&metric::ROOMS, &[("state", state.as_str())], *rooms);
    }
    for (state, auctions) in &sample.by_state {
        telemetry.set_labelled(&metric::AUCTIONS, &[("state", state.stored())], *auctions);
    }
    (telemetry.render_with(&series), sample)
}

/// Shows the node's place in its cluster.
fn show_node(telemetry: &Telemetry, node: &NodeView) {
    telemetry.set(&metric::NODE_LEADS, u64::from(node.role() == NodeRole::Leader));
    telemetry.set(&metric::NODE_APPLIED, node.applied());
    if let Some(lead_ms) = node.clock_lead_ms() {
        let seconds = Duration::from_millis(lead_ms.unsigned_abs()).as_secs_f64();
        telemetry.gauge(&metric::NODE_CLOCK_LEAD, &[]).set(if lead_ms < 0 { -seconds } else { seconds });
    }
    if let Some(age) = node.stale_ms() {
        let seconds = Duration::from_millis(age).as_secs_f64();
        telemetry.gauge(&metric::NODE_STALE, &[]).set(seconds);
    }
}

/// Responds with the metrics, compressed if the client accepts it: Prometheus does, and names change little.
fn respond(worker: &Worker, call: &Call, page: String) -> Response<Body> {
    let compressed = page.len() >= worker.server.config.gzip_bytes_min && accepts_gzip(&call.parts.headers);
    let page = if compressed { gzip(page.as_bytes()) } else { page.into() };
    let mut response = text(page, "text/plain; version=0.0.4; charset=utf-8");
    mark(&mut response, compressed);
    response
}

/// Logs a failed read and returns the default: one missing figure does not stop the others.
fn or_nothing<T: Default>(read: rusqlite::Result<T>, what: &str) -> T {
    read.unwrap_or_else(|error| {
        tracing::error!(%error, "{what}");
        T::default()
    })
}

fn transient_series(sample: &MetricsSample, plan: &PlanSettings, now: UnixMillis) -> TransientSeries {
    let mut series = TransientSeries::default();
    for drop in &sample.drops {
        let DropStock { id, ref name, total, held, sold, standby, paused, .. } = *drop;
        let available = total.saturating_sub(held).saturating_sub(sold);
        let drop_label = ("drop", id.get());
        series.add_name(&metric::DROP_INFO, drop_label, name);
        for (state, units) in [("total", total), ("held", held), ("sold", sold), ("available", available)] {
            series.add(&metric::DROP_UNITS, drop_label, &[("state", state)], u64::from(units));
        }
        series.add(&metric::DROP_PAUSED, drop_label, &[], u64::from(paused));
        if standby > 0 {
            series.add(&metric::DROP_STANDBY, drop_label, &[], u64::from(standby));
        }
        if let Some(planned) = planned_units(drop, plan.depletion_seconds, now) {
            series.add(&metric::DROP_PLANNED, drop_label, &[], planned);
        }
    }
    for auction in &sample.auctions {
        let AuctionStanding { id, ref name, current, bids, ends_at } = *auction;
        let auction_label = ("auction", id.get());
        series.add_name(&metric::AUCTION_INFO, auction_label, name);
        if let Some(current) = current {
            series.add(&metric::AUCTION_PRICE, auction_label, &[], current.get());
        }
        series.add(&metric::AUCTION_BIDS, auction_label, &[], u64::from(bids));
        series.add(&metric::AUCTION_REMAINING, auction_label, &[], ends_at.since(now) / 1000);
    }
    series
}

/// Adds the lines of waiting rooms. `idle` are admitted buyers without an order, as far as they were counted.
fn room_series(sample: &MetricsSample, idle: &[(DropId, u64)], now: UnixMillis, series: &mut TransientSeries) {
    for (id, room) in sample.drops.iter().filter_map(|drop| Some((drop.id, drop.room?))) {
        let RoomStanding { state, tickets, serving, beacon_awaited_since } = room;
        let drop_label = ("drop", id.get());
        let waiting = tickets.saturating_sub(serving);
        for (of, count) in [("admitted", serving), ("waiting", waiting)] {
            series.add(&metric::ROOM_TICKETS, drop_label, &[("state", of)], u64::from(count));
        }
        series.add(&metric::ROOM_SERVING, drop_label, &[], u64::from(state == RoomState::Serving));
        if let Some((_, count)) = idle.iter().find(|(counted, _)| *counted == id) {
            series.add(&metric::ROOM_IDLE, drop_label, &[], *count);
        }
        if let Some(since) = beacon_awaited_since {
            series.add(&metric::ROOM_BEACON_WAIT, drop_label, &[], now.since(since) / 1000);
        }
    }
}

/// Returns the units that should still be available of a drop, if it is to sell evenly within `depletion_seconds`.
fn planned_units(drop: &DropStock, depletion_seconds: u32, now: UnixMillis) -> Option<u64> {
    let started_at = drop.started_at.filter(|_| depletion_seconds > 0)?;
    let whole_ms = u64::from(depletion_seconds).saturating_mul(1000);
    let left_ms = whole_ms.saturating_sub(now.since(started_at));
    Some(u64::from(drop.total).saturating_mul(left_ms) / whole_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::DropId;

    #[test]
    fn a_plan_is_a_straight_line_from_all_units_at_the_start_to_none() {
        let at = |ms| UnixMillis::ZERO.plus_millis(ms);
        let id = DropId::new(1).expect("not 0");
        let name = String::new();
        let started_at = Some(at(60_000));
        let drop =
            DropStock { id, name, total: 1000, held: 0, sold: 0, standby: 0, started_at, paused: false, room: None };
        let planned = [60_000, 85_000, 160_000, 500_000].map(|now| planned_units(&drop, 100, at(now)));
        assert_eq!(planned, [Some(1000), Some(750), Some(0), Some(0)]);
        assert_eq!(planned_units(&drop, 0, at(60_000)), None, "without a plan there is none");
        let scheduled = DropStock { started_at: None, ..drop };
        assert_eq!(planned_units(&scheduled, 100, at(0)), None);
    }
}

//! Routes of the console, besides those of operators: its stream of figures, alerts and runbooks, settings, and the reads of
//! the public listener, which its pages cannot reach.

use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Response, StatusCode};

use super::health::text;
use super::metrics::measured;
use super::streams::{Slot, event_stream};
use super::{RouteEntry, auctions, draws, drops, orders, query_thread_busy, rooms};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::json::console::{ConsoleAlerts, ConsoleSession, SettingJson, console_body};
use crate::api::json::draw::DrawQuery;
use crate::api::json::page_body;
use crate::api::json::queries::{BidsQuery, DropsQuery};
use crate::http::allowed_responses::{BUSY, ID, QUERY};
use crate::http::body::{Body, pieces};
use crate::http::console::{ConsoleSlot, thresholds};
use crate::http::request::{Call, json};
use crate::http::route::ResponseBody::{Inline, Json, Named};
use crate::http::route::{COMPRESSED_FOR_SOME, Presence, Route};
use crate::http::worker::Worker;
use crate::telemetry::StreamKind;
use crate::telemetry::page::MetricsPage;
use crate::web::{console, policy, runbooks};
use crate::writer::NodeRole;
use crate::writer::clock::wall_clock;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::admin_page("/console", "Console", "The console")
        .ignores_query()
        .responds(&[200], &[])
        .now(|_, _| Ok(page())),
    Route::admin(
        Role::Viewer,
        Method::GET,
        "/v1/console/session",
        "GetSession",
        "Read whose token this is, and the server's name",
    )
    .responds(&[200], &[Json("ConsoleSession")])
    .now(|worker, call| Ok(session(worker, call))),
    Route::admin(Role::Viewer, Method::GET, "/v1/console/stream", "StreamConsole", "Stream the figures of the server")
        .responds(&[200], &[Named("text/event-stream", "ConsoleEvent")])
        .headers(&[("X-Accel-Buffering", Presence::Always)])
        .problems(&[BUSY])
        .now(stream),
    Route::admin(Role::Viewer, Method::GET, "/v1/console/alerts", "ListAlerts", "List the alerts that fire")
        .responds(&[200], &[Json("ConsoleAlerts")])
        .later(|worker, _| Box::pin(alerts(worker))),
    Route::admin(Role::Viewer, Method::GET, "/v1/runbooks/{runbook}", "GetRunbook", "Read a runbook")
        .responds(
            &[200],
            &[Inline(
                "text/markdown",
                || serde_json::json!({ "type": "string", "description": "The page in Markdown." }),
            )],
        )
        .problems(&[ID])
        .now(|_, call| runbook(call)),
    Route::admin(
        Role::Operator,
        Method::GET,
        "/v1/settings",
        "ListSettings",
        "List the settings in force, without secrets",
    )
    .responds(&[200], &[Json("SettingPage")])
    .now(|worker, _| Ok(settings(worker))),
    Route::admin(
        Role::Viewer,
        Method::GET,
        "/v1/console/drops",
        "ListConsoleDrops",
        "List drops, as the public listener does",
    )
    .query::<DropsQuery>()
    .responds(&[200, 304], &[Json("DropPage")])
    .problems(&[QUERY, BUSY])
    .headers(COMPRESSED_FOR_SOME)
    .later(|worker, call| Box::pin(async move { drops::list(worker, &call).await.map(not_stored) })),
    Route::admin(
        Role::Viewer,
        Method::GET,
        "/v1/console/drops/{drop_id}",
        "GetConsoleDrop",
        "Read a drop, as the public listener does",
    )
    .responds(&[200, 304], &[Json("Drop")])
    .problems(&[ID])
    .now(|worker, call| drops::get(worker, call).map(not_stored)),
    Route::admin(
        Role::Viewer,
        Method::GET,
        "/v1/console/drops/{drop_id}/room",
        "GetConsoleRoom",
        "Read a drop's waiting room, as the public listener does",
    )
    .responds(&[200, 304], &[Json("Room")])
    .problems(&[ID])
    .now(|worker, call| rooms::get(worker, call).map(not_stored)),
    Route::admin(
        Role::Viewer,
        Method::GET,
        "/v1/console/drops/{drop_id}/draw",
        "GetConsoleDraw",
        "Read the draw of a drop's waiting room, as the public listener does",
    )
    .query::<DrawQuery>()
    .responds(&[200, 304], &[Json("Draw")])
    .problems(&[ID, BUSY])
    .later(|worker, call| Box::pin(async move { draws::get(worker, &call).await.map(not_stored) })),
    Route::admin(
        Role::Viewer,
        Method::GET,
        "/v1/console/auctions",
        "ListConsoleAuctions",
        "List auctions, as the public listener does",
    )
    .query::<DropsQuery>()
    .responds(&[200, 304], &[Json("AuctionPage")])
    .problems(&[QUERY, BUSY])
    .headers(COMPRESSED_FOR_SOME)
    .later(|worker, call| Box::pin(async move { auctions::list(worker, &call).await.map(not_stored) })),
    Route::admin(
        Role::Viewer,
        Method::GET,
        "/v1/console/auctions/{auction_id}",
        "GetConsoleAuction",
        "Read an auction, as the public listener does",
    )
    .responds(&[200, 304], &[Json("Auction")])
    .problems(&[ID])
    .now(|worker, call| auctions::get(worker, call)),
    Route::admin(
        Role::Viewer,
        Method::GET,
        "/v1/console/auctions/{auction_id}/bids",
        "ListConsoleBids",
        "List an auction's accepted bids, as the public listener does",
    )
    .query::<BidsQuery>()
    .responds(&[200, 304], &[Json("BidPage")])
    .problems(&[QUERY, ID, BUSY])
    .headers(COMPRESSED_FOR_SOME)
    .later(|worker, call| Box::pin(async move { auctions::bids(worker, &call).await.map(not_stored) })),
    Route::admin(
        Role::Operator,
        Method::GET,
        "/v1/console/orders/{order_id}",
        "GetConsoleOrder",
        "Read an order, as the public listener does",
    )
    .responds(&[200, 304], &[Json("Order")])
    .problems(&[ID])
    .now(|worker, call| orders::get(worker, call)),
];

/// Time for which an answer about the alerts holds: ten consoles ask no more often than one.
const ALERTS_HOLD: Duration = Duration::from_secs(3);
/// The interval of comments while the stream waits, so that proxies keep the connection.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(15);

/// Forbids caches what only operators may read.
fn not_stored(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `GET /console`.
fn page() -> Response<Body> {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        HeaderValue::from_str(&policy::scripted([], [])).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    });
    let mut response = text(console::page(), "text/html; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// `GET /v1/console/session`.
fn session(worker: &Worker, call: &Call) -> Response<Body> {
    let operator = call.caller.operator();
    let node = worker.writer.node.as_deref();
    let config = &worker.server.config;
    let session = ConsoleSession {
        name: operator.map_or("", |operator| &operator.name),
        role: operator.map_or(Role::Viewer, |operator| operator.role).as_str(),
        needs_token: operator.is_some_and(|operator| operator.has_token()),
        version: env!("CARGO_PKG_VERSION"),
        public_url: &config.public_url,
        node: node.map(|node| node.name()),
        node_role: node.map(|node| match node.role() {
            NodeRole::Leader => "leader",
            NodeRole::Follower => "follower",
            NodeRole::Stopped => "stopped",
        }),
        shard: worker.writer.published.shard().get(),
        has_prometheus: worker.server.prometheus.is_some(),
        has_play_money: config.payments.sandbox,
    };
    json(StatusCode::OK, console_body(&session))
}

/// `GET /v1/console/stream`.
fn stream(worker: &Rc<Worker>, call: &Call) -> Result<Response<Body>, Problem> {
    let busy = || query_thread_busy(worker);
    let slot = Slot::take(worker, StreamKind::Console).ok_or_else(busy)?;
    let console_slot = ConsoleSlot::take(worker).ok_or_else(busy)?;
    let (sender, body) = pieces();
    let (worker, caller) = (Rc::clone(worker), call.caller.clone());
    let mut stopping = worker.server.stopping.clone();
    // The token of a console that is open for hours may be revoked meanwhile.
    let still_in = move || {
        worker.writer.may_serve()
            && !*worker.server.stopping.borrow()
            && caller
                .operator()
                .is_some_and(|operator| worker.server.admission.operators.is_still_admitted(operator, wall_clock()))
    };
    tokio::task::spawn_local(async move {
        let _slot = slot;
        let (first, mut frames) = console_slot.frames();
        let mut frame = Some(first);
        loop {
            let piece = frame.take().map_or(Bytes::from_static(b": still here\n\n"), |json| event(&json));
            if sender.send(piece).await.is_err() {
                return;
            }
            tokio::select! {
                changed = frames.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    frame = Some(frames.borrow_and_update().1.clone());
                }
                () = tokio::time::sleep(HEARTBEAT_EVERY) => {}
                _ = stopping.changed() => return,
                () = sender.closed() => return,
            }
            if !still_in() {
                return;
            }
        }
    });
    Ok(event_stream(body))
}

fn event(json: &Bytes) -> Bytes {
    let mut event = Vec::with_capacity(json.len().saturating_add(32));
    event.extend_from_slice(b"event: frame\ndata: ");
    event.extend_from_slice(json);
    event.extend_from_slice(b"\n\n");
    Bytes::from(event)
}

/// `GET /v1/console/alerts`.
async fn alerts(worker: &Rc<Worker>) -> Result<Response<Body>, Problem> {
    // One question at a time: those who come meanwhile get its answer.
    let mut known = worker.console.alerts.lock().await;
    if let Some((at, body)) = &*known
        && at.elapsed() < ALERTS_HOLD
    {
        return Ok(json(StatusCode::OK, body.clone()));
    }
    let page = MetricsPage::parse(&measured(worker).0).map_err(|error| {
        tracing::error!(%error, "the console cannot read the metrics");
        Problem::Internal
    })?;
    let (gauges, judged) = thresholds::judge(&page);
    let heard = match &worker.server.prometheus {
        Some(prometheus) => Some(prometheus.alerts().await),
        None => None,
    };
    let (source, alerts, unheard) = match heard {
        Some(Ok(alerts)) => ("prometheus", alerts, None),
        Some(Err(reason)) => ("gauges", judged, Some(reason)),
        None => ("gauges", judged, None),
    };
    let body = console_body(&ConsoleAlerts { at: worker.writer.clock.now(), source, unheard, alerts, gauges });
    *known = Some((Instant::now(), body.clone()));
    Ok(json(StatusCode::OK, body))
}

/// `GET /v1/runbooks/{runbook}`.
fn runbook(call: &Call) -> Result<Response<Body>, Problem> {
    let page = runbooks::page(&call.parameter).ok_or(Problem::NotFound)?;
    Ok(text(page, "text/markdown; charset=utf-8"))
}

/// `GET /v1/settings`.
fn settings(worker: &Worker) -> Response<Body> {
    let body = worker.server.config.in_force.iter().map(|one| {
        console_body(&SettingJson {
            key: one.key,
            value: one.value.as_deref(),
            default: one.default,
            unit: one.unit,
            why: one.why,
            source: &one.source,
        })
    });
    json(StatusCode::OK, page_body(&body.collect::<Vec<_>>(), None))
}

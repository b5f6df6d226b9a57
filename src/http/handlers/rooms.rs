//! Waiting rooms: the public body of a room, its stream, and tickets.

use std::rc::Rc;
use std::time::Instant;

use hyper::header::HeaderValue;
use hyper::{Method, Response};
use serde_json::json;

use super::streams::changes;
use super::{RouteEntry, accepted_seq, fault, rejected, submit, with_write_headers};
use crate::api::Problem;
use crate::api::code::Code;
use crate::api::json::{etag, parse_ticket, room_body, ticket_body};
use crate::engine::{Command, Effect, Outcome, RoomCommand, TakeTicket, TicketReceipt};
use crate::http::allowed_responses::{ANOTHER_BUYER, BODY, BUSY, ID, WRITER};
use crate::http::body::Body;
use crate::http::request::{Caching, Call, IDEMPOTENT_REPLAYED, created, tag, tagged};
use crate::http::route::ResponseBody::{Json, Named};
use crate::http::route::{Presence, Route};
use crate::http::worker::Worker;
use crate::read::{AdmissionRate, CachedResponse, rooms};
use crate::store::PrivateData;
use crate::telemetry::{ReadSource, StreamKind};
use crate::types::{DropId, RoomState, Seq};

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::public(Method::GET, "/v1/drops/{drop_id}/room", "GetRoom", "Read a drop's waiting room")
        .responds(&[200, 304], &[Json("Room")])
        .problems(&[ID])
        .now(|worker, call| get(worker, call)),
    Route::public(Method::GET, "/v1/drops/{drop_id}/room/stream", "StreamRoom", "Stream a waiting room's changes")
        .responds(&[200], &[Named("text/event-stream", "RoomEvent")])
        .headers(&[("X-Accel-Buffering", Presence::Always)])
        .problems(&[ID, BUSY])
        .now(stream),
    Route::buyer(Method::POST, "/v1/drops/{drop_id}/tickets", "TakeTicket", "Take a ticket of a waiting room")
        .body("NewTicket", || json!({ "buyer": "buyer-7" }))
        .responds(&[201], &[Json("Ticket")])
        .problems(&[ANOTHER_BUYER, BODY, ID, &[Code::NotOpen, Code::Ended, Code::AllSold], WRITER])
        .headers(&[("Idempotent-Replayed", Presence::Sometimes)])
        .links(&["GetRoom"])
        .later(|worker, call| Box::pin(take_ticket(worker, call))),
];

/// `GET /v1/drops/{drop_id}/room`: every waiting buyer polls it, so it is as cheap as the hot read of a drop.
pub(super) fn get(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let drop_id = call.drop_id()?;
    let found = cached_room(worker, drop_id, call.started)?;
    worker.note_read(call, Some(drop_id));
    Ok(tagged(&call.parts.headers, found.etag, Caching::Public, found.body))
}

/// `GET /v1/drops/{drop_id}/room/stream`.
fn stream(worker: &Rc<Worker>, call: &Call) -> Result<Response<Body>, Problem> {
    let id = call.drop_id()?;
    let first = cached_room(worker, id, call.started)?;
    worker.note_read(call, Some(id));
    changes(worker, StreamKind::Room, id, first, move |worker| cached_room(worker, id, Instant::now()))
}

/// The most reads of a room whose claims are of another version: the writer publishes them right after a COMMIT.
const CLAIMS_READS_MAX: u32 = 100;

/// Returns a room's cached response, whose version is its drop's. The read began at `started`.
fn cached_room(worker: &Worker, id: DropId, started: Instant) -> Result<CachedResponse, Problem> {
    let epoch = worker.server.epoch;
    let published = &worker.writer.published;
    let render = || {
        let mut reads = CLAIMS_READS_MAX;
        loop {
            let Some(row) = worker.reader.read(|connection| rooms::room_by_drop(connection, id))? else {
                return Ok(None);
            };
            let claims = published.room_claims_of(id, row.version);
            reads = reads.saturating_sub(1);
            if claims.is_none() && reads > 0 {
                std::thread::yield_now();
                continue;
            }
            // Claims of another version make no body that is kept, here or under the tag of this version elsewhere.
            let version = if claims.is_some() { row.version } else { Seq::ZERO };
            let body = room_body(&row, claims.unwrap_or_else(|| published.room_claims(id)), epoch);
            let etag = tag(&etag("r", u64::from(id.get()), epoch, version));
            return Ok(Some(CachedResponse { version: version.get(), etag, body }));
        }
    };
    let found = worker.hot_rooms.borrow_mut().get(&worker.writer.published, id, render);
    let found = found.map_err(|error| fault(&error))?.ok_or(Problem::NotFound)?;
    let source = if found.was_cached { ReadSource::Hot } else { ReadSource::Cold };
    worker.meter.borrow_mut().read(source, started.elapsed());
    Ok(found.body)
}

/// Returns the rate at which a room admits buyers, for a ticket that waits in it. A read that fails takes nothing from the
/// ticket, which is decided.
fn rate_of(worker: &Worker, receipt: &TicketReceipt) -> Option<AdmissionRate> {
    if receipt.state != RoomState::Serving || receipt.paused || receipt.ahead().is_none() {
        return None;
    }
    let (drop_id, now) = (receipt.drop_id, Instant::now());
    let at = worker.writer.clock.at(now);
    let measure = || worker.reader.read(|connection| rooms::rate_of(connection, drop_id, at));
    let rate = worker.room_facts.borrow_mut().rate(drop_id, now, measure);
    rate.unwrap_or_else(|error| {
        tracing::warn!(%error, drop_id = drop_id.get(), "the rate of a waiting room could not be read");
        None
    })
}

/// `POST /v1/drops/{drop_id}/tickets`. A buyer has one ticket of a room, so the request needs no idempotency key.
pub(super) async fn take_ticket(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    worker.writer.check_buyer_capacity().map_err(|submit_error| rejected(worker, submit_error))?;
    let buyer = parse_ticket(&call.json(worker.body_bounds()).await?, call.caller.buyer())?;
    let drop_id = call.drop_id()?;
    worker.admit_named(&call, &buyer, Some(drop_id))?;
    if worker.writer.published.version(drop_id) == 0 {
        return Err(Problem::NotFound);
    }
    let digest = worker.writer.digest_key.buyer(buyer.as_str());
    let origin = worker.origin_of(&call, &buyer, drop_id);
    let command = Command::Room(RoomCommand::TakeTicket(TakeTicket { drop_id, buyer: digest, origin }));
    let decided = submit(worker, &call.caller, command, Some(PrivateData::Ticket { buyer })).await?;
    let done = accepted_seq(&decided)?;
    let Outcome::Accepted(Effect::Ticket(receipt)) = &decided.outcome else { return Err(Problem::Internal) };
    let digest = worker.room_facts.borrow_mut().ticket_digest(&worker.reader, drop_id, &digest);
    let (claims, rate) = (worker.writer.published.room_claims(drop_id), rate_of(worker, receipt));
    let mut response = created(ticket_body(receipt, claims, rate, digest));
    if receipt.repeated {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(with_write_headers(response, done.seq, &decided))
}

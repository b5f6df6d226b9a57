//! The draws of waiting rooms: what is published of them, proofs of tickets, and beacons.

use std::rc::Rc;
use std::sync::Arc;

use hyper::{Method, Response, StatusCode};
use parking_lot::Mutex;
use serde_json::json as example;

use super::{RouteEntry, accepted_seq, after_decision, fault, query_thread_busy, submit_operation, with_write_headers};
use crate::admission::operators::Role;
use crate::api::Problem;
use crate::api::code::Code;
use crate::api::json::draw::{AskedTicket, DrawQuery, draw_body, parse_beacon};
use crate::engine::{Command, PostBeacon, RoomCommand};
use crate::http::allowed_responses::{BODY, BUSY, ID, WRITER};
use crate::http::body::Body;
use crate::http::draw_proofs::{DrawProofs, ProofBuilder, ProofStep};
use crate::http::request::{Caching, Call, json, tag, tagged};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::DrawRow;
use crate::read::draws::draw_by_drop;
use crate::types::draw::sha256;
use crate::types::{DrawState, DropId, TicketNumber, TicketPosition, hex};

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::public(Method::GET, "/v1/drops/{drop_id}/draw", "GetDraw", "Read the draw of a drop's waiting room")
        .query::<DrawQuery>()
        .responds(&[200, 304], &[Json("Draw")])
        .problems(&[ID, BUSY])
        .later(|worker, call| Box::pin(async move { get(worker, &call).await })),
    Route::admin(
        Role::Operator,
        Method::POST,
        "/v1/drops/{drop_id}/room/beacon",
        "PostBeacon",
        "Post the beacon of a draw",
    )
    .body("NewBeacon", || example!({ "value": "8d61a6ac35b0b64b", "source": "drand, round 4242" }))
    .responds(&[200], &[Json("Draw")])
    .problems(&[BODY, ID, &[Code::Ended, Code::BeaconNotTaken], WRITER])
    .later(|worker, call| Box::pin(post_beacon(worker, call))),
];

/// `GET /v1/drops/{drop_id}/draw`: everything that an outsider needs to draw again.
pub(super) async fn get(worker: &Rc<Worker>, call: &Call) -> Result<Response<Body>, Problem> {
    let drop_id = call.drop_id()?;
    let DrawQuery { ticket } = call.query()?;
    let draw = read(worker, drop_id)?.ok_or(Problem::NotFound)?;
    worker.note_read(call, Some(drop_id));
    let proof = match ticket.filter(|_| draw.state() == DrawState::Drawn) {
        Some(AskedTicket(number)) => {
            let proofs = proofs_of(worker, &draw).await?;
            let key = &worker.writer.digest_key;
            worker.reader.read(|connection| proofs.of_ticket(connection, key, number)).map_err(|error| fault(&error))?
        }
        None => None,
    };
    let body = draw_body(&draw, proof.as_ref());
    // Equal tags have equal bodies.
    let hash = sha256(&[&body]);
    let etag = tag(&format!("\"w{}\"", hex::encode(hash.get(..16).unwrap_or(&hash))));
    Ok(tagged(&call.parts.headers, etag, Caching::Public, body))
}

fn read(worker: &Worker, drop_id: DropId) -> Result<Option<DrawRow>, Problem> {
    worker.reader.read(|connection| draw_by_drop(connection, drop_id)).map_err(|error| fault(&error))
}

/// Returns the position that a draw gave to a ticket; `None` before it is done. Tickets that were taken later queue behind it.
pub(super) async fn position_of(
    worker: &Worker,
    drop_id: DropId,
    number: TicketNumber,
) -> Result<Option<TicketPosition>, Problem> {
    let draw = read(worker, drop_id)?.filter(|draw| draw.state() == DrawState::Drawn);
    let Some(draw) = draw else { return Ok(None) };
    if draw.tickets.is_some_and(|tickets| number.get() > tickets) {
        return Ok(Some(number.position_by_arrival()));
    }
    Ok(proofs_of(worker, &draw).await?.position_of(number))
}

/// Returns the proofs of a draw that is done. The first request for one computes them on the query thread, and the others
/// wait for it.
async fn proofs_of(worker: &Worker, draw: &DrawRow) -> Result<Arc<DrawProofs>, Problem> {
    let cache = &worker.server.draw_proofs;
    if let Some(proofs) = cache.get(draw.drop_id) {
        return Ok(proofs);
    }
    let turn = worker.queries.within_deadline(cache.turn.lock()).await;
    let mut turn = turn.map_err(|_| query_thread_busy(worker))?;
    if let Some(proofs) = cache.get(draw.drop_id) {
        return Ok(proofs);
    }
    let begun = turn.take().filter(|builder| builder.lock().drop_id() == draw.drop_id);
    let builder = match begun {
        Some(builder) => builder,
        None => Arc::new(Mutex::new(ProofBuilder::new(draw.clone()).ok_or(Problem::Internal)?)),
    };
    *turn = Some(Arc::clone(&builder));
    loop {
        let (builder, key) = (Arc::clone(&builder), worker.writer.digest_key.clone());
        let step = worker.queries.run(move |reader| reader.read(|connection| builder.lock().step(connection, &key)));
        match step.await.map_err(|_| query_thread_busy(worker))?.map_err(|error| fault(&error))? {
            ProofStep::More => {}
            ProofStep::Done(proofs) => {
                *turn = None;
                cache.put(Arc::clone(&proofs));
                return Ok(proofs);
            }
            ProofStep::Differs(what) => {
                *turn = None;
                tracing::error!(drop_id = draw.drop_id.get(), what, "a draw has no proofs; run firstcome verify");
                return Err(Problem::Internal);
            }
        }
    }
}

/// `POST /v1/drops/{drop_id}/room/beacon`.
async fn post_beacon(worker: &Rc<Worker>, mut call: Call) -> Result<Response<Body>, Problem> {
    let (beacon, source, reason) = parse_beacon(&call.json(worker.body_bounds()).await?)?;
    let (drop_id, reason) = (call.drop_id()?, call.signed(reason));
    let post = PostBeacon { drop_id, beacon, source, reason };
    let command = Command::Room(RoomCommand::PostBeacon(Box::new(post)));
    let decided = submit_operation(worker, &call, false, command, None).await?;
    let done = accepted_seq(&decided)?;
    let draw = read(worker, drop_id).map_err(after_decision)?.ok_or(Problem::Internal)?;
    Ok(with_write_headers(json(StatusCode::OK, draw_body(&draw, None)), done.seq, &decided))
}

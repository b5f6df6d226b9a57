//! Standing by without scripts: the page of a buyer's place, which loads again by itself and leads to the order once there is one,
//! and the form that leaves the line. The form of the drop's page joins it.

use hyper::{Method, Response, StatusCode};
use serde::Deserialize;

use super::page_problems::read_page_form;
use super::pages::{frame, html, see_other};
use super::standby::{is_key_of, left_by};
use super::storefront_parts::{check_enabled, not_found};
use super::{RouteEntry, accepted_seq, fault, submit};
use crate::api::Problem;
use crate::api::code::Code;
use crate::engine::{Command, Effect, OrderCommand, Outcome, StandbyLeaving, Subject};
use crate::http::allowed_responses::{BODY, ID, WRITER};
use crate::http::body::{Body, FormFields, parse_form};
use crate::http::request::Call;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::recorded::{RecordedEnding, recorded_ending};
use crate::read::{DropRow, rows};
use crate::types::{BuyerText, DropId, DropState, TicketNumber};
use crate::web::standby::{LinePlace, MissedDraw, RecordedPlace};
use crate::web::{self, PageFrame};
use crate::writer::Decided;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::public(Method::GET, "/drops/{drop_id}/standby", "ShopStandby", "The page of a buyer's place in the line")
        .page()
        .ignores_query()
        .responds(&[200, 303, 404], &[])
        .problems(&[WRITER])
        .later(|worker, call| Box::pin(place(worker, call))),
    Route::public(Method::POST, "/drops/{drop_id}/standby/leave", "ShopLeaveStandby", "Leave the line on a page")
        .page()
        .ignores_query()
        .responds(&[303], &[])
        .problems(&[BODY, ID, WRITER, &[Code::Unauthorized]])
        .later(|worker, call| Box::pin(leave(worker, call))),
];

/// Returns the path of the page of a buyer's place. The key of the joining leads to the order, as an order's own path does. That of
/// an order that a blind window recorded has its number, so that the page tells what became of it.
pub(super) fn place_path(drop_id: DropId, buyer: &str, key: &str, ticket: Option<TicketNumber>) -> String {
    let query = serde_html_form::to_string([("buyer", buyer), ("key", key)]).unwrap_or_default();
    let number = ticket.map(|ticket| format!("&recorded={}", ticket.get())).unwrap_or_default();
    format!("/drops/{drop_id}/standby?{query}{number}")
}

async fn decide(
    worker: &Worker,
    call: &Call,
    buyer: &BuyerText,
    drop_id: DropId,
    is_leaving: bool,
) -> Result<Decided, Problem> {
    worker.admit_named(call, buyer, Some(drop_id))?;
    if worker.writer.published.version(drop_id) == 0 {
        return Err(Problem::NotFound);
    }
    let buyer = worker.writer.digest_key.buyer(buyer.as_str());
    let command = if is_leaving {
        OrderCommand::LeaveStandby { drop_id, buyer }
    } else {
        OrderCommand::FindStandby { drop_id, buyer }
    };
    submit(worker, &call.caller, Command::Order(command), None).await
}

/// `GET /drops/{drop_id}/standby?buyer=&key=`. Without a place it leads back to the drop, with an order and the key of the joining
/// to the order.
async fn place(worker: &Worker, call: Call) -> Result<Response<Body>, Problem> {
    let fields: FormFields = parse_form(call.parts.uri.query().unwrap_or("").as_bytes()).unwrap_or_default();
    let buyer = fields.iter().find(|(name, _)| name == "buyer").and_then(|(_, buyer)| BuyerText::new(buyer));
    let (Some(buyer), Ok(drop_id), Ok(())) = (buyer, call.drop_id(), check_enabled(worker)) else {
        return Ok(not_found(worker, &call));
    };
    let key = fields.iter().find(|(name, _)| name == "key").map_or("", |(_, key)| key);
    let number = fields.iter().find(|(name, _)| name == "recorded").and_then(|(_, number)| number.parse().ok());
    let ticket = number.and_then(TicketNumber::new);
    let path = place_path(drop_id, buyer.as_str(), key, ticket);
    let frame = frame(worker, &call, &path);
    let back = || see_other(&frame.language.path(&format!("/drops/{drop_id}")));
    if worker.server.admission.buyers.is_some() {
        return back();
    }
    let decided = decide(worker, &call, &buyer, drop_id, false).await?;
    match accepted_seq(&decided) {
        Err(problem) if problem.code() == Code::NotFound => {
            return match ticket {
                Some(ticket) => missed(worker, &frame, drop_id, (ticket, buyer.as_str(), key)),
                None => back(),
            };
        }
        answer => answer?,
    };
    let receipt = match &decided.outcome {
        Outcome::Accepted(Effect::Standby(receipt)) => receipt,
        Outcome::Accepted(Effect::Recorded(receipt)) => {
            let drop = drop_of(worker, drop_id)?;
            let place = RecordedPlace {
                drop_id,
                drop_name: &drop.name,
                buyer: buyer.as_str(),
                ticket: receipt.ticket.get(),
                decided_at: receipt.decided_at,
                is_paused: drop.state() == DropState::Paused,
            };
            return Ok(html(worker, StatusCode::OK, web::standby::recorded(&frame, &place), []));
        }
        Outcome::Repeated { subject: Subject::Order(order), .. } => {
            let row = worker.reader.read(|connection| rows::order_by_seq(connection, *order));
            let row = row.map_err(|error| fault(&error))?.ok_or(Problem::Internal)?;
            if !is_key_of(worker, &row, key.as_bytes())? {
                return back();
            }
            return see_other(&frame.language.path(&format!("/orders/{}", row.id())));
        }
        Outcome::Repeated { subject: Subject::LineEntry(joined), .. } => {
            if let Some(ticket) = ticket {
                return missed(worker, &frame, drop_id, (ticket, buyer.as_str(), key));
            }
            let (left, is_key) = left_by(worker, *joined, key.as_bytes())?;
            if !is_key || left.ticket.is_some() {
                return back();
            }
            let drop = drop_of(worker, drop_id)?;
            let page = web::standby::missed(&frame, drop_id, &drop.name, MissedDraw::LineLimit);
            return Ok(html(worker, StatusCode::OK, page, []));
        }
        Outcome::Accepted(_) | Outcome::Repeated { .. } | Outcome::Refused { .. } | Outcome::Advanced => {
            return Err(Problem::Internal);
        }
    };
    let drop = drop_of(worker, drop_id)?;
    let place = LinePlace {
        drop_id,
        drop_name: &drop.name,
        buyer: buyer.as_str(),
        quantity: u32::from(receipt.quantity.get()),
        position: receipt.position,
        held: receipt.held,
        next_expiry_at: receipt.next_expiry_at,
    };
    Ok(html(worker, StatusCode::OK, web::standby::place(&frame, &place), []))
}

fn drop_of(worker: &Worker, drop_id: DropId) -> Result<DropRow, Problem> {
    let drop = worker.reader.read(|connection| rows::drop_by_id(connection, drop_id)).map_err(|error| fault(&error))?;
    drop.ok_or(Problem::NotFound)
}

/// Responds with the ending of a recorded order whose buyer is not in the line any more; leads back to the drop without one.
fn missed(
    worker: &Worker,
    frame: &PageFrame<'_>,
    drop_id: DropId,
    (ticket, buyer, key): (TicketNumber, &str, &str),
) -> Result<Response<Body>, Problem> {
    let digests = &worker.writer.digest_key;
    let key = digests.order_key(drop_id, &digests.buyer(buyer), key.as_bytes());
    let ending = worker.reader.read(|connection| recorded_ending(connection, drop_id, ticket, buyer, &key));
    let missed = match ending.map_err(|error| fault(&error))? {
        Some(RecordedEnding::Left(StandbyLeaving::SoldOut)) => MissedDraw::SoldOut,
        Some(RecordedEnding::Left(StandbyLeaving::Limit)) => MissedDraw::Limit,
        Some(RecordedEnding::Left(StandbyLeaving::Buyer)) => MissedDraw::TakenBack,
        Some(RecordedEnding::Ordered(order)) => {
            let row = worker.reader.read(|connection| rows::order_by_seq(connection, order));
            let row = row.map_err(|error| fault(&error))?.ok_or(Problem::Internal)?;
            return see_other(&frame.language.path(&format!("/orders/{}", row.id())));
        }
        // The drop ended before the order was decided, or the address is of no order.
        Some(RecordedEnding::Undecided) | None => {
            return see_other(&frame.language.path(&format!("/drops/{drop_id}")));
        }
    };
    let drop = drop_of(worker, drop_id)?;
    Ok(html(worker, StatusCode::OK, web::standby::missed(frame, drop_id, &drop.name, missed), []))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaveForm {
    buyer: String,
}

/// `POST /drops/{drop_id}/standby/leave`. Without a place, and after the end of the sale, nothing has to be done.
async fn leave(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    check_enabled(worker)?;
    let drop_id = call.drop_id()?;
    let form: LeaveForm = read_page_form(worker, &mut call).await?;
    if worker.server.admission.buyers.is_some() {
        return Err(Problem::Unauthorized);
    }
    let buyer = BuyerText::new(&form.buyer)
        .ok_or_else(|| Problem::invalid("/buyer", "must be 1 to 128 bytes of text without control characters"))?;
    let decided = decide(worker, &call, &buyer, drop_id, true).await?;
    match accepted_seq(&decided) {
        Err(problem) if matches!(problem.code(), Code::NotFound | Code::Ended) => {}
        answer => {
            answer?;
        }
    }
    see_other(&frame(worker, &call, "").language.path(&format!("/drops/{drop_id}")))
}

//! Waiting rooms on the pages of drops: the form that takes a ticket, for browsers without scripts, and the page that tells the
//! buyer's place. Such a browser keeps the ticket in the page's address.

use hyper::{Method, Response};
use serde::Deserialize;

use super::page_problems::read_page_form;
use super::pages::{frame, see_other};
use super::storefront_parts::check_enabled;
use super::{RouteEntry, accepted_seq, draws, fault, submit};
use crate::api::Problem;
use crate::api::code::Code;
use crate::engine::{Command, Effect, Outcome, RoomCommand, TakeTicket};
use crate::http::allowed_responses::{BODY, ID, WRITER};
use crate::http::body::{Body, FormFields, parse_form};
use crate::http::request::Call;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::RoomRow;
use crate::read::rooms::ticket_holder;
use crate::store::PrivateData;
use crate::types::{BuyerText, DropId, RoomClaims, RoomState, TicketNumber};
use crate::web::room::{HeldPlace, WaitingRoom};

pub(in crate::http) const ROUTES: &[RouteEntry] =
    &[Route::public(Method::POST, "/drops/{drop_id}/ticket", "ShopTicket", "Take a ticket on the page of a drop")
        .page()
        .ignores_query()
        .responds(&[303], &[])
        .problems(&[BODY, ID, WRITER, &[Code::Unauthorized, Code::NotOpen, Code::Ended, Code::AllSold]])
        .later(|worker, call| Box::pin(take_ticket(worker, call)))];

pub(super) fn waiting_room(room: &RoomRow, claims: RoomClaims) -> WaitingRoom {
    WaitingRoom {
        state: room.state(),
        opens_at: room.spec.opens_at,
        starts_at: room.starts_at,
        order_seconds: room.spec.order_seconds,
        is_drawn: room.spec.draw.is_random(),
        tickets: room.tickets,
        serving: room.serving,
        window_from: room.window_from,
        available: room.available,
        held: room.held,
        claims,
        is_paused: room.paused,
    }
}

/// Returns the ticket and the buyer that a page's address names.
fn named_in(call: &Call) -> Option<(BuyerText, TicketNumber)> {
    let fields: FormFields = parse_form(call.parts.uri.query().unwrap_or("").as_bytes()).ok()?;
    let value = |name: &str| fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    Some((BuyerText::new(value("buyer")?)?, TicketNumber::new(value("ticket")?.parse().ok()?)?))
}

/// Returns the ticket that a page's address names, if it is that buyer's, with its position once it is known. The address is a
/// note of the reader's own, or a link of others: what it says is compared.
pub(super) async fn place_of(worker: &Worker, call: &Call, room: &RoomRow) -> Result<Option<HeldPlace>, Problem> {
    let Some((buyer, number)) = named_in(call) else { return Ok(None) };
    let holder = worker.reader.read(|connection| ticket_holder(connection, room.drop_id, number));
    if holder.map_err(|error| fault(&error))?.as_deref() != Some(buyer.as_str()) {
        return Ok(None);
    }
    let position = match room.state() {
        // A server that is too busy to look it up now does so when the page loads again.
        RoomState::Serving if room.spec.draw.is_random() => {
            draws::position_of(worker, room.drop_id, number).await.unwrap_or(None)
        }
        RoomState::Serving => Some(number.position_by_arrival()),
        RoomState::Closed | RoomState::Gathering | RoomState::Drawing | RoomState::Over => None,
    };
    let (buyer, number) = (buyer.as_str().to_owned(), number.get());
    Ok(Some(HeldPlace { buyer, number, position: position.map(|position| position.0) }))
}

/// Returns the path of a drop's page with a ticket.
pub(super) fn page_path(drop_id: DropId, place: Option<&HeldPlace>) -> String {
    let Some(HeldPlace { buyer, number, .. }) = place else { return format!("/drops/{drop_id}") };
    let fields = [("ticket", number.to_string()), ("buyer", buyer.clone())];
    let query = serde_html_form::to_string(fields).unwrap_or_default();
    format!("/drops/{drop_id}?{query}")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketForm {
    buyer: String,
}

/// `POST /drops/{drop_id}/ticket`, for browsers without scripts. They have no token, so that only a server that trusts names takes
/// it. A buyer who has a ticket gets that one.
async fn take_ticket(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    check_enabled(worker)?;
    let drop_id = call.drop_id()?;
    let form: TicketForm = read_page_form(worker, &mut call).await?;
    if worker.server.admission.buyers.is_some() {
        return Err(Problem::Unauthorized);
    }
    let buyer = BuyerText::new(&form.buyer)
        .ok_or_else(|| Problem::invalid("/buyer", "must be 1 to 128 bytes of text without control characters"))?;
    worker.admit_named(&call, &buyer, Some(drop_id))?;
    let digest = worker.writer.digest_key.buyer(buyer.as_str());
    let origin = worker.origin_of(&call, &buyer, drop_id);
    let command = Command::Room(RoomCommand::TakeTicket(TakeTicket { drop_id, buyer: digest, origin }));
    let decided = submit(worker, &call.caller, command, Some(PrivateData::Ticket { buyer })).await?;
    accepted_seq(&decided)?;
    let Outcome::Accepted(Effect::Ticket(receipt)) = &decided.outcome else { return Err(Problem::Internal) };
    let place = HeldPlace {
        buyer: form.buyer,
        number: receipt.number.get(),
        position: receipt.position.map(|position| position.0),
    };
    see_other(&frame(worker, &call, "").language.path(&page_path(drop_id, Some(&place))))
}

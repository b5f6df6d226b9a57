//! Contacts: personal data, each look at it audited before it is shown.

use hyper::{Response, StatusCode};

use super::orders::named;
use super::{done, fault, submit, written};
use crate::engine::Command;
use crate::http::Problem;
use crate::http::body::Body;
use crate::http::json::contact_body;
use crate::http::request::{Call, empty, json};
use crate::http::worker::Worker;
use crate::read::rows;

/// `GET /v1/orders/{order_id}/contact`.
pub(super) async fn read(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let order = named(worker, call)?.seq;
    let find = || worker.reader.read(|connection| rows::contact_of(connection, order)).map_err(|error| fault(&error));
    find()?.ok_or(Problem::NotFound)?;
    let decided = submit(worker, &call.caller, Command::ReadContact { order }, None).await?;
    let done = done(&decided)?;
    // Read again: it may have been erased before this look was audited.
    let contact = find()?.ok_or(Problem::NotFound)?;
    Ok(written(json(StatusCode::OK, contact_body(&contact)), done.seq, &decided))
}

/// `DELETE /v1/orders/{order_id}/contact`.
pub(super) async fn erase(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let order = named(worker, call)?.seq;
    let decided = submit(worker, &call.caller, Command::EraseContact { order }, None).await?;
    let done = done(&decided)?;
    Ok(written(empty(StatusCode::NO_CONTENT), done.seq, &decided))
}

//! Prices and currencies that the payment provider does not take: refused where operators set them. Without
//! `payments.provider` the shop takes payments itself, and every price is right.

use crate::api::Problem;
use crate::api::problem::FieldError;
use crate::engine::{AuctionSpec, DropSpec};
use crate::http::worker::Worker;
use crate::payments::accepted_amounts::{NotTaken, check_auction, check_price};
use crate::read::rows;
use crate::types::{DropId, UnitPrice};

use super::fault;

fn mistake(not_taken: &NotTaken, amount_pointer: &str) -> FieldError {
    let pointer = match not_taken {
        NotTaken::Currency(_) => "/currency",
        NotTaken::Amount(_) => amount_pointer,
    };
    FieldError { pointer: pointer.into(), detail: format!("no buyer could pay: {}", not_taken.sentence()) }
}

/// Checks a new drop.
pub(super) fn check_drop(worker: &Worker, spec: &DropSpec) -> Result<(), Problem> {
    let provider = worker.server.config.payments.provider;
    check_price(provider, spec.currency, spec.unit_price)
        .map_err(|not_taken| Problem::Validation(vec![mistake(&not_taken, "/unit_price")]))
}

/// Checks a new price of a drop. The engine answers for a drop that does not exist.
pub(super) fn check_new_price(worker: &Worker, id: DropId, price: Option<UnitPrice>) -> Result<(), Problem> {
    let (Some(provider), Some(price)) = (worker.server.config.payments.provider, price) else { return Ok(()) };
    let row = worker.reader.read(|connection| rows::drop_by_id(connection, id)).map_err(|error| fault(&error))?;
    let Some(row) = row else { return Ok(()) };
    check_price(Some(provider), row.currency, price)
        .map_err(|not_taken| Problem::invalid("/unit_price", mistake(&not_taken, "/unit_price").detail))
}

/// Checks a new auction: its currency, the lowest price at which it can end, and its fixed price. A price above the
/// provider's maximum shows on the page of the order alone, as it depends on the bids.
pub(super) fn check_new_auction(worker: &Worker, spec: &AuctionSpec) -> Result<(), Problem> {
    let provider = worker.server.config.payments.provider;
    let lowest = spec.reserve_price.unwrap_or_default().max(spec.start_price);
    let pointer = if lowest == spec.start_price { "/start_price" } else { "/reserve_price" };
    let of_bids = check_auction(provider, spec.currency, lowest).map_err(|not_taken| mistake(&not_taken, pointer));
    let fixed = spec.buy_now.map_or(Ok(()), |price| check_price(provider, spec.currency, price));
    let fixed = fixed.map_err(|not_taken| mistake(&not_taken, "/buy_now"));
    let mut mistakes: Vec<FieldError> = [of_bids.err(), fixed.err()].into_iter().flatten().collect();
    mistakes.dedup();
    if mistakes.is_empty() { Ok(()) } else { Err(Problem::Validation(mistakes)) }
}

//! Amounts that the payment provider does not take: refused where operators set prices and currencies, and where buyers
//! order and bid. Without `payments.provider` the shop takes payments itself, and every amount is right.

use crate::admission::largest_amounts::Above;
use crate::api::Problem;
use crate::api::problem::FieldError;
use crate::engine::{AuctionSpec, DropSpec};
use crate::http::worker::Worker;
use crate::payments::accepted_amounts::{NotTaken, check_auction, check_price};
use crate::read::{AuctionRow, auctions, rows};
use crate::types::{AuctionId, DropId, Quantity, UnitPrice, money};

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

/// Checks a new auction: its currency, the lowest price at which it can end, and its fixed price.
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

/// Checks that a buyer can pay an order: its price was checked when it was set, and its quantity was not. The engine
/// answers for a drop that does not exist.
pub(super) fn check_order(worker: &Worker, drop_id: DropId, quantity: Quantity) -> Result<(), Problem> {
    let read = || {
        let row = worker.reader.read(|connection| rows::drop_by_id(connection, drop_id))?;
        Ok(row.map(|row| (row.currency, row.unit_price)))
    };
    let above = worker.largest_amounts.of_order(&worker.writer.published, drop_id, quantity, read);
    refuse_above(above, "/quantity")
}

/// Checks that a buyer can pay each price to which a bid can lead.
pub(super) fn check_bid(
    worker: &Worker,
    auction_id: AuctionId,
    amount: UnitPrice,
    maximum: UnitPrice,
) -> Result<(), Problem> {
    for (amount, pointer) in [(amount, "/amount"), (maximum, "/maximum")] {
        let read = || {
            let row = worker.reader.read(|connection| auctions::auction_by_id(connection, auction_id))?;
            Ok(row.map(|row| row.currency))
        };
        refuse_above(worker.largest_amounts.of_bid(auction_id, amount, read), pointer)?;
    }
    Ok(())
}

/// Checks that a buyer can pay the fixed price of an auction, which may be older than the provider of the settings.
pub(super) fn check_buy_now(worker: &Worker, auction: &AuctionRow) -> Result<(), Problem> {
    let read = || Ok(Some(auction.currency));
    let price = auction.buy_now.unwrap_or_default();
    refuse_above(worker.largest_amounts.of_bid(auction.id, price, read), "")
}

/// Refuses an amount above the largest one of its currency.
fn refuse_above(above: rusqlite::Result<Option<Above>>, pointer: &'static str) -> Result<(), Problem> {
    let Some(Above { largest, currency }) = above.map_err(|error| fault(&error))? else { return Ok(()) };
    let largest = money::shown(largest, currency);
    Err(Problem::invalid(pointer, format!("no buyer could pay: the provider takes no payment above {largest}")))
}

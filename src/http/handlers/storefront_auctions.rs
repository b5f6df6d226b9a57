//! The page of an auction, and its form for browsers without scripts: a bid, a purchase at the fixed price, and the way to the
//! order of who has won. Scripts use the API like any client.

use hyper::{Method, Response, StatusCode};
use serde::Deserialize;

use super::auctions::{find_auction, submit_bid, submit_buy_now};
use super::page_problems::read_page_form;
use super::pages::{contact_of, frame, html, see_other};
use super::storefront_parts::{check_enabled, new_key, not_found};
use super::{RouteEntry, accepted_seq, after_decision, fault};
use crate::api::Problem;
use crate::api::code::Code;
use crate::api::json::BidRequest;
use crate::http::allowed_responses::{AUCTION, BODY, ID, WRITER};
use crate::http::body::Body;
use crate::http::request::Call;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::read::{AuctionRow, OrderRow, auctions, rows};
use crate::types::{BuyerText, Currency, Quantity, UnitPrice, money};
use crate::web;
use crate::web::auction::{Bidding, Lot, Standing};
use crate::writer::Decided;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::public(Method::GET, "/auctions/{auction_id}", "ShopAuction", "The page of an auction")
        .page()
        .ignores_query()
        .responds(&[200, 404], &[])
        .now(|worker, call| page(worker, call)),
    Route::public(Method::POST, "/auctions/{auction_id}", "ShopBid", "Bid or buy on the page of an auction")
        .page()
        .ignores_query()
        // A bid that is too low is a page, too.
        .responds(&[200, 303, 409], &[])
        .problems(&[BODY, ID, AUCTION, &[Code::LimitReached, Code::Unauthorized], WRITER])
        .later(|worker, call| Box::pin(send(worker, call))),
];

pub(super) fn lot(auction: AuctionRow) -> Lot {
    Lot {
        id: auction.id,
        currency: auction.currency,
        state: auction.state,
        price: auction.current.unwrap_or(auction.start_price).times(Quantity::ONE),
        minimum_next: auction.minimum_next().times(Quantity::ONE),
        buy_now: auction.open_buy_now().map(|price| price.times(Quantity::ONE)),
        bids: auction.bids,
        reserve_met: auction.reserve_met,
        starts_at: auction.starts_at,
        ends_at: auction.ends_at,
        soft_close_seconds: auction.soft_close_seconds,
        name: auction.name,
    }
}

fn rendered(
    worker: &Worker,
    call: &Call,
    auction: AuctionRow,
    buyer: &str,
    standing: Option<Standing>,
) -> Response<Body> {
    let path = format!("/auctions/{}", auction.id);
    let sends_mails = !worker.server.config.mail.host.is_empty();
    let bidding = Bidding { key: &new_key(), buyer, standing, sends_mails };
    let status = match standing {
        Some(Standing::TooLow | Standing::NoFixedPrice) => StatusCode::CONFLICT,
        Some(Standing::Leading | Standing::Outbid | Standing::WithoutOrder) | None => StatusCode::OK,
    };
    html(worker, status, web::auction::auction(&frame(worker, call, &path), &lot(auction), &bidding), [])
}

/// `GET /auctions/{auction_id}`.
fn page(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let (Ok(()), Ok(id)) = (check_enabled(worker), call.auction_id()) else { return Ok(not_found(worker, call)) };
    worker.note_read(call, None);
    let row =
        worker.reader.read(|connection| auctions::auction_by_id(connection, id)).map_err(|error| fault(&error))?;
    Ok(row.map_or_else(|| not_found(worker, call), |row| rendered(worker, call, row, "", None)))
}

/// The step that a button of the page asks for.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AuctionStep {
    Bid,
    BuyNow,
    Order,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuctionForm {
    what: AuctionStep,
    #[serde(default)]
    key: String,
    #[serde(default)]
    buyer: String,
    #[serde(default)]
    amount: String,
    #[serde(default)]
    maximum: String,
    #[serde(default)]
    email: String,
    /// The box with which a buyer confirms a purchase.
    #[serde(default)]
    sure: String,
}

/// `POST /auctions/{auction_id}`. A browser without scripts has no token, so that only a server that trusts names takes it.
async fn send(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    check_enabled(worker)?;
    let id = call.auction_id()?;
    let form: AuctionForm = read_page_form(worker, &mut call).await?;
    if worker.server.admission.buyers.is_some() {
        return Err(Problem::Unauthorized);
    }
    let buyer = BuyerText::new(&form.buyer)
        .ok_or_else(|| Problem::invalid("/buyer", "must be 1 to 128 bytes of text without control characters"))?;
    worker.admit_named(&call, &buyer, None)?;
    let auction = find_auction(worker, id)?;
    match form.what {
        AuctionStep::Bid => {
            let request = bid_of(&form, buyer.clone(), auction.currency)?;
            let decided = submit_bid(worker, &call, id, request, form.key.as_bytes()).await?;
            let is_too_low = is_too_low(&decided)?;
            let auction = find_auction(worker, id).map_err(after_decision)?;
            let leads = auction.leader.as_deref() == Some(buyer.as_str());
            let standing = match (is_too_low, leads) {
                (true, _) => Standing::TooLow,
                (false, true) => Standing::Leading,
                (false, false) => Standing::Outbid,
            };
            Ok(rendered(worker, &call, auction, buyer.as_str(), Some(standing)))
        }
        AuctionStep::BuyNow => {
            if form.sure.is_empty() {
                return Err(Problem::invalid("/sure", "must be ticked: the unit is bought at once"));
            }
            let decided = submit_buy_now(worker, &call, &auction, buyer.clone(), form.key.as_bytes()).await?;
            if is_too_low(&decided)? {
                let auction = find_auction(worker, id).map_err(after_decision)?;
                return Ok(rendered(worker, &call, auction, buyer.as_str(), Some(Standing::NoFixedPrice)));
            }
            let seq = decided.outcome.order_made().ok_or(Problem::Internal)?;
            let row = worker.reader.read(|connection| rows::order_by_seq(connection, seq));
            let row = row.map_err(|error| after_decision(fault(&error)))?.ok_or(Problem::Internal)?;
            to_order(worker, &call, &row)
        }
        AuctionStep::Order => {
            let row = worker.reader.read(|connection| auctions::last_order(connection, id));
            match row.map_err(|error| fault(&error))?.filter(|row| *row.buyer == *buyer.as_str()) {
                Some(row) => to_order(worker, &call, &row),
                None => Ok(rendered(worker, &call, auction, buyer.as_str(), Some(Standing::WithoutOrder))),
            }
        }
    }
}

/// Returns whether a bid, or a purchase at the fixed price, came too late: there is a higher one. Other refusals are problems.
fn is_too_low(decided: &Decided) -> Result<bool, Problem> {
    match accepted_seq(decided) {
        Ok(_) => Ok(false),
        Err(problem) if problem.code() == Code::BidTooLow => Ok(true),
        Err(problem) => Err(problem),
    }
}

fn to_order(worker: &Worker, call: &Call, order: &OrderRow) -> Result<Response<Body>, Problem> {
    see_other(&frame(worker, call, "").language.path(&format!("/orders/{}", order.id())))
}

fn bid_of(form: &AuctionForm, buyer: BuyerText, currency: Currency) -> Result<BidRequest, Problem> {
    let typed = |text: &str, pointer| {
        let amount = money::typed(text, currency).and_then(|amount| UnitPrice::new(amount.get()));
        amount.ok_or_else(|| Problem::invalid(pointer, format!("must be an amount in {}", currency.as_str())))
    };
    let amount = typed(&form.amount, "/amount")?;
    let maximum = if form.maximum.trim().is_empty() { None } else { Some(typed(&form.maximum, "/maximum")?) };
    if maximum.is_some_and(|maximum| maximum < amount) {
        return Err(Problem::invalid("/maximum", "must be at least the amount"));
    }
    let contact = contact_of(&[("email", form.email.clone())])?;
    Ok(BidRequest { buyer, amount, maximum, contact })
}

//! Pages for browsers: the page of an order, where it is paid; and, with play money, a demo shop.

use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION, REFERRER_POLICY, REFRESH,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::orders::{find_order, submit_order};
use super::{RouteEntry, accepted_seq, after_decision, challenges, fault, identities, provider_events, submit};
use crate::api::Problem;
use crate::api::json::{OrderRequest, parse_checkout};
use crate::engine::{Command, OrderCommand};
use crate::http::allowed_responses::{BODY, CHALLENGE, ID, WRITER};
use crate::http::body::{Body, full, read_form};
use crate::http::request::Call;
use crate::http::route::ResponseBody::Inline;
use crate::http::route::{Presence, Route};
use crate::http::worker::Worker;
use crate::payments::accepted_amounts;
use crate::payments::sessions::NoSession;
use crate::read::{OrderRow, lists, rows, sessions};
use crate::store::PrivateData;
use crate::types::order_id::code_of;
use crate::types::text::rfc3339;
use crate::types::{BuyerText, DropId, DropState, OrderState, Provider, Quantity, hex, random};
use crate::web;
use crate::web::order::{OrderPage, PaymentOption};
use crate::web::shop::{Offer, ShopPage};
use crate::writer::clock::wall_clock;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::public(Method::GET, "/pay/{order_id}", "OrderPage", "Show the page of an order, where it is paid")
        .ignores_query()
        // An unknown id gets a page, too.
        .responds(
            &[200, 303, 404],
            &[Inline(
                "text/html",
                || json!({ "type": "string", "description": "A page for browsers: the order, and how to pay it." }),
            )],
        )
        .headers(&[
            ("Location", Presence::Sometimes),
            ("Refresh", Presence::Sometimes),
            ("Content-Security-Policy", Presence::Always),
            ("Referrer-Policy", Presence::Always),
            ("X-Content-Type-Options", Presence::Always),
        ])
        .now(|worker, call| order(worker, call)),
    Route::public(Method::GET, "/", "DemoShop", "The demo shop")
        .page()
        .ignores_query()
        .responds(&[200], &[])
        .problems(&[ID])
        .now(|worker, call| shop(worker, call)),
    Route::public(Method::POST, "/", "DemoReserve", "Reserve in the demo shop")
        .page()
        .ignores_query()
        // Refusals are pages, too.
        .responds(&[303, 409], &[])
        .problems(&[BODY, ID, CHALLENGE, WRITER])
        .later(|worker, call| Box::pin(reserve(worker, call))),
    Route::public(Method::POST, "/pay/{order_id}/checkout", "DemoCheckout", "Check out in the demo shop")
        .page()
        .ignores_query()
        .responds(&[303, 409], &[])
        .problems(&[BODY, ID, WRITER])
        .later(|worker, call| Box::pin(check_out(worker, call))),
    Route::public(Method::POST, "/pay/{order_id}/sandbox", "DemoSandbox", "Pay with play money")
        .page()
        .ignores_query()
        .responds(&[303], &[])
        .problems(&[BODY, ID, WRITER])
        .later(|worker, call| Box::pin(sandbox(worker, call))),
];

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

fn html(status: StatusCode, page: String) -> Response<Body> {
    let mut response = Response::new(full(page));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HTML);
    with_privacy_headers(response)
}

/// Adds the headers that protect the page's address, which is the key to an order: no caching, no referrer.
fn with_privacy_headers(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(policy) = HeaderValue::from_str(&web::CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Redirects to another address, by GET.
fn see_other(address: &str) -> Result<Response<Body>, Problem> {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::SEE_OTHER;
    let address = HeaderValue::from_str(address).map_err(|_| Problem::Internal)?;
    response.headers_mut().insert(LOCATION, address);
    Ok(with_privacy_headers(response))
}

fn path_of(order: &OrderRow) -> String {
    format!("/pay/{}", order.id())
}

/// Returns the way in which orders are paid on this server.
fn payment_option(worker: &Worker) -> PaymentOption {
    let payments = &worker.server.config.payments;
    match payments.provider {
        Some(Provider::Stripe | Provider::Payos) => PaymentOption::SessionPending,
        Some(Provider::Sandbox | Provider::Manual | Provider::StandardWebhooks) | None if payments.sandbox => {
            PaymentOption::Sandbox
        }
        Some(Provider::Sandbox | Provider::Manual | Provider::StandardWebhooks) | None => PaymentOption::Shop,
    }
}

/// Returns the way in which an order is paid.
fn payment_option_of(worker: &Worker, order: &OrderRow) -> PaymentOption {
    let option = payment_option(worker);
    let provider = worker.server.config.payments.provider;
    // No second session is made for an order whose session is at a provider that is not heard any more.
    let session = worker.reader.read(|connection| sessions::provider_of(connection, order.seq));
    let is_heard = |provider| worker.server.verifiers.is_configured(provider);
    let is_taken = accepted_amounts::check(provider, order.currency, order.amount()).is_ok();
    let refused = worker.server.refused_sessions.reason(order.seq);
    match (option, refused) {
        (PaymentOption::SessionPending, _) if !is_taken => PaymentOption::NotTaken,
        (PaymentOption::SessionPending, Some(NoSession::Refused)) => PaymentOption::NotTaken,
        (PaymentOption::SessionPending, Some(NoSession::Unusable)) => PaymentOption::NoPage,
        (PaymentOption::SessionPending, None) if !session.ok().flatten().is_none_or(is_heard) => PaymentOption::NoPage,
        (option, _) => option,
    }
}

/// Returns true if there is a demo shop. It does not authenticate buyers, so it requires play money, and that buyers have
/// no tokens.
fn has_demo_shop(worker: &Worker) -> bool {
    payment_option(worker) == PaymentOption::Sandbox && worker.server.admission.buyers.is_none()
}

/// `GET /pay/{order_id}`.
pub(super) fn order(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let order = match find_order(worker, call) {
        Err(Problem::NotFound) => return Ok(html(StatusCode::NOT_FOUND, web::not_found())),
        other => other?,
    };
    if order.state.is_live() {
        let session = worker.reader.read(|connection| sessions::url_of(connection, order.seq));
        // Money at a provider whose webhooks are not taken would stay unknown.
        let is_heard = |provider| worker.server.verifiers.is_configured(provider);
        if let Some((_, url)) = session.map_err(|error| fault(&error))?.filter(|(provider, _)| is_heard(*provider)) {
            return see_other(&url);
        }
    }
    order_page(worker, &order, StatusCode::OK, None)
}

fn order_page(
    worker: &Worker,
    order: &OrderRow,
    status: StatusCode,
    notice: Option<&str>,
) -> Result<Response<Body>, Problem> {
    let name = worker.reader.read(|connection| sessions::name_of_drop(connection, order.drop_id));
    let name = name.map_err(|error| fault(&error))?.ok_or(Problem::Internal)?;
    let (path, code) = (path_of(order), code_of(order.drop_id.shard(), order.seq));
    let page = OrderPage {
        path: &path,
        code: &code,
        drop_name: &name,
        quantity: order.quantity,
        amount: order.amount(),
        refunded: order.refunded,
        refund_due: order.refund_due,
        currency: order.currency,
        state: order.state,
        cancelled_by_operator: order.cancelled_by_operator,
        expires_at: order.expires_at,
        last_seq: order.last_seq,
        now: worker.writer.clock.now(),
        payment_option: payment_option_of(worker, order),
        notice,
    };
    let mut response = html(status, page.render());
    if let Some(seconds) = page.refresh_seconds() {
        response.headers_mut().insert(REFRESH, HeaderValue::from(seconds));
    }
    Ok(response)
}

/// Returns the text of a refusal for a page. Other problems are responses of their own.
fn refusal_text(problem: &Problem) -> Option<String> {
    let Problem::Refused { .. } = problem else { return None };
    let (title, detail) = problem.words();
    Some(format!("{title}. {detail}"))
}

/// The maximum of drops in the demo shop.
const OFFERS_MAX: u32 = 20;

/// `GET /`.
pub(super) fn shop(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    if !has_demo_shop(worker) {
        return Err(Problem::NotFound);
    }
    worker.note_read(call, None);
    // The version is loaded before the snapshot: an older page never passes for a newer one.
    let wanted = worker.writer.published.newest_change();
    let ready =
        worker.shop.borrow().as_ref().filter(|page| page.version >= wanted).map(|page| page.with_key(&new_key()));
    if let Some(page) = ready {
        return Ok(html(StatusCode::OK, page));
    }
    let page = ShopPage::new(wanted, &offers(worker)?, new_key());
    let response = html(StatusCode::OK, page.with_key(&new_key()));
    worker.shop.replace(Some(page));
    Ok(response)
}

/// Returns an idempotency key: of one page for one buyer.
fn new_key() -> String {
    let mut key = [0u8; 8];
    random::fill(&mut key);
    String::from_utf8_lossy(&hex::of_u64(u64::from_le_bytes(key))).into_owned()
}

/// Reads the drops on sale.
fn offers(worker: &Worker) -> Result<Vec<Offer>, Problem> {
    let drops = worker.reader.read(|connection| lists::newest_drops(connection, OFFERS_MAX));
    let drops = drops.map_err(|error| fault(&error))?;
    let on_sale = drops.into_iter().filter(|drop| matches!(drop.state(), DropState::Live | DropState::SoldOut));
    let offers = on_sale.map(|drop| Offer {
        id: drop.id,
        price: drop.unit_price.times(Quantity::ONE),
        currency: drop.currency,
        available: drop.available(),
        per_buyer_limit: drop.per_buyer_limit,
        reservation_seconds: drop.reservation_seconds,
        name: drop.name,
        description: drop.description,
    });
    Ok(offers.collect())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReserveForm {
    drop_id: u32,
    key: String,
    buyer: String,
    quantity: u16,
}

/// `POST /`.
pub(super) async fn reserve(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    if !has_demo_shop(worker) {
        return Err(Problem::NotFound);
    }
    let form: ReserveForm = read_form(&call.parts.headers, call.body.take(), worker.body_bounds()).await?;
    let drop_id = DropId::new(form.drop_id).ok_or(Problem::NotFound)?;
    let buyer = BuyerText::new(&form.buyer)
        .ok_or_else(|| Problem::invalid("/buyer", "must be 1 to 128 bytes of text without control characters"))?;
    let quantity = Quantity::new(form.quantity)
        .ok_or_else(|| Problem::invalid("/quantity", "must be a whole number from 1 to 65535"))?;
    worker.admit_named(&call, &buyer, Some(drop_id))?;
    challenges::refuse_needed(worker, &call, drop_id, &buyer)?;
    let request = OrderRequest { buyer, quantity, contact: None, payment_fingerprint: None };
    let (decided, _) = submit_order(worker, &call, drop_id, request, form.key.as_bytes()).await?;
    match accepted_seq(&decided) {
        Ok(_) => {}
        Err(problem) => {
            let notice = refusal_text(&problem).ok_or(problem)?;
            let page = web::shop::render(&offers(worker)?, &new_key(), Some(&notice));
            return Ok(html(StatusCode::CONFLICT, page));
        }
    }
    let seq = decided.outcome.order_made().ok_or(Problem::Internal)?;
    let row = worker.reader.read(|connection| rows::order_by_seq(connection, seq));
    let row = row.map_err(|error| after_decision(fault(&error)))?;
    see_other(&path_of(&row.ok_or(Problem::Internal)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct CheckoutForm {
    name: String,
    email: String,
    phone: String,
    address: String,
}

/// `POST /pay/{order_id}/checkout`.
pub(super) async fn check_out(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    if !has_demo_shop(worker) {
        return Err(Problem::NotFound);
    }
    let form: CheckoutForm = read_form(&call.parts.headers, call.body.take(), worker.body_bounds()).await?;
    let order = find_order(worker, &call)?;
    worker.note_checkout(&call, &order);
    let CheckoutForm { name, email, phone, address } = form;
    let mut contact = Map::new();
    for (field, value) in [("name", name), ("email", email), ("phone", phone), ("address", address)] {
        // A browser sends CR LF for a line break, and sends empty fields.
        let value = value.replace("\r\n", "\n");
        if !value.trim().is_empty() {
            contact.insert(field.into(), value.into());
        }
    }
    let contact = parse_checkout(json!({ "contact": Value::Object(contact) }).to_string().as_bytes())?;
    identities::check_contact(worker, &order, &contact)?;
    let checkout = Command::Order(OrderCommand::Checkout { order: order.seq });
    let private_data = PrivateData::Contact(Box::new(contact));
    let decided = submit(worker, &call.caller, checkout, Some(private_data)).await?;
    match accepted_seq(&decided) {
        Ok(_) => see_other(&path_of(&order)),
        Err(problem) => {
            let notice = refusal_text(&problem).ok_or(problem)?;
            order_page(worker, &find_order(worker, &call)?, StatusCode::CONFLICT, Some(&notice))
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SandboxAction {
    Pay,
    Fail,
    PayTwice,
    PayLate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SandboxForm {
    what: SandboxAction,
    /// The order's last event when the page was rendered: two clicks on one page are one payment.
    seen: u64,
}

/// `POST /pay/{order_id}/sandbox`: makes the events of a provider, signed and verified like any provider's.
pub(super) async fn sandbox(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    if payment_option(worker) != PaymentOption::Sandbox {
        return Err(Problem::NotFound);
    }
    let SandboxForm { what, seen } = read_form(&call.parts.headers, call.body.take(), worker.body_bounds()).await?;
    let order = find_order(worker, &call)?;
    // A late payment is possible for an expired order only.
    if what == SandboxAction::PayLate && order.state != OrderState::Expired {
        return see_other(&path_of(&order));
    }
    let (kind, times) = match what {
        SandboxAction::Pay | SandboxAction::PayLate => ("payment.succeeded", 1),
        SandboxAction::PayTwice => ("payment.succeeded", 2),
        SandboxAction::Fail => ("payment.failed", 1),
    };
    for time in 0..times {
        let reference = format!("play-{}-{seen}-{time}", order.seq);
        let event = json!({
            "type": kind,
            "timestamp": rfc3339(wall_clock()),
            "data": {
                "order_id": order.id().to_string(),
                "reference": reference,
                "amount": order.amount().get(),
                "currency": order.currency.as_str(),
            },
        });
        provider_events::receive_sandbox_event(
            worker,
            &call.caller,
            &format!("{reference}-{kind}").replace('.', "-"),
            &event,
        )
        .await?;
    }
    see_other(&path_of(&order))
}

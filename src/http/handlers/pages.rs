//! Pages for browsers: the page of an order, where it is paid, and what their forms send.

use hyper::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION, REFERRER_POLICY,
    REFRESH, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::orders::{find_order, order_etag};
use super::page_problems::{keep_form, read_page_form};
use super::page_words::refusal_of;
use super::{RouteEntry, accepted_seq, fault, identities, provider_events, submit};
use crate::api::Problem;
use crate::api::history::{is_by_operator, money_of};
use crate::api::json::parse_checkout;
use crate::engine::{Command, OrderCommand};
use crate::http::allowed_responses::{BODY, ID, WRITER};
use crate::http::body::{Body, full};
use crate::http::request::Call;
use crate::http::route::ResponseBody::Inline;
use crate::http::route::{Presence, Route};
use crate::http::worker::Worker;
use crate::payments::accepted_amounts;
use crate::payments::sessions::NoSession;
use crate::read::history::{HistoryRow, last_events};
use crate::read::{OrderRow, sessions};
use crate::store::PrivateData;
use crate::types::order_id::code_of;
use crate::types::text::rfc3339;
use crate::types::{Contact, Currency, OrderState, Provider};
use crate::web;
use crate::web::order::{OrderPage, PaymentOption};
use crate::web::timeline::{OrderStep, StepKind};
use crate::web::words::Language;
use crate::web::{PageFrame, policy};
use crate::writer::Decided;
use crate::writer::clock::wall_clock;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::public(Method::GET, "/pay/{order_id}", "OrderPage", "Show the page of an order, where it is paid")
        .shows_pages()
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
            ("Vary", Presence::Sometimes),
            ("X-Content-Type-Options", Presence::Always),
        ])
        .now(|worker, call| order(worker, call)),
    Route::public(Method::GET, "/orders/{order_id}", "ShopOrder", "The page of an order in the storefront")
        .page()
        .ignores_query()
        .responds(&[200, 404], &[])
        .now(|worker, call| order(worker, call)),
    Route::public(Method::POST, "/pay/{order_id}/checkout", "PageCheckout", "Check out on the page of an order")
        .page()
        .ignores_query()
        .responds(&[303, 409], &[])
        .problems(&[BODY, ID, WRITER])
        .later(|worker, call| Box::pin(check_out(worker, call))),
    Route::public(Method::POST, "/pay/{order_id}/cancel", "PageCancel", "Cancel on the page of an order")
        .page()
        .ignores_query()
        .responds(&[303, 409], &[])
        .problems(&[ID, WRITER])
        .later(|worker, call| Box::pin(cancel(worker, call))),
    Route::public(Method::POST, "/pay/{order_id}/sandbox", "DemoSandbox", "Pay with play money")
        .page()
        .ignores_query()
        .responds(&[303], &[])
        .problems(&[BODY, ID, WRITER])
        .later(|worker, call| Box::pin(sandbox(worker, call))),
];

/// The most events of an order that its page looks at: the last ones.
const STEPS_MAX: usize = 100;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Returns the language of a request's page.
pub(super) fn language_of(parts: &Parts) -> Language {
    let accepted = parts.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or("");
    Language::of(parts.uri.query().unwrap_or(""), accepted)
}

/// Returns what surrounds every page of this server, for this request.
pub(super) fn frame<'w>(worker: &'w Worker, call: &Call, path: &'w str) -> PageFrame<'w> {
    frame_in(worker, language_of(&call.parts), path)
}

/// Returns what surrounds every page of this server, in a language.
pub(super) fn frame_in<'w>(worker: &'w Worker, language: Language, path: &'w str) -> PageFrame<'w> {
    let config = &worker.server.config;
    let name = &config.storefront.name;
    PageFrame {
        language,
        path,
        shop_name: if name.is_empty() { language.text("shop.name") } else { name },
        has_shop: config.storefront.enabled,
        is_demo: config.payments.sandbox,
        needs_token: worker.server.admission.buyers.is_some(),
        login_url: &config.storefront.login_url,
        now: worker.writer.clock.now(),
    }
}

/// Returns a page that shows pictures of these addresses.
pub(super) fn html<'u>(
    worker: &Worker,
    status: StatusCode,
    page: String,
    pictures: impl IntoIterator<Item = &'u str>,
) -> Response<Body> {
    let mut response = Response::new(full(page));
    *response.status_mut() = status;
    with_picture_headers(worker, response, pictures)
}

/// Adds the headers of a page that shows pictures of these addresses.
pub(super) fn with_picture_headers<'u>(
    worker: &Worker,
    response: Response<Body>,
    pictures: impl IntoIterator<Item = &'u str>,
) -> Response<Body> {
    with_page_headers(response, page_policy(worker, pictures))
}

/// Returns the policy of a page that shows pictures of these addresses.
pub(super) fn page_policy<'u>(worker: &Worker, pictures: impl IntoIterator<Item = &'u str>) -> Option<HeaderValue> {
    let ancestors = worker.server.config.storefront.frame_ancestors.iter().map(String::as_str);
    let policy = policy::scripted(pictures.into_iter().filter_map(policy::origin_of), ancestors);
    HeaderValue::from_maybe_shared(hyper::body::Bytes::from(policy)).ok()
}

/// Adds the headers of a page, which has this policy.
pub(super) fn with_page_headers(mut response: Response<Body>, policy: Option<HeaderValue>) -> Response<Body> {
    response.headers_mut().insert(CONTENT_TYPE, HTML);
    if let Some(policy) = policy {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response.headers_mut().insert(VARY, HeaderValue::from_name(ACCEPT_LANGUAGE));
    with_privacy_headers(response)
}

/// Adds the headers that protect the page's address, which is the key to an order: no caching, no referrer.
fn with_privacy_headers(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Redirects to another address, by GET.
pub(super) fn see_other(address: &str) -> Result<Response<Body>, Problem> {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::SEE_OTHER;
    let address = HeaderValue::from_str(address).map_err(|_| Problem::Internal)?;
    let headers = response.headers_mut();
    headers.insert(LOCATION, address);
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    Ok(with_privacy_headers(response))
}

/// Returns the path of an order's payment page, in the language that the reader chose.
fn path_of(worker: &Worker, call: &Call, order: &OrderRow) -> String {
    frame(worker, call, "").language.path(&format!("/pay/{}", order.id()))
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

/// `GET /pay/{order_id}` and `GET /orders/{order_id}`. The first forwards to the provider's page.
pub(super) fn order(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let is_pay_page = call.parts.uri.path().starts_with("/pay/");
    let is_there = is_pay_page || worker.server.config.storefront.enabled;
    let order = match if is_there { find_order(worker, call) } else { Err(Problem::NotFound) } {
        Err(Problem::NotFound) => {
            let page = web::not_found(&frame(worker, call, call.parts.uri.path()));
            return Ok(html(worker, StatusCode::NOT_FOUND, page, []));
        }
        other => other?,
    };
    if order.state.is_live() && is_pay_page {
        let session = worker.reader.read(|connection| sessions::url_of(connection, order.seq));
        // Money at a provider whose webhooks are not taken would stay unknown.
        let is_heard = |provider| worker.server.verifiers.is_configured(provider);
        if let Some((_, url)) = session.map_err(|error| fault(&error))?.filter(|(provider, _)| is_heard(*provider)) {
            return see_other(&url);
        }
    }
    order_page(worker, call, &order, StatusCode::OK, None)
}

fn order_page(
    worker: &Worker,
    call: &Call,
    order: &OrderRow,
    status: StatusCode,
    problem: Option<&Problem>,
) -> Result<Response<Body>, Problem> {
    let read = worker.reader.read(|connection| {
        let name = sessions::name_of_drop(connection, order.drop_id)?;
        Ok((name, last_events(connection, (order.seq, order.last_seq), STEPS_MAX)?))
    });
    let (name, events) = read.map_err(|error| fault(&error))?;
    let name = name.ok_or(Problem::Internal)?;
    let steps: Vec<_> = events.iter().filter_map(|event| step_of(event, order.currency)).collect();
    let code = code_of(order.drop_id.shard(), order.seq);
    let is_pay_page = call.parts.uri.path().starts_with("/pay/");
    let id = order.id().to_string();
    let path = format!("/{}/{id}", if is_pay_page { "pay" } else { "orders" });
    let frame = frame(worker, call, &path);
    let refusal = problem.map(|problem| refusal_of(&frame, problem).0);
    let page = OrderPage {
        frame,
        id: &id,
        is_pay_page,
        code: &code,
        drop_name: &name,
        quantity: order.quantity,
        amount: order.amount(),
        refunded: order.refunded,
        refund_due: order.refund_due,
        currency: order.currency,
        state: order.state,
        cancelled_by_operator: order.cancelled_by_operator,
        reserved_at: order.reserved_at,
        expires_at: order.expires_at,
        steps: &steps,
        last_seq: order.last_seq,
        etag: &order_etag(worker, order),
        payment_option: payment_option_of(worker, order),
        refusal: refusal.as_ref(),
    };
    let mut response = html(worker, status, page.render(), []);
    if let Some(seconds) = page.refresh_seconds() {
        response.headers_mut().insert(REFRESH, HeaderValue::from(seconds));
    }
    Ok(response)
}

/// Returns an event as the order's page tells it.
fn step_of(event: &HistoryRow, currency: Currency) -> Option<OrderStep> {
    let kind = StepKind::of(&event.kind, is_by_operator(event, currency))?;
    Some(OrderStep { at: event.at, kind, money: money_of(event, currency) })
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

/// Returns the contact of a form's fields, if one of them is filled.
pub(super) fn contact_of(fields: &[(&str, String)]) -> Result<Option<Contact>, Problem> {
    let mut contact = Map::new();
    for (field, value) in fields {
        // A browser sends CR LF for a line break, and sends empty fields.
        let value = value.replace("\r\n", "\n");
        if !value.trim().is_empty() {
            contact.insert((*field).into(), value.into());
        }
    }
    if contact.is_empty() {
        return Ok(None);
    }
    parse_checkout(json!({ "contact": Value::Object(contact) }).to_string().as_bytes()).map(Some)
}

/// `POST /pay/{order_id}/checkout`.
pub(super) async fn check_out(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let form: CheckoutForm = read_page_form(worker, &mut call).await?;
    let order = find_order(worker, &call)?;
    worker.note_checkout(&call, &order);
    let CheckoutForm { name, email, phone, address } = form;
    let contact = contact_of(&[("name", name), ("email", email), ("phone", phone), ("address", address)])?;
    let contact = contact.ok_or_else(|| Problem::invalid("/contact", "must have at least one member"))?;
    identities::check_contact(worker, &order, &contact)?;
    let checkout = Command::Order(OrderCommand::Checkout { order: order.seq });
    let private_data = PrivateData::Contact(Box::new(contact));
    let decided = submit(worker, &call.caller, checkout, Some(private_data)).await?;
    after_form(worker, &call, &order, &decided)
}

/// `POST /pay/{order_id}/cancel`. The address is the key to the order, so that no token is asked for.
pub(super) async fn cancel(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    call.discard_body(worker.body_bounds()).await;
    keep_form(worker, Vec::new());
    let order = find_order(worker, &call)?;
    let command = Command::Order(OrderCommand::Cancel { order: order.seq });
    let decided = submit(worker, &call.caller, command, None).await?;
    after_form(worker, &call, &order, &decided)
}

/// Returns to the order's page, or shows it with the reason of the refusal.
fn after_form(worker: &Worker, call: &Call, order: &OrderRow, decided: &Decided) -> Result<Response<Body>, Problem> {
    match accepted_seq(decided) {
        Ok(_) => see_other(&path_of(worker, call, order)),
        Err(problem) => {
            let Problem::Refused { .. } = problem else { return Err(problem) };
            order_page(worker, call, &find_order(worker, call)?, StatusCode::CONFLICT, Some(&problem))
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
    let SandboxForm { what, seen } = read_page_form(worker, &mut call).await?;
    let order = find_order(worker, &call)?;
    // A late payment is possible for an expired order only.
    if what == SandboxAction::PayLate && order.state != OrderState::Expired {
        return see_other(&path_of(worker, &call, &order));
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
    see_other(&path_of(worker, &call, &order))
}

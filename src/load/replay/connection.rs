//! One lane of a script over one connection, one request after another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::script::{ReplayRequest, ReplayStep};
use crate::capture::replay::Pace;
use crate::client::target::ServerAddress;
use crate::load::client::{ExchangeError, LoadConnection, ResponseHead};
use crate::load::outcome::RequestOutcome;
use crate::load::response::{LoadResponse, OrderView, decode_order, decode_ticket};
use crate::types::{DropId, IdentityDigests, IdentityKind, OrderId, OrderState, Seq, hex};

/// Attempts of a request that was rejected, or whose outcome is unknown.
const TRIES_MAX: u32 = 5;
/// The pause between two attempts, where the server names none.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Attempts of an order that the capture has as made, and that must wait for its buyer's admission here.
const ADMISSION_TRIES_MAX: u32 = 30;

/// The parameters that all lanes share.
pub(super) struct ReplayContext {
    pub(super) public: ServerAddress,
    /// The new drops, by the recorded ones.
    pub(super) drops: BTreeMap<DropId, u32>,
    pub(super) pace: Pace,
    pub(super) start: Instant,
}

/// The counts of one lane, or of all.
pub(super) struct ReplayCounts {
    pub(super) outcomes: BTreeMap<RequestOutcome, u64>,
    /// Requests on orders that were not made here.
    pub(super) without_order: u64,
    /// Microseconds from a request to its answer.
    pub(super) latency: Histogram<u64>,
    /// Units that were reserved, less those that were returned, by the recorded drop.
    pub(super) units: BTreeMap<DropId, i64>,
    pub(super) ids: Vec<OrderId>,
}

struct PlacedOrder {
    id: OrderId,
    drop_id: DropId,
    units: i64,
    /// The contact of the checkout, which must have the order's identities.
    contact: String,
}

/// Sends the requests of a lane.
pub(super) async fn send_all(
    context: Arc<ReplayContext>,
    steps: Vec<ReplayStep>,
    latency: Histogram<u64>,
) -> ReplayCounts {
    let mut counts =
        ReplayCounts { outcomes: BTreeMap::new(), without_order: 0, latency, units: BTreeMap::new(), ids: Vec::new() };
    let mut held: BTreeMap<Seq, PlacedOrder> = BTreeMap::new();
    let (mut connection, mut request) = (None, Vec::new());
    for step in steps {
        if let Pace::Times(times) = context.pace {
            sleep_until(context.start + step.after / times.max(1)).await;
        }
        if !write(&context, &step.ask, &held, &mut request) {
            counts.without_order += 1;
            continue;
        }
        let decode = match &step.ask {
            ReplayRequest::Ticket { .. } => decode_ticket,
            ReplayRequest::Order { .. } | ReplayRequest::CheckOut(_) | ReplayRequest::Cancel(_) => decode_order,
        };
        let (mut answer, mut outcome) = ask(&context, &mut connection, &request, decode, &mut counts.latency).await;
        let mut tries = 1;
        while outcome == RequestOutcome::NotAdmitted && step.ask.was_made() && tries < ADMISSION_TRIES_MAX {
            sleep(TRY_AGAIN_AFTER).await;
            (answer, outcome) = ask(&context, &mut connection, &request, decode, &mut counts.latency).await;
            tries += 1;
        }
        *counts.outcomes.entry(outcome).or_default() += 1;
        if let LoadResponse::Order(view) = answer {
            learn(&mut counts, &mut held, &step.ask, outcome, &view);
        }
    }
    counts
}

fn learn(
    counts: &mut ReplayCounts,
    held: &mut BTreeMap<Seq, PlacedOrder>,
    ask: &ReplayRequest,
    outcome: RequestOutcome,
    view: &OrderView,
) {
    match ask {
        ReplayRequest::Order { drop_id, quantity, identities, recorded, .. } if outcome == RequestOutcome::Reserved => {
            let units = i64::from(quantity.get());
            *counts.units.entry(*drop_id).or_default() += units;
            counts.ids.push(view.id);
            if let Some(recorded) = recorded {
                held.insert(
                    *recorded,
                    PlacedOrder { id: view.id, drop_id: *drop_id, units, contact: contact_of(identities) },
                );
            }
        }
        ReplayRequest::Cancel(order) if view.state == OrderState::Cancelled => {
            if let Some(order) = held.get_mut(order) {
                // Returned once, however often the cancellation is sent.
                *counts.units.entry(order.drop_id).or_default() -= std::mem::take(&mut order.units);
            }
        }
        ReplayRequest::Order { .. }
        | ReplayRequest::Ticket { .. }
        | ReplayRequest::CheckOut(_)
        | ReplayRequest::Cancel(_) => {}
    }
}

/// Writes the request; false if it names an order or drop that this replay does not have.
fn write(
    context: &ReplayContext,
    ask: &ReplayRequest,
    held: &BTreeMap<Seq, PlacedOrder>,
    request: &mut Vec<u8>,
) -> bool {
    request.clear();
    let host = &context.public.authority;
    let on_order = |order: &Seq, action: &str, body: fn(&PlacedOrder) -> String| {
        let placed = held.get(order)?;
        let (id, body) = (placed.id, body(placed));
        Some(format!(
            "POST /v1/orders/{id}/{action} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let text = match ask {
        ReplayRequest::Order { drop_id, buyer, key, quantity, contact, identities, .. } => {
            context.drops.get(drop_id).map(|id| {
                let payment =
                    identities.payment.map(|digest| format!(",\"payment_fingerprint\":\"{}\"", hex::encode(&digest.0)));
                let contact = contact.then(|| format!(",\"contact\":{}", contact_of(identities)));
                let (buyer, quantity) = (hex::encode(&buyer.0), quantity.get());
                let more = format!("{}{}", contact.unwrap_or_default(), payment.unwrap_or_default());
                let body = format!("{{\"buyer\":\"{buyer}\",\"quantity\":{quantity}{more}}}");
                format!(
                    "POST /v1/drops/{id}/orders HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
                 Idempotency-Key: {}\r\nContent-Length: {}\r\n\r\n{body}",
                    hex::encode(&key.0),
                    body.len()
                )
            })
        }
        ReplayRequest::Ticket { drop_id, buyer } => context.drops.get(drop_id).map(|id| {
            let body = format!("{{\"buyer\":\"{}\"}}", hex::encode(&buyer.0));
            format!(
                "POST /v1/drops/{id}/tickets HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
        }),
        ReplayRequest::CheckOut(order) => {
            on_order(order, "checkout", |placed| format!("{{\"contact\":{}}}", placed.contact))
        }
        ReplayRequest::Cancel(order) => on_order(order, "cancel", |_| String::new()),
    };
    request.extend_from_slice(text.as_deref().unwrap_or("").as_bytes());
    !request.is_empty()
}

/// The contact of an order, as JSON: a capture has digests of identities alone, so texts made of them stand in. The same identity
/// has the same text, and two that differ have two.
fn contact_of(identities: &IdentityDigests) -> String {
    let mut contact = json!({ "email": "replay@example.com" });
    for (kind, digest) in identities.iter() {
        let digits = hex::encode(&digest.0);
        match kind {
            IdentityKind::Email => contact["email"] = format!("{digits}@example.com").into(),
            // Letters are not told apart in a phone number: three decimal digits for each byte.
            IdentityKind::Phone => {
                contact["phone"] = digest.0.iter().map(|byte| format!("{byte:03}")).collect::<String>().into();
            }
            IdentityKind::Address => contact["address"] = digits.into(),
            IdentityKind::Payment => {}
        }
    }
    contact.to_string()
}

/// Reads the answer to a request.
type Decode = fn(&ResponseHead, &[u8]) -> (LoadResponse, RequestOutcome);

/// Sends a request until there is a definite answer, with at most [`TRIES_MAX`] attempts.
async fn ask(
    context: &ReplayContext,
    connection: &mut Option<LoadConnection>,
    request: &[u8],
    decode: Decode,
    latency: &mut Histogram<u64>,
) -> (LoadResponse, RequestOutcome) {
    let mut last = (LoadResponse::NotSent, RequestOutcome::NotConnected);
    for _ in 0..TRIES_MAX {
        if connection.as_ref().is_none_or(|open| !open.is_reusable() || !open.is_quiet()) {
            *connection = LoadConnection::open(context.public.address).await.ok();
        }
        let sent = Instant::now();
        last = match connection.as_mut() {
            None => (LoadResponse::NotSent, RequestOutcome::NotConnected),
            Some(open) => match open.exchange(request).await {
                Ok(reply) => decode(&reply.head, reply.body),
                Err(ExchangeError::NotConnected(_)) => (LoadResponse::NotSent, RequestOutcome::NotConnected),
                Err(ExchangeError::Lost) => (LoadResponse::Unsure, RequestOutcome::ConnectionLost),
                Err(ExchangeError::TimedOut) => (LoadResponse::Unsure, RequestOutcome::TimedOut),
                Err(ExchangeError::Invalid(_)) => (LoadResponse::Unsure, RequestOutcome::Invalid),
            },
        };
        if last.1.is_timed() {
            latency.saturating_record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        let wait = match &last.0 {
            LoadResponse::Rejected { retry_after } => *retry_after,
            LoadResponse::Unsure | LoadResponse::NotSent => TRY_AGAIN_AFTER,
            // The replay sends what the capture has: a buyer who asked again then does so now.
            LoadResponse::Recorded { .. }
            | LoadResponse::Order(_)
            | LoadResponse::Drop(_)
            | LoadResponse::Ticket
            | LoadResponse::No(_)
            | LoadResponse::Invalid => break,
        };
        sleep(wait).await;
    }
    last
}

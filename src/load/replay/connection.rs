//! One lane of a script over one connection, one request after another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::{Instant, sleep, sleep_until};

use super::script::{ReplayRequest, ReplayStep};
use crate::capture::replay::Pace;
use crate::client::target::ServerAddress;
use crate::load::client::{ExchangeError, LoadConnection};
use crate::load::outcome::RequestOutcome;
use crate::load::response::{LoadResponse, OrderView, decode_order};
use crate::types::{DropId, OrderId, OrderState, Seq, hex};

/// Attempts of a request that was rejected, or whose outcome is unknown.
const TRIES_MAX: u32 = 5;
/// The pause between two attempts, where the server names none.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);

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
        let (answer, outcome) = ask(&context, &mut connection, &request, &mut counts.latency).await;
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
        ReplayRequest::Order { drop_id, quantity, recorded, .. } if outcome == RequestOutcome::Reserved => {
            let units = i64::from(quantity.get());
            *counts.units.entry(*drop_id).or_default() += units;
            counts.ids.push(view.id);
            if let Some(recorded) = recorded {
                held.insert(*recorded, PlacedOrder { id: view.id, drop_id: *drop_id, units });
            }
        }
        ReplayRequest::Cancel(order) if view.state == OrderState::Cancelled => {
            if let Some(order) = held.get_mut(order) {
                // Returned once, however often the cancellation is sent.
                *counts.units.entry(order.drop_id).or_default() -= std::mem::take(&mut order.units);
            }
        }
        ReplayRequest::Order { .. } | ReplayRequest::CheckOut(_) | ReplayRequest::Cancel(_) => {}
    }
}

/// Writes the request; false if it names an order or drop that this replay does not have.
fn write(
    context: &ReplayContext,
    ask: &ReplayRequest,
    held: &BTreeMap<Seq, PlacedOrder>,
    request: &mut Vec<u8>,
) -> bool {
    const CONTACT: &str = "{\"email\":\"replay@example.com\"}";
    request.clear();
    let host = &context.public.authority;
    let on_order = |order: &Seq, action: &str, body: &str| {
        let id = held.get(order)?.id;
        Some(format!(
            "POST /v1/orders/{id}/{action} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let text = match ask {
        ReplayRequest::Order { drop_id, buyer, key, quantity, contact, .. } => context.drops.get(drop_id).map(|id| {
            let contact = if *contact { format!(",\"contact\":{CONTACT}") } else { String::new() };
            let (buyer, quantity) = (hex::encode(&buyer.0), quantity.get());
            let body = format!("{{\"buyer\":\"{buyer}\",\"quantity\":{quantity}{contact}}}");
            format!(
                "POST /v1/drops/{id}/orders HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
                 Idempotency-Key: {}\r\nContent-Length: {}\r\n\r\n{body}",
                hex::encode(&key.0),
                body.len()
            )
        }),
        ReplayRequest::CheckOut(order) => on_order(order, "checkout", &format!("{{\"contact\":{CONTACT}}}")),
        ReplayRequest::Cancel(order) => on_order(order, "cancel", ""),
    };
    request.extend_from_slice(text.as_deref().unwrap_or("").as_bytes());
    !request.is_empty()
}

/// Sends a request until there is a definite answer, with at most [`TRIES_MAX`] attempts.
async fn ask(
    context: &ReplayContext,
    connection: &mut Option<LoadConnection>,
    request: &[u8],
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
                Ok(reply) => decode_order(&reply.head, reply.body),
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
            LoadResponse::Order(_) | LoadResponse::Drop(_) | LoadResponse::No(_) | LoadResponse::Invalid => break,
        };
        sleep(wait).await;
    }
    last
}

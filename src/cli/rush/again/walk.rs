//! One lane of a script over one connection: one request after another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::answer::{Answer, OrderView, decode_order};
use super::super::client::{Connection, Fault};
use super::super::outcome::Outcome;
use super::super::target::Target;
use super::script::{Ask, Step};
use crate::capture::replay::Pace;
use crate::types::{DropId, OrderId, OrderState, Seq, hex};

/// How often a request that was turned away, or whose answer is unknown, is sent again.
const TRIES_MAX: u32 = 5;
/// How long before it is, where the server names no time.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What all lanes know.
pub(super) struct Site {
    pub(super) public: Target,
    /// The new drops, by the recorded ones.
    pub(super) drops: BTreeMap<DropId, u32>,
    pub(super) pace: Pace,
    pub(super) start: Instant,
}

/// What a lane brings back.
pub(super) struct Books {
    pub(super) outcomes: BTreeMap<Outcome, u64>,
    /// Requests on orders that were not made here.
    pub(super) without_order: u64,
    /// Microseconds from a request to its answer.
    pub(super) latency: Histogram<u64>,
    /// Units that were reserved, less those that were given back, by the recorded drop.
    pub(super) units: BTreeMap<DropId, i64>,
    pub(super) ids: Vec<OrderId>,
}

struct Held {
    id: OrderId,
    drop_id: DropId,
    units: i64,
}

/// Walks a lane to its end.
pub(super) async fn walk(site: Arc<Site>, steps: Vec<Step>, latency: Histogram<u64>) -> Books {
    let mut books =
        Books { outcomes: BTreeMap::new(), without_order: 0, latency, units: BTreeMap::new(), ids: Vec::new() };
    let mut held: BTreeMap<Seq, Held> = BTreeMap::new();
    let (mut connection, mut request) = (None, Vec::new());
    for step in steps {
        if let Pace::Times(times) = site.pace {
            sleep_until(site.start + step.after / times.max(1)).await;
        }
        if !write(&site, &step.ask, &held, &mut request) {
            books.without_order += 1;
            continue;
        }
        let (answer, outcome) = ask(&site, &mut connection, &request, &mut books.latency).await;
        *books.outcomes.entry(outcome).or_default() += 1;
        if let Answer::Order(view) = answer {
            learn(&mut books, &mut held, &step.ask, outcome, &view);
        }
    }
    books
}

fn learn(books: &mut Books, held: &mut BTreeMap<Seq, Held>, ask: &Ask, outcome: Outcome, view: &OrderView) {
    match ask {
        Ask::Order { drop_id, quantity, recorded, .. } if outcome == Outcome::Reserved => {
            let units = i64::from(quantity.get());
            *books.units.entry(*drop_id).or_default() += units;
            books.ids.push(view.id);
            if let Some(recorded) = recorded {
                held.insert(*recorded, Held { id: view.id, drop_id: *drop_id, units });
            }
        }
        Ask::Cancel(order) if view.state == OrderState::Cancelled => {
            if let Some(order) = held.get_mut(order) {
                // Given back once, however often it is asked for.
                *books.units.entry(order.drop_id).or_default() -= std::mem::take(&mut order.units);
            }
        }
        Ask::Order { .. } | Ask::CheckOut(_) | Ask::Cancel(_) => {}
    }
}

/// Writes the request; whether there is one to send.
fn write(site: &Site, ask: &Ask, held: &BTreeMap<Seq, Held>, request: &mut Vec<u8>) -> bool {
    const CONTACT: &str = "{\"email\":\"replay@example.com\"}";
    request.clear();
    let host = &site.public.authority;
    let on_order = |order: &Seq, action: &str, body: &str| {
        let id = held.get(order)?.id;
        Some(format!(
            "POST /v1/orders/{id}/{action} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let text = match ask {
        Ask::Order { drop_id, buyer, key, quantity, contact, .. } => site.drops.get(drop_id).map(|id| {
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
        Ask::CheckOut(order) => on_order(order, "checkout", &format!("{{\"contact\":{CONTACT}}}")),
        Ask::Cancel(order) => on_order(order, "cancel", ""),
    };
    request.extend_from_slice(text.as_deref().unwrap_or("").as_bytes());
    !request.is_empty()
}

/// Sends a request until there is a definite answer, a few times.
async fn ask(
    site: &Site,
    connection: &mut Option<Connection>,
    request: &[u8],
    latency: &mut Histogram<u64>,
) -> (Answer, Outcome) {
    let mut last = (Answer::NotSent, Outcome::NotConnected);
    for _ in 0..TRIES_MAX {
        if connection.as_ref().is_none_or(|open| !open.is_reusable() || !open.is_quiet()) {
            *connection = Connection::open(site.public.address).await.ok();
        }
        let sent = Instant::now();
        last = match connection.as_mut() {
            None => (Answer::NotSent, Outcome::NotConnected),
            Some(open) => match open.exchange(request).await {
                Ok(reply) => decode_order(&reply.head, reply.body),
                Err(Fault::NotConnected(_)) => (Answer::NotSent, Outcome::NotConnected),
                Err(Fault::Lost) => (Answer::Unsure, Outcome::ConnectionLost),
                Err(Fault::TimedOut) => (Answer::Unsure, Outcome::TimedOut),
                Err(Fault::Strange(_)) => (Answer::Unsure, Outcome::Strange),
            },
        };
        if last.1.is_timed() {
            latency.saturating_record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        let wait = match &last.0 {
            Answer::TurnedAway { retry_after } => *retry_after,
            Answer::Unsure | Answer::NotSent => TRY_AGAIN_AFTER,
            Answer::Order(_) | Answer::Drop(_) | Answer::No(_) | Answer::Strange => break,
        };
        sleep(wait).await;
    }
    last
}

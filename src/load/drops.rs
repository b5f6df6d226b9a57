//! The drop under load: made through the admin listener, read through the public one.

use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::client::ExchangeError;
use super::response::DropView;
use crate::client::http::HttpClient;
use crate::client::target::ServerAddress;
use crate::exit::Exit;

/// The price of a unit, in cents: the load pays nothing.
const UNIT_PRICE: u64 = 1_999;

/// A server that is down at the end of a run may be starting again: so often it is asked, this far apart.
const LOOKS_MAX: u32 = 50;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The parameters of a drop for a run.
pub(super) struct NewDrop {
    pub(super) seed: u64,
    pub(super) units: u32,
    pub(super) reservation_seconds: u64,
    pub(super) payment_seconds: u64,
    /// The length of the blind window, in milliseconds; 0 without one.
    pub(super) blind_ms: u16,
}

/// Makes a drop for a run.
///
/// # Errors
/// As [`create_from`].
pub(super) async fn create(admin: &HttpClient, wanted: &NewDrop) -> Result<DropView, Exit> {
    let mut body = json!({
        "sku": format!("RUSH-{}", wanted.seed),
        "name": format!("Rush {}", wanted.seed),
        "currency": "EUR",
        "unit_price": UNIT_PRICE,
        "total": wanted.units,
        "per_buyer_limit": 1,
        "reservation_seconds": wanted.reservation_seconds,
        "payment_seconds": wanted.payment_seconds,
    });
    if wanted.blind_ms == 0 {
        return create_from(admin, body).await;
    }
    // A blind window begins with the first buyers.
    body["blind_ms"] = wanted.blind_ms.into();
    create_starting(admin, body, 0).await
}

/// Makes a drop that started a second ago by the server's clock; `body` has all members but the start.
///
/// # Errors
/// 69: the admin listener is unreachable or refuses.
pub(super) async fn create_from(admin: &HttpClient, body: Value) -> Result<DropView, Exit> {
    create_starting(admin, body, -1_000).await
}

/// Makes a drop that starts so many milliseconds from now by the server's clock. A waiting room without an opening is open
/// from a second before now and before the start on.
///
/// # Errors
/// As [`create_from`].
pub(super) async fn create_starting(admin: &HttpClient, mut body: Value, milliseconds: i64) -> Result<DropView, Exit> {
    body["starts_at"] = from_now(admin, milliseconds).await?.into();
    if body.get("room").is_some_and(|room| room.get("opens_at").is_none()) {
        body["room"]["opens_at"] = from_now(admin, milliseconds.min(0).saturating_sub(1_000)).await?.into();
    }
    view(create_at(admin, "/v1/drops", &body).await?)
}

/// Makes an object with an idempotency key of its own; returns the response.
///
/// # Errors
/// As [`create_from`].
pub(super) async fn create_at(admin: &HttpClient, path: &str, body: &Value) -> Result<Value, Exit> {
    let made = admin.post_json(path, body, Some(&fresh_key()?)).await;
    made.map_err(|error| admin.exit(&format!("POST {path}"), &error))
}

/// Reads a drop at a server that is not behind: a single machine, or the node that leads. Without a response, again for
/// some seconds.
///
/// # Errors
/// 69: no public listener is reachable, or none has such a drop.
pub(super) async fn read_patiently(servers: impl Iterator<Item = &ServerAddress>, id: u32) -> Result<DropView, Exit> {
    let servers = servers.map(reader).collect::<Result<Vec<_>, Exit>>()?;
    for _ in 1..LOOKS_MAX {
        for server in &servers {
            if let Some(drop) = read_current(server, id).await {
                return view(drop);
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let first = servers.first().ok_or_else(|| Exit::bug("no server to ask"))?;
    view(read(first, id).await?)
}

/// Reads a drop, unless the server does not answer or follows another node.
async fn read_current(server: &HttpClient, id: u32) -> Option<Value> {
    let reply = server.request(Method::GET, &format!("/v1/drops/{id}"), None).await.ok()?.reply;
    // A single machine sends no such header.
    let is_current = reply.headers.get("firstcome-stale-ms").is_none_or(|age| age == "0");
    if reply.status != 200 || !is_current {
        return None;
    }
    serde_json::from_slice(&reply.body).ok()
}

/// Reads a drop that should be on sale.
///
/// # Errors
/// As [`read_patiently`], or 69: it is not on sale.
pub(super) async fn read_live(public: &ServerAddress, id: u32) -> Result<DropView, Exit> {
    let drop = read(&reader(public)?, id).await?;
    match drop["state"].as_str() {
        Some("live" | "sold_out") => view(drop),
        other => Err(Exit::unavailable(format!("drop {id} is {}: it is not on sale", other.unwrap_or("of no state")))),
    }
}

fn reader(public: &ServerAddress) -> Result<HttpClient, Exit> {
    HttpClient::new(&public.authority, "--public", None)
}

async fn read(public: &HttpClient, id: u32) -> Result<Value, Exit> {
    let path = format!("/v1/drops/{id}");
    public.get_json(&path).await.map_err(|error| public.exit(&format!("GET {path}"), &error))
}

fn view(drop: Value) -> Result<DropView, Exit> {
    serde_json::from_value(drop).map_err(|error| Exit::unavailable(format!("invalid response: a drop: {error}")))
}

/// Returns an instant by the server's clock, this far from now.
///
/// # Errors
/// 69: the admin listener is unreachable, or its clock is out of range.
pub(super) async fn from_now(admin: &HttpClient, milliseconds: i64) -> Result<String, Exit> {
    let response = admin.request(Method::GET, "/healthz", None).await;
    let response = response.map_err(|error| admin.exit("GET /healthz", &error))?;
    let header = response.reply.headers.get("firstcome-time-ms");
    let now_ms = header.and_then(|value| value.to_str().ok()?.parse::<i64>().ok());
    let now_ms = now_ms.unwrap_or_else(|| jiff::Timestamp::now().as_millisecond());
    let then = jiff::Timestamp::from_millisecond(now_ms.saturating_add(milliseconds))
        .map_err(|error| Exit::unavailable(format!("the server's clock: {error}")))?;
    Ok(format!("{then:.3}"))
}

/// A key of its own for each drop and auction: with the seed's, a second run would get the first one's drop again.
fn fresh_key() -> Result<String, Exit> {
    Ok(format!("rush-{:016x}", random()?))
}

/// A number from the operating system's generator.
///
/// # Errors
/// The operating system gives none (71).
pub(crate) fn random() -> Result<u64, Exit> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Exit::system("the operating system gives no random bytes"))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Makes the exit for load threads that cannot connect.
pub(super) fn unreachable_at(public: &ServerAddress, error: &ExchangeError) -> Exit {
    let hint = "is `firstcome serve` running? set its address with --public";
    Exit::unavailable(format!("{}: {error}; {hint}", public.authority))
}

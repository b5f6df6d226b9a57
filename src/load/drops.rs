//! The drop under load: made through the admin listener, read through the public one.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{ExchangeError, LoadConnection, ResponseHead};
use super::response::DropView;
use crate::client::target::Target;
use crate::exit::Exit;

/// The price of a unit, in cents: the load pays nothing.
const UNIT_PRICE: u64 = 1_999;

/// A server that is down at the end of a run may be starting again: so often it is asked, this far apart.
const LOOKS_MAX: u32 = 50;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a drop for a run needs.
pub(super) struct NewDrop {
    pub(super) seed: u64,
    pub(super) units: u32,
    pub(super) reservation_seconds: u64,
    pub(super) payment_seconds: u64,
}

/// Makes a drop for a run.
///
/// # Errors
/// As [`create_from`].
pub(super) async fn create(admin: &Target, wanted: &NewDrop) -> Result<DropView, Exit> {
    let body = json!({
        "sku": format!("RUSH-{}", wanted.seed),
        "name": format!("Rush {}", wanted.seed),
        "currency": "EUR",
        "unit_price": UNIT_PRICE,
        "total": wanted.units,
        "per_buyer_limit": 1,
        "reservation_seconds": wanted.reservation_seconds,
        "payment_seconds": wanted.payment_seconds,
    });
    create_from(admin, body).await
}

/// Makes a drop that started a second ago by the server's clock; `body` says all but the start.
///
/// # Errors
/// The admin listener cannot be reached (69) or refuses (69, with what it says).
pub(super) async fn create_from(admin: &Target, mut body: Value) -> Result<DropView, Exit> {
    let mut connection = open(admin, "admin").await?;
    body["starts_at"] = from_now(admin, &mut connection, -1_000).await?.into();
    view(&create_at(admin, &mut connection, "/v1/drops", &body).await?)
}

/// Makes something with a key of its own; gives the answer.
///
/// # Errors
/// As [`create_from`].
pub(super) async fn create_at(
    admin: &Target,
    connection: &mut LoadConnection,
    path: &str,
    body: &Value,
) -> Result<Vec<u8>, Exit> {
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nIdempotency-Key: {}\r\n\
         {}Content-Length: {}\r\n\r\n{body}",
        admin.authority,
        fresh_key()?,
        authorization(),
        body.len()
    );
    let (head, answer) = ask(admin, "admin", connection, &request).await?;
    if head.status != 201 {
        return Err(refused(&format!("POST {path}"), head.status, &answer));
    }
    Ok(answer)
}

/// The header with the operator's token, where one is set: a secret is no argument that others see in `ps`.
pub(super) fn authorization() -> String {
    match std::env::var("FIRSTCOME_TOKEN") {
        Ok(token) if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            format!("Authorization: Bearer {token}\r\n")
        }
        Ok(_) | Err(_) => String::new(),
    }
}

/// Reads a drop; if there is no answer, again for some seconds.
///
/// # Errors
/// The public listener cannot be reached (69) or has no such drop (69).
pub(super) async fn see_patiently(public: &Target, id: u32) -> Result<DropView, Exit> {
    for _ in 1..LOOKS_MAX {
        if let Ok(answer) = read(public, id).await {
            return view(&answer);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    view(&read(public, id).await?)
}

/// Reads a drop that should sell.
///
/// # Errors
/// As [`see_patiently`], and where it does not sell at present (69).
pub(super) async fn see_selling(public: &Target, id: u32) -> Result<DropView, Exit> {
    let answer = read(public, id).await?;
    let state: Value = serde_json::from_slice(&answer).unwrap_or_default();
    match state["state"].as_str() {
        Some("live" | "sold_out") => view(&answer),
        other => Err(Exit::unavailable(format!("drop {id} is {}: it sells nothing now", other.unwrap_or("strange")))),
    }
}

async fn read(public: &Target, id: u32) -> Result<Vec<u8>, Exit> {
    let mut connection = open(public, "public").await?;
    let request = format!("GET /v1/drops/{id} HTTP/1.1\r\nHost: {}\r\n\r\n", public.authority);
    let (head, answer) = ask(public, "public", &mut connection, &request).await?;
    if head.status != 200 {
        return Err(refused(&format!("drop {id} cannot be read"), head.status, &answer));
    }
    Ok(answer)
}

fn view(answer: &[u8]) -> Result<DropView, Exit> {
    serde_json::from_slice(answer)
        .map_err(|error| Exit::unavailable(format!("the server's drop makes no sense: {error}")))
}

/// An instant by the server's clock, so far from now.
///
/// # Errors
/// The admin listener cannot be reached, or its clock makes no sense (69).
pub(super) async fn from_now(
    admin: &Target,
    connection: &mut LoadConnection,
    milliseconds: i64,
) -> Result<String, Exit> {
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", admin.authority);
    let (head, _body) = ask(admin, "admin", connection, &request).await?;
    let now_ms = head.time_ms.unwrap_or_else(|| jiff::Timestamp::now().as_millisecond());
    let then = jiff::Timestamp::from_millisecond(now_ms.saturating_add(milliseconds))
        .map_err(|error| Exit::unavailable(format!("the server's clock makes no sense: {error}")))?;
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

/// Runs something on a runtime of its own.
///
/// # Errors
/// As the work, or no runtime (71).
pub(super) fn blocking<T>(work: impl Future<Output = Result<T, Exit>>) -> Result<T, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Exit::system(format!("no runtime: {error}")))?.block_on(work)
}

pub(super) async fn open(target: &Target, which: &str) -> Result<LoadConnection, Exit> {
    LoadConnection::open(target.address).await.map_err(|fault| unreachable_at(target, which, &fault))
}

pub(super) async fn ask(
    target: &Target,
    which: &str,
    connection: &mut LoadConnection,
    request: &str,
) -> Result<(ResponseHead, Vec<u8>), Exit> {
    if !connection.is_reusable() {
        *connection = open(target, which).await?;
    }
    match connection.exchange(request.as_bytes()).await {
        Ok(reply) => Ok((reply.head, reply.body.to_vec())),
        Err(fault) => Err(unreachable_at(target, which, &fault)),
    }
}

/// The one line for a listener that does not answer.
pub(super) fn unreachable_at(target: &Target, which: &str, fault: &ExchangeError) -> Exit {
    let text = format!("{}: {fault}. Is `firstcome serve` running? --{which} names its listener", target.authority);
    Exit::unavailable(text)
}

/// The one line for a problem (RFC 9457).
pub(super) fn refused(what: &str, status: u16, answer: &[u8]) -> Exit {
    let problem: Value = serde_json::from_slice(answer).unwrap_or_default();
    let code = problem["code"].as_str().unwrap_or("no problem body");
    let detail = problem["detail"].as_str().unwrap_or("");
    let errors = problem["errors"].as_array().map(|errors| format!(" {}", json!(errors))).unwrap_or_default();
    Exit::unavailable(format!("{what}: {status} {code} {detail}{errors}").trim_end().to_owned())
}

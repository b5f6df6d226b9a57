//! Operators' tokens: their list without secrets, and new and revoked ones. They lie in a file beside the database
//! (`admission::operators`), so that the log has what the audit has of other commands.

use hyper::header::HeaderValue;
use hyper::{Method, Response, StatusCode};

use super::RouteEntry;
use crate::admission::operators::grants::{GrantRefusal, MadeToken, WantedToken, grant, revoke};
use crate::admission::operators::{Role, Token, TokenStatus};
use crate::api::Problem;
use crate::api::code::Code;
use crate::api::json::page_body;
use crate::api::json::tokens::{NewToken, TokenJson, new_token_example, parse_new_token};
use crate::engine::Refusal;
use crate::http::allowed_responses::{BODY, ID, KEY};
use crate::http::body::Body;
use crate::http::request::{Call, IDEMPOTENT_REPLAYED, empty, json, json_at};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::types::digest_key::KeyScope;
use crate::types::text::rfc3339;
use crate::types::{Seq, UnixMillis};
use crate::writer::clock::wall_clock;

pub(in crate::http) const ROUTES: &[RouteEntry] = &[
    Route::admin(Role::Owner, Method::GET, "/v1/tokens", "ListTokens", "List operators' tokens without their secrets")
        .responds(&[200], &[Json("OperatorTokenPage")])
        .now(|worker, _| Ok(list(worker))),
    Route::admin(Role::Owner, Method::POST, "/v1/tokens", "CreateToken", "Make an operator's token")
        .body("NewOperatorToken", new_token_example)
        .responds(&[201], &[Json("OperatorToken")])
        .problems(&[BODY, KEY, &[Code::ReadOnly]])
        .links(&["RevokeToken"])
        .later(|worker, call| Box::pin(create(worker, call))),
    Route::admin(
        Role::Owner,
        Method::DELETE,
        "/v1/tokens/{token_id}",
        "RevokeToken",
        "Revoke an operator's token for good",
    )
    .responds(&[204], &[])
    .problems(&[ID, &[Code::ReadOnly]])
    .later(|worker, call| Box::pin(async move { remove(worker, &call).await })),
];

const NO_TOKENS: &str = "No operator has a token yet: make the first one on the server's machine, with `firstcome token create --role owner`.";
const LAST_OWNER: &str = "It is the last owner's token in force: make another one first. On the server's machine `firstcome token revoke` revokes any.";

const fn state_word(status: TokenStatus) -> &'static str {
    match status {
        TokenStatus::InForce => "in_force",
        TokenStatus::Expired => "expired",
        TokenStatus::Revoked => "revoked",
    }
}

fn body<'t>(token: &'t Token, text: Option<&'t str>, now: UnixMillis) -> TokenJson<'t> {
    TokenJson {
        id: &token.id,
        name: &token.name,
        role: token.role.as_str(),
        state: state_word(token.status(now)),
        created_at: token.created_at,
        expires_at: token.expires_at,
        revoked_at: token.revoked_at,
        token: text,
    }
}

/// `GET /v1/tokens`: those in force first, the newest before older ones.
fn list(worker: &Worker) -> Response<Body> {
    let now = wall_clock();
    let mut tokens = worker.server.admission.operators.all();
    tokens.sort_by_key(|token| (token.status(now) != TokenStatus::InForce, std::cmp::Reverse(token.created_at)));
    let bodies: Vec<_> = tokens.iter().map(|token| body(token, None, now).body()).collect();
    json(StatusCode::OK, page_body(&bodies, None))
}

/// `POST /v1/tokens`.
async fn create(worker: &Worker, mut call: Call) -> Result<Response<Body>, Problem> {
    let NewToken { name, role, expires_at } = parse_new_token(&call.json(worker.body_bounds()).await?)?;
    let key = call.idempotency_key()?;
    let now = wall_clock();
    if expires_at.is_some_and(|end| end <= now) {
        return Err(Problem::invalid("/expires_at", "must be in the future"));
    }
    let role = Role::ALL.into_iter().find(|known| known.as_str() == role).ok_or(Problem::Internal)?;
    let maker = call.caller.operator().and_then(|operator| operator.token_id());
    let maker = maker.ok_or(Problem::Forbidden(NO_TOKENS))?.to_owned();
    let key = worker.writer.digest_key.command_key(KeyScope::CreateToken, call.operator_name(), &key);
    let data = worker.server.config.data.clone();
    let made = on_disk(move || grant(&data, &maker, &WantedToken { name: &name, role, expires_at, key }, now)).await;
    let MadeToken { token, text } = made.map_err(|refusal| problem(worker, refusal, now))?;
    if text.is_some() {
        let (operator, role) = (call.operator_name(), token.role.as_str());
        tracing::info!(operator, token = &*token.id, name = &*token.name, role, "an operator made a token");
    }
    let shown = body(&token, text.as_deref(), now).body();
    let mut response = json_at(StatusCode::CREATED, shown, "/v1/tokens");
    if text.is_none() {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// `DELETE /v1/tokens/{token_id}`.
async fn remove(worker: &Worker, call: &Call) -> Result<Response<Body>, Problem> {
    let now = wall_clock();
    let id = call.parameter.to_string();
    if !worker.server.admission.operators.all().iter().any(|token| *token.id == *id) {
        return Err(Problem::NotFound);
    }
    let data = worker.server.config.data.clone();
    let token = on_disk(move || revoke(&data, &id, now)).await.map_err(|refusal| problem(worker, refusal, now))?;
    let operator = call.operator_name();
    tracing::info!(operator, token = &*token.id, name = &*token.name, "an operator revoked a token");
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Runs a change of the file on a thread of its own: it waits for the disk, and for other commands that change the file.
async fn on_disk<T: Send + 'static>(
    change: impl FnOnce() -> Result<T, GrantRefusal> + Send + 'static,
) -> Result<T, GrantRefusal> {
    let changed = tokio::task::spawn_blocking(change).await;
    changed.unwrap_or_else(|error| Err(GrantRefusal::Failed(error.to_string())))
}

fn problem(worker: &Worker, refusal: GrantRefusal, at: UnixMillis) -> Problem {
    match refusal {
        GrantRefusal::MakerNotInForce => Problem::Unauthorized,
        GrantRefusal::OutlivesMaker(end) => {
            Problem::invalid("/expires_at", format!("must be at most {}, when your own token ends", rfc3339(end)))
        }
        GrantRefusal::KeyReused => {
            let as_of_seq = Seq::new(worker.writer.published.seq()).unwrap_or(Seq::ZERO);
            Problem::Refused { refusal: Refusal::KeyReused, as_of_seq, at }
        }
        GrantRefusal::Full(detail) => Problem::invalid("", detail),
        GrantRefusal::Unknown => Problem::NotFound,
        GrantRefusal::LastOwner => Problem::Forbidden(LAST_OWNER),
        GrantRefusal::Failed(error) => {
            tracing::error!(error, "operators' tokens stay as they are");
            Problem::ReadOnly
        }
    }
}

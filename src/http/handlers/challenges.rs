//! Challenges: a drop's route for new ones, and the check of orders that must come with a solved one.
//!
//! The check runs before the writer. Only two questions reach it: whether an order with a solution that does not pass any more
//! repeats an earlier order, and the same before a service's token is verified. So a repeat gets its answer, and never asks
//! the service again.

use std::rc::Rc;

use hyper::header::HeaderName;
use hyper::{Method, Response, StatusCode};

use super::orders::ask_repeat;
use super::{RouteEntry, overloaded};
use crate::admission::challenge::{AskedOrder, SolutionVerdict};
use crate::api::Problem;
use crate::api::code::Code;
use crate::api::json::{OrderRequest, challenge_body};
use crate::http::access;
use crate::http::allowed_responses::ID;
use crate::http::body::Body;
use crate::http::node;
use crate::http::request::{Call, json};
use crate::http::route::ResponseBody::Json;
use crate::http::route::Route;
use crate::http::worker::Worker;
use crate::types::{BuyerText, ChallengeKind, ChallengeReason, ChallengeRule, DropId};
use crate::writer::Decided;

pub(in crate::http) const ROUTES: &[RouteEntry] =
    &[Route::public(Method::GET, "/v1/drops/{drop_id}/challenge", "GetChallenge", "Get a challenge to solve")
        .responds(&[200], &[Json("Challenge")])
        .problems(&[ID, &[Code::NotLeader]])
        .of_leader()
        .now(get)];

/// The solution that comes with an order.
pub(super) const FIRSTCOME_CHALLENGE: HeaderName = HeaderName::from_static("firstcome-challenge");

/// `GET /v1/drops/{drop_id}/challenge`.
pub(super) fn get(worker: &Rc<Worker>, call: &Call) -> Result<Response<Body>, Problem> {
    let drop_id = call.drop_id()?;
    let published = worker.writer.published.drop_entry(drop_id);
    let is_external = published.challenge().is_some_and(|rule| rule.kind == ChallengeKind::External);
    if published.version() == 0 || is_external {
        return Err(Problem::NotFound);
    }
    // Only the process that decides on an order knows whether a challenge was used: it accepts its own ones alone.
    if worker.writer.node.as_ref().is_some_and(|node| !node.may_lead()) {
        return Err(node::not_leader(worker));
    }
    let now = worker.writer.clock.at(call.started);
    let challenges = &worker.server.admission.challenges;
    let issued = challenges.issue(&worker.writer.digest_key, drop_id, call.caller.buyer(), now);
    Ok(json(StatusCode::OK, challenge_body(&issued)))
}

/// Refuses a drop that demands a challenge which this server cannot verify.
pub(super) fn check_kind(worker: &Worker, kind: ChallengeKind) -> Result<(), Problem> {
    if kind != ChallengeKind::External || worker.server.admission.challenges.has_site() {
        return Ok(());
    }
    Err(Problem::invalid("/challenge", "cannot be verified: the settings have no challenge.siteverify_url"))
}

/// Returns the challenge that an order of this buyer needs, if it needs one.
fn needed(worker: &Worker, call: &Call, drop_id: DropId, buyer: &BuyerText) -> Option<ChallengeRule> {
    let rule = worker.writer.published.drop_entry(drop_id).challenge()?;
    let door = &worker.server.admission.door;
    let tier = door.tier_unless_exempt(call.client, &call.caller, buyer, call.started)?;
    rule.is_demanded_of(tier).then_some(rule)
}

fn demand(worker: &Worker, kind: ChallengeKind, reason: ChallengeReason, drop_id: DropId) -> Problem {
    let base = &worker.server.config.public_url;
    Problem::ChallengeRequired(Box::new(worker.server.admission.challenges.demand(kind, reason, base, drop_id)))
}

/// Refuses an order of a page without a challenge, if it needs one.
pub(super) fn refuse_needed(worker: &Worker, call: &Call, drop_id: DropId, buyer: &BuyerText) -> Result<(), Problem> {
    match needed(worker, call, drop_id, buyer) {
        Some(rule) => Err(demand(worker, rule.kind, ChallengeReason::Missing, drop_id)),
        None => Ok(()),
    }
}

/// Checks the solution that comes with an order, if it needs one. Returns the decision if the order is a repeat that was
/// answered with the check.
pub(super) async fn check(
    worker: &Worker,
    call: &Call,
    drop_id: DropId,
    request: &OrderRequest,
    key: &[u8],
) -> Result<Option<Decided>, Problem> {
    let Some(rule) = needed(worker, call, drop_id, &request.buyer) else { return Ok(None) };
    let refused = |reason| demand(worker, rule.kind, reason, drop_id);
    let mut given = call.parts.headers.get_all(FIRSTCOME_CHALLENGE).iter();
    let Some(solution) = given.next() else { return Err(refused(ChallengeReason::Missing)) };
    let (solution, is_one) = (solution.as_bytes(), given.next().is_none());
    let digests = &worker.writer.digest_key;
    let digest = digests.order_key(drop_id, &digests.buyer(request.buyer.as_str()), key);
    let now = worker.writer.clock.at(call.started);
    let order = AskedOrder { drop_id, buyer: &request.buyer, key: &digest, now };
    let challenges = &worker.server.admission.challenges;
    let verdict = match rule.kind {
        ChallengeKind::None => return Ok(None),
        ChallengeKind::ProofOfWork | ChallengeKind::External if !is_one => {
            SolutionVerdict::Refused(ChallengeReason::Malformed)
        }
        ChallengeKind::ProofOfWork => challenges.judge(digests, solution, &order),
        ChallengeKind::External if challenges.was_verified(solution, &order, call.started) => SolutionVerdict::Repeated,
        ChallengeKind::External => {
            if let Some(decided) = ask_repeat(worker, &call.caller, drop_id, request, key).await? {
                return Ok(Some(decided));
            }
            let address = access::address(&worker.server.admission, &call.parts.headers, call.peer);
            challenges.verify(solution, &order, address).await
        }
    };
    if let SolutionVerdict::Stale(_) = verdict
        && let Some(decided) = ask_repeat(worker, &call.caller, drop_id, request, key).await?
    {
        return Ok(Some(decided));
    }
    challenges.count(verdict);
    if verdict.is_suspicious() {
        worker.server.admission.door.note_challenge(call.client, &request.buyer, call.started);
    }
    match verdict {
        SolutionVerdict::Solved { .. } | SolutionVerdict::Repeated | SolutionVerdict::Unverified => Ok(None),
        SolutionVerdict::Stale(reason) | SolutionVerdict::Refused(reason) => Err(refused(reason)),
        SolutionVerdict::Busy => Err(overloaded(worker, worker.writer.queue_depth())),
    }
}

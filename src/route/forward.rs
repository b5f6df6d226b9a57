//! Sends a request to a node of its shard: reads to one that serves, writes to the leader and, while it is certain that
//! none has taken them, to the next leader.

use std::time::{Duration, Instant};

use http_body_util::Either;
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Response, StatusCode};

use super::body::{PassedBody, RouteBody};
use super::headers::back;
use super::inspect::{Inspected, inspect};
use super::permit::{Bound, ShardPermit};
use super::place::RequestEffect;
use super::problems::RouteProblem;
use super::shard_word::ShardWord;
use super::view::{SeenState, ShardView};
use super::worker::RouteWorker;
use crate::api::Problem;
use crate::egress::{ForwardError, OutboundRequest};
use crate::failpoints::{self, Bug};
use crate::http::request::FIRSTCOME_UNDECIDED;
use crate::http::routes::Listener;

/// Pause before a node is asked again; a change of the leader ends it.
const PAUSE: Duration = Duration::from_millis(50);
/// Time that a leader has to answer once another node leads.
const OLD_LEADER_MAX: Duration = Duration::from_millis(100);

/// A request that is passed on.
pub(super) struct PassedRequest {
    pub(super) listener: Listener,
    pub(super) method: Method,
    pub(super) path: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) effect: RequestEffect,
}

/// The result of a request at one node.
enum AttemptEnd {
    Answered(Response<RouteBody>),
    /// Nothing was decided, and another node is to be asked.
    Elsewhere,
    /// The state of the node is too old.
    Behind(Response<RouteBody>),
    /// No byte of it left.
    NotSent,
    /// The request may have been decided.
    Unknown,
}

/// Passes a request on to a shard, and its answer back.
///
/// # Errors
/// The shard's nodes gave no answer for the client.
pub(super) async fn pass(
    worker: &RouteWorker,
    place: usize,
    request: &PassedRequest,
) -> Result<Response<RouteBody>, RouteProblem> {
    let shard = &worker.view.shards[place];
    let _permit = ShardPermit::take(&worker.view, place, Bound::InFlight(request.listener))
        .map_err(|in_flight| RouteProblem::ShardBusy { shard: shard.shard, in_flight })?;
    let passing = Passing { worker, place, shard, request };
    let answered = match request.effect {
        RequestEffect::Read { at_leader } => passing.read(at_leader).await,
        RequestEffect::Write { is_repeatable } => passing.write(is_repeatable).await,
    };
    answered.map(|mut response| {
        back(response.headers_mut(), shard.shard);
        response
    })
}

/// Returns true if a request with this answer, or a part of it, was not decided, and one before it may have been.
fn left_undecided<B>(response: &Response<B>) -> bool {
    const UNDECIDED: [StatusCode; 3] =
        [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS, StatusCode::UNAUTHORIZED];
    UNDECIDED.contains(&response.status()) || response.headers().contains_key(FIRSTCOME_UNDECIDED)
}

struct Passing<'a> {
    worker: &'a RouteWorker,
    place: usize,
    shard: &'a ShardView,
    request: &'a PassedRequest,
}

impl Passing<'_> {
    /// Asks nodes in turn until one answers.
    async fn read(&self, at_leader: bool) -> Result<Response<RouteBody>, RouteProblem> {
        let limits = &self.worker.view.limits;
        let until = Instant::now() + limits.read_deadline;
        let mut behind = None;
        loop {
            let mut leader_is_behind = false;
            let mut nodes = self.shard.readers();
            if at_leader {
                self.leader_next(&mut nodes, 0);
            }
            let mut at = 0;
            while let Some(node) = nodes.get(at).copied().filter(|_| at == 0 || Instant::now() < until) {
                at = at.saturating_add(1);
                // A node that hangs leaves time for those that are not asked yet.
                let unasked = u32::try_from(nodes.len().saturating_sub(at)).unwrap_or(u32::MAX).saturating_add(1);
                let left = until.saturating_duration_since(Instant::now()) / unasked;
                match self.send(node, limits.answer_timeout.min(left)).await? {
                    AttemptEnd::Answered(response) => return Ok(response),
                    AttemptEnd::Elsewhere => self.leader_next(&mut nodes, at),
                    AttemptEnd::Behind(response) => {
                        behind = Some(response);
                        leader_is_behind |= self.shard.leader() == Some(node);
                        self.leader_next(&mut nodes, at);
                    }
                    AttemptEnd::NotSent => self.shard.saw(node, SeenState::Silent),
                    AttemptEnd::Unknown => {}
                }
            }
            if leader_is_behind || !self.may_try_again(until).await {
                return behind.ok_or(RouteProblem::unavailable(self.shard.shard));
            }
        }
    }

    /// Moves the leader to this place, unless it stands before it: it was asked then.
    fn leader_next(&self, nodes: &mut [usize], at: usize) {
        if let Some(leader) = self.shard.leader()
            && let Some(rest) = nodes.get_mut(at..)
            && let Some(found) = rest.iter().position(|node| *node == leader)
            && let Some(moved) = rest.get_mut(..=found)
        {
            moved.rotate_right(1);
        }
    }

    /// Sends a write to the leader, and to the next one while it is certain that it was not taken. One that may have been
    /// taken is sent again only if a repeat has no second effect.
    async fn write(&self, is_repeatable: bool) -> Result<Response<RouteBody>, RouteProblem> {
        let limits = &self.worker.view.limits;
        let until = Instant::now() + limits.write_deadline;
        let repeats = is_repeatable || failpoints::enabled(Bug::RouterRepeatsUnknown);
        let (mut may_be_decided, mut hops) = (false, 0_usize);
        loop {
            if let Some(leader) = self.shard.leader() {
                match self.send_to_leader(leader, repeats).await? {
                    // It says that nothing was decided of this request; the first one may stand.
                    AttemptEnd::Answered(response) if may_be_decided && left_undecided(&response) => {}
                    AttemptEnd::Answered(response) | AttemptEnd::Behind(response) => return Ok(response),
                    AttemptEnd::Unknown if !repeats => return Err(Problem::OutcomeUnknown.into()),
                    AttemptEnd::Unknown => may_be_decided = true,
                    AttemptEnd::Elsewhere => {
                        hops = hops.saturating_add(1);
                        // Nodes that name each other are not asked in a circle without a pause.
                        if hops <= self.shard.nodes.len() && self.shard.leader().is_some_and(|next| next != leader) {
                            continue;
                        }
                    }
                    AttemptEnd::NotSent => {}
                }
            }
            if !self.may_try_again(until).await {
                return Err(if may_be_decided {
                    Problem::OutcomeUnknown.into()
                } else {
                    RouteProblem::unavailable(self.shard.shard)
                });
            }
        }
    }

    /// Waits a moment for another view. Returns false if the time is over.
    async fn may_try_again(&self, until: Instant) -> bool {
        self.shard.look_soon();
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        self.shard.changed(PAUSE.min(left)).await;
        true
    }

    /// Sends a write to the leader. One that may be repeated is not left with a leader that hangs when another node leads.
    async fn send_to_leader(&self, leader: usize, repeats: bool) -> Result<AttemptEnd, RouteProblem> {
        let answered = self.send(leader, self.worker.view.limits.answer_timeout);
        if !repeats {
            return answered.await;
        }
        let replaced = async {
            while self.shard.leader() == Some(leader) {
                self.shard.changed(OLD_LEADER_MAX).await;
                // It may hang: another one is noticed before the view's time-to-live.
                self.shard.look_soon();
            }
            tokio::time::sleep(OLD_LEADER_MAX).await;
        };
        tokio::select! {
            biased;
            sent = answered => sent,
            () = replaced => Ok(AttemptEnd::Unknown),
        }
    }

    async fn send(&self, node: usize, head_max: Duration) -> Result<AttemptEnd, RouteProblem> {
        let PassedRequest { listener, method, path, headers, body, .. } = self.request;
        let target = self.shard.nodes[node].target(*listener).with_path(path.clone());
        let call =
            OutboundRequest { target: &target, method: method.clone(), headers: headers.clone(), body: body.clone() };
        let response = match self.worker.client.forward(call, head_max).await {
            Ok(response) => response,
            Err(ForwardError::NotSent(error)) => {
                tracing::debug!(shard = self.shard.shard.get(), node, %error, "a request was not sent");
                self.shard.failed(false);
                return Ok(AttemptEnd::NotSent);
            }
            Err(ForwardError::Unknown(error)) => {
                tracing::debug!(shard = self.shard.shard.get(), node, %error, "a request has no answer");
                self.shard.failed(true);
                return Ok(AttemptEnd::Unknown);
            }
        };
        let word = ShardWord::of_answer(self.shard.shard, response.headers());
        let inspected = inspect(response).await;
        if let ShardWord::Differs(other) = word {
            self.shard.misplaced(node, other);
            if let Some(end) = self.of_another_shard(&inspected) {
                return Ok(end);
            }
        }
        Ok(match inspected {
            Inspected::Passed(response) => {
                let permit = ShardPermit::take(&self.worker.view, self.place, Bound::Answers);
                // A write is answered whatever its number: it was decided.
                let permit = match (permit, self.request.effect) {
                    (Ok(permit), _) => permit,
                    (Err(in_flight), RequestEffect::Read { .. }) => {
                        return Err(RouteProblem::ShardBusy { shard: self.shard.shard, in_flight });
                    }
                    (Err(_), RequestEffect::Write { .. }) => {
                        ShardPermit::beyond(&self.worker.view, self.place, Bound::Answers)
                    }
                };
                AttemptEnd::Answered(response.map(|body| Either::Right(PassedBody::new(body, permit))))
            }
            Inspected::Kept(response) => AttemptEnd::Answered(response),
            Inspected::Behind(response) => AttemptEnd::Behind(response),
            Inspected::Unknown => AttemptEnd::Unknown,
            Inspected::Elsewhere { leader } => {
                self.shard.does_not_lead(node, leader.and_then(|url| self.shard.node_at(&url)));
                AttemptEnd::Elsewhere
            }
        })
    }

    /// Judges an answer of a node of another shard: what it does not know, or refuses, says nothing of this one. `None` for
    /// the answer to a write that it took and that has no key: it is passed back, because it is true.
    fn of_another_shard(&self, inspected: &Inspected) -> Option<AttemptEnd> {
        let may_be_taken = match inspected {
            Inspected::Passed(response) => response.status().is_success(),
            Inspected::Unknown => true,
            Inspected::Kept(_) | Inspected::Behind(_) | Inspected::Elsewhere { .. } => false,
        };
        match self.request.effect {
            RequestEffect::Write { is_repeatable } if may_be_taken => is_repeatable.then_some(AttemptEnd::Unknown),
            RequestEffect::Write { .. } | RequestEffect::Read { .. } => Some(AttemptEnd::Elsewhere),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_batch_with_an_undecided_order_says_nothing_of_one_that_may_have_been_decided_before() {
        let mut response = Response::new(());
        assert!(!left_undecided(&response));
        response.headers_mut().insert(FIRSTCOME_UNDECIDED, HeaderValue::from(1));
        assert!(left_undecided(&response));
        let mut refused = Response::new(());
        *refused.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        assert!(left_undecided(&refused));
    }
}

//! A cluster as clients of one of its nodes see it: reads say of which state they are and may wait for an event, writes are
//! sent on to the leader, and a node that must not serve does not.

use std::time::{Duration, Instant};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;

use super::request::values;
use super::route::{Listener, Route};
use super::worker::Worker;
use crate::api::Problem;
use crate::api::problem::MissingState;
use crate::failpoints::{self, Bug};
use crate::writer::NodeView;

/// The event that the state must have.
const FIRSTCOME_MIN_SEQ: HeaderName = HeaderName::from_static("firstcome-min-seq");

/// Longest wait for an event: ten times what a follower in order is behind (it looks every 20 ms), and so short that a
/// client can still ask the leader without its user noticing.
const WAIT_MAX: Duration = Duration::from_millis(200);
/// First pause between two looks at the last event; each is twice as long as the one before.
const LOOK_MIN: Duration = Duration::from_millis(1);
/// Longest pause between two looks, a follower's own: a request that waits costs less than one that is answered.
const LOOK_MAX: Duration = Duration::from_millis(16);

/// Routes that a node answers that must not serve: they tell why, and nothing that clients act upon.
const OF_STOPPED_NODES: [&str; 2] = ["/healthz", "/metrics"];

/// The facts of a request to a node of a cluster that its response needs.
pub(super) struct NodeRequest {
    /// The state that is read; `None` for requests that are no reads.
    read: Option<ReadState>,
    /// The path and the query of a request that only the leader answers.
    target: Option<PathAndQuery>,
}

/// The state of a node before a read.
struct ReadState {
    /// The last event then: what is read has it.
    as_of: u64,
    /// Milliseconds that the state may be behind; `None` before the first entry.
    stale_ms: Option<u64>,
}

impl NodeRequest {
    /// Notes the state before a request is handled.
    pub(super) fn new(worker: &Worker, node: &NodeView, route: &Route, parts: &Parts) -> NodeRequest {
        // In this order: the state that is read is not older than either says.
        let stale_ms = node.stale_ms();
        let as_of = worker.writer.published.seq();
        NodeRequest {
            read: route.is_read().then_some(ReadState { as_of, stale_ms }),
            target: parts.uri.path_and_query().filter(|_| route.needs_leader()).cloned(),
        }
    }

    /// Notes that the read begins only when the state has an event.
    pub(super) fn begins_after(&mut self, event: &MinSeq) {
        if let (Some(read), Some(seq)) = (&mut self.read, event.seq_of_this_epoch) {
            read.as_of = read.as_of.max(seq);
        }
    }

    /// Makes a problem of a command that another node decides a redirect, if that node is known.
    pub(super) fn redirected(&self, problem: Problem) -> Problem {
        match (problem, &self.target) {
            (Problem::NotLeader { leader: Some(leader), .. }, Some(target)) => {
                let path = target.as_str();
                let slash = if path.starts_with('/') { "" } else { "/" };
                let location = Some(format!("{leader}{slash}{path}").into());
                Problem::NotLeader { leader: Some(leader), location }
            }
            (problem, _) => problem,
        }
    }

    /// Adds the node's shard, and the headers of a read. If nothing was read, the event that it names may not be there.
    pub(super) fn add_headers(&self, worker: &Worker, was_read: bool, headers: &mut HeaderMap) {
        let Some(node) = &worker.node_headers else { return };
        node.borrow().add_shard(headers);
        let Some(read) = &self.read else { return };
        let was_before = was_read && !failpoints::enabled(Bug::AsOfAfterRead);
        let as_of = if was_before { read.as_of } else { worker.writer.published.seq() };
        node.borrow_mut().add(as_of, read.stale_ms, headers);
    }
}

/// Refuses what this node of a cluster does not answer: everything once it must not serve, and commands while another one
/// leads, before their bodies are read.
pub(super) fn check(worker: &Worker, node: &NodeView, route: &Route) -> Result<(), Problem> {
    if !worker.writer.may_serve() && !OF_STOPPED_NODES.contains(&route.path) {
        return Err(Problem::Draining);
    }
    if !route.is_read() && route.submits() && !node.may_lead() {
        return Err(not_leader(worker));
    }
    Ok(())
}

/// Returns the problem of a command that another node decides.
pub(super) fn not_leader(worker: &Worker) -> Problem {
    // A node that must not serve knows nothing of the cluster any more.
    if !worker.writer.may_serve() {
        return Problem::Draining;
    }
    Problem::NotLeader { leader: leader_url(worker), location: None }
}

/// Returns the problem of a read whose state is not here.
pub(super) fn behind(worker: &Worker, missing: MissingState) -> Problem {
    Problem::Behind { missing, leader: leader_url(worker) }
}

/// Returns the URL of the leader's listener of this kind, as the log names it, unless it is this node, or is silent.
fn leader_url(worker: &Worker) -> Option<Box<str>> {
    let node = worker.writer.node.as_ref()?;
    let leader = node.leader_for_clients()?;
    let url = match worker.listener {
        Listener::Public => &leader.public_url,
        Listener::Admin => &leader.admin_url,
    };
    let is_fit = !url.is_empty() && HeaderValue::from_str(url).is_ok();
    is_fit.then(|| url.as_str().into())
}

/// The event that a read must have.
pub(super) struct MinSeq {
    epoch: Option<u64>,
    seq: u64,
    /// The event's number, unless it is of another epoch than the file.
    seq_of_this_epoch: Option<u64>,
}

impl MinSeq {
    /// Returns the event that a request names.
    ///
    /// # Errors
    /// `validation`.
    pub(super) fn named(worker: &Worker, headers: &HeaderMap) -> Result<Option<MinSeq>, Problem> {
        let mut given = values(headers, FIRSTCOME_MIN_SEQ);
        let Some(first) = given.next() else { return Ok(None) };
        let parsed = first.to_str().ok().filter(|_| given.next().is_none()).and_then(parse_min_seq);
        let (epoch, seq) = parsed.ok_or_else(|| {
            Problem::invalid("", "Firstcome-Min-Seq must be the number of an event, or `epoch-seq`, once")
        })?;
        let seq_of_this_epoch = epoch.is_none_or(|epoch| epoch == worker.server.epoch).then_some(seq);
        Ok(Some(MinSeq { epoch, seq, seq_of_this_epoch }))
    }

    /// Returns whether the state has the event. An older epoch has ended: what is left of it is in this one.
    pub(super) fn is_there(&self, worker: &Worker) -> bool {
        match self.epoch {
            Some(epoch) if epoch != worker.server.epoch => epoch < worker.server.epoch,
            Some(_) | None => worker.writer.published.seq() >= self.seq,
        }
    }

    /// Waits for the event.
    ///
    /// # Errors
    /// `behind` if it does not come in time; `draining`.
    pub(super) async fn wait(&self, worker: &Worker) -> Result<(), Problem> {
        let began = Instant::now();
        let mut pause = LOOK_MIN;
        while !self.is_there(worker) {
            let left = WAIT_MAX.saturating_sub(began.elapsed());
            if left.is_zero() || self.seq_of_this_epoch.is_none() {
                return Err(behind(worker, MissingState::Event));
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = pause.saturating_mul(2).min(LOOK_MAX);
        }
        if worker.writer.may_serve() { Ok(()) } else { Err(Problem::Draining) }
    }
}

/// Digits of the largest event's number, 2^48 - 1.
const SEQ_DIGITS_MAX: usize = 15;

/// Reads `seq` or `epoch-seq`, as an ETag has it.
fn parse_min_seq(text: &str) -> Option<(Option<u64>, u64)> {
    let number = |digits: &str| digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let (epoch, seq) = match text.split_once('-') {
        Some((epoch, seq)) => (Some(number(epoch)?), seq),
        None => (None, text),
    };
    // As the document's pattern says; beyond the last event that there can be, no node ever has it.
    let seq = number(seq).filter(|_| seq.len() <= SEQ_DIGITS_MAX)?;
    Some((epoch, seq))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_number_with_or_without_its_epoch() {
        for (text, event) in [
            ("0", Some((None, 0))),
            ("17", Some((None, 17))),
            ("3-17", Some((Some(3), 17))),
            ("281474976710655", Some((None, (1 << 48) - 1))),
            ("999999999999999", Some((None, 999_999_999_999_999))),
        ] {
            assert_eq!(parse_min_seq(text), event, "{text}");
        }
        for bad in
            ["", "-", "+1", "-1", "1-", "-1-2", "1-2-3", " 1", "1 ", "1.0", "0x1", "1000000000000000", "\"d1-1-2\""]
        {
            assert_eq!(parse_min_seq(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_redirect_has_the_leader_s_address_and_the_request_s_path_and_query() {
        let request = |path: &'static str, submits: bool| NodeRequest {
            read: None,
            target: submits.then(|| PathAndQuery::from_static(path)),
        };
        let problem = |leader: Option<&str>| Problem::NotLeader { leader: leader.map(Into::into), location: None };
        let leader = Some("https://b.example:8443");
        for (path, submits, leader, location) in [
            ("/v1/drops/1/orders", true, leader, Some("https://b.example:8443/v1/drops/1/orders")),
            ("/v1/orders?contacts=true", true, leader, Some("https://b.example:8443/v1/orders?contacts=true")),
            ("//evil.example/x", true, leader, Some("https://b.example:8443//evil.example/x")),
            ("/v1/drops/1/orders", true, None, None),
            ("/readyz", false, leader, None),
        ] {
            let redirected = request(path, submits).redirected(problem(leader));
            assert_eq!(redirected.location(), location, "{path}");
        }
        assert_eq!(request("/v1/drops", true).redirected(Problem::Draining), Problem::Draining);
    }
}

//! The meaning of responses for a buyer, by status and body. Pure.
//!
//! Invariant: `Rejected` only where the server said that nothing was applied; every doubt is `Unsure`.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use super::client::ResponseHead;
use super::outcome::RequestOutcome;
use crate::types::instant::parse_instant;
use crate::types::{OrderId, OrderState};

/// The pause before the next attempt, where the server names none.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// The least pause before a buyer asks for the decision on a recorded order: the draw and the decisions take their time.
const RECORDED_AGAIN: Duration = Duration::from_millis(200);

/// The pause before a request goes to another node, to which a redirect sends it.
const REDIRECTED_AFTER: Duration = Duration::from_millis(100);

/// An instant in the server's format: RFC 3339, UTC, milliseconds, so that text order is time order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct ServerTime([u8; 24]);

impl ServerTime {
    /// Parses an instant; none if it has another format, which could not be compared.
    pub(super) fn parse(text: &str) -> Option<ServerTime> {
        let bytes: [u8; 24] = text.as_bytes().try_into().ok()?;
        (bytes[10] == b'T' && bytes[19] == b'.' && bytes[23] == b'Z').then_some(ServerTime(bytes))
    }
}

/// The parts of an order that a buyer needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct OrderView {
    pub(super) id: OrderId,
    pub(super) state: OrderState,
    pub(super) replayed: bool,
    pub(super) reserved_at: Option<ServerTime>,
    pub(super) expires_at: Option<ServerTime>,
}

/// The parts of a drop that the load needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub(super) struct DropView {
    pub(super) id: u32,
    pub(super) total: u64,
    pub(super) available: u64,
    pub(super) held: u64,
    pub(super) sold: u64,
    pub(super) per_buyer_limit: u64,
    pub(super) reservation_seconds: u64,
}

impl DropView {
    /// Units that are held or sold.
    pub(super) const fn taken(&self) -> u64 {
        self.held.saturating_add(self.sold)
    }

    /// True if `total = available + held + sold`.
    pub(super) const fn is_conserved(&self) -> bool {
        self.total == self.taken().saturating_add(self.available)
    }
}

/// The reasons of a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RefusalKind {
    SoldOut,
    LimitReached,
    OrderExpired,
    IllegalTransition,
    NotStarted,
    Ended,
    NotFound,
    Other,
}

/// The meaning of a response for a buyer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum LoadResponse {
    /// The current state of an order.
    Order(OrderView),
    /// The drop; with its counters only where they were requested.
    Drop(Option<DropView>),
    /// A ticket of a waiting room.
    Ticket,
    /// Recorded in a blind window, and decided after this time: the same request tells the outcome.
    Recorded {
        wait: Duration,
    },
    No(RefusalKind),
    /// Not admitted: nothing was decided, and the request may be sent again later.
    Rejected {
        retry_after: Duration,
    },
    /// May or may not have been applied: to be sent again with the same key.
    Unsure,
    /// Not sent, because there was no connection.
    NotSent,
    /// A response outside of the contract.
    Invalid,
}

#[derive(Deserialize)]
struct OrderBody<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    state: Cow<'a, str>,
    #[serde(borrow, default)]
    reserved_at: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    expires_at: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ProblemBody<'a> {
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(borrow, default)]
    applied: Option<Cow<'a, str>>,
}

/// The response to a read of the drop; the body is parsed only if `counters` are wanted.
pub(super) fn decode_drop(head: &ResponseHead, body: &[u8], counters: bool) -> (LoadResponse, RequestOutcome) {
    if head.status != 200 {
        return decode_problem(head, body);
    }
    if !counters {
        return (LoadResponse::Drop(None), RequestOutcome::DropRead);
    }
    match serde_json::from_slice(body) {
        Ok(view) => (LoadResponse::Drop(Some(view)), RequestOutcome::DropRead),
        Err(_) => (LoadResponse::Invalid, RequestOutcome::Invalid),
    }
}

/// The response to a request for a ticket.
pub(super) fn decode_ticket(head: &ResponseHead, body: &[u8]) -> (LoadResponse, RequestOutcome) {
    match head.status {
        201 if head.replayed => (LoadResponse::Ticket, RequestOutcome::Repeated),
        201 => (LoadResponse::Ticket, RequestOutcome::TicketTaken),
        _ => decode_problem(head, body),
    }
}

#[derive(Deserialize)]
struct RecordedBody<'a> {
    #[serde(borrow)]
    state: Cow<'a, str>,
    #[serde(borrow)]
    decided_at: Cow<'a, str>,
}

/// The response to an order of a blind window: the time until its decision, by the server's clock.
fn decode_recorded(head: &ResponseHead, body: &[u8]) -> (LoadResponse, RequestOutcome) {
    let recorded: Option<RecordedBody<'_>> = serde_json::from_slice(body).ok();
    let recorded = recorded.filter(|recorded| recorded.state == "recorded");
    let decided_at = recorded.and_then(|recorded| parse_instant(&recorded.decided_at).ok());
    let Some((decided_at, now)) = decided_at.zip(head.time_ms) else {
        return (LoadResponse::Invalid, RequestOutcome::Invalid);
    };
    let left = u64::try_from(decided_at.get().saturating_sub(now)).unwrap_or(0);
    (LoadResponse::Recorded { wait: Duration::from_millis(left).max(RECORDED_AGAIN) }, RequestOutcome::Recorded)
}

/// The response to a request that is answered with an order.
pub(super) fn decode_order(head: &ResponseHead, body: &[u8]) -> (LoadResponse, RequestOutcome) {
    if head.status == 202 {
        return decode_recorded(head, body);
    }
    if !matches!(head.status, 200 | 201) {
        return decode_problem(head, body);
    }
    let Some(view) = parse_order(head.replayed, body) else {
        return (LoadResponse::Invalid, RequestOutcome::Invalid);
    };
    let outcome = match view.state {
        _ if view.replayed => RequestOutcome::Repeated,
        _ if head.status == 201 => RequestOutcome::Reserved,
        OrderState::AwaitingPayment => RequestOutcome::CheckedOut,
        OrderState::Cancelled => RequestOutcome::Cancelled,
        OrderState::Reserved
        | OrderState::Paid
        | OrderState::Expired
        | OrderState::RefundDue
        | OrderState::Refunded => RequestOutcome::OrderRead,
    };
    (LoadResponse::Order(view), outcome)
}

fn parse_order(replayed: bool, body: &[u8]) -> Option<OrderView> {
    let order: OrderBody<'_> = serde_json::from_slice(body).ok()?;
    Some(OrderView {
        id: OrderId::parse(&order.id)?,
        state: OrderState::parse(&order.state)?,
        replayed,
        reserved_at: order.reserved_at.as_deref().and_then(ServerTime::parse),
        expires_at: order.expires_at.as_deref().and_then(ServerTime::parse),
    })
}

fn decode_problem(head: &ResponseHead, body: &[u8]) -> (LoadResponse, RequestOutcome) {
    let problem: Option<ProblemBody<'_>> = serde_json::from_slice(body).ok();
    let code = problem.as_ref().map_or("", |problem| &*problem.code);
    let applied = problem.as_ref().and_then(|problem| problem.applied.as_deref());
    match head.status {
        429 => (rejected(head), RequestOutcome::RateLimited),
        307 | 503 if applied == Some("no") => (rejected(head), rejection_outcome(code)),
        503 => (LoadResponse::Unsure, RequestOutcome::Unknown),
        408 | 500..=599 => (LoadResponse::Unsure, RequestOutcome::Internal),
        400..=499 if !code.is_empty() => {
            let (refusal, outcome) = refusal(code);
            (LoadResponse::No(refusal), outcome)
        }
        _ => (LoadResponse::Invalid, RequestOutcome::Invalid),
    }
}

fn rejected(head: &ResponseHead) -> LoadResponse {
    let seconds = head.retry_after_seconds.map(u64::from);
    let default = if head.status == 307 { REDIRECTED_AFTER } else { RETRY_AFTER_DEFAULT };
    LoadResponse::Rejected { retry_after: seconds.map_or(default, Duration::from_secs) }
}

fn rejection_outcome(code: &str) -> RequestOutcome {
    match code {
        "overloaded" => RequestOutcome::Overloaded,
        "drop-paused" => RequestOutcome::DropPaused,
        "draining" => RequestOutcome::Draining,
        "read-only" => RequestOutcome::ReadOnly,
        "not-leader" => RequestOutcome::NotLeader,
        _ => RequestOutcome::OtherRejected,
    }
}

fn refusal(code: &str) -> (RefusalKind, RequestOutcome) {
    match code {
        "sold-out" => (RefusalKind::SoldOut, RequestOutcome::SoldOut),
        "limit-reached" | "identity-limit-reached" => (RefusalKind::LimitReached, RequestOutcome::LimitReached),
        "order-expired" => (RefusalKind::OrderExpired, RequestOutcome::OrderExpired),
        "illegal-transition" => (RefusalKind::IllegalTransition, RequestOutcome::IllegalTransition),
        "not-started" => (RefusalKind::NotStarted, RequestOutcome::NotStarted),
        "ended" => (RefusalKind::Ended, RequestOutcome::Ended),
        "not-found" => (RefusalKind::NotFound, RequestOutcome::NotFound),
        "not-open" => (RefusalKind::Other, RequestOutcome::NotOpen),
        "not-admitted" => (RefusalKind::Other, RequestOutcome::NotAdmitted),
        _ => (RefusalKind::Other, RequestOutcome::OtherRefusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16) -> ResponseHead {
        ResponseHead { status, ..ResponseHead::default() }
    }

    const ORDER: &str = r#"{"id":"00000000-0001-8000-8000-000000000001","code":"FC-11","state":"reserved","quantity":1,
        "reserved_at":"2026-01-01T00:00:00.000Z","expires_at":"2026-01-01T00:02:00.000Z","drop_id":1}"#;

    #[test]
    fn a_created_order_is_reserved_and_a_replayed_one_repeated() {
        let (answer, outcome) = decode_order(&head(201), ORDER.as_bytes());
        assert_eq!(outcome, RequestOutcome::Reserved);
        let LoadResponse::Order(view) = answer else { panic!("{answer:?}") };
        assert_eq!((view.state, view.replayed), (OrderState::Reserved, false));
        assert!(view.reserved_at.is_some() && view.reserved_at < view.expires_at);
        let replayed = ResponseHead { replayed: true, ..head(201) };
        assert_eq!(decode_order(&replayed, ORDER.as_bytes()).1, RequestOutcome::Repeated);
    }

    #[test]
    fn a_recorded_order_is_asked_for_again_once_it_is_decided_by_the_server_s_clock() {
        let recorded = br#"{"drop_id":1,"buyer":"ann","quantity":1,"state":"recorded","ticket":7,"decided_at":"2026-01-01T00:00:05.000Z"}"#;
        let at = |time_ms| decode_order(&ResponseHead { time_ms: Some(time_ms), ..head(202) }, recorded);
        let after = |ms| (LoadResponse::Recorded { wait: Duration::from_millis(ms) }, RequestOutcome::Recorded);
        assert_eq!(at(1_767_225_601_500), after(3_500));
        assert_eq!(at(1_767_225_609_000), after(200), "the draw takes its time");
        assert_eq!(decode_order(&head(202), recorded).1, RequestOutcome::Invalid, "an answer without the time");
        let waiting = br#"{"state":"waiting","position":1}"#;
        assert_eq!(decode_order(&ResponseHead { time_ms: Some(0), ..head(202) }, waiting).1, RequestOutcome::Invalid);
    }

    #[test]
    fn only_a_503_that_says_so_left_nothing_behind() {
        let retry = ResponseHead { retry_after_seconds: Some(3), ..head(503) };
        let no = br#"{"type":"x","code":"overloaded","applied":"no","queue_depth":7}"#;
        let wait = LoadResponse::Rejected { retry_after: Duration::from_secs(3) };
        assert_eq!(decode_order(&retry, no), (wait, RequestOutcome::Overloaded));
        let unknown = br#"{"code":"outcome-unknown","applied":"unknown"}"#;
        assert_eq!(decode_order(&retry, unknown), (LoadResponse::Unsure, RequestOutcome::Unknown));
        let follower = br#"{"code":"not-leader","applied":"no","leader":"http://b.example"}"#;
        for status in [307, 503] {
            let head = ResponseHead { status, ..retry };
            let wait = LoadResponse::Rejected { retry_after: Duration::from_secs(3) };
            assert_eq!(decode_order(&head, follower), (wait, RequestOutcome::NotLeader), "{status}");
        }
        let at_once = LoadResponse::Rejected { retry_after: REDIRECTED_AFTER };
        assert_eq!(decode_order(&head(307), follower).0, at_once);
        assert_eq!(decode_order(&head(307), b"gateway").0, LoadResponse::Invalid);
        assert_eq!(decode_order(&retry, b"gateway"), (LoadResponse::Unsure, RequestOutcome::Unknown));
        assert_eq!(decode_order(&head(500), b""), (LoadResponse::Unsure, RequestOutcome::Internal));
        assert_eq!(decode_order(&head(429), b"").1, RequestOutcome::RateLimited);
    }

    #[test]
    fn refusals_go_by_their_code() {
        let sold_out = br#"{"code":"sold-out","status":409,"available":0}"#;
        assert_eq!(
            decode_order(&head(409), sold_out),
            (LoadResponse::No(RefusalKind::SoldOut), RequestOutcome::SoldOut)
        );
        let new = br#"{"code":"something-new"}"#;
        assert_eq!(decode_order(&head(409), new), (LoadResponse::No(RefusalKind::Other), RequestOutcome::OtherRefusal));
    }

    #[test]
    fn responses_outside_of_the_contract_are_invalid() {
        for (status, body) in [(201, "{}"), (200, "<html>"), (400, ""), (302, ORDER), (201, "{\"id\":\"x\"}")] {
            assert_eq!(decode_order(&head(status), body.as_bytes()).0, LoadResponse::Invalid, "{status} {body}");
        }
        assert_eq!(decode_drop(&head(200), b"[]", true).0, LoadResponse::Invalid);
        assert_eq!(decode_drop(&head(200), b"[]", false).0, LoadResponse::Drop(None));
    }
}

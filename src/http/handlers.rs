//! The handlers of routes with their rows, one file per noun; here is the part that they share.

pub(super) mod assets;
pub(super) mod auctions;
pub(super) mod audit;
pub(super) mod backups;
pub(super) mod buyers;
mod cached_pages;
pub(super) mod challenges;
pub(super) mod console;
pub(super) mod contacts;
pub(super) mod docs;
pub(super) mod draws;
pub(super) mod drops;
pub(super) mod endpoints;
pub(super) mod health;
mod identities;
pub(super) mod metrics;
pub(super) mod nodes;
pub(super) mod order_batches;
pub(super) mod order_history;
pub(super) mod order_lists;
pub(super) mod order_payments;
pub(super) mod orders;
pub(super) mod page_problems;
mod page_words;
pub(super) mod pages;
pub(super) mod payments;
pub(super) mod preflight;
mod prices;
pub(super) mod provider_events;
pub(super) mod reports;
pub(super) mod rooms;
pub(super) mod standby;
pub(super) mod storefront;
pub(super) mod storefront_auctions;
pub(super) mod storefront_list;
mod storefront_parts;
pub(super) mod storefront_rooms;
pub(super) mod storefront_standby;
pub(super) mod streams;
pub(super) mod tokens;
pub(super) mod undo;

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::Response;
use hyper::body::Bytes;
use hyper::header::HeaderValue;
use serde_json::{Value, json};

use super::body::{Body, places, read_whole};
use super::node;
use super::request::{Call, FIRSTCOME_SEQ, SERVER_TIMING};
use super::route::Route;
use super::worker::Worker;
use crate::admission::Caller;
use crate::admission::operators::Operator;
use crate::api::Problem;
use crate::deadlines::within;
use crate::engine::{COMMAND_NAMES, Command, Effect, OUTCOME_NAMES, Outcome, Subject};
use crate::read::connection::is_moved;
use crate::store::PrivateData;
use crate::telemetry::traces::WriteTimeline;
use crate::types::{Digest, Seq, hex};
use crate::writer::{Class, Decided, NotApplied, Submission, SubmitError, Ticket, WriterReply};

/// The response of a handler that waits.
pub(super) type HandlerFuture<'c> = Pin<Box<dyn Future<Output = Result<Response<Body>, Problem>> + 'c>>;

/// The result of calling a handler.
pub(super) enum HandlerResponse<'c> {
    Now(Result<Response<Body>, Problem>),
    /// Boxed: else room for the largest handler would be copied about with every hot read.
    Later(HandlerFuture<'c>),
}

/// The handler of a route.
#[derive(Clone, Copy)]
pub(super) enum Handler {
    /// Responds without waiting for anything.
    Now(fn(&Rc<Worker>, &Call) -> Result<Response<Body>, Problem>),
    /// Waits for a body, the writer or the query thread, so that a client can have several in flight on one thread.
    Later(for<'c> fn(&'c Rc<Worker>, Call) -> HandlerFuture<'c>),
}

/// A row of the table of routes: the description and its handler.
pub(super) struct RouteEntry {
    pub(super) route: Route,
    pub(super) handler: Handler,
}

/// The last step of a row.
impl Route {
    /// Adds a handler that responds at once.
    const fn now(self, handler: fn(&Rc<Worker>, &Call) -> Result<Response<Body>, Problem>) -> RouteEntry {
        RouteEntry { route: self, handler: Handler::Now(handler) }
    }

    /// Adds a handler that waits; its requests count as in flight.
    const fn later(self, handler: for<'c> fn(&'c Rc<Worker>, Call) -> HandlerFuture<'c>) -> RouteEntry {
        RouteEntry { route: self.counts_in_flight(), handler: Handler::Later(handler) }
    }
}

/// Returns the example of a body with only a reason.
fn example_reason() -> Value {
    json!({ "reason": "a wrong price" })
}

/// Reads a body that may be longer than `http.body_bytes_max`. The memory of such bodies that are read at once is limited.
async fn read_long(worker: &Worker, call: &mut Call, bytes_max: usize) -> Result<Bytes, Problem> {
    let (headers, bounds) = (&call.parts.headers, worker.body_bounds());
    let Some(body) = call.body.take() else { return Ok(Bytes::new()) };
    let places = places(headers, bounds.limits.body_bytes_max, bytes_max);
    let permit = worker.server.long_bodies.try_acquire_many(places);
    let _places = permit.map_err(|_| overloaded(worker, worker.writer.queue_depth()))?;
    read_whole(headers, body, bounds, bytes_max).await
}

/// Submits a command to the writer and waits for the reply, within the reply deadline. Operators have reserved slots in
/// the queue.
pub(super) fn submit<'c>(
    worker: &'c Worker,
    caller: &'c Caller,
    command: Command,
    private_data: Option<PrivateData>,
) -> impl Future<Output = Result<Decided, Problem>> + use<'c> {
    let class = if caller.operator().is_some() { Class::Operator } else { Class::Buyer };
    submit_as(worker, class, caller, command, private_data)
}

/// Submits a command with the queue slots of a class.
pub(super) async fn submit_as(
    worker: &Worker,
    class: Class,
    caller: &Caller,
    command: Command,
    private_data: Option<PrivateData>,
) -> Result<Decided, Problem> {
    let name = command.index().and_then(|index| COMMAND_NAMES.get(index)).copied().unwrap_or("advance");
    let about = command.buyer();
    let ticket = queue(worker, Submission { command, private_data, class })?;
    let decided = reply_to(worker, ticket, worker.server.config.reply_deadline).await?;
    if let Some(operator) = caller.operator() {
        log_operation(operator, name, about, &decided);
    }
    Ok(decided)
}

/// Queues a command for the writer.
fn queue(worker: &Worker, submission: Submission) -> Result<Ticket, Problem> {
    let ticket = worker.writer.submit_from(submission, worker.mailbox);
    ticket.map_err(|submit_error| rejected(worker, submit_error))
}

/// Waits for the reply to a queued command, at most for a time.
async fn reply_to(worker: &Worker, ticket: Ticket, at_most: Duration) -> Result<Decided, Problem> {
    let accepted = ticket.accepted();
    let reply = within(at_most, ticket.answer()).await;
    worker.timeline.set(Some(match &reply {
        Some(reply) => reply.timeline(accepted),
        None => WriteTimeline { accepted, stages: None },
    }));
    match reply {
        Some(WriterReply::Decided(decided)) => Ok(decided),
        Some(WriterReply::TooOld) => Err(overloaded(worker, worker.writer.queue_depth())),
        Some(WriterReply::NotApplied(NotApplied::ReadOnly)) => Err(Problem::ReadOnly),
        Some(WriterReply::NotApplied(NotApplied::Ending)) => Err(Problem::Draining),
        Some(WriterReply::NotApplied(NotApplied::NotLeader)) => Err(node::not_leader(worker)),
        Some(WriterReply::NotApplied(NotApplied::NoRepeat)) => Err(Problem::NotFound),
        Some(WriterReply::Unknown) => Err(Problem::OutcomeUnknown),
        None => {
            worker.server.reply_timeouts.increment(1);
            Err(Problem::OutcomeUnknown)
        }
    }
}

/// Returns the problem for a command that was not accepted into the queue. Nothing was decided.
pub(super) fn rejected(worker: &Worker, submit_error: SubmitError) -> Problem {
    let problem = match submit_error {
        SubmitError::QueueFull { depth } => overloaded(worker, depth),
        SubmitError::Stopping => Problem::Draining,
        SubmitError::ReadOnly => Problem::ReadOnly,
        // The queue is not the reason.
        SubmitError::NotLeader => return node::not_leader(worker),
    };
    worker.server.queue_rejections.increment(1);
    problem
}

/// Logs an operator's command. Buyers' commands are only counted in the metrics.
fn log_operation(operator: &Operator, command: &'static str, buyer: Option<Digest>, decided: &Decided) {
    let outcome = OUTCOME_NAMES.get(decided.outcome.index()).copied().unwrap_or("");
    let subject = decided.outcome.subject();
    let subject = subject.map(|subject| subject_text(subject, buyer)).map(tracing::field::display);
    tracing::info!(operator = %operator.name, command, outcome, subject, "operator command");
}

/// Returns the text of a subject for the log, such as `drop 2`. A buyer has the digest that the audit has, and no name.
fn subject_text(subject: Subject, buyer: Option<Digest>) -> String {
    match subject {
        Subject::Drop(id) => format!("drop {}", id.get()),
        Subject::Order(seq) => format!("order {seq}"),
        Subject::Auction(id) => format!("auction {}", id.get()),
        Subject::Bid(auction, seq) => format!("bid {seq} in auction {}", auction.get()),
        Subject::Endpoint(seq) => format!("endpoint {seq}"),
        Subject::LineEntry(seq) => format!("entry {seq} of a line"),
        Subject::File => buyer.map_or_else(|| "database".into(), |buyer| format!("buyer {}", hex::encode(&buyer.0))),
    }
}

/// Submits an operator's command. A creation that is to be answered only if its key is known is asked of the writer: one with that
/// key may be on its way there, and is not in the file yet.
pub(super) async fn submit_operation(
    worker: &Worker,
    call: &Call,
    is_creation: bool,
    command: Command,
    private_data: Option<PrivateData>,
) -> Result<Decided, Problem> {
    if is_creation && call.only_repeats()? {
        return submit_as(worker, Class::OperatorRepeat, &call.caller, command, private_data).await;
    }
    submit(worker, &call.caller, command, private_data).await
}

fn overloaded(worker: &Worker, queue_depth: usize) -> Problem {
    Problem::Overloaded { queue_depth, retry_after: worker.wait_for_queue() }
}

/// Returns the problem for a query that the query thread did not answer.
pub(super) fn query_thread_busy(worker: &Worker) -> Problem {
    overloaded(worker, worker.writer.queue_depth())
}

/// Logs a failed read and returns the problem, which has no details. If the file was replaced, the server ends within a
/// second, and the next one serves.
pub(super) fn fault(error: &rusqlite::Error) -> Problem {
    tracing::error!(%error, "a read failed");
    if is_moved(error) { Problem::Draining } else { Problem::Internal }
}

/// Returns the problem of a read that failed after a command was decided.
pub(super) fn after_decision(problem: Problem) -> Problem {
    if matches!(problem, Problem::Draining) { Problem::OutcomeUnknown } else { problem }
}

/// A decision that is not a refusal.
pub(super) struct AcceptedWrite {
    /// The value of the header `Firstcome-Seq`.
    pub(super) seq: Seq,
    /// True if an earlier request had the same effect.
    pub(super) repeated: bool,
}

/// Returns the event of a decision, or the problem if it is a refusal.
pub(super) fn accepted_seq(decided: &Decided) -> Result<AcceptedWrite, Problem> {
    match &decided.outcome {
        Outcome::Accepted(effect) => {
            let repeated = matches!(effect, Effect::Bid(receipt) if receipt.repeated);
            Ok(AcceptedWrite { seq: effect.seq(), repeated })
        }
        Outcome::Repeated { as_of_seq, .. } => Ok(AcceptedWrite { seq: *as_of_seq, repeated: true }),
        Outcome::Refused { refusal, as_of_seq } => {
            Err(Problem::Refused { refusal: refusal.clone(), as_of_seq: *as_of_seq, at: decided.at })
        }
        Outcome::Advanced => Ok(AcceptedWrite { seq: Seq::ZERO, repeated: false }),
    }
}

/// Adds the headers of every write: `Firstcome-Seq` and `Server-Timing`.
pub(super) fn with_write_headers(mut response: Response<Body>, seq: Seq, decided: &Decided) -> Response<Body> {
    let timing = &decided.timing;
    let mut text = Vec::with_capacity(64);
    for (stage, took) in [("queue", timing.queue), (", decide", timing.decide), (", commit", timing.commit)] {
        text.extend_from_slice(stage.as_bytes());
        text.extend_from_slice(b";dur=");
        push_millis(&mut text, took);
    }
    let headers = response.headers_mut();
    headers.insert(FIRSTCOME_SEQ, HeaderValue::from(seq.get()));
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(text)) {
        headers.insert(SERVER_TIMING, value);
    }
    response
}

/// Appends a duration in milliseconds with three decimals. By digits: as text of floats three of them
/// took 3,300 instructions an order.
fn push_millis(text: &mut Vec<u8>, duration: Duration) {
    let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    text.extend_from_slice(itoa::Buffer::new().format(us / 1000).as_bytes());
    // Above 1000, so that zeroes stand.
    let mut digits = itoa::Buffer::new();
    let [_, decimals @ ..] = digits.format(1000 + us % 1000).as_bytes() else { return };
    text.push(b'.');
    text.extend_from_slice(decimals);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::DropId;

    #[test]
    fn durations_are_in_milliseconds_with_three_decimals() {
        let text = |us| {
            let mut text = Vec::new();
            push_millis(&mut text, Duration::from_micros(us));
            String::from_utf8(text).expect("digits")
        };
        assert_eq!([text(0), text(7), text(1_050), text(12_345_678)], ["0.000", "0.007", "1.050", "12345.678"]);
    }

    #[test]
    fn the_log_names_subjects_in_words() {
        let id = DropId::new(2).expect("not 0");
        assert_eq!(subject_text(Subject::Drop(id), None), "drop 2");
        assert_eq!(subject_text(Subject::Order(Seq::ZERO.next()), None), "order 1");
        assert_eq!(subject_text(Subject::File, None), "database");
        assert_eq!(subject_text(Subject::File, Some(Digest([0xab; 16]))), format!("buyer {}", "ab".repeat(16)));
    }
}

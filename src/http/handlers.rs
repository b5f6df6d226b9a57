//! What routes do, a file per noun; and the one exhaustive match from route to handler.

mod auctions;
mod audit;
mod contacts;
mod drops;
mod endpoints;
mod health;
mod metrics;
mod operate;
mod orders;
mod pages;
mod payments;
mod remedy;
mod reports;
mod streams;

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::Response;
use hyper::header::HeaderValue;

use super::Problem;
use super::body::Body;
use super::request::{Call, FIRSTCOME_SEQ, SERVER_TIMING};
use super::routes::{Action, ROUTES};
use super::worker::Worker;
use crate::admission::Caller;
use crate::admission::operators::Operator;
use crate::engine::{COMMAND_NAMES, Command, OUTCOME_NAMES, Outcome};
use crate::store::Beside;
use crate::telemetry::traces::WriteTimeline;
use crate::types::Seq;
use crate::writer::{Class, Decided, NotApplied, Submission, SubmitError, WriterReply};

/// What a handler that waits becomes.
pub(super) type Handling<'c> = Pin<Box<dyn Future<Output = Result<Response<Body>, Problem>> + 'c>>;

/// What became of a call.
pub(super) enum Handled<'c> {
    /// It is answered.
    Now(Result<Response<Body>, Problem>),
    /// It waits. Boxed: else room for the largest handler would be copied about with every hot read.
    Later(Handling<'c>),
}

fn later<'c>(handler: impl Future<Output = Result<Response<Body>, Problem>> + 'c) -> Handled<'c> {
    Handled::Later(Box::pin(handler))
}

/// Runs the handler of a route, or begins to.
pub(super) fn run(worker: &Rc<Worker>, route: usize, call: Call) -> Handled<'_> {
    use Handled::Now;
    let Some(route) = ROUTES.get(route) else { return Now(Err(Problem::NotFound)) };
    match route.action {
        Action::ListDrops => later(async move { drops::list(worker, &call).await }),
        Action::GetDrop => Now(drops::get(worker, &call)),
        Action::StreamDrop => Now(streams::drop_changes(worker, &call)),
        Action::PlaceOrder => later(orders::place(worker, call)),
        Action::GetOrder => Now(orders::get(worker, &call)),
        Action::Checkout => later(orders::checkout(worker, call)),
        Action::CancelOrder => later(async move { orders::cancel(worker, &call).await }),
        Action::ListAuctions => later(async move { auctions::list(worker, &call).await }),
        Action::GetAuction => Now(auctions::get(worker, &call)),
        Action::StreamAuction => Now(streams::auction_changes(worker, &call)),
        Action::ListBids => later(async move { auctions::bids(worker, &call).await }),
        Action::GetAuctionOrder => Now(auctions::order(worker, &call)),
        Action::PlaceBid => later(auctions::bid(worker, call)),
        Action::BuyNow => later(auctions::buy_now(worker, call)),
        Action::CreateAuction => later(auctions::create(worker, call)),
        Action::CancelAuction => later(auctions::cancel(worker, call)),
        Action::HearProvider => later(payments::hear(worker, call)),
        Action::OrderPage => Now(pages::order(worker, &call)),
        Action::DemoShop => Now(pages::shop(worker)),
        Action::DemoReserve => later(pages::reserve(worker, call)),
        Action::DemoCheckout => later(pages::check_out(worker, call)),
        Action::DemoSandbox => later(pages::sandbox(worker, call)),
        Action::OpenApi => Now(Ok(health::openapi())),
        Action::CreateDrop => later(drops::create(worker, call)),
        Action::PatchDrop => later(drops::patch(worker, call)),
        Action::PauseDrop => {
            later(drops::with_reason(worker, call, |drop_id, reason| Command::PauseDrop { drop_id, reason }))
        }
        Action::ResumeDrop => {
            later(drops::with_reason(worker, call, |drop_id, reason| Command::ResumeDrop { drop_id, reason }))
        }
        Action::CloseDrop => {
            later(drops::with_reason(worker, call, |drop_id, reason| Command::CloseDrop { drop_id, reason }))
        }
        Action::AdjustStock => later(drops::adjust_stock(worker, call)),
        Action::LookAtLastOrders => later(async move { remedy::look(worker, &call).await }),
        Action::UndoLastOrders => later(remedy::undo(worker, call)),
        Action::RecordPayment => later(operate::record_payment(worker, call)),
        Action::RefundOrder => later(operate::refund(worker, call)),
        Action::SettleRefund => later(operate::settle_refund(worker, call)),
        Action::ListPayments => Now(operate::payments(worker, &call)),
        Action::CreateEndpoint => later(endpoints::create(worker, call)),
        Action::ListEndpoints => Now(endpoints::list(worker)),
        Action::GetEndpoint => Now(endpoints::get(worker, &call)),
        Action::PatchEndpoint => later(endpoints::patch(worker, call)),
        Action::DeleteEndpoint => later(async move { endpoints::delete(worker, &call).await }),
        Action::RotateSecret => later(endpoints::rotate(worker, call)),
        Action::ListDeliveries => Now(endpoints::deliveries(worker, &call)),
        Action::ResendDeliveries => later(endpoints::resend(worker, call)),
        Action::ReadContact => later(async move { contacts::read(worker, &call).await }),
        Action::EraseContact => later(async move { contacts::erase(worker, &call).await }),
        Action::ListOrders => later(async move { reports::list_orders(worker, &call).await }),
        Action::SearchOrders => later(reports::search(worker, call)),
        Action::Audit => Now(audit::stream(worker, &call)),
        Action::Metrics => Now(Ok(metrics::show(worker))),
        Action::Healthz => Now(Ok(health::alive())),
        Action::Readyz => Now(health::ready(worker)),
    }
}

/// Hands a command to the writer and waits for its answer, within the reply deadline. Operators have places in the
/// queue that buyers cannot take.
pub(super) async fn submit(
    worker: &Worker,
    caller: &Caller,
    command: Command,
    beside: Option<Beside>,
) -> Result<Decided, Problem> {
    let class = if caller.operator().is_some() { Class::Operator } else { Class::Buyer };
    submit_as(worker, class, caller, command, beside).await
}

/// The same, with the places of a class.
pub(super) async fn submit_as(
    worker: &Worker,
    class: Class,
    caller: &Caller,
    command: Command,
    beside: Option<Beside>,
) -> Result<Decided, Problem> {
    let name = command.index().and_then(|index| COMMAND_NAMES.get(index)).copied().unwrap_or("advance");
    let ticket = worker.writer.submit_from(Submission { command, beside, class }, worker.port);
    let ticket = ticket.map_err(|turned_away| not_let_in(worker, turned_away))?;
    let accepted = ticket.accepted();
    let answer = tokio::time::timeout(worker.server.config.reply_deadline, ticket.answer()).await;
    worker.timeline.set(Some(match &answer {
        Ok(answer) => answer.timeline(accepted),
        Err(_) => WriteTimeline { accepted, stages: None },
    }));
    match answer {
        Ok(WriterReply::Decided(decided)) => {
            if let Some(operator) = caller.operator() {
                log_operation(operator, name, &decided);
            }
            Ok(decided)
        }
        Ok(WriterReply::TooOld) => Err(overloaded(worker, worker.writer.queue_depth())),
        Ok(WriterReply::NotApplied(NotApplied::ReadOnly)) => Err(Problem::ReadOnly),
        Ok(WriterReply::NotApplied(NotApplied::Ending)) => Err(Problem::Draining),
        Ok(WriterReply::Unknown) => Err(Problem::OutcomeUnknown),
        Err(_) => {
            worker.server.reply_timeouts.increment(1);
            Err(Problem::OutcomeUnknown)
        }
    }
}

/// What a client is told whose command was not let in: nothing was decided.
pub(super) fn not_let_in(worker: &Worker, turned_away: SubmitError) -> Problem {
    worker.server.turned_away.increment(1);
    match turned_away {
        SubmitError::QueueFull { depth } => overloaded(worker, depth),
        SubmitError::Stopping => Problem::Draining,
        SubmitError::ReadOnly => Problem::ReadOnly,
    }
}

/// What operators do is worth a line each; what buyers do is in the metrics.
fn log_operation(operator: &Operator, command: &'static str, decided: &Decided) {
    let outcome = OUTCOME_NAMES.get(decided.outcome.index()).copied().unwrap_or("");
    let subject = match &decided.outcome {
        Outcome::Accepted { subject, .. } | Outcome::Repeated { subject, .. } => Some(*subject),
        Outcome::Reserved(_)
        | Outcome::Heard { .. }
        | Outcome::Bid(_)
        | Outcome::Refused { .. }
        | Outcome::Advanced => None,
    };
    tracing::info!(operator = %operator.name, command, outcome, ?subject, "an operator's command");
}

fn overloaded(worker: &Worker, queue_depth: usize) -> Problem {
    Problem::Overloaded { queue_depth, retry_after: worker.wait_for_queue() }
}

/// What the desk says when too many questions wait.
pub(super) fn query_thread_busy(worker: &Worker) -> Problem {
    overloaded(worker, worker.writer.queue_depth())
}

/// What a reader's error becomes: logged here, and nothing of it told.
pub(super) fn fault(error: &rusqlite::Error) -> Problem {
    tracing::error!(%error, "a read failed");
    Problem::Internal
}

/// How a decision ended well.
pub(super) struct Done {
    /// The number for `Firstcome-Seq`.
    pub(super) seq: Seq,
    /// Whether it had happened before.
    pub(super) repeated: bool,
}

/// Sorts a decision into what is answered with the resource, and refusals.
pub(super) fn done(decided: &Decided) -> Result<Done, Problem> {
    match &decided.outcome {
        Outcome::Reserved(reservation) => Ok(Done { seq: reservation.seq, repeated: false }),
        Outcome::Accepted { seq, .. } | Outcome::Heard { seq, .. } => Ok(Done { seq: *seq, repeated: false }),
        Outcome::Bid(receipt) => Ok(Done { seq: receipt.seq, repeated: receipt.repeated }),
        Outcome::Repeated { as_of_seq, .. } => Ok(Done { seq: *as_of_seq, repeated: true }),
        Outcome::Refused { refusal, as_of_seq } => {
            Err(Problem::Refused { refusal: refusal.clone(), as_of_seq: *as_of_seq, at: decided.at })
        }
        Outcome::Advanced => Ok(Done { seq: Seq::ZERO, repeated: false }),
    }
}

/// Adds what every write's answer says: its number, and where its time went.
pub(super) fn written(mut response: Response<Body>, seq: Seq, decided: &Decided) -> Response<Body> {
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let timing = &decided.timing;
    let text = format!(
        "queue;dur={:.3}, decide;dur={:.3}, commit;dur={:.3}",
        ms(timing.queue),
        ms(timing.decide),
        ms(timing.commit)
    );
    let headers = response.headers_mut();
    headers.insert(FIRSTCOME_SEQ, HeaderValue::from(seq.get()));
    if let Ok(value) = HeaderValue::from_maybe_shared(hyper::body::Bytes::from(text)) {
        headers.insert(SERVER_TIMING, value);
    }
    response
}

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

use std::rc::Rc;
use std::time::Duration;

use hyper::Response;
use hyper::header::HeaderValue;

use super::Problem;
use super::body::Body;
use super::core::Core;
use super::request::{Call, FIRSTCOME_SEQ, SERVER_TIMING};
use super::routes::{Action, ROUTES};
use crate::admission::Caller;
use crate::admission::operators::Operator;
use crate::engine::{COMMAND_NAMES, Command, OUTCOME_NAMES, Outcome};
use crate::store::Beside;
use crate::telemetry::traces::Trip;
use crate::types::Seq;
use crate::writer::{Answer, Class, Decided, NotApplied, Submission, TurnedAway};

/// Runs the handler of a route.
///
/// # Errors
/// Whatever the client must be told instead.
pub async fn run(core: &Rc<Core>, route: usize, call: Call) -> Result<Response<Body>, Problem> {
    let Some(route) = ROUTES.get(route) else { return Err(Problem::NotFound) };
    // What waits is boxed: else room for the largest handler would be copied about with every hot read.
    match route.action {
        Action::ListDrops => Box::pin(drops::list(core, &call)).await,
        Action::GetDrop => drops::get(core, &call),
        Action::StreamDrop => streams::drop_changes(core, &call),
        Action::PlaceOrder => Box::pin(orders::place(core, call)).await,
        Action::GetOrder => orders::get(core, &call),
        Action::Checkout => Box::pin(orders::checkout(core, call)).await,
        Action::CancelOrder => Box::pin(orders::cancel(core, &call)).await,
        Action::ListAuctions => Box::pin(auctions::list(core, &call)).await,
        Action::GetAuction => auctions::get(core, &call),
        Action::StreamAuction => streams::auction_changes(core, &call),
        Action::ListBids => Box::pin(auctions::bids(core, &call)).await,
        Action::GetAuctionOrder => auctions::order(core, &call),
        Action::PlaceBid => Box::pin(auctions::bid(core, call)).await,
        Action::BuyNow => Box::pin(auctions::buy_now(core, call)).await,
        Action::CreateAuction => Box::pin(auctions::create(core, call)).await,
        Action::CancelAuction => Box::pin(auctions::cancel(core, call)).await,
        Action::HearProvider => Box::pin(payments::hear(core, call)).await,
        Action::OrderPage => pages::order(core, &call),
        Action::DemoShop => pages::shop(core),
        Action::DemoReserve => Box::pin(pages::reserve(core, call)).await,
        Action::DemoCheckout => Box::pin(pages::check_out(core, call)).await,
        Action::DemoSandbox => Box::pin(pages::sandbox(core, call)).await,
        Action::OpenApi => Ok(health::openapi()),
        Action::CreateDrop => Box::pin(drops::create(core, call)).await,
        Action::PatchDrop => Box::pin(drops::patch(core, call)).await,
        Action::PauseDrop => {
            Box::pin(drops::with_reason(core, call, |drop_id, reason| Command::PauseDrop { drop_id, reason })).await
        }
        Action::ResumeDrop => {
            Box::pin(drops::with_reason(core, call, |drop_id, reason| Command::ResumeDrop { drop_id, reason })).await
        }
        Action::CloseDrop => {
            Box::pin(drops::with_reason(core, call, |drop_id, reason| Command::CloseDrop { drop_id, reason })).await
        }
        Action::AdjustStock => Box::pin(drops::adjust_stock(core, call)).await,
        Action::LookAtLastOrders => Box::pin(remedy::look(core, &call)).await,
        Action::UndoLastOrders => Box::pin(remedy::undo(core, call)).await,
        Action::RecordPayment => Box::pin(operate::record_payment(core, call)).await,
        Action::RefundOrder => Box::pin(operate::refund(core, call)).await,
        Action::SettleRefund => Box::pin(operate::settle_refund(core, call)).await,
        Action::ListPayments => operate::payments(core, &call),
        Action::CreateEndpoint => Box::pin(endpoints::create(core, call)).await,
        Action::ListEndpoints => endpoints::list(core),
        Action::GetEndpoint => endpoints::get(core, &call),
        Action::PatchEndpoint => Box::pin(endpoints::patch(core, call)).await,
        Action::DeleteEndpoint => Box::pin(endpoints::delete(core, &call)).await,
        Action::RotateSecret => Box::pin(endpoints::rotate(core, call)).await,
        Action::ListDeliveries => endpoints::deliveries(core, &call),
        Action::ResendDeliveries => Box::pin(endpoints::resend(core, call)).await,
        Action::ReadContact => Box::pin(contacts::read(core, &call)).await,
        Action::EraseContact => Box::pin(contacts::erase(core, &call)).await,
        Action::ListOrders => Box::pin(reports::list_orders(core, &call)).await,
        Action::SearchOrders => Box::pin(reports::search(core, call)).await,
        Action::Audit => audit::stream(core, &call),
        Action::Metrics => Ok(metrics::show(core)),
        Action::Healthz => Ok(health::alive()),
        Action::Readyz => health::ready(core),
    }
}

/// Hands a command to the writer and waits for its answer, within the reply deadline. Operators have places in the
/// queue that buyers cannot take.
pub(super) async fn submit(
    core: &Core,
    caller: &Caller,
    command: Command,
    beside: Option<Beside>,
) -> Result<Decided, Problem> {
    let class = if caller.operator().is_some() { Class::Operator } else { Class::Buyer };
    submit_as(core, class, caller, command, beside).await
}

/// The same, with the places of a class.
pub(super) async fn submit_as(
    core: &Core,
    class: Class,
    caller: &Caller,
    command: Command,
    beside: Option<Beside>,
) -> Result<Decided, Problem> {
    let name = command.index().and_then(|index| COMMAND_NAMES.get(index)).copied().unwrap_or("advance");
    let ticket = core.writer.submit_from(Submission { command, beside, class }, core.port);
    let ticket = ticket.map_err(|turned_away| not_let_in(core, turned_away))?;
    let accepted = ticket.accepted();
    let answer = tokio::time::timeout(core.site.config.reply_deadline, ticket.answer()).await;
    core.trip.set(Some(match &answer {
        Ok(answer) => answer.trip(accepted),
        Err(_) => Trip { accepted, stages: None },
    }));
    match answer {
        Ok(Answer::Decided(decided)) => {
            if let Some(operator) = caller.operator() {
                log_operation(operator, name, &decided);
            }
            Ok(decided)
        }
        Ok(Answer::TooOld) => Err(overloaded(core, core.writer.queue_depth())),
        Ok(Answer::NotApplied(NotApplied::ReadOnly)) => Err(Problem::ReadOnly),
        Ok(Answer::NotApplied(NotApplied::Ending)) => Err(Problem::Draining),
        Ok(Answer::Unknown) => Err(Problem::OutcomeUnknown),
        Err(_) => {
            core.site.reply_timeouts.increment(1);
            Err(Problem::OutcomeUnknown)
        }
    }
}

/// What a client is told whose command was not let in: nothing was decided.
pub(super) fn not_let_in(core: &Core, turned_away: TurnedAway) -> Problem {
    core.site.turned_away.increment(1);
    match turned_away {
        TurnedAway::QueueFull { depth } => overloaded(core, depth),
        TurnedAway::Stopping => Problem::Draining,
        TurnedAway::ReadOnly => Problem::ReadOnly,
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

fn overloaded(core: &Core, queue_depth: usize) -> Problem {
    Problem::Overloaded { queue_depth, retry_after: core.wait_for_queue() }
}

/// What the desk says when too many questions wait.
pub(super) fn desk_busy(core: &Core) -> Problem {
    overloaded(core, core.writer.queue_depth())
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

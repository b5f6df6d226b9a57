//! The rounds of the thread that makes sessions: who wants one, who is asked for it, who is asked again and when.
//!
//! Bounds: so many orders are kept in mind, so many requests are in flight; while a provider fails, one at a time. How
//! long a provider is asked for a session is bounded by the order's own time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{ProviderSession, SessionDependencies, SessionError, SessionProvider, SessionRequest};
use crate::engine::{Command, Outcome};
use crate::read::{Reader, rows, sessions};
use crate::store::Beside;
use crate::telemetry::catalogue as metric;
use crate::types::{Amount, OrderState, Seq, random};
use crate::writer::{Class, Submission, WriterHandle, WriterReply};

/// How often it looks for orders.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Orders in mind; those beyond stay in the file until there is room.
const WAITING_MAX: usize = 10_000;
/// After so many failures in a row the provider is tried by one request at a time.
const FAILURES_IN_A_ROW: u32 = 5;
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What the rounds know.
pub(super) struct SessionLoop {
    provider: Arc<SessionProvider>,
    in_flight_max: usize,
    reader: Reader,
    writer: WriterHandle,
    public_url: String,
    meter: SessionMetrics,
    /// The last event that was looked at; `None`: nothing yet.
    followed: Option<Seq>,
    /// The last order that was looked at for the start; `None`: all were.
    walked: Option<Seq>,
    /// Orders that want a session: how often it was tried, and when it may be again.
    waiting: BTreeMap<Seq, (u32, Instant)>,
    in_flight: JoinSet<FinishedRequest>,
    failures: u32,
    /// The provider is left alone until then.
    resting: Option<Instant>,
}

/// A request that came to its end.
struct FinishedRequest {
    order: Seq,
    attempts: u32,
    result: Result<(), CreateError>,
}

/// Why a session is not there.
enum CreateError {
    /// It was not made.
    NotCreated(SessionError),
    /// It was made, but could not be recorded.
    NotRecorded,
}

struct SessionMetrics {
    made: metrics::Counter,
    failed: metrics::Counter,
    refused: metrics::Counter,
    waiting: metrics::Gauge,
}

impl SessionLoop {
    pub(super) fn new(
        provider: Arc<SessionProvider>,
        in_flight_max: usize,
        reader: Reader,
        parts: SessionDependencies,
    ) -> SessionLoop {
        let counter = |result| parts.telemetry.counter(&metric::SESSIONS, &[("result", result)]);
        let meter = SessionMetrics {
            made: counter("made"),
            failed: counter("failed"),
            refused: counter("refused"),
            waiting: parts.telemetry.gauge(&metric::SESSIONS_WAITING, &[]),
        };
        SessionLoop {
            provider,
            in_flight_max,
            reader,
            writer: parts.writer,
            public_url: parts.public_url,
            meter,
            followed: None,
            walked: Some(Seq::ZERO),
            waiting: BTreeMap::new(),
            in_flight: JoinSet::new(),
            failures: 0,
            resting: None,
        }
    }

    /// Goes round until it is asked to end. What is in flight then is asked for again at the next start.
    pub(super) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        while !*stopping.borrow() {
            let more = self.look().unwrap_or_else(|error| {
                tracing::error!(%error, "orders that want a payment session could not be read");
                false
            });
            self.ask();
            let in_mind = self.waiting.len().saturating_add(self.in_flight.len());
            self.meter.waiting.set(f64::from(u32::try_from(in_mind).unwrap_or(u32::MAX)));
            let pause = if more { Duration::ZERO } else { LOOK_EVERY };
            tokio::select! {
                Some(ended) = self.in_flight.join_next() => match ended {
                    Ok(done) => self.done(done),
                    Err(error) => tracing::error!(%error, "a request for a payment session panicked"),
                },
                () = tokio::time::sleep(pause) => {}
                _ = stopping.changed() => {}
            }
        }
    }

    /// Looks for orders that want a session. Returns whether there may be more at once.
    fn look(&mut self) -> rusqlite::Result<bool> {
        if self.waiting.len() >= WAITING_MAX {
            return Ok(false);
        }
        let Some(followed) = self.followed else {
            // What comes after this event is followed; what came before is found by its order.
            self.followed = Some(self.reader.read(sessions::last_event)?);
            return Ok(true);
        };
        let walk = match self.walked {
            Some(walked) => {
                let look = self.reader.read(|connection| sessions::awaiting_payment(connection, walked))?;
                self.walked = look.more.then_some(look.last);
                look
            }
            None => {
                let look = self.reader.read(|connection| sessions::checked_out_since(connection, followed))?;
                self.followed = Some(look.last);
                look
            }
        };
        let now = Instant::now();
        for order in walk.orders {
            self.waiting.entry(order).or_insert((0, now));
        }
        Ok(walk.more || self.walked.is_some())
    }

    /// Asks the provider for the sessions whose turn it is.
    fn ask(&mut self) {
        let now = Instant::now();
        if self.resting.is_some_and(|until| now < until) {
            return;
        }
        let places = if self.failures < FAILURES_IN_A_ROW { self.in_flight_max } else { 1 };
        let free = places.saturating_sub(self.in_flight.len());
        let due = self.waiting.iter().filter(|(_, (_, not_before))| *not_before <= now);
        let due: Vec<(Seq, u32)> = due.take(free).map(|(order, (attempts, _))| (*order, *attempts)).collect();
        for (order, attempts) in due {
            self.waiting.remove(&order);
            match self.wanted(order) {
                Ok(Some(wanted)) => {
                    let (provider, writer) = (Arc::clone(&self.provider), self.writer.clone());
                    self.in_flight.spawn(async move {
                        let result = make(&provider, &writer, order, &wanted).await;
                        FinishedRequest { order, attempts, result }
                    });
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, %order, "an order that wants a payment session could not be read");
                    self.again(order, attempts, None);
                }
            }
        }
    }

    /// What the provider must know of an order, if that still wants a session.
    fn wanted(&self, order: Seq) -> rusqlite::Result<Option<SessionRequest>> {
        let Some(row) = self.reader.read(|connection| rows::order_by_seq(connection, order))? else { return Ok(None) };
        let wants = row.state == OrderState::AwaitingPayment
            && row.expires_at > self.writer.clock.now()
            && row.amount() != Amount::ZERO;
        if !wants || self.reader.read(|connection| sessions::has_session(connection, order))? {
            return Ok(None);
        }
        let sold = self.reader.read(|connection| rows::drop_by_id(connection, row.drop_id))?;
        Ok(sold.map(|sold| SessionRequest {
            id: row.id(),
            page: format!("{}/pay/{}", self.public_url, row.id()),
            name: sold.name,
            quantity: row.quantity,
            unit_price: row.unit_price,
            currency: row.currency,
            expires_at: row.expires_at,
        }))
    }

    fn done(&mut self, done: FinishedRequest) {
        let FinishedRequest { order, attempts, result } = done;
        match result {
            Ok(()) => {
                self.failures = 0;
                self.meter.made.increment(1);
            }
            Err(CreateError::NotRecorded) => self.again(order, attempts, None),
            Err(CreateError::NotCreated(SessionError::Permanent(why))) => {
                self.failures = 0;
                self.meter.refused.increment(1);
                tracing::error!(%order, %why, "the provider makes no payment session for this order");
            }
            Err(CreateError::NotCreated(SessionError::Retry { why, retry_after })) => {
                self.meter.failed.increment(1);
                self.failures = self.failures.saturating_add(1);
                tracing::warn!(%order, attempts, %why, "no payment session yet");
                self.again(order, attempts, retry_after);
                let all = self.failures.checked_sub(FAILURES_IN_A_ROW).map(backoff);
                if let Some(wait) = retry_after.max(all) {
                    self.resting = Some(Instant::now() + wait);
                }
            }
        }
    }

    fn again(&mut self, order: Seq, attempts: u32, retry_after: Option<Duration>) {
        let wait = backoff(attempts).max(retry_after.unwrap_or_default());
        self.waiting.insert(order, (attempts.saturating_add(1), Instant::now() + wait));
    }
}

/// Twice as long each time, and up to half as long again, so that not all come back at once.
fn backoff(attempts: u32) -> Duration {
    let wait = WAIT_MIN.saturating_mul(1 << attempts.min(6)).min(WAIT_MAX);
    let mut spread = [0u8; 1];
    random::fill(&mut spread);
    wait.saturating_add(wait.saturating_mul(u32::from(spread[0])) / 512)
}

/// Asks for a session, and has it recorded.
async fn make(
    provider: &SessionProvider,
    writer: &WriterHandle,
    order: Seq,
    wanted: &SessionRequest,
) -> Result<(), CreateError> {
    let ProviderSession { url, reference } =
        provider.make(wanted, writer.clock.now()).await.map_err(CreateError::NotCreated)?;
    let command = Command::RecordSession { order, provider: provider.provider() };
    let submission = Submission { command, beside: Some(Beside::Session { reference, url }), class: Class::Operator };
    let ticket = writer.submit(submission).map_err(|_| CreateError::NotRecorded)?;
    match ticket.answer().await {
        WriterReply::Decided(decided) => match decided.outcome {
            // Refused: the order has been paid or given back meanwhile, and needs none.
            Outcome::Accepted { .. } | Outcome::Repeated { .. } | Outcome::Refused { .. } => Ok(()),
            Outcome::Reserved(_) | Outcome::Heard { .. } | Outcome::Bid(_) | Outcome::Advanced => {
                Err(CreateError::NotRecorded)
            }
        },
        WriterReply::TooOld | WriterReply::NotApplied(_) | WriterReply::Unknown => Err(CreateError::NotRecorded),
    }
}

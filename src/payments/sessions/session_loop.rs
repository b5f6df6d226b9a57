//! The loop of the session thread: finds orders that need a session, requests sessions, and repeats failed requests.
//!
//! Bounded are the orders in memory and the requests in flight; while the provider fails, one request is in flight at a
//! time. Requests for an order are repeated until the order expires.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::closing::{Closing, Closings, EndedSession};
use super::{
    Duty, NoSession, ProviderSession, RefusedSessions, SessionDependencies, SessionError, SessionProvider,
    SessionRequest,
};
use crate::engine::{Command, Outcome, PaymentCommand};
use crate::failpoints;
use crate::payments::provider_api::backoff;
use crate::read::rows::OrderRow;
use crate::read::{Reader, rows, sessions};
use crate::store::PrivateData;
use crate::telemetry::catalogue as metric;
use crate::types::order_id::code_of;
use crate::types::shard::NumberSeries;
use crate::types::{Amount, OrderState, Seq};
use crate::writer::{Class, ClockReading, Submission, WriterHandle, WriterReply};

/// Pause between two searches for new orders.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Orders in memory; more stay in the file until there is room.
const WAITING_MAX: usize = 10_000;
/// Failures in a row after which one request is in flight at a time.
const FAILURES_IN_A_ROW: u32 = 5;
/// The longest life of a session at a provider: a start closes those that may still be open.
const SESSION_LIFE_MS_MAX: i64 = 25 * 60 * 60 * 1000;
/// The longest time for which a session outlives its order at a provider. What is over is not asked for.
const UNSURE_MS_MAX: i64 = 45 * 60 * 1000;

/// The state of the session thread.
pub(super) struct SessionLoop {
    provider: Arc<SessionProvider>,
    duty: Duty,
    in_flight_max: usize,
    reader: Reader,
    writer: WriterHandle,
    public_url: String,
    series: NumberSeries,
    meter: SessionMetrics,
    /// The last event that was read; `None` before the first read.
    read_to: Option<Seq>,
    /// The last order of the scan at start that was read; `None` once the scan is complete.
    scanned: Option<Seq>,
    /// Orders that need a session: the attempts so far, and the earliest time of the next one.
    waiting: BTreeMap<Seq, (u32, Instant)>,
    /// Orders with a request whose answer, so far, does not tell whether a session exists.
    unsure: BTreeSet<Seq>,
    /// Sessions whose order has ended.
    closings: Closings,
    refused: Arc<RefusedSessions>,
    in_flight: JoinSet<Finished>,
    failures: u32,
    /// No requests before this time.
    paused_until: Option<Instant>,
}

/// The end of a request to the provider.
enum Finished {
    Created(FinishedRequest),
    Closed { order: Seq, closing: Closing, result: Result<(), SessionError> },
}

struct FinishedRequest {
    order: Seq,
    attempts: u32,
    result: Result<Created, CreateError>,
}

/// The fate of a session that the provider created.
enum Created {
    Recorded,
    /// The order ended meanwhile; the session is to be closed.
    NotNeeded {
        reference: Box<str>,
    },
}

/// The reason why an order has no recorded session.
enum CreateError {
    NotCreated(SessionError),
    /// The session exists at the provider, but the writer did not record it.
    NotRecorded,
}

/// The part of an ended order's session that is known.
enum ToClose {
    /// The provider's id of the session.
    Session(Box<str>),
    /// The request that may have made one.
    Request(Box<SessionRequest>),
}

struct SessionMetrics {
    created: metrics::Counter,
    failed: metrics::Counter,
    refused: metrics::Counter,
    /// Set by the service of the configured provider.
    waiting: Option<metrics::Gauge>,
}

impl SessionLoop {
    pub(super) fn new(
        provider: Arc<SessionProvider>,
        duty: Duty,
        in_flight_max: usize,
        parts: SessionDependencies,
    ) -> SessionLoop {
        let counter = |result| parts.telemetry.counter(&metric::SESSIONS, &[("result", result)]);
        let meter = SessionMetrics {
            created: counter("made"),
            failed: counter("failed"),
            refused: counter("refused"),
            waiting: (duty == Duty::Sessions).then(|| parts.telemetry.gauge(&metric::SESSIONS_WAITING, &[])),
        };
        SessionLoop {
            provider,
            duty,
            in_flight_max,
            reader: parts.reader,
            writer: parts.writer,
            public_url: parts.public_url,
            series: parts.series,
            meter,
            read_to: None,
            scanned: Some(Seq::ZERO),
            waiting: BTreeMap::new(),
            unsure: BTreeSet::new(),
            closings: Closings::default(),
            refused: parts.refused,
            in_flight: JoinSet::new(),
            failures: 0,
            paused_until: None,
        }
    }

    /// Runs until `stopping` becomes true, or another node of the cluster leads. Requests in flight then are repeated at the
    /// next start, or by that node.
    pub(super) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        while !*stopping.borrow() && self.writer.may_act() {
            let more = self.find_orders().unwrap_or_else(|error| {
                tracing::error!(%error, "payment sessions: orders could not be read");
                false
            });
            self.request_due();
            failpoints::panic_in("fc-sessions");
            self.close_due();
            let known = self.waiting.len().saturating_add(self.closings.len()).saturating_add(self.in_flight.len());
            if let Some(waiting) = &self.meter.waiting {
                waiting.set(f64::from(u32::try_from(known).unwrap_or(u32::MAX)));
            }
            let pause = if more { Duration::ZERO } else { POLL_INTERVAL };
            tokio::select! {
                Some(ended) = self.in_flight.join_next() => match ended {
                    Ok(Finished::Created(done)) => self.finished(done),
                    Ok(Finished::Closed { order, closing, result }) => {
                        if self.closings.finished(order, closing, result) {
                            self.meter.failed.increment(1);
                        }
                    }
                    Err(error) => tracing::error!(%error, "payment sessions: a request panicked"),
                },
                () = tokio::time::sleep(pause) => {}
                _ = stopping.changed() => {}
            }
        }
        if let Some(waiting) = &self.meter.waiting {
            waiting.set(0.0);
        }
    }

    /// Looks for orders that need a session. Returns true if there may be more at once.
    fn find_orders(&mut self) -> rusqlite::Result<bool> {
        if self.waiting.len() >= WAITING_MAX {
            return Ok(false);
        }
        let Some(read_to) = self.read_to else {
            // Orders after this event are found by events; earlier ones by the scan of orders.
            self.read_to = Some(self.reader.read(sessions::last_event)?);
            return Ok(true);
        };
        let found = match self.scanned {
            Some(scanned) => {
                let now = self.writer.clock.now();
                let since = sessions::ScanSince {
                    ended: now.plus_millis(-SESSION_LIFE_MS_MAX),
                    expired: now.plus_millis(-UNSURE_MS_MAX),
                };
                let batch = self.reader.read(|connection| sessions::awaiting_payment(connection, scanned, since))?;
                self.scanned = batch.more.then_some(batch.last);
                batch
            }
            None => {
                let batch = self.reader.read(|connection| sessions::checked_out_since(connection, read_to))?;
                self.read_to = Some(batch.last);
                batch
            }
        };
        let now = Instant::now();
        let wanted = if self.duty == Duty::Sessions { found.orders } else { Vec::new() };
        for order in wanted {
            self.waiting.entry(order).or_insert((0, now));
        }
        for order in found.ended {
            self.waiting.remove(&order);
            self.refused.remove(order);
            // Most orders that end have no open session, and must not hold up those that need one.
            let provider = self.provider.provider();
            let was_asked = self.unsure.remove(&order);
            let session = match self.reader.read(|connection| sessions::to_close(connection, order, provider)) {
                Ok(Some(reference)) => EndedSession::Known(reference),
                Ok(None) if was_asked => EndedSession::Unsure,
                Ok(None) => continue,
                Err(_) => EndedSession::InFile,
            };
            self.close_later(order, session);
        }
        // Of an order without a session the file does not tell which provider was asked. A service that only closes asks
        // for none, because Stripe would make one: a session whose answer was lost before the provider was changed stays
        // open until its end.
        let unsure = if self.duty == Duty::Sessions { found.unsure } else { Vec::new() };
        for order in unsure {
            self.close_later(order, EndedSession::Unsure);
        }
        Ok(found.more || self.scanned.is_some())
    }

    fn close_later(&mut self, order: Seq, session: EndedSession) {
        if !self.closings.add(order, session) {
            self.meter.failed.increment(1);
        }
    }

    /// Requests the sessions that are due.
    fn request_due(&mut self) {
        let now = Instant::now();
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        let limit = if self.failures < FAILURES_IN_A_ROW { self.in_flight_max } else { 1 };
        let free = limit.saturating_sub(self.in_flight.len());
        let due = self.waiting.iter().filter(|(_, (_, not_before))| *not_before <= now);
        let due: Vec<(Seq, u32)> = due.take(free).map(|(order, (attempts, _))| (*order, *attempts)).collect();
        for (order, attempts) in due {
            self.waiting.remove(&order);
            match self.request(order) {
                Ok(Some(request)) => {
                    let (provider, writer) = (Arc::clone(&self.provider), self.writer.clone());
                    self.unsure.insert(order);
                    self.in_flight.spawn(async move {
                        let result = create(&provider, &writer, order, &request).await;
                        Finished::Created(FinishedRequest { order, attempts, result })
                    });
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, %order, "payment sessions: the order could not be read");
                    self.retry(order, attempts, None);
                }
            }
        }
    }

    /// Closes the sessions that are due, as far as there is room.
    fn close_due(&mut self) {
        let now = Instant::now();
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        let free = self.in_flight_max.saturating_sub(self.in_flight.len());
        for (order, closing) in self.closings.take_due(now, free) {
            let provider = Arc::clone(&self.provider);
            match self.what_to_close(order, &closing.session) {
                Ok(Some(ToClose::Session(reference))) => {
                    self.in_flight.spawn(async move {
                        let result = provider.close(&reference).await;
                        Finished::Closed { order, closing, result }
                    });
                }
                Ok(Some(ToClose::Request(request))) => {
                    self.in_flight.spawn(async move {
                        let result = provider.close_unsure(&request).await;
                        Finished::Closed { order, closing, result }
                    });
                }
                Ok(None) => {}
                Err(error) => {
                    let retry = SessionError::retry(error.to_string());
                    self.closings.finished(order, closing, Err(retry));
                }
            }
        }
    }

    /// Returns what must be closed of an order that has ended, if anything.
    fn what_to_close(&self, order: Seq, session: &EndedSession) -> rusqlite::Result<Option<ToClose>> {
        if let EndedSession::Known(reference) = session {
            return Ok(Some(ToClose::Session(reference.clone())));
        }
        let provider = self.provider.provider();
        if let Some(reference) = self.reader.read(|connection| sessions::to_close(connection, order, provider))? {
            return Ok(Some(ToClose::Session(reference)));
        }
        let is_recorded = self.reader.read(|connection| sessions::has_session(connection, order))?;
        if *session == EndedSession::InFile || is_recorded {
            return Ok(None);
        }
        let row = self.reader.read(|connection| rows::order_by_seq(connection, order))?;
        Ok(row.map(|row| self.describe(&row)).transpose()?.flatten().map(|request| ToClose::Request(Box::new(request))))
    }

    /// Returns the request for an order, if the order still needs a session.
    fn request(&self, order: Seq) -> rusqlite::Result<Option<SessionRequest>> {
        let Some(row) = self.reader.read(|connection| rows::order_by_seq(connection, order))? else { return Ok(None) };
        let needs_session = row.state == OrderState::AwaitingPayment
            && row.expires_at > self.writer.clock.now()
            && row.amount() != Amount::ZERO;
        if !needs_session || self.reader.read(|connection| sessions::has_session(connection, order))? {
            return Ok(None);
        }
        self.describe(&row)
    }

    fn describe(&self, row: &OrderRow) -> rusqlite::Result<Option<SessionRequest>> {
        // An auction's order is of a hidden drop, which has the auction's name.
        let name = self.reader.read(|connection| sessions::name_of_drop(connection, row.drop_id))?;
        Ok(name.map(|name| SessionRequest {
            id: row.id(),
            number: row.drop_id.shard().order_number(self.series, row.seq),
            code: code_of(row.drop_id.shard(), row.seq).replace('-', ""),
            page: format!("{}/pay/{}", self.public_url, row.id()),
            name,
            quantity: row.quantity,
            unit_price: row.unit_price,
            currency: row.currency,
            // The provider has the wall clock only.
            reserved_at: self.writer.clock.for_peers(row.reserved_at, &ClockReading::take()),
            expires_at: self.writer.clock.for_peers(row.expires_at, &ClockReading::take()),
        }))
    }

    fn finished(&mut self, done: FinishedRequest) {
        let FinishedRequest { order, attempts, result } = done;
        match result {
            Ok(created) => {
                self.failures = 0;
                self.unsure.remove(&order);
                self.meter.created.increment(1);
                if let Created::NotNeeded { reference } = created {
                    self.close_later(order, EndedSession::Known(reference));
                }
            }
            Err(CreateError::NotRecorded) => self.retry(order, attempts, None),
            Err(CreateError::NotCreated(SessionError::Refused(reason))) => {
                self.no_session(order, NoSession::Refused);
                tracing::error!(%order, %reason, "payment session refused by the provider; it is not requested again");
            }
            Err(CreateError::NotCreated(SessionError::Unusable { reason, reference })) => {
                self.no_session(order, NoSession::Unusable);
                let session = reference.as_deref();
                tracing::error!(
                    %order, session, %reason,
                    "payment session of the provider cannot be used: the order cannot be paid online; the session is closed \
                     if its id is known, and stays open at the provider otherwise"
                );
                if let Some(reference) = reference {
                    self.close_later(order, EndedSession::Known(reference));
                }
            }
            Err(CreateError::NotCreated(SessionError::Retry { reason, retry_after })) => {
                self.meter.failed.increment(1);
                self.failures = self.failures.saturating_add(1);
                tracing::warn!(%order, attempts, %reason, "payment session request failed; it will be repeated");
                self.retry(order, attempts, retry_after);
                let all = self.failures.checked_sub(FAILURES_IN_A_ROW).map(backoff);
                if let Some(wait) = retry_after.max(all) {
                    self.paused_until = Some(Instant::now() + wait);
                }
            }
        }
    }

    /// Notes that no session is requested for an order any more.
    fn no_session(&mut self, order: Seq, reason: NoSession) {
        self.failures = 0;
        self.unsure.remove(&order);
        self.meter.refused.increment(1);
        self.refused.add(order, reason);
    }

    fn retry(&mut self, order: Seq, attempts: u32, retry_after: Option<Duration>) {
        let wait = backoff(attempts).max(retry_after.unwrap_or_default());
        self.waiting.insert(order, (attempts.saturating_add(1), Instant::now() + wait));
    }
}

/// Requests a session, and has the writer record it.
async fn create(
    provider: &SessionProvider,
    writer: &WriterHandle,
    order: Seq,
    request: &SessionRequest,
) -> Result<Created, CreateError> {
    let ProviderSession { url, reference } = provider.create(request).await.map_err(CreateError::NotCreated)?;
    let command = Command::Payment(PaymentCommand::RecordSession { order, provider: provider.provider() });
    let private_data = Some(PrivateData::Session { reference: reference.clone(), url });
    let submission = Submission { command, private_data, class: Class::Operator };
    let ticket = writer.submit(submission).map_err(|_| CreateError::NotRecorded)?;
    match ticket.answer().await {
        WriterReply::Decided(decided) => match decided.outcome {
            // The order has been paid or cancelled meanwhile, and needs no session.
            Outcome::Refused { .. } => Ok(Created::NotNeeded { reference }),
            Outcome::Accepted(_) | Outcome::Repeated { .. } => Ok(Created::Recorded),
            Outcome::Advanced => Err(CreateError::NotRecorded),
        },
        WriterReply::TooOld | WriterReply::NotApplied(_) | WriterReply::Unknown => Err(CreateError::NotRecorded),
    }
}

//! The worker of one endpoint: its row, its delivery queue, and its requests in flight.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Method, Uri};
use tokio::task::{AbortHandle, JoinSet};

use super::mail_delivery::{self, MailSource, PreparedMail};
use super::recipients::Recipients;
use super::{MailRelay, RelayOptions};
use crate::egress::{EgressClient, OutboundRequest, OutboundResponse, SendError, Target};
use crate::engine::{EndpointCommand, MarkDeliveries};
use crate::mail::RateLimit;
use crate::outbox::delivery_queue::{
    AttemptResult, DeliveryQueue, QueuedEvent, SCAN_AHEAD_MAX, StoredDelivery, StoredQueue, WAITING_MAX,
};
use crate::outbox::message::{WebhookMessage, message};
use crate::outbox::signing::signatures;
use crate::read::Reader;
use crate::read::mail as mail_rows;
use crate::read::outbox::{self as rows, DeliveryFilter, EndpointRow};
use crate::telemetry::MailOutcome;
use crate::types::{AttemptError, Seq, UnixMillis};
use crate::writer::WriterReply;
use crate::writer::clock::wall_clock;

/// The result of one request.
pub(super) struct FinishedAttempt {
    pub(super) endpoint: Seq,
    pub(super) generation: u64,
    pub(super) seq: Seq,
    pub(super) result: AttemptResult,
    /// The endpoint answered 410.
    pub(super) gone: bool,
    pub(super) took: Duration,
    /// The count of a mail; `None` for a webhook.
    pub(super) mail: Option<MailOutcome>,
}

/// The writer's answer to a checkpoint.
pub(super) struct SavedCheckpoint {
    pub(super) endpoint: Seq,
    pub(super) generation: u64,
    pub(super) answer: WriterReply,
}

pub(super) struct EndpointWorker {
    pub(super) endpoint: EndpointRow,
    pub(super) queue: DeliveryQueue,
    pub(super) generation: u64,
    channel: Channel,
    /// The host to which the endpoint redirects when it has succeeded, if it answers so.
    success_redirect: Option<Box<str>>,
    /// The time of the first change since the last checkpoint.
    dirty_since: Option<Instant>,
    /// The writer has not answered the last checkpoint yet.
    saving: bool,
    in_flight: Vec<AbortHandle>,
    /// The progress of mails that go to many: at most one entry for each delivery of the queue.
    recipients: BTreeMap<Seq, Recipients>,
}

/// The way to an endpoint.
enum Channel {
    /// `None` if the URL is not allowed (any more).
    Webhook(Option<Target>),
    Mail {
        mail: MailRelay,
        rate: RateLimit,
    },
}

/// A delivery that is ready to be sent.
pub(super) enum PreparedDelivery {
    Request(SignedRequest),
    Mail(PreparedMail),
    /// The event is no longer in the catalogue.
    Nothing,
}

pub(super) struct SignedRequest {
    headers: HeaderMap,
    body: Bytes,
}

impl EndpointWorker {
    pub(super) fn open(
        endpoint: EndpointRow,
        reader: &Reader,
        options: &RelayOptions,
        (client, mail): (&EgressClient, Option<&MailRelay>),
        generation: u64,
    ) -> rusqlite::Result<EndpointWorker> {
        let limit = u32::try_from(WAITING_MAX).unwrap_or(u32::MAX);
        let id = endpoint.id;
        let waiting =
            reader.read(|connection| rows::deliveries(connection, id, DeliveryFilter::Waiting, Seq::ZERO, limit))?;
        let more_rows = waiting.len() >= WAITING_MAX;
        let position = endpoint.position;
        let ahead = reader.read(|connection| rows::deliveries_after(connection, id, position))?.into_iter().collect();
        let waiting = waiting
            .into_iter()
            .map(|row| StoredDelivery {
                event: QueuedEvent { seq: row.seq, order: row.order.or(mail.map(|_| row.seq)), at: row.at },
                attempts: row.attempts,
                next_at: row.next_at.unwrap_or(UnixMillis::ZERO),
            })
            .collect();
        let stored = StoredQueue { position, waiting, more_rows, ahead };
        let in_flight_max = mail.map_or(options.in_flight_max, |mail| mail.mailer.in_flight_max);
        let queue = DeliveryQueue::new(options.schedule.clone(), in_flight_max, stored);
        let target = mail.is_none().then(|| Target::parse(endpoint.url.reveal(), client.guard()).ok()).flatten();
        let redirects = target
            .iter()
            .flat_map(|target| options.success_redirects.iter().filter(|redirect| target.is_at(&redirect.endpoint)));
        let success_redirect = redirects.map(|redirect| redirect.location.as_str().into()).next();
        Ok(EndpointWorker {
            endpoint,
            queue,
            generation,
            channel: match mail {
                Some(mail) => {
                    let rate = RateLimit::new(mail.mailer.per_second, Instant::now());
                    Channel::Mail { mail: mail.clone(), rate }
                }
                None => Channel::Webhook(target),
            },
            success_redirect,
            dirty_since: None,
            saving: false,
            in_flight: Vec::new(),
            recipients: BTreeMap::new(),
        })
    }

    /// Reads events up to the newest published one, if the queue has room for them.
    pub(super) fn scan_events(&mut self, reader: &Reader, published: Seq) -> rusqlite::Result<()> {
        let Some(after) = self.queue.scan_from().filter(|after| *after < published) else { return Ok(()) };
        let filter = self.endpoint.events;
        let (found, scanned_to) = reader.read(|connection| match self.channel {
            Channel::Webhook(_) => rows::events_after(connection, after, filter, SCAN_AHEAD_MAX),
            Channel::Mail { .. } => mail_rows::events_after(connection, after, filter, SCAN_AHEAD_MAX),
        })?;
        let events: Vec<QueuedEvent> =
            found.iter().map(|event| QueuedEvent { seq: event.seq, order: event.order, at: event.at }).collect();
        self.queue.add_scanned(scanned_to, &events);
        Ok(())
    }

    /// Returns the next delivery that is due, if its channel may send one more now.
    pub(super) fn next_due(&mut self, now: UnixMillis, instant: Instant) -> Option<Seq> {
        let seq = self.queue.next_due(now)?;
        let may_send = match &mut self.channel {
            Channel::Webhook(_) => true,
            Channel::Mail { rate, .. } => rate.take(instant),
        };
        may_send.then_some(seq)
    }

    /// Reads an event and makes a request or a mail of it.
    pub(super) fn prepare(
        &mut self,
        reader: &Reader,
        file_id: &[u8; 16],
        seq: Seq,
        now: UnixMillis,
    ) -> rusqlite::Result<PreparedDelivery> {
        let Channel::Mail { mail, rate } = &mut self.channel else {
            return Ok(match self.sign(reader, file_id, seq, now)? {
                Some(request) => PreparedDelivery::Request(request),
                None => PreparedDelivery::Nothing,
            });
        };
        let MailRelay { mailer, public_url } = mail;
        let source = MailSource { mailer, public_url, reader, file_id, now };
        let mut recipients = self.recipients.remove(&seq).unwrap_or_default();
        let prepared = mail_delivery::prepare(&source, seq, &mut recipients)?;
        if !matches!(prepared, PreparedMail::Send(_)) {
            rate.give_back();
        }
        if recipients.is_used() {
            self.recipients.insert(seq, recipients);
        }
        Ok(PreparedDelivery::Mail(prepared))
    }

    /// Returns what the result of an attempt means for its delivery, which may have further recipients.
    pub(super) fn settle(&mut self, seq: Seq, result: AttemptResult) -> AttemptResult {
        self.recipients.get_mut(&seq).map_or(result, |recipients| recipients.record(result))
    }

    /// Forgets the recipients of a delivery that has ended.
    pub(super) fn forget_recipients(&mut self, seq: Seq) {
        self.recipients.remove(&seq);
    }

    /// Reads and signs an event. Both secrets sign while one replaces the other. The signature is dated by the wall clock,
    /// because the receiver compares it with its own.
    fn sign(
        &self,
        reader: &Reader,
        file_id: &[u8; 16],
        seq: Seq,
        now: UnixMillis,
    ) -> rusqlite::Result<Option<SignedRequest>> {
        let event = reader.read(|connection| rows::event(connection, seq))?;
        let Some(WebhookMessage { id, body }) = event.and_then(|event| message(file_id, &event)) else {
            return Ok(None);
        };
        let mut secrets = vec![self.endpoint.secret.clone()];
        secrets.extend(self.endpoint.old_secret.iter().filter(|(_, until)| now < *until).map(|(old, _)| old.clone()));
        let timestamp = wall_clock().second();
        let signed = signatures(&secrets, &id, timestamp, body.as_bytes());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("webhook-timestamp", HeaderValue::from(timestamp));
        for (name, value) in [("webhook-id", id), ("webhook-signature", signed)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name, value);
            }
        }
        Ok(Some(SignedRequest { headers, body: body.into() }))
    }

    /// Starts a delivery; its result comes through `attempts`.
    pub(super) fn send(
        &mut self,
        client: &EgressClient,
        seq: Seq,
        delivery: PreparedDelivery,
        attempts: &mut JoinSet<FinishedAttempt>,
    ) {
        let (endpoint, generation) = (self.endpoint.id, self.generation);
        self.in_flight.retain(|request| !request.is_finished());
        let (client, redirect) = (client.clone(), self.success_redirect.clone());
        let (target, mailer) = match &self.channel {
            Channel::Webhook(target) => (target.clone(), None),
            Channel::Mail { mail, .. } => (None, Some(mail.mailer.clone())),
        };
        self.in_flight.push(attempts.spawn(async move {
            let started = Instant::now();
            let (result, gone, mail) = match (delivery, target, mailer) {
                (PreparedDelivery::Request(SignedRequest { headers, body }), Some(target), _) => {
                    let call = OutboundRequest { target: &target, method: Method::POST, headers, body };
                    // A date in the response is compared with the wall clock, too.
                    let (result, gone) = attempt_result(client.send(call).await, redirect.as_deref(), wall_clock());
                    (result, gone, None)
                }
                // The configuration no longer allows the endpoint's network.
                (PreparedDelivery::Request(_), None, _) => (failed(AttemptError::Forbidden), false, None),
                (PreparedDelivery::Mail(mail), _, Some(mailer)) => {
                    let (result, outcome) = mail_delivery::deliver(&mailer, mail).await;
                    (result, false, outcome)
                }
                (PreparedDelivery::Mail(_), _, None) | (PreparedDelivery::Nothing, _, _) => {
                    (AttemptResult::Delivered, false, None)
                }
            };
            FinishedAttempt { endpoint, generation, seq, result, gone, took: started.elapsed(), mail }
        }));
    }

    pub(super) fn is_checkpoint_due(&mut self, now: Instant, interval: Duration) -> bool {
        if self.saving {
            return false;
        }
        if !self.queue.has_unsaved_changes() {
            self.dirty_since = None;
            // Skipped events alone are worth a checkpoint once in a while.
            return self.queue.has_skipped_many();
        }
        now >= *self.dirty_since.get_or_insert(now) + interval
    }

    pub(super) fn take_checkpoint(&mut self) -> Option<EndpointCommand> {
        if self.saving {
            return None;
        }
        self.dirty_since = None;
        let checkpoint = self.queue.take_checkpoint()?;
        self.saving = true;
        let (endpoint, revision) = (self.endpoint.id, self.endpoint.revision);
        Some(EndpointCommand::Mark(MarkDeliveries {
            endpoint,
            revision,
            position: checkpoint.position,
            marks: checkpoint.marks.into(),
        }))
    }

    pub(super) fn checkpoint_saved(&mut self) {
        self.saving = false;
    }
}

impl Drop for EndpointWorker {
    fn drop(&mut self) {
        // The next worker of this endpoint sends these again.
        for request in &self.in_flight {
            request.abort();
        }
    }
}

const fn failed(error: AttemptError) -> AttemptResult {
    AttemptResult::Failed { error, retry_after: None }
}

/// Returns the result of an attempt, and true if the endpoint answered 410. With `success_redirect` the endpoint has
/// succeeded if it redirects to that host, and otherwise not.
fn attempt_result(
    response: Result<OutboundResponse, SendError>,
    success_redirect: Option<&str>,
    now: UnixMillis,
) -> (AttemptResult, bool) {
    let response = match response {
        Ok(response) => response,
        Err(error) => {
            let error = match error {
                SendError::Forbidden => AttemptError::Forbidden,
                SendError::Unresolved => AttemptError::Unresolved,
                SendError::Unreachable => AttemptError::Unreachable,
                SendError::Tls => AttemptError::Tls,
                SendError::TimedOut => AttemptError::TimedOut,
                SendError::Broken => AttemptError::Broken,
            };
            return (failed(error), false);
        }
    };
    let succeeded = match success_redirect {
        None => response.status.is_success(),
        Some(host) => response.status.is_redirection() && leads_to(&response.headers, host),
    };
    if succeeded {
        return (AttemptResult::Delivered, false);
    }
    let status = response.status.as_u16();
    let text = |name| response.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    // Dates of one response are of one clock, which may be far from ours.
    let date = text(DATE).and_then(http_date).unwrap_or(now);
    let retry_after = text(RETRY_AFTER).and_then(|value| retry_after(value, date));
    (AttemptResult::Failed { error: AttemptError::Status(status), retry_after }, status == 410)
}

/// Returns whether the `Location` of a response is at this host.
fn leads_to(headers: &HeaderMap, host: &str) -> bool {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    location.is_some_and(|location: Uri| {
        let authority = location.authority().map(|authority| authority.as_str().to_ascii_lowercase());
        let named = location.host().map(str::to_ascii_lowercase);
        authority.as_deref() == Some(host) || named.as_deref() == Some(host)
    })
}

/// Parses `Retry-After`: seconds, or a date (RFC 9110, 10.2.3), which is compared with the date of the response.
fn retry_after(value: &str, date: UnixMillis) -> Option<Duration> {
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(Duration::from_millis(http_date(value)?.since(date)))
}

fn http_date(value: &str) -> Option<UnixMillis> {
    UnixMillis::new(jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds_and_as_an_instant() {
        let now = UnixMillis::new(784_111_777_000).expect("in range");
        let wait = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(wait("Sun, 06 Nov 1994 08:48:37 GMT"), Some(0));
        assert_eq!((wait("soon"), wait("-1"), wait("")), (None, None, None));
    }

    #[test]
    fn a_date_of_the_endpoint_is_compared_with_its_own_clock() {
        let now = UnixMillis::new(784_111_777_000).expect("in range");
        let wait = |ours_behind_days: i64, date: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("Sun, 06 Nov 1994 08:50:37 GMT"));
            date.map(|date| headers.insert(DATE, HeaderValue::from_static(date)));
            let response = OutboundResponse {
                status: hyper::StatusCode::SERVICE_UNAVAILABLE,
                headers,
                body: hyper::body::Bytes::new(),
            };
            let (result, _) = attempt_result(Ok(response), None, now.plus_millis(-ours_behind_days * 86_400_000));
            let AttemptResult::Failed { retry_after, .. } = result else { panic!("delivered: {result:?}") };
            retry_after.map(|wait| wait.as_secs())
        };
        for days in [-2, 0, 2] {
            assert_eq!(wait(days, Some("Sun, 06 Nov 1994 08:49:37 GMT")), Some(60), "{days}");
        }
        assert_eq!(wait(0, None), Some(60), "without a date, with ours");
        assert_eq!(wait(0, Some("yesterday")), Some(60), "nor with one that is none");
    }
}

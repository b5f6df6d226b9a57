//! One endpoint's worker: its row, its queue, and the calls that go out to it.

use std::time::{Duration, Instant};

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use tokio::task::{AbortHandle, JoinSet};

use super::RelayOptions;
use crate::egress::{EgressClient, OutboundRequest, OutboundResponse, SendError, Target};
use crate::engine::EndpointCommand;
use crate::outbox::delivery_queue::{
    AttemptResult, DeliveryQueue, QueuedEvent, SCAN_AHEAD_MAX, StoredDelivery, StoredQueue, WAITING_MAX,
};
use crate::outbox::message::{WebhookMessage, message};
use crate::outbox::signing::signatures;
use crate::read::Reader;
use crate::read::outbox::{self as rows, DeliveryFilter, EndpointRow};
use crate::types::{AttemptError, Seq, UnixMillis};
use crate::writer::WriterReply;

/// An endpoint that answered 410.
pub(super) struct Gone;

/// What became of a call.
pub(super) struct FinishedAttempt {
    pub(super) endpoint: Seq,
    pub(super) generation: u64,
    pub(super) seq: Seq,
    pub(super) ended: AttemptResult,
    pub(super) gone: Option<Gone>,
    pub(super) took: Duration,
}

/// What became of marks.
pub(super) struct SavedCheckpoint {
    pub(super) endpoint: Seq,
    pub(super) generation: u64,
    pub(super) answer: WriterReply,
}

pub(super) struct EndpointWorker {
    pub(super) endpoint: EndpointRow,
    pub(super) queue: DeliveryQueue,
    pub(super) generation: u64,
    /// Nothing where the URL may not be called (any more).
    target: Option<Target>,
    /// Since when something waits to be written down.
    dirty_since: Option<Instant>,
    /// Marks are on their way to the writer.
    marking: bool,
    calls: Vec<AbortHandle>,
}

/// A call that is ready to go out; nothing where it cannot.
pub(super) struct SignedRequest {
    headers: HeaderMap,
    body: Bytes,
}

impl EndpointWorker {
    pub(super) fn open(
        endpoint: EndpointRow,
        reader: &Reader,
        options: &RelayOptions,
        client: &EgressClient,
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
                wanted: QueuedEvent { seq: row.seq, order: row.order, at: row.at },
                attempts: row.attempts,
                next_at: row.next_at.unwrap_or(UnixMillis::ZERO),
            })
            .collect();
        let stored = StoredQueue { position, waiting, more_rows, ahead };
        let queue = DeliveryQueue::new(options.schedule.clone(), options.in_flight_max, stored);
        let target = Target::parse(endpoint.url.reveal(), client.guard()).ok();
        Ok(EndpointWorker { endpoint, queue, generation, target, dirty_since: None, marking: false, calls: Vec::new() })
    }

    /// Looks at events up to the newest that is published, if the queue has room for them.
    pub(super) fn scan_events(&mut self, reader: &Reader, published: Seq) -> rusqlite::Result<()> {
        let Some(after) = self.queue.scan_from().filter(|after| *after < published) else { return Ok(()) };
        let filter = self.endpoint.events;
        let (found, scanned_to) =
            reader.read(|connection| rows::events_after(connection, after, filter, SCAN_AHEAD_MAX))?;
        let wanted: Vec<QueuedEvent> =
            found.iter().map(|event| QueuedEvent { seq: event.seq, order: event.order, at: event.at }).collect();
        self.queue.add_scanned(scanned_to, &wanted);
        Ok(())
    }

    /// Reads and signs an event. Both secrets sign while one takes the other's place.
    pub(super) fn prepare(
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
        let timestamp = now.second();
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

    /// Lets a call go out; its end comes through `calls`.
    pub(super) fn send(
        &mut self,
        client: &EgressClient,
        seq: Seq,
        call: Option<SignedRequest>,
        now: UnixMillis,
        calls: &mut JoinSet<FinishedAttempt>,
    ) {
        let (endpoint, generation, target) = (self.endpoint.id, self.generation, self.target.clone());
        let client = client.clone();
        self.calls.retain(|call| !call.is_finished());
        self.calls.push(calls.spawn(async move {
            let started = Instant::now();
            let (ended, gone) = match (target, call) {
                (Some(target), Some(SignedRequest { headers, body })) => {
                    let call = OutboundRequest { target: &target, method: Method::POST, headers, body };
                    outcome(client.send(call).await, now)
                }
                // The networks that may be called are not what they were.
                (None, _) => (failed(AttemptError::Forbidden), None),
                // An event that is no longer told to anybody.
                (_, None) => (AttemptResult::Delivered, None),
            };
            FinishedAttempt { endpoint, generation, seq, ended, gone, took: started.elapsed() }
        }));
    }

    pub(super) fn is_checkpoint_due(&mut self, now: Instant, interval: Duration) -> bool {
        if self.marking {
            return false;
        }
        if !self.queue.has_unsaved_changes() {
            self.dirty_since = None;
            // Events that it does not want are passed over, and once in a while that is worth a mark too.
            return self.queue.has_skipped_many();
        }
        now >= *self.dirty_since.get_or_insert(now) + interval
    }

    pub(super) fn take_checkpoint(&mut self) -> Option<EndpointCommand> {
        if self.marking {
            return None;
        }
        self.dirty_since = None;
        let marks = self.queue.take_checkpoint()?;
        self.marking = true;
        let (endpoint, revision) = (self.endpoint.id, self.endpoint.revision);
        Some(EndpointCommand::Mark { endpoint, revision, position: marks.position, marks: marks.marks.into() })
    }

    pub(super) fn checkpoint_saved(&mut self) {
        self.marking = false;
    }
}

impl Drop for EndpointWorker {
    fn drop(&mut self) {
        // The worker that comes after it sends what these were sending.
        for call in &self.calls {
            call.abort();
        }
    }
}

const fn failed(trouble: AttemptError) -> AttemptResult {
    AttemptResult::Failed { trouble, retry_after: None }
}

fn outcome(reply: Result<OutboundResponse, SendError>, now: UnixMillis) -> (AttemptResult, Option<Gone>) {
    let reply = match reply {
        Ok(reply) => reply,
        Err(failure) => {
            let trouble = match failure {
                SendError::Forbidden => AttemptError::Forbidden,
                SendError::Unresolved => AttemptError::Unresolved,
                SendError::Unreachable => AttemptError::Unreachable,
                SendError::Tls => AttemptError::Tls,
                SendError::TimedOut => AttemptError::TimedOut,
                SendError::Broken => AttemptError::Broken,
            };
            return (failed(trouble), None);
        }
    };
    if reply.status.is_success() {
        return (AttemptResult::Delivered, None);
    }
    let status = reply.status.as_u16();
    let retry_after = reply.headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, now));
    let gone = (status == 410).then_some(Gone);
    (AttemptResult::Failed { trouble: AttemptError::Status(status), retry_after }, gone)
}

/// What `Retry-After` asks for: seconds, or an instant (RFC 9110, 10.2.3).
fn retry_after(value: &str, now: UnixMillis) -> Option<Duration> {
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_millisecond();
    Some(Duration::from_millis(UnixMillis::new(until)?.since(now)))
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
}

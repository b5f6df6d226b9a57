//! One endpoint's line: its row, its course, and the calls that go out to it.

use std::time::{Duration, Instant};

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use tokio::task::{AbortHandle, JoinSet};

use super::Options;
use crate::engine::EndpointCommand;
use crate::outbox::course::{AHEAD_MAX, Course, Ended, Stored, WAITING_MAX, WaitingRow, Wanted};
use crate::outbox::message::{Message, message};
use crate::outbox::signing::signatures;
use crate::outgoing::{Call, Client, Failure, Reply, Target};
use crate::read::Reader;
use crate::read::outbox::{self as rows, Deliveries, EndpointRow};
use crate::types::{Seq, Trouble, UnixMillis};
use crate::writer::Answer;

/// An endpoint that answered 410.
pub(super) struct Gone;

/// What became of a call.
pub(super) struct Sent {
    pub(super) endpoint: Seq,
    pub(super) generation: u64,
    pub(super) seq: Seq,
    pub(super) ended: Ended,
    pub(super) gone: Option<Gone>,
    pub(super) took: Duration,
}

/// What became of marks.
pub(super) struct Written {
    pub(super) endpoint: Seq,
    pub(super) generation: u64,
    pub(super) answer: Answer,
}

pub(super) struct Line {
    pub(super) endpoint: EndpointRow,
    pub(super) course: Course,
    pub(super) generation: u64,
    /// Nothing where the URL may not be called (any more).
    target: Option<Target>,
    /// Since when something waits to be written down.
    news_since: Option<Instant>,
    /// Marks are on their way to the writer.
    marking: bool,
    calls: Vec<AbortHandle>,
}

/// A call that is ready to go out; nothing where it cannot.
pub(super) struct Prepared {
    headers: HeaderMap,
    body: Bytes,
}

impl Line {
    pub(super) fn open(
        endpoint: EndpointRow,
        reader: &Reader,
        options: &Options,
        client: &Client,
        generation: u64,
    ) -> rusqlite::Result<Line> {
        let limit = u32::try_from(WAITING_MAX).unwrap_or(u32::MAX);
        let id = endpoint.id;
        let waiting =
            reader.read(|connection| rows::deliveries(connection, id, Deliveries::Waiting, Seq::ZERO, limit))?;
        let more_rows = waiting.len() >= WAITING_MAX;
        let position = endpoint.position;
        let ahead = reader.read(|connection| rows::deliveries_after(connection, id, position))?.into_iter().collect();
        let waiting = waiting
            .into_iter()
            .map(|row| WaitingRow {
                wanted: Wanted { seq: row.seq, order: row.order, at: row.at },
                attempts: row.attempts,
                next_at: row.next_at.unwrap_or(UnixMillis::ZERO),
            })
            .collect();
        let stored = Stored { position, waiting, more_rows, ahead };
        let course = Course::new(options.schedule.clone(), options.in_flight_max, stored);
        let target = Target::parse(endpoint.url.reveal(), client.guard()).ok();
        Ok(Line { endpoint, course, generation, target, news_since: None, marking: false, calls: Vec::new() })
    }

    /// Looks at events up to the newest that is published, if the course has room for them.
    pub(super) fn look_for_events(&mut self, reader: &Reader, published: Seq) -> rusqlite::Result<()> {
        let Some(after) = self.course.reads_after().filter(|after| *after < published) else { return Ok(()) };
        let filter = self.endpoint.events;
        let (found, read_to) = reader.read(|connection| rows::events_after(connection, after, filter, AHEAD_MAX))?;
        let wanted: Vec<Wanted> =
            found.iter().map(|event| Wanted { seq: event.seq, order: event.order, at: event.at }).collect();
        self.course.looked_at(read_to, &wanted);
        Ok(())
    }

    /// Reads and signs an event. Both secrets sign while one takes the other's place.
    pub(super) fn prepare(
        &self,
        reader: &Reader,
        file_id: &[u8; 16],
        seq: Seq,
        now: UnixMillis,
    ) -> rusqlite::Result<Option<Prepared>> {
        let event = reader.read(|connection| rows::event(connection, seq))?;
        let Some(Message { id, body }) = event.and_then(|event| message(file_id, &event)) else { return Ok(None) };
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
        Ok(Some(Prepared { headers, body: body.into() }))
    }

    /// Lets a call go out; its end comes through `calls`.
    pub(super) fn send(
        &mut self,
        client: &Client,
        seq: Seq,
        call: Option<Prepared>,
        now: UnixMillis,
        calls: &mut JoinSet<Sent>,
    ) {
        let (endpoint, generation, target) = (self.endpoint.id, self.generation, self.target.clone());
        let client = client.clone();
        self.calls.retain(|call| !call.is_finished());
        self.calls.push(calls.spawn(async move {
            let started = Instant::now();
            let (ended, gone) = match (target, call) {
                (Some(target), Some(Prepared { headers, body })) => {
                    let call = Call { target: &target, method: Method::POST, headers, body };
                    outcome(client.send(call).await, now)
                }
                // The networks that may be called are not what they were.
                (None, _) => (failed(Trouble::Forbidden), None),
                // An event that is no longer told to anybody.
                (_, None) => (Ended::Delivered, None),
            };
            Sent { endpoint, generation, seq, ended, gone, took: started.elapsed() }
        }));
    }

    pub(super) fn is_to_be_written(&mut self, now: Instant, interval: Duration) -> bool {
        if self.marking {
            return false;
        }
        if !self.course.has_news() {
            self.news_since = None;
            // Events that it does not want are passed over, and once in a while that is worth a mark too.
            return self.course.has_passed_over_many();
        }
        now >= *self.news_since.get_or_insert(now) + interval
    }

    pub(super) fn take_marks(&mut self) -> Option<EndpointCommand> {
        if self.marking {
            return None;
        }
        self.news_since = None;
        let marks = self.course.take_marks()?;
        self.marking = true;
        let (endpoint, revision) = (self.endpoint.id, self.endpoint.revision);
        Some(EndpointCommand::Mark { endpoint, revision, position: marks.position, marks: marks.marks.into() })
    }

    pub(super) fn marks_are_written(&mut self) {
        self.marking = false;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The line that comes after it sends what these were sending.
        for call in &self.calls {
            call.abort();
        }
    }
}

const fn failed(trouble: Trouble) -> Ended {
    Ended::Failed { trouble, retry_after: None }
}

fn outcome(reply: Result<Reply, Failure>, now: UnixMillis) -> (Ended, Option<Gone>) {
    let reply = match reply {
        Ok(reply) => reply,
        Err(failure) => {
            let trouble = match failure {
                Failure::Forbidden => Trouble::Forbidden,
                Failure::Unresolved => Trouble::Unresolved,
                Failure::Unreachable => Trouble::Unreachable,
                Failure::Tls => Trouble::Tls,
                Failure::TimedOut => Trouble::TimedOut,
                Failure::Broken => Trouble::Broken,
            };
            return (failed(trouble), None);
        }
    };
    if reply.status.is_success() {
        return (Ended::Delivered, None);
    }
    let status = reply.status.as_u16();
    let retry_after = reply.headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, now));
    let gone = (status == 410).then_some(Gone);
    (Ended::Failed { trouble: Trouble::Status(status), retry_after }, gone)
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

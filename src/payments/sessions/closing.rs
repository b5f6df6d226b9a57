//! Sessions that outlive their order: they are closed at the provider, so that no buyer pays for an order that is
//! cancelled, expired, or paid elsewhere. Money that comes nevertheless is handled like any late payment.

use std::collections::BTreeMap;
use std::time::Instant;

use super::SessionError;
use crate::payments::provider_api::backoff;
use crate::types::Seq;

/// Attempts per session: with the longest pause they take longer than any session lives.
const ATTEMPTS_MAX: u32 = 1500;

/// Sessions that wait to be closed: a provider that refuses to close them must not take the memory.
const CLOSINGS_MAX: usize = 10_000;

/// The session of an order that has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum EndedSession {
    /// The provider's id of it.
    Known(Box<str>),
    /// The file has the provider's id of it.
    InFile,
    /// A request for it has no answer that tells whether it exists.
    Unsure,
}

/// A session to close.
pub(super) struct Closing {
    pub(super) session: EndedSession,
    pub(super) attempts: u32,
    not_before: Instant,
}

/// Failures in a row after which one session is closed at a time.
const FAILURES_IN_A_ROW: u32 = 5;

/// The sessions that are to be closed.
#[derive(Default)]
pub(super) struct Closings {
    waiting: BTreeMap<Seq, Closing>,
    failures: u32,
    /// The provider asked for a pause (429): no session is closed before this time. New sessions have a pause of their own.
    paused_until: Option<Instant>,
}

impl Closings {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds the session of an order that has ended. Returns false if too many wait: then it is not closed, and late money
    /// is handled as always.
    pub(super) fn add(&mut self, order: Seq, session: EndedSession) -> bool {
        if self.waiting.len() >= CLOSINGS_MAX {
            return false;
        }
        let closing = Closing { session, attempts: 0, not_before: Instant::now() };
        self.waiting.entry(order).or_insert(closing);
        true
    }

    /// Takes up to `max` sessions that are due.
    pub(super) fn take_due(&mut self, now: Instant, max: usize) -> Vec<(Seq, Closing)> {
        if self.paused_until.is_some_and(|until| now < until) {
            return Vec::new();
        }
        let max = if self.failures < FAILURES_IN_A_ROW { max } else { max.min(1) };
        let due = self.waiting.iter().filter(|(_, closing)| closing.not_before <= now).map(|(order, _)| *order);
        let due: Vec<Seq> = due.take(max).collect();
        due.into_iter().filter_map(|order| self.waiting.remove_entry(&order)).collect()
    }

    /// Notes the result of an attempt. Returns true if the provider failed.
    pub(super) fn finished(&mut self, order: Seq, mut closing: Closing, result: Result<(), SessionError>) -> bool {
        match result {
            Ok(()) => {
                self.failures = 0;
                false
            }
            // It is paid, closed or expired already.
            Err(SessionError::Refused(reason)) => {
                self.failures = 0;
                tracing::debug!(%order, %reason, "payment session cannot be closed");
                false
            }
            Err(SessionError::Unusable { reason, .. }) => {
                self.failures = 0;
                tracing::warn!(%order, %reason, "payment session cannot be closed; it stays open until its end");
                false
            }
            Err(SessionError::Retry { reason, retry_after }) => {
                self.failures = self.failures.saturating_add(1);
                let asked = retry_after.map(|wait| Instant::now() + wait);
                self.paused_until = self.paused_until.max(asked);
                if closing.attempts >= ATTEMPTS_MAX {
                    tracing::error!(%order, %reason, "payment session could not be closed; it is not tried again");
                    return true;
                }
                tracing::warn!(%order, attempts = closing.attempts, %reason, "payment session not closed; tried again");
                let wait = backoff(closing.attempts).max(retry_after.unwrap_or_default());
                closing.not_before = Instant::now() + wait;
                closing.attempts = closing.attempts.saturating_add(1);
                self.waiting.insert(order, closing);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn failed(retry_after: Option<Duration>) -> Result<(), SessionError> {
        Err(SessionError::Retry { reason: "429".into(), retry_after })
    }

    #[test]
    fn a_pause_that_the_provider_asks_for_holds_for_every_session_that_is_to_be_closed() {
        let mut closings = Closings::default();
        for order in 1..=9 {
            assert!(closings.add(Seq::new(order).expect("in range"), EndedSession::InFile));
        }
        let now = Instant::now();
        let (order, closing) = closings.take_due(now, 1).pop().expect("one is due");
        assert!(closings.finished(order, closing, failed(Some(Duration::from_secs(60)))));
        assert_eq!(closings.take_due(Instant::now(), 99).len(), 0, "within the pause");
        let after = Instant::now() + Duration::from_secs(61);
        assert_eq!(closings.take_due(after, 99).len(), 9);
    }

    #[test]
    fn sessions_of_a_provider_that_keeps_failing_are_closed_one_at_a_time() {
        let mut closings = Closings::default();
        let later = Instant::now() + Duration::from_secs(600);
        for order in 1..=9 {
            assert!(closings.add(Seq::new(order).expect("in range"), EndedSession::InFile));
        }
        for (order, closing) in closings.take_due(later, 5) {
            assert!(closings.finished(order, closing, failed(None)));
        }
        let mut taken = closings.take_due(later, 5);
        assert_eq!(taken.len(), 1);
        let (order, closing) = taken.pop().expect("one");
        assert!(!closings.finished(order, closing, Ok(())));
        assert_eq!(closings.take_due(later, 5).len(), 5, "it is well again");
    }
}

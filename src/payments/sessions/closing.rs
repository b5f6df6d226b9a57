//! Sessions that outlive their order: they are closed at the provider, so that no buyer pays for an order that is
//! cancelled, expired, or paid elsewhere. Money that comes nevertheless is handled like any late payment.

use std::collections::BTreeMap;
use std::time::Instant;

use super::SessionError;
use super::session_loop::backoff;
use crate::types::Seq;

/// Attempts per session: with the longest pause they take longer than any session lives.
const ATTEMPTS_MAX: u32 = 1500;

/// Sessions that wait to be closed: a provider that refuses to close them must not take the memory.
const CLOSINGS_MAX: usize = 10_000;

/// A session to close.
pub(super) struct Closing {
    /// The provider's id of the session; it is in the file if not given.
    pub(super) reference: Option<Box<str>>,
    pub(super) attempts: u32,
    not_before: Instant,
}

/// The sessions that are to be closed.
#[derive(Default)]
pub(super) struct Closings {
    waiting: BTreeMap<Seq, Closing>,
}

impl Closings {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds the session of an order that has ended. Returns false if too many wait: then it is not closed, and late money
    /// is handled as always.
    pub(super) fn add(&mut self, order: Seq, reference: Option<Box<str>>) -> bool {
        if self.waiting.len() >= CLOSINGS_MAX {
            return false;
        }
        let closing = Closing { reference, attempts: 0, not_before: Instant::now() };
        self.waiting.entry(order).or_insert(closing);
        true
    }

    /// Takes up to `max` sessions that are due.
    pub(super) fn take_due(&mut self, now: Instant, max: usize) -> Vec<(Seq, Closing)> {
        let due = self.waiting.iter().filter(|(_, closing)| closing.not_before <= now).map(|(order, _)| *order);
        let due: Vec<Seq> = due.take(max).collect();
        due.into_iter().filter_map(|order| self.waiting.remove_entry(&order)).collect()
    }

    /// Notes the result of an attempt. Returns true if the provider failed.
    pub(super) fn finished(&mut self, order: Seq, mut closing: Closing, result: Result<(), SessionError>) -> bool {
        match result {
            Ok(()) => false,
            // It is paid, closed or expired already.
            Err(SessionError::Permanent(reason)) => {
                tracing::debug!(%order, %reason, "payment session cannot be closed");
                false
            }
            Err(SessionError::Retry { reason, retry_after }) => {
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

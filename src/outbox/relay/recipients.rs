//! The recipients of an event that concerns many: they get their mails one after the other, by one delivery.
//!
//! The results are in memory only: after a restart the delivery begins with the first again, and those who have their
//! mail get it with the same Message-ID.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::outbox::delivery_queue::AttemptResult;
use crate::types::{AttemptError, Seq};

/// Recipients that may be asked to come later at once; above it the rest waits for the next round.
const LATER_MAX: usize = 256;

/// The progress of the delivery of one event. Recipients are known by the bid that their contact came with, and are sent
/// their mails in that order.
#[derive(Default, Debug)]
pub(super) struct Recipients {
    /// Every recipient up to this one is done, or is in `later`.
    done_to: Seq,
    /// Recipients that the server asked to come later.
    later: BTreeSet<Seq>,
    /// The last of `later` that was tried in this round.
    round_at: Seq,
    /// The recipient whose mail is under way.
    sending: Option<Seq>,
    /// The server's reason for the last of `later`.
    reason: Option<AttemptError>,
}

/// The next step of a delivery.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum NextRecipient<T> {
    /// The mail of this recipient is under way from here on.
    Send(T),
    /// The round is over, and some are to be tried again by the schedule.
    Later(AttemptError),
    /// Every recipient has the mail, or was finally refused.
    Done,
}

impl Recipients {
    /// Returns the next recipient. `find` returns the first one after a bid.
    pub(super) fn next<T>(
        &mut self,
        find: impl Fn(Seq) -> rusqlite::Result<Option<(Seq, T)>>,
    ) -> rusqlite::Result<NextRecipient<T>> {
        while let Some(seq) = self.later.range((Bound::Excluded(self.round_at), Bound::Unbounded)).next().copied() {
            self.round_at = seq;
            let before = Seq::new(seq.get().saturating_sub(1)).unwrap_or(Seq::ZERO);
            match find(before)?.filter(|(found, _)| *found == seq) {
                Some((_, recipient)) => return Ok(self.send(seq, recipient)),
                // The contact was erased meanwhile, or the unit was awarded to this bidder.
                None => drop(self.later.remove(&seq)),
            }
        }
        if self.later.len() < LATER_MAX
            && let Some((seq, recipient)) = find(self.done_to)?
        {
            self.round_at = seq;
            return Ok(self.send(seq, recipient));
        }
        self.round_at = Seq::ZERO;
        Ok(match self.reason.take_if(|_| !self.later.is_empty()) {
            Some(reason) => NextRecipient::Later(reason),
            None => NextRecipient::Done,
        })
    }

    fn send<T>(&mut self, seq: Seq, recipient: T) -> NextRecipient<T> {
        self.sending = Some(seq);
        NextRecipient::Send(recipient)
    }

    /// Returns whether a mail was sent to any recipient, or tried.
    pub(super) fn has_begun(&self) -> bool {
        self.done_to != Seq::ZERO
    }

    /// Returns whether the event concerns many, and there is something to remember.
    pub(super) fn is_used(&self) -> bool {
        self.has_begun() || self.sending.is_some()
    }

    /// Takes in the result of a recipient's mail, and returns what it means for the delivery.
    pub(super) fn record(&mut self, result: AttemptResult) -> AttemptResult {
        let Some(seq) = self.sending.take() else { return result };
        match result {
            AttemptResult::Delivered | AttemptResult::Rejected(_) => {
                self.later.remove(&seq);
            }
            AttemptResult::Deferred(reason) => {
                self.later.insert(seq);
                self.reason = Some(reason);
            }
            // The server itself failed: this recipient is tried again.
            AttemptResult::Failed { .. } | AttemptResult::Partly => {
                self.round_at = Seq::ZERO;
                return result;
            }
        }
        self.done_to = self.done_to.max(seq);
        AttemptResult::Partly
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREY: AttemptError = AttemptError::Status(450);
    const BROKEN: AttemptResult = AttemptResult::Failed { error: AttemptError::Broken, retry_after: None };

    fn seq(n: u64) -> Seq {
        Seq::new(n).expect("in range")
    }

    /// Takes the next step among these recipients, and ends it with a result.
    fn step(
        recipients: &mut Recipients,
        among: &[u64],
        result: AttemptResult,
    ) -> (NextRecipient<u64>, Option<AttemptResult>) {
        let find = |after: Seq| Ok(among.iter().find(|n| **n > after.get()).map(|n| (seq(*n), *n)));
        let next = recipients.next(find).expect("found");
        let ended = matches!(next, NextRecipient::Send(_)).then(|| recipients.record(result));
        (next, ended)
    }

    #[test]
    fn one_that_is_to_come_later_holds_up_no_other_and_alone_is_tried_again() {
        let (mut recipients, all) = (Recipients::default(), [3, 5, 9]);
        let partly = Some(AttemptResult::Partly);
        assert!(!recipients.has_begun());
        assert_eq!(step(&mut recipients, &all, AttemptResult::Delivered), (NextRecipient::Send(3), partly));
        assert_eq!(step(&mut recipients, &all, AttemptResult::Deferred(GREY)), (NextRecipient::Send(5), partly));
        assert_eq!(step(&mut recipients, &all, AttemptResult::Rejected(GREY)), (NextRecipient::Send(9), partly));
        assert_eq!(step(&mut recipients, &all, AttemptResult::Delivered), (NextRecipient::Later(GREY), None));
        assert_eq!(step(&mut recipients, &all, AttemptResult::Deferred(GREY)), (NextRecipient::Send(5), partly));
        assert_eq!(step(&mut recipients, &all, AttemptResult::Delivered), (NextRecipient::Later(GREY), None));
        assert_eq!(step(&mut recipients, &all, AttemptResult::Delivered), (NextRecipient::Send(5), partly));
        assert_eq!(step(&mut recipients, &all, AttemptResult::Delivered), (NextRecipient::Done, None));
        assert!(recipients.has_begun());
    }

    #[test]
    fn a_failure_of_the_server_forgets_no_one_and_repeats_no_one() {
        let (mut recipients, all) = (Recipients::default(), [3, 5, 9]);
        step(&mut recipients, &all, AttemptResult::Delivered);
        assert_eq!(step(&mut recipients, &all, BROKEN), (NextRecipient::Send(5), Some(BROKEN)));
        assert_eq!(step(&mut recipients, &all, AttemptResult::Delivered).0, NextRecipient::Send(5));
        assert_eq!(step(&mut recipients, &all, AttemptResult::Delivered).0, NextRecipient::Send(9));
        assert_eq!(step(&mut recipients, &all, AttemptResult::Delivered).0, NextRecipient::Done);
    }

    #[test]
    fn one_whose_contact_is_erased_between_two_rounds_gets_nothing_more() {
        let mut recipients = Recipients::default();
        step(&mut recipients, &[3, 5], AttemptResult::Deferred(GREY));
        step(&mut recipients, &[3, 5], AttemptResult::Delivered);
        assert_eq!(step(&mut recipients, &[3, 5], AttemptResult::Delivered).0, NextRecipient::Later(GREY));
        assert_eq!(step(&mut recipients, &[5], AttemptResult::Delivered).0, NextRecipient::Done);
    }

    #[test]
    fn those_that_wait_are_bounded() {
        let all: Vec<u64> = (1..=1000).collect();
        let mut recipients = Recipients::default();
        let mut sent = 0;
        while matches!(step(&mut recipients, &all, AttemptResult::Deferred(GREY)).0, NextRecipient::Send(_)) {
            sent += 1;
        }
        assert_eq!((sent, recipients.later.len()), (LATER_MAX, LATER_MAX));
        while recipients.done_to < seq(1000) {
            step(&mut recipients, &all, AttemptResult::Delivered);
        }
    }
}

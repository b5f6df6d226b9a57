//! The way of one command through the writer: what memory lacks is read, the engine decides, the outcome waits for its commit.

use std::time::{Duration, Instant};

use super::handle::{Class, QueuedCommand};
use super::replies::{NotApplied, Timing, WriterReply};
use super::writer_loop::{PendingReply, WriterLoop};
use crate::engine::{Admitted, Command, Outcome, RecordProviderEvent, RoomCommand};
use crate::failpoints::{self, Bug};
use crate::store::{StoreError, early, load, settlements};

impl WriterLoop<'_> {
    /// Decides one command: stamp, advance, prefetch, decide, evolve.
    pub(super) fn take(&mut self, queued: QueuedCommand) -> Result<(), StoreError> {
        let QueuedCommand { mut submission, accepted, reply } = queued;
        let started = Instant::now();
        let queue = started.saturating_duration_since(accepted);
        self.meter.queue_wait(queue);
        let too_old = !submission.class.is_of_operator() && queue > self.options.queue_wait_max;
        if too_old && !failpoints::enabled(Bug::NeverTooOld) {
            self.meter.too_old();
            self.outgoing.push(reply, WriterReply::TooOld);
            return Ok(());
        }
        if failpoints::enabled(Bug::LeaverCancels) && reply.sender.is_closed() {
            return Ok(());
        }
        if let Some(event) = submission.command.names_payment_alone() {
            self.find_order_of(event)?;
        }
        if submission.command.needs_whole_file() && !self.batch.events.is_empty() {
            self.flush()?;
        }
        let at = self.clock.at(accepted).max(self.state.at());
        self.advance(at)?;
        if self.stands_still() {
            self.outgoing.push(reply, WriterReply::NotApplied(self.why_not()));
            return Ok(());
        }
        if submission.class == Class::Repeat && !self.state.knows_order_of(&submission.command) {
            self.outgoing.push(reply, WriterReply::NotApplied(NotApplied::NoRepeat));
            return Ok(());
        }
        if submission.class == Class::OperatorRepeat && !self.state.knows_creation(&submission.command) {
            // It waits as a refusal does: for what stands before it, and for a proof that this node leads.
            let timing = Timing { queue, decide: Duration::ZERO, commit: Duration::ZERO };
            self.replies.push(PendingReply { reply, outcome: None, at, timing });
            return Ok(());
        }
        let admitted = self.prefetch(&mut submission.command)?;
        let (first, first_private) = (self.batch.events.len(), self.batch.private_data.len());
        let outcome = self.state.decide(&submission.command, &mut self.batch.events);
        for event in &self.batch.events[first..] {
            self.state.evolve(event);
        }
        if let (Some(event), Some(private_data)) = (self.batch.events.get(first), submission.private_data) {
            self.batch.private_data.push((event.seq, private_data));
        }
        if let Some(command) = submission.command.index() {
            self.meter.outcome(command, outcome.index());
        }
        if let Some(drop_id) = submission.command.named_drop().filter(|id| self.state.drop_entry(*id).is_some()) {
            self.batch.tally.count(drop_id, at, &outcome, queue);
        }
        // The seed of a draw that is refused stays secret: no capture has it.
        let is_secret = matches!(submission.command, Command::Room(RoomCommand::FinishDraw(_)))
            && matches!(outcome, Outcome::Refused { .. });
        if let Some(tap) = self.tap.as_mut().filter(|_| !is_secret) {
            tap.note(at, submission.command, admitted, outcome.clone(), self.batch.events.len());
        }
        let decide = started.elapsed();
        self.meter.decide(decide);
        self.replies.push(PendingReply {
            reply,
            outcome: Some(outcome),
            at,
            timing: Timing { queue, decide, commit: Duration::ZERO },
        });
        if failpoints::enabled(Bug::AckBeforeCommit) {
            self.send_replies(Duration::ZERO);
        }
        let entry_is_full = self
            .replica
            .as_mut()
            .is_some_and(|replica| replica.add(&self.batch.events[first..], &self.batch.private_data[first_private..]));
        let is_full = entry_is_full || self.batch.events.len() >= self.options.batch_events_max;
        if is_full { self.flush() } else { Ok(()) }
    }

    /// Loads what a command refers to and the state does not hold. Returns a copy of it for the capture.
    fn prefetch(&mut self, command: &mut Command) -> Result<Admitted, StoreError> {
        let connection = &self.store.connection;
        let mut admitted = Admitted::default();
        if let Some(order) = command.named_order()
            && self.state.order(order).is_none()
        {
            load::load_named(connection, &self.store.digest_key, order, &mut admitted)?;
        }
        if let Some(event) = command.named_event_mut().filter(|event| !self.state.has_heard(&event.id)) {
            early::load_about(connection, &self.store.digest_key, event, &mut admitted)?;
        }
        if let Some(settle) = command.named_settlement() {
            settlements::load_known_refunds(connection, &self.store.digest_key, settle, &mut admitted)?;
        }
        if admitted.is_empty() {
            return Ok(admitted);
        }
        let noted = self.tap.as_ref().map(|_| admitted.clone());
        self.state.admit(admitted);
        Ok(noted.unwrap_or_default())
    }

    /// Finds the order of an event that names its payment alone. Every payment before it is durable then, so that none
    /// is overlooked; such events are rare.
    fn find_order_of(&mut self, event: &mut RecordProviderEvent) -> Result<(), StoreError> {
        if !self.batch.events.is_empty() {
            self.flush()?;
        }
        event.order = early::order_of_stripes_payment(&self.store.connection, &event.reference)?;
        Ok(())
    }
}

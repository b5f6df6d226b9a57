//! The writer as a node of a cluster: a leader's batches are entries of the log, a follower applies the entries of others.
//!
//! The order is what keeps the promises. A leader records its batch in an open transaction first, so that a broken rule of
//! the tables is found before another node sees the batch. Then it appends, and only when the entry stands it commits and
//! replies. From the append on, a client gets *not applied* only if another entry has the number.

use std::time::{Duration, Instant};

use super::clock::boot_clock;
use super::handle::WriterMessage;
use super::replica::{LogEnded, Waited, position_of};
use super::replies::{NotApplied, WriterReply};
use super::standstill::Standstill;
use super::writer_loop::WriterLoop;
use crate::failpoints::{self, Bug};
use crate::log::{Entry, Fate, Output, Stop};
use crate::store::{Severity, StoreError, load};
use crate::types::{Seq, UnixMillis};

/// Longest time for which a writer that stops waits to learn what became of its last entry. After that the outcome is
/// unknown to its clients, and the next start finds it in the log.
const RESOLVE_AT_STOP_MAX: Duration = Duration::from_secs(5);

/// The end of an append, for the batch that is recorded in the open transaction.
enum EntryEnd {
    Commit,
    RollBack(fn() -> WriterReply),
}

impl WriterLoop<'_> {
    /// Returns whether another node decides, or none does.
    pub(super) fn follows(&self) -> bool {
        self.replica.as_ref().is_some_and(|replica| !replica.leads())
    }

    /// Returns whether nothing is decided here, and the state does not advance by itself.
    pub(super) fn stands_still(&self) -> bool {
        self.is_read_only() || self.follows()
    }

    /// Returns the reply to a command that is not decided because of that.
    pub(super) fn why_not(&self) -> NotApplied {
        if self.follows() { NotApplied::NotLeader } else { NotApplied::ReadOnly }
    }

    /// Waits for a command until `until`, and does what the log asks for meanwhile.
    pub(super) fn wait_with_log(&mut self, until: Instant) -> Result<Option<WriterMessage>, StoreError> {
        loop {
            let Some(replica) = &mut self.replica else { return Ok(self.receiver.recv_deadline(until).ok()) };
            // Nothing is decided and not replied to here.
            if replica.hand_over() {
                tracing::info!("this node hands the leadership over");
            }
            // A node that cannot write asks for nothing: it neither follows nor campaigns, and its lease runs out.
            if self.standstill.is_none() {
                replica.send_due();
            }
            if replica.has_stopped_leading() {
                // Figures without an entry would be in this file alone.
                self.batch.tally.clear();
                tracing::warn!("this node does not lead any more");
            }
            match replica.wait(self.receiver, until) {
                Err(LogEnded) => return Err(self.log_ended()),
                Ok(Waited::Message(message)) => return Ok(Some(message)),
                Ok(Waited::Nothing) if Instant::now() >= until => return Ok(None),
                Ok(Waited::Nothing) => {}
                Ok(Waited::Reply(reply)) => {
                    let output = replica.take(&reply);
                    // The checkpoint and the tick have their turn after each entry.
                    if self.obey(output)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Does what the node asks its owner for. Returns true if the file or the role has changed.
    fn obey(&mut self, output: Output) -> Result<bool, StoreError> {
        // An answer that was under way when the writer came to stand still: nothing may be written.
        if let (true, Some(replica)) = (self.standstill.is_some(), &mut self.replica) {
            match output {
                Output::Apply(_) => {
                    replica.not_applied();
                    return Ok(false);
                }
                Output::Leads => {
                    replica.resign();
                    return Ok(false);
                }
                Output::Nothing | Output::Appended(_) | Output::Stopped(_) => {}
            }
        }
        match output {
            Output::Nothing => Ok(false),
            Output::Apply(entry) => self.apply(*entry).map(|()| true),
            Output::Leads => self.begin_to_lead().map(|()| true),
            Output::Stopped(stop) => Err(self.stopped(stop)),
            // Taken where an entry is appended.
            Output::Appended(_) => unreachable!("no entry is under way here"),
        }
    }

    /// The entry that began the epoch stands: from here on this node decides.
    fn begin_to_lead(&mut self) -> Result<(), StoreError> {
        let Some(replica) = &mut self.replica else { return Ok(()) };
        replica.begin();
        let head = replica.head();
        if let Err(error) = self.note_beginning() {
            // The file learns of that entry with the next one: it has no events, and may be read again.
            let _uncommitted = self.is_rolled_back();
            tracing::warn!(%error, "the entry that began the epoch is not noted in the file");
        }
        tracing::info!(epoch = head.epoch, entry = head.number, seq = head.seq.get(), "this node leads");
        // While no node led, no buyer could order or pay: those who were offered a unit then have their time from now on, and rooms
        // go on admitting now.
        self.record_stop();
        Ok(())
    }

    /// Notes in the file that it has the entry which began the epoch.
    fn note_beginning(&mut self) -> Result<(), StoreError> {
        self.begin()?;
        self.write_position()?;
        Ok(self.recorder.commit()?)
    }

    /// Applies the entry of another node: the same rows, and by the same link the same history.
    fn apply(&mut self, entry: Entry) -> Result<(), StoreError> {
        match self.record_of_another(&entry) {
            Ok(()) => {}
            Err(error) => return self.not_recorded(error),
        }
        let link = self.recorder.link();
        let Some(replica) = &mut self.replica else { return Ok(()) };
        let before = replica.head();
        match replica.applied(&entry, link) {
            Ok(true) => {
                if let Err(error) = self.write_position().and_then(|()| Ok(self.recorder.commit()?)) {
                    if let Some(replica) = &mut self.replica {
                        replica.take_back(before);
                    }
                    return self.not_recorded(error);
                }
                self.take_over_entry(entry)
            }
            Ok(false) => {
                tracing::error!(
                    entry = entry.number,
                    "an entry of the log does not fit the file: asking another member"
                );
                self.forget_transaction()
            }
            Err(stop) => {
                let _uncommitted = self.is_rolled_back();
                Err(self.stopped(stop))
            }
        }
    }

    fn record_of_another(&mut self, entry: &Entry) -> Result<(), StoreError> {
        self.sync.prepare(&self.store.connection)?;
        let events = &entry.batch.events;
        load::admit_orders_of(&self.store.connection, &self.store.digest_key, events, &mut self.state)?;
        self.begin()?;
        self.recorder.record(&entry.batch)?;
        Ok(())
    }

    /// Takes a committed entry of another node into memory, and publishes it.
    fn take_over_entry(&mut self, entry: Entry) -> Result<(), StoreError> {
        for event in &entry.batch.events {
            self.state.evolve(event);
        }
        let synced = self.sync.committed(self.state.seq());
        self.mark(synced)?;
        self.batch = entry.batch;
        if !self.batch.events.is_empty() {
            self.publish(Duration::ZERO);
            self.state.release_settled();
        }
        self.batch.clear_events();
        // The leader has counted it.
        self.batch.tally.clear();
        Ok(())
    }

    /// Handles an entry of another node that could not be recorded or committed.
    fn not_recorded(&mut self, error: StoreError) -> Result<(), StoreError> {
        let error = self.store.with_cause(error);
        if !self.is_rolled_back() {
            return Err(error);
        }
        match error.severity() {
            Severity::Full => self.become_read_only(&error.to_string()),
            Severity::ForeignWriter => self.stand_still_while_locked()?,
            Severity::FileLost | Severity::Log | Severity::Bug | Severity::Storage => return Err(error),
        }
        self.forget_transaction()
    }

    /// Takes memory back to the file after a transaction that was rolled back; the entry is read again.
    fn forget_transaction(&mut self) -> Result<(), StoreError> {
        let _uncommitted = self.is_rolled_back();
        if let Some(replica) = &mut self.replica {
            replica.not_applied();
        }
        self.reload_state()
    }

    /// Makes everything decided so far an entry, commits and publishes it, and sends the replies.
    pub(super) fn flush_entry(&mut self) -> Result<(), StoreError> {
        let Some(replica) = &self.replica else { return Ok(()) };
        // Refusals and repeats have no entry. Without a valid lease an empty one shows that they are true.
        let must_prove =
            !self.replies.is_empty() && !replica.lease_is_valid() && !failpoints::enabled(Bug::LeaseNotChecked);
        if !self.follows() && (!self.batch.events.is_empty() || must_prove) {
            return self.append_entry();
        }
        // Without a leader there are no entries whose commit would wait for the disk.
        if self.follows() && self.sync.is_due() && !self.is_read_only() {
            self.commit().map(drop).or_else(|error| self.not_committed(error))?;
        }
        self.send_replies(Duration::ZERO);
        Ok(())
    }

    /// Appends a heartbeat with the figures of the last second, if this node leads.
    pub(super) fn heartbeat(&mut self) -> Result<(), StoreError> {
        if let Some(replica) = &self.replica {
            replica.show_health(self.sync.synced());
        }
        let is_due = self.replica.as_ref().is_some_and(|replica| replica.leads() && replica.is_heartbeat_due());
        let has_figures = !self.batch.tally.is_empty();
        if !self.stands_still() && (is_due || has_figures) { self.append_entry() } else { Ok(()) }
    }

    /// Records the batch, appends its entry, and commits if it stands.
    fn append_entry(&mut self) -> Result<(), StoreError> {
        let started = Instant::now();
        let entry = match self.record_entry() {
            Ok(entry) => entry,
            // Nothing was appended.
            Err(error) => return self.not_committed(error),
        };
        self.meter.record(started.elapsed());
        let appended = Instant::now();
        let end = self.end_of_append(entry)?;
        self.meter.append(appended.elapsed());
        match end {
            EntryEnd::Commit => self.commit_entry(started),
            EntryEnd::RollBack(reply) => {
                let _uncommitted = self.is_rolled_back();
                self.reply_to_all(reply);
                self.reload_state()
            }
        }
    }

    /// Records the batch and the position of its entry in the open transaction. Returns the entry.
    fn record_entry(&mut self) -> Result<(crate::log::Head, Vec<u8>), StoreError> {
        self.sync.prepare(&self.store.connection)?;
        self.begin()?;
        let recorded = self.recorder.record(&self.batch);
        if !failpoints::enabled(Bug::AppendsUnrecorded) {
            recorded?;
        }
        let (seq, link, at) = (self.state.seq(), self.recorder.link(), self.entry_at());
        let Some(replica) = &mut self.replica else { return Err(self.log_ended()) };
        let Some((epoch, tenure)) = replica.tenure() else { return Err(self.log_ended()) };
        let before = replica.head();
        let batch = std::mem::take(&mut self.batch);
        let number = before.number.saturating_add(1);
        let entry = Entry { number, epoch, tenure, seq, before: before.link, link, at, batch };
        let (head, bytes) = (entry.head(), entry.encode());
        self.batch = entry.batch;
        replica.position.write(position_of(&head))?;
        let bytes = bytes
            .map_err(|error| StoreError::NotOfTheLog { path: self.store.path.clone(), what: error.to_string() })?;
        Ok((head, bytes))
    }

    /// The instant of an entry: no event of it is later.
    fn entry_at(&self) -> UnixMillis {
        self.state.at().max(self.clock.now())
    }

    /// Appends an entry, and waits until it is known what became of it. Commands queue meanwhile, and the next batch is
    /// larger.
    fn end_of_append(&mut self, (head, bytes): (crate::log::Head, Vec<u8>)) -> Result<EntryEnd, StoreError> {
        let Some(replica) = &mut self.replica else { return Err(self.log_ended()) };
        replica.append(head, bytes);
        let mut stop_at = None;
        let fate = loop {
            replica.send_due();
            match replica.next_reply() {
                Ok(Some(reply)) => {
                    if let Output::Appended(fate) = replica.take(&reply) {
                        break fate;
                    }
                }
                Ok(None) => {}
                Err(LogEnded) => {
                    self.reply_to_all(|| WriterReply::Unknown);
                    return Err(self.log_ended());
                }
            }
            if self.shared.stopping.load(std::sync::atomic::Ordering::Relaxed) {
                let until = *stop_at.get_or_insert_with(|| Instant::now() + RESOLVE_AT_STOP_MAX);
                if Instant::now() >= until {
                    replica.abandon();
                    break Fate::Unknown;
                }
            }
        };
        let _deposed = replica.has_stopped_leading();
        Ok(match fate {
            Fate::Stands => EntryEnd::Commit,
            Fate::StandsBehind(head) => {
                tracing::warn!(
                    entry = head.number,
                    "another node leads: the last entry of this one stands before its own"
                );
                EntryEnd::Commit
            }
            Fate::NotApplied(head) => {
                tracing::warn!(entry = head.number, "another node leads: the last batch of this one was not applied");
                EntryEnd::RollBack(|| WriterReply::NotApplied(NotApplied::NotLeader))
            }
            Fate::Unknown => {
                tracing::warn!("the log does not tell whether the last batch of this node stands");
                EntryEnd::RollBack(|| WriterReply::Unknown)
            }
        })
    }

    /// Commits a batch whose entry stands. If that fails the batch is in the log and not in this file: the outcome is
    /// unknown to its clients, and the node reads it from the log at its next start.
    fn commit_entry(&mut self, started: Instant) -> Result<(), StoreError> {
        let appended = Instant::now();
        if let Err(error) = self.recorder.commit() {
            self.reply_to_all(|| WriterReply::Unknown);
            return Err(self.store.with_cause(error.into()));
        }
        self.batch.tally.clear();
        let synced = self.sync.committed(self.state.seq());
        self.mark(synced)?;
        self.meter.commit(appended.elapsed());
        let changed = !self.batch.events.is_empty();
        let commit = started.elapsed();
        if changed {
            self.publish(commit);
        }
        self.send_replies(commit);
        if changed {
            self.batch.clear_events();
            self.state.release_settled();
        }
        if self.follows() {
            self.batch.tally.clear();
        }
        Ok(())
    }

    fn write_position(&mut self) -> Result<(), StoreError> {
        if let Some(replica) = &mut self.replica {
            let position = position_of(&replica.head());
            replica.position.write(position)?;
        }
        Ok(())
    }

    /// Gives the tenure back if the node cannot write: another one may.
    pub(super) fn resign_if_it_cannot_write(&mut self) {
        if matches!(self.standstill, Some(Standstill::Full | Standstill::Locked | Standstill::Unverified(_)))
            && let Some(replica) = self.replica.as_mut().filter(|replica| replica.leads())
        {
            replica.resign();
            replica.send_due();
            let _resigned = replica.has_stopped_leading();
            self.batch.tally.clear();
            tracing::warn!("this node cannot write its file, and gives the leadership back");
        }
    }

    /// Ends the node's part in order: another one leads at once.
    pub(super) fn leave_cluster(&mut self) {
        let Some(replica) = &mut self.replica else { return };
        self.batch.tally.clear();
        if !replica.leads() {
            return;
        }
        replica.resign();
        replica.send_due();
        let until = boot_clock().plus(1000);
        while boot_clock() < until {
            match replica.next_reply() {
                Ok(Some(reply)) if reply.lane == crate::log::Lane::Data => {
                    let _left = replica.take(&reply);
                    return;
                }
                Ok(_) => {}
                Err(LogEnded) => return,
            }
        }
    }

    /// Returns the error that ends a node which can neither follow nor lead.
    fn stopped(&mut self, stop: Stop) -> StoreError {
        if let Some(replica) = &self.replica {
            replica.stop();
        }
        StoreError::NotOfTheLog { path: self.store.path.clone(), what: sentence_of(stop, self.state.seq()) }
    }

    fn log_ended(&self) -> StoreError {
        StoreError::LogThreadEnded { path: self.store.path.clone() }
    }
}

/// Returns what an operator should know and do about a node that stopped.
fn sentence_of(stop: Stop, last: Seq) -> String {
    match stop {
        Stop::Newer { found } => {
            format!("the log has an entry of version {found}, which this program does not read: upgrade this node")
        }
        Stop::Overrun => format!(
            "the log has overwritten what follows event {last}: this node was away for too long and must join again with a \
             copy of another node's file"
        ),
        Stop::Diverged => format!(
            "the log continues otherwise after event {last} of this file, and two of its members agree: keep this file, which \
             may have what a log that was put back from a backup has lost; otherwise join again with a copy of another \
             node's file"
        ),
        Stop::LogWentBack => format!(
            "the log ends before event {last} of this file, or continues otherwise: it has lost entries, and this file may be \
             the better witness; keep it"
        ),
        Stop::OthersAreAhead => format!(
            "another node has entries that the log has lost, and this file ends before them, with event {last}: find the \
             longest file with `firstcome cluster adopt`, and let the other nodes join again"
        ),
    }
}

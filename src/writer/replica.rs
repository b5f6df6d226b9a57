//! The writer's node of a cluster: requests to the log, their answers, and what serving threads may know of them.
//!
//! The writer's thread owns the node, so that a writer that hangs loses its lease. Requests are carried out by another
//! thread (`log::LogLanes`); nothing here waits for longer than [`STEP`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, select};

use super::clock::{Clock, boot_clock};
use super::handle::WriterMessage;
use super::node_view::NodeView;
use crate::engine::Event;
use crate::log::entry::{self, ENTRY_BYTES_MAX};
use crate::log::{BootMillis, Head, Lane, LogJob, LogLanes, LogReply, Node, NodeSettings, Output, Stop, Tenure};
use crate::store::chain::ChainLink;
use crate::store::log_position::{self, LogPosition, PositionWriter};
use crate::store::{PrivateData, Store};
use crate::types::Seq;

/// Longest time without a look at what the node has to ask: below its poll interval.
const STEP: Duration = Duration::from_millis(10);

/// Time without an entry after which a leader appends one without events. With the writer's tick of a second it stays below
/// the silence after which others campaign.
const HEARTBEAT: Duration = Duration::from_millis(900);

/// Length of the events of an entry from which no further command is added to it. One command adds less than the rest.
const ENTRY_BYTES_FULL: usize = ENTRY_BYTES_MAX / 2;

/// The parts that make a writer a node of a cluster.
pub struct ReplicaParts {
    pub lanes: LogLanes,
    pub view: Arc<NodeView>,
    pub settings: NodeSettings,
}

/// The node of the writer.
pub(super) struct Replica<'a> {
    node: Node,
    /// The clock of decisions: those of two leaders must be near each other, whatever their wall clocks say.
    clock: &'a Clock,
    lanes: LogLanes,
    view: Arc<NodeView>,
    /// Number of the last request of the data lane, and the time at which that of the lease was sent.
    asked: u64,
    lease_sent: BootMillis,
    /// True while the node leads, as far as the writer has acted on it.
    is_leading: bool,
    /// Length of the events that wait for their entry.
    bytes: usize,
    last_entry: Instant,
    pub(super) position: PositionWriter<'a>,
}

impl<'a> Replica<'a> {
    /// Returns a follower that continues where the file ends.
    pub(super) fn new(
        parts: ReplicaParts,
        store: &'a Store,
        seq: Seq,
        link: ChainLink,
        clock: &'a Clock,
    ) -> rusqlite::Result<Replica<'a>> {
        let ReplicaParts { lanes, view, settings } = parts;
        let applied = head_of_file(store, seq, link)?;
        let mut position = PositionWriter::new(&store.connection)?;
        if log_position::read(&store.connection)?.is_none() {
            // From now on the file says that it is a node's, even if this one ends before its first entry.
            position.write(position_of(&applied))?;
        }
        Ok(Replica {
            node: Node::new(settings, applied, boot_clock()),
            clock,
            lanes,
            view,
            asked: 0,
            lease_sent: BootMillis(0),
            is_leading: false,
            bytes: 0,
            last_entry: Instant::now(),
            position,
        })
    }

    /// Returns whether the node decides: it was elected, and no answer since then said otherwise.
    pub(super) fn leads(&self) -> bool {
        self.is_leading
    }

    /// Returns whether refusals of the last batch may be answered without an entry.
    pub(super) fn lease_is_valid(&self) -> bool {
        self.node.may_decide(boot_clock())
    }

    pub(super) fn head(&self) -> Head {
        self.node.head()
    }

    /// Returns the epoch and the tenure in which the node leads.
    pub(super) fn tenure(&self) -> Option<(u64, Tenure)> {
        self.node.leads().zip(self.node.tenure())
    }

    pub(super) fn is_heartbeat_due(&self) -> bool {
        self.last_entry.elapsed() >= HEARTBEAT
    }

    /// Adds the events of a command to the entry. Returns true if it should have no more.
    pub(super) fn add(&mut self, events: &[Event], private_data: &[(Seq, PrivateData)]) -> bool {
        self.bytes = self.bytes.saturating_add(entry::encoded_bytes(events, private_data));
        self.bytes >= ENTRY_BYTES_FULL
    }

    /// Hands over the requests that are due.
    pub(super) fn send_due(&mut self) {
        let now = boot_clock();
        if self.view.leaves() {
            self.node.retire();
        }
        if let Some(request) = self.node.request(now) {
            self.asked = self.asked.wrapping_add(1);
            (self.lanes.submit)(LogJob { lane: Lane::Data, number: self.asked, request });
        }
        if let Some(request) = self.node.lease_request(now) {
            self.lease_sent = now;
            (self.lanes.submit)(LogJob { lane: Lane::Lease, number: now.0, request });
        }
        self.show();
    }

    /// Takes a reply of the log.
    pub(super) fn take(&mut self, reply: &LogReply) -> Output {
        let now = boot_clock();
        let doubted = self.node.doubts_entry();
        let output = match reply.lane {
            Lane::Lease => {
                self.node.lease_answered(now, BootMillis(reply.number), &reply.answer);
                Output::Nothing
            }
            Lane::Vacancy => {
                self.node.no_leader(now, reply.number == LogReply::NAMED);
                Output::Nothing
            }
            Lane::Data if reply.number == self.asked => self.node.answered(now, self.clock.now(), &reply.answer),
            Lane::Data => Output::Nothing,
        };
        if !doubted && self.node.doubts_entry() {
            let entry = self.node.head().number.saturating_add(1);
            tracing::error!(
                entry,
                "a member's copy of an entry is damaged, or does not fit the file: asking another member"
            );
        }
        self.show();
        output
    }

    /// Takes the next reply that comes within a step.
    pub(super) fn next_reply(&self) -> Result<Option<LogReply>, LogEnded> {
        match self.lanes.replies.recv_timeout(STEP) {
            Ok(reply) => Ok(Some(reply)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(LogEnded),
        }
    }

    /// Waits for a reply or for a command, at most until `until` and for one step.
    pub(super) fn wait(&self, commands: &Receiver<WriterMessage>, until: Instant) -> Result<Waited, LogEnded> {
        if let Ok(reply) = self.lanes.replies.try_recv() {
            return Ok(Waited::Reply(reply));
        }
        let step = until.saturating_duration_since(Instant::now()).min(STEP);
        select! {
            recv(self.lanes.replies) -> reply => reply.map(Waited::Reply).map_err(|_| LogEnded),
            recv(commands) -> message => Ok(message.map_or(Waited::Nothing, Waited::Message)),
            default(step) => Ok(Waited::Nothing),
        }
    }

    /// Appends the entry that was recorded; [`Replica::take`] says what became of it.
    pub(super) fn append(&mut self, to: Head, bytes: Vec<u8>) {
        self.node.append(to, bytes.into());
        self.bytes = 0;
        self.last_entry = Instant::now();
    }

    /// Takes the link of an entry that was recorded: see [`Node::applied`].
    pub(super) fn applied(&mut self, entry: &crate::log::Entry, link: ChainLink) -> Result<bool, Stop> {
        let is_right = self.node.applied(boot_clock(), self.clock.now(), entry, link);
        self.show();
        is_right
    }

    /// Notes that the file still ends at `before`, because the entry could not be committed.
    pub(super) fn take_back(&mut self, before: Head) {
        self.node.take_back(before);
    }

    pub(super) fn not_applied(&mut self) {
        self.node.not_applied(boot_clock());
    }

    /// Begins to lead.
    pub(super) fn begin(&mut self) {
        (self.is_leading, self.bytes, self.last_entry) = (true, 0, Instant::now());
        self.show();
    }

    /// Returns true once if the node has stopped leading since it began to.
    pub(super) fn has_stopped_leading(&mut self) -> bool {
        let has = self.is_leading && self.node.leads().is_none();
        if has {
            (self.is_leading, self.bytes) = (false, 0);
            self.show();
        }
        has
    }

    /// Gives an entry up whose end is not known, because the process ends.
    pub(super) fn abandon(&mut self) {
        self.node.abandon(boot_clock());
        self.is_leading = false;
        self.show();
    }

    /// Gives the tenure back, so that another node leads without waiting for the end of the lease.
    pub(super) fn resign(&mut self) {
        self.node.resign(boot_clock());
        self.show();
    }

    /// Shows others the last event on the disk, and the wall clock's lead.
    pub(super) fn show_health(&self, synced: Seq) {
        self.view.set_health(synced, self.node.clock_lead_ms());
    }

    /// Gives the tenure back if the leadership goes to a node that the log names by now, or if this one leaves its cluster. Returns true if it did.
    pub(super) fn hand_over(&mut self) -> bool {
        if !self.is_leading || !(self.view.handover().is_named() || self.view.leaves()) {
            return false;
        }
        self.resign();
        self.view.handover().set_given_up();
        true
    }

    /// The node neither follows nor leads any more: nothing is served.
    pub(super) fn stop(&self) {
        self.view.set_stopped();
    }

    /// Shows the serving threads the node's place. Without a valid lease another node may lead, and commands that come then
    /// are rejected at once, rather than queued behind an entry whose end is not known.
    fn show(&self) {
        let until = self.node.leads_until().filter(|until| self.is_leading && boot_clock() < *until);
        self.view.set_leads_until(until);
        self.view.set_leader_silent(!self.is_leading && self.node.hears_no_leader(boot_clock()));
        if let Some(at) = self.node.heard_at() {
            self.view.set_applied(self.node.head().number, at);
        }
    }
}

/// The first of what a wait was for.
pub(super) enum Waited {
    Reply(LogReply),
    Message(WriterMessage),
    Nothing,
}

/// The thread of the log has ended.
#[derive(Debug)]
pub(super) struct LogEnded;

/// Returns the head of the log after the last entry in the file. A file that was never a node's stands before the first.
fn head_of_file(store: &Store, seq: Seq, link: ChainLink) -> rusqlite::Result<Head> {
    let found = log_position::read(&store.connection)?;
    Ok(found.map_or(Head::before_all(seq, link), |LogPosition { number, epoch, tenure }| Head {
        number,
        epoch,
        tenure: Tenure(tenure),
        seq,
        link,
    }))
}

/// Returns the position of an entry, for its file.
pub(super) const fn position_of(head: &Head) -> LogPosition {
    LogPosition { number: head.number, epoch: head.epoch, tenure: head.tenure.0 }
}

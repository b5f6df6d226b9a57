//! Entries of the log on a database on which no server runs, with a follower's comparisons.

use crate::exit::Exit;
use crate::log::{Entry, Head, Tenure};
use crate::store::Recorder;
use crate::store::chain::ChainLink;
use crate::store::joining::GrowingStore;
use crate::store::log_position::{LogPosition, PositionWriter};
use crate::types::Seq;

/// Entries between two checkpoints of the growing database.
const CHECKPOINT_EVERY: u64 = 2000;

/// Applies entries, one transaction each.
pub(super) struct Applier<'a> {
    growing: &'a GrowingStore,
    recorder: Recorder<'a>,
    writer: PositionWriter<'a>,
    head: Head,
    applied: u64,
}

impl<'a> Applier<'a> {
    pub(super) fn new(growing: &'a GrowingStore) -> Result<Applier<'a>, Exit> {
        let GrowingStore { store, position, seq, link } = growing;
        let LogPosition { number, epoch, tenure } = *position;
        let head = Head { number, epoch, tenure: Tenure(tenure), seq: *seq, link: *link };
        let prepared = Recorder::new(&store.connection, *link)
            .and_then(|recorder| PositionWriter::new(&store.connection).map(|writer| (recorder, writer)));
        let (recorder, writer) = prepared.map_err(|error| failed(&error))?;
        Ok(Applier { growing, recorder, writer, head, applied: 0 })
    }

    /// Number of the last entry in the database.
    pub(super) fn number(&self) -> u64 {
        self.head.number
    }

    /// Applies the next entry.
    pub(super) fn apply(&mut self, bytes: &[u8]) -> Result<(), Exit> {
        let entry = Entry::decode(bytes).map_err(|error| Exit::bad_data(error.to_string()))?;
        let is_next = entry.number == self.head.number.saturating_add(1) && entry.before == self.head.link;
        let may_follow = match entry.epoch.cmp(&self.head.epoch) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => entry.tenure == self.head.tenure,
            std::cmp::Ordering::Greater => true,
        };
        if !is_next || !may_follow {
            return Err(differs(&entry));
        }
        self.recorder.begin().map_err(|error| failed(&error))?;
        self.recorder.record(&entry.batch).map_err(|error| failed(&error))?;
        let link = self.recorder.link();
        if link != entry.link {
            return Err(differs(&entry));
        }
        let head = entry.head();
        let position = LogPosition { number: head.number, epoch: head.epoch, tenure: head.tenure.0 };
        let committed = self.writer.write(position).and_then(|()| self.recorder.commit());
        committed.map_err(|error| failed(&error))?;
        self.head = head;
        self.applied = self.applied.saturating_add(1);
        if self.applied.is_multiple_of(CHECKPOINT_EVERY) {
            let checkpointed =
                self.growing.store.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            checkpointed.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// Returns the place of the database in the log, its last event, and its last link.
    pub(super) fn end(self) -> (LogPosition, Seq, ChainLink) {
        let Head { number, epoch, tenure, seq, link } = self.head;
        (LogPosition { number, epoch, tenure: tenure.0 }, seq, link)
    }
}

fn differs(entry: &Entry) -> Exit {
    Exit::bad_data(format!(
        "entry {} of the log does not fit the copy: the node that was copied is not what the log says; join from another one, \
         and run `firstcome verify` there",
        entry.number
    ))
}

fn failed(error: &rusqlite::Error) -> Exit {
    Exit::disk(format!("the growing database: {error}"))
}

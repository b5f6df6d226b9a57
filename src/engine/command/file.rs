//! Commands about the file as a whole.

use crate::engine::drops::find;
use crate::engine::event::FileEvent;
use crate::engine::{Decision, EventSubject, Outcome, Refusal, Subject};
use crate::types::{DropId, Seq, UnixMillis};

/// A command about the file as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FileCommand {
    /// Notes in the audit that an operator exports contacts.
    ExportContacts {
        /// The one drop whose contacts are exported; all drops if not given.
        drop_id: Option<DropId>,
    },
    /// Notes in the audit that acknowledged events are lost.
    RecordLoss {
        /// The number of lost events.
        lost: u64,
        /// The last event that was acknowledged.
        acknowledged: Seq,
    },
    /// Notes after a stop that no buyer could pay before this instant.
    RecordStop {
        /// The instant of the start.
        until: UnixMillis,
    },
}

super::names!(FileCommand { ExportContacts = "export_contacts", RecordLoss = "record_loss", RecordStop = "record_stop" });

pub(super) fn decide(decision: &mut Decision<'_>, command: &FileCommand) -> Result<Outcome, Refusal> {
    let seq = match command {
        FileCommand::ExportContacts { drop_id: Some(drop_id) } => {
            let entry = find(decision.state, *drop_id)?;
            decision.emit(entry.last_seq, EventSubject::Drop(entry.id), FileEvent::ContactsExported)
        }
        FileCommand::ExportContacts { drop_id: None } => {
            decision.emit(Seq::ZERO, EventSubject::File, FileEvent::ContactsExported)
        }
        FileCommand::RecordLoss { lost, acknowledged } => {
            let event = FileEvent::EventsLost { lost: *lost, acknowledged: *acknowledged };
            decision.emit(Seq::ZERO, EventSubject::File, event)
        }
        FileCommand::RecordStop { until } => {
            decision.emit(Seq::ZERO, EventSubject::File, FileEvent::StopEnded { until: *until })
        }
    };
    Ok(Outcome::changed(seq, Subject::File))
}

//! Commands about drops.

use super::CommandKey;
use crate::engine::drops::{find, find_open};
use crate::engine::event::{DropCreated, DropEvent, DropPatched, StockAdjusted};
use crate::engine::{Decision, DropEntry, DropPatch, DropSpec, EventSubject, Invalid, Outcome, Refusal, Subject};
use crate::types::published::DROPS_MAX;
use crate::types::{DropId, Seq};

/// A command about a drop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DropCommand {
    /// Opens a new drop.
    Create(CreateDrop),
    /// Changes a drop's texts, window, limits, price or seconds. Live orders keep theirs.
    Patch(PatchDrop),
    /// Stops new orders until resumed.
    Pause(ChangeDrop),
    Resume(ChangeDrop),
    /// Ends a drop now, for good.
    Close(ChangeDrop),
    /// Adds units to a drop, or takes free ones away.
    AdjustStock(AdjustStock),
    /// Reports the auditor's recount of a drop: whether it disagrees with the drop's counters.
    /// `stands` is false once the recount agrees again.
    ReportMismatch {
        drop_id: DropId,
        stands: bool,
    },
}

super::names!(DropCommand {
    Create = "create_drop",
    Patch = "patch_drop",
    Pause = "pause_drop",
    Resume = "resume_drop",
    Close = "close_drop",
    AdjustStock = "adjust_stock",
    ReportMismatch = "report_mismatch",
});

/// The parameters of a drop's creation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateDrop {
    pub key: CommandKey,
    pub spec: Box<DropSpec>,
}

/// The parameters of a change of a drop's spec.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PatchDrop {
    pub drop_id: DropId,
    /// The revision that the operator saw; another one refuses the patch.
    pub expected_revision: u32,
    pub patch: Box<DropPatch>,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

/// An operator's change of a drop that needs no more than a reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeDrop {
    pub drop_id: DropId,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

/// The parameters of a change of stock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdjustStock {
    pub drop_id: DropId,
    /// Units that are added; negative to remove units.
    pub delta: i64,
    /// The total that the operator saw; another one refuses the change.
    pub expected_total: u32,
    /// The operator's reason, for the audit.
    pub reason: Box<str>,
}

impl DropCommand {
    /// The drop that the command names; a creation names none.
    pub(super) const fn drop_id(&self) -> Option<DropId> {
        match self {
            DropCommand::Create(_) => None,
            DropCommand::Patch(patch) => Some(patch.drop_id),
            DropCommand::Pause(change) | DropCommand::Resume(change) | DropCommand::Close(change) => {
                Some(change.drop_id)
            }
            DropCommand::AdjustStock(adjust) => Some(adjust.drop_id),
            DropCommand::ReportMismatch { drop_id, .. } => Some(*drop_id),
        }
    }
}

pub(super) fn decide(decision: &mut Decision<'_>, command: &DropCommand) -> Result<Outcome, Refusal> {
    match command {
        DropCommand::Create(command) => create(decision, command),
        DropCommand::Patch(command) => patch(decision, command),
        DropCommand::Pause(command) => pause(decision, command),
        DropCommand::Resume(command) => resume(decision, command),
        DropCommand::Close(command) => close(decision, command),
        DropCommand::AdjustStock(command) => adjust_stock(decision, command),
        DropCommand::ReportMismatch { drop_id, stands } => report_mismatch(decision, *drop_id, *stands),
    }
}

/// Emits an event of the drop itself.
fn accept(decision: &mut Decision<'_>, entry: &DropEntry, event: DropEvent) -> Result<Outcome, Refusal> {
    let seq = decision.emit(entry.last_seq, EventSubject::Drop(entry.id), event);
    Ok(Outcome::changed(seq, Subject::Drop(entry.id)))
}

fn create(decision: &mut Decision<'_>, command: &CreateDrop) -> Result<Outcome, Refusal> {
    let CreateDrop { key, spec } = command;
    if let Some(remembered) = decision.state.command_keys.get(&key.digest) {
        let subject = u32::try_from(remembered.subject).ok().and_then(DropId::new).map(Subject::Drop);
        return match subject {
            Some(subject) if remembered.params == key.params => Ok(decision.repeat(subject)),
            _ => Err(Refusal::KeyReused),
        };
    }
    assert_eq!(spec.has_draw(), spec.commitment.is_some(), "a drop has a commitment if something is drawn");
    spec.check_window(decision.at())?;
    let count = decision.state.drops.len();
    // Versions are published in a table of DROPS_MAX places.
    let shard = decision.state.shard;
    let id = u32::try_from(count.saturating_add(1)).ok().and_then(|number| DropId::in_shard(shard, number));
    let Some(drop_id) = id.filter(|_| count.saturating_add(1) < DROPS_MAX) else {
        return Err(Refusal::Invalid(Invalid::TooManyDrops));
    };
    let event = DropEvent::Created(DropCreated { spec: spec.clone(), key: *key });
    let seq = decision.emit(Seq::ZERO, EventSubject::Drop(drop_id), event);
    Ok(Outcome::changed(seq, Subject::Drop(drop_id)))
}

fn patch(decision: &mut Decision<'_>, command: &PatchDrop) -> Result<Outcome, Refusal> {
    let PatchDrop { drop_id, expected_revision, patch, reason } = command;
    let entry = find_open(decision.state, *drop_id)?;
    if entry.revision != *expected_revision {
        return Err(Refusal::PreconditionFailed { revision: entry.revision });
    }
    let mut spec = entry.spec.clone();
    patch.apply_to(&mut spec);
    spec.check_window(decision.at())?;
    entry.check_room_patch(patch, &spec, decision.at())?;
    accept(decision, entry, DropEvent::Patched(DropPatched { patch: patch.clone(), reason: reason.clone() }))
}

fn pause(decision: &mut Decision<'_>, command: &ChangeDrop) -> Result<Outcome, Refusal> {
    let entry = find_open(decision.state, command.drop_id)?;
    if entry.paused {
        return Ok(decision.repeat(Subject::Drop(entry.id)));
    }
    accept(decision, entry, DropEvent::Paused { reason: command.reason.clone() })
}

fn resume(decision: &mut Decision<'_>, command: &ChangeDrop) -> Result<Outcome, Refusal> {
    let entry = find_open(decision.state, command.drop_id)?;
    if entry.mismatch {
        return Err(Refusal::MismatchStands { from: entry.state() });
    }
    if !entry.paused {
        return Ok(decision.repeat(Subject::Drop(entry.id)));
    }
    accept(decision, entry, DropEvent::Resumed { reason: command.reason.clone() })
}

fn close(decision: &mut Decision<'_>, command: &ChangeDrop) -> Result<Outcome, Refusal> {
    let entry = find(decision.state, command.drop_id)?;
    if entry.ended {
        return Ok(decision.repeat(Subject::Drop(entry.id)));
    }
    accept(decision, entry, DropEvent::Closed { reason: command.reason.clone() })
}

fn adjust_stock(decision: &mut Decision<'_>, command: &AdjustStock) -> Result<Outcome, Refusal> {
    let entry = find_open(decision.state, command.drop_id)?;
    if entry.spec.total != command.expected_total {
        return Err(Refusal::PreconditionFailed { revision: entry.revision });
    }
    let total = i64::from(entry.spec.total).saturating_add(command.delta);
    if total > i64::from(u32::MAX) {
        return Err(Refusal::Invalid(Invalid::TotalTooLarge));
    }
    if total < i64::from(entry.taken()) {
        return Err(Refusal::Invalid(Invalid::TotalBelowTaken { taken: entry.taken() }));
    }
    let event = StockAdjusted { delta: command.delta, reason: command.reason.clone() };
    accept(decision, entry, DropEvent::StockAdjusted(event))
}

fn report_mismatch(decision: &mut Decision<'_>, drop_id: DropId, stands: bool) -> Result<Outcome, Refusal> {
    // The auditor counts hidden drops too.
    let entry = decision.state.drop_entry(drop_id).ok_or(Refusal::NotFound)?;
    if entry.mismatch == stands {
        return Ok(decision.repeat(Subject::Drop(drop_id)));
    }
    accept(decision, entry, if stands { DropEvent::MismatchFound } else { DropEvent::MismatchCleared })
}

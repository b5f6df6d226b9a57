//! The options of the writer.

use std::time::Duration;

use super::CpuAffinity;
use super::checkpoint::CheckpointLimits;
use crate::store::Durability;

/// Options of the writer, each a setting of `config`.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Capacity of the queue, in commands.
    pub queue_capacity: usize,
    /// Queue slots reserved for operators.
    pub queue_reserve: usize,
    /// Queue time after which a buyer's command is not decided any more.
    pub queue_wait_max: Duration,
    pub batch_commands_max: usize,
    /// Maximum number of events per transaction.
    pub batch_events_max: usize,
    pub durability: Durability,
    pub affinity: CpuAffinity,
    pub checkpoint: CheckpointLimits,
    /// Free bytes on the disk below which nothing is sold; 0: only a failed write stops sales.
    pub free_bytes_min: u64,
    /// Number of workers that get their replies through a mailbox.
    pub mailboxes: usize,
}

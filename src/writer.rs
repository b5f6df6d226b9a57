//! The writer: one thread that owns the writing connection and the state, and does everything in order.
//!
//! `handle` submits commands and returns tickets without blocking. `thread` runs the loop, `writer_loop` has its steps:
//! wait, drain, decide, record, commit, publish, reply. `clock` gives every command its instant. Nothing else in the
//! program writes to the file or checkpoints it.
//!
//! Invariants: no reply leaves before everything that its decision saw is durable. A command that was rejected, or
//! answered as not decided, never has an effect.

pub mod affinity;
pub mod checkpoint;
pub mod clock;
pub mod clock_guard;
mod decide;
mod disk_space;
mod file_check;
pub mod handle;
pub mod handover;
mod instant_keeper;
mod look;
pub mod node_view;
mod options;
mod replica;
mod replicated;
pub mod replies;
mod room_figures;
mod standstill;
mod sync_policy;
pub mod thread;
mod writer_loop;

pub use affinity::CpuAffinity;
pub use clock::Clock;
pub use clock_guard::{ClockError, ClockReading, StartEvidence};
pub use handle::{Class, Submission, SubmitError, Ticket, WriterHandle};
pub use handover::{Handover, HandoverStep, HandoverTurn};
pub use instant_keeper::keep_and_sync;
pub use node_view::{CopyTurn, LeaderAddress, NodeRole, NodeView};
pub use options::WriterOptions;
pub use replica::ReplicaParts;
pub use replies::{Decided, NotApplied, Timing, WriterReply};
pub use thread::{Writer, WriterExit};

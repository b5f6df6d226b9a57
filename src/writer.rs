//! The writer: one thread that owns the connection and the state, and does everything in order.
//!
//! `handle` is what others hold: submit a command, get a ticket, never block. `thread` is the loop: wait, drain,
//! decide, record, commit, publish, reply; `writer_loop` is each of its steps. `clock` gives every command its instant. Nothing else in the program writes
//! to the file or checkpoints it.
//!
//! Invariant: no answer leaves before everything that it saw is durable. Invariant: what was turned away, or answered
//! as not decided, has no effect, ever.

pub mod affinity;
pub mod checkpoint;
pub mod clock;
mod disk_space;
pub mod handle;
pub mod replies;
mod sync_policy;
pub mod thread;
mod writer_loop;

pub use affinity::CpuAffinity;
pub use clock::{Clock, ClockError};
pub use handle::{Class, Decided, NotApplied, Submission, SubmitError, Ticket, Timing, WriterHandle, WriterReply};
pub use thread::{Writer, WriterExit, WriterOptions};

//! Captures: every decided command with its instant and its outcome, in order, so that a sale can be replayed.
//!
//! `tap` is what the writer holds: after COMMIT it hands a batch over and never waits. `recorder` is the thread behind
//! it that writes the file; `format` defines the file and reads it; `encoding` defines the bytes of the engine's types, `extensions` those of their later fields,
//! `snapshot` those of a state; `replay` runs a file through an engine and compares.
//!
//! bincode lives here and nowhere near the tables. A capture holds no contact, no buyer's text, no key to an order:
//! commands never had them.
//!
//! Invariant: between a snapshot and the next gap a file holds every command that was decided, and what it loaded, so
//! the same commands give the same events.

mod bytes;
pub(crate) mod encoding;
mod endpoints;
pub(crate) mod extensions;
pub mod format;
mod outcomes;
mod provider_events;
pub mod recorder;
pub mod replay;
pub(crate) mod room_changes;
mod rooms;
mod snapshot;
mod standby;
pub mod tap;

pub use recorder::CaptureRecorder;
pub use tap::Tap;

//! Captures: every decided command with its instant and its outcome, in order, so that a sale can be replayed.
//!
//! `tap` is what the writer holds: after COMMIT it hands a batch over and never waits. `recorder` is the thread behind
//! it that writes the file; `format` says what a file looks like and reads it; `form` how the engine's words look in
//! bytes; `snapshot` how a state does; `replay` runs a file through an engine and compares.
//!
//! bincode lives here and nowhere near the tables. A capture holds no contact, no buyer's text, no key to an order:
//! commands never had them.
//!
//! Invariant: between a snapshot and the next gap a file holds every command that was decided, and what it loaded, so
//! the same commands give the same events.

mod form;
pub mod format;
pub mod recorder;
pub mod replay;
mod snapshot;
pub mod tap;

pub use recorder::Recorder;
pub use tap::Tap;

//! Sockets as every server of this program has them: listeners, the loop that accepts from them, and streams with a rule for
//! what is read and written.

mod listen;
mod ruled_stream;

pub use listen::{ACCEPT_PAUSE, DRAIN_MAX, ListenError, accept_until_stop, bind};
pub use ruled_stream::{RuledStream, StreamRule};

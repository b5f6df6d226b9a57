//! The binary protocol: frames over TCP, for those who bid or order by the thousand. PROTOCOL.md has every byte.
//!
//! `frame` and `messages` know bytes and nothing else; `listener` is what a serving thread keeps for all its
//! connections; `connection` is one of them: it reads frames, hands commands to the writer, and answers in order, after
//! COMMIT; `subscriptions` are those who want to hear of auctions. The way in is that of HTTP: the same threads, the same places, the same admission, the same queue.
//!
//! Invariant: only a frame that cannot be, or a flood of them, ends a connection with an ERROR. Everything else that is
//! wrong is an answer.

mod answers;
mod commands;
mod connection;
pub mod frame;
mod listener;
pub mod messages;
mod pace;
pub mod reason;
mod subscriptions;

pub use connection::serve;
pub use listener::{Wire, WireParts, upkeep};

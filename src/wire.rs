//! The wire protocol: frames over TCP, for clients that bid or order by the thousand. PROTOCOL.md has every byte.
//!
//! `frame` and `messages` know bytes and nothing else. `worker` holds what the connections of a worker share, `connection`
//! reads frames and writes replies in their order, `session` hands commands to the writer, and `subscriptions` sends
//! auctions' updates. Connections pass the same acceptor, admission and queue as those of HTTP.
//!
//! Invariant: only a malformed frame, or a flood of frames, closes a connection with an ERROR. Every other failure is a
//! normal reply with a reason code.

mod connection;
pub mod frame;
pub mod messages;
mod rate_limit;
pub mod reason;
mod replies;
mod session;
mod subscriptions;
mod timeouts;
mod worker;

pub use connection::serve;
pub use worker::{WireWorker, WireWorkerParts, upkeep};

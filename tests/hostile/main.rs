//! Hostile clients on raw sockets against the real server, with a good client beside them: what is too slow, too large,
//! too many or ambiguous is refused, disturbs nobody, and leaves nothing behind.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

#[path = "../http/mod.rs"]
mod http;

#[path = "../process/mod.rs"]
mod process;

mod crowds;
mod framing;
mod pipelined;
mod raw;
mod slow;

//! The binary protocol on real sockets against the real server: what is good is answered in order and after COMMIT, what
//! is wrong is an answer, and what cannot be ends its own connection and disturbs nobody.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

#[path = "../http/mod.rs"]
mod http;
#[path = "../peer/mod.rs"]
mod peer;

mod answers;
mod auctions;
mod bad;
mod corpus;
mod hello;
mod program;
mod protocol;
mod rooms;
mod slow;
mod storms;

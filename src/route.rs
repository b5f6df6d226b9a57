//! `firstcome route`: a front for the nodes of several shards, which has no state but a view of the nodes.
//!
//! A request's path says which shard it belongs to (`place`). Reads go to a node that serves, writes to the leader
//! (`forward`); `watch` looks at the nodes, and answers correct the view (`view`) at once. `connection` serves a client's
//! connection within its bounds, `service` a request. Nothing is decided here: what a node did not answer is never made up.

mod body;
mod connection;
mod creation;
mod cursor;
mod forward;
mod headers;
mod inspect;
mod lists;
mod nginx;
mod pages;
mod permit;
mod place;
mod problems;
mod server;
mod service;
mod shard_word;
mod view;
mod watch;
mod webhooks;
mod worker;

pub use nginx::nginx;
pub use server::{RunningRoute, start};

//! The load generator: buyers place orders over HTTP, or bid over the wire protocol, and the result is checked.
//!
//! Open-loop: arrivals keep their schedule whatever the server does. The load threads share nothing but the waiting list
//! of buyers who found the drop sold out. The rules are in `behavior`, `crowd`, `ledger` and `check`, which do no I/O;
//! `worker` and `client` do the I/O and know no rules. In reading order: `plan`, `schedule`, `buyer`, `behavior`, `crowd`,
//! `waiting_list`, `ledger`, `check`, `worker`, `client`, `streams`, `run`, `report`. A `ladder` is many runs, each at a higher rate;
//! `bids` bids in auctions; `replay` sends the requests of a capture once more; `mixed` is people and bots at one door; `rooms` waits in a room;
//! `pay` pays, and is the payment provider as well.
//!
//! Invariant: a check that could not be made exactly is never reported as exact.

mod behavior;
pub(crate) mod bids;
mod buyer;
mod check;
mod client;
mod crowd;
pub(crate) mod drops;
pub(crate) mod ladder;
mod ledger;
mod meter;
pub(crate) mod mixed;
mod numbers;
mod outcome;
pub(crate) mod pay;
mod plan;
pub(crate) mod replay;
mod report;
mod request;
mod response;
pub(crate) mod rooms;
pub(crate) mod run;
mod schedule;
mod shared;
mod streams;
mod waiting_list;
mod worker;

pub(crate) use behavior::Crowd;
pub(crate) use plan::LoadPlan;

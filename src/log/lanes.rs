//! The way between a node's owner, which must not wait for a network, and the thread that carries its requests out.
//!
//! Two requests may be under way at the same time: one that keeps the lease, and another one.

use crossbeam_channel::Receiver;

use super::{LogAnswer, LogRequest};

/// The kind of a request under way: each has its own answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    Data,
    Lease,
    /// No request: the log's thread tells by itself, with [`LogAnswer::Gone`], that no node leads.
    Vacancy,
}

/// A request to be carried out.
#[derive(Debug)]
pub struct LogJob {
    pub lane: Lane,
    /// Number of the request in its lane.
    pub number: u64,
    pub request: LogRequest,
}

/// The answer to a request.
#[derive(Debug)]
pub struct LogReply {
    pub lane: Lane,
    /// Number of the request that it answers.
    pub number: u64,
    pub answer: LogAnswer,
}

impl LogReply {
    /// The number of the news that no node leads, at the node that the last leader has named.
    pub const NAMED: u64 = 1;
}

/// The owner's ends of both lanes. Every job of the first two lanes has one reply, after the longest time of a request at the latest.
pub struct LogLanes {
    /// Hands a job over; does not block. A job whose thread has ended is dropped, and `replies` is disconnected.
    pub submit: Box<dyn Fn(LogJob) + Send>,
    pub replies: Receiver<LogReply>,
}

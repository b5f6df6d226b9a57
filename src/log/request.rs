//! Requests of a node to the log, and their answers. A node has no I/O of its own: an etcd client or a simulation carries
//! its requests out.

use std::sync::Arc;

use super::Head;

/// A leader's right to append, as the log knows it: it ends with the lease, and no later right has the same number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tenure(pub u64);

/// A request to the log. Each is one atomic step there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogRequest {
    /// Puts an entry behind `from`, if the head is `from` and the tenure is the present leader's.
    Append { tenure: Tenure, from: Head, to: Head, bytes: Arc<[u8]> },
    Head {
        /// True if the head that a member told is doubted: another one must answer.
        elsewhere: bool,
    },
    /// Reads the largest number of an entry that any node says it has.
    Furthest,
    /// Reads the entry in the slot of a number.
    Read {
        number: u64,
        /// True if the copy that answered before is doubted: another member of the log must answer.
        elsewhere: bool,
    },
    /// Waits for a short time for the entry of a number that a look did not find. An entry that is there may be missed.
    Await { number: u64 },
    /// Becomes the leader, unless another node leads.
    Campaign,
    /// Keeps the lease of a tenure.
    KeepAlive { tenure: Tenure },
    /// Ends a tenure before its lease does.
    Resign { tenure: Tenure },
}

/// An answer of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogAnswer {
    /// The entry was put.
    Appended,
    /// The entry was not put by this request. The head is this one.
    Fenced(Head),
    Head(Head),
    /// The largest number of an entry that any node says it has; 0 if none says anything.
    Furthest(u64),
    /// The bytes in the slot; empty if the slot was never written.
    Entry(Arc<[u8]>),
    /// A wait has ended without an entry, which says nothing about the log.
    NoNews,
    /// The campaign was won.
    Elected(Tenure),
    /// There is a leader.
    Held,
    /// The lease runs anew.
    Kept,
    /// The tenure has ended.
    Gone,
    /// No answer came, or none that says whether the request was carried out.
    Unknown,
}

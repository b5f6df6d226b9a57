//! The replicated log: what the writer of one machine commits, as entries that other machines apply to their own files.
//!
//! `entry` defines the bytes of an entry: a whole batch, and the links of the chain before and after it. A node that
//! records the batch of an entry after the same link gets the same rows and the same next link, and compares it. `head`
//! is the end of the log, by which appends are fenced. `request` is what may be asked of a log, `append` finds out what
//! became of one append, `node` follows, campaigns and leads; neither has I/O or a clock. `simulated` is a log in memory
//! with the faults of a network, `etcd` the real one (feature `cluster`), `seal` encrypts its entries. `etcd_connect` opens it
//! from the file of a cluster; `meta` is what never changes in a log, `announcement` what nodes tell of themselves there.
//!
//! `writer` is what appends and applies entries, `server` what carries its requests to etcd.

pub mod announcement;
pub mod append;
pub mod checks;
pub mod entry;
#[cfg(feature = "cluster")]
pub mod etcd;
#[cfg(feature = "cluster")]
pub mod etcd_connect;
#[cfg(feature = "cluster")]
pub mod etcd_members;
mod etcd_version;
pub mod head;
pub mod lanes;
pub mod meta;
pub mod node;
mod private_data;
pub mod request;
pub mod seal;
pub mod simulated;
mod times;

pub use append::{Append, Fate, Step};
pub use entry::{ENTRY_BYTES_MAX, Entry, EntryError};
pub use head::Head;
pub use lanes::{Lane, LogJob, LogLanes, LogReply};
pub use node::{Node, Output, Stop};
pub use request::{LogAnswer, LogRequest, Tenure};
pub use times::{BootMillis, NodeSettings};

//! The replicated log: what the writer of one machine commits, as entries that other machines apply to their own files.
//!
//! `entry` defines the bytes of an entry: a whole batch, and the links of the chain before and after it. A node that
//! records the batch of an entry after the same link gets the same rows and the same next link, and compares it.
//!
//! Only the encoding is here so far; no program appends entries yet.

pub mod entry;
mod private_data;

pub use entry::{ENTRY_BYTES_MAX, Entry, EntryError};

//! The readers' side of SQLite: one read-only connection per thread, ready bodies of hot drops, and the auditor.
//!
//! Nothing here writes or checkpoints. Invariant: the published version is loaded before the snapshot is opened, and a
//! body's version comes from its row; so no body is ever older than what its reader was promised.

pub mod auctions;
pub mod auditor;
pub mod board;
pub mod connection;
pub mod hot;
pub mod lists;
pub mod news;
pub mod outbox;
pub mod payments;
pub mod rows;
pub mod sessions;

pub use auctions::{AuctionRow, BidRow};
pub use auditor::{Auditor, AuditorState};
pub use connection::Reader;
pub use hot::{HotBodies, HotBody};
pub use payments::PaymentRow;
pub use rows::{DropRow, OrderRow};

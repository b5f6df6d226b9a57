//! The reading side of SQLite: one read-only connection per thread, cached responses of drops and auctions, and the auditor.
//!
//! Nothing here writes or checkpoints. Invariant: the published version is loaded before the snapshot is opened, and a
//! response's version comes from its row, so no response is older than the published version.

pub mod auction_update;
pub mod auctions;
pub mod auditor;
pub mod buyers;
pub mod connection;
pub mod draws;
mod drop_starts;
pub mod history;
pub mod lists;
pub mod mail;
pub mod metrics_sample;
pub mod outbox;
pub mod page_cache;
pub mod payments;
pub mod recorded;
pub mod refunds;
pub mod report;
pub mod response_cache;
mod room_facts;
pub mod rooms;
pub mod rows;
pub mod sessions;

pub use auctions::{AuctionRow, BidRow};
pub use auditor::{Auditor, AuditorState};
pub use connection::Reader;
pub use draws::DrawRow;
pub use drop_starts::DropStarts;
pub use page_cache::PageCache;
pub use payments::PaymentRow;
pub use response_cache::{AuctionResponseCache, CachedResponse, DropResponseCache};
pub use room_facts::RoomFacts;
pub use rooms::{AdmissionRate, RoomRow};
pub use rows::{DropRow, OrderRow};

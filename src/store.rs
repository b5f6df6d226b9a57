//! The writing side of SQLite: opens and verifies the file, loads the state, and records events.
//!
//! It runs on the writer's thread, which owns the only connection that writes, and translates events into rows. It knows
//! nothing of queues or clients. Invariants: one transaction per batch; `load` restores from the tables exactly the state
//! that the engine has in memory.

pub mod accepted_loss;
pub mod advice;
mod auctions;
pub mod audit;
pub mod backup;
pub mod backup_file;
pub mod backup_requests;
pub mod beside;
mod bidders;
mod buyer_tiers;
pub mod chain;
pub mod clock_file;
mod draws;
mod drops;
pub mod early;
mod endpoints;
pub mod error;
pub mod fault_marker;
pub mod foreign_commits;
mod identity_rows;
pub mod joining;
mod kept_tokens;
pub mod live_copy;
pub mod load;
pub mod lock;
mod log_index;
pub mod log_position;
pub mod migrate;
mod money;
pub mod node_copy;
pub mod open;
pub mod open_files;
mod orders;
pub mod ownership;
pub mod packing;
pub mod per_second_stats;
mod private_data;
mod proof;
pub mod rebuild;
pub mod record;
pub mod recover;
pub mod rescue;
pub mod restore;
pub mod resumption;
mod rooms;
mod schema_parts;
mod seals;
pub mod settings;
pub mod settlements;
mod sql_types;
mod standby;
pub mod start_check;
mod stray_log;
mod two_slots;
pub mod verify;
pub mod watermark;

pub use clock_file::{BootTime, KeptInstant};
pub use error::{Severity, StoreError};
pub use load::Loaded;
pub use open::{Durability, Store};
pub use per_second_stats::{PerSecondFigures, PerSecondTally};
pub use private_data::PrivateData;
pub use record::{Batch, Recorder};

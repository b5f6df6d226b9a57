//! The outbox: tells endpoints what happened, at least once, in order per order, and never before it is durable.
//!
//! It is the audit itself: every event is a row there, in its own transaction, in order. So a sale writes nothing more
//! for it. The relay follows the audit through a read connection of its own (`relay`), keeps for each endpoint the
//! queue of its deliveries (`queue`), and has the writer write down how far it came.

pub mod delivery_queue;
pub mod message;
pub mod relay;
pub mod schedule;
pub mod setup;
pub mod signing;

pub use relay::{Relay, RelayDependencies, RelayOptions};
pub use schedule::RetrySchedule;
pub use setup::OutboxSetup;

//! The outbox: delivers events to webhook endpoints at least once, in sequence per order, and never before they are
//! durable.
//!
//! The audit is the outbox: every event is a row there, written in its own transaction, in sequence. So a sale writes
//! nothing more for it. The relay follows the audit through a read connection of its own (`relay`), keeps a queue of
//! deliveries for each endpoint (`delivery_queue`), and has the writer store how far each endpoint has come.

pub mod delivery_queue;
mod mail_endpoint;
pub mod message;
pub mod relay;
pub mod schedule;
pub mod setup;
pub mod signing;

pub use relay::{MailRelay, Relay, RelayDependencies, RelayOptions};
pub use schedule::RetrySchedule;
pub use setup::OutboxSetup;

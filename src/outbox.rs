//! The outbox: tells endpoints what happened, at least once, in order per order, and never before it is durable.
//!
//! It is the audit itself: every event is a row there, in its own transaction, in order. So a sale writes nothing more
//! for it. The relay follows the audit through a read connection of its own (`relay`), keeps for each endpoint the
//! course of its deliveries (`course`), and has the writer write down how far it came.

pub mod configured;
pub mod course;
pub mod message;
pub mod relay;
pub mod schedule;
pub mod signing;

pub use configured::Configured;
pub use relay::{Options, Parts, Relay};
pub use schedule::Schedule;

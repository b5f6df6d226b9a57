//! The running server: `start` puts file, clock, writer, listeners and background threads together; `threads` runs the
//! workers on the bound `listeners`; `acceptor` accepts connections within their limits and hands each to `http` or `wire`,
//! which do not know each other.
//!
//! A worker is a thread with a current-thread runtime and listeners of its own on the shared ports. The query thread
//! serves the admin listener, runs the queries that are longer than a point read, and is the auditor's thread.

mod acceptor;
mod auditor_task;
mod backup_task;
mod capture_file;
#[cfg(feature = "cluster")]
mod cluster_checks;
mod draw_task;
mod listeners;
#[cfg(feature = "cluster")]
mod log_thread;
mod node;
mod note_task;
mod per_address;
mod start;
mod start_losses;
mod threads;
mod tls;
mod unpayable;

pub use start::{RunningServer, StartState, mistakes_of_files, start, start_viewed};
pub use threads::ServerThreads;

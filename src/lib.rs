//! firstcome, *first come, first served*: an inventory engine for limited drops, flash sales and auctions. One program,
//! one SQLite file.
//!
//! `src/README.md` is the map: the path of a purchase through these modules, the promises with their tests, a glossary,
//! and recipes for changes. `tests/tidy.rs` holds which module may use which.

pub mod admission;
pub mod api;
pub mod cli;
pub mod client;
pub mod config;
pub mod deadlines;
pub mod exit;
pub mod http;
pub mod output;
pub mod wire;
pub mod writer;
// In the order of a purchase, which is not the alphabet's.
pub mod capture;
pub mod egress;
pub mod engine;
pub mod failpoints;
pub mod load;
pub mod log;
pub mod mail;
pub mod memory;
pub mod otlp;
pub mod outbox;
pub mod payments;
pub mod preflight;
pub mod read;
pub mod route;
pub mod server;
pub mod sockets;
pub mod sqlite;
pub mod store;
pub mod telemetry;
pub mod types;
pub mod web;

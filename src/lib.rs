//! firstcome: first come, first served.
pub mod cli;
pub mod config;
pub mod engine;
pub mod http;
pub mod read;
pub mod store;
pub mod telemetry;
pub mod types;
pub mod writer;

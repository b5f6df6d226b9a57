//! firstcome: first come, first served.
pub mod cli;
pub mod engine;
pub mod store;
pub mod types;

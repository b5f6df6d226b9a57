//! HTTP: from a socket to a command or a read, and back to an answer.
//!
//! `routes` is THE table, `code` that of problems, `answers` says which of them each route may answer, and `openapi`
//! describes all of it from there. `connection` serves one connection, under the deadlines of `pace`; `begun` is the path of every request; `core` is what each serving thread
//! has; `traced` is its part of traces; `handlers` have a file per noun. Problems (RFC 9457) come from one exhaustive
//! match in `problem`. Each thread runs its own current-thread runtime with its own listener; only point reads run on
//! serving threads, everything longer on the desk (the admin listener's thread).

pub mod access;
pub mod answers;
mod begun;
pub mod body;
pub mod code;
pub mod connection;
pub mod core;
pub mod desk;
pub mod fields;
mod guarded;
pub mod handlers;
mod head_scan;
mod held;
pub mod json;
pub mod openapi;
mod pace;
pub mod problem;
pub mod request;
pub mod routes;
pub mod rules;
pub mod traced;

pub use problem::Problem;

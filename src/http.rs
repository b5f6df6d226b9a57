//! HTTP: from a connection to a command or a read, and back to a response. The contract stands in README.md beside.
//!
//! `routes` is the table of routes, whose rows stand beside their handlers (a file per noun in `handlers`); `openapi`
//! describes it. `connection` serves one connection within its timeouts; `worker` holds the state of a serving thread.
//! Bodies and problems are those of the room `api`. Only point reads run on the workers; longer queries run on the query
//! thread (`slow_queries`), which serves the admin listener.

pub mod access;
pub mod allowed_responses;
pub mod body;
pub mod compression;
pub mod connection;
pub mod console;
mod date_header;
pub mod draw_proofs;
mod feeds;
pub mod handlers;
mod node;
mod node_headers;
pub mod openapi;
pub mod origin;
pub mod problem_response;
mod query;
mod ready_lists;
pub mod request;
pub mod request_id;
pub mod route;
pub mod router;
pub mod routes;
mod signals;
pub mod slow_queries;
pub mod trace_context;
pub mod worker;

//! The contract with clients in Rust: the table of problem codes (`code`), problems (RFC 9457) and their texts
//! (`problem`), the words of an order's history (`history`), the shapes of requests and responses in JSON (`json`), and their validation. Transport is elsewhere: `http`
//! sends these bodies, and the tools and `http::openapi` read the same tables.

pub mod code;
pub mod history;
pub mod json;
mod node_conflict;
pub mod problem;
pub mod refusals;
pub mod validation;

pub use problem::Problem;

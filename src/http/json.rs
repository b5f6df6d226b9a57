//! The shapes of requests and answers in JSON. What is inside is checked here; the rooms behind need not.

pub mod answers;
pub mod endpoints;
pub mod payments;
pub mod queries;
pub mod remedy;
pub mod requests;
pub mod words;

pub use answers::*;
pub use endpoints::{
    EndpointChanges, delivery_body, endpoint_body, parse_endpoint_changes, parse_new_endpoint, parse_resend,
};
pub use payments::payment_body;
pub use remedy::*;
pub use requests::*;

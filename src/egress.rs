//! Calls to others: webhooks of shops, sessions at payment providers. Where they may go, and the client that goes there.
//!
//! A leaf. Whoever names a URL must not reach what only this machine reaches: names are resolved here, every address is
//! judged (`guard`), and the connection goes to the very address that was judged. No redirects, no proxies, every wait
//! and every answer bounded.

mod client;
mod guard;
mod pool;
mod target;

pub use client::{ClientOptions, EgressClient, OutboundRequest, OutboundResponse, Resolve, SendError};
pub use guard::AddressGuard;
pub use target::{Target, TargetError};

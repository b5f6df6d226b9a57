//! The HTTP client for requests to other servers: the endpoints of shops, and the APIs of payment providers.
//!
//! A URL given by an operator must not lead to hosts that only this machine can reach (server-side request forgery). So
//! this module resolves names itself, checks every address (`guard`), and connects to the address that it checked. It
//! follows no redirects and uses no proxies; every wait and every response is bounded.
//!
//! hyper-util's pooled client is not used: it repeats a request on a new connection only if no byte of it was sent,
//! while a server that closes an idle connection often does so just after the request has arrived.

mod byte_allowance;
mod client;
mod guard;
mod pool;
mod relay;
mod target;

pub use client::{ClientOptions, EgressClient, OpenResponse, OutboundRequest, OutboundResponse, Resolve, SendError};
pub use guard::AddressGuard;
pub use relay::{ForwardError, RelayedBody};
pub use target::{Target, TargetError};

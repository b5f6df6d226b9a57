//! firstcome, *first come, first served*: an inventory engine for limited drops, flash sales and auctions. One program,
//! one SQLite file. It never sells what it does not have, never leaves a unit unsold that somebody asked for, and never
//! forgets a sale that it acknowledged.
//!
//! ```text
//! client --HTTP--> http --> admission --> writer::handle ==> [bounded FIFO] ==> writer thread (pinned)
//! client --TLV---> wire --^                  | full: 503 + Retry-After             | stamp: at
//!                    |                       |                                     v
//!                    |                       |                            engine: decide, evolve   (pure)
//!                    |                       |                                     v
//!                    |                       +<-- oneshot, only after COMMIT <-- store::record --> SQLite (WAL)
//! client --GET---> http --> read: this thread's read-only connection and ready bodies <-- published versions
//! ```
//!
//! In the order in which a purchase travels: [`server`] starts everything, [`http`] (or [`wire`], in frames) takes a request, [`admission`] says
//! whether it may come in, [`writer`] gives it its place and its instant, [`engine`] decides, [`store`] records,
//! [`read`] answers everybody else, [`payments`] hears of money, [`outbox`] tells the shop's systems, and [`capture`]
//! keeps what was decided, to be replayed. [`types`], [`config`], [`telemetry`], [`egress`], [`web`] and [`failpoints`] are
//! leaves. Arrows point one way; `tests/tidy.rs` holds them.
//!
//! The promises, each one a test: conservation (`total = available + held + sold`), never oversold and never undersold,
//! acknowledged is durable, first in first out, exact expiry, an effect exactly once per key, a refusal or a fault but
//! never a lie, read your writes, the same commands give the same events, everything has a bound.

pub mod admission;
pub mod cli;
pub mod config;
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
pub mod outbox;
pub mod payments;
pub mod read;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod types;
pub mod web;

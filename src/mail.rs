//! Mails to buyers: which event becomes which mail, its words in the languages of the templates, and the conversation with
//! an SMTP server.
//!
//! The outbox decides when a mail is due and what becomes of one that fails (`outbox/relay/mail_delivery.rs`); here is what a
//! mail says and how it is handed over. A buyer's address is in no event, log, metric or error.

mod address;
mod client;
mod compose;
mod details;
mod formats;
mod kind;
mod mailer;
mod rate;
mod templates;

pub use address::mail_address;
pub use client::{MailResult, SmtpClient, SmtpOptions};
pub use compose::{Envelope, MessageParts, compose};
pub use details::{AuctionDetails, MailDetails, MailSubject, OrderDetails, example_details};
pub use kind::{EVENT_TYPES, MailKind};
pub use mailer::Mailer;
pub use rate::RateLimit;
pub use templates::{RenderedMail, Templates};

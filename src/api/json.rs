//! The JSON bodies of requests and responses. Requests are validated here, so that the modules behind need not.

pub mod auctions;
pub mod backups;
mod buyers;
pub mod challenges;
pub mod console;
mod encoding;
pub mod endpoints;
pub mod history;
pub mod payment_entry;
pub mod payments;
pub mod preflight;
pub mod queries;
pub mod report;
pub mod requests;
pub mod responses;
pub mod scalars;
mod schemas;
pub mod tokens;
pub mod undo;

pub use auctions::{
    BidRequest, auction_body, bid_body, bid_record_body, parse_auction, parse_bid, parse_buy_now, receipt_body,
};
pub use backups::{BackupJson, parse_backup};
pub use buyers::{buyer_tier_body, parse_tier};
pub use challenges::challenge_body;
pub use encoding::CreatedBody;
pub use endpoints::{
    EndpointChanges, delivery_body, endpoint_body, parse_endpoint_changes, parse_new_endpoint, parse_resend,
};
pub use history::history_body;
pub use payments::payment_body;
pub use requests::*;
pub use responses::*;
pub use schemas::{request_schemas, response_schemas};
pub use undo::*;

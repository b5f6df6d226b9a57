//! The JSON bodies of requests and responses. Requests are validated here, so that the modules behind need not.

pub mod auctions;
pub mod backups;
mod buyers;
pub mod challenges;
pub mod console;
pub mod draw;
mod encoding;
pub mod endpoints;
pub mod history;
pub mod order_batches;
pub mod payment_entry;
pub mod payments;
pub mod preflight;
pub mod queries;
pub mod report;
pub mod requests;
pub mod responses;
mod rooms;
pub mod scalars;
mod schemas;
mod standby;
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
pub use order_batches::{BATCH_ORDERS_MAX, BatchOrder, BatchResult, batch_body, parse_batch};
pub use payments::payment_body;
pub use requests::*;
pub use responses::*;
pub use rooms::{
    ADMIT_PER_SECOND_MAX, ORDER_SECONDS_MAX, OVERSUBSCRIBE_PERCENT_MAX, parse_ticket, room_body, ticket_body,
};
pub use schemas::{request_schemas, response_schemas};
pub use standby::{granted_body, granted_to_another_body, left_body, recorded_body, standby_body};
pub use undo::*;

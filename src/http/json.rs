//! The shapes of requests and answers in JSON. What is inside is checked here; the rooms behind need not.

pub mod answers;
pub mod auctions;
pub mod endpoints;
pub mod payments;
pub mod queries;
pub mod remedy;
pub mod requests;
pub mod words;

pub use answers::*;
pub use auctions::{
    BidRequest, auction_body, bid_body, bid_record_body, parse_auction, parse_bid, parse_buy_now, receipt_body,
};
pub use endpoints::{
    EndpointChanges, delivery_body, endpoint_body, parse_endpoint_changes, parse_new_endpoint, parse_resend,
};
pub use payments::payment_body;
pub use remedy::*;
pub use requests::*;

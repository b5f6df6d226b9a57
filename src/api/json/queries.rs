//! Queries. The structs that are parsed also make the schemas.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalars;

/// `GET /v1/drops`, `GET /v1/auctions`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropsQuery {
    /// The `next_after` of the previous page.
    #[serde(default)]
    pub after: u32,
    /// The maximum of items on a page.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: u32,
}

fn ten() -> u32 {
    10
}

/// `GET /v1/auctions/{auction_id}/bids`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BidsQuery {
    /// The `next_after` of the previous page.
    #[serde(default)]
    #[schemars(range(max = crate::types::Seq::MAX.get()))]
    pub after: u64,
    /// The maximum of bids on a page.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: u32,
}

/// `GET /v1/orders/{order_id}/history`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// The `next_after` of the previous page.
    #[serde(default)]
    #[schemars(range(max = crate::types::Seq::MAX.get()))]
    pub after: u64,
    /// The maximum of events on a page.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: u32,
}

fn hundred() -> u32 {
    100
}

/// `GET /v1/preflight`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreflightQuery {
    /// The drop to check; without it the checks of drops are left out.
    #[schemars(range(min = 1))]
    pub drop_id: Option<u32>,
}

/// The query of routes that are about one buyer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BuyerQuery {
    /// The buyer. Required, unless a buyer's token proves the buyer.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$"))]
    pub buyer: Option<String>,
}

/// `DELETE /v1/auctions/{auction_id}/bidder-contact`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BidderQuery {
    /// The buyer who gave the contact with a bid.
    #[schemars(required, length(min = 1, max = 128), regex(pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$"))]
    pub buyer: Option<String>,
}

/// `GET /v1/orders`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrdersQuery {
    /// Only orders of this drop.
    #[schemars(range(min = 1))]
    pub drop_id: Option<u32>,
    /// Only orders in this state.
    #[schemars(with = "Option<scalars::OrderState>")]
    pub state: Option<String>,
    /// Only orders with an amount due to their buyers, in any state.
    #[serde(default)]
    pub refund_due: bool,
    /// The `next_after` of the previous page.
    #[serde(default)]
    #[schemars(range(max = crate::types::Seq::MAX.get()))]
    pub after: u64,
    /// The maximum of orders on a page: up to 100 in JSON; up to 5000 in CSV, which is the default there.
    #[schemars(range(min = 1, max = 5000))]
    pub limit: Option<u32>,
    /// Adds buyers' contacts; only in CSV, and audited.
    #[serde(default)]
    pub contacts: bool,
}

/// `GET /v1/payments`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentsQuery {
    /// Only payments for orders of this drop.
    #[schemars(range(min = 1))]
    pub drop_id: Option<u32>,
    /// Only payments of this provider.
    #[schemars(with = "Option<scalars::ProviderName>")]
    pub provider: Option<String>,
    /// The `next_after` of the previous page.
    #[serde(default)]
    #[schemars(range(max = crate::types::Seq::MAX.get()))]
    pub after: u64,
    /// The number of payments from which on a page ends. Payments of one order are on one page.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: u32,
}

/// `GET /v1/drops/{drop_id}/remedy`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoQuery {
    /// The number of last live and paid orders to show.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1000))]
    pub last: u32,
}

/// `GET /v1/webhook-endpoints/{endpoint_id}/deliveries`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliveriesQuery {
    /// `dead`: deliveries that were given up. `waiting`: deliveries that wait for their next attempt.
    #[schemars(with = "Option<scalars::DeliveryState>")]
    pub state: Option<String>,
    /// The `next_after` of the previous page.
    #[serde(default)]
    #[schemars(range(max = crate::types::Seq::MAX.get()))]
    pub after: u64,
    /// The maximum of deliveries on a page.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: u32,
}

/// `GET /readyz`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadyQuery {
    /// `leader`: the node decides. `follower`: it follows, and its state is at most 5 s old. `any`: it serves reads.
    #[serde(default)]
    #[schemars(with = "Option<scalars::ReadyRole>")]
    pub role: ReadyRole,
}

/// The part of a node in its cluster that a probe asks for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize, Debug)]
#[serde(rename_all = "lowercase")]
pub enum ReadyRole {
    #[default]
    Any,
    Leader,
    Follower,
}

/// `GET /v1/node/copy`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyQuery {
    /// Copies the file of the leader, too.
    #[serde(default)]
    pub from_leader: bool,
}

/// `POST /v1/node/handover`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HandoverQuery {
    /// The name of the node that is to lead; otherwise the one that is furthest.
    #[schemars(length(min = 1, max = 64))]
    pub to: Option<String>,
}

/// `GET /v1/audit`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Only events after this one.
    #[serde(default)]
    #[schemars(range(max = crate::types::Seq::MAX.get()))]
    pub since_seq: u64,
    /// Only events of this drop.
    #[schemars(range(min = 1))]
    pub drop_id: Option<u32>,
    /// Only events of this order.
    #[schemars(with = "Option<scalars::OrderId>")]
    pub order_id: Option<String>,
    /// Keeps the stream open and sends new events as they happen.
    #[serde(default)]
    pub follow: bool,
    /// Leaves out the steps of buyers and what follows from them by itself: a sale has thousands of them a second.
    #[serde(default)]
    pub without_buyers: bool,
}

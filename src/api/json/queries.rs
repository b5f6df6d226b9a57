//! What stands behind the question mark. The structs that read a query describe it too.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalars;

/// `GET /v1/drops`, `GET /v1/auctions`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropsQuery {
    /// The last drop or auction of the page before.
    #[serde(default)]
    pub after: u32,
    /// So many on a page.
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
    /// What the page before gave as `next_after`.
    #[serde(default)]
    #[schemars(range(max = crate::types::Seq::MAX.get()))]
    pub after: u64,
    /// Bids on a page.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: u32,
}

/// `GET /v1/auctions/{auction_id}/order`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuctionOrderQuery {
    /// Whose. Needed, unless a buyer's token says who it is.
    #[schemars(length(min = 1, max = 128))]
    pub buyer: Option<String>,
}

/// `GET /v1/orders`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrdersQuery {
    /// Only this drop's.
    #[schemars(range(min = 1))]
    pub drop_id: Option<u32>,
    /// Only in this state.
    #[schemars(with = "Option<scalars::OrderState>")]
    pub state: Option<String>,
    /// Only those whose buyers are owed money, in whatever state.
    #[serde(default)]
    pub refund_due: bool,
    /// What the page before gave as `next_after`.
    #[serde(default)]
    #[schemars(range(max = crate::types::Seq::MAX.get()))]
    pub after: u64,
    /// Orders on a page; in CSV up to 5000, which is the default there.
    #[schemars(range(min = 1, max = 5000))]
    pub limit: Option<u32>,
    /// With contacts: in CSV only, and audited.
    #[serde(default)]
    pub contacts: bool,
}

/// `GET /v1/drops/{drop_id}/remedy`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UndoQuery {
    /// How many of the last live and paid orders.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1000))]
    pub last: u32,
}

/// `GET /v1/webhook-endpoints/{endpoint_id}/deliveries`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliveriesQuery {
    /// Which: those that were given up, or those that wait for their next attempt.
    #[schemars(with = "Option<scalars::DeliveryState>")]
    pub state: Option<String>,
    /// What the page before gave as `next_after`.
    #[serde(default)]
    #[schemars(range(max = crate::types::Seq::MAX.get()))]
    pub after: u64,
    /// Deliveries on a page.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    pub limit: u32,
}

/// `GET /v1/audit`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Only events after this one.
    #[serde(default)]
    #[schemars(range(max = crate::types::Seq::MAX.get()))]
    pub since_seq: u64,
    /// Only this drop's.
    #[schemars(range(min = 1))]
    pub drop_id: Option<u32>,
    /// Only this order's.
    #[schemars(with = "Option<scalars::OrderId>")]
    pub order_id: Option<String>,
    /// Stay, and send what happens from now on.
    #[serde(default)]
    pub follow: bool,
}

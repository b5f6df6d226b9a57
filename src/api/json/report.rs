//! The report of a drop: one document for the route, the command and the page.
//!
//! The document has sums and figures over time, and nothing of a single buyer or order. Counts that are 0 are left out of
//! points, so that a quiet sale is a small document.

mod counted;
pub mod fairness;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::fairness::FairnessReport;
use super::scalars;
use crate::read::report::timeline::POINTS_MAX;
use crate::types::{JSON_INTEGER_MAX, Seq};

/// The report of a drop.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct DropReport {
    /// The event up to which orders and units are counted.
    #[schemars(range(min = 1, max = Seq::MAX.get()))]
    pub as_of_seq: u64,
    /// The instant of that event.
    #[schemars(with = "scalars::Instant")]
    pub as_of: String,
    pub drop: ReportedDrop,
    /// True if the events add up to the counters of the drop.
    pub counters_agree: bool,
    pub orders: OrderSums,
    /// The time from the reservation to the checkout.
    pub until_checkout: Durations,
    /// The time from the reservation to the payment.
    pub until_payment: Durations,
    pub commands: CommandSums,
    pub lost_demand: LostDemand,
    pub money: MoneyReport,
    pub fairness: FairnessReport,
    /// The plan of the sale beside what happened; left out without a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PlanComparison")]
    pub plan: Option<PlanComparison>,
    /// Requests that the server rejected before a decision since it was started, over all drops. They are in no file: left out
    /// where a file is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<RejectionSum>")]
    pub rejections: Option<Vec<RejectionSum>>,
    /// From shortly before the start until the drop was sold out, and as long again; left out if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ReportTimeline")]
    pub opening: Option<ReportTimeline>,
    /// From the first request to the last event; left out if nothing has happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ReportTimeline")]
    pub whole: Option<ReportTimeline>,
}

/// The drop of a report.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct ReportedDrop {
    #[schemars(range(min = 1))]
    pub id: u32,
    pub sku: String,
    pub name: String,
    #[schemars(with = "scalars::Currency")]
    pub currency: String,
    /// Minor units of the currency.
    #[schemars(range(max = JSON_INTEGER_MAX))]
    pub unit_price: u64,
    #[schemars(with = "scalars::DropState")]
    pub state: String,
    pub total: u32,
    pub available: u32,
    pub held: u32,
    pub sold: u32,
    #[schemars(with = "scalars::Instant")]
    pub starts_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    pub ends_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    pub created_at: Option<String>,
    /// The instant at which it began to sell: its start, or its first order where it was created on sale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    pub opened_at: Option<String>,
    /// The first instant at which every unit was held or sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    pub sold_out_at: Option<String>,
    /// Milliseconds from `opened_at` to `sold_out_at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub sold_out_after_ms: Option<u64>,
    /// The instant since which every unit is paid for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    pub all_paid_at: Option<String>,
}

/// Orders and their units.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, Debug)]
pub struct OrdersAndUnits {
    pub orders: u64,
    pub units: u64,
}

/// The way of the orders: `placed` is the sum of `paid`, `expired`, `cancelled_by_buyer`, `cancelled_by_operator` and `live`.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct OrderSums {
    pub placed: OrdersAndUnits,
    /// Orders with a contact. An order may be paid without one.
    pub checked_out: u64,
    /// Orders that were paid in time.
    pub paid: OrdersAndUnits,
    /// Orders that were paid after they had expired, and got their units again. They are among `expired`, too.
    pub paid_late: OrdersAndUnits,
    pub expired: OrdersAndUnits,
    pub cancelled_by_buyer: OrdersAndUnits,
    pub cancelled_by_operator: OrdersAndUnits,
    /// Orders that wait for their buyers.
    pub live: OrdersAndUnits,
    /// Units of paid orders that refunds put on sale again.
    pub units_restocked: u64,
}

/// Lengths of time in milliseconds, exact to three digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct Durations {
    /// The number of orders.
    pub count: u64,
    /// Half of the orders took at most this long.
    pub p50_ms: u64,
    pub p90_ms: u64,
    pub p99_ms: u64,
    pub max_ms: u64,
}

/// Requests that were decided for the drop, by outcome: orders, tickets of its waiting room and places of its line with their
/// repeats, and operators' commands. A count that is left out is 0.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, Debug)]
#[serde(default)]
pub struct Outcomes {
    /// Orders that were reserved.
    #[serde(skip_serializing_if = "is_0")]
    pub reserved: u64,
    /// Checkouts, payments and other commands that were accepted.
    #[serde(skip_serializing_if = "is_0")]
    pub other_accepted: u64,
    /// Repeats of earlier requests.
    #[serde(skip_serializing_if = "is_0")]
    pub repeated: u64,
    #[serde(skip_serializing_if = "is_0")]
    pub sold_out: u64,
    #[serde(skip_serializing_if = "is_0")]
    pub limit_reached: u64,
    #[serde(skip_serializing_if = "is_0")]
    pub not_started: u64,
    #[serde(skip_serializing_if = "is_0")]
    pub ended: u64,
    #[serde(skip_serializing_if = "is_0")]
    pub paused: u64,
    /// Keys that were used for another request before.
    #[serde(skip_serializing_if = "is_0")]
    pub key_reused: u64,
    /// Orders of buyers whom the waiting room had not admitted.
    #[serde(skip_serializing_if = "is_0")]
    pub not_admitted: u64,
    /// All other refusals, such as caps on identities and payments of orders that had expired.
    #[serde(skip_serializing_if = "is_0")]
    pub other_refused: u64,
}

/// The work of the server for the drop.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct CommandSums {
    /// Commands that were decided.
    pub decided: u64,
    pub outcomes: Outcomes,
    /// The most commands that were decided in one second.
    pub peak_per_second: u64,
    /// The begin of that second; left out if nothing was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "scalars::Instant")]
    pub peak_at: Option<String>,
    /// Mean wait of a command in the queue, in milliseconds.
    pub queue_wait_ms_mean: f64,
    pub queue_wait_ms_max: f64,
    /// Batches that touched the drop.
    pub commits: u64,
    /// Mean time of a commit, in milliseconds.
    pub commit_ms_mean: f64,
}

/// Demand that was not served. Refusals count requests: one buyer may send many, and the file does not say how many units a
/// refused request asked for.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct LostDemand {
    /// Requests that were refused because no unit was free.
    pub refused_sold_out: u64,
    /// Requests that were refused because their buyer had reached the limit.
    pub refused_limit_reached: u64,
    /// Requests before the start, after the end, and during a pause.
    pub refused_not_open: u64,
    /// Units that came back because their orders expired, were cancelled or refunded.
    pub units_returned: u64,
    /// Units that are free now although requests were refused as sold out before.
    pub units_left_over: u64,
}

/// Payments and refunds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct MoneyReport {
    pub payments: Vec<ProviderSums>,
    pub payments_failed: u64,
    /// Payments that paid for no order, by reason.
    pub not_kept: Vec<NotKeptSum>,
    pub refunds: RefundSums,
    pub chargebacks: u64,
}

/// Sums over the payments of one provider and currency, in minor units.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct ProviderSums {
    pub provider: String,
    #[schemars(with = "scalars::Currency")]
    pub currency: String,
    pub payments: u64,
    /// Payments among them that paid for no order.
    pub not_kept: u64,
    pub received: u64,
    /// `received` without what is refunded and due.
    pub kept: u64,
    pub refunded: u64,
    pub refund_due: u64,
}

/// Payments that are owed back at once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct NotKeptSum {
    /// The word of the audit, such as `paid_before`.
    pub reason: String,
    pub payments: u64,
}

/// Events of refunds.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct RefundSums {
    /// Refunds that were paid out as they were made.
    pub made: u64,
    /// Refunds that were requested of a provider.
    pub requested: u64,
    /// Refunds that were due and are reported as paid out.
    pub settled: u64,
    /// Refunds that a provider made without a request.
    pub reported: u64,
    /// Refunds that did not reach the buyer.
    pub failed: u64,
}

/// The settings `plan.` beside what happened.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct PlanComparison {
    /// `plan.requests_per_second`; left out without a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub requests_per_second: Option<u32>,
    /// The most commands on this drop in one second. Requests that were rejected or only read are not among them.
    pub commands_per_second: u64,
    /// `plan.depletion_seconds`; left out without a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub depletion_seconds: Option<u32>,
    /// Seconds until the drop was sold out; left out if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub sold_out_seconds: Option<f64>,
}

/// Requests that were rejected for one reason.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct RejectionSum {
    /// The label of `firstcome_turned_away_total`.
    pub reason: String,
    pub requests: u64,
}

/// Figures over time, in points of equal length.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct ReportTimeline {
    /// The begin of the first point.
    #[schemars(with = "scalars::Instant")]
    pub from: String,
    /// The length of each point.
    #[schemars(range(min = 1))]
    pub point_seconds: u32,
    #[schemars(length(max = POINTS_MAX))]
    pub points: Vec<ReportPoint>,
}

/// A point of a timeline. A count that is left out is 0.
#[derive(Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema, Debug)]
#[serde(default)]
pub struct ReportPoint {
    /// The stock at the end of the point.
    pub total: u64,
    pub held: u64,
    pub sold: u64,
    #[serde(skip_serializing_if = "is_0")]
    pub units_reserved: u64,
    #[serde(skip_serializing_if = "is_0")]
    pub units_paid: u64,
    #[serde(skip_serializing_if = "is_0")]
    pub units_expired: u64,
    #[serde(skip_serializing_if = "is_0")]
    pub units_cancelled: u64,
    #[serde(skip_serializing_if = "is_empty")]
    pub outcomes: Outcomes,
    /// The most commands that were decided in one second.
    #[serde(skip_serializing_if = "is_0")]
    pub commands_per_second: u64,
    #[serde(skip_serializing_if = "is_0_ms")]
    pub queue_wait_ms_mean: f64,
    #[serde(skip_serializing_if = "is_0_ms")]
    pub queue_wait_ms_max: f64,
    #[serde(skip_serializing_if = "is_0_ms")]
    pub commit_ms_mean: f64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_0(count: &u64) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_0_ms(milliseconds: &f64) -> bool {
    *milliseconds == 0.0
}

fn is_empty(outcomes: &Outcomes) -> bool {
    *outcomes == Outcomes::default()
}

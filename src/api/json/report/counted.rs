//! The report made of what was counted.

use std::time::Duration;

use hdrhistogram::Histogram;
use hyper::body::Bytes;

use super::fairness::FairnessReport;
use super::{
    CommandSums, DropReport, Durations, LostDemand, MoneyReport, NotKeptSum, OrderSums, OrdersAndUnits, Outcomes,
    PlanComparison, ProviderSums, RefundSums, RejectionSum, ReportPoint, ReportTimeline, ReportedDrop,
};
use crate::api::json::encoding::to_bytes;
use crate::config::PlanSettings;
use crate::read::report::seconds::SecondFigures;
use crate::read::report::timeline::Timeline;
use crate::read::report::{CountedUnits, ReportFacts};
use crate::types::UnixMillis;
use crate::types::text::rfc3339;

impl DropReport {
    /// Returns the document of what was counted. `plan` is that of the server.
    #[must_use]
    pub fn new(facts: &ReportFacts, plan: Option<PlanSettings>, rejections: Option<Vec<RejectionSum>>) -> DropReport {
        let (seq, at) = facts.as_of;
        let whole = facts.whole.as_ref().map(ReportTimeline::of);
        let opening = facts.opening.as_ref().filter(|_| facts.sold_out_at.is_some()).map(ReportTimeline::of);
        DropReport {
            as_of_seq: seq.get(),
            as_of: rfc3339(at),
            drop: ReportedDrop::of(facts),
            counters_agree: facts.counters_agree(),
            orders: OrderSums::of(facts),
            until_checkout: Durations::of(&facts.until_checkout),
            until_payment: Durations::of(&facts.until_payment),
            commands: CommandSums::of(facts),
            lost_demand: LostDemand::of(facts),
            money: MoneyReport::of(facts),
            fairness: FairnessReport::of(facts),
            plan: plan.and_then(|plan| PlanComparison::of(facts, plan)),
            rejections,
            // Left out where the whole has points as short.
            opening: opening.filter(|opening| {
                whole.as_ref().is_some_and(|whole| whole.point_seconds > opening.point_seconds)
                    || whole.as_ref().is_some_and(|whole| whole.points.len() > opening.points.len().saturating_mul(2))
            }),
            whole,
        }
    }

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> Bytes {
        to_bytes(self)
    }
}

impl ReportedDrop {
    fn of(facts: &ReportFacts) -> ReportedDrop {
        let drop = &facts.drop;
        let took = facts.opened_at.zip(facts.sold_out_at).map(|(opened, sold_out)| milliseconds(opened, sold_out));
        ReportedDrop {
            id: drop.id.get(),
            sku: drop.sku.clone(),
            name: drop.name.clone(),
            currency: drop.currency.as_str().to_owned(),
            unit_price: drop.unit_price.get(),
            state: drop.state().as_str().to_owned(),
            total: drop.total,
            available: drop.available(),
            held: drop.held,
            sold: drop.sold,
            starts_at: rfc3339(drop.starts_at),
            ends_at: drop.ends_at.map(rfc3339),
            created_at: facts.created_at.map(rfc3339),
            opened_at: facts.opened_at.map(rfc3339),
            sold_out_at: facts.sold_out_at.map(rfc3339),
            sold_out_after_ms: took,
            all_paid_at: facts.all_paid_at.map(rfc3339),
        }
    }
}

/// Returns the instant at which a second begins.
fn instant(second: i64) -> Option<UnixMillis> {
    second.checked_mul(1000).and_then(UnixMillis::new)
}

fn milliseconds(from: UnixMillis, to: UnixMillis) -> u64 {
    u64::try_from(to.get().saturating_sub(from.get())).unwrap_or(0)
}

impl OrderSums {
    fn of(facts: &ReportFacts) -> OrderSums {
        let counts = &facts.orders;
        let sums = |counted: CountedUnits| OrdersAndUnits { orders: counted.orders, units: counted.units };
        OrderSums {
            placed: sums(counts.placed),
            checked_out: counts.checked_out,
            paid: sums(counts.paid),
            paid_late: sums(counts.paid_late),
            expired: sums(counts.expired),
            cancelled_by_buyer: sums(counts.cancelled_by_buyer),
            cancelled_by_operator: sums(counts.cancelled_by_operator),
            live: sums(facts.live()),
            units_restocked: counts.units_restocked,
        }
    }
}

impl Durations {
    pub(super) fn of(histogram: &Histogram<u64>) -> Durations {
        let quantile = |share| if histogram.is_empty() { 0 } else { histogram.value_at_quantile(share) };
        Durations {
            count: histogram.len(),
            p50_ms: quantile(0.5),
            p90_ms: quantile(0.9),
            p99_ms: quantile(0.99),
            max_ms: quantile(1.0),
        }
    }
}

impl Outcomes {
    fn of(figures: &SecondFigures) -> Outcomes {
        Outcomes {
            reserved: figures.orders,
            other_accepted: figures.other_commands,
            repeated: figures.repeated,
            sold_out: figures.sold_out,
            limit_reached: figures.limit_reached,
            not_started: figures.not_started,
            ended: figures.ended,
            paused: figures.paused,
            key_reused: figures.key_reused,
            not_admitted: figures.not_admitted,
            other_refused: figures.other_refusals,
        }
    }
}

/// Returns the mean in milliseconds, exact to a microsecond; 0 of nothing.
fn mean_ms(microseconds: u64, count: u64) -> f64 {
    microseconds.checked_div(count).map_or(0.0, as_ms)
}

fn as_ms(microseconds: u64) -> f64 {
    Duration::from_micros(microseconds).as_secs_f64() * 1000.0
}

impl CommandSums {
    fn of(facts: &ReportFacts) -> CommandSums {
        let figures = &facts.figures;
        CommandSums {
            decided: figures.commands(),
            outcomes: Outcomes::of(figures),
            peak_per_second: facts.peak.commands,
            peak_at: instant(facts.peak.second).filter(|_| facts.peak.commands > 0).map(rfc3339),
            queue_wait_ms_mean: mean_ms(figures.queue_wait_us, figures.commands()),
            queue_wait_ms_max: as_ms(figures.queue_wait_us_max),
            commits: figures.commits,
            commit_ms_mean: mean_ms(figures.commit_us, figures.commits),
        }
    }
}

impl LostDemand {
    fn of(facts: &ReportFacts) -> LostDemand {
        let (figures, counts) = (&facts.figures, &facts.orders);
        let returned = [counts.expired, counts.cancelled_by_buyer, counts.cancelled_by_operator];
        let returned = returned.iter().map(|units| units.units).fold(counts.units_restocked, u64::saturating_add);
        LostDemand {
            refused_sold_out: figures.sold_out,
            refused_limit_reached: figures.limit_reached,
            refused_not_open: figures.not_started.saturating_add(figures.ended).saturating_add(figures.paused),
            units_returned: returned,
            units_left_over: if figures.sold_out == 0 { 0 } else { u64::from(facts.drop.available()) },
        }
    }
}

impl MoneyReport {
    fn of(facts: &ReportFacts) -> MoneyReport {
        let payments = facts.payments.iter().map(|((provider, currency), sums)| ProviderSums {
            provider: provider.as_str().to_owned(),
            currency: currency.as_str().to_owned(),
            payments: sums.payments,
            not_kept: sums.not_kept,
            received: sums.received,
            kept: sums.kept(),
            refunded: sums.refunded,
            refund_due: sums.refund_due,
        });
        let counts = &facts.orders;
        let not_kept = counts.payments_not_kept.iter();
        MoneyReport {
            payments: payments.collect(),
            payments_failed: counts.payments_failed,
            not_kept: not_kept
                .map(|(reason, payments)| NotKeptSum { reason: reason.clone(), payments: *payments })
                .collect(),
            refunds: RefundSums {
                made: counts.refunds_made,
                requested: counts.refunds_requested,
                settled: counts.refunds_settled,
                reported: counts.refunds_reported,
                failed: counts.refunds_failed,
            },
            chargebacks: counts.chargebacks,
        }
    }
}

impl PlanComparison {
    fn of(facts: &ReportFacts, plan: PlanSettings) -> Option<PlanComparison> {
        let planned = |value: u32| (value > 0).then_some(value);
        let (requests, depletion) = (planned(plan.requests_per_second), planned(plan.depletion_seconds));
        let took = facts.opened_at.zip(facts.sold_out_at).map(|(opened, sold_out)| milliseconds(opened, sold_out));
        (requests.is_some() || depletion.is_some()).then(|| PlanComparison {
            requests_per_second: requests,
            commands_per_second: facts.peak.commands,
            depletion_seconds: depletion,
            sold_out_seconds: took.map(|ms| Duration::from_millis(ms).as_secs_f64()),
        })
    }
}

impl ReportTimeline {
    fn of(timeline: &Timeline) -> ReportTimeline {
        let from = instant(timeline.origin()).unwrap_or_default();
        let points = timeline.points().map(|(level, point)| {
            let figures = &point.figures;
            ReportPoint {
                total: level.total,
                held: level.held,
                sold: level.sold,
                units_reserved: figures.units,
                units_paid: point.units_paid,
                units_expired: point.units_expired,
                units_cancelled: point.units_cancelled,
                outcomes: Outcomes::of(figures),
                commands_per_second: point.commands_max,
                queue_wait_ms_mean: mean_ms(figures.queue_wait_us, figures.commands()),
                queue_wait_ms_max: as_ms(figures.queue_wait_us_max),
                commit_ms_mean: mean_ms(figures.commit_us, figures.commits),
            }
        });
        ReportTimeline { from: rfc3339(from), point_seconds: timeline.point_seconds(), points: points.collect() }
    }
}

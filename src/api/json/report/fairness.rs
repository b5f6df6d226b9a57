//! The part of a report about fairness. No group that it tells is smaller than [`GROUP_BUYERS_MIN`] buyers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Durations;
use crate::api::json::scalars;
use crate::read::report::ReportFacts;
use crate::read::report::drawn::DrawFacts;
use crate::read::report::fairness::{ARRIVAL_POINTS_MAX, ArrivalHistogram, GROUP_BUYERS_MIN, TENTHS, told_groups};
use crate::read::report::groups::GroupSums;
use crate::read::report::line::{LineFacts, TenthFacts};
use crate::types::text::rfc3339;
use crate::types::{Seed, Tier, UnixMillis};

/// The name of the sum of groups that are too small to be told by themselves.
pub const OTHER: &str = "other";
/// The name of the group of buyers of whom a tier or an address block was not noted.
pub const UNKNOWN: &str = "unknown";

/// The buyers of the units. A group of fewer than `group_buyers_min` buyers, with a ticket or an order, could be a person: such groups are
/// one sum, `other`, which has as many buyers, too.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct FairnessReport {
    /// The least buyers of a group.
    #[schemars(range(min = 1))]
    pub group_buyers_min: u64,
    /// Buyers with an order, by the units that they hold or have bought; left out in a sale with more than two million buyers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<UnitsShare>")]
    pub buyers: Option<Vec<UnitsShare>>,
    /// E-mail addresses, phone numbers, payment methods and postal addresses of orders by their units, where the drop had a cap
    /// on them.
    pub identities: Vec<IdentityShares>,
    /// By the buyer's tier: tickets by that at the ticket, orders and units by that at the order. Noted for drops with a waiting room
    /// or a blind window.
    pub tiers: Vec<GroupShare>,
    /// By the number of buyers from the same address block, an IPv4 network of 24 bits or an IPv6 network of 48: that of their first
    /// order, or else of their ticket. Noted for drops with a waiting room or a blind window.
    pub blocks: Vec<BlockShare>,
    /// The waiting room; left out without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RoomFairness")]
    pub room: Option<RoomFairness>,
    /// The blind window; left out without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BlindFairness")]
    pub blind: Option<BlindFairness>,
}

/// Buyers, or identities, with the same number of units.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct UnitsShare {
    /// The units, or `other`.
    pub units: String,
    pub buyers: u64,
    pub units_in_all: u64,
}

/// The identities of a kind.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct IdentityShares {
    pub kind: String,
    pub shares: Vec<UnitsShare>,
}

/// A group of buyers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct GroupShare {
    /// The name of the tier; `unknown` where it was not noted, which is so for exempt clients; or `other`.
    pub group: String,
    /// Tickets of the waiting room, or orders that the blind window recorded and that their buyers did not take back.
    pub tickets: u64,
    /// Buyers with an order.
    pub buyers: u64,
    pub orders: u64,
    pub units: u64,
}

/// Address blocks with a similar number of buyers.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct BlockShare {
    /// The buyers with a ticket or an order in one block, such as `1` or `5-19`; `unknown` where it was not noted, which is so for
    /// exempt clients and behind the shop's back end; or `other`.
    pub buyers_in_block: String,
    /// The number of such blocks, as far as they are known.
    pub blocks: u64,
    /// Tickets of the waiting room, or orders that the blind window recorded and that their buyers did not take back.
    pub tickets: u64,
    /// Buyers with an order.
    pub buyers: u64,
    pub orders: u64,
    pub units: u64,
}

/// The line of a waiting room.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct RoomFairness {
    #[schemars(with = "scalars::RoomDraw")]
    pub draw: String,
    pub tickets: u64,
    pub admitted: u64,
    /// Admitted tickets whose buyers have placed no order; left out in a sale with more than two million buyers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub without_order: Option<u64>,
    /// The times at which tickets were taken; left out without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Arrivals")]
    pub arrivals: Option<Arrivals>,
    /// The draw; left out where positions are by arrival.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DrawProof")]
    pub proof: Option<DrawProof>,
    /// Spearman's rank correlation of arrival and position: 1 if the line is in the order of arrival, 0 if arrival tells nothing.
    /// Left out below two tickets, and before the draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = -1.0, max = 1.0))]
    pub arrival_position: Option<f64>,
    /// Rank-biserial correlation of arrival and units: 1 if every ticket whose buyer has units came before every other, 0 if arrival
    /// tells nothing. Left out if all have units, or none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = -1.0, max = 1.0))]
    pub arrival_units: Option<f64>,
    /// Tenths of the tickets in the order of arrival; empty where a tenth would have fewer than `group_buyers_min`.
    #[schemars(length(max = TENTHS))]
    pub tenths: Vec<ArrivalTenth>,
    /// The time from the ticket to the admission.
    pub ticket_to_admission: Durations,
    /// The time from the start, or from the ticket if it came later, to the admission.
    pub start_to_admission: Durations,
    /// The time from the admission to the first order; left out in a sale with more than two million buyers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Durations")]
    pub admission_to_order: Option<Durations>,
}

/// The orders that a blind window recorded.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct BlindFairness {
    /// Recorded orders, those that their buyers took back, too.
    pub orders: u64,
    /// Recorded orders to which the draw gave their units.
    pub granted: u64,
    /// The times at which they were recorded; left out without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Arrivals")]
    pub arrivals: Option<Arrivals>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DrawProof")]
    pub proof: Option<DrawProof>,
    /// Spearman's rank correlation of arrival and position: 0 if arrival tells nothing. Left out below two orders, and before the draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = -1.0, max = 1.0))]
    pub arrival_position: Option<f64>,
    /// Rank-biserial correlation of arrival and units: 0 if arrival tells nothing. Left out if all have units, or none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = -1.0, max = 1.0))]
    pub arrival_units: Option<f64>,
    /// Tenths of the orders in the order of arrival, `admitted` for `granted`; empty where a tenth would have fewer than
    /// `group_buyers_min`.
    #[schemars(length(max = TENTHS))]
    pub tenths: Vec<ArrivalTenth>,
    /// The time from the recording to the decision, of those that were granted.
    pub recorded_to_decision: Durations,
}

/// The draw of the positions, and whether it was drawn again with the same result.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct DrawProof {
    /// SHA-256 of the secret seed, from before the room opened.
    pub commitment: String,
    /// `pending`, `fixing`, `awaiting_beacon`, `drawing`, `drawn` or `cancelled`.
    pub state: String,
    /// The number of drawn tickets, and the root over their digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub tickets: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub root: Option<String>,
    /// True if public randomness was required and did not come in time: the seed alone decided.
    pub beacon_missed: bool,
    /// Public randomness, and where it is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub beacon: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub beacon_source: Option<String>,
    /// The seed, once it is public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub seed: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub result: Option<String>,
    /// True if the seed has this commitment, and the draw made again from seed, beacon and root has this result; left out before
    /// the draw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub is_proven: Option<bool>,
}

/// The number of tickets that were taken in each point of time.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct Arrivals {
    /// The begin of the first point.
    #[schemars(with = "scalars::Instant")]
    pub from: String,
    #[schemars(range(min = 1))]
    pub point_seconds: u32,
    #[schemars(length(max = ARRIVAL_POINTS_MAX))]
    pub tickets: Vec<u64>,
}

/// A tenth of the tickets.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Debug)]
pub struct ArrivalTenth {
    pub tickets: u64,
    pub admitted: u64,
    /// Tickets whose buyers hold or have bought units.
    pub with_units: u64,
}

impl FairnessReport {
    pub(super) fn of(facts: &ReportFacts) -> FairnessReport {
        let shares = &facts.shares;
        // Without a room or a window nothing is noted of any buyer.
        let noted = |unknown: GroupSums| if shares.line.is_some() { unknown } else { GroupSums::default() };
        let identities = shares.identities_by_units().unwrap_or_default();
        let of_kind = |(kind, units): (_, BTreeMap<u32, u64>)| {
            let kind: crate::types::IdentityKind = kind;
            IdentityShares { kind: kind.as_str().to_owned(), shares: unit_shares(&units) }
        };
        FairnessReport {
            group_buyers_min: GROUP_BUYERS_MIN,
            buyers: shares.by_units().map(|units| unit_shares(&units)),
            identities: identities.into_iter().map(of_kind).collect(),
            tiers: shares.tiers().map_or_else(Vec::new, |(tiers, unknown)| group_shares(tiers, noted(unknown))),
            blocks: shares.blocks().map_or_else(Vec::new, |(blocks, unknown)| block_shares(blocks, noted(unknown))),
            room: shares
                .line
                .as_ref()
                .filter(|line| !line.is_blind)
                .map(|line| RoomFairness::of(line, shares.is_whole())),
            blind: shares
                .line
                .as_ref()
                .filter(|line| line.is_blind)
                .map(|line| BlindFairness::of(line, shares.is_whole())),
        }
    }
}

/// Keeps the groups that are large enough, and adds the others up. Nothing is kept if all together are too few.
fn told<T: Clone>(groups: &[(T, u64)], mut add: impl FnMut(T), mut other: impl FnMut(&[T])) {
    let sizes: Vec<u64> = groups.iter().map(|(_, buyers)| *buyers).collect();
    let told = told_groups(&sizes);
    let mut hidden = Vec::new();
    for ((group, buyers), is_told) in groups.iter().zip(told) {
        match is_told {
            true => add(group.clone()),
            false if *buyers > 0 => hidden.push(group.clone()),
            false => {}
        }
    }
    let is_enough = groups.iter().map(|(_, buyers)| *buyers).sum::<u64>() >= GROUP_BUYERS_MIN;
    if !hidden.is_empty() && is_enough {
        other(&hidden);
    }
}

fn unit_shares(units: &BTreeMap<u32, u64>) -> Vec<UnitsShare> {
    let groups: Vec<((u64, u64), u64)> =
        units.iter().map(|(units, buyers)| ((u64::from(*units), *buyers), *buyers)).collect();
    let (mut shares, mut rest) = (Vec::new(), None);
    told(
        &groups,
        |(units, buyers)| {
            shares.push(UnitsShare { units: units.to_string(), buyers, units_in_all: units.saturating_mul(buyers) });
        },
        |hidden| {
            let buyers = hidden.iter().map(|(_, buyers)| *buyers).sum();
            let units_in_all = hidden.iter().map(|(units, buyers)| units.saturating_mul(*buyers)).sum();
            rest = Some(UnitsShare { units: OTHER.to_owned(), buyers, units_in_all });
        },
    );
    shares.extend(rest);
    shares
}

fn group_shares<'sums>(tiers: impl Iterator<Item = (Tier, &'sums GroupSums)>, unknown: GroupSums) -> Vec<GroupShare> {
    let groups = tiers.map(|(tier, sums)| (tier.as_str(), *sums)).chain([(UNKNOWN, unknown)]);
    let groups: Vec<((&str, GroupSums), u64)> = groups.map(|(name, sums)| ((name, sums), sums.members)).collect();
    let share = |group: &str, sums: GroupSums| GroupShare {
        group: group.to_owned(),
        tickets: sums.tickets,
        buyers: sums.buyers,
        orders: sums.orders,
        units: sums.units,
    };
    let (mut shares, mut rest) = (Vec::new(), None);
    told(
        &groups,
        |(name, sums)| shares.push(share(name, sums)),
        |hidden| rest = Some(share(OTHER, hidden.iter().fold(GroupSums::default(), |sum, (_, more)| sum.with(more)))),
    );
    shares.extend(rest);
    shares
}

/// Classes of blocks: the most buyers in a block, and the name.
const BLOCK_CLASSES: [(u64, &str); 5] = [(1, "1"), (4, "2-4"), (19, "5-19"), (99, "20-99"), (u64::MAX, "100 or more")];

fn block_shares<'sums>(blocks: impl Iterator<Item = &'sums GroupSums>, unknown: GroupSums) -> Vec<BlockShare> {
    let mut classes = [(0u64, GroupSums::default()); BLOCK_CLASSES.len()];
    for sums in blocks {
        let class = BLOCK_CLASSES.iter().position(|(most, _)| sums.members <= *most);
        if let Some((count, sum)) = class.and_then(|class| classes.get_mut(class)) {
            *count = count.saturating_add(1);
            *sum = sum.with(sums);
        }
    }
    let classes = BLOCK_CLASSES.into_iter().zip(classes).map(|((_, name), (count, sums))| (name, count, sums));
    let groups: Vec<((&str, u64, GroupSums), u64)> =
        classes.chain([(UNKNOWN, 0, unknown)]).map(|class| (class, class.2.members)).collect();
    let share = |name: &str, blocks, sums: GroupSums| BlockShare {
        buyers_in_block: name.to_owned(),
        blocks,
        tickets: sums.tickets,
        buyers: sums.buyers,
        orders: sums.orders,
        units: sums.units,
    };
    let (mut shares, mut rest) = (Vec::new(), None);
    told(
        &groups,
        |(name, count, sums)| shares.push(share(name, count, sums)),
        |hidden| {
            let blocks = hidden.iter().map(|(_, count, _)| *count).sum();
            let sums = hidden.iter().fold(GroupSums::default(), |sum, (_, _, more)| sum.with(more));
            rest = Some(share(OTHER, blocks, sums));
        },
    );
    shares.extend(rest);
    shares
}

/// Returns the tenths of a line, if each is large enough to be told.
fn tenths_of(line: &LineFacts, is_whole: bool) -> Option<Vec<ArrivalTenth>> {
    let least = GROUP_BUYERS_MIN.saturating_mul(u64::try_from(TENTHS).unwrap_or(u64::MAX));
    let tenth = |tenth: &TenthFacts| ArrivalTenth {
        tickets: tenth.tickets,
        admitted: tenth.admitted,
        with_units: tenth.with_units,
    };
    (is_whole && u64::from(line.tickets) >= least).then(|| line.tenths.iter().map(tenth).collect())
}

impl RoomFairness {
    fn of(line: &LineFacts, is_whole: bool) -> RoomFairness {
        let tenths = tenths_of(line, is_whole);
        RoomFairness {
            draw: line.draw.as_str().to_owned(),
            tickets: line.tickets.into(),
            admitted: line.admitted.into(),
            without_order: is_whole.then_some(line.without_order),
            arrivals: line.arrivals.as_ref().map(Arrivals::of),
            proof: line.proof.as_ref().map(DrawProof::of),
            arrival_position: line.with_position().map(of_millionths),
            arrival_units: line.with_units().filter(|_| tenths.is_some()).map(of_millionths),
            tenths: tenths.unwrap_or_default(),
            ticket_to_admission: Durations::of(&line.since_ticket),
            start_to_admission: Durations::of(&line.since_start),
            admission_to_order: is_whole.then(|| Durations::of(&line.until_order)),
        }
    }
}

impl BlindFairness {
    fn of(line: &LineFacts, is_whole: bool) -> BlindFairness {
        let tenths = tenths_of(line, is_whole);
        BlindFairness {
            orders: line.tickets.into(),
            granted: line.admitted.into(),
            arrivals: line.arrivals.as_ref().map(Arrivals::of),
            proof: line.proof.as_ref().map(DrawProof::of),
            arrival_position: line.with_position().map(of_millionths),
            arrival_units: line.with_units().filter(|_| tenths.is_some()).map(of_millionths),
            tenths: tenths.unwrap_or_default(),
            recorded_to_decision: Durations::of(&line.since_ticket),
        }
    }
}

impl DrawProof {
    fn of(draw: &DrawFacts) -> DrawProof {
        let row = &draw.row;
        DrawProof {
            commitment: row.commitment.to_string(),
            state: row.state().as_str().to_owned(),
            tickets: row.tickets,
            root: row.root.map(|root| root.to_string()),
            beacon_missed: row.missed_its_beacon(),
            beacon: row.beacon.as_ref().map(ToString::to_string),
            beacon_source: row.beacon_source.clone(),
            seed: row.seed.as_ref().map(Seed::reveal),
            result: row.result.map(|result| result.to_string()),
            is_proven: draw.is_proven,
        }
    }
}

impl Arrivals {
    fn of(histogram: &ArrivalHistogram) -> Arrivals {
        let from = histogram.from.checked_mul(1000).and_then(UnixMillis::new).unwrap_or_default();
        Arrivals { from: rfc3339(from), point_seconds: histogram.point_seconds, tickets: histogram.tickets.clone() }
    }
}

fn of_millionths(millionths: i64) -> f64 {
    i32::try_from(millionths).map_or(0.0, |millionths| f64::from(millionths) / 1_000_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sum_tells_fewer_than_five_buyers_and_none_is_lost() {
        let shares = unit_shares(&BTreeMap::from([(1, 90), (2, 6), (7, 1)]));
        assert_eq!(
            shares,
            [
                UnitsShare { units: "1".into(), buyers: 90, units_in_all: 90 },
                UnitsShare { units: OTHER.into(), buyers: 7, units_in_all: 19 },
            ]
        );
        assert!(unit_shares(&BTreeMap::from([(1, 2), (7, 1)])).is_empty(), "all of them are too few");
        let sums = |members| GroupSums { members, tickets: members, buyers: 1, orders: 1, units: 1 };
        let blocks: Vec<GroupSums> = [vec![sums(1); 40], vec![sums(3); 4], vec![sums(30)]].concat();
        let of = |share: BlockShare| (share.buyers_in_block, share.blocks, share.tickets, share.units);
        let told = |unknown| block_shares(blocks.iter(), unknown).into_iter().map(of).collect::<Vec<_>>();
        let classes = [("1".into(), 40, 40, 40), ("2-4".into(), 4, 12, 4), ("20-99".into(), 1, 30, 1)];
        assert_eq!(
            told(GroupSums::default()),
            classes,
            "one buyer with an order, of thirty with a ticket, is not alone"
        );
        assert_eq!(told(sums(5)).last(), Some(&(UNKNOWN.into(), 0, 5, 1)));
        assert_eq!(
            told(sums(4)).last(),
            Some(&(OTHER.into(), 4, 16, 5)),
            "four of no noted block hide another group, too"
        );
        let tiers = |few| group_shares([(Tier::New, &sums(90)), (Tier::Premium, &sums(few))].into_iter(), sums(0));
        let told = |few| tiers(few).into_iter().map(|share| (share.group, share.tickets)).collect::<Vec<_>>();
        assert_eq!(told(5), [("new".into(), 90), ("premium".into(), 5)]);
        assert_eq!(told(4), [(OTHER.into(), 94)]);
    }
}

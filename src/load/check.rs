//! The check `accepted == min(stock, demand)` and what makes it trustworthy.
//!
//! The check is exact because buyers own their units until they cancel or let them lapse, and both are followed to a
//! definite answer. Whenever a unit is known to be returned, a request that leaves later asks for it, as long as a buyer
//! waits; it either gets the unit or proves that another buyer has it. So when no request is under way, units are free only
//! if no buyer waits. Demand is the buyers who keep a unit plus those who wait in vain. Each buyer without a definite answer
//! may have one unit more or less: then the check can still fail, but is no longer exact.

use super::ledger::{BuyerEnd, Ledger, Violation};
use super::numbers::grouped;
use super::response::DropView;
use super::streams::StreamFigures;

/// The input of the check, after the last buyer has been answered.
pub(super) struct CheckInput<'a> {
    pub(super) ledger: &'a Ledger,
    /// The drop before the first request.
    pub(super) before: DropView,
    /// The drop after the last answer, or why it cannot be read.
    pub(super) after: Result<DropView, String>,
    /// Buyers who were scheduled to arrive.
    pub(super) buyers: u64,
    /// Buyers still on the waiting list.
    pub(super) waiting: u64,
    /// Reservations may have lapsed during the run without a buyer who reads the order.
    pub(super) lapses_unwatched: bool,
}

/// One line of the check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CheckFinding {
    pub(super) name: &'static str,
    pub(super) holds: bool,
    pub(super) sentence: String,
}

/// The result of the check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CheckResult {
    /// Units held or sold by this run, where the drop can be read.
    pub(super) accepted: Option<u64>,
    /// Units that were free at the start.
    pub(super) stock: u64,
    /// Buyers who keep a unit, or still want one.
    pub(super) demand: u64,
    /// Buyers with a definite last answer.
    pub(super) answered: u64,
    /// Buyers who were cut off by the time limit.
    pub(super) cut_off: u64,
    /// True if `accepted == min(stock, demand)` could be decided exactly.
    pub(super) exact: bool,
    pub(super) findings: Vec<CheckFinding>,
}

impl CheckResult {
    /// True if every finding holds.
    pub(super) fn holds(&self) -> bool {
        self.findings.iter().all(|finding| finding.holds)
    }
}

/// Compares the server's counters with the load's ledger.
pub(crate) fn check(facts: &CheckInput<'_>) -> CheckResult {
    let ledger = facts.ledger;
    let after = facts.after.as_ref();
    let cut_off = facts.buyers.saturating_sub(ledger.ended_all() + facts.waiting);
    let undecided = cut_off + ledger.ended(BuyerEnd::GaveUp) + ledger.ended(BuyerEnd::Violation);
    let sums = Sums {
        accepted: after.map_or(0, |after| after.taken().saturating_sub(facts.before.taken())),
        stock: facts.before.available,
        demand: ledger.ended(BuyerEnd::Keeps) + ledger.ended(BuyerEnd::Unsatisfied) + facts.waiting,
        cut_off,
        undecided,
    };
    let mut findings = vec![everybody_answered(facts, &sums)];
    match after {
        Ok(after) => findings.extend(counters(facts, &sums, after)),
        Err(why) => findings.push(finding("drop_readable", false, why.clone())),
    }
    findings.push(orders_distinct(facts));
    findings.extend(violations(facts));
    CheckResult {
        accepted: after.is_ok().then_some(sums.accepted),
        stock: sums.stock,
        demand: sums.demand,
        answered: facts.buyers.saturating_sub(undecided),
        cut_off,
        exact: undecided == 0 && !facts.lapses_unwatched && after.is_ok(),
        findings,
    }
}

/// The figures that are compared.
struct Sums {
    accepted: u64,
    stock: u64,
    demand: u64,
    cut_off: u64,
    /// Buyers without a definite last answer.
    undecided: u64,
}

/// Every stream showed the drop as it is in the end.
pub(super) fn check_streams(streams: &StreamFigures) -> CheckFinding {
    let (open, behind) = (streams.open, streams.behind.len() as u64);
    let sentence = match streams.behind.first() {
        None => format!("each of {} streams showed the last change", grouped(open)),
        Some(why) => format!("{} of {} streams did not show the last change: {why}", grouped(behind), grouped(open)),
    };
    finding("streams_current", behind == 0, sentence)
}

fn finding(name: &'static str, holds: bool, sentence: String) -> CheckFinding {
    CheckFinding { name, holds, sentence }
}

fn everybody_answered(facts: &CheckInput<'_>, sums: &Sums) -> CheckFinding {
    let (gave_up, odd) = (facts.ledger.ended(BuyerEnd::GaveUp), facts.ledger.ended(BuyerEnd::Violation));
    let sentence = match sums.undecided {
        0 => "every buyer has a definite answer".to_owned(),
        _ => format!(
            "{} buyers cut off by the time limit, {} gave up after many retries, {} left over a wrong answer",
            grouped(sums.cut_off),
            grouped(gave_up),
            grouped(odd)
        ),
    };
    // Where reservations may lapse unwatched, a buyer who comes too late is no fault of the server.
    let holds = sums.undecided == 0 || (facts.lapses_unwatched && sums.undecided == odd);
    finding("everybody_answered", holds, sentence)
}

/// The comparisons that need the drop's counters.
fn counters(facts: &CheckInput<'_>, sums: &Sums, after: &DropView) -> Vec<CheckFinding> {
    let mut findings = vec![conserved(after), never_above_stock(after)];
    if !facts.lapses_unwatched {
        findings.push(accepted_is_exact(sums));
        findings.push(books_agree(facts, sums));
    }
    findings
}

fn conserved(after: &DropView) -> CheckFinding {
    let sentence = format!(
        "total {} = available {} + held {} + sold {}",
        grouped(after.total),
        grouped(after.available),
        grouped(after.held),
        grouped(after.sold)
    );
    finding("conserved", after.is_conserved(), sentence)
}

fn never_above_stock(after: &DropView) -> CheckFinding {
    let over = after.taken().saturating_sub(after.total);
    let sentence = match over {
        0 => "no unit sold above the stock".to_owned(),
        over => format!("{} units above the stock of {}", grouped(over), grouped(after.total)),
    };
    finding("never_above_stock", over == 0, sentence)
}

fn accepted_is_exact(sums: &Sums) -> CheckFinding {
    let Sums { accepted, stock, demand, undecided, .. } = *sums;
    let least = stock.min(demand);
    let most = stock.min(demand + undecided);
    let sentence = if accepted > most {
        let by = grouped(accepted - most);
        format!("{by} too many: {}", expectation(sums, most))
    } else if accepted < least {
        let by = grouped(least - accepted);
        format!("{by} too few: {}", expectation(sums, least))
    } else if least < most {
        format!("accepted {} is possible: {} to {}", grouped(accepted), grouped(least), grouped(most))
    } else if stock <= demand {
        "accepted = stock: nothing oversold, nothing left over".to_owned()
    } else {
        "accepted = demand: every buyer who wants a unit has one".to_owned()
    };
    finding("accepted_is_min_of_stock_and_demand", (least..=most).contains(&accepted), sentence)
}

fn expectation(sums: &Sums, expected: u64) -> String {
    format!(
        "{} accepted, {} expected, the smaller of stock {} and demand {}",
        grouped(sums.accepted),
        grouped(expected),
        grouped(sums.stock),
        grouped(sums.demand)
    )
}

fn books_agree(facts: &CheckInput<'_>, sums: &Sums) -> CheckFinding {
    let ledger = facts.ledger;
    let standing = ledger.orders_standing();
    let difference = standing.abs_diff(sums.accepted);
    let sentence = format!(
        "{} orders acknowledged - {} cancelled - {} lapsed = {}; the server counts {}",
        grouped(ledger.orders.len() as u64),
        grouped(ledger.cancelled),
        grouped(ledger.lapsed),
        grouped(standing),
        grouped(sums.accepted)
    );
    finding("books_agree", difference <= sums.undecided, sentence)
}

fn orders_distinct(facts: &CheckInput<'_>) -> CheckFinding {
    let doubled = facts.ledger.orders_doubled();
    let sentence = match doubled {
        0 => "every order has its own id".to_owned(),
        doubled => format!("{} order ids were given twice", grouped(doubled)),
    };
    finding("order_ids_distinct", doubled == 0, sentence)
}

fn violations<'a>(facts: &'a CheckInput<'_>) -> impl Iterator<Item = CheckFinding> + 'a {
    facts.ledger.violations().map(|(violation, seen)| {
        let times = grouped(seen.count);
        let sentence = format!("{}: {times} times, first buyer {}", violation.words(), seen.first_buyer);
        let excused = facts.lapses_unwatched && violation == Violation::LapsedEarly;
        finding("contract_kept", excused, sentence)
    })
}

#[cfg(test)]
mod tests;

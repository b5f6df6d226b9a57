//! The check `accepted == min(stock, demand)` and what makes it trustworthy.
//!
//! Why it is exact: a buyer's unit is his until he cancels or lets it lapse, and both are followed to a definite
//! answer. Whenever a unit is known to be back, a request that leaves later asks for it, as long as somebody waits; it
//! either gets it or proves that another has it. So when nobody has a request under way, units are free only if nobody
//! waits. Demand is who keeps a unit plus who waits in vain.

use super::super::report::grouped;
use super::{End, Facts, Finding, Verdict, Violation};

/// Compares the server's counters with the load's books.
pub(in super::super) fn check(facts: &Facts<'_>) -> Verdict {
    let accepted = facts.after.taken().saturating_sub(facts.before.taken());
    let stock = facts.before.available;
    let demand = facts.ledger.ended(End::Keeps) + facts.ledger.ended(End::Unsatisfied) + facts.waiting;
    let undecided = undecided(facts);
    let exact = undecided == 0 && !facts.lapses_unwatched;
    let mut findings = vec![conserved(facts), never_above_stock(facts), everybody_answered(facts, undecided)];
    if !facts.lapses_unwatched {
        findings.push(accepted_is_exact(accepted, stock, demand));
        findings.push(books_agree(facts, accepted));
    }
    findings.push(orders_distinct(facts));
    findings.extend(violations(facts));
    Verdict { accepted, stock, demand, exact, findings }
}

/// Buyers whose last answer says nothing definite.
fn undecided(facts: &Facts<'_>) -> u64 {
    facts.unanswered + facts.ledger.ended(End::GaveUp) + facts.ledger.ended(End::Odd)
}

fn finding(name: &'static str, holds: bool, sentence: String) -> Finding {
    Finding { name, holds, sentence }
}

fn conserved(facts: &Facts<'_>) -> Finding {
    let drop = facts.after;
    let sentence = format!(
        "total {} = available {} + held {} + sold {}",
        grouped(drop.total),
        grouped(drop.available),
        grouped(drop.held),
        grouped(drop.sold)
    );
    finding("conserved", drop.is_conserved(), sentence)
}

fn never_above_stock(facts: &Facts<'_>) -> Finding {
    let over = facts.after.taken().saturating_sub(facts.after.total);
    let sentence = match over {
        0 => "no unit sold that was not there".to_owned(),
        over => format!("{} units above the stock of {}", grouped(over), grouped(facts.after.total)),
    };
    finding("never_above_stock", over == 0, sentence)
}

fn everybody_answered(facts: &Facts<'_>, undecided: u64) -> Finding {
    let ledger = facts.ledger;
    let sentence = match undecided {
        0 => "everybody has a definite answer".to_owned(),
        _ => format!(
            "{} cut off by the time limit, {} gave up after many retries, {} left over a wrong answer",
            grouped(facts.unanswered),
            grouped(ledger.ended(End::GaveUp)),
            grouped(ledger.ended(End::Odd))
        ),
    };
    // Where reservations may lapse unwatched, a buyer who comes too late is nobody's fault.
    let holds = undecided == 0 || (facts.lapses_unwatched && facts.unanswered + ledger.ended(End::GaveUp) == 0);
    finding("everybody_answered", holds, sentence)
}

fn accepted_is_exact(accepted: u64, stock: u64, demand: u64) -> Finding {
    let expected = stock.min(demand);
    let difference = accepted.abs_diff(expected);
    let sentence = match difference {
        0 if stock <= demand => "accepted = stock: nothing oversold, nothing left over".to_owned(),
        0 => "accepted = demand: everybody who wants a unit has one".to_owned(),
        _ => format!(
            "{} accepted, {} expected (the smaller of stock {} and demand {}): {} {}",
            grouped(accepted),
            grouped(expected),
            grouped(stock),
            grouped(demand),
            grouped(difference),
            if accepted > expected { "too many" } else { "too few" }
        ),
    };
    finding("accepted_is_min_of_stock_and_demand", difference == 0, sentence)
}

fn books_agree(facts: &Facts<'_>, accepted: u64) -> Finding {
    let ledger = facts.ledger;
    let standing = ledger.orders_standing();
    let sentence = format!(
        "{} orders acknowledged - {} cancelled - {} lapsed = {}; the server counts {}",
        grouped(ledger.orders.len() as u64),
        grouped(ledger.cancelled),
        grouped(ledger.lapsed),
        grouped(standing),
        grouped(accepted)
    );
    finding("books_agree", standing == accepted, sentence)
}

fn orders_distinct(facts: &Facts<'_>) -> Finding {
    let doubled = facts.ledger.orders_doubled();
    let sentence = match doubled {
        0 => "every order has its own id".to_owned(),
        doubled => format!("{} order ids were given twice", grouped(doubled)),
    };
    finding("order_ids_distinct", doubled == 0, sentence)
}

fn violations<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = Finding> + 'a {
    facts.ledger.violations().map(|(violation, seen)| {
        let sentence =
            format!("{}: {} times, first buyer {}", violation.words(), grouped(seen.count), seen.first_buyer);
        let excused = facts.lapses_unwatched && violation == Violation::LapsedEarly;
        finding("contract_kept", excused, sentence)
    })
}

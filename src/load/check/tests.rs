use super::*;
use crate::load::ledger::ViolationCount;
use crate::load::outcome::RequestOutcome;
use crate::types::{OrderId, OrderSecret, Seq, Shard};

fn id(seq: u64) -> OrderId {
    OrderId { seq: Seq::new(seq).expect("seq"), secret: OrderSecret::from_random(Shard::SINGLE, [1; 10]) }
}

fn drop(total: u64, held: u64, sold: u64) -> DropView {
    DropView { id: 1, total, available: total - held - sold, held, sold, per_buyer_limit: 1, reservation_seconds: 180 }
}

/// `keeps` buyers with a unit, `cancelled` who gave theirs back.
fn books(keeps: u64, cancelled: u64) -> Ledger {
    let mut ledger = Ledger::default();
    for seq in 0..keeps + cancelled {
        ledger.reserved(id(seq));
        ledger.end(if seq < keeps { BuyerEnd::Keeps } else { BuyerEnd::Cancelled });
    }
    ledger.cancelled = cancelled;
    ledger
}

fn facts(ledger: &Ledger, after: DropView, waiting: u64) -> CheckInput<'_> {
    let before = drop(after.total, 0, 0);
    let buyers = ledger.ended_all() + waiting;
    CheckInput { ledger, before, after: Ok(after), buyers, waiting, lapses_unwatched: false }
}

/// The names of the checks that fail.
fn failed(facts: &CheckInput<'_>) -> Vec<&'static str> {
    check(facts).findings.into_iter().filter(|finding| !finding.holds).map(|finding| finding.name).collect()
}

#[test]
fn a_sold_out_drop_with_a_line_before_it_is_exact() {
    let ledger = books(10, 2);
    let facts = facts(&ledger, drop(10, 8, 2), 90);
    let verdict = check(&facts);
    assert_eq!((verdict.accepted, verdict.stock, verdict.demand, verdict.exact), (Some(10), 10, 100, true));
    assert!(verdict.holds(), "{verdict:?}");
}

#[test]
fn with_less_demand_than_stock_everybody_has_a_unit() {
    let ledger = books(7, 3);
    assert!(check(&facts(&ledger, drop(10, 7, 0), 0)).holds());
    assert_eq!(failed(&facts(&ledger, drop(10, 6, 0), 0)), ["accepted_is_min_of_stock_and_demand", "books_agree"]);
}

#[test]
fn a_unit_left_while_somebody_waits_is_too_few() {
    let ledger = books(9, 1);
    assert_eq!(failed(&facts(&ledger, drop(10, 9, 0), 1)), ["accepted_is_min_of_stock_and_demand"]);
}

#[test]
fn an_order_that_nobody_was_told_of_shows_in_the_books() {
    let mut ledger = books(9, 0);
    assert_eq!(failed(&facts(&ledger, drop(10, 10, 0), 5)), ["books_agree"]);
    ledger.reserved(id(1));
    assert_eq!(failed(&facts(&ledger, drop(10, 10, 0), 5)), ["order_ids_distinct"]);
}

#[test]
fn an_oversold_or_unbalanced_drop_fails() {
    let ledger = books(11, 0);
    let over = DropView { available: 0, ..drop(11, 11, 0) };
    let after = DropView { total: 10, ..over };
    let names = failed(&CheckInput { before: drop(10, 0, 0), ..facts(&ledger, after, 0) });
    assert_eq!(names, ["conserved", "never_above_stock", "accepted_is_min_of_stock_and_demand"]);
}

#[test]
fn whoever_has_no_definite_answer_makes_the_check_inexact() {
    let mut ledger = books(10, 0);
    ledger.end(BuyerEnd::GaveUp);
    let verdict = check(&facts(&ledger, drop(10, 10, 0), 0));
    assert!(!verdict.exact && !verdict.holds());
    let ledger = books(10, 0);
    let cut = CheckInput { buyers: 13, ..facts(&ledger, drop(12, 12, 0), 0) };
    assert_eq!(failed(&cut), ["everybody_answered"], "the three cut off may have two orders");
    let cut = CheckInput { buyers: 11, ..facts(&ledger, drop(12, 12, 0), 0) };
    assert_eq!(failed(&cut), ["everybody_answered", "accepted_is_min_of_stock_and_demand", "books_agree"]);
    assert_eq!(check(&cut).answered, 10);
}

#[test]
fn a_drop_that_cannot_be_read_is_no_exact_count() {
    let ledger = books(10, 0);
    let gone = CheckInput { after: Err("gone".to_owned()), ..facts(&ledger, drop(10, 10, 0), 0) };
    assert_eq!(failed(&gone), ["drop_readable"]);
    assert!(!check(&gone).exact);
}

#[test]
fn lapses_that_nobody_watched_leave_only_the_upper_bound() {
    let ledger = books(10, 0);
    let mut unwatched = facts(&ledger, drop(10, 4, 0), 5);
    unwatched.lapses_unwatched = true;
    let verdict = check(&unwatched);
    assert!(verdict.holds() && !verdict.exact, "{verdict:?}");
}

#[test]
fn earlier_sales_of_an_existing_drop_do_not_count() {
    let ledger = books(3, 0);
    let facts = CheckInput { before: drop(10, 5, 2), ..facts(&ledger, drop(10, 8, 2), 1) };
    let verdict = check(&facts);
    assert_eq!((verdict.accepted, verdict.stock, verdict.demand), (Some(3), 3, 4));
    assert!(verdict.holds(), "{verdict:?}");
}

#[test]
fn books_of_threads_add_up() {
    let mut all = books(2, 1);
    all.violated(Violation::WrongState, 5);
    let mut other = Ledger::default();
    other.reserved(id(99));
    other.end(BuyerEnd::Keeps);
    other.count(RequestOutcome::Reserved);
    other.violated(Violation::WrongState, 9);
    all.merge(other);
    assert_eq!((all.orders_standing(), all.ended(BuyerEnd::Keeps), all.counted(RequestOutcome::Reserved)), (3, 3, 1));
    assert_eq!(
        all.violations().collect::<Vec<_>>(),
        [(Violation::WrongState, ViolationCount { count: 2, first_buyer: 5 })]
    );
}

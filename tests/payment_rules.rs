//! The effects of provider events, as tables in the language of `rules`.

mod rules;

use rules::check;

#[test]
fn a_payment_pays_for_its_order_once_whatever_the_provider_repeats() {
    check(
        "0 create price=100 limit=9 -> ok D1
         0 order D1 qty=2 -> reserved O1 until=120000
         1 hear O1 id=e1 amount=200 -> applied
         1 money O1 -> paid received=200 refunded=0 due=0 kept=200
         1 show D1 -> live total=5 held=0 sold=2 rev=1
         2 hear O1 id=e1 amount=200 -> repeated O1
         3 hear O1 id=e2 amount=200 -> ignored payment-known
         3 hear O1 id=e2 amount=200 -> repeated O1
         4 money O1 -> paid received=200 refunded=0 due=0 kept=200",
    );
}

#[test]
fn a_second_charge_is_owed_back_and_the_order_stays_paid() {
    check(
        "0 create price=100 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 hear O1 id=e1 ref=P1 -> applied
         2 hear O1 id=e2 ref=P2 -> applied
         2 hear O1 id=e3 ref=P1 by=payos -> applied
         2 money O1 -> paid received=300 refunded=0 due=200 kept=100
         3 hear O1 id=e4 type=refund.succeeded ref=P2 -> applied
         3 money O1 -> paid received=300 refunded=100 due=100 kept=100
         4 settle O1 -> ok O1
         4 money O1 -> paid received=300 refunded=200 due=0 kept=100
         5 settle O1 -> repeated O1
         5 settle O1 ref=R2 -> illegal paid->refunded",
    );
}

#[test]
fn money_that_does_not_match_is_owed_back_and_the_order_stays_as_it_is() {
    check(
        "0 create price=100 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 hear O1 id=e1 ref=P1 amount=99 -> applied
         1 money O1 -> reserved received=99 refunded=0 due=99 kept=0
         2 checkout O1 -> ok O1
         2 hear O1 id=e2 ref=P2 currency=USD -> applied
         2 money O1 -> awaiting_payment received=199 refunded=0 due=199 kept=0
         3 hear O1 id=e3 ref=P3 -> applied
         3 money O1 -> paid received=299 refunded=0 due=199 kept=100
         4 hear O1 id=e4 ref=P2 type=refund.succeeded currency=EUR -> ignored currency-differs
         4 hear O1 id=e5 ref=P2 type=refund.succeeded currency=USD -> applied
         4 hear O1 id=e6 ref=P1 type=refund.succeeded amount=99 -> applied
         4 money O1 -> paid received=299 refunded=199 due=0 kept=100",
    );
}

#[test]
fn a_late_payment_takes_stock_again_if_there_is_any() {
    check(
        "0 create price=100 total=1 limit=1 -> ok D1
         0 order D1 -> reserved O1 until=120000
         120000 show O1 -> expired returned=1 amount=100 until=120000
         120001 pause D1 -> ok D1
         120001 hear O1 id=e1 -> applied
         120001 money O1 -> paid received=100 refunded=0 due=0 kept=100
         120001 show O1 -> paid returned=0 amount=100 until=120000
         120001 show D1 -> paused total=1 held=0 sold=1 rev=2
         120002 resume D1 -> ok D1
         120002 order D1 key=other -> limit_reached limit=1 used=1
         120002 order D1 buyer=B -> sold_out free=0 held=0 next=none
         120003 order D1 -> repeated O1",
    );
}

#[test]
fn a_late_payment_for_units_that_are_gone_leaves_a_refund_due() {
    check(
        "0 create price=100 total=1 -> ok D1
         0 order D1 -> reserved O1 until=120000
         120000 order D1 buyer=B -> reserved O2 until=240000
         120001 hear O1 id=e1 -> applied
         120001 money O1 -> refund_due received=100 refunded=0 due=100 kept=0
         120001 show O1 -> refund_due returned=1 amount=100 until=120000
         120001 show D1 -> sold_out total=1 held=1 sold=0 rev=1
         120002 hear O1 id=e2 type=refund.succeeded amount=40 -> applied
         120002 money O1 -> refund_due received=100 refunded=40 due=60 kept=0
         120003 hear O1 id=e3 type=refund.succeeded amount=61 -> ignored exceeds-received
         120003 hear O1 id=e4 type=refund.succeeded amount=60 -> applied
         120003 money O1 -> refunded received=100 refunded=100 due=0 kept=0
         120004 hear O1 id=e5 ref=P2 -> applied
         120004 money O1 -> refund_due received=200 refunded=100 due=100 kept=0",
    );
}

#[test]
fn paying_late_never_beats_a_limit_nor_the_drops_end_nor_a_mismatch() {
    check(
        "0 create price=100 total=5 limit=1 ends=900000 -> ok D1
         0 order D1 key=a -> reserved O1 until=120000
         120000 order D1 key=b -> reserved O2 until=240000
         120001 hear O1 id=e1 -> applied
         120001 money O1 -> refund_due received=100 refunded=0 due=100 kept=0
         240000 order D1 buyer=B -> reserved O3 until=360000
         360000 mismatch D1 -> ok D1
         360001 hear O3 id=e2 -> applied
         360001 money O3 -> refund_due received=100 refunded=0 due=100 kept=0
         360002 mismatch D1 stands=false -> ok D1
         360002 resume D1 -> ok D1
         360002 order D1 buyer=C -> reserved O4 until=480002
         900000 hear O4 id=e3 -> applied
         900000 money O4 -> refund_due received=100 refunded=0 due=100 kept=0
         900000 show D1 -> ended total=5 held=0 sold=0 rev=2",
    );
}

#[test]
fn money_for_a_cancelled_order_is_owed_back() {
    check(
        "0 create price=100 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 cancel O1 -> ok O1
         2 hear O1 id=e1 amount=99 ref=P0 -> applied
         2 money O1 -> cancelled received=99 refunded=0 due=99 kept=0
         2 hear O1 id=e2 -> applied
         2 money O1 -> refund_due received=199 refunded=0 due=199 kept=0
         3 settle O1 -> invalid payments_owed=2
         3 settle O1 of=P1 -> ok O1
         3 money O1 -> refund_due received=199 refunded=100 due=99 kept=0
         4 settle O1 of=P0 -> ok O1
         4 money O1 -> refunded received=199 refunded=199 due=0 kept=0",
    );
}

#[test]
fn a_settlement_is_of_one_payment_and_counts_once() {
    check(
        "0 create price=100 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 hear O1 id=e1 ref=P1 -> applied
         1 hear O1 id=e2 ref=P2 -> applied
         1 hear O1 id=e3 ref=P3 -> applied
         1 money O1 -> paid received=300 refunded=0 due=200 kept=100
         2 settle O1 ref=T1 -> invalid payments_owed=2
         2 settle O1 ref=T1 of=P1 -> invalid payments_owed=2
         2 settle O1 ref=T1 of=P2 amount=101 -> invalid owed=100
         2 settle O1 ref=T1 of=P2 amount=0 -> invalid owed=100
         2 settle O1 ref=T1 of=P2 amount=40 -> ok O1
         2 settle O1 ref=T1 of=P2 amount=40 -> repeated O1
         2 settle O1 ref=T1 -> repeated O1
         2 settle O1 ref=T1 of=P2 amount=60 -> invalid settled=40
         2 money O1 -> paid received=300 refunded=40 due=160 kept=100
         3 settle O1 ref=T2 of=P2 -> ok O1
         3 settle O1 ref=T2 of=P3 -> ok O1
         3 settle O1 ref=T2 of=P3 -> repeated O1
         3 money O1 -> paid received=300 refunded=200 due=0 kept=100",
    );
}

#[test]
fn payments_of_two_providers_with_one_reference_are_settled_one_by_one() {
    check(
        "0 create price=100 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 cancel O1 -> ok O1
         1 hear O1 id=e1 ref=P1 -> applied
         1 hear O1 id=e2 ref=P1 by=payos -> applied
         2 settle O1 ref=T1 of=P1 -> ok O1
         2 money O1 -> refund_due received=200 refunded=100 due=100 kept=0
         2 settle O1 ref=T2 of=P1 -> ok O1
         2 money O1 -> refunded received=200 refunded=200 due=0 kept=0",
    );
}

#[test]
fn a_payment_by_hand_that_is_told_again_with_another_amount_is_a_mistake() {
    check(
        "0 create price=100 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 paid O1 ref=T1 -> ok O1
         1 paid O1 ref=T1 -> repeated O1
         1 paid O1 ref=T1 amount=99 -> invalid payment_differs=100EUR
         1 paid O1 ref=T1 currency=USD -> invalid payment_differs=100EUR
         1 paid O1 ref=T2 -> illegal paid->paid",
    );
}

#[test]
fn money_that_comes_after_the_refund_is_owed_and_the_order_says_so() {
    check(
        "0 create price=100 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 hear O1 id=e1 ref=P1 -> applied
         1 hear O1 id=e2 ref=P1 type=refund.succeeded -> applied
         1 money O1 -> refunded received=100 refunded=100 due=0 kept=0
         2 hear O1 id=e3 ref=P2 -> applied
         2 money O1 -> refund_due received=200 refunded=100 due=100 kept=0
         3 hear O1 id=e4 ref=P2 type=refund.succeeded -> applied
         3 money O1 -> refunded received=200 refunded=200 due=0 kept=0",
    );
}

#[test]
fn a_refund_after_the_failure_of_another_takes_its_place_and_one_before_it_does_not() {
    check(
        "0 create price=500 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 hear O1 id=e1 ref=P1 amount=500 -> applied
         1 hear O1 id=r1 ref=P1 amount=100 type=refund.succeeded opposite=f1 -> applied
         2 hear O1 id=f1 ref=P1 amount=100 type=refund.failed opposite=r1 -> applied
         2 money O1 -> paid received=500 refunded=0 due=100 kept=400
         3 hear O1 id=r2 ref=P1 amount=100 type=refund.succeeded opposite=f2 -> applied
         3 money O1 -> paid received=500 refunded=100 due=0 kept=400
         4 hear O1 id=r3 ref=P1 amount=100 type=refund.succeeded opposite=f3 -> applied
         4 hear O1 id=f2 ref=P1 amount=100 type=refund.failed opposite=r2 -> applied
         4 money O1 -> paid received=500 refunded=100 due=100 kept=300",
    );
}

#[test]
fn a_failed_payment_changes_no_state_and_never_downgrades_a_paid_order() {
    check(
        "0 create price=100 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 hear O1 id=e1 type=payment.failed -> applied
         1 money O1 -> reserved received=0 refunded=0 due=0 kept=0
         2 hear O1 id=e2 -> applied
         3 hear O1 id=e3 type=payment.failed -> ignored not-awaited
         3 hear O1 id=e4 type=payment.failed ref=P2 -> ignored not-awaited
         3 money O1 -> paid received=100 refunded=0 due=0 kept=100",
    );
}

#[test]
fn an_operators_refund_of_a_providers_payment_is_due_until_the_provider_says_it_went_back() {
    check(
        "0 create price=100 total=3 limit=3 -> ok D1
         0 order D1 qty=3 -> reserved O1 until=120000
         1 hear O1 id=e1 amount=300 -> applied
         2 refund O1 amount=100 restock=1 key=a -> ok O1
         2 money O1 -> paid received=300 refunded=0 due=100 kept=200
         2 show D1 -> live total=3 held=0 sold=2 rev=1
         3 refund O1 amount=201 key=b -> invalid refund_remaining=200
         3 refund O1 restock=2 key=b -> ok O1
         3 money O1 -> refund_due received=300 refunded=0 due=300 kept=0
         3 show D1 -> live total=3 held=0 sold=0 rev=1
         4 hear O1 id=e2 type=refund.succeeded amount=100 -> applied
         4 money O1 -> refund_due received=300 refunded=100 due=200 kept=0
         5 hear O1 id=e3 type=refund.succeeded amount=200 -> applied
         5 money O1 -> refunded received=300 refunded=300 due=0 kept=0
         6 hear O1 id=e4 type=refund.succeeded amount=1 -> ignored exceeds-received",
    );
}

#[test]
fn a_refund_that_nobody_asked_for_is_taken_out_of_what_is_kept() {
    check(
        "0 create price=100 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 hear O1 id=e1 -> applied
         2 hear O1 id=e2 type=refund.succeeded amount=30 -> applied
         2 money O1 -> paid received=100 refunded=30 due=0 kept=70
         3 refund O1 amount=20 -> ok O1
         4 hear O1 id=e3 type=refund.succeeded amount=70 -> applied
         4 money O1 -> refunded received=100 refunded=100 due=0 kept=0
         4 show O1 -> refunded returned=0 amount=100 until=120000",
    );
}

#[test]
fn what_names_no_order_or_no_payment_is_recorded_and_changes_nothing() {
    check(
        "0 create price=100 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 hear id=e1 -> ignored unknown-order
         1 hear id=e1 -> repeated file
         1 hear O7 id=e2 -> ignored unknown-order
         1 hear O1 id=e3 type=refund.succeeded ref=P2 -> ignored unknown-payment
         1 hear O1 id=e4 type=chargeback.created ref=P2 -> ignored unknown-payment
         2 hear O1 id=e5 -> applied
         3 hear O1 id=e6 type=chargeback.created -> applied
         3 money O1 -> paid received=100 refunded=0 due=0 kept=100",
    );
}

#[test]
fn an_order_has_at_most_a_hundred_payments() {
    let mut table = "0 create price=100 -> ok D1
        0 order D1 -> reserved O1 until=120000
        "
    .to_string();
    for n in 1..=100 {
        table.push_str(&format!("1 hear O1 id=e{n} ref=P{n} -> applied\n"));
    }
    table.push_str("1 hear O1 id=e101 ref=P101 -> ignored too-many-payments\n");
    table.push_str("1 money O1 -> paid received=10000 refunded=0 due=9900 kept=100");
    check(&table);
}

#[test]
fn a_free_order_stays_paid_when_a_payment_by_mistake_goes_back() {
    check(
        "0 create price=0 -> ok D1
         0 order D1 -> reserved O1 until=120000
         0 paid O1 amount=0 -> ok O1
         1 hear O1 id=e1 amount=5 -> applied
         1 money O1 -> paid received=5 refunded=0 due=5 kept=0
         2 settle O1 -> ok O1
         2 money O1 -> paid received=5 refunded=5 due=0 kept=0",
    );
}

#[test]
fn a_free_order_is_paid_at_its_checkout_whether_it_comes_with_the_order_or_later() {
    check(
        "0 create price=0 limit=9 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 checkout O1 -> ok O1
         1 money O1 -> paid received=0 refunded=0 due=0 kept=0
         1 show D1 -> live total=5 held=0 sold=1 rev=1
         2 checkout O1 -> illegal paid->awaiting_payment
         2 cancel O1 -> illegal paid->cancelled
         9999999 money O1 -> paid received=0 refunded=0 due=0 kept=0
         9999999 refund O1 restock=1 -> ok O1
         9999999 money O1 -> refunded received=0 refunded=0 due=0 kept=0
         9999999 show D1 -> live total=5 held=0 sold=0 rev=1
         9999999 order D1 buyer=B contact=true -> paid O2 until=10899999
         9999999 money O2 -> paid received=0 refunded=0 due=0 kept=0",
    );
}

#[test]
fn nothing_is_owed_for_a_free_order_that_was_paid_too_late() {
    check(
        "0 create price=0 total=1 -> ok D1
         0 order D1 -> reserved O1 until=120000
         0 order D1 buyer=B -> sold_out free=0 held=1 next=120000
         120000 order D1 buyer=B -> reserved O2 until=240000
         120001 hear O1 id=e1 amount=0 -> applied
         120001 money O1 -> expired received=0 refunded=0 due=0 kept=0
         120002 cancel O2 -> ok O2
         120003 hear O2 id=e2 amount=0 -> applied
         120003 money O2 -> cancelled received=0 refunded=0 due=0 kept=0",
    );
}

#[test]
fn a_session_belongs_to_an_order_that_can_be_paid() {
    check(
        "0 create price=100 -> ok D1
         0 session O1 -> not_found
         0 order D1 -> reserved O1 until=120000
         0 session O1 -> ok O1
         0 session O1 -> ok O1
         1 hear O1 id=e1 -> applied
         2 session O1 -> illegal paid->awaiting_payment",
    );
}

#[test]
fn a_refund_that_is_told_before_its_payment_is_applied_with_it() {
    check(
        "0 create price=100 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 hear O1 id=e1 type=refund.succeeded amount=30 -> ignored unknown-payment
         1 hear O1 id=e1 type=refund.succeeded amount=30 -> repeated O1
         1 hear id=e2 type=refund.succeeded amount=70 -> ignored unknown-payment
         1 hear O1 id=e3 type=chargeback.created -> ignored unknown-payment
         1 money O1 -> reserved received=0 refunded=0 due=0 kept=0
         2 hear O1 id=e4 -> applied
         2 money O1 -> refunded received=100 refunded=100 due=0 kept=0
         2 hear O1 id=e1 type=refund.succeeded amount=30 -> repeated O1",
    );
}

#[test]
fn of_an_order_that_was_paid_twice_one_payment_stays_whichever_is_refunded() {
    check(
        "0 create price=100 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 hear O1 id=e1 ref=P1 -> applied
         2 hear O1 id=e2 ref=P2 -> applied
         2 money O1 -> paid received=200 refunded=0 due=100 kept=100
         3 hear O1 id=e3 ref=P1 type=refund.succeeded amount=40 -> applied
         3 money O1 -> paid received=200 refunded=40 due=60 kept=100
         4 hear O1 id=e4 ref=P1 type=refund.succeeded amount=60 -> applied
         4 money O1 -> paid received=200 refunded=100 due=0 kept=100
         5 hear O1 id=e5 ref=P2 type=refund.succeeded -> applied
         5 money O1 -> refunded received=200 refunded=200 due=0 kept=0",
    );
}

#[test]
fn a_refund_that_failed_after_it_succeeded_is_owed_again_once() {
    check(
        "0 create price=100 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 hear O1 id=e1 -> applied
         2 hear O1 id=f0 opposite=r0 type=refund.failed -> ignored unknown-refund
         3 hear O1 id=r1 opposite=f1 type=refund.succeeded -> applied
         3 money O1 -> refunded received=100 refunded=100 due=0 kept=0
         4 hear O1 id=f1 opposite=r1 type=refund.failed -> applied
         4 money O1 -> refund_due received=100 refunded=0 due=100 kept=0
         4 hear O1 id=f1 opposite=r1 type=refund.failed -> repeated O1
         5 hear O1 id=r2 opposite=f2 type=refund.succeeded -> applied
         5 money O1 -> refunded received=100 refunded=100 due=0 kept=0",
    );
}

#[test]
fn payments_of_an_order_never_sum_up_to_more_than_an_amount_can_be() {
    check(
        "0 create price=100 -> ok D1
         0 order D1 -> reserved O1 until=120000
         1 hear O1 id=e1 ref=P1 amount=9007199254740991 -> applied
         2 hear O1 id=e2 ref=P2 amount=1 -> ignored total-too-large
         2 hear O1 id=e3 ref=P3 amount=9007199254740991 currency=USD -> applied
         2 hear O1 id=e4 ref=P1 type=refund.succeeded amount=9007199254740991 -> applied
         2 show O1 -> reserved returned=0 amount=100 until=120000",
    );
}

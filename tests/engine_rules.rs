//! Every rule, refusal and precedence as tables (`rules` has their language).

mod rules;

use rules::{check, check_with_keys};

#[test]
fn refusals_of_orders_come_in_the_order_of_the_contract() {
    // Each line has one reason less to be refused than the line before it.
    check(
        "10 create total=1 limit=1 starts=100 ends=300 key=c -> ok D1
         20 order D9 buyer=B -> not_found
         20 order D1 buyer=B qty=2 key=x -> not_started at=100
         100 order D1 buyer=A key=first -> reserved O1 until=120100
         110 pause D1 -> ok D1
         120 order D1 buyer=A key=first -> repeated O1
         120 order D1 buyer=A key=first qty=2 -> key_reused
         120 order D1 buyer=A qty=2 key=y -> paused
         130 resume D1 -> ok D1
         130 order D1 buyer=A qty=2 key=y -> limit_reached limit=1 used=1
         130 order D1 buyer=B qty=1 key=y -> sold_out free=0 held=1 next=120100
         140 pause D1 -> ok D1
         300 order D1 buyer=A key=first -> repeated O1
         300 order D1 buyer=A key=first qty=2 -> key_reused
         300 order D1 buyer=B qty=2 key=z -> ended at=300",
    );
}

#[test]
fn refusals_of_an_orders_commands_come_in_the_order_of_the_contract() {
    check(
        "0 create total=9 limit=9 -> ok D1
         0 checkout O7 -> not_found
         0 cancel O7 -> not_found
         0 paid O7 -> not_found
         0 refund O7 -> not_found
         0 settle O7 -> not_found
         0 order D1 key=a -> reserved O1 until=120000
         1 cancel O1 -> ok O1
         2 cancel O1 -> repeated O1
         2 checkout O1 -> illegal cancelled->awaiting_payment
         2 paid O1 -> illegal cancelled->paid
         2 refund O1 -> illegal cancelled->refunded
         2 settle O1 -> illegal cancelled->refunded
         10 order D1 key=b -> reserved O2 until=120010
         10 refund O2 -> illegal reserved->refunded
         120010 checkout O2 -> order_expired at=120010
         120010 cancel O2 -> order_expired at=120010
         120010 paid O2 -> order_expired at=120010
         120010 refund O2 -> order_expired at=120010
         200000 order D1 key=c -> reserved O3 until=320000
         200000 paid O3 ref=X -> ok O3
         200001 paid O3 ref=X -> repeated O3
         200001 paid O3 ref=Y -> illegal paid->paid
         200001 checkout O3 -> illegal paid->awaiting_payment
         200001 cancel O3 -> illegal paid->cancelled
         200001 settle O3 -> illegal paid->refunded
         200002 refund O3 -> ok O3
         200003 refund O3 -> repeated O3
         200003 refund O3 key=other -> illegal refunded->refunded
         200003 paid O3 ref=X -> repeated O3
         200003 paid O3 ref=Y -> illegal refunded->paid
         200003 cancel O3 -> illegal refunded->cancelled
         200003 checkout O3 -> illegal refunded->awaiting_payment",
    );
}

#[test]
fn an_operator_takes_back_a_live_order_and_no_other() {
    check(
        "0 create total=1 limit=9 -> ok D1
         0 withdraw O7 -> not_found
         0 order D1 key=a -> reserved O1 until=120000
         1 withdraw O1 -> ok O1
         1 show D1 -> live total=1 held=0 sold=0 rev=1
         2 withdraw O1 -> repeated O1
         2 cancel O1 -> repeated O1
         2 order D1 key=b -> reserved O2 until=120002
         3 paid O2 -> ok O2
         4 withdraw O2 -> illegal paid->cancelled
         5 order D1 key=a -> repeated O1",
    );
}

#[test]
fn a_reservation_is_valid_until_the_last_millisecond_before_its_expiry() {
    check(
        "0 create total=1 limit=9 reserve=2 -> ok D1
         0 order D1 buyer=A -> reserved O1 until=2000
         1999 order D1 buyer=B -> sold_out free=0 held=1 next=2000
         1999 show O1 -> reserved returned=0 amount=100 until=2000
         2000 order D1 buyer=B -> reserved O2 until=4000
         2000 show O1 -> expired returned=1 amount=100 until=2000
         3999 checkout O2 -> ok O2
         3999 show O2 -> awaiting_payment returned=0 amount=100 until=903999",
    );
}

#[test]
fn a_drop_takes_orders_from_its_start_to_before_its_end() {
    check(
        "0 create starts=100 ends=200 -> ok D1
         99 order D1 -> not_started at=100
         99 show D1 -> scheduled total=5 held=0 sold=0 rev=1
         100 order D1 -> reserved O1 until=120100
         199 order D1 buyer=B -> reserved O2 until=120199
         200 order D1 buyer=C -> ended at=200
         200 show D1 -> ended total=5 held=2 sold=0 rev=1
         200 checkout O1 -> ok O1
         201 paid O1 -> ok O1
         202 cancel O2 -> ok O2
         202 show D1 -> ended total=5 held=0 sold=1 rev=1",
    );
}

#[test]
fn a_pause_stops_new_orders_only() {
    check(
        "0 create limit=9 -> ok D1
         0 order D1 key=a -> reserved O1 until=120000
         0 order D1 key=b -> reserved O2 until=120000
         1 pause D1 -> ok D1
         1 pause D1 -> repeated D1
         1 show D1 -> paused total=5 held=2 sold=0 rev=2
         2 order D1 key=c -> paused
         2 checkout O1 -> ok O1
         2 paid O1 -> ok O1
         2 cancel O2 -> ok O2
         3 resume D1 -> ok D1
         3 resume D1 -> repeated D1
         3 show D1 -> live total=5 held=0 sold=1 rev=3",
    );
}

#[test]
fn a_close_is_for_good() {
    check(
        "0 create starts=100 -> ok D1
         50 close D1 -> ok D1
         60 close D1 -> repeated D1
         100 order D1 -> ended at=50
         100 pause D1 -> ended at=50
         100 resume D1 -> ended at=50
         100 patch D1 rev=2 ends=900 -> ended at=50
         100 stock D1 -> ended at=50
         0 show D1 -> ended total=5 held=0 sold=0 rev=2",
    );
}

#[test]
fn all_units_or_none() {
    check(
        "0 create total=3 limit=70000 -> ok D1
         0 order D1 qty=2 key=a -> reserved O1 until=120000
         0 order D1 qty=2 key=b -> sold_out free=1 held=2 next=120000
         0 order D1 qty=65535 key=c -> sold_out free=1 held=2 next=120000
         0 order D1 qty=1 key=d -> reserved O2 until=120000
         0 show D1 -> sold_out total=3 held=3 sold=0 rev=1
         0 create total=0 key=second -> ok D2
         0 order D2 qty=1 key=e -> sold_out free=0 held=0 next=none
         0 order D2 qty=2 key=e -> limit_reached limit=1 used=0
         0 create total=65535 limit=65535 key=third -> ok D3
         0 order D3 qty=65535 key=f -> reserved O3 until=120000",
    );
}

#[test]
fn a_drop_without_stock_is_sold_out() {
    check(
        "0 create total=0 limit=2 -> ok D1
         0 show D1 -> sold_out total=0 held=0 sold=0 rev=1
         0 order D1 -> sold_out free=0 held=0 next=none
         1 stock D1 delta=1 total=0 -> ok D1
         1 order D1 -> reserved O1 until=120001",
    );
}

#[test]
fn limits_count_held_and_sold_units_and_give_room_back() {
    check(
        "0 create total=9 limit=2 reserve=2 -> ok D1
         0 order D1 key=a -> reserved O1 until=2000
         0 order D1 qty=2 key=b -> limit_reached limit=2 used=1
         0 order D1 key=b -> reserved O2 until=2000
         0 order D1 key=c -> limit_reached limit=2 used=2
         1 cancel O1 -> ok O1
         1 order D1 key=c -> reserved O3 until=2001
         2 paid O3 -> ok O3
         2000 order D1 key=d -> reserved O4 until=4000
         2000 order D1 key=e -> limit_reached limit=2 used=2
         2001 refund O3 restock=1 -> ok O3
         2001 order D1 key=e -> reserved O5 until=4001
         2001 order D1 buyer=B qty=2 key=e -> reserved O6 until=4001",
    );
}

#[test]
fn sold_out_is_left_again_when_a_unit_comes_back() {
    check(
        "0 create total=1 limit=9 reserve=2 -> ok D1
         0 order D1 key=a -> reserved O1 until=2000
         0 show D1 -> sold_out total=1 held=1 sold=0 rev=1
         1 cancel O1 -> ok O1
         1 show D1 -> live total=1 held=0 sold=0 rev=1
         1 order D1 key=b -> reserved O2 until=2001
         2001 show D1 -> live total=1 held=0 sold=0 rev=1
         2001 order D1 key=c -> reserved O3 until=4001
         2002 paid O3 -> ok O3
         2002 show D1 -> sold_out total=1 held=0 sold=1 rev=1
         2003 refund O3 restock=1 -> ok O3
         2003 show D1 -> live total=1 held=0 sold=0 rev=1",
    );
}

#[test]
fn checkout_moves_the_expiry_once_and_a_second_one_moves_nothing() {
    check(
        "0 create reserve=10 pay=20 limit=9 -> ok D1
         0 order D1 key=a -> reserved O1 until=10000
         5000 checkout O1 -> ok O1
         5000 show O1 -> awaiting_payment returned=0 amount=100 until=25000
         6000 checkout O1 -> ok O1
         6000 show O1 -> awaiting_payment returned=0 amount=100 until=25000
         7000 order D1 key=b contact=true -> awaiting_payment O2 until=27000
         8000 order D1 key=c -> reserved O3 until=18000
         8000 paid O3 -> ok O3
         25000 checkout O1 -> order_expired at=25000",
    );
}

#[test]
fn patches_are_for_new_orders_and_need_the_revision_that_was_seen() {
    check(
        "0 create limit=9 -> ok D1
         0 order D1 key=a -> reserved O1 until=120000
         1 patch D1 rev=7 price=200 -> stale rev=1
         1 patch D9 rev=1 -> not_found
         1 patch D1 rev=1 price=200 reserve=60 -> ok D1
         1 show O1 -> reserved returned=0 amount=100 until=120000
         1 order D1 key=b -> reserved O2 until=60001
         1 show O2 -> reserved returned=0 amount=200 until=60001
         2 patch D1 rev=2 starts=500 -> ok D1
         2 order D1 key=c -> not_started at=500
         500 order D1 key=c -> reserved O3 until=60500
         501 patch D1 rev=3 ends=501 -> invalid end_in_the_past
         501 patch D1 rev=3 ends=400 -> invalid end_before_start
         501 patch D1 rev=3 ends=600 -> ok D1
         502 patch D1 rev=4 ends=700 -> ok D1
         650 order D1 key=d -> reserved O4 until=60650
         700 order D1 key=e -> ended at=700",
    );
}

#[test]
fn windows_must_make_sense() {
    check(
        "100 create starts=50 ends=50 -> invalid end_before_start
         100 create starts=50 ends=100 -> invalid end_in_the_past
         100 create starts=50 ends=101 -> ok D1",
    );
}

#[test]
fn stock_never_goes_below_what_is_held_or_sold() {
    check(
        "0 create total=3 limit=9 -> ok D1
         0 order D1 qty=2 -> reserved O1 until=120000
         1 stock D1 delta=-1 total=9 -> stale rev=1
         1 stock D1 delta=-2 total=3 -> invalid total_below_taken=2
         1 stock D1 delta=-1 total=3 -> ok D1
         1 stock D1 delta=4294967295 total=2 -> invalid total_too_large
         1 stock D9 -> not_found
         1 show D1 -> sold_out total=2 held=2 sold=0 rev=2",
    );
}

#[test]
fn a_drop_with_a_mismatch_stays_paused_until_it_is_gone_and_an_operator_resumes_it() {
    check(
        "0 create -> ok D1
         1 mismatch D1 -> ok D1
         1 mismatch D1 -> repeated D1
         1 order D1 -> paused
         2 resume D1 -> mismatch_stands paused
         3 mismatch D1 stands=false -> ok D1
         3 order D1 -> paused
         4 resume D1 -> ok D1
         4 order D1 -> reserved O1 until=120004",
    );
}

#[test]
fn payments_by_hand_must_be_what_the_order_costs() {
    check(
        "0 create price=250 limit=9 -> ok D1
         0 order D1 qty=2 -> reserved O1 until=120000
         1 paid O1 amount=499 -> invalid payment_differs=500EUR
         1 paid O1 amount=500 currency=USD -> invalid payment_differs=500EUR
         1 paid O1 amount=500 -> ok O1
         1 show O1 -> paid returned=0 amount=500 until=120000",
    );
}

#[test]
fn refunds_in_parts_never_exceed_what_came_in() {
    check(
        "0 create price=100 total=3 limit=9 -> ok D1
         0 order D1 qty=3 -> reserved O1 until=120000
         0 paid O1 amount=300 -> ok O1
         1 refund O1 amount=301 key=a -> invalid refund_remaining=300
         1 refund O1 amount=0 key=a -> invalid refund_remaining=300
         1 refund O1 amount=100 restock=4 key=a -> invalid restock_sold=3
         1 refund O1 amount=100 restock=1 key=a -> ok O1
         1 show O1 -> paid returned=1 amount=300 until=120000
         1 show D1 -> live total=3 held=0 sold=2 rev=1
         2 refund O1 amount=100 restock=1 key=a -> repeated O1
         2 refund O1 amount=100 restock=2 key=a -> key_reused
         3 refund O1 amount=201 key=b -> invalid refund_remaining=200
         3 refund O1 restock=3 key=b -> invalid restock_sold=2
         3 refund O1 key=b -> ok O1
         3 show O1 -> refunded returned=1 amount=300 until=120000
         3 show D1 -> live total=3 held=0 sold=2 rev=1",
    );
}

#[test]
fn an_order_that_cost_nothing_can_be_refunded_and_its_units_come_back() {
    check(
        "0 create price=0 -> ok D1
         0 order D1 -> reserved O1 until=120000
         0 paid O1 amount=0 -> ok O1
         1 refund O1 restock=1 -> ok O1
         1 show O1 -> refunded returned=1 amount=0 until=120000",
    );
}

#[test]
fn a_creation_is_repeated_by_its_key_and_refused_with_other_parameters() {
    check(
        "0 create total=5 key=a -> ok D1
         1 create total=5 key=a -> repeated D1
         1 create total=6 key=a -> key_reused
         1 create total=5 key=b -> ok D2
         86400000 create total=5 key=a -> ok D3",
    );
}

#[test]
fn a_key_takes_no_stock_twice_until_24_hours_after_its_order_ended() {
    // The order lapses at 2000; a day later its key is forgotten.
    check(
        "0 create total=9 limit=9 reserve=2 -> ok D1
         0 order D1 key=a -> reserved O1 until=2000
         1999 order D1 key=a -> repeated O1
         2000 order D1 key=a -> repeated O1
         86401999 order D1 key=a -> repeated O1
         86402000 order D1 key=a -> reserved O2 until=86404000",
    );
}

#[test]
fn a_live_orders_key_is_remembered_however_long_it_lives() {
    check(
        "0 create total=9 limit=9 reserve=200000 -> ok D1
         0 order D1 key=a -> reserved O1 until=200000000
         199999999 order D1 key=a -> repeated O1",
    );
}

#[test]
fn beyond_the_bound_the_oldest_ended_orders_key_goes_first() {
    check_with_keys(
        2,
        "0 create total=9 limit=9 -> ok D1
         0 order D1 key=a -> reserved O1 until=120000
         0 order D1 key=b -> reserved O2 until=120000
         0 order D1 key=c -> reserved O3 until=120000
         1 order D1 key=a -> repeated O1
         1 order D1 key=b -> repeated O2
         1 order D1 key=c -> repeated O3
         2 cancel O2 -> ok O2
         3 order D1 key=c -> repeated O3
         3 order D1 key=b -> reserved O4 until=120003",
    );
}

#[test]
fn buyers_and_drops_do_not_share_keys() {
    check(
        "0 create total=9 key=a -> ok D1
         0 create total=9 key=b -> ok D2
         0 order D1 buyer=A key=k -> reserved O1 until=120000
         0 order D1 buyer=B key=k -> reserved O2 until=120000
         0 order D2 buyer=A key=k -> reserved O3 until=120000",
    );
}

#[test]
fn time_never_goes_back() {
    check(
        "1000 create reserve=2 limit=9 -> ok D1
         2000 order D1 key=a -> reserved O1 until=4000
         1000 order D1 key=b -> reserved O2 until=4000",
    );
}

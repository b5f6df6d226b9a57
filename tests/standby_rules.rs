//! Every rule of standby as tables (`rules` has their language): `standby` joins the line, `orstand` orders or joins, `line`
//! shows who waits.

mod rules;

use rules::check;

#[test]
fn a_unit_that_comes_back_is_the_first_in_lines_before_any_new_buyer_is_decided() {
    check(
        "0 create total=1 limit=1 -> ok D1
         0 order D1 buyer=A -> reserved O1 until=120000
         1 order D1 buyer=B -> sold_out free=0 held=1 next=120000
         2 standby D1 buyer=B -> waits 1/1 qty=1
         3 standby D1 buyer=C -> waits 2/2 qty=1
         4 order D1 buyer=D -> sold_out free=0 held=1 next=120000 standby=2
         5 line D1 -> B1 C1
         6 cancel O1 -> ok O1
         6 order D1 buyer=D -> sold_out free=0 held=1 next=120006 standby=1
         6 whose O2 -> B
         6 show O2 -> reserved returned=0 amount=100 until=120006
         120006 order D1 buyer=D -> sold_out free=0 held=1 next=240006
         120006 whose O3 -> C
         120006 line D1 -> -",
    );
}

#[test]
fn units_come_back_by_expiry_cancellation_refund_and_added_stock() {
    check(
        "0 create total=4 limit=1 -> ok D1
         0 order D1 buyer=A -> reserved O1 until=120000
         0 order D1 buyer=B -> reserved O2 until=120000
         0 order D1 buyer=C -> reserved O3 until=120000
         0 order D1 buyer=D -> reserved O4 until=120000
         1 paid O1 -> ok O1
         1 standby D1 buyer=E -> waits 1/1 qty=1
         1 standby D1 buyer=F -> waits 2/2 qty=1
         1 standby D1 buyer=G -> waits 3/3 qty=1
         1 standby D1 buyer=H -> waits 4/4 qty=1
         1 standby D1 buyer=I -> waits 5/5 qty=1
         2 refund O1 -> ok O1
         2 line D1 -> E1 F1 G1 H1 I1
         3 standby D1 buyer=A key=b -> limit_reached limit=1 used=1
         4 withdraw O2 -> ok O2
         4 whose O5 -> E
         5 cancel O3 -> ok O3
         5 whose O6 -> F
         6 stock D1 delta=1 total=4 -> ok D1
         6 whose O7 -> G
         120000 whose O8 -> H
         120000 line D1 -> I1",
    );
    check(
        "0 create total=1 limit=1 -> ok D1
         0 order D1 buyer=A -> reserved O1 until=120000
         1 paid O1 -> ok O1
         2 standby D1 buyer=B -> waits 1/1 qty=1
         3 refund O1 restock=1 -> ok O1
         3 whose O2 -> B",
    );
}

#[test]
fn a_larger_wish_is_passed_over_only_by_smaller_ones_that_fit() {
    check(
        "0 create total=3 limit=3 -> ok D1
         0 order D1 buyer=A qty=1 -> reserved O1 until=120000
         0 order D1 buyer=B qty=2 -> reserved O2 until=120000
         1 standby D1 buyer=C qty=2 -> waits 1/1 qty=2
         1 standby D1 buyer=D qty=1 -> waits 2/2 qty=1
         1 standby D1 buyer=E qty=1 -> waits 3/3 qty=1
         2 cancel O1 -> ok O1
         2 whose O3 -> D
         2 line D1 -> C2 E1
         3 cancel O2 -> ok O2
         3 whose O4 -> C
         3 line D1 -> E1
         4 cancel O3 -> ok O3
         4 whose O5 -> E",
    );
}

#[test]
fn a_buyer_stands_by_once_and_a_repeat_is_the_place_or_the_order_that_it_became() {
    check(
        "0 create total=1 limit=2 -> ok D1
         0 standby D9 buyer=B -> not_found
         0 order D1 buyer=A -> reserved O1 until=120000
         1 standby D1 buyer=B key=x -> waits 1/1 qty=1
         2 standby D1 buyer=B key=x -> still waits 1/1 qty=1
         2 standby D1 buyer=B key=x qty=2 -> key_reused
         2 standby D1 buyer=B key=y qty=2 -> still waits 1/1 qty=1
         2 order D1 buyer=B key=x -> still waits 1/1 qty=1
         3 cancel O1 -> ok O1
         3 standby D1 buyer=B key=x -> repeated O2
         3 standby D1 buyer=B key=x qty=2 -> key_reused
         4 standby D1 buyer=B key=z -> waits 1/1 qty=1
         5 leave D1 buyer=B -> ok D1
         5 leave D1 buyer=B -> not_found
         6 standby D1 buyer=B key=z -> waits 1/1 qty=1",
    );
}

#[test]
fn refusals_come_in_the_order_of_an_orders() {
    check(
        "0 create total=1 limit=1 starts=10 ends=300 cap_email=1 -> ok D1
         0 standby D1 buyer=B -> not_started at=10
         10 order D1 buyer=A email=a -> reserved O1 until=120010
         10 standby D1 buyer=B -> invalid missing=email
         10 standby D1 buyer=B email=a -> identity_limit_reached email limit=1
         10 standby D1 buyer=A email=b key=b -> limit_reached limit=1 used=1
         10 standby D1 buyer=B email=b -> waits 1/1 qty=1
         11 pause D1 -> ok D1
         11 standby D1 buyer=C email=c -> paused
         300 standby D1 buyer=C email=c -> ended at=300
         300 leave D1 buyer=B -> ended at=300",
    );
}

#[test]
fn an_order_that_may_stand_by_joins_only_where_too_few_units_are_free() {
    check(
        "0 create total=2 limit=2 -> ok D1
         0 orstand D1 buyer=A -> reserved O1 until=120000
         0 orstand D1 buyer=B qty=2 -> waits 1/1 qty=2
         0 line D1 -> B2
         1 orstand D1 buyer=C -> reserved O2 until=120001
         2 cancel O1 -> ok O1
         2 line D1 -> B2
         3 cancel O2 -> ok O2
         3 whose O3 -> B",
    );
}

#[test]
fn a_line_that_is_joined_with_units_free_is_served_at_once() {
    check(
        "0 create total=1 limit=1 -> ok D1
         0 standby D1 buyer=B -> waits 1/1 qty=1
         0 order D1 buyer=C -> sold_out free=0 held=1 next=120000
         0 whose O1 -> B",
    );
}

#[test]
fn a_buyer_whom_a_limit_leaves_no_room_by_then_leaves_and_the_next_is_served() {
    check(
        "0 create total=2 limit=2 -> ok D1
         0 order D1 buyer=A qty=2 -> reserved O1 until=120000
         1 standby D1 buyer=B qty=2 -> waits 1/1 qty=2
         1 standby D1 buyer=C -> waits 2/2 qty=1
         2 patch D1 limit=1 rev=1 -> ok D1
         3 cancel O1 -> ok O1
         3 whose O2 -> C
         3 line D1 -> -
         3 show D1 -> live total=2 held=1 sold=0 rev=2
         4 find D1 buyer=B -> repeated left
         4 find D1 buyer=C -> repeated O2
         5 patch D1 limit=2 rev=2 -> ok D1
         5 standby D1 buyer=B key=z qty=2 -> waits 1/1 qty=2
         5 find D1 buyer=B -> still waits 1/1 qty=2
         6 leave D1 buyer=B -> ok D1
         6 find D1 buyer=B -> not_found",
    );
}

#[test]
fn a_paused_drop_offers_nothing_until_it_is_resumed_and_an_ended_one_never() {
    check(
        "0 create total=1 limit=1 ends=200000 -> ok D1
         0 order D1 buyer=A -> reserved O1 until=120000
         1 standby D1 buyer=B -> waits 1/1 qty=1
         1 standby D1 buyer=C -> waits 2/2 qty=1
         2 pause D1 -> ok D1
         3 cancel O1 -> ok O1
         4 line D1 -> B1 C1
         5 resume D1 -> ok D1
         5 whose O2 -> B
         6 leave D1 buyer=B -> not_found
         7 close D1 -> ok D1
         7 line D1 -> -
         8 cancel O2 -> ok O2
         8 show D1 -> ended total=1 held=0 sold=0 rev=4",
    );
}

#[test]
fn at_one_instant_a_unit_is_offered_before_the_drop_ends() {
    check(
        "0 create total=1 limit=1 ends=120000 -> ok D1
         0 order D1 buyer=A -> reserved O1 until=120000
         1 standby D1 buyer=B -> waits 1/1 qty=1
         120000 whose O2 -> B
         120000 show D1 -> ended total=1 held=1 sold=0 rev=1",
    );
}

#[test]
fn a_late_payment_takes_no_unit_that_the_line_was_given() {
    check(
        "0 create total=1 limit=1 -> ok D1
         0 order D1 buyer=A contact=true -> awaiting_payment O1 until=900000
         1 standby D1 buyer=B -> waits 1/1 qty=1
         900000 hear O1 id=late -> applied
         900000 whose O2 -> B
         900000 money O1 -> refund_due received=100 refunded=0 due=100 kept=0",
    );
}

#[test]
fn a_stop_of_the_server_is_no_time_to_check_out() {
    check(
        "0 create total=1 limit=1 -> ok D1
         0 order D1 buyer=A -> reserved O1 until=120000
         1 standby D1 buyer=B -> waits 1/1 qty=1
         2 stopped until=500000 -> ok file
         500000 whose O2 -> B
         500000 show O2 -> reserved returned=0 amount=100 until=620000",
    );
}

#[test]
fn an_auctions_hidden_drop_has_no_line() {
    check(
        "0 auction -> ok A1
         1 standby D1 buyer=B -> not_found",
    );
}

#[test]
fn with_a_contact_the_order_awaits_its_payment_unless_it_costs_nothing() {
    check(
        "0 create total=1 limit=1 -> ok D1
         0 order D1 buyer=A -> reserved O1 until=120000
         1 standby D1 buyer=B contact=true -> waits 1/1 qty=1
         2 cancel O1 -> ok O1
         2 show O2 -> awaiting_payment returned=0 amount=100 until=900002
         3 paid O2 -> ok O2",
    );
    check(
        "0 create total=1 limit=1 price=0 -> ok D1
         0 order D1 buyer=A -> reserved O1 until=120000
         1 standby D1 buyer=B contact=true -> waits 1/1 qty=1
         2 cancel O1 -> ok O1
         2 show O2 -> reserved returned=0 amount=0 until=120002",
    );
}

#[test]
fn a_buyer_sees_the_place_in_the_line_and_the_order_that_came_of_it() {
    check(
        "0 create total=2 limit=1 -> ok D1
         0 order D1 buyer=A -> reserved O1 until=120000
         0 order D1 buyer=Z -> reserved O2 until=120000
         0 find D1 buyer=B -> not_found
         1 standby D1 buyer=B -> waits 1/1 qty=1
         1 standby D1 buyer=C -> waits 2/2 qty=1
         1 standby D1 buyer=E -> waits 3/3 qty=1
         2 find D1 buyer=E -> still waits 3/3 qty=1
         3 leave D1 buyer=C -> ok D1
         3 find D1 buyer=E -> still waits 2/2 qty=1
         3 find D1 buyer=C -> not_found
         4 cancel O1 -> ok O1
         4 find D1 buyer=B -> repeated O3
         4 find D1 buyer=E -> still waits 1/1 qty=1
         5 close D1 -> ok D1
         5 find D1 buyer=B -> not_found
         5 standby D1 buyer=B key=k -> repeated O3",
    );
}

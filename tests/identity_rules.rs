//! The rules of caps on identities as tables (`rules` has their language).

mod rules;

use rules::check;

#[test]
fn caps_count_units_of_every_buyer_with_the_same_identity_and_other_identities_have_their_own() {
    check(
        "0 create total=50 limit=9 cap_email=3 -> ok D1
         0 order D1 buyer=A key=a email=x qty=2 -> reserved O1 until=120000
         0 order D1 buyer=B key=a email=x qty=2 -> identity_limit_reached email limit=3
         0 order D1 buyer=B key=b email=x -> reserved O2 until=120000
         0 order D1 buyer=C key=a email=x -> identity_limit_reached email limit=3
         0 order D1 buyer=C key=b email=y qty=3 -> reserved O3 until=120000
         0 order D1 buyer=A key=a email=x qty=2 -> repeated O1
         0 order D1 buyer=A key=a email=z qty=2 -> repeated O1",
    );
}

#[test]
fn the_first_cap_without_room_is_named_and_the_refusals_keep_their_order() {
    check(
        "0 create total=4 limit=3 cap_email=2 cap_phone=2 cap_payment=2 cap_address=2 starts=10 -> ok D1
         5 order D1 email=e -> not_started at=10
         10 pause D1 -> ok D1
         10 order D1 email=e -> paused
         10 resume D1 -> ok D1
         10 order D1 -> invalid missing=email
         10 order D1 email=e -> invalid missing=phone
         10 order D1 email=e phone=p -> invalid missing=payment
         10 order D1 email=e phone=p payment=c -> invalid missing=address
         10 order D1 email=e phone=p payment=c address=a qty=4 -> limit_reached limit=3 used=0
         10 order D1 email=e phone=p payment=c address=a qty=3 -> identity_limit_reached email limit=2
         10 order D1 email=e phone=p payment=c address=a qty=2 -> reserved O1 until=120010
         10 order D1 buyer=B email=f phone=p payment=c address=a -> identity_limit_reached phone limit=2
         10 order D1 buyer=B email=f phone=q payment=c address=a -> identity_limit_reached payment limit=2
         10 order D1 buyer=B email=f phone=q payment=d address=a -> identity_limit_reached address limit=2
         10 order D1 buyer=B email=f phone=q payment=d address=b qty=2 -> reserved O2 until=120010
         10 order D1 buyer=C email=e phone=r payment=g address=g -> identity_limit_reached email limit=2
         10 order D1 buyer=C email=h phone=r payment=g address=g -> sold_out free=0 held=4 next=120010",
    );
}

#[test]
fn units_that_come_back_are_given_back_to_their_identities_exactly_once() {
    // By expiry, cancel of the buyer and of an operator, and a refund that restocks.
    check(
        "0 create total=50 limit=9 cap_email=2 reserve=10 -> ok D1
         0 order D1 buyer=A key=a email=x qty=2 -> reserved O1 until=10000
         9999 order D1 buyer=B key=a email=x -> identity_limit_reached email limit=2
         10000 order D1 buyer=B key=a email=x qty=2 -> reserved O2 until=20000
         10000 cancel O2 -> ok O2
         10001 cancel O2 -> repeated O2
         10001 order D1 buyer=C key=a email=x qty=3 -> identity_limit_reached email limit=2
         10001 order D1 buyer=C key=a email=x qty=2 -> reserved O3 until=20001
         10002 paid O3 amount=200 -> ok O3
         30000 order D1 buyer=D key=a email=x -> identity_limit_reached email limit=2
         30000 refund O3 amount=100 key=r restock=1 -> ok O3
         30001 order D1 buyer=D key=a email=x -> reserved O4 until=40001
         30001 order D1 buyer=E key=a email=x -> identity_limit_reached email limit=2
         30002 refund O3 amount=100 key=s -> ok O3
         30002 order D1 buyer=E key=a email=x -> identity_limit_reached email limit=2",
    );
}

#[test]
fn a_late_payment_takes_units_again_only_as_far_as_the_caps_leave_room() {
    check(
        "0 create total=50 limit=9 cap_email=2 reserve=10 -> ok D1
         0 order D1 buyer=A key=a email=x -> reserved O1 until=10000
         0 order D1 buyer=B key=a email=x -> reserved O2 until=10000
         10000 order D1 buyer=C key=a email=x -> reserved O3 until=20000
         10001 hear O1 id=e1 ref=P1 -> applied
         10001 order D1 buyer=D key=a email=x -> identity_limit_reached email limit=2
         10002 hear O2 id=e2 ref=P2 -> applied
         10003 money O1 -> paid received=100 refunded=0 due=0 kept=100
         10003 money O2 -> refund_due received=100 refunded=0 due=100 kept=0",
    );
}

#[test]
fn changed_caps_hold_for_orders_to_come_and_count_the_orders_before_that_have_the_identity() {
    check(
        "0 create total=50 limit=9 cap_email=5 -> ok D1
         0 order D1 buyer=A key=a email=x qty=4 -> reserved O1 until=120000
         1 patch D1 rev=1 cap_email=2 cap_phone=1 -> ok D1
         1 order D1 buyer=B key=a email=x phone=p -> identity_limit_reached email limit=2
         1 order D1 buyer=B key=a email=y -> invalid missing=phone
         1 order D1 buyer=B key=a email=y phone=p -> reserved O2 until=120001
         2 patch D1 rev=2 caps=none -> ok D1
         2 order D1 buyer=C key=a qty=3 -> reserved O3 until=120002
         3 patch D1 rev=3 cap_email=5 -> ok D1
         3 order D1 buyer=D key=a email=x qty=2 -> identity_limit_reached email limit=5
         3 order D1 buyer=D key=a email=x -> reserved O4 until=120003",
    );
}

#[test]
fn a_drop_without_caps_takes_orders_with_and_without_identities_and_another_drop_counts_for_itself() {
    check(
        "0 create total=50 limit=9 key=c1 -> ok D1
         0 create total=50 limit=9 cap_email=1 key=c2 -> ok D2
         0 order D1 buyer=A key=a qty=9 -> reserved O1 until=120000
         0 order D2 buyer=A key=a email=x -> reserved O2 until=120000
         0 order D2 buyer=B key=a email=x -> identity_limit_reached email limit=1",
    );
}

#[test]
fn a_cap_that_comes_while_buyers_wait_leaves_their_places_in_the_line() {
    check(
        "0 create total=1 limit=9 -> ok D1
         0 order D1 buyer=A -> reserved O1 until=120000
         1 standby D1 buyer=B -> waits 1/1 qty=1
         2 standby D1 buyer=C -> waits 2/2 qty=1
         3 patch D1 rev=1 cap_email=1 -> ok D1
         4 cancel O1 -> ok O1
         4 whose O2 -> B
         4 line D1 -> C1",
    );
}

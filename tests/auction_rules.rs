//! Every rule of auctions as tables (`rules` has their language): at A1, `at` is the price, `next` the least next bid.

mod rules;

use rules::check;

#[test]
fn a_bid_holds_against_the_price_and_its_increment() {
    check(
        "0 auction start=100 steps=0:10,200:50 -> ok A1
         1 bid A9 -> not_found
         1 bid A1 buyer=A amount=99 -> too_low at=0 next=100
         2 bid A1 buyer=A amount=100 -> leads at=100 next=110 until=1000
         3 bid A1 buyer=B amount=109 -> too_low at=100 next=110
         4 bid A1 buyer=B amount=110 -> leads at=110 next=120 until=1000
         5 bid A1 buyer=A amount=110 -> too_low at=110 next=120
         6 bid A1 buyer=A amount=200 -> leads at=200 next=250 until=1000
         7 bid A1 buyer=B amount=249 -> too_low at=200 next=250
         8 bid A1 buyer=B amount=100000000000 -> leads at=100000000000 next=100000000000 until=1000
         9 bid A1 buyer=A amount=100000000000 -> too_low at=100000000000 next=100000000000
         9 show A1 -> live leader=B at=100000000000 bids=4 until=1000",
    );
}

#[test]
fn bids_are_taken_from_the_start_to_before_the_end() {
    check(
        "0 auction starts=100 ends=200 -> ok A1
         99 bid A1 -> not_started at=100
         99 show A1 -> scheduled leader=- at=0 bids=0 until=200
         100 bid A1 -> leads at=100 next=110 until=200
         199 bid A1 buyer=B amount=110 -> leads at=110 next=120 until=200
         200 bid A1 buyer=C amount=120 -> ended at=200
         200 show A1 -> sold leader=B at=110 bids=2 until=200
         200 auction starts=300 ends=300 key=a -> invalid end_before_start
         200 auction starts=100 ends=200 key=b -> invalid end_in_the_past",
    );
}

#[test]
fn an_offer_within_a_stop_has_its_time_to_pay_from_the_end_of_the_stop() {
    check(
        "0 auction -> ok A1
         1 bid A1 buyer=A amount=100 max=200 -> leads at=100 next=110 until=1000
         2 bid A1 buyer=B amount=110 max=190 -> beaten at=200 next=210 until=1000
         3 stopped until=50000 -> ok file
         1000 show O1 -> awaiting_payment returned=0 amount=200 until=950000
         1001 cancel O1 -> ok O1
         1001 show O2 -> awaiting_payment returned=0 amount=190 until=950000
         950000 show O2 -> expired returned=1 amount=190 until=950000",
    );
}

#[test]
fn both_secret_maxima_are_resolved_in_one_step() {
    check(
        "0 auction -> ok A1
         1 bid A1 buyer=A amount=100 max=200 -> leads at=100 next=110 until=1000
         2 bid A1 buyer=B amount=120 -> beaten at=130 next=140 until=1000
         3 bid A1 buyer=B amount=140 max=170 -> beaten at=180 next=190 until=1000
         4 bid A1 buyer=C amount=190 max=500 -> leads at=210 next=220 until=1000
         5 bid A1 buyer=A amount=220 max=495 -> beaten at=500 next=510 until=1000
         6 bid A1 buyer=A amount=510 -> leads at=510 next=520 until=1000
         7 show A1 -> live leader=A at=510 bids=6 until=1000",
    );
}

#[test]
fn a_winner_pays_no_more_than_an_increment_above_the_next_and_no_more_than_they_said() {
    check(
        "0 auction -> ok A1
         1 bid A1 buyer=A amount=100 max=200 -> leads at=100 next=110 until=1000
         2 bid A1 buyer=B amount=110 max=205 -> leads at=205 next=215 until=1000
         1000 show O1 -> awaiting_payment returned=0 amount=205 until=901000
         1000 whose O1 -> B",
    );
}

#[test]
fn the_earlier_of_two_equal_bids_wins() {
    check(
        "0 auction -> ok A1
         1 bid A1 buyer=A amount=100 -> leads at=100 next=110 until=1000
         1 bid A1 buyer=B amount=100 -> too_low at=100 next=110
         2 bid A1 buyer=B amount=110 max=300 -> leads at=110 next=120 until=1000
         3 bid A1 buyer=A amount=120 max=300 -> beaten at=300 next=310 until=1000
         1000 whose O1 -> B
         1000 show O1 -> awaiting_payment returned=0 amount=300 until=901000",
    );
}

#[test]
fn a_leader_who_asks_more_pays_more_and_a_maximum_never_bids_against_itself() {
    check(
        "0 auction -> ok A1
         1 bid A1 buyer=A amount=100 -> leads at=100 next=110 until=1000
         2 bid A1 buyer=A amount=100 max=400 -> leads at=100 next=110 until=1000
         3 bid A1 buyer=A amount=105 max=500 -> too_low at=100 next=110
         4 bid A1 buyer=A amount=150 max=500 -> leads at=150 next=160 until=1000
         5 show A1 -> live leader=A at=150 bids=3 until=1000",
    );
}

#[test]
fn what_a_leader_promised_to_pay_stands_although_they_ask_less_later() {
    check(
        "0 auction -> ok A1
         1 bid A1 buyer=A amount=100 max=400 -> leads at=100 next=110 until=1000
         2 bid A1 buyer=A amount=150 -> leads at=150 next=160 until=1000
         3 bid A1 buyer=B amount=200 max=300 -> beaten at=310 next=320 until=1000
         1000 whose O1 -> A
         1000 show O1 -> awaiting_payment returned=0 amount=310 until=901000",
    );
}

#[test]
fn ones_own_standing_bid_is_accepted_again_with_its_first_number() {
    check(
        "0 auction -> ok A1
         1 bid A1 buyer=A amount=100 max=200 key=a -> leads at=100 next=110 until=1000
         2 bid A1 buyer=A amount=100 -> again leads at=100 next=110 until=1000
         3 bid A1 buyer=A amount=100 max=200 key=b -> again leads at=100 next=110 until=1000
         4 bid A1 buyer=B amount=110 -> beaten at=120 next=130 until=1000
         5 bid A1 buyer=A amount=100 max=150 -> again leads at=120 next=130 until=1000
         6 bid A1 buyer=A amount=100 max=200 key=a -> repeated A1.2
         6 bid A1 buyer=A amount=130 key=a -> key_reused
         7 bid A1 buyer=B amount=110 -> too_low at=120 next=130
         8 show A1 -> live leader=A at=120 bids=2 until=1000",
    );
}

#[test]
fn a_late_bid_moves_the_end_as_often_as_it_may() {
    check(
        "0 auction ends=100000 soft=10 extensions=2 -> ok A1
         89999 bid A1 buyer=A amount=100 -> leads at=100 next=110 until=100000
         95000 bid A1 buyer=B amount=110 -> leads at=110 next=120 until=105000
         95000 bid A1 buyer=A amount=111 -> too_low at=110 next=120
         104000 bid A1 buyer=A amount=120 -> leads at=120 next=130 until=114000
         113000 bid A1 buyer=B amount=130 -> leads at=130 next=140 until=114000
         114000 bid A1 buyer=A amount=140 -> ended at=114000
         114000 whose O1 -> B",
    );
}

#[test]
fn the_end_never_moves_beyond_the_hard_end() {
    check(
        "0 auction ends=100000 soft=10 hard=107000 -> ok A1
         95000 bid A1 buyer=A amount=100 -> leads at=100 next=110 until=105000
         99000 bid A1 buyer=B amount=110 -> leads at=110 next=120 until=107000
         106999 bid A1 buyer=A amount=120 -> leads at=120 next=130 until=107000
         107000 bid A1 buyer=B amount=130 -> ended at=107000",
    );
}

#[test]
fn it_can_be_bought_at_once_until_the_first_bid() {
    check(
        "0 auction now=500 starts=10 key=a -> ok A1
         9 buy A1 -> not_started at=10
         10 buy A1 buyer=A -> reserved O1 until=900010
         11 buy A1 buyer=A -> repeated O1
         11 buy A1 buyer=B -> ended at=10
         11 bid A1 buyer=B -> ended at=10
         12 show A1 -> bought_now leader=- at=0 bids=0 until=10
         12 show O1 -> reserved returned=0 amount=500 until=900010
         20 auction now=500 key=b -> ok A2
         21 bid A2 buyer=A -> leads at=100 next=110 until=1000
         22 buy A2 buyer=B -> too_low at=100 next=110
         30 auction key=c -> ok A3
         31 buy A3 -> not_found
         31 buy A9 -> not_found",
    );
}

#[test]
fn a_reserve_price_that_is_not_met_sells_nothing_and_a_maximum_above_it_meets_it() {
    check(
        "0 auction reserve=500 key=a -> ok A1
         1 bid A1 buyer=A amount=100 max=499 -> leads at=100 next=110 until=1000
         1000 show A1 -> reserve_not_met leader=A at=100 bids=1 until=1000
         1000 show D1 -> live total=1 held=0 sold=0 rev=1
         1000 auction reserve=500 ends=2000 key=b -> ok A2
         1001 bid A2 buyer=A amount=100 max=600 -> leads at=500 next=510 until=2000
         2000 show A2 -> sold leader=A at=500 bids=1 until=2000
         2000 show O1 -> awaiting_payment returned=0 amount=500 until=902000
         2000 auction ends=3000 key=c -> ok A3
         3000 show A3 -> no_bids leader=- at=0 bids=0 until=3000",
    );
}

#[test]
fn the_winner_gets_an_order_that_awaits_payment() {
    check(
        "0 auction pay=60 -> ok A1
         1 bid A1 buyer=A amount=100 -> leads at=100 next=110 until=1000
         999 show D1 -> live total=1 held=0 sold=0 rev=1
         1000 show D1 -> sold_out total=1 held=1 sold=0 rev=1
         1000 whose O1 -> A
         1000 show O1 -> awaiting_payment returned=0 amount=100 until=61000
         2000 paid O1 amount=100 -> ok O1
         61000 show D1 -> sold_out total=1 held=0 sold=1 rev=1
         61000 show O1 -> paid returned=0 amount=100 until=61000",
    );
}

#[test]
fn what_is_not_paid_is_offered_to_the_next_buyer_for_what_they_bid() {
    check(
        "0 auction pay=60 reserve=110 -> ok A1
         1 bid A1 buyer=C amount=100 -> leads at=100 next=110 until=1000
         2 bid A1 buyer=B amount=110 max=150 -> leads at=110 next=120 until=1000
         3 bid A1 buyer=A amount=120 max=300 -> leads at=160 next=170 until=1000
         1000 show O1 -> awaiting_payment returned=0 amount=160 until=61000
         61000 show O1 -> expired returned=1 amount=160 until=61000
         61000 whose O2 -> B
         61000 show O2 -> awaiting_payment returned=0 amount=150 until=121000
         70000 cancel O2 -> ok O2
         70000 show D1 -> live total=1 held=0 sold=0 rev=1",
    );
}

#[test]
fn where_the_next_buyer_is_not_asked_an_unpaid_winner_leaves_it_unsold() {
    check(
        "0 auction pay=60 next=false -> ok A1
         1 bid A1 buyer=B amount=100 -> leads at=100 next=110 until=1000
         2 bid A1 buyer=A amount=110 -> leads at=110 next=120 until=1000
         61000 show O1 -> expired returned=1 amount=110 until=61000
         61000 show D1 -> live total=1 held=0 sold=0 rev=1",
    );
}

#[test]
fn a_buyer_leads_for_no_more_than_they_may_stand_for() {
    check(
        "0 auction exposure=500 key=a -> ok A1
         0 auction exposure=500 key=b -> ok A2
         0 auction exposure=500 currency=USD key=c -> ok A3
         1 bid A1 buyer=A amount=100 max=300 -> leads at=100 next=110 until=1000
         2 bid A2 buyer=A amount=100 max=201 -> exposed limit=500 used=300
         3 bid A2 buyer=A amount=100 max=200 -> leads at=100 next=110 until=1000
         4 bid A3 buyer=A amount=100 max=500 -> leads at=100 next=110 until=1000
         5 bid A1 buyer=A amount=110 max=301 -> exposed limit=500 used=200
         6 bid A1 buyer=B amount=400 -> leads at=400 next=410 until=1000
         7 bid A2 buyer=A amount=110 max=500 -> leads at=110 next=120 until=1000",
    );
}

#[test]
fn an_operator_calls_an_auction_off_while_it_is_not_over() {
    check(
        "0 auction key=a -> ok A1
         1 bid A1 buyer=A amount=100 -> leads at=100 next=110 until=1000
         2 cancel_auction A9 -> not_found
         3 cancel_auction A1 -> ok A1
         4 cancel_auction A1 -> repeated A1
         5 bid A1 buyer=B amount=110 -> ended at=3
         1000 show A1 -> cancelled leader=A at=100 bids=1 until=3
         1000 show D1 -> live total=1 held=0 sold=0 rev=1
         1000 auction ends=2000 key=b -> ok A2
         2000 cancel_auction A2 -> ended at=2000",
    );
}

#[test]
fn the_hidden_drop_takes_no_orders() {
    check(
        "0 auction -> ok A1
         1 order D1 -> not_found
         2 auction -> repeated A1
         3 auction start=101 -> key_reused",
    );
}

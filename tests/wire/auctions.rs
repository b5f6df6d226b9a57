//! Bids over the wire, and who hears of them.

use std::time::Duration;

use firstcome::engine::{AuctionCommand, AuctionSpec, Command, CommandKey, CreateAuction, Effect, Outcome, Subject};
use firstcome::types::{Amount, AuctionId, Currency, Digest, Increment, UnitPrice};
use firstcome::wire::messages::{Bid, BidResult, Request, Update};
use firstcome::writer::{Class, Submission, WriterReply};

use super::http::until;
use super::peer::{Peer, Said, Site, bytes, ping, pong};

fn price(minor: u64) -> UnitPrice {
    UnitPrice::new(minor).expect("a price")
}

/// A running auction from 1,000 in steps of 100, for an hour from now.
pub(crate) fn auction(site: &Site, number: u8, change: impl FnOnce(&mut AuctionSpec)) -> AuctionId {
    let now = site.server.0.writer.clock.now();
    let mut spec = AuctionSpec {
        sku: "A".into(),
        name: "N".into(),
        currency: Currency::new("EUR").expect("a currency"),
        start_price: price(1000),
        reserve_price: None,
        increments: [Increment { from: price(0), step: price(100) }].into(),
        buy_now: None,
        starts_at: now,
        ends_at: now.plus_seconds(3600),
        soft_close_seconds: 0,
        extensions_max: 0,
        hard_end_at: None,
        payment_seconds: 600,
        offer_next: false,
        exposure_limit: None,
    };
    change(&mut spec);
    let key = CommandKey { digest: Digest([number; 16]), params: Digest([0; 16]) };
    let command = Command::Auction(AuctionCommand::Create(CreateAuction { key, spec: Box::new(spec) }));
    let ticket = site.server.0.writer.submit(Submission { command, private_data: None, class: Class::Operator });
    let WriterReply::Decided(decided) = ticket.expect("room").wait() else { panic!("not decided") };
    let Outcome::Accepted(Effect::Changed { subject: Subject::Auction(id), .. }) = decided.outcome else {
        panic!("no auction: {:?}", decided.outcome)
    };
    id
}

pub(crate) fn bid(auction: AuctionId, user_id: u32, amount: u64) -> Request<'static> {
    Request::Bid(Bid { auction_id: auction.get(), user_id, amount })
}

fn subscribe(auction: AuctionId, from_seq: u64) -> Request<'static> {
    Request::Subscribe { auction_id: auction.get(), from_seq }
}

fn result(said: Said) -> BidResult {
    let Said::Result(result) = said else { panic!("no answer to a bid: {said:?}") };
    result
}

fn update(peer: &mut Peer) -> Update {
    match peer.hear() {
        Some(Said::Update(update)) => update,
        other => panic!("no update: {other:?}"),
    }
}

#[test]
fn bids_are_answered_with_what_they_made_of_the_price_or_why_not() {
    let site = Site::open(|_| {});
    let one = auction(&site, 1, |_| {});
    let mut peer = site.connect();
    let first = result(peer.ask(bid(one, 7, 1000)));
    assert_eq!((first.reason, first.current, first.minimum_next), (0, 1000, 1100));
    assert!(first.seq > 0 && first.ends_at_ms > 1_700_000_000_000);
    assert_eq!(result(peer.ask(bid(one, 7, 1000))), first, "one's own standing bid again, with its first event");
    let low = result(peer.ask(bid(one, 8, 1099)));
    assert_eq!((low.reason, low.current, low.minimum_next, low.ends_at_ms), (16, 1000, 1100, first.ends_at_ms));
    assert_eq!(low.seq, first.seq, "the last event that it saw");
    let second = result(peer.ask(bid(one, 8, 1100)));
    assert_eq!((second.reason, second.current), (0, 1100));
    assert!(second.seq > first.seq);
    let own = result(peer.ask(bid(one, 8, 5000)));
    assert_eq!((own.reason, own.current), (0, 5000), "who leads and asks more is held to it");
    let unknown = AuctionId::new(99).expect("not 0");
    let limited = auction(&site, 2, |spec| spec.exposure_limit = Amount::new(1500));
    let later = auction(&site, 3, |spec| spec.starts_at = spec.starts_at.plus_seconds(600));
    for (request, reason) in [
        (bid(unknown, 7, 9000), 7),
        (Request::Bid(Bid { auction_id: 0, user_id: 7, amount: 9000 }), 7),
        (bid(one, 0, 9000), 2),
        (bid(one, 7, u64::MAX), 2),
        (bid(limited, 7, 1600), 12),
        (bid(later, 7, 9000), 9),
    ] {
        assert_eq!(result(peer.ask(request)).reason, reason, "{request:?}");
        assert_eq!(peer.ask(ping("on")), pong("on"));
    }
    drop(peer);
    site.end();
}

#[test]
fn a_bid_at_the_instant_of_the_end_is_too_late_and_told_when_it_ended() {
    let site = Site::open(|_| {});
    let id = auction(&site, 1, |spec| spec.ends_at = spec.starts_at.plus_millis(300));
    let mut peer = site.connect();
    let mut told = result(peer.ask(bid(id, 7, 1000)));
    for amount in 1..10_000u64 {
        let next = result(peer.ask(bid(id, 7, 1000 + amount * 100)));
        if next.reason != 0 {
            assert_eq!((next.reason, next.ends_at_ms), (10, told.ends_at_ms));
            told = next;
            break;
        }
    }
    assert_eq!(told.reason, 10);
    assert_eq!(peer.ask(ping("on")), pong("on"));
    drop(peer);
    site.end();
}

#[test]
fn a_bid_cut_at_every_byte_changes_nothing_and_the_whole_one_does() {
    let site = Site::open(|_| {});
    let id = auction(&site, 1, |_| {});
    let whole = bytes(&[bid(id, 7, 1000)]);
    for end in 1..whole.len() {
        let mut peer = site.connect();
        peer.send_bytes(&whole[..end]).expect("sent");
        peer.close_its_half();
        assert_eq!(peer.hear_all().last().map(Said::no), Some(1), "cut at {end}");
    }
    let mut peer = site.connect();
    peer.send_bytes(&whole).expect("sent");
    let told = result(peer.hear().expect("an answer"));
    assert_eq!((told.reason, told.current), (0, 1000), "nobody has bid before");
    drop(peer);
    site.end();
}

#[test]
fn a_full_queue_is_an_answer_to_a_bid_and_what_was_acknowledged_stays() {
    // One place for buyers.
    let site = Site::open(|config| (config.queue_capacity, config.queue_reserve) = (16, 15));
    let id = auction(&site, 1, |_| {});
    let mut peer = site.connect();
    let (mut amount, mut highest, mut overloaded) = (1000, 0, 0);
    for _ in 0..200 {
        let amounts: Vec<u64> = (0..50).map(|n| amount + n * 100).collect();
        amount += 5000;
        peer.send(&amounts.iter().map(|amount| bid(id, 7, *amount)).collect::<Vec<_>>());
        for (said, amount) in peer.hear_many(50).into_iter().map(result).zip(amounts) {
            assert!([0, 21].contains(&said.reason), "{said:?}");
            overloaded += u64::from(said.reason == 21);
            highest = if said.reason == 0 { amount } else { highest };
        }
        if overloaded > 0 && highest > 0 {
            break;
        }
    }
    assert!(overloaded > 0);
    let price = site.server.public("GET", "/v1/auctions/1").body["current"].as_u64();
    assert_eq!(price, Some(highest), "who was turned away changed nothing");
    assert_eq!(peer.ask(ping("on")), pong("on"));
    drop(peer);
    site.end();
}

#[test]
fn many_who_bid_at_once_get_all_their_answers_and_the_highest_acknowledged_bid_is_the_price() {
    let site = Site::open(|_| {});
    let id = auction(&site, 1, |spec| spec.increments = [].into());
    let address = &site;
    let highest = std::thread::scope(|scope| {
        let bidders: Vec<_> = (1..=8u32)
            .map(|user| {
                scope.spawn(move || {
                    let mut peer = address.connect();
                    let bids: Vec<_> = (0..200u64).map(|n| bid(id, user, 1000 + n * 16 + u64::from(user))).collect();
                    peer.send(&bids);
                    let said = peer.hear_many(200).into_iter().map(result);
                    let mut accepted = Vec::new();
                    for (n, said) in (0..).zip(said) {
                        assert!(said.reason == 0 || said.reason == 16, "{said:?}");
                        if said.reason == 0 {
                            accepted.push(1000 + n * 16 + u64::from(user));
                        }
                    }
                    accepted.into_iter().max().unwrap_or(0)
                })
            })
            .collect();
        bidders.into_iter().map(|bidder| bidder.join().expect("a bidder")).max()
    });
    let mut peer = site.connect();
    let told = result(peer.ask(bid(id, 9, 1)));
    assert_eq!((told.reason, Some(told.current)), (16, highest));
    drop(peer);
    site.end();
}

#[test]
fn who_subscribes_hears_the_latest_state_if_it_is_news_and_then_each_change() {
    let site = Site::open(|_| {});
    let id = auction(&site, 1, |_| {});
    let mut bidder = site.connect();
    let first = result(bidder.ask(bid(id, 7, 1000)));
    let mut peer = site.connect();
    assert_eq!(peer.ask(subscribe(id, 0)), Said::Ok(first.seq));
    let Update { auction_id, seq, current, user_id, ends_at_ms } = update(&mut peer);
    assert_eq!((auction_id, seq, current, user_id, ends_at_ms), (id.get(), first.seq, 1000, 7, first.ends_at_ms));
    let mut informed = site.connect();
    informed.send(&[subscribe(id, first.seq), ping("then")]);
    assert_eq!(informed.hear_many(2), [Said::Ok(first.seq), pong("then")], "nothing new, no update");
    let second = result(bidder.ask(bid(id, 8, 1200)));
    for peer in [&mut peer, &mut informed] {
        let told = update(peer);
        assert_eq!((told.seq, told.current, told.user_id), (second.seq, 1200, 8));
    }
    let refused = result(bidder.ask(bid(id, 9, 1201)));
    assert_eq!(refused.reason, 16);
    assert_eq!(peer.ask(ping("quiet")), pong("quiet"), "a refusal changes nothing");
    drop((peer, informed, bidder));
    site.end();
}

#[test]
fn who_has_seen_what_is_still_to_come_hears_the_latest_state_at_once() {
    let site = Site::open(|_| {});
    let id = auction(&site, 1, |_| {});
    let mut bidder = site.connect();
    let first = result(bidder.ask(bid(id, 7, 1000)));
    // The last event of the file is known; every higher number is of no event.
    for from_seq in [first.seq + 1, first.seq + 1_000_000, u64::MAX] {
        let mut peer = site.connect();
        assert_eq!(peer.ask(subscribe(id, from_seq)), Said::Ok(first.seq), "{from_seq}");
        assert_eq!(update(&mut peer).seq, first.seq, "{from_seq}");
    }
    let mut peer = site.connect();
    assert_eq!(peer.ask(subscribe(id, u64::MAX)), Said::Ok(first.seq));
    assert_eq!(update(&mut peer).seq, first.seq);
    let second = result(bidder.ask(bid(id, 8, 1200)));
    assert_eq!(update(&mut peer).seq, second.seq, "and then each change");
    drop((peer, bidder));
    site.end();
}

#[test]
fn a_client_with_its_answer_never_hears_of_an_older_state() {
    let site = Site::open(|_| {});
    let id = auction(&site, 1, |_| {});
    // Both threads know the auction already.
    let mut others: Vec<_> = (0..8).map(|_| site.connect()).collect();
    for peer in &mut others {
        assert!(matches!(peer.ask(subscribe(id, u64::MAX)), Said::Ok(_)));
    }
    let mut bidder = site.connect();
    for n in 0..50u64 {
        let told = result(bidder.ask(bid(id, 7, 1000 + n * 100)));
        let other = &mut others[usize::try_from(n % 8).expect("small")];
        other.send(&[subscribe(id, told.seq)]);
        let ok = std::iter::from_fn(|| other.hear()).find(|said| !matches!(said, Said::Update(_)));
        assert_eq!(ok, Some(Said::Ok(told.seq)));
    }
    drop((others, bidder));
    site.end();
}

#[test]
fn an_update_never_comes_before_the_ok_of_its_subscribe() {
    let site = Site::open(|_| {});
    let id = auction(&site, 1, |_| {});
    let mut peer = site.connect();
    for round in 0..20u64 {
        // The OK waits behind the bid's answer, and the bid is news.
        peer.send(&[bid(id, 7, 1000 + round * 100), subscribe(id, 0)]);
        let mut said = Vec::new();
        while !said.iter().any(|said| matches!(said, Said::Update(update) if update.current == 1000 + round * 100)) {
            said.push(peer.hear().expect("more"));
        }
        let at = |found: fn(&Said) -> bool| said.iter().position(found).expect("it was said");
        let (ok, result) = (at(|said| matches!(said, Said::Ok(_))), at(|said| matches!(said, Said::Result(_))));
        assert!(result < ok, "{said:?}");
        assert!(round > 0 || matches!(said[..ok], [Said::Result(_)]), "{said:?}");
    }
    drop(peer);
    site.end();
}

#[test]
fn slow_readers_hear_of_fewer_states_and_everybody_of_the_last_one() {
    let site = Site::open(|_| {});
    let id = auction(&site, 1, |_| {});
    let mut peers: Vec<_> = (0..50).map(|_| site.connect()).collect();
    for peer in &mut peers {
        assert!(matches!(peer.ask(subscribe(id, 0)), Said::Ok(_)));
    }
    let mut bidder = site.connect();
    let bids: Vec<_> = (0..500u64).map(|n| bid(id, 1 + u32::try_from(n % 2).expect("small"), 1000 + n * 100)).collect();
    bidder.send(&bids);
    let last = result(bidder.hear_many(500).pop().expect("answers"));
    for peer in &mut peers {
        let (mut heard, mut before) = (0, 0);
        loop {
            let told = update(peer);
            assert!(told.seq > before, "in order");
            (heard, before) = (heard + 1, told.seq);
            if told.current == last.current {
                break;
            }
        }
        assert!(heard < 500, "{heard} states of 500");
    }
    drop((peers, bidder));
    site.end();
}

#[test]
fn subscriptions_have_a_bound_and_are_forgotten_with_their_connection() {
    let site = Site::open(|config| config.wire.subscriptions_max = 2);
    let ids: Vec<_> = (1..=3).map(|number| auction(&site, number, |_| {})).collect();
    let newest = site.server.0.writer.published.seq();
    let mut peer = site.connect();
    for id in &ids[..2] {
        assert!(matches!(peer.ask(subscribe(*id, newest)), Said::Ok(_)));
    }
    assert_eq!(peer.ask(subscribe(ids[2], 0)).no(), 12);
    assert!(matches!(peer.ask(subscribe(ids[0], newest)), Said::Ok(_)), "the same again is no further one");
    let unknown = AuctionId::new(99).expect("not 0");
    let mut other = site.connect();
    assert_eq!(other.ask(subscribe(unknown, 0)).no(), 7);
    drop((peer, other));
    site.end();
}

#[test]
fn who_never_reads_holds_nobody_up() {
    let site = Site::open(|config| {
        config.wire.write_timeout = Duration::from_secs(600);
        config.wire.frames_per_second_max = 100_000_000;
    });
    let id = auction(&site, 1, |_| {});
    let mut deaf = site.connect();
    assert!(matches!(deaf.ask(subscribe(id, 0)), Said::Ok(_)));
    // Answers that it does not read fill its way.
    deaf.stream.set_write_timeout(Some(Duration::from_millis(300))).expect("set");
    while deaf.send_bytes(&bytes(&[ping("12345678"); 400])).is_ok() {}
    let mut good = site.connect();
    assert!(matches!(good.ask(subscribe(id, 0)), Said::Ok(_)));
    let mut bidder = site.connect();
    for n in 0..5u64 {
        let told = result(bidder.ask(bid(id, 7, 1000 + n * 100)));
        while update(&mut good).seq < told.seq {}
    }
    until("its changes are counted as one", || site.server.metric("firstcome_wire_conflated_total") >= 1.0);
    drop((deaf, good, bidder));
    site.end();
}

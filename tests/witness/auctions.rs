//! The same for bids: those over HTTP with secret maxima, those over the wire without, all in one auction.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use firstcome::wire::messages::{Bid, BidResult, Reply, Request};
use serde_json::json;

use super::model::{self, Random};
use super::process::{Client, Process};
use super::{Moment, check_real_time};

const BIDDERS: u32 = 8;
const START: u64 = 100;
/// From a price on, by how much a bid must be more.
const STEPS: [(u64, u64); 2] = [(0, 10), (2_000, 50)];

/// What a bid was, and what it was told.
#[derive(Debug)]
struct Seen {
    when: Moment,
    user: u32,
    amount: u64,
    maximum: u64,
    told: Told,
    /// True if the bidder was told that they lead; over the wire no bidder is.
    leads: Option<bool>,
}

/// What follows from the price alone.
#[derive(PartialEq, Eq, Debug)]
struct Told {
    accepted: bool,
    current: u64,
    minimum_next: u64,
}

enum Way {
    Http(Client),
    Wire(TcpStream),
}

struct Bidder {
    user: u32,
    way: Way,
    random: Random,
    /// The price that the bidder knows of.
    price: u64,
    /// A bid like one before it may be its repeat: nobody could tell.
    asked: BTreeSet<u64>,
}

impl Bidder {
    fn bid(&mut self, n: u64) -> Seen {
        let mut amount = self.price + self.random.below(400);
        while !self.asked.insert(amount) {
            amount += 1;
        }
        let (user, began) = (self.user, Instant::now());
        match &mut self.way {
            Way::Http(client) => {
                let maximum = amount + self.random.below(300);
                let body = json!({ "buyer": user.to_string(), "amount": amount, "maximum": maximum });
                let answer = client.post("/v1/auctions/1/bids", &format!("{user}-{n}"), &body).expect("answered");
                let ended = Instant::now();
                let accepted = match (answer.status, answer.body["code"].as_str()) {
                    (201, _) if !answer.is_repeat() => true,
                    (409, Some("bid-too-low")) => false,
                    _ => panic!("{answer:?}"),
                };
                let number = |name: &str| answer.body[name].as_u64().expect("a number");
                let seq = number(if accepted { "seq" } else { "as_of_seq" });
                let told = Told { accepted, current: number("current"), minimum_next: number("minimum_next") };
                let leads = answer.body["leading"].as_bool();
                Seen { when: Moment { began, ended, seq, is_event: accepted }, user, amount, maximum, told, leads }
            }
            Way::Wire(stream) => {
                let result = ask(stream, Bid { auction_id: 1, user_id: user, amount });
                let (ended, accepted) = (Instant::now(), result.reason == 0);
                assert!(accepted || result.reason == 16, "{result:?}");
                let told = Told { accepted, current: result.current, minimum_next: result.minimum_next };
                let when = Moment { began, ended, seq: result.seq, is_event: accepted };
                Seen { when, user, amount, maximum: amount, told, leads: None }
            }
        }
    }

    fn live(mut self, bids: u64) -> Vec<Seen> {
        (0..bids)
            .map(|n| {
                let seen = self.bid(n);
                self.price = seen.told.current;
                seen
            })
            .collect()
    }
}

fn ask(stream: &mut TcpStream, bid: Bid) -> BidResult {
    let (mut out, mut heard) = (Vec::new(), Vec::new());
    assert!(Request::Bid(bid).write(&mut out));
    stream.write_all(&out).expect("sent");
    loop {
        if let Some((reply, _)) = Reply::first(&heard).expect("a frame of the protocol") {
            let Reply::Result(result) = reply else { panic!("no answer to a bid: {reply:?}") };
            return result;
        }
        let mut piece = [0u8; 256];
        let count = stream.read(&mut piece).expect("heard");
        assert!(count > 0, "the server closed it");
        heard.extend_from_slice(&piece[..count]);
    }
}

/// The sequential run, by the rules of the contract.
#[derive(Default)]
struct Sequential {
    price: Option<u64>,
    /// The leader, what they asked, and what they would pay.
    leader: Option<(u32, u64, u64)>,
}

fn above(price: u64) -> u64 {
    let step = STEPS.iter().rev().find(|(from, _)| *from <= price).expect("from 0 on").1;
    price + step
}

impl Sequential {
    fn minimum(&self) -> u64 {
        self.price.map_or(START, above)
    }

    /// What must have been answered, and whether the bidder leads.
    fn answer(&mut self, seen: &Seen) -> (Told, bool) {
        let (user, amount) = (seen.user, seen.amount);
        let own = self.leader.filter(|(leader, ..)| *leader == user);
        let maximum = own.map_or(seen.maximum, |(_, _, said)| said.max(seen.maximum));
        let (minimum, price) = (self.minimum(), self.price.unwrap_or(0));
        let next = match (self.leader, own) {
            _ if amount < minimum => None,
            (None, _) => Some((amount, true)),
            (Some(_), Some(_)) => Some((price.max(amount), true)),
            // The earlier of two equal maxima wins.
            (Some((.., said)), None) if maximum <= said => Some((said.min(above(maximum)).max(amount), false)),
            (Some((.., said)), None) => Some((maximum.min(above(said)).max(amount), true)),
        };
        if let Some((price, leads)) = next {
            self.price = Some(price);
            if leads {
                self.leader = Some((user, amount, maximum));
            }
        }
        let told = Told { accepted: next.is_some(), current: self.price.unwrap_or(0), minimum_next: self.minimum() };
        (told, next.is_some_and(|(_, leads)| leads))
    }
}

fn run_bidders(public: SocketAddr, wire: SocketAddr, seed: u64, bids: u64) -> Vec<Seen> {
    std::thread::scope(|scope| {
        let bidders: Vec<_> = (1..=BIDDERS)
            .map(|user| {
                let way = if user.is_multiple_of(2) {
                    let stream = TcpStream::connect(wire).expect("connected");
                    stream.set_nodelay(true).expect("set");
                    Way::Wire(stream)
                } else {
                    Way::Http(Client::connect(public).expect("connected"))
                };
                let random = Random(seed ^ u64::from(user) << 32);
                let bidder = Bidder { user, way, random, price: START, asked: BTreeSet::new() };
                scope.spawn(move || bidder.live(bids))
            })
            .collect();
        bidders.into_iter().flat_map(|bidder| bidder.join().expect("a bidder")).collect()
    })
}

#[test]
fn the_answers_to_bids_are_those_of_one_sequential_run_and_respect_real_time() {
    let seed = model::replayed_seed().unwrap_or(0xb1d);
    let bids = model::scaled(4000, 300);
    let scratch = tempfile::tempdir().expect("scratch");
    let mut server = Process::start(&scratch.path().join("data"), &[]);
    let auction = json!({ "sku": "A", "name": "N", "currency": "EUR", "start_price": START, "increments": STEPS,
        "starts_at": "2020-01-01T00:00:00.000Z", "ends_at": "2999-01-01T00:00:00.000Z" });
    let made = Client::connect(server.admin).and_then(|mut admin| admin.post("/v1/auctions", "create", &auction));
    assert_eq!(made.expect("answered").status, 201);
    let mut seen = run_bidders(server.public, server.wire, seed, bids);
    let shown = Client::connect(server.public).and_then(|mut client| client.get("/v1/auctions/1"));
    let shown = shown.expect("answered").body;
    server.kill();

    // Events by their number; what changed nothing right after the event that it saw last.
    seen.sort_by_key(|seen| (seen.when.seq, !seen.when.is_event));
    let mut sequential = Sequential::default();
    for seen in &seen {
        let (told, leads) = sequential.answer(seen);
        assert_eq!(seen.told, told, "seed {seed}, event {}: {seen:?}", seen.when.seq);
        assert!(seen.leads.is_none_or(|told| told == leads), "seed {seed}, event {}: {seen:?}", seen.when.seq);
    }
    check_real_time(seen.iter().map(|seen| seen.when), seed);
    let (leader, ..) = sequential.leader.expect("bids");
    assert_eq!((shown["current"].as_u64(), &shown["buyer"]), (sequential.price, &json!(leader.to_string())));
    let events = seen.iter().filter(|seen| seen.when.is_event).count();
    assert!(events > seen.len() / 20 && events < seen.len(), "both kinds of answers: {events} of {}", seen.len());
    println!(
        "{} answers to bids, {events} of them accepted: one sequential run, in the order of real time",
        seen.len()
    );
}

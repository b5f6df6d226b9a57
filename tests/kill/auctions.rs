//! The same for auctions: bids over the wire and over HTTP, in one that runs on and in one of each cycle that ends about
//! when the server is killed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use firstcome::store::verify;
use firstcome::types::text::rfc3339;
use firstcome::wire::messages::{Bid, BidResult, Reply, Request};
use firstcome::writer::clock::wall_clock;
use serde_json::{Value, json};

use super::model::{self, Random};
use super::place;
use super::process::{Broken, Client, Pause, Process, wait_until};

const BIDDERS: u32 = 6;
/// Bids of a wire client that are on their way at once.
const AT_ONCE: usize = 4;

/// An accepted bid: who, how much, and the price after it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Placed {
    buyer: String,
    amount: u64,
    current: u64,
}

/// What one bidder knows, over all cycles.
#[derive(Default)]
struct Bidder {
    user: u32,
    asked: u64,
    /// By auction and number.
    acknowledged: BTreeMap<(u64, u64), Placed>,
    /// Bids over the wire whose answer was lost.
    lost: u64,
    /// The bid over HTTP of which nothing is known, with its key.
    unknown: Option<(u64, String, Value)>,
}

/// What all bidders of a cycle share.
struct Cycle<'a> {
    server: &'a Process,
    /// The one that runs on, and the one that ends.
    auctions: [u64; 2],
    /// What is asked next: higher than everything before.
    next: &'a AtomicU64,
    answered: AtomicU64,
}

impl Cycle<'_> {
    fn amount(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bidder {
    fn keep(&mut self, auction: u64, seq: u64, placed: Placed) {
        let before = self.acknowledged.insert((auction, seq), placed.clone());
        assert!(before.as_ref().is_none_or(|before| *before == placed), "{seq}: {before:?}, {placed:?}");
    }

    fn bid_over_the_wire(&mut self, cycle: &Cycle<'_>) {
        let Ok(mut stream) = TcpStream::connect(cycle.server.wire) else { return };
        let mut heard = Vec::new();
        loop {
            self.asked += 1;
            let auction = cycle.auctions[usize::from(self.asked % 2 == 1)];
            let id = u32::try_from(auction).expect("small");
            let amounts: Vec<u64> = (0..AT_ONCE).map(|_| cycle.amount()).collect();
            let mut frames = Vec::new();
            for amount in &amounts {
                assert!(Request::Bid(Bid { auction_id: id, user_id: self.user, amount: *amount }).write(&mut frames));
            }
            let sent = stream.write_all(&frames);
            for (n, amount) in amounts.iter().enumerate() {
                let Some(result) = sent.as_ref().ok().and_then(|()| next_result(&mut stream, &mut heard)) else {
                    self.lost += u64::try_from(AT_ONCE - n).expect("few");
                    return;
                };
                assert!([0, 10, 16].contains(&result.reason), "{result:?}");
                if result.reason == 0 {
                    let placed = Placed { buyer: self.user.to_string(), amount: *amount, current: result.current };
                    self.keep(auction, result.seq, placed);
                }
                cycle.answered();
            }
        }
    }

    fn bid_over_http(&mut self, cycle: &Cycle<'_>) {
        let Ok(mut client) = Client::connect(cycle.server.public) else { return };
        loop {
            let (auction, key, body) = self.unknown.take().unwrap_or_else(|| {
                self.asked += 1;
                let amount = cycle.amount();
                let body = json!({ "buyer": format!("buyer-{}", self.user), "amount": amount, "maximum": amount + 3 });
                (cycle.auctions[usize::from(self.asked % 2 == 1)], format!("{}-{}", self.user, self.asked), body)
            });
            if self.ask(&mut client, auction, &key, &body).is_err() {
                self.unknown = Some((auction, key, body));
                return;
            }
            cycle.answered();
        }
    }

    /// A bid, and what is answered; a repeat is the bid that it made.
    fn ask(&mut self, client: &mut Client, auction: u64, key: &str, body: &Value) -> Result<(), Broken> {
        let answer = client.post(&format!("/v1/auctions/{auction}/bids"), key, body)?;
        let number = |name: &str| answer.body[name].as_u64().expect("a number");
        match answer.status {
            // A repeat shows the price as it is now.
            201 if answer.is_repeat() => {
                let found = client.get(&format!("/v1/auctions/{auction}/bids?limit=1&after={}", number("seq") - 1))?;
                let current = found.body["data"][0]["current"].as_u64().expect("a price");
                self.keep(auction, number("seq"), placed(body, current));
            }
            201 => self.keep(auction, number("seq"), placed(body, number("current"))),
            409 | 410 => {}
            other => panic!("{other}: {:?}", answer.body),
        }
        Ok(())
    }
}

fn placed(body: &Value, current: u64) -> Placed {
    let buyer = body["buyer"].as_str().expect("a buyer").to_string();
    Placed { buyer, amount: body["amount"].as_u64().expect("a number"), current }
}

fn next_result(stream: &mut TcpStream, heard: &mut Vec<u8>) -> Option<BidResult> {
    loop {
        if let Some((reply, taken)) = Reply::first(heard).expect("a frame of the protocol") {
            let Reply::Result(result) = reply else { panic!("no answer to a bid: {reply:?}") };
            heard.drain(..taken);
            return Some(result);
        }
        let mut piece = [0u8; 1024];
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        heard.extend_from_slice(&piece[..count]);
    }
}

fn create(server: &Process, key: &str, ends_in: Duration) -> u64 {
    let milliseconds = i64::try_from(ends_in.as_millis()).expect("short");
    let auction = json!({
        "sku": "A", "name": "N", "currency": "EUR", "start_price": 1, "increments": [[0, 1]],
        "starts_at": "2020-01-01T00:00:00.000Z", "ends_at": rfc3339(wall_clock().plus_millis(milliseconds)),
    });
    let made = Client::connect(server.admin).and_then(|mut admin| admin.post("/v1/auctions", key, &auction));
    let made = made.expect("answered");
    assert_eq!(made.status, 201, "{:?}", made.body);
    made.body["id"].as_u64().expect("an id")
}

/// Everything of a page that goes on.
fn all(client: &mut Client, path: &str) -> Vec<Value> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = client.get(&format!("{path}limit=100&after={after}")).expect("answered");
        assert_eq!(page.status, 200, "{:?}", page.body);
        found.extend(page.body["data"].as_array().expect("a page").iter().cloned());
        match page.body["next_after"].as_u64().filter(|_| page.body["has_more"] == true) {
            Some(next) => after = next,
            None => return found,
        }
    }
}

/// What the file has of an auction, in order; the price never falls, and the last one is the auction's.
fn in_the_file(client: &mut Client, auction: u64) -> BTreeMap<(u64, u64), Placed> {
    let bids = all(client, &format!("/v1/auctions/{auction}/bids?"));
    let mut found = BTreeMap::new();
    let mut price = 0;
    for bid in &bids {
        let current = bid["current"].as_u64().expect("a price");
        assert!(current >= price, "the price fell from {price} to {current}");
        price = current;
        found.insert((auction, bid["seq"].as_u64().expect("a number")), placed(bid, current));
    }
    let shown = client.get(&format!("/v1/auctions/{auction}")).expect("answered").body;
    assert_eq!((shown["bids"].as_u64(), found.len()), (u64::try_from(bids.len()).ok(), bids.len()));
    assert_eq!(shown["current"].as_u64().unwrap_or(0), price);
    found
}

/// Who won has one order, at the auction's price.
fn check_winner(server: &Process, auction: u64) {
    let mut public = Client::connect(server.public).expect("connected");
    let mut admin = Client::connect(server.admin).expect("connected");
    let mut shown = Value::Null;
    for _ in 0..2000 {
        shown = public.get(&format!("/v1/auctions/{auction}")).expect("answered").body;
        if shown["state"] == "ended" {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert_eq!(shown["state"], "ended");
    let orders = all(&mut admin, &format!("/v1/orders?drop_id={}&", shown["drop_id"]));
    let orders: Vec<_> = orders.iter().map(|order| (&order["buyer"], &order["amount"], &order["state"])).collect();
    let awaiting = json!("awaiting_payment");
    let expected = shown.get("buyer").map(|buyer| (buyer, &shown["current"], &awaiting));
    assert_eq!(orders, expected.into_iter().collect::<Vec<_>>(), "{shown}");
}

#[test]
fn killed_while_they_bid_it_keeps_every_acknowledged_bid_in_its_order_and_awards_once() {
    let seed = model::replayed_seed().unwrap_or(0xb1d);
    let cycles = model::scaled(10, 5);
    let mut random = Random(seed);
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, pause) = (scratch.path().join("data"), Pause::new(scratch.path()));
    let mut bidders: Vec<Bidder> = (1..=BIDDERS).map(|user| Bidder { user, ..Bidder::default() }).collect();
    let (next, mut auctions) = (AtomicU64::new(1), Vec::new());
    for cycle in 0..cycles {
        // A server that waits for its end creates nothing.
        let place = if cycle == 0 { Vec::new() } else { place(&mut random, &pause) };
        let mut server = Process::start(&data, &place);
        if cycle == 0 {
            auctions.push(create(&server, "runs-on", Duration::from_secs(86_400)));
        }
        if place.is_empty() {
            // Some end before the kill, some while nobody serves, some after the restart.
            let ends_in = Duration::from_millis(500 + random.below(700));
            auctions.push(create(&server, &format!("ends-{cycle}"), ends_in));
        }
        let both = [auctions[0], *auctions.last().expect("one")];
        let enough = random.below(1500);
        let cycle = Cycle { server: &server, auctions: both, next: &next, answered: AtomicU64::new(0) };
        std::thread::scope(|scope| {
            for bidder in &mut bidders {
                let cycle = &cycle;
                scope.spawn(move || match bidder.user % 2 {
                    0 => bidder.bid_over_the_wire(cycle),
                    _ => bidder.bid_over_http(cycle),
                });
            }
            if place.is_empty() {
                wait_until("enough answers", || cycle.answered.load(Ordering::Relaxed) >= enough);
            } else {
                pause.wait();
            }
            cycle.server.signal(rustix::process::Signal::KILL);
        });
        server.kill();
    }

    let mut server = Process::start(&data, &[]);
    let mut client = Client::connect(server.public).expect("connected");
    let (mut acknowledged, mut lost) = (BTreeMap::new(), 0);
    for mut bidder in bidders {
        if let Some((auction, key, body)) = bidder.unknown.take() {
            bidder.ask(&mut client, auction, &key, &body).expect("answered");
        }
        lost += bidder.lost;
        acknowledged.append(&mut bidder.acknowledged);
    }
    let mut found = BTreeMap::new();
    for auction in &auctions {
        found.append(&mut in_the_file(&mut client, *auction));
    }
    for (number, placed) in &acknowledged {
        assert_eq!(found.get(number), Some(placed), "seed {seed}, event {number:?}");
    }
    let unheard = u64::try_from(found.len() - acknowledged.len()).expect("few");
    assert!(unheard <= lost, "seed {seed}: {unheard} bids that nobody knows of, {lost} answers were lost");
    for auction in &auctions[1..] {
        check_winner(&server, *auction);
    }
    server.kill();
    let report = verify::verify(&data).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new(), "seed {seed}");
    println!(
        "{cycles} kills; {} acknowledged bids, {unheard} of {lost} lost answers were acknowledged",
        acknowledged.len()
    );
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
}

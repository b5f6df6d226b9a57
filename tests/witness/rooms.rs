//! The same for waiting rooms, by arrival and drawn with a beacon: tickets over HTTP and over the wire, orders of buyers with a
//! ticket or none, and cancels. Start, draw and admissions of the file are part of the run; the order of the draw is computed
//! here again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use firstcome::types::text::rfc3339;
use firstcome::wire::messages::{Join, Reply, Request};
use firstcome::writer::clock::wall_clock;
use serde_json::{Value, json};

use super::model::{self, Random};
use super::process::{Client, Process};
use super::room_run::{Sequential, steps};
use super::{Moment, check_real_time};

const CLIENTS: u64 = 8;
const BUYERS: u64 = 600;
pub(crate) const STOCK: u64 = 12;

#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Ticket { buyer: u64 },
    Order { buyer: u64 },
    Cancel { order: String },
}

/// What a ticket's answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    pub(crate) number: u64,
    /// Once it is known.
    pub(crate) position: Option<u64>,
    pub(crate) serving: u64,
}

#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) asked: Asked,
    pub(crate) when: Moment,
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// Of a ticket.
    pub(crate) told: Option<Told>,
}

struct Life {
    name: u64,
    public: Client,
    wire: TcpStream,
    random: Random,
    asked: u64,
    /// Buyers with a ticket and its position, as far as this client knows.
    tickets: Vec<(u64, Option<u64>)>,
    serving: u64,
    orders: Vec<String>,
    seen: Vec<Seen>,
}

impl Life {
    fn choose(&mut self) -> Asked {
        let any = |random: &mut Random, count: usize| {
            usize::try_from(random.below(u64::try_from(count.max(1)).expect("few"))).expect("few")
        };
        match self.random.below(8) {
            0..=2 => Asked::Ticket { buyer: self.random.below(BUYERS) },
            3 if !self.orders.is_empty() => {
                let index = any(&mut self.random, self.orders.len());
                Asked::Cancel { order: self.orders.swap_remove(index) }
            }
            // Most likely not admitted.
            4 => Asked::Order { buyer: self.random.below(BUYERS) },
            _ => {
                let serving = self.serving;
                let is_admitted = |(_, position): &(u64, Option<u64>)| position.is_some_and(|at| at < serving);
                let admitted = self.tickets.iter().position(is_admitted);
                let index = admitted.unwrap_or_else(|| any(&mut self.random, self.tickets.len()));
                match self.tickets.get(index).copied() {
                    Some((buyer, position)) => {
                        self.tickets.swap_remove(index);
                        // A ticket that is drawn is asked for again.
                        if position.is_some() { Asked::Order { buyer } } else { Asked::Ticket { buyer } }
                    }
                    None => Asked::Ticket { buyer: self.random.below(BUYERS) },
                }
            }
        }
    }

    fn ask(&mut self, asked: Asked) -> Seen {
        let began = Instant::now();
        if let Asked::Ticket { buyer } = asked
            && self.random.one_in(2)
        {
            let name = format!("buyer{buyer}");
            let (seq, told) = self.join(&name);
            // The frame does not say whether the ticket is new: `mark_first_tickets` finds it.
            let when = Moment { began, ended: Instant::now(), seq, is_event: false };
            return Seen { asked, when, status: 201, body: Value::Null, told: Some(told) };
        }
        let (path, body) = match &asked {
            Asked::Ticket { buyer } => ("/v1/drops/1/tickets".into(), json!({ "buyer": format!("buyer{buyer}") })),
            Asked::Order { buyer } => {
                ("/v1/drops/1/orders".into(), json!({ "buyer": format!("buyer{buyer}"), "quantity": 1 }))
            }
            Asked::Cancel { order } => (format!("/v1/orders/{order}/cancel"), json!({})),
        };
        let answer = self.public.post(&path, &format!("{}-{}", self.name, self.asked), &body).expect("answered");
        let ended = Instant::now();
        let seq = answer.header("Firstcome-Seq").and_then(|seq| seq.parse().ok());
        let seq = seq.or_else(|| answer.body["as_of_seq"].as_u64()).unwrap_or_else(|| panic!("no witness: {answer:?}"));
        let is_event = answer.status < 300 && !answer.is_repeat();
        let number = |name: &str| answer.body[name].as_u64().expect("a number");
        let told = matches!(asked, Asked::Ticket { .. }).then(|| Told {
            number: number("number"),
            position: answer.body["position"].as_u64(),
            serving: number("serving"),
        });
        let when = Moment { began, ended, seq, is_event };
        Seen { asked, when, status: answer.status, body: answer.body, told }
    }

    fn join(&mut self, buyer: &str) -> (u64, Told) {
        let (mut out, mut heard) = (Vec::new(), Vec::new());
        assert!(Request::Join(Join { drop_id: 1, buyer: buyer.as_bytes() }).write(&mut out));
        self.wire.write_all(&out).expect("sent");
        loop {
            if let Some((reply, _)) = Reply::first(&heard).expect("a frame of the protocol") {
                let Reply::Ticket(ticket) = reply else { panic!("no answer to a JOIN: {reply:?}") };
                assert_eq!(ticket.reason, 0, "{ticket:?}");
                let position = ticket.position.map(u64::from);
                return (ticket.seq, Told { number: ticket.number.into(), position, serving: ticket.serving.into() });
            }
            let mut piece = [0u8; 256];
            let count = self.wire.read(&mut piece).expect("heard");
            assert!(count > 0, "the server closed it");
            heard.extend_from_slice(&piece[..count]);
        }
    }

    fn live(&mut self, requests: u64) {
        for _ in 0..requests {
            self.asked += 1;
            let asked = self.choose();
            let seen = self.ask(asked);
            match (&seen.asked, seen.told) {
                (Asked::Ticket { buyer }, Some(told)) => {
                    self.tickets.push((*buyer, told.position));
                    self.serving = self.serving.max(told.serving);
                }
                (Asked::Order { .. }, _) if seen.status == 201 => {
                    self.orders.push(seen.body["id"].as_str().expect("an id").into());
                }
                (Asked::Order { .. }, _) => {
                    self.serving = self.serving.max(seen.body["serving"].as_u64().unwrap_or(0));
                }
                (Asked::Ticket { .. } | Asked::Cancel { .. }, _) => {}
            }
            self.seen.push(seen);
        }
    }
}

/// Marks the answer that is the event of a buyer's ticket: of those with the smallest number the one asked first, unless HTTP has told
/// it.
fn mark_first_tickets(seen: &mut [Seen]) {
    // A repeat may have seen the ticket's event last, and be heard before the frame that is the event. Of frames with the same number
    // it is the one that was asked first: no answer that saw the event was there when the ticket was asked for.
    seen.sort_by_key(|seen| (seen.when.seq, !seen.when.is_event, !seen.body.is_null(), seen.when.began));
    let mut with_ticket = std::collections::BTreeSet::new();
    for seen in seen.iter_mut() {
        if let Asked::Ticket { buyer } = seen.asked
            && with_ticket.insert(buyer)
        {
            assert!(seen.when.is_event || seen.body.is_null(), "a repeat before the ticket: {seen:?}");
            seen.when.is_event = true;
        }
    }
}

/// A server with a drop whose room is open, and the clients.
struct Room {
    server: Process,
    lives: Vec<Life>,
}

impl Room {
    fn open(data: &Path, seed: u64, starts_at: &str, draw: &Value) -> Room {
        let server = Process::start(data, &[]);
        let mut drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": STOCK,
            "starts_at": starts_at, "reservation_seconds": 86_400, "per_buyer_limit": 100,
            "room": { "opens_at": "2020-01-01T00:00:00.000Z", "admit_per_second": 1000, "order_seconds": 3600 } });
        drop["room"].as_object_mut().expect("members").extend(draw.as_object().expect("members").clone());
        let made = Client::connect(server.admin).and_then(|mut admin| admin.post("/v1/drops", "create", &drop));
        assert_eq!(made.expect("answered").status, 201);
        let life = |name: u64| {
            let stream = TcpStream::connect(server.wire).expect("connected");
            stream.set_nodelay(true).expect("set");
            Life {
                name,
                public: Client::connect(server.public).expect("connected"),
                wire: stream,
                random: Random(seed ^ name << 32),
                asked: 0,
                tickets: Vec::new(),
                serving: 0,
                orders: Vec::new(),
                seen: Vec::new(),
            }
        };
        let lives = (0..CLIENTS).map(life).collect();
        Room { server, lives }
    }

    /// Lets all clients ask so many times each, and does something beside.
    fn live(&mut self, requests: u64, beside: impl FnOnce(&Process)) {
        std::thread::scope(|scope| {
            for life in &mut self.lives {
                scope.spawn(move || life.live(requests));
            }
            beside(&self.server);
        });
    }

    fn wait_for_draw(&self, state: &str) {
        let mut public = Client::connect(self.server.public).expect("connected");
        let is_there = |public: &mut Client| public.get("/v1/drops/1/draw").expect("answered").body["state"] == state;
        let until = Instant::now() + Duration::from_secs(60);
        while !is_there(&mut public) {
            assert!(Instant::now() < until, "waited in vain for the draw: {state}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Ends the server, and compares all answers with the sequential run.
    fn check(mut self, data: &Path, seed: u64, is_random: bool) -> (Sequential, Vec<Seen>) {
        self.server.kill();
        let mut seen: Vec<Seen> = self.lives.into_iter().flat_map(|life| life.seen).collect();
        mark_first_tickets(&mut seen);
        // Events by their number; what changed nothing right after the event that it saw last.
        seen.sort_by_key(|seen| (seen.when.seq, !seen.when.is_event));
        let mut steps = steps(data).into_iter().peekable();
        let mut sequential = Sequential::of(is_random);
        for seen in &seen {
            while let Some((_, step)) = steps.next_if(|(seq, _)| *seq <= seen.when.seq) {
                sequential.step(step);
            }
            sequential.check(seen);
            assert!(sequential.held <= STOCK, "seed {seed}: oversold");
        }
        check_real_time(seen.iter().map(|seen| seen.when), seed);
        (sequential, seen)
    }
}

/// What a run had, in words. It must have been waited in.
fn summary(sequential: &Sequential, seen: &[Seen]) -> String {
    let count = |code: &str| seen.iter().filter(|seen| seen.body["code"] == code).count();
    assert!(sequential.serving > STOCK && count("not-admitted") > 20, "the room was waited in");
    format!(
        "{} answers: {} tickets, {} of them drawn, {} admitted, {} units came back, {} not started, {} not admitted, {} sold \
         out",
        seen.len(),
        sequential.tickets.len(),
        sequential.drawn.as_ref().map_or(0, Vec::len),
        sequential.serving,
        sequential.returned,
        count("not-started"),
        count("not-admitted"),
        count("sold-out"),
    )
}

#[test]
fn the_answers_of_a_waiting_room_are_those_of_one_sequential_run_and_respect_real_time() {
    let seed = model::replayed_seed().unwrap_or(0x700f);
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let mut room = Room::open(&data, seed, "2020-01-02T00:00:00.000Z", &json!({}));
    room.live(model::scaled(2000, 250), |_| {});
    let (sequential, seen) = room.check(&data, seed, false);
    println!("seed {seed}: {}", summary(&sequential, &seen));
}

#[test]
fn the_answers_of_a_room_that_is_drawn_with_a_beacon_are_those_of_one_sequential_run() {
    let seed = model::replayed_seed().unwrap_or(0xd4a3);
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let starts_at = rfc3339(wall_clock().plus_millis(4000));
    let beacon = json!({ "draw": "random", "beacon": "required", "beacon_seconds": 600 });
    let mut room = Room::open(&data, seed, &starts_at, &beacon);
    room.live(40, |_| {});
    room.wait_for_draw("awaiting_beacon");
    room.live(60, |server| {
        let post = json!({ "value": "c0ffee", "source": "a die", "reason": "as announced" });
        let posted = Client::connect(server.admin)
            .and_then(|mut admin| admin.post("/v1/drops/1/room/beacon", "beacon", &post))
            .expect("answered");
        assert_eq!(posted.status, 200, "{:?}", posted.body);
    });
    room.wait_for_draw("drawn");
    room.live(model::scaled(2000, 200), |_| {});
    let (sequential, seen) = room.check(&data, seed, true);
    println!("seed {seed}: {}", summary(&sequential, &seen));
    assert!(sequential.drawn.is_some_and(|drawn| drawn.len() > 20), "seed {seed}: tickets were drawn");
    let without = |seen: &Seen| seen.told.is_some_and(|told| told.position.is_none());
    assert!(seen.iter().any(without), "seed {seed}: tickets were taken before the draw");
}

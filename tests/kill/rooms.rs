//! The same for waiting rooms: tickets over the wire and over HTTP, and orders of admitted buyers, in a room that serves from
//! the first cycle on, and in one of each cycle whose sale starts about when the server is killed. Those are drawn: with a
//! beacon that an operator posts, with one that does not come, and without.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use firstcome::store::verify;
use firstcome::types::RoomState;
use firstcome::wire::messages::{Join, Reply, Request, Reserve, TicketReply};
use serde_json::{Value, json};

use super::draws::{Made, Positions, check_draws, create, post_beacons, posted_to};
use super::model::{self, Random};
use super::place;
use super::process::{Answer, Broken, Client, Pause, Process, wait_until};
use super::turns::Turn;

const CLIENTS: u32 = 6;
/// Frames of a wire client that are on their way at once.
const AT_ONCE: usize = 4;

/// What a buyer was told of the ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ticket {
    number: u64,
    /// Once it is known.
    position: Option<u64>,
}

/// What one client knows of one room, over all cycles.
#[derive(Default)]
struct Known {
    tickets: BTreeMap<String, Ticket>,
    /// Buyers whose ticket was not answered.
    unknown: Vec<String>,
    /// The highest `serving` that it was told.
    serving: u64,
    /// Buyers with a ticket who have not ordered.
    waiting: Vec<String>,
    /// Buyers with an order.
    ordered: Vec<String>,
    /// The buyer whose order was not answered.
    ordering: Option<String>,
    resolved: u64,
}

/// One client, which names buyers of its own.
#[derive(Default)]
struct Queuer {
    name: u32,
    asked: u64,
    rooms: BTreeMap<u64, Known>,
}

struct Cycle<'a> {
    server: &'a Process,
    /// The one that serves, and the one that starts.
    drops: [u64; 2],
    answered: AtomicU64,
}

impl Known {
    /// Keeps what an answer says, and compares it with every answer before.
    fn keep(&mut self, buyer: &str, told: Ticket, serving: u64) {
        assert!(serving >= self.serving, "serving went back from {} to {serving}", self.serving);
        self.serving = serving;
        match self.tickets.get_mut(buyer) {
            None => {
                self.tickets.insert(buyer.into(), told);
                self.waiting.push(buyer.into());
            }
            Some(before) => {
                assert_eq!(before.number, told.number, "{buyer}");
                assert!(before.position.is_none() || before.position == told.position, "{buyer}: {before:?} {told:?}");
                before.position = told.position;
            }
        }
    }

    /// A buyer who is admitted, as far as the client knows, and has not ordered.
    fn admitted(&mut self) -> Option<String> {
        if let Some(buyer) = self.ordering.take() {
            return Some(buyer);
        }
        let serving = self.serving;
        let tickets = &self.tickets;
        let is_admitted = |buyer: &String| tickets[buyer].position.is_some_and(|position| position < serving);
        let index = self.waiting.iter().position(is_admitted)?;
        Some(self.waiting.swap_remove(index))
    }
}

impl Queuer {
    /// The buyers of the next tickets: first those of whom nothing is known, and one whose ticket was drawn meanwhile.
    fn next_buyers(&mut self, drop: u64, count: usize) -> Vec<String> {
        let known = self.rooms.entry(drop).or_default();
        let mut buyers = std::mem::take(&mut known.unknown);
        let is_drawn = |(buyer, ticket): &(&String, &Ticket)| {
            known.serving > 0 && ticket.position.is_none() && !buyers.contains(*buyer)
        };
        let drawn = known.tickets.iter().find(is_drawn).map(|(buyer, _)| buyer.clone());
        buyers.extend(drawn);
        while buyers.len() < count {
            self.asked += 1;
            buyers.push(format!("buyer-{}-{}", self.name, self.asked));
        }
        buyers
    }

    fn queue_over_http(&mut self, cycle: &Cycle<'_>) {
        let Ok(mut client) = Client::connect(cycle.server.public) else { return };
        loop {
            let drop = cycle.drops[usize::from(self.asked % 2 == 1)];
            let buyers = self.next_buyers(drop, 1);
            let known = self.rooms.entry(drop).or_default();
            let mut left = buyers.into_iter();
            while let Some(buyer) = left.next() {
                let Ok(answer) = take_ticket(&mut client, drop, &buyer) else {
                    known.unknown = left.collect();
                    known.unknown.push(buyer);
                    return;
                };
                known.resolved += u64::from(answer.is_repeat());
                let (ticket, serving) = ticket_of(&answer);
                known.keep(&buyer, ticket, serving);
                cycle.answered.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(buyer) = known.admitted() {
                let path = format!("/v1/drops/{drop}/orders");
                let body = json!({ "buyer": buyer, "quantity": 1 });
                let Ok(answer) = client.post(&path, &buyer, &body) else {
                    known.ordering = Some(buyer);
                    return;
                };
                assert_eq!(answer.status, 201, "{buyer} is admitted: {:?}", answer.body);
                known.ordered.push(buyer);
                cycle.answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn queue_over_the_wire(&mut self, cycle: &Cycle<'_>) {
        let Ok(mut stream) = TcpStream::connect(cycle.server.wire) else { return };
        let mut heard = Vec::new();
        loop {
            let drop = cycle.drops[usize::from(self.asked / AT_ONCE as u64 % 2 == 1)];
            let drop_id = u32::try_from(drop).expect("small");
            let buyers = self.next_buyers(drop, AT_ONCE);
            let known = self.rooms.entry(drop).or_default();
            let mut frames = Vec::new();
            for buyer in &buyers {
                assert!(Request::Join(Join { drop_id, buyer: buyer.as_bytes() }).write(&mut frames));
            }
            let ordering = known.admitted();
            if let Some(buyer) = &ordering {
                let reserve = Reserve { drop_id, quantity: 1, key: key_of(buyer), buyer: buyer.as_bytes() };
                assert!(Request::Reserve(reserve).write(&mut frames));
            }
            let sent = stream.write_all(&frames).is_ok();
            let mut left = buyers.into_iter();
            while let Some(buyer) = left.next() {
                let Some(ticket) = (if sent { next_ticket(&mut stream, &mut heard) } else { None }) else {
                    known.unknown = left.collect();
                    known.unknown.push(buyer);
                    known.ordering = ordering;
                    return;
                };
                assert_eq!(ticket.reason, 0, "{ticket:?}");
                let told = Ticket { number: ticket.number.into(), position: ticket.position.map(u64::from) };
                known.keep(&buyer, told, ticket.serving.into());
                cycle.answered.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(buyer) = ordering {
                match next_reply(&mut stream, &mut heard, |reply| {
                    let Reply::Reserved(reserved) = reply else { panic!("no answer to an order: {reply:?}") };
                    *reserved
                }) {
                    None => {
                        known.ordering = Some(buyer);
                        return;
                    }
                    Some(reserved) => assert_eq!(reserved.reason, 0, "{buyer} is admitted: {reserved:?}"),
                }
                known.ordered.push(buyer);
                cycle.answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The key of a buyer's order over the wire.
fn key_of(buyer: &str) -> [u8; 16] {
    let mut key = [0; 16];
    for (place, byte) in key.iter_mut().zip(buyer.bytes().rev()) {
        *place = byte;
    }
    key
}

fn next_reply<T>(stream: &mut TcpStream, heard: &mut Vec<u8>, take: impl Fn(&Reply<'_>) -> T) -> Option<T> {
    loop {
        if let Some((reply, taken)) = Reply::first(heard).expect("a frame of the protocol") {
            let told = take(&reply);
            heard.drain(..taken);
            return Some(told);
        }
        let mut piece = [0u8; 1024];
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        heard.extend_from_slice(&piece[..count]);
    }
}

fn next_ticket(stream: &mut TcpStream, heard: &mut Vec<u8>) -> Option<TicketReply> {
    next_reply(stream, heard, |reply| {
        let Reply::Ticket(ticket) = reply else { panic!("no answer to a JOIN: {reply:?}") };
        *ticket
    })
}

pub(crate) fn take_ticket(client: &mut Client, drop: u64, buyer: &str) -> Result<Answer, Broken> {
    let answer = client.post(&format!("/v1/drops/{drop}/tickets"), "none", &json!({ "buyer": buyer }))?;
    assert_eq!(answer.status, 201, "{buyer}: {:?}", answer.body);
    Ok(answer)
}

fn ticket_of(answer: &Answer) -> (Ticket, u64) {
    let number = |name: &str| answer.body[name].as_u64();
    let ticket = Ticket { number: number("number").expect("a number"), position: number("position") };
    (ticket, number("serving").expect("a number"))
}

fn room(client: &mut Client, drop: u64) -> Value {
    let room = client.get(&format!("/v1/drops/{drop}/room")).expect("answered");
    assert_eq!(room.status, 200, "{:?}", room.body);
    room.body
}

/// Every ticket of a room again, with the number and the position that it had; numbers and positions are each there once.
fn check_room(client: &mut Client, drop: u64, known: &[&Known], seed: u64) -> usize {
    for _ in 0..4000 {
        if room(client, drop)["state"] == RoomState::Serving.as_str() {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let (mut numbers, mut positions) = (Vec::new(), Vec::new());
    for (buyer, before) in known.iter().flat_map(|known| &known.tickets) {
        let answer = take_ticket(client, drop, buyer).expect("answered");
        assert!(answer.is_repeat(), "seed {seed}: the ticket of {buyer} was lost");
        let (ticket, _) = ticket_of(&answer);
        assert_eq!(ticket.number, before.number, "seed {seed}: {buyer}");
        assert!(before.position.is_none() || ticket.position == before.position, "seed {seed}: {buyer}");
        numbers.push(ticket.number);
        positions.push(ticket.position.expect("known, since the room serves"));
    }
    numbers.sort_unstable();
    positions.sort_unstable();
    let count = u64::try_from(numbers.len()).expect("few");
    assert!(numbers.iter().copied().eq(1..=count), "seed {seed}: {numbers:?}");
    assert!(positions.iter().copied().eq(0..count), "seed {seed}: {positions:?}");
    let told = room(client, drop);
    assert_eq!(told["tickets"].as_u64(), Some(count), "seed {seed}: {told}");
    let highest = known.iter().map(|known| known.serving).max();
    assert!(told["serving"].as_u64() >= highest, "seed {seed}: {highest:?} were told as admitted: {told}");
    numbers.len()
}

#[test]
fn killed_while_they_queue_it_keeps_every_ticket_at_its_place_and_never_admits_backwards() {
    let seed = model::replayed_seed().unwrap_or(0x700);
    let cycles = model::scaled(10, 5);
    let mut random = Random(seed);
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, pause) = (scratch.path().join("data"), Pause::new(scratch.path()));
    let mut queuers: Vec<Queuer> = (1..=CLIENTS).map(|name| Queuer { name, ..Queuer::default() }).collect();
    let mut drops: Vec<Made> = Vec::new();
    let mut taken = BTreeSet::new();
    let mut turn: Option<Turn> = None;
    for cycle in 0..cycles {
        // A server that waits for its end creates nothing.
        let place = if cycle == 0 { Vec::new() } else { place(&mut random, &pause) };
        let mut server = Process::start(&data, &place);
        let turn = turn.get_or_insert_with(|| Turn::begin(&server));
        if cycle == 0 {
            drops.push(create(&server, "serves", Duration::ZERO, Positions::ByArrival));
        }
        if place.is_empty() {
            // Some start before the kill, some while no server runs, some after the restart.
            let starts_in = Duration::from_millis(300 + random.below(700));
            let positions = [Positions::Posted, Positions::Missed, Positions::Drawn][(drops.len() - 1) % 3];
            drops.push(create(&server, &format!("starts-{cycle}"), starts_in, positions));
        }
        let both = [drops[0].id, drops.last().expect("one").id];
        let with_beacon = posted_to(&drops);
        let enough = random.below(800);
        let cycle = Cycle { server: &server, drops: both, answered: AtomicU64::new(0) };
        std::thread::scope(|scope| {
            for queuer in &mut queuers {
                let cycle = &cycle;
                scope.spawn(move || match queuer.name % 2 {
                    0 => queuer.queue_over_the_wire(cycle),
                    _ => queuer.queue_over_http(cycle),
                });
            }
            scope.spawn(|| turn.pause_until_killed(&server).is_ok());
            scope.spawn(|| post_beacons(server.admin, &with_beacon, &mut taken).is_ok());
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
    let (mut ordered, mut resolved) = (0u64, 0);
    for queuer in &mut queuers {
        for (drop, known) in &mut queuer.rooms {
            for buyer in std::mem::take(&mut known.unknown) {
                let answer = take_ticket(&mut client, *drop, &buyer).expect("answered");
                let (ticket, serving) = ticket_of(&answer);
                known.resolved += u64::from(answer.is_repeat());
                known.keep(&buyer, ticket, serving);
            }
            if let Some(buyer) = known.ordering.take() {
                let body = json!({ "buyer": buyer, "quantity": 1 });
                let key = if queuer.name.is_multiple_of(2) { hex(&key_of(&buyer)) } else { buyer.clone() };
                let answer = client.post(&format!("/v1/drops/{drop}/orders"), &key, &body).expect("answered");
                assert_eq!(answer.status, 201, "{buyer} is admitted: {:?}", answer.body);
                known.ordered.push(buyer);
            }
            ordered += u64::try_from(known.ordered.len()).expect("few");
            resolved += known.resolved;
        }
    }
    post_beacons(server.admin, &posted_to(&drops), &mut taken).expect("answered");
    let mut tickets = 0;
    for Made { id, .. } in &drops {
        let known: Vec<&Known> = queuers.iter().filter_map(|queuer| queuer.rooms.get(id)).collect();
        tickets += check_room(&mut client, *id, &known, seed);
    }
    let turns = turn.map_or(0, |turn| turn.check(&server));
    let draws = check_draws(&mut client, &drops, &data, seed);
    server.kill();
    let report = verify::verify(&data).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new(), "seed {seed}");
    assert_eq!((report.orders, report.held), (ordered, ordered), "seed {seed}: nothing twice, nothing lost");
    println!(
        "seed {seed}: {cycles} kills; {tickets} tickets, {resolved} lost answers were tickets; {ordered} orders of admitted \
         buyers; {draws} draws, {} answers that took a beacon; a turn that stood still was told {turns} times",
        taken.len()
    );
    assert!(tickets > 100 && ordered > 10 && turns > 5, "{tickets} {ordered} {turns}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

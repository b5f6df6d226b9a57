//! The same for a line behind a drop that is sold out: buyers order or stand by, leave, learn of their orders and give them
//! back. What came back was given on exactly once, in order (`verify` compares that), and no place was lost.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use firstcome::store::verify;
use serde_json::{Value, json};

use super::model::{self, Random};
use super::place;
use super::process::{Answer, Broken, Client, Pause, Process, wait_until};

const CLIENTS: u64 = 6;
const BUYERS_PER_CLIENT: usize = 5;
const UNITS: u64 = 6;

/// A buyer, as far as the client knows.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// Neither in the line nor with an order.
    Out,
    Waits {
        key: String,
        quantity: u64,
    },
    Has {
        key: String,
        quantity: u64,
        order: String,
    },
}

/// A request, which is sent again until it is answered.
#[derive(Clone, Debug)]
enum Wish {
    Order { key: String, quantity: u64 },
    Find,
    Leave,
    Cancel,
}

struct Buyer {
    name: String,
    stage: Stage,
    asked: u64,
    unanswered: Option<Wish>,
    /// Orders that were given back.
    ended: BTreeSet<String>,
    /// Orders from the line.
    granted: u64,
}

impl Buyer {
    fn choose(&mut self, random: &mut Random) -> Wish {
        match &self.stage {
            Stage::Out => {
                self.asked += 1;
                Wish::Order { key: format!("{}-{}", self.name, self.asked), quantity: 1 + random.below(2) }
            }
            Stage::Waits { .. } if random.one_in(4) => Wish::Leave,
            Stage::Waits { .. } => Wish::Find,
            Stage::Has { .. } => Wish::Cancel,
        }
    }

    fn step(&mut self, client: &mut Client, random: &mut Random) -> Result<(), Broken> {
        let wish = match self.unanswered.take() {
            Some(wish) => wish,
            None => self.choose(random),
        };
        self.unanswered = Some(wish.clone());
        let line = format!("/v1/drops/1/standby?buyer={}", self.name);
        match &wish {
            Wish::Order { key, quantity } => {
                let answer = self.order(client, key, *quantity)?;
                let (key, quantity) = (key.clone(), *quantity);
                self.stage = match answer.status {
                    201 => Stage::Has { key, quantity, order: id_of(&answer.body) },
                    202 => Stage::Waits { key, quantity },
                    _ => panic!("{}: {:?}", self.name, answer.body),
                };
            }
            Wish::Find => {
                let found = self.find(client, &line)?;
                assert_eq!(found.status, 200, "{} stands by: {:?}", self.name, found.body);
                self.learn(&found.body);
            }
            Wish::Leave => {
                client.send(&format!("DELETE {line} HTTP/1.1\r\nHost: localhost\r\n\r\n"))?;
                match client.receive()?.status {
                    204 => self.stage = Stage::Out,
                    // The order came first, or an answer was lost.
                    404 => match self.find(client, &line)? {
                        found if found.status == 200 => self.learn(&found.body),
                        _ => self.stage = Stage::Out,
                    },
                    other => panic!("{}: {other}", self.name),
                }
            }
            Wish::Cancel => {
                let Stage::Has { order, .. } = &self.stage else { panic!("{}: {:?}", self.name, self.stage) };
                let answer = client.post(&format!("/v1/orders/{order}/cancel"), "cancel", &json!({}))?;
                assert_eq!((answer.status, &answer.body["state"]), (200, &json!("cancelled")), "{}", self.name);
                self.ended.insert(order.clone());
                self.stage = Stage::Out;
            }
        }
        self.unanswered = None;
        Ok(())
    }

    fn order(&self, client: &mut Client, key: &str, quantity: u64) -> Result<Answer, Broken> {
        let body = json!({ "buyer": self.name, "quantity": quantity, "standby": true });
        client.post("/v1/drops/1/orders", key, &body)
    }

    /// Looks at the line with the key of the joining, which the answer with the order needs.
    fn find(&self, client: &mut Client, line: &str) -> Result<Answer, Broken> {
        let Stage::Waits { key, .. } = &self.stage else { panic!("{}: {:?}", self.name, self.stage) };
        client.send(&format!("GET {line} HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: {key}\r\n\r\n"))?;
        client.receive()
    }

    /// Keeps what a look at the line says of a buyer who stood by.
    fn learn(&mut self, body: &Value) {
        let Stage::Waits { key, quantity } = &self.stage else { panic!("{}: {:?}", self.name, self.stage) };
        if body["state"] == "waiting" {
            assert_eq!(body["quantity"].as_u64(), Some(*quantity), "{}", self.name);
            return;
        }
        assert_eq!(body["state"], "ordered", "{}", self.name);
        // An order of before, with another key, if the buyer has left since.
        let Some(order) = body["order"]["id"].as_str().map(str::to_owned) else {
            self.stage = Stage::Out;
            return;
        };
        if self.ended.contains(&order) {
            self.stage = Stage::Out;
        } else {
            self.granted += 1;
            self.stage = Stage::Has { key: key.clone(), quantity: *quantity, order };
        }
    }
}

fn id_of(order: &Value) -> String {
    order["id"].as_str().unwrap_or_else(|| panic!("no order: {order}")).to_string()
}

/// Lets each buyer of a client act in turn, until the connection breaks.
fn act(buyers: &mut [Buyer], random: &mut Random, server: SocketAddr, answered: &AtomicU64) {
    let Ok(mut client) = Client::connect(server) else { return };
    loop {
        for buyer in &mut *buyers {
            if buyer.step(&mut client, random).is_err() {
                return;
            }
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Compares what clients know with what the server says now; returns the units that are held.
fn check(buyers: &mut [Buyer], client: &mut Client, seed: u64) -> u64 {
    let (mut held, mut orders) = (0, BTreeSet::new());
    for buyer in &mut *buyers {
        if let Stage::Waits { .. } = buyer.stage {
            buyer.unanswered = Some(Wish::Find);
            buyer.step(client, &mut Random(seed)).expect("answered");
        }
        match &buyer.stage {
            Stage::Out => {}
            Stage::Waits { key, quantity } => {
                let again = buyer.order(client, key, *quantity).expect("answered");
                assert_eq!(
                    (again.status, &again.body["state"]),
                    (202, &json!("waiting")),
                    "seed {seed}: {}",
                    buyer.name
                );
            }
            Stage::Has { key, quantity, order } => {
                held += quantity;
                assert!(orders.insert(order.clone()), "seed {seed}: two buyers have the order {order}");
                let again = buyer.order(client, key, *quantity).expect("answered");
                let told = (again.status, id_of(&again.body), again.body["state"].as_str());
                assert_eq!(told, (201, order.clone(), Some("reserved")), "seed {seed}: {}", buyer.name);
            }
        }
        for order in &buyer.ended {
            let ended = client.get(&format!("/v1/orders/{order}")).expect("answered");
            assert_eq!(ended.body["state"], "cancelled", "seed {seed}: {}", buyer.name);
        }
    }
    let drop = client.get("/v1/drops/1").expect("answered").body;
    let waiting: Vec<u64> = buyers
        .iter()
        .filter_map(|buyer| if let Stage::Waits { quantity, .. } = &buyer.stage { Some(*quantity) } else { None })
        .collect();
    assert_eq!(drop["held"].as_u64(), Some(held), "seed {seed}: {drop}");
    let line = drop["standby"].as_u64().unwrap_or(0);
    assert_eq!(line, u64::try_from(waiting.len()).expect("few"), "seed {seed}: {drop}");
    assert!(waiting.iter().all(|quantity| *quantity > UNITS - held), "seed {seed}: units are free for {waiting:?}");
    held
}

#[test]
fn killed_while_units_go_from_hand_to_hand_it_loses_no_place_and_gives_each_unit_on_once() {
    let seed = model::replayed_seed().unwrap_or(0x57b);
    let cycles = model::scaled(10, 4);
    let mut random = Random(seed);
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, pause) = (scratch.path().join("data"), Pause::new(scratch.path()));
    let buyer = |client: u64, n: usize| Buyer {
        name: format!("buyer-{client}-{n}"),
        stage: Stage::Out,
        asked: 0,
        unanswered: None,
        ended: BTreeSet::new(),
        granted: 0,
    };
    let mut clients: Vec<Vec<Buyer>> =
        (0..CLIENTS).map(|client| (0..BUYERS_PER_CLIENT).map(|n| buyer(client, n)).collect()).collect();
    for cycle in 0..cycles {
        let place = if cycle == 0 { Vec::new() } else { place(&mut random, &pause) };
        let mut server = Process::start(&data, &place);
        if cycle == 0 {
            let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": UNITS,
                "starts_at": "2020-01-01T00:00:00.000Z", "reservation_seconds": 86_400, "per_buyer_limit": 100 });
            let made = Client::connect(server.admin).and_then(|mut admin| admin.post("/v1/drops", "create", &drop));
            assert_eq!(made.expect("answered").status, 201);
        }
        let (address, answered) = (server.public, AtomicU64::new(0));
        let enough = 200 + random.below(600);
        std::thread::scope(|scope| {
            for (buyers, name) in clients.iter_mut().zip(0u64..) {
                let (answered, mut random) = (&answered, Random(seed ^ (cycle << 32) ^ name));
                scope.spawn(move || act(buyers, &mut random, address, answered));
            }
            if place.is_empty() {
                wait_until("enough answers", || answered.load(Ordering::Relaxed) >= enough);
            } else {
                pause.wait();
            }
            server.signal(rustix::process::Signal::KILL);
        });
        server.kill();
    }
    let mut server = Process::start(&data, &[]);
    let mut client = Client::connect(server.public).expect("connected");
    let mut buyers: Vec<Buyer> = clients.into_iter().flatten().collect();
    let mut unknown = 0;
    for buyer in buyers.iter_mut().filter(|buyer| buyer.unanswered.is_some()) {
        buyer.step(&mut client, &mut random).expect("answered");
        unknown += 1;
    }
    let held = check(&mut buyers, &mut client, seed);
    server.kill();
    let report = verify::verify(&data).expect("verified");
    assert_eq!(report.problems, Vec::<String>::new(), "seed {seed}");
    let granted: u64 = buyers.iter().map(|buyer| buyer.granted).sum();
    let ended: usize = buyers.iter().map(|buyer| buyer.ended.len()).sum();
    println!(
        "seed {seed}: {cycles} kills; {granted} orders from the line, {ended} given back, {unknown} unknown requests at \
         the end, {held} units held"
    );
    assert!(granted > 20 && ended > 20, "seed {seed}: {granted} {ended}");
}

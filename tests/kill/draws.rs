//! Drops whose rooms are drawn about when the server is killed, and the operator who posts their beacons.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use firstcome::types::text::rfc3339;
use firstcome::writer::clock::wall_clock;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::process::{Broken, Client, Process};

/// The way to the positions of a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Positions {
    ByArrival,
    /// Drawn with a beacon that an operator posts.
    Posted,
    /// Drawn with a beacon that does not come within a second.
    Missed,
    Drawn,
}

/// A drop with a room, as it was created.
pub(crate) struct Made {
    pub(crate) id: u64,
    positions: Positions,
    commitment: Value,
}

/// A drop whose room is open and whose sale starts so long from now.
pub(crate) fn create(server: &Process, key: &str, starts_in: Duration, positions: Positions) -> Made {
    let milliseconds = i64::try_from(starts_in.as_millis()).expect("short");
    let mut drop = json!({
        "sku": "R", "name": "N", "currency": "EUR", "unit_price": 100, "total": 4_000_000_000_u32,
        "starts_at": rfc3339(wall_clock().plus_millis(milliseconds)), "reservation_seconds": 86_400,
        "room": { "opens_at": "2020-01-01T00:00:00.000Z", "admit_per_second": 300, "order_seconds": 3600 },
    });
    if positions != Positions::ByArrival {
        drop["room"]["draw"] = json!("random");
    }
    let beacon_seconds = match positions {
        Positions::ByArrival | Positions::Drawn => None,
        Positions::Posted => Some(3600),
        Positions::Missed => Some(1),
    };
    if let Some(seconds) = beacon_seconds {
        drop["room"]["beacon"] = json!("required");
        drop["room"]["beacon_seconds"] = json!(seconds);
    }
    let made = Client::connect(server.admin).and_then(|mut admin| admin.post("/v1/drops", key, &drop));
    let made = made.expect("answered");
    assert_eq!(made.status, 201, "{:?}", made.body);
    Made { id: made.body["id"].as_u64().expect("an id"), positions, commitment: made.body["commitment"].clone() }
}

/// An operator who posts the beacons of drops until the connection breaks, or all are posted. One that was taken stays.
pub(crate) fn post_beacons(admin: SocketAddr, drops: &[u64], taken: &mut BTreeSet<u64>) -> Result<(), Broken> {
    let mut client = Client::connect(admin)?;
    let mut missing: Vec<u64> = drops.to_vec();
    while !missing.is_empty() {
        let mut left = Vec::new();
        for drop in missing {
            let body = json!({ "value": "c0ffee", "source": "a die", "reason": "as announced" });
            let answer = client.post(&format!("/v1/drops/{drop}/room/beacon"), "beacon", &body)?;
            match (answer.status, answer.body["reason"].as_str()) {
                (200, _) => assert!(taken.insert(drop), "the beacon of drop {drop} was taken twice"),
                // Posted by a request whose answer was lost.
                (409, Some("posted" | "drawn")) => {}
                (409, Some("tickets_not_fixed")) => left.push(drop),
                _ => panic!("{:?}", answer.body),
            }
        }
        missing = left;
        std::thread::park_timeout(Duration::from_millis(5));
    }
    Ok(())
}

/// Each draw was made once, with the seed that was committed to and the beacon that was taken. Returns their number.
pub(crate) fn check_draws(client: &mut Client, drops: &[Made], data: &Path, seed: u64) -> usize {
    let drawn: Vec<&Made> = drops.iter().filter(|made| made.positions != Positions::ByArrival).collect();
    for made in &drawn {
        let told = client.get(&format!("/v1/drops/{}/draw", made.id)).expect("answered").body;
        assert_eq!((&told["state"], &told["commitment"]), (&json!("drawn"), &made.commitment), "seed {seed}: {told}");
        let beacon = if made.positions == Positions::Posted { json!("c0ffee") } else { Value::Null };
        assert_eq!(told.get("beacon").unwrap_or(&Value::Null), &beacon, "seed {seed}: {told}");
    }
    let file = Connection::open(data.join("firstcome.db")).expect("opened");
    for kind in ["room_tickets_fixed", "room_drawn"] {
        let sql = "SELECT count(*) FROM audit WHERE kind = ?1";
        let count: u32 = file.query_row(sql, [kind], |row| row.get(0)).expect("counted");
        assert_eq!(usize::try_from(count), Ok(drawn.len()), "seed {seed}: {kind}");
    }
    drawn.len()
}

/// The drops whose beacon an operator posts.
pub(crate) fn posted_to(drops: &[Made]) -> Vec<u64> {
    drops.iter().filter(|made| made.positions == Positions::Posted).map(|made| made.id).collect()
}

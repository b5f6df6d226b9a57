//! Answers about waiting rooms.

use firstcome::api::code::Code;
use serde_json::{Value, json};

use crate::http::{Answer, Server, call, listen, until};
use crate::{JSON, create, is, order_on};

/// A drop with a room, from which times on.
pub(crate) fn with_room(opens_at: &str, starts_at: &str) -> Value {
    json!({ "starts_at": starts_at, "room": { "opens_at": opens_at, "admit_per_second": 100 } })
}

pub(crate) fn rooms(server: &Server) {
    let public = server.0.server.public_address;
    let ticket = |drop_id: &Value, buyer: &str| -> Answer {
        let body = json!({ "buyer": buyer }).to_string();
        call(public, "POST", &format!("/v1/drops/{drop_id}/tickets"), JSON, &body)
    };
    let closed = create(server, "closed-room", &with_room("2998-01-01T00:00:00Z", "2999-01-01T00:00:00Z"));
    let refused = ticket(&closed, "ann");
    is(&refused, Code::NotOpen);
    assert_eq!(refused.body["opens_at"], "2998-01-01T00:00:00.000Z", "{}", refused.text);
    assert!(refused.headers.contains_key("retry-after"));
    let gathering = create(server, "gathering", &with_room("2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"));
    let taken = ticket(&gathering, "ann");
    assert_eq!((taken.status, &taken.body["number"], &taken.body["position"]), (201, &json!(1), &json!(0)));
    let again = ticket(&gathering, "ann");
    assert_eq!((again.status, again.headers["idempotent-replayed"].as_str()), (201, "true"));
    is(&order_on(server, &gathering, "early", "ann", 1), Code::NotStarted);
    let path = format!("/v1/drops/{gathering}/room");
    let room = server.public("GET", &path);
    assert_eq!((room.status, &room.body["state"], &room.body["tickets"]), (200, &json!("gathering"), &json!(1)));
    let tag = format!("If-None-Match: {}\r\n", room.headers["etag"]);
    assert_eq!(call(public, "GET", &path, &tag, "").status, 304);
    let console = format!("/v1/console/drops/{gathering}/room");
    let shown = call(server.0.server.admin_address, "GET", &console, "", "");
    assert_eq!((shown.status, shown.headers["cache-control"].as_str(), &shown.body), (200, "no-store", &room.body));
    assert_eq!(call(server.0.server.admin_address, "GET", &console, &tag, "").status, 304);
    listen(public, &format!("{path}/stream"), || {}, &["event: snapshot"]);
    let serving = create(server, "serving", &with_room("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"));
    is(&order_on(server, &serving, "uninvited", "ann", 1), Code::NotAdmitted);
    let mut empty = with_room("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z");
    empty["total"] = 0.into();
    let empty = create(server, "empty-room", &empty);
    is(&ticket(&empty, "ann"), Code::AllSold);
    is(&order_on(server, &empty, "nothing", "ann", 1), Code::AllSold);
    draws(server);
    let reason = json!({ "reason": "because" });
    assert_eq!(server.admin("POST", &format!("/v1/drops/{serving}/close"), &reason).status, 200);
    is(&ticket(&serving, "ann"), Code::Ended);
}

/// Answers about draws: of a drop that starts at once, so that no ticket is drawn.
fn draws(server: &Server) {
    let public = server.0.server.public_address;
    let drawn = |key: &str, beacon: &str| {
        let mut drop = with_room("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z");
        drop["room"]["draw"] = "random".into();
        drop["room"]["beacon"] = beacon.into();
        create(server, key, &drop)
    };
    let awaited = drawn("awaited", "required");
    let path = format!("/v1/drops/{awaited}/draw");
    until("the draw waits for its beacon", || server.public("GET", &path).body["state"] == "awaiting_beacon");
    let (admin, console) = (server.0.server.admin_address, format!("/v1/console{}", &path[3..]));
    let shown = call(admin, "GET", &console, "", "");
    assert_eq!((shown.status, &shown.body["state"]), (200, &json!("awaiting_beacon")), "{}", shown.text);
    let tag = format!("If-None-Match: {}\r\n", shown.headers["etag"]);
    assert_eq!(call(admin, "GET", &console, &tag, "").status, 304);
    let beacon = json!({ "value": "c0ffee", "source": "a public die" });
    let post = |drop_id: &Value| server.admin("POST", &format!("/v1/drops/{drop_id}/room/beacon"), &beacon);
    assert_eq!(post(&awaited).status, 200);
    until("nothing is drawn", || server.public("GET", &path).body["state"] == "drawn");
    let proof = server.public("GET", &format!("{path}?ticket=1"));
    assert_eq!((proof.status, proof.body.get("ticket")), (200, None));
    let tag = format!("If-None-Match: {}\r\n", proof.headers["etag"]);
    assert_eq!(call(public, "GET", &format!("{path}?ticket=1"), &tag, "").status, 304);
    is(&post(&drawn("alone", "none")), Code::BeaconNotTaken);
    let reason = json!({ "reason": "because" });
    assert_eq!(server.admin("POST", &format!("/v1/drops/{awaited}/close"), &reason).status, 200);
    is(&post(&awaited), Code::Ended);
    assert_eq!(server.public("GET", &path).body["state"], "drawn", "a draw that was made stays");
    let cancelled = drawn("cancelled", "required");
    let path = format!("/v1/drops/{cancelled}/draw");
    until("the draw waits for its beacon", || server.public("GET", &path).body["beacon_until"].is_string());
    assert_eq!(server.admin("POST", &format!("/v1/drops/{cancelled}/close"), &reason).status, 200);
    let told = server.public("GET", &path).body;
    assert_eq!((&told["state"], told.get("beacon_until")), (&json!("cancelled"), None), "{told}");
    is(&post(&cancelled), Code::Ended);
}

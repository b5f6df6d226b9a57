//! Answers about lines of buyers who stand by.

use firstcome::api::code::Code;
use firstcome::types::text::rfc3339;
use firstcome::writer::clock::wall_clock;
use serde_json::{Value, json};

use crate::http::{Answer, Server, call};
use crate::rooms::with_room;
use crate::{JSON, create, is, order_on};

pub(crate) fn standby(server: &Server) {
    let public = server.0.server.public_address;
    let send = |path: &str, drop_id: &Value, key: &str, body: &Value| -> Answer {
        let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
        call(public, "POST", &format!("/v1/drops/{drop_id}/{path}"), &headers, &body.to_string())
    };
    let join = |drop_id: &Value, key: &str, buyer: &str| -> Answer {
        send("standby", drop_id, key, &json!({ "buyer": buyer, "quantity": 1 }))
    };
    let about = |method: &str, drop_id: &Value, buyer: &str| -> Answer {
        call(public, method, &format!("/v1/drops/{drop_id}/standby?buyer={buyer}"), "", "")
    };
    let drop_id = create(server, "line", &json!({ "total": 1 }));
    let taken = order_on(server, &drop_id, "taken", "ann", 1);
    let first = join(&drop_id, "first", "bob");
    assert_eq!((first.status, &first.body["state"], &first.body["position"]), (202, &json!("waiting"), &json!(1)));
    let second = send("orders", &drop_id, "second", &json!({ "buyer": "cat", "quantity": 1, "standby": true }));
    assert_eq!((second.status, &second.body["position"], &second.body["standby"]), (202, &json!(2), &json!(2)));
    let again = join(&drop_id, "first", "bob");
    assert_eq!((again.status, again.headers["idempotent-replayed"].as_str()), (202, "true"));
    let differs = send("standby", &drop_id, "first", &json!({ "buyer": "bob", "quantity": 2 }));
    is(&differs, Code::KeyReused);
    is(&join(&drop_id, "more", "ann"), Code::LimitReached);
    let sold_out = order_on(server, &drop_id, "late", "dan", 1);
    is(&sold_out, Code::SoldOut);
    assert_eq!(sold_out.body["standby"], 2);
    let shown = server.public("GET", &format!("/v1/drops/{drop_id}"));
    assert_eq!(shown.body["standby"], 2, "{}", shown.text);
    assert_eq!(about("GET", &drop_id, "cat").body["position"], 2);
    assert_eq!(about("DELETE", &drop_id, "cat").status, 204);
    is(&about("GET", &drop_id, "cat"), Code::NotFound);
    let cancel = format!("/v1/orders/{}/cancel", taken.body["id"].as_str().expect("an id"));
    assert_eq!(call(public, "POST", &cancel, "", "").status, 200);
    // The order's id is the key to the order: a name alone does not get it, nor does another key.
    let path = format!("/v1/drops/{drop_id}/standby?buyer=bob");
    let with_key = |key: &str| call(public, "GET", &path, &format!("Idempotency-Key: {key}\r\n"), "");
    for stranger in [about("GET", &drop_id, "bob"), with_key("second"), with_key("")] {
        let told = (stranger.status, &stranger.body["state"], stranger.body.get("order"));
        assert_eq!(told, (200, &json!("ordered"), None), "{}", stranger.text);
    }
    let granted = with_key("first");
    assert_eq!((granted.status, &granted.body["state"]), (200, &json!("ordered")), "{}", granted.text);
    assert!(granted.body["order"]["id"].is_string(), "{}", granted.text);
    let again = join(&drop_id, "first", "bob");
    assert_eq!((again.status, &again.body["order"]["id"]), (202, &granted.body["order"]["id"]));

    is(
        &join(&create(server, "unborn-line", &json!({ "starts_at": "2999-01-01T00:00:00Z" })), "a", "ann"),
        Code::NotStarted,
    );
    let capped = create(server, "capped-line", &json!({ "total": 1, "identity_limits": { "email": 1 } }));
    let with = |buyer: &str| json!({ "buyer": buyer, "quantity": 1, "contact": { "email": "ann@example.org" } });
    assert_eq!(send("orders", &capped, "capped", &with("ann")).status, 201);
    is(&send("standby", &capped, "capped-too", &with("bob")), Code::IdentityLimitReached);
    let room = create(server, "line-behind-a-room", &with_room("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"));
    is(&join(&room, "a", "ann"), Code::NotAdmitted);
    let operate = |what: &str| {
        let path = format!("/v1/drops/{drop_id}/{what}");
        assert_eq!(server.admin("POST", &path, &json!({ "reason": "because" })).status, 200);
    };
    operate("pause");
    is(&join(&drop_id, "b", "eve"), Code::DropPaused);
    operate("close");
    is(&join(&drop_id, "b", "eve"), Code::Ended);
    is(&about("DELETE", &drop_id, "bob"), Code::Ended);
}

/// An order of a blind window: recorded, told again, taken back.
pub(crate) fn blind(server: &Server) {
    let public = server.0.server.public_address;
    let starts_at = rfc3339(wall_clock().plus_millis(-1000));
    let drop_id = create(server, "blind", &json!({ "starts_at": starts_at, "blind_ms": 5000 }));
    let shown = server.public("GET", &format!("/v1/drops/{drop_id}"));
    assert_eq!((&shown.body["blind_ms"], shown.body["commitment"].is_string()), (&json!(5000), true), "{}", shown.text);
    let recorded = order_on(server, &drop_id, "blind", "ann", 1);
    assert_eq!((recorded.status, &recorded.body["state"]), (202, &json!("recorded")), "{}", recorded.text);
    let again = order_on(server, &drop_id, "blind", "ann", 1);
    assert_eq!((again.status, &again.body["ticket"]), (202, &json!(1)), "{}", again.text);
    assert_eq!(again.headers["idempotent-replayed"].as_str(), "true");
    is(&order_on(server, &drop_id, "blind", "ann", 2), Code::KeyReused);
    let line = format!("/v1/drops/{drop_id}/standby?buyer=ann");
    assert_eq!(call(public, "GET", &line, "", "").body["state"], "recorded");
    assert_eq!(call(public, "DELETE", &line, "", "").status, 204);
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 1,
                       "starts_at": "2999-01-01T00:00:00Z", "blind_ms": 5001 });
    is(&server.admin("POST", "/v1/drops", &drop), Code::Validation);
    let mut both = with_room("2020-01-01T00:00:00Z", "2999-01-02T00:00:00Z");
    both["blind_ms"] = json!(1);
    for (name, value) in drop.as_object().expect("members").iter().filter(|(name, _)| *name != "blind_ms") {
        both.as_object_mut().expect("members").entry(name.clone()).or_insert_with(|| value.clone());
    }
    is(&server.admin("POST", "/v1/drops", &both), Code::Validation);
}

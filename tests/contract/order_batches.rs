//! Answers to batches of orders.

use firstcome::api::code::Code;
use serde_json::{Value, json};

use crate::http::{Server, call};
use crate::rooms::with_room;
use crate::{JSON, create, is};

/// The body of an order whose texts are as long as they may be, written in ASCII.
fn longest(drop_id: &Value, number: usize) -> String {
    let escaped = |bytes: usize| r"\u00e9".repeat(bytes / 2);
    let (key, texts) = (format!("{number:0>255}"), escaped(500));
    let contact = format!(r#"{{"name":"{texts}","email":"{texts}","phone":"{texts}","address":"{texts}"}}"#);
    format!(
        r#"{{"drop_id":{drop_id},"key":"{key}","buyer":"{number:04}{}","quantity":1,"contact":{contact},"payment_fingerprint":"{}"}}"#,
        escaped(124),
        escaped(128)
    )
}

pub(crate) fn batches(server: &Server) {
    let admin = server.0.server.admin_address;
    let send = |orders: &[Value]| {
        let body = json!({ "orders": orders });
        call(admin, "POST", "/v1/orders:batch", JSON, &body.to_string())
    };
    let drop_id = create(server, "batch", &json!({ "total": 3, "per_buyer_limit": 1 }));
    let order = |drop_id: &Value, key: &str, buyer: &str| json!({ "drop_id": drop_id, "key": key, "buyer": buyer, "quantity": 1 });
    let room = create(server, "batch-behind-a-room", &with_room("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"));
    let unborn = create(server, "unborn-batch", &json!({ "starts_at": "2999-01-01T00:00:00Z" }));
    let contact = json!({ "email": "cat@example.org" });
    let with_contact = json!({ "drop_id": drop_id, "key": "c", "buyer": "cat", "quantity": 1, "contact": contact });
    let stands_by = json!({ "drop_id": drop_id, "key": "e", "buyer": "eve", "quantity": 1, "standby": true });
    let answer = send(&[
        order(&drop_id, "a", "ann"),
        order(&drop_id, "a", "ann"),
        order(&drop_id, "b", "ann"),
        with_contact,
        order(&json!(4_000_000_000_u32), "a", "ann"),
        order(&room, "a", "ann"),
        order(&unborn, "a", "ann"),
        order(&drop_id, "d", "dan"),
        order(&drop_id, "f", "fay"),
        stands_by,
    ]);
    assert_eq!(answer.status, 200, "{}", answer.text);
    let results = answer.body["results"].as_array().expect("results");
    let told: Vec<Value> = results.iter().map(|result| result["status"].clone()).collect();
    assert_eq!(told, [201, 201, 409, 201, 404, 409, 403, 201, 409, 202], "{}", answer.text);
    assert_eq!((&results[1]["repeated"], &results[0]["repeated"]), (&json!(true), &Value::Null));
    assert_eq!(results[0]["order"]["id"], results[1]["order"]["id"]);
    assert_eq!(results[3]["order"]["state"], "awaiting_payment");
    assert_eq!(results[2]["problem"]["code"], "limit-reached");
    assert_eq!(results[8]["problem"]["code"], "sold-out");
    assert_eq!(results[9]["standby"]["position"], 1);
    assert_eq!(results[2]["problem"]["request_id"].as_str(), answer.headers["request-id"].as_str().into());
    let refused = send(&[order(&drop_id, "a", "ann"), json!({ "drop_id": 0 })]);
    is(&refused, Code::Validation);
    assert_eq!(refused.body["errors"][0]["pointer"], "/orders/1/drop_id", "{}", refused.text);
    // A refusal is a decision of its order, although a pause has the status of what was not decided.
    let paused = create(server, "paused-batch", &json!({ "total": 1 }));
    let pause = call(admin, "POST", &format!("/v1/drops/{paused}/pause"), JSON, r#"{"reason":"a mistake"}"#);
    assert_eq!(pause.status, 200, "{}", pause.text);
    let answer = send(&[order(&paused, "a", "ann")]);
    assert_eq!((answer.status, &answer.body["results"][0]["problem"]["code"]), (200, &json!("drop-paused")));
    assert!(!answer.headers.contains_key("firstcome-undecided"), "{:?}", answer.headers);
    let of_many = create(server, "longest-batch", &json!({ "total": 100 }));
    let longest: Vec<String> = (0..100).map(|number| longest(&of_many, number)).collect();
    let answer = call(admin, "POST", "/v1/orders:batch", JSON, &format!(r#"{{"orders":[{}]}}"#, longest.join(",")));
    let results = answer.body["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(results.len() == 100 && results.iter().all(|result| result["status"] == 201), "{}", answer.text);
}

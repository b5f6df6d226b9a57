//! The contract as a careful reader of it would try it: spellings, limits, precedence, headers.

use crate::http::{Answer, Server, call, serve, serve_with};
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\n";

fn send(server: &Server, headers: &str, body: &str) -> Answer {
    call(server.0.server.public_address, "POST", "/v1/drops/1/orders", headers, body)
}

fn pointers(answer: &Answer) -> Vec<&str> {
    let errors = answer.body["errors"].as_array().into_iter().flatten();
    errors.filter_map(|error| error["pointer"].as_str()).collect()
}

#[test]
fn json_is_read_without_ambiguity() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(100);
    let ann = r#""buyer":"ann","quantity":1"#;
    for malformed in [
        "",
        "nonsense",
        &format!("{{{ann}}} {{}}"),
        r#"{"buyer":"\ud800","quantity":1}"#,
        r#"{"buyer":"ann","quantity":1e999}"#,
        &format!("\u{feff}{{{ann}}}"),
    ] {
        assert_eq!(server.order("k", malformed).body["code"], "malformed", "{malformed}");
    }
    for (wrong, pointer) in [
        (r#"{"buyer":"ann","quantity":1,"quantity":2}"#, "/quantity"),
        (r#"{"buyer":"ann","quantity":1,"contact":{"email":"a","email":"b"}}"#, "/contact/email"),
        (r#"{"buyer":"a\u0000b","quantity":1}"#, "/buyer"),
        (r#"{"buyer":"a\nb","quantity":1}"#, "/buyer"),
        (r#"{"buyer":"","quantity":1}"#, "/buyer"),
        (r#"{"buyer":"ann","quantity":"1"}"#, "/quantity"),
        (r#"{"buyer":"ann","quantity":1.5}"#, "/quantity"),
        (r#"{"buyer":"ann","quantity":9007199254740993}"#, "/quantity"),
        (r#"{"buyer":"ann","quantity":18446744073709551616}"#, "/quantity"),
        (r#"{"buyer":"ann","quantity":1,"contact":null}"#, "/contact"),
        (r#"{"buyer":"ann","quantity":1,"contact":{}}"#, "/contact"),
        (r#"{"buyer":"ann","quantity":1,"contact":{"fax":"1"}}"#, "/contact/fax"),
        (r#"{"buyer":"ann","quantity":1,"contact":{"name":"a\nb"}}"#, "/contact/name"),
        (r#"{"buyer":"ann","quantity":1,"contact":{"address":"a\u0000b"}}"#, "/contact/address"),
        (r#"{"buyer":"ann","quantity":1,"a/b~c":1}"#, "/a~1b~0c"),
        ("[]", ""),
        (r#"["ann",1]"#, ""),
        (r#" [null,1]"#, ""),
    ] {
        let answer = server.order("k", wrong);
        assert_eq!((answer.body["code"].as_str(), pointers(&answer)), (Some("validation"), vec![pointer]), "{wrong}");
    }
    let long = |bytes: usize| format!(r#"{{"buyer":"{}","quantity":1}}"#, "ü".repeat(bytes / 2));
    assert_eq!(server.order("l", &long(130)).status, 400, "lengths are bytes");
    assert_eq!(server.order("l", &long(128)).status, 201);
    let contact = r#"{"buyer":"bob","quantity":1,"contact":{"address":"a\tb\n\ud83d\ude42"}}"#;
    let id = server.order("m", contact).body["id"].as_str().expect("an id").to_string();
    let kept = call(server.0.server.admin_address, "GET", &format!("/v1/orders/{id}/contact"), "", "");
    assert_eq!(kept.body["address"], "a\tb\n🙂", "kept to the last bit");
    assert_eq!(server.order("n", r#"{"buyer":"zoe","quantity":1.0}"#).body["quantity"], 1);
    server.stop();
}

#[test]
fn headers_are_read_once_and_media_types_with_their_parameters() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(100);
    let body = r#"{"buyer":"ann","quantity":1}"#;
    for media in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json;charset=\"UTF-8\""] {
        assert_eq!(
            send(&server, &format!("Content-Type: {media}\r\nIdempotency-Key: k\r\n"), body).status,
            201,
            "{media}"
        );
    }
    for media in ["", "Content-Type: text/json\r\n", "Content-Type: application/jsonp\r\n"] {
        assert_eq!(send(&server, &format!("{media}Idempotency-Key: k\r\n"), body).status, 415, "{media}");
    }
    for keys in ["Idempotency-Key: a\r\nIdempotency-Key: b\r\n", "Idempotency-Key: a\r\nIdempotency-Key: a\r\n"] {
        assert_eq!(send(&server, &format!("{JSON}{keys}"), body).body["code"], "idempotency-key-missing", "{keys}");
    }
    for key in ["", "a b", "\"a", &"k".repeat(256)] {
        let headers = format!("{JSON}Idempotency-Key: {key}\r\n");
        assert_eq!(send(&server, &headers, body).body["code"], "idempotency-key-missing", "{key}");
    }
    let quoted = send(&server, &format!("{JSON}Idempotency-Key: \"k\"\r\n"), body);
    assert_eq!(quoted.headers["idempotent-replayed"], "true", "quoted and bare are one key");
    let sane = send(&server, &format!("{JSON}Request-Id: my-1.x_Y\r\n"), "{");
    assert_eq!((sane.headers["request-id"].as_str(), sane.body["request_id"].as_str()), ("my-1.x_Y", Some("my-1.x_Y")));
    for odd in ["a b", "<script>", &"x".repeat(65)] {
        assert_ne!(send(&server, &format!("{JSON}Request-Id: {odd}\r\n"), "{").headers["request-id"], odd);
    }
    server.stop();
}

#[test]
fn mistakes_are_told_in_their_order() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let large = "x".repeat(9000);
    assert_eq!(send(&server, "", &large).status, 415, "the media type before the size");
    assert_eq!(send(&server, JSON, &large).status, 413, "the size before the content");
    assert_eq!(send(&server, JSON, "{").body["code"], "malformed");
    assert_eq!(send(&server, JSON, "{}").body["code"], "validation", "the content before the key");
    let good = r#"{"buyer":"ann","quantity":1}"#;
    assert_eq!(send(&server, JSON, good).body["code"], "idempotency-key-missing", "the key before the drop");
    assert_eq!(send(&server, &format!("{JSON}Idempotency-Key: k\r\n"), good).body["code"], "not-found");
    server.stop();
}

#[test]
fn a_path_has_one_spelling_but_for_the_case_of_a_uuid() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(5);
    let id = server.order("k", r#"{"buyer":"ann","quantity":1}"#).body["id"].as_str().expect("an id").to_string();
    assert_eq!(server.public("GET", "/v1/drops/1?").status, 200, "a query without a parameter");
    let unknown = server.public("GET", "/v1/drops/1?whatever=1");
    assert_eq!((unknown.body["code"].as_str(), pointers(&unknown)), (Some("validation"), vec!["/whatever"]));
    let encoded = id.replace('-', "%2D");
    let orders = [encoded, format!("{id}/")].map(|id| format!("/v1/orders/{id}"));
    let drops = ["/v1/drops/", "/v1/drops/1/", "/v1//drops/1", "/v1/drops/01", "/v1/drops/+1", "/v1/drops/%31"];
    let others = ["/v1/drops/0", "/v1/drops/4294967296", "/v1/drops/1%00", "/v1/%64rops", "/", "/openapi.json/"];
    for path in drops.iter().chain(&others).copied().chain(orders.iter().map(String::as_str)) {
        let answer = server.public("GET", path);
        assert_eq!((answer.status, answer.body["code"].as_str()), (404, Some("not-found")), "{path}");
    }
    for method in ["PUT", "DELETE", "PATCH", "POST", "OPTIONS"] {
        let answer = server.public(method, "/v1/drops/1");
        assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "GET, HEAD"), "{method}");
    }
    server.stop();
}

#[test]
fn every_answer_says_how_long_it_may_be_kept_and_what_it_depends_on() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| config.cors_origins = vec!["https://shop.example".into()]);
    server.create(5);
    let public = server.0.server.public_address;
    let order = server.order("k", r#"{"buyer":"ann","quantity":1}"#);
    assert!(order.headers["server-timing"].starts_with("queue;dur="));
    assert_eq!(order.headers["firstcome-seq"], "2");
    let drop = call(public, "GET", "/v1/drops/1", "Origin: https://shop.example\r\n", "");
    assert_eq!(drop.headers["cache-control"], "public, max-age=1, stale-while-revalidate=5");
    assert_eq!(
        (drop.headers["vary"].as_str(), drop.headers["access-control-allow-origin"].as_str()),
        ("Origin", "https://shop.example")
    );
    let foreign = call(public, "GET", "/v1/drops/1", "Origin: https://other.example\r\n", "");
    assert_eq!(foreign.headers["vary"], "Origin", "caches must tell origins apart");
    assert!(!foreign.headers.contains_key("access-control-allow-origin"));
    let preflight = call(public, "OPTIONS", "/v1/drops/1/orders", "Origin: https://shop.example\r\n", "");
    assert_eq!((preflight.status, preflight.headers["cache-control"].as_str()), (204, "no-store"));
    for header in ["Content-Type", "Idempotency-Key", "Authorization", "If-None-Match", "Request-Id", "Traceparent"] {
        let allowed = &preflight.headers["access-control-allow-headers"];
        assert!(allowed.split(", ").any(|name| name == header), "{header}: {allowed}");
    }
    for (path, status) in [("/v1/drops", 200), ("/nothing", 404), ("/openapi.json", 200)] {
        let answer = server.public("GET", path);
        assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (status, "no-store"), "{path}");
    }
    let csv = call(server.0.server.admin_address, "GET", "/v1/orders", "Accept: text/csv\r\n", "");
    let json = server.admin("GET", "/v1/orders", &Value::Null);
    assert!(csv.headers["vary"].contains("Accept") && json.headers["vary"].contains("Accept"));
    let search = server.admin("POST", "/v1/orders/search", &json!({ "code": "FC-0" }));
    assert_eq!(search.body, json!({ "data": [], "has_more": false }));
    server.stop();
}

#[test]
fn codes_of_iso_4217_that_are_no_money_are_refused_where_a_currency_is_set() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    let id = server.create(5);
    assert_eq!(id.status, 201);
    let drop = |currency: &str| {
        json!({ "sku": "S", "name": "N", "currency": currency, "unit_price": 100, "total": 5,
                "starts_at": "2020-01-01T00:00:00Z" })
    };
    let auction = |currency: &str| {
        json!({ "sku": "S", "name": "N", "currency": currency, "start_price": 100,
                "starts_at": "2020-01-01T00:00:00Z", "ends_at": "2099-01-01T00:00:00Z" })
    };
    for code in ["XXX", "XTS", "XAU", "XAG", "XPT", "XPD", "XDR", "XUA", "XSU", "XBA", "EURO", "eur", "ZZZ"] {
        for answer in
            [server.admin("POST", "/v1/drops", &drop(code)), server.admin("POST", "/v1/auctions", &auction(code))]
        {
            assert_eq!((answer.status, pointers(&answer)), (400, vec!["/currency"]), "{code}: {}", answer.text);
        }
        let listed =
            crate::http::contract::DOCUMENT["components"]["schemas"]["Currency"]["enum"].as_array().expect("codes");
        assert!(!listed.contains(&json!(code)) && listed.contains(&json!("XOF")), "{code}");
    }
    server.stop();
}

#[test]
fn an_e_mail_address_is_found_in_either_case_and_no_other_is() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    server.create(20);
    let spellings =
        ["ann@shop.example", "Ann@Shop.Example", "ANN@SHOP.EXAMPLE", "annn@shop.example", "ann%shop.example"];
    for (number, email) in spellings.into_iter().enumerate() {
        let order = json!({ "buyer": format!("b{number}"), "quantity": 1, "contact": { "email": email } });
        assert_eq!(server.order(&format!("k{number}"), &order.to_string()).status, 201);
    }
    for email in ["ann@shop.example", "aNN@sHOP.eXAMPLE"] {
        let found = server.admin("POST", "/v1/orders/search", &json!({ "email": email }));
        let buyers: Vec<&str> =
            found.body["data"].as_array().into_iter().flatten().filter_map(|order| order["buyer"].as_str()).collect();
        assert_eq!(buyers, ["b0", "b1", "b2"], "{email}: {}", found.text);
    }
    let none = server.admin("POST", "/v1/orders/search", &json!({ "email": "%" }));
    assert_eq!(none.body["data"], json!([]));
    server.stop();
}

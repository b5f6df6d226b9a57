//! Challenges on the real server: who needs one, what passes and how often, and what a service outside may do to a sale.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use crate::http::proof_of_work::solve;
use crate::http::{Answer, Server, call, serve_with};
use crate::provider_stub::{StubProvider, StubRequest};
use crate::provider_webhooks::secret_file;
use firstcome::config::{Config, KeyFile};
use firstcome::types::Tier;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};

/// A client's address, of a network for documentation.
const CLIENT: &str = "192.0.2.1";

/// A server behind a proxy on this machine, whose clients have no limits that a test would meet.
fn serve(directory: &Path, change: impl FnOnce(&mut Config)) -> Server {
    serve_with(directory, |config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        // Requests of this file look like a bot's: tests/server/risk.rs has the signals.
        config.risk.enabled = false;
        config.admission.address_buyers = 0;
        config.admission.address_writes = 0;
        (config.challenge.minnumber, config.challenge.maxnumber) = (10, 200);
        change(config);
    })
}

fn new_drop(server: &Server, key: &str, challenge: Value) -> Answer {
    let mut drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 1000,
                           "starts_at": "2020-01-01T00:00:00Z", "per_buyer_limit": 50 });
    drop.as_object_mut().expect("an object").extend(challenge.as_object().expect("an object").clone());
    let headers = format!("Content-Type: application/json\r\nIdempotency-Key: {key}\r\n");
    call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &drop.to_string())
}

fn with_proof_of_work(directory: &Path, change: impl FnOnce(&mut Config)) -> Server {
    let server = serve(directory, change);
    assert_eq!(new_drop(&server, "1", json!({ "challenge": "proof_of_work" })).status, 201);
    server
}

fn from(server: &Server, address: &str, method: &str, path: &str, more: &str, body: &str) -> Answer {
    let headers = format!("X-Forwarded-For: {address}\r\nContent-Type: application/json\r\n{more}");
    call(server.0.server.public_address, method, path, &headers, body)
}

/// Orders with a solution, if there is one.
fn order(server: &Server, key: &str, solution: Option<&str>) -> Answer {
    order_of(server, 1, "ann", key, solution)
}

fn order_of(server: &Server, drop_id: u32, buyer: &str, key: &str, solution: Option<&str>) -> Answer {
    let solution = solution.map(|solution| format!("Firstcome-Challenge: {solution}\r\n")).unwrap_or_default();
    let body = json!({ "buyer": buyer, "quantity": 1 }).to_string();
    let more = format!("Idempotency-Key: {key}\r\n{solution}");
    from(server, CLIENT, "POST", &format!("/v1/drops/{drop_id}/orders"), &more, &body)
}

fn challenge(server: &Server, drop_id: u32) -> Value {
    let answer = from(server, CLIENT, "GET", &format!("/v1/drops/{drop_id}/challenge"), "", "");
    assert_eq!((answer.status, answer.headers["cache-control"].as_str()), (200, "no-store"), "{}", answer.text);
    answer.body
}

fn solution(server: &Server) -> String {
    solve(&challenge(server, 1))
}

fn reason(answer: &Answer) -> &str {
    assert_eq!((answer.status, answer.body["code"].as_str()), (428, Some("challenge-required")), "{}", answer.text);
    answer.body["reason"].as_str().expect("a reason")
}

fn results(server: &Server, result: &str) -> f64 {
    server.metric(&format!("firstcome_challenges_total{{result=\"{result}\"}} "))
}

#[test]
fn an_order_of_a_tier_below_passes_with_a_solution_that_counts_once() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = with_proof_of_work(scratch.path(), |_| {});
    let missing = order(&server, "k", None);
    assert_eq!(reason(&missing), "missing");
    let url = format!("http://{}/v1/drops/1/challenge", server.0.server.public_address);
    assert_eq!(missing.body["challenge"], json!({ "kind": "proof_of_work", "url": url }));

    let solved = solution(&server);
    let made = order(&server, "k", Some(&solved));
    assert_eq!(made.status, 201, "{}", made.text);
    let again = order(&server, "k", Some(&solved));
    assert_eq!((again.status, again.headers["idempotent-replayed"].as_str()), (201, "true"));
    assert_eq!(again.body["id"], made.body["id"]);
    assert_eq!(reason(&order(&server, "l", Some(&solved))), "replayed");
    assert_eq!(reason(&order_of(&server, 1, "bob", "k", Some(&solved))), "replayed");

    assert_eq!(new_drop(&server, "2", json!({ "challenge": "proof_of_work" })).status, 201);
    let elsewhere = solution(&server);
    assert_eq!(reason(&order_of(&server, 2, "ann", "k", Some(&elsewhere))), "another_drop");
    assert_eq!(order(&server, "m", Some(&elsewhere)).status, 201, "its own drop takes it still");
    assert_eq!(reason(&order(&server, "n", Some(&format!("{}A", solution(&server))))), "malformed");
    assert_eq!(reason(&order(&server, "n", Some(&"A".repeat(12_000)))), "malformed");
    let twice = format!("{0}\r\nFirstcome-Challenge: {0}", solution(&server));
    assert_eq!(reason(&order(&server, "n", Some(&twice))), "malformed");
    let mut wrong = challenge(&server, 1);
    wrong["signature"] = "0".repeat(64).into();
    assert_eq!(reason(&order(&server, "n", Some(&solve(&wrong)))), "wrong");

    for (result, least) in [("issued", 5.0), ("solved", 2.0), ("replayed", 2.0), ("failed", 5.0)] {
        assert!(results(&server, result) >= least, "{result}: {}", results(&server, result));
    }
    assert_eq!(results(&server, "solved") + results(&server, "too_fast"), 2.0, "a repeat counts nothing");
    server.stop();
}

#[test]
fn who_is_trusted_enough_or_exempt_needs_no_solution() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = with_proof_of_work(scratch.path(), |config| config.admission.default_tier = Tier::Verified);
    assert_eq!(order(&server, "k", None).status, 201);
    let premium = json!({ "challenge": "proof_of_work", "challenge_below": "premium" });
    assert_eq!(new_drop(&server, "2", premium).status, 201);
    assert_eq!(reason(&order_of(&server, 2, "ann", "k", None)), "missing");
    // The proxy's own machine is exempt.
    let body = r#"{"buyer":"box-office","quantity":1}"#;
    let headers = "Content-Type: application/json\r\nIdempotency-Key: k\r\n";
    assert_eq!(call(server.0.server.public_address, "POST", "/v1/drops/2/orders", headers, body).status, 201);
    assert_eq!(new_drop(&server, "3", json!({})).status, 201);
    assert_eq!(order_of(&server, 3, "ann", "k", Some("whatever")).status, 201, "it is ignored where none is demanded");
    assert_eq!(from(&server, CLIENT, "GET", "/v1/drops/9/challenge", "", "").status, 404);
    server.stop();
}

#[test]
fn a_challenge_that_was_made_with_a_token_counts_for_its_buyer_alone_and_the_token_s_tier_decides() {
    const SECRET: &[u8] = b"the shop's first secret, 32 bytes or more";
    let scratch = tempfile::tempdir().expect("scratch");
    let path = scratch.path().join("shop.secret");
    std::fs::write(&path, SECRET).expect("written");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    let server = with_proof_of_work(scratch.path(), |config| {
        config.identity_audience = "drops".into();
        config.hs256_secret_files = vec![KeyFile { kid: None, path }];
        config.admission.tier_writes = [0; 4];
    });
    let bearer = |buyer: &str, tier: &str| {
        let claims = json!({ "sub": buyer, "aud": "drops", "exp": get_current_timestamp() + 600, "tier": tier });
        let token = encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET)).expect("signed");
        format!("Authorization: Bearer {token}\r\n")
    };
    let (ann, bob) = (bearer("ann", "new"), bearer("bob", "suspected"));
    let order = |token: &str, key: &str, solution: &str| {
        let more = format!("{token}Idempotency-Key: {key}\r\n{solution}");
        from(&server, CLIENT, "POST", "/v1/drops/1/orders", &more, r#"{"quantity":1}"#)
    };
    assert_eq!(order(&bearer("zoe", "verified"), "k", "").status, 201);
    assert_eq!((reason(&order(&ann, "k", "")), reason(&order(&bob, "k", ""))), ("missing", "missing"));
    let of_ann = from(&server, CLIENT, "GET", "/v1/drops/1/challenge", &ann, "");
    let solved = format!("Firstcome-Challenge: {}\r\n", solve(&of_ann.body));
    assert_eq!(reason(&order(&bob, "l", &solved)), "another_buyer");
    assert_eq!(order(&ann, "l", &solved).status, 201);
    server.stop();
}

#[test]
fn of_two_orders_with_one_solution_at_once_exactly_one_passes() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = with_proof_of_work(scratch.path(), |config| config.admission.tier_writes = [0; 4]);
    for round in 0..10 {
        let solved = solution(&server);
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let (server, solved) = (&server, &solved);
                    scope.spawn(move || order(server, &format!("{round}-{thread}"), Some(solved)).status)
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("answered")).collect()
        });
        let passed = statuses.iter().filter(|status| **status == 201).count();
        assert!(passed == 1 && statuses.iter().all(|status| [201, 428].contains(status)), "{statuses:?}");
    }
    server.stop();
}

#[test]
fn after_a_restart_a_repeat_is_answered_and_no_solution_of_before_passes() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = with_proof_of_work(scratch.path(), |_| {});
    let (used, unused) = (solution(&server), solution(&server));
    let made = order(&server, "k", Some(&used));
    assert_eq!(made.status, 201);
    server.stop();
    let server = serve(scratch.path(), |_| {});
    let again = order(&server, "k", Some(&used));
    assert_eq!((again.status, &again.body["id"]), (201, &made.body["id"]), "{}", again.text);
    assert_eq!(reason(&order(&server, "l", Some(&used))), "expired");
    assert_eq!(reason(&order(&server, "l", Some(&unused))), "expired");
    assert_eq!(order(&server, "l", Some(&solution(&server))).status, 201);
    server.stop();
}

#[test]
fn a_blind_window_records_no_order_without_a_solution_and_a_repeat_after_a_restart_needs_no_other() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path(), |_| {});
    let blind = json!({ "challenge": "proof_of_work", "blind_ms": 5000,
                        "starts_at": firstcome::types::text::rfc3339(firstcome::writer::clock::wall_clock()) });
    assert_eq!(new_drop(&server, "1", blind).status, 201);
    assert_eq!(reason(&order(&server, "k", None)), "missing");
    let used = solution(&server);
    let made = order(&server, "k", Some(&used));
    assert_eq!((made.status, &made.body["ticket"]), (202, &json!(1)), "{}", made.text);
    // A paused drop decides nothing, so that the order is still recorded after the restart.
    assert_eq!(server.admin("POST", "/v1/drops/1/pause", &json!({ "reason": "because" })).status, 200);
    server.stop();
    let server = serve(scratch.path(), |_| {});
    let again = order(&server, "k", Some(&used));
    assert_eq!((again.status, &again.body["ticket"]), (202, &json!(1)), "{}", again.text);
    assert_eq!(reason(&order(&server, "l", Some(&used))), "expired");
    server.stop();
}

#[test]
fn a_frame_of_the_wire_protocol_has_no_room_for_a_solution_and_is_told_so() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = with_proof_of_work(scratch.path(), |config| config.limits.loopback_is_client = true);
    let mut stream = TcpStream::connect(server.0.server.wire_address).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("set");
    let mut frame = vec![0x09, 24, 0, 0, 0, 1, 1];
    frame.extend([7; 16]);
    frame.extend(b"ann");
    stream.write_all(&frame).expect("sent");
    let mut answer = [0u8; 36];
    stream.read_exact(&mut answer).expect("answered");
    assert_eq!(answer[..4], [0x0a, 34, 0, 29], "RESERVED with the reason of the problem table");
    server.stop();
}

/// The token of a form, by which the stub decides.
fn token(request: &StubRequest) -> String {
    let field = request.body.split('&').find_map(|pair| pair.strip_prefix("response="));
    field.expect("a token").to_string()
}

/// A service that verifies tokens by their names.
fn site() -> StubProvider {
    StubProvider::new(Box::new(|_, request| {
        let failed = |code: &str| json!({ "success": false, "error-codes": [code] });
        let right = |host: &str, action: &str| json!({ "success": true, "hostname": host, "action": action });
        Some(match token(request).split('-').next().expect("a word") {
            "good" => (200, "", right("Shop.Example", "buy").to_string()),
            "elsewhere" => (200, "", right("evil.example", "buy").to_string()),
            "login" => (200, "", right("shop.example", "login").to_string()),
            "bad" => (200, "", failed("invalid-input-response").to_string()),
            "bad400" => (400, "", failed("invalid-input-response").to_string()),
            "twice" => (200, "", failed("timeout-or-duplicate").to_string()),
            "seen" => (200, "", failed("already-seen-response").to_string()),
            "secret" => (200, "", failed("invalid-input-secret").to_string()),
            "broken" => (200, "", "<html>".into()),
            "failing" => (500, "", "{}".into()),
            _ => return None,
        })
    }))
}

fn with_site(directory: &Path, site: &StubProvider, change: impl FnOnce(&mut Config)) -> Server {
    let server = serve(directory, |config| {
        config.challenge.siteverify_url = format!("{}/siteverify", site.url());
        config.challenge.secret_file = Some(secret_file(directory, "site.secret", "s3cret & more=1"));
        config.challenge.site_key = "site-key".into();
        config.challenge.widget_url = "https://challenges.example/api.js".into();
        config.challenge.timeout = Duration::from_secs(2);
        change(config);
    });
    assert_eq!(new_drop(&server, "1", json!({ "challenge": "external" })).status, 201);
    server
}

#[test]
fn a_token_is_verified_once_at_the_service_and_a_repeat_does_not_ask_again() {
    let (scratch, site) = (tempfile::tempdir().expect("scratch"), site());
    let change = |config: &mut Config| {
        config.challenge.secret_file = Some(secret_file(scratch.path(), "site.secret", "s3cret\n"));
        config.challenge.hostnames = vec!["shop.example".into()];
        config.challenge.action = "buy".into();
    };
    let server = with_site(scratch.path(), &site, change);
    let missing = order(&server, "k", None);
    assert_eq!(reason(&missing), "missing");
    let told = json!({ "kind": "external", "url": "https://challenges.example/api.js", "site_key": "site-key" });
    assert_eq!(missing.body["challenge"], told);
    assert_eq!(from(&server, CLIENT, "GET", "/v1/drops/1/challenge", "", "").status, 404);
    assert!(site.requests().is_empty());

    let made = order(&server, "k", Some("good-1"));
    assert_eq!(made.status, 201, "{}", made.text);
    let asked = site.requests();
    assert_eq!((asked.len(), asked[0].body.as_str()), (1, "secret=s3cret&response=good-1"));
    assert_eq!(asked[0].headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(order(&server, "k", Some("good-1")).body["id"], made.body["id"]);
    assert_eq!(order(&server, "k", Some("good-2")).body["id"], made.body["id"], "the key decides what a repeat is");
    assert_eq!(site.requests().len(), 1, "a repeat asks nobody");

    for (sent, why) in [
        ("elsewhere-1", "wrong"),
        ("login-1", "wrong"),
        ("bad-1", "wrong"),
        ("bad400-1", "wrong"),
        ("twice-1", "expired"),
        ("seen-1", "replayed"),
    ] {
        assert_eq!(reason(&order(&server, sent, Some(sent))), why, "{sent}");
    }
    assert_eq!(reason(&order(&server, "long", Some(&"x".repeat(9000)))), "malformed");
    server.stop();
    // A new process knows the order, though not the token.
    let before = site.requests().len();
    let server = serve(scratch.path(), |config| {
        config.challenge.siteverify_url = format!("{}/siteverify", site.url());
        change(config);
    });
    assert_eq!(order(&server, "k", Some("good-1")).body["id"], made.body["id"]);
    assert_eq!(site.requests().len(), before);
    server.stop();
}

#[test]
fn while_the_service_does_not_answer_orders_are_refused_and_the_sale_goes_on() {
    let (scratch, site) = (tempfile::tempdir().expect("scratch"), site());
    let change = |config: &mut Config| {
        config.challenge.secret_file = Some(secret_file(scratch.path(), "site.secret", "s3cret"));
        config.challenge.in_flight_max = 1;
        // Long enough for what happens while one request is in flight.
        config.challenge.timeout = Duration::from_secs(4);
    };
    let server = with_site(scratch.path(), &site, change);
    for sent in ["secret-1", "broken-1", "failing-1"] {
        assert_eq!(reason(&order(&server, sent, Some(sent))), "unavailable", "{sent}");
    }
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| order(&server, "slow", Some("slow-1")));
        crate::http::until("the service is asked", || site.requests().iter().any(|request| token(request) == "slow-1"));
        assert_eq!(new_drop(&server, "2", json!({})).status, 201);
        assert_eq!(order_of(&server, 2, "bob", "k", None).status, 201, "the writer does not wait");
        let busy = order(&server, "busy", Some("good-2"));
        assert_eq!((busy.status, busy.body["code"].as_str()), (503, Some("overloaded")), "{}", busy.text);
        assert_eq!(reason(&slow.join().expect("answered")), "unavailable");
    });
    assert_eq!(order(&server, "good", Some("good-1")).status, 201);
    assert_eq!(results(&server, "unavailable"), 4.0);
    server.stop();
}

#[test]
fn a_shop_that_fails_open_sells_while_the_service_does_not_answer_but_not_for_wrong_tokens() {
    let (scratch, site) = (tempfile::tempdir().expect("scratch"), site());
    let change = |config: &mut Config| {
        config.challenge.secret_file = Some(secret_file(scratch.path(), "site.secret", "s3cret"));
        config.challenge.fail_open = true;
        config.challenge.send_address = true;
    };
    let server = with_site(scratch.path(), &site, change);
    for sent in ["failing-1", "slow-1"] {
        assert_eq!(order(&server, sent, Some(sent)).status, 201, "{sent}");
    }
    assert_eq!(reason(&order(&server, "bad", Some("bad-1"))), "wrong");
    assert_eq!(reason(&order(&server, "none", None)), "missing");
    assert_eq!(reason(&order(&server, "broken", Some("broken-1"))), "unavailable", "a client may cause such an answer");
    assert!(site.requests()[0].body.ends_with("&remoteip=192.0.2.1"), "{}", site.requests()[0].body);
    assert_eq!(results(&server, "unavailable"), 3.0);
    server.stop();
}

#[test]
fn a_drop_cannot_demand_what_the_settings_cannot_verify_and_an_older_one_sells_to_nobody_below() {
    let (scratch, site) = (tempfile::tempdir().expect("scratch"), site());
    let change = |config: &mut Config| {
        config.challenge.secret_file = Some(secret_file(scratch.path(), "site.secret", "s3cret"));
    };
    with_site(scratch.path(), &site, change).stop();
    let server = serve(scratch.path(), |_| {});
    let refused = new_drop(&server, "2", json!({ "challenge": "external" }));
    assert_eq!(
        (refused.status, &refused.body["errors"][0]["pointer"]),
        (400, &json!("/challenge")),
        "{}",
        refused.text
    );
    assert_eq!(reason(&order(&server, "k", Some("good-1"))), "unavailable");
    let patch = json!({ "expected_revision": 1, "reason": "no service", "challenge": "proof_of_work" });
    let patched = server.admin("PATCH", "/v1/drops/1", &patch);
    assert_eq!(patched.status, 200, "{}", patched.text);
    assert_eq!(order(&server, "k", Some(&solution(&server))).status, 201, "the change is in force at once");
    let patch = json!({ "expected_revision": 2, "reason": "back", "challenge": "external" });
    assert_eq!(server.admin("PATCH", "/v1/drops/1", &patch).status, 400);
    assert!(site.requests().is_empty());
    server.stop();
}

#[test]
fn a_start_refuses_a_secret_that_others_can_read_and_never_shows_it() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut config = crate::http::config(scratch.path());
    config.challenge.siteverify_url = "https://challenges.example/siteverify".into();
    let path = scratch.path().join("site.secret");
    std::fs::write(&path, "TopSecret").expect("written");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("set");
    config.challenge.secret_file = Some(path);
    let (code, told) = crate::http::try_serve(config).err().expect("refused");
    assert!(code == 64 || code == 78, "{code}");
    assert!(told.contains("site.secret") && !told.contains("TopSecret"), "{told}");
}

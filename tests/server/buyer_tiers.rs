//! Tiers that operators set: in force with the answer, whatever token or default says, and kept by restarts.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::http::{Answer, Server, call, serve_with};
use firstcome::config::{Config, KeyFile};
use firstcome::store::verify;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rustix::process::Signal;
use serde_json::{Value, json};

const SECRET: &[u8] = b"the shop's first secret, 32 bytes or more";

fn with_tokens(directory: &Path, config: &mut Config) {
    let path = directory.join("shop.secret");
    std::fs::write(&path, SECRET).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
    config.identity_audience = "drops".into();
    config.hs256_secret_files = vec![KeyFile { kid: None, path }];
    config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
}

fn token(buyer: &str, tier: &str) -> String {
    let claims = json!({ "sub": buyer, "aud": "drops", "exp": get_current_timestamp() + 600, "tier": tier });
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET)).expect("signed")
}

fn order(server: &Server, token: &str, key: u32) -> Answer {
    let headers = format!(
        "X-Forwarded-For: 203.0.113.7\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n\
         Authorization: Bearer {token}\r\n"
    );
    call(server.0.server.public_address, "POST", "/v1/drops/1/orders", &headers, r#"{"quantity":1}"#)
}

/// The quota of writes that an answer tells.
fn quota(answer: &Answer) -> &str {
    let (_, rest) = answer.headers["ratelimit-policy"].split_once(";q=").expect("a quota");
    rest.split(';').next().expect("a number")
}

fn tier_of(server: &Server, buyer: &str) -> Value {
    let answer = server.admin("GET", &format!("/v1/buyers/{buyer}/tier"), &json!({}));
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

#[test]
fn a_tier_is_in_force_with_its_answer_and_wins_over_the_token_until_it_is_removed() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| {
        with_tokens(scratch.path(), config);
        config.risk.enabled = false;
    });
    assert_eq!(server.create(1000).status, 201);
    let ann = token("ann", "premium");
    assert_eq!(quota(&order(&server, &ann, 1)), "200");
    assert_eq!(tier_of(&server, "ann"), json!({ "buyer": "ann", "tier": "new", "source": "default" }));
    let suspected = json!({ "tier": "suspected", "reason": "400 orders a minute" });
    let set = server.admin("PUT", "/v1/buyers/ann/tier", &suspected);
    assert_eq!((set.status, &set.body["source"], &set.body["tier"]), (200, &json!("operator"), &json!("suspected")));
    let refused = order(&server, &ann, 2);
    assert_eq!(refused.status, 429, "{}", refused.text);
    assert!(refused.body["violated_policies"].as_array().expect("policies").contains(&json!("buyer-suspected")));
    assert_eq!(quota(&order(&server, &token("bob", "verified"), 3)), "100", "others keep theirs");
    let verified = json!({ "tier": "verified", "reason": "called us", "expires_at": "2999-01-01T00:00:00Z" });
    let set = server.admin("PUT", "/v1/buyers/ann/tier", &verified);
    assert_eq!((set.status, &set.body["expires_at"]), (200, &json!("2999-01-01T00:00:00.000Z")), "{}", set.text);
    assert_eq!(quota(&order(&server, &ann, 4)), "100");
    for _ in 0..2 {
        assert_eq!(server.admin("DELETE", "/v1/buyers/ann/tier", &json!({})).status, 204);
        assert_eq!(quota(&order(&server, &ann, 4)), "200");
    }
    assert_eq!(tier_of(&server, "ann")["source"], "default");
}

#[test]
fn a_tier_of_an_operator_wins_over_the_risk_score_which_stays_in_sight() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| {
        with_tokens(scratch.path(), config);
        // A single order without a read of its drop is enough.
        config.risk.suspect_at = 1;
    });
    assert_eq!(server.create(1000).status, 201);
    let ann = token("ann", "premium");
    assert_eq!(quota(&order(&server, &ann, 1)), "1");
    let told = tier_of(&server, "ann");
    assert_eq!((&told["tier"], &told["source"]), (&json!("suspected"), &json!("risk")), "{told}");
    let verified = json!({ "tier": "verified", "reason": "a false positive" });
    let set = server.admin("PUT", "/v1/buyers/ann/tier", &verified);
    assert_eq!((&set.body["tier"], &set.body["source"]), (&json!("verified"), &json!("operator")), "{}", set.text);
    assert!(set.body["risk_score"].as_u64().expect("a score") > 0, "{}", set.text);
    assert_eq!(set.body["risk_signals"], told["risk_signals"]);
    assert_eq!(quota(&order(&server, &ann, 2)), "100");
}

#[test]
fn tiers_survive_a_restart_and_the_audit_tells_them_without_the_buyers_name() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, log) = (scratch.path().join("data"), scratch.path().join("log"));
    let said = std::fs::File::create(&log).expect("made");
    let mut server =
        crate::process::Process::start_saying(&data, &[("FIRSTCOME__LOG__LEVEL", "info".into())], said.into());
    let put = |admin, buyer: &str, tier: &str| {
        let body = json!({ "tier": tier, "reason": "a test" }).to_string();
        let path = format!("/v1/buyers/{buyer}/tier");
        call(admin, "PUT", &path, "Host: localhost\r\nContent-Type: application/json\r\n", &body)
    };
    assert_eq!(put(server.admin, "ann%40example.org", "premium").status, 200);
    assert_eq!(put(server.admin, "caf%C3%A9%2Fbar", "suspected").status, 200);
    assert_eq!(put(server.admin, "gone", "suspected").status, 200);
    assert_eq!(call(server.admin, "DELETE", "/v1/buyers/gone/tier", "Host: localhost\r\n", "").status, 204);
    crate::http::until("the log names buyers by their digests", || {
        let said = std::fs::read_to_string(&log).expect("its log");
        let lines = said.lines().filter(|line| line.contains("operator command"));
        assert!(!said.contains("ann") && !said.contains("caf"), "{said}");
        lines
            .filter(|line| line.contains("buyer_tier") && line.contains("buyer ") && !line.contains("database"))
            .count()
            == 4
    });
    server.kill();
    let mut server = crate::process::Process::start(&data, &[]);
    let get = |buyer: &str| {
        let answer = call(server.admin, "GET", &format!("/v1/buyers/{buyer}/tier"), "Host: localhost\r\n", "");
        (answer.body["buyer"].clone(), answer.body["tier"].clone(), answer.body["source"].clone())
    };
    assert_eq!(get("ann%40example.org"), (json!("ann@example.org"), json!("premium"), json!("operator")));
    assert_eq!(get("caf%C3%A9%2Fbar"), (json!("café/bar"), json!("suspected"), json!("operator")));
    assert_eq!(get("gone").2, json!("default"));
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(verify::verify(&data).expect("verified").problems, Vec::<String>::new());
    let connection = rusqlite::Connection::open(data.join("firstcome.db")).expect("opened");
    let mut statement = connection
        .prepare("SELECT kind || ' ' || detail FROM audit WHERE kind LIKE 'buyer%' ORDER BY seq")
        .expect("rows");
    let rows: Vec<String> =
        statement.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("texts");
    assert_eq!(rows.len(), 4, "{rows:?}");
    assert!(rows[0].starts_with("buyer_tier_set ") && rows[3].starts_with("buyer_tier_removed "), "{rows:?}");
    assert!(rows.iter().all(|row| !row.contains("ann") && !row.contains("café")), "{rows:?}");
    connection.execute("UPDATE buyer_tiers SET tier = 'new' WHERE tier = 'suspected'", []).expect("altered");
    drop(statement);
    drop(connection);
    let problems = verify::verify(&data).expect("read").problems;
    assert!(problems.iter().any(|problem| problem.contains("the tier of event")), "{problems:?}");
}

#[test]
fn what_is_no_tier_or_no_buyer_is_refused_with_every_mistake() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |_| {});
    let pointers = |body: &Value| {
        let answer = server.admin("PUT", "/v1/buyers/ann/tier", body);
        assert_eq!(answer.status, 400, "{}", answer.text);
        let errors = answer.body["errors"].as_array().expect("errors").iter();
        errors.map(|error| error["pointer"].as_str().expect("a pointer").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(pointers(&json!({ "tier": "gold" })), ["/tier", "/reason"]);
    assert_eq!(pointers(&json!({ "tier": "new", "reason": "x", "expires_at": "soon" })), ["/expires_at"]);
    let past = json!({ "tier": "new", "reason": "x", "expires_at": "2020-01-01T00:00:00Z" });
    let refused = server.admin("PUT", "/v1/buyers/ann/tier", &past);
    assert_eq!(refused.body["errors"][0]["pointer"], "/expires_at", "{}", refused.text);
    let good = json!({ "tier": "new", "reason": "x" });
    for nobody in ["%00", "%FF", &"x".repeat(129)] {
        assert_eq!(server.admin("PUT", &format!("/v1/buyers/{nobody}/tier"), &good).status, 404, "{nobody}");
    }
    assert_eq!(server.admin("PUT", &format!("/v1/buyers/{}/tier", "x".repeat(128)), &good).status, 200);
    assert_eq!(server.public("GET", "/v1/buyers/ann/tier").status, 404, "buyers have no such route");
}

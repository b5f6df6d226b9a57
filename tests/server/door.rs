//! The door on the real server: who is limited by what, what a refused client is told, and what changed limits need.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::http::{Answer, Server, call, serve_with, until};
use crate::process::Process;
use firstcome::config::{Config, KeyFile};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rustix::process::Signal;
use serde_json::{Value, json};

const SECRET: &[u8] = b"the shop's first secret, 32 bytes or more";

/// A server behind a proxy on this machine: a request comes from the address that it forwards.
fn behind_a_proxy(directory: &Path, change: impl FnOnce(&mut Config)) -> Server {
    serve_with(directory, |config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        // Requests of this file look like a bot's: tests/server/risk.rs has the signals.
        config.risk.enabled = false;
        change(config);
    })
}

fn with_tokens(directory: &Path, config: &mut Config) {
    let path = directory.join("shop.secret");
    std::fs::write(&path, SECRET).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
    config.identity_audience = "drops".into();
    config.hs256_secret_files = vec![KeyFile { kid: None, path }];
}

fn token(buyer: &str, tier: &Value) -> String {
    let mut claims = json!({ "sub": buyer, "aud": "drops", "exp": get_current_timestamp() + 600, "tier": tier });
    claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET)).expect("signed")
}

/// Sends a request from an address, with further headers.
fn from(server: &Server, address: &str, method: &str, path: &str, more: &str, body: &str) -> Answer {
    let headers = format!("X-Forwarded-For: {address}\r\nContent-Type: application/json\r\n{more}");
    call(server.0.server.public_address, method, path, &headers, body)
}

fn order(server: &Server, address: &str, buyer: &str, key: u32) -> Answer {
    let body = json!({ "buyer": buyer, "quantity": 1 }).to_string();
    from(server, address, "POST", "/v1/drops/1/orders", &format!("Idempotency-Key: {key}\r\n"), &body)
}

fn order_as(server: &Server, address: &str, token: &str, key: u32) -> Answer {
    let more = format!("Idempotency-Key: {key}\r\nAuthorization: Bearer {token}\r\n");
    from(server, address, "POST", "/v1/drops/1/orders", &more, r#"{"quantity":1}"#)
}

fn violated(answer: &Answer) -> Vec<&str> {
    assert_eq!((answer.status, answer.body["code"].as_str()), (429, Some("rate-limited")), "{}", answer.text);
    let names = answer.body["violated_policies"].as_array().expect("policies");
    names.iter().filter_map(Value::as_str).collect()
}

/// Parses a list of strings with parameters (RFC 9651, 3.1 and 3.1.2), of which the draft makes both headers. Values are
/// integers or strings here.
fn structured(header: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut rest = header;
    let mut all = BTreeMap::new();
    loop {
        let (name, after) = string(rest);
        rest = after;
        let mut parameters = BTreeMap::new();
        while let Some(after) = rest.strip_prefix(';') {
            let after = after.trim_start_matches(' ');
            let end = after.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c)));
            let (key, after) = after.split_at(end.expect("a value follows"));
            assert!(key.starts_with(|c: char| c.is_ascii_lowercase() || c == '*'), "{header}");
            let after = after.strip_prefix('=').expect("a value");
            let (value, after) = if after.starts_with('"') {
                string(after)
            } else {
                let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
                assert!((1..=15).contains(&end), "{header}: an integer has 1 to 15 digits");
                (after[..end].to_string(), &after[end..])
            };
            assert_eq!(parameters.insert(key.to_string(), value), None, "{header}");
            rest = after;
        }
        assert!(all.insert(name, parameters).is_none(), "{header}");
        if rest.is_empty() {
            return all;
        }
        rest = rest.trim_start_matches([' ', '\t']).strip_prefix(',').expect("a comma").trim_start_matches([' ', '\t']);
        assert!(!rest.is_empty(), "{header}: no comma at the end");
    }
}

fn string(text: &str) -> (String, &str) {
    let inner = text.strip_prefix('"').expect("a string");
    let end = inner.find('"').expect("its end");
    assert!(inner[..end].bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'\\'), "{text}");
    (inner[..end].to_string(), &inner[end + 1..])
}

/// The quota, the rest and the seconds of each policy that an answer tells, which are whole numbers in their place.
fn told(answer: &Answer) -> BTreeMap<String, (u64, u64, u64)> {
    let policies = structured(&answer.headers["ratelimit-policy"]);
    let limits = structured(&answer.headers["ratelimit"]);
    assert!(policies.keys().eq(limits.keys()), "{:?}", answer.headers);
    let number = |parameters: &BTreeMap<String, String>, key: &str| parameters[key].parse::<u64>().expect("a number");
    let mut all = BTreeMap::new();
    for (name, policy) in &policies {
        let limit = &limits[name];
        assert_eq!(policy.keys().map(String::as_str).collect::<Vec<_>>(), ["q", "w"]);
        assert_eq!(limit.keys().map(String::as_str).collect::<Vec<_>>(), ["r", "t"]);
        let (quota, rest) = (number(policy, "q"), number(limit, "r"));
        assert!(number(policy, "w") == 60 && rest <= quota);
        all.insert(name.clone(), (quota, rest, number(limit, "t")));
    }
    all
}

#[test]
fn a_client_without_room_is_told_which_policies_and_when_and_gets_in_then() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = behind_a_proxy(scratch.path(), |config| {
        config.admission.address_writes = 60;
        config.admission.address_reads = 3;
        config.admission.tier_writes = [1, 40, 40, 40];
    });
    server.create(1_000);
    let first = order(&server, "192.0.2.1", "ann", 1);
    assert_eq!(first.status, 201);
    assert_eq!(told(&first), [("address-writes".into(), (60, 59, 1)), ("buyer-new".into(), (40, 39, 2))].into());
    let again = order(&server, "192.0.2.1", "ann", 1);
    assert_eq!((again.status, again.headers["idempotent-replayed"].as_str()), (201, "true"), "a repeat is a request");
    let body = json!({ "buyer": "ann", "quantity": 1 }).to_string();
    let refused = from(&server, "192.0.2.1", "POST", "/v1/drops/9/orders", "Idempotency-Key: 1\r\n", &body);
    assert_eq!((refused.status, told(&refused)["address-writes"]), (404, (60, 57, 1)), "it was let in, too");

    let mut last = 0;
    let limited = loop {
        last += 1;
        let answer = order(&server, "192.0.2.1", "ann", 100 + last);
        if answer.status == 429 {
            break answer;
        }
        assert!(last < 60);
    };
    assert_eq!(violated(&limited), ["buyer-new"]);
    assert_eq!(told(&limited)["buyer-new"].1, 0);
    assert!((1..=2).contains(&told(&limited)["buyer-new"].2));
    assert!(order(&server, "192.0.2.1", "bob", 1).status == 201, "the address has room, and so has another buyer");
    let began = Instant::now();
    let mut key = 200;
    let limited = loop {
        key += 1;
        let answer = from(&server, "192.0.2.9", "POST", "/v1/orders/x/cancel", "", "");
        if answer.status == 429 {
            break answer;
        }
        assert_eq!(answer.status, 404);
        assert!(key < 400, "{:?}", began.elapsed());
    };
    assert_eq!(violated(&limited), ["address-writes"]);
    let wait: u64 = limited.headers["retry-after"].parse().expect("whole seconds");
    assert_eq!(wait, 1);
    let told_at = Instant::now();
    until("the time is over that it was told", || told_at.elapsed() >= Duration::from_secs(wait));
    assert_eq!(from(&server, "192.0.2.9", "POST", "/v1/orders/x/cancel", "", "").status, 404, "as it was told");

    for number in 0..3 {
        let read = from(&server, "192.0.2.1", "GET", "/v1/drops/1", "", "");
        assert!(read.status == 200 && !read.headers.contains_key("ratelimit"), "{number}");
    }
    let read = from(&server, "192.0.2.1", "GET", "/v1/drops/1", "", "");
    assert_eq!((violated(&read), read.headers["retry-after"].as_str()), (vec!["address-reads"], "20"));
    assert_eq!(from(&server, "192.0.2.2", "GET", "/v1/drops/1", "", "").status, 200);
    let admin = call(server.0.server.admin_address, "GET", "/v1/audit", "X-Forwarded-For: 192.0.2.1\r\n", "");
    assert_ne!(admin.status, 429, "operators are not limited");
    assert!(server.metric("firstcome_rate_limited_total{policy=\"address-reads\"} ") >= 1.0);
    assert!(server.metric("firstcome_tier_requests_total{tier=\"new\"} ") >= 40.0);
    assert!(server.metric("firstcome_turned_away_total{reason=\"rate_limit\"} ") >= 3.0);
    server.stop();
}

#[test]
fn a_forged_header_helps_nobody_and_a_flood_of_names_from_one_address_has_one_budget() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| {
        config.limits.loopback_is_client = true;
        config.admission.address_writes = 30;
    });
    server.create(1_000);
    let named: Vec<u16> =
        (0..25).map(|n| order(&server, &format!("192.0.2.{n}"), &format!("b{n}"), 1).status).collect();
    assert_eq!(
        named.iter().filter(|status| **status == 201).count(),
        20,
        "from nobody we trust the header is worth nothing"
    );
    assert_eq!(violated(&order(&server, "192.0.2.77", "b77", 1)), ["address-buyers"]);
    assert_ne!(order(&server, "192.0.2.77", "b1", 1).status, 429, "a buyer who was named counts on");
    server.stop();
}

#[test]
fn one_address_in_many_shapes_has_one_budget_and_a_header_that_cannot_be_read_has_no_more() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = behind_a_proxy(scratch.path(), |config| config.admission.address_reads = 3);
    let passed = |shapes: &[&str]| {
        let read = |shape: &&&str| from(&server, shape, "GET", "/v1/drops", "", "").status == 200;
        shapes.iter().filter(read).count()
    };
    for shapes in [
        &[
            "192.0.2.1",
            "::ffff:192.0.2.1",
            "192.0.2.1:99",
            "[::ffff:192.0.2.1]:9",
            "6.6.6.6, 192.0.2.1 ",
            "nonsense,192.0.2.1",
        ],
        &[
            "2001:db8::1",
            "2001:DB8::2",
            "[2001:db8::3]:443",
            "2001:db8:0:0:ffff::",
            "::1, 2001:db8::4",
            "[2001:db8::5]",
        ],
        &["fe80::1%eth0", "fe80::2", "[fe80::3%1]:9", "fe80::4%eth1", "fe80::5%25", "[fe80::6%eth0]"],
        &["unknown", "", "192.0.2.256", "192.0.2.9, nonsense", "0x7f.0.0.1", "127.1"],
    ] {
        assert_eq!(passed(shapes), 3, "{shapes:?}");
    }
    assert_eq!(passed(&["127.0.0.1"; 9]), 9, "the proxy that calls for itself");
    server.stop();
}

#[test]
fn a_write_to_which_no_limit_applies_has_no_headers_of_limits() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = behind_a_proxy(scratch.path(), |config| {
        (config.admission.address_writes, config.admission.address_buyers) = (0, 20);
        config.admission.tier_writes = [0; 4];
    });
    server.create(1_000);
    for address in ["192.0.2.1", "127.0.0.1"] {
        let made = order(&server, address, address, 1);
        assert!(made.status == 201 && !made.headers.contains_key("ratelimit"), "{:?}", made.headers);
    }
    server.stop();
}

#[test]
fn a_campus_of_token_holders_is_not_one_client_and_a_tier_that_does_not_exist_is_unauthorized() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = behind_a_proxy(scratch.path(), |config| {
        with_tokens(scratch.path(), config);
        config.admission.address_writes = 2;
        config.admission.address_reads = 2;
        config.admission.tier_writes = [1, 2, 3, 4];
    });
    server.create(10_000);
    let campus = "198.51.100.7";
    for number in 0..60 {
        let ann = token(&format!("student-{number}"), &Value::Null);
        assert_eq!(order_as(&server, campus, &ann, 1).status, 201, "student {number}");
        let read = from(&server, campus, "GET", "/v1/drops/1", &format!("Authorization: Bearer {ann}\r\n"), "");
        assert_eq!(read.status, 200, "student {number}");
    }
    for (tier, limit, policy) in [
        (json!("new"), 2, "buyer-new"),
        (json!("verified"), 3, "buyer-verified"),
        (json!("premium"), 4, "buyer-premium"),
    ] {
        let bob = token(&format!("bob-{tier}"), &tier);
        for key in 0..limit {
            assert_ne!(order_as(&server, campus, &bob, key).status, 429, "{tier}");
        }
        let limited = order_as(&server, "203.0.113.5", &bob, 99);
        assert_eq!(violated(&limited), [policy], "wherever they are");
        assert_eq!(told(&limited)[policy].0, u64::from(limit));
    }
    let eve = token("eve", &json!("suspected"));
    assert_eq!(order_as(&server, "203.0.113.9", &eve, 1).status, 201);
    assert_eq!(violated(&order_as(&server, "203.0.113.9", &eve, 2)), ["buyer-suspected"]);
    assert_ne!(order_as(&server, "203.0.113.9", &token("mal", &json!("suspected")), 1).status, 429);
    let third = order_as(&server, "203.0.113.9", &token("oscar", &json!("suspected")), 1);
    assert_eq!(violated(&third), ["address-writes"], "suspects are charged to their address, too");
    for wrong in [json!("gold"), json!("New"), json!(""), json!(3)] {
        let answer = order_as(&server, "203.0.113.20", &token("zoe", &wrong), 1);
        assert!(matches!(answer.status, 401 | 429), "{wrong}: {}", answer.status);
    }
    assert_eq!(order_as(&server, "203.0.113.20", "guess", 1).status, 429, "who guesses tokens is limited by address");
    server.stop();
}

#[test]
fn a_flood_of_forged_tokens_is_told_so_unseen_and_neither_known_tokens_nor_other_addresses_suffer() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = behind_a_proxy(scratch.path(), |config| {
        with_tokens(scratch.path(), config);
        config.http_threads = 1;
        config.admission.address_invalid_tokens = 5;
    });
    server.create(1_000);
    let (forger, ann, bob) = ("192.0.2.1", token("ann", &Value::Null), token("bob", &Value::Null));
    assert_eq!(order_as(&server, forger, &ann, 1).status, 201);
    let forged = |number: u32| {
        let claims = json!({ "sub": "ann", "aud": "drops", "exp": get_current_timestamp() + u64::from(number) });
        let secret = EncodingKey::from_secret(b"somebody else's secret, 32 bytes long");
        encode(&Header::new(Algorithm::HS256), &claims, &secret).expect("signed")
    };
    for number in 0..5 {
        assert_eq!(order_as(&server, forger, &forged(600 + number), 2).status, 401, "{number}");
    }
    let read = |address: &str, token: &str| {
        from(&server, address, "GET", "/v1/drops/1", &format!("Authorization: Bearer {token}\r\n"), "")
    };
    let limited = order_as(&server, forger, &forged(700), 2);
    assert_eq!(violated(&limited), ["address-invalid-tokens"]);
    assert_eq!(limited.headers["retry-after"], "12", "five a minute");
    assert_eq!(violated(&read(forger, &forged(701))), ["address-invalid-tokens"], "where no token is needed, too");
    assert_eq!(
        violated(&order_as(&server, forger, &bob, 3)),
        ["address-invalid-tokens"],
        "nobody knows yet that it is valid"
    );
    assert_eq!(order_as(&server, forger, &ann, 4).status, 201, "a token that was verified before");
    assert_eq!(from(&server, forger, "GET", "/v1/drops/1", "", "").status, 200, "no token at all");
    assert_eq!(order_as(&server, "192.0.2.2", &bob, 3).status, 201, "another address");
    assert_eq!(order_as(&server, forger, &bob, 3).status, 201, "known by now");
    server.stop();
}

#[test]
fn a_signal_puts_changed_limits_in_force_and_a_wrong_file_keeps_them() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (data, file, log) = (scratch.path().join("data"), scratch.path().join("f.toml"), scratch.path().join("log"));
    let write = |text: &str| std::fs::write(&file, text).expect("written");
    write("[http]\nloopback_is_client = true\n[admission]\naddress_reads_per_minute = 5\n");
    let said = std::fs::File::create(&log).expect("made");
    // The arguments come after these.
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "exec \"$0\" \"$@\" --config \"$SETTINGS\"", env!("CARGO_BIN_EXE_firstcome")])
        .env("SETTINGS", &file);
    let mut process = Process::start_through(command, &data, &[("FIRSTCOME__LOG__LEVEL", "info".into())], said.into());
    let read = || call(process.public, "GET", "/v1/drops", "", "").status;
    let passes = |count: usize| (0..count).filter(|_| read() == 200).count();
    assert_eq!(passes(8), 5);
    // No limit: with one a client that had no room left would recover at its rate, and this machine may be faster.
    write("[http]\nloopback_is_client = true\n[admission]\naddress_reads_per_minute = 0\n");
    process.signal(Signal::HUP);
    let line = |words: &str| {
        until(words, || std::fs::read_to_string(&log).expect("its log").contains(words));
    };
    line("are in force as they stand now");
    assert_eq!(passes(50), 50);
    write(
        "[admission]\naddress_reads_per_minute = 1\nnew_writes_per_minute = 500\ndefault_tier = \"gold\"\n[risk]\nsuspect_at = 266\n",
    );
    process.signal(Signal::HUP);
    line("so limits, signals and challenges stay as they are");
    assert_eq!(passes(50), 50, "the old limits stay");
    let said = std::fs::read_to_string(&log).expect("its log");
    let complaint: Vec<&str> = said.lines().filter(|line| line.contains("stay as they are")).collect();
    assert_eq!(complaint.len(), 1, "one line: {said}");
    assert!(
        ["default_tier", "new_writes_per_minute", "risk.suspect_at"].iter().all(|key| complaint[0].contains(key)),
        "{}",
        complaint[0]
    );
    process.signal(Signal::TERM);
    assert!(process.wait().success());
}

#[test]
fn a_look_at_the_line_and_leaving_it_are_charged_to_the_buyer_whom_they_name() {
    for method in ["GET", "DELETE"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let server = serve_with(scratch.path(), |config| config.limits.loopback_is_client = true);
        server.create(1);
        let look = |n: u32| from(&server, "192.0.2.9", method, &format!("/v1/drops/1/standby?buyer=b{n}"), "", "");
        let passed = (0..25).take_while(|n| look(*n).status != 429).count();
        assert_eq!(passed, 20, "{method}: an address names so many buyers");
        assert_eq!(violated(&look(99)), ["address-buyers"], "{method}");
        server.stop();
    }
}

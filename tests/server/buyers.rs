//! Buyers: what a token must say and who signed it, whose order is whose, and how much one address may have in flight.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::http::{Answer, Server, call, config, try_serve, until};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use firstcome::config::{Config, KeyFile};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};

const SECRET: &[u8] = b"the shop's first secret, 32 bytes or more";
const NEXT_SECRET: &[u8] = b"the shop's next secret, 32 bytes or more.";
const FOREIGN_SECRET: &[u8] = b"somebody else's secret, 32 bytes or more.";

fn base64(bytes: &[u8], alphabet: &[u8; 64], pad: bool) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0u8; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for index in 0..4 {
            let six = usize::try_from(word >> (18 - 6 * index) & 63).expect("six bits");
            match index {
                _ if index <= chunk.len() => out.push(char::from(alphabet[six])),
                _ if pad => out.push('='),
                _ => {}
            }
        }
    }
    out
}

const PLAIN: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A shop's Ed25519 key: what signs, and the public half as PEM.
struct ShopKey {
    signing: EncodingKey,
    public_pem: String,
}

fn shop_key() -> ShopKey {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).expect("a key");
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
    // SubjectPublicKeyInfo of an Ed25519 key: twelve fixed bytes, then the key (RFC 8410).
    let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    der.extend(pair.public_key().as_ref());
    let public_pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(&der, PLAIN, true));
    ShopKey { signing: EncodingKey::from_ed_der(pkcs8.as_ref()), public_pem }
}

fn write(path: PathBuf, content: &[u8]) -> PathBuf {
    std::fs::write(&path, content).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
    path
}

/// A server that wants tokens: of a secret with a name, of one without, and of an Ed25519 key.
fn shop(directory: &Path, key: &ShopKey) -> Config {
    let mut config = config(directory);
    config.identity_audience = "drops".into();
    let first = write(directory.join("first.secret"), SECRET);
    let next = write(directory.join("next.secret"), &[NEXT_SECRET, b"\n"].concat());
    let public = write(directory.join("shop.pem"), key.public_pem.as_bytes());
    config.hs256_secret_files =
        vec![KeyFile { kid: Some("first".into()), path: first }, KeyFile { kid: None, path: next }];
    config.eddsa_public_key_files = vec![KeyFile { kid: None, path: public }];
    config
}

fn serve(config: Config) -> Server {
    try_serve(config).unwrap_or_else(|(code, message)| panic!("{code}: {message}"))
}

/// Claims of a good token for a buyer, with others instead of some or on top; `null` takes one away.
fn claims(buyer: &str, other: Value) -> Value {
    let mut claims = json!({ "sub": buyer, "aud": "drops", "exp": get_current_timestamp() + 600 });
    let (all, other) = (claims.as_object_mut().expect("an object"), other.as_object().cloned().unwrap_or_default());
    all.extend(other);
    all.retain(|_, value| !value.is_null());
    claims
}

fn hs256(secret: &[u8], kid: Option<&str>, claims: &Value) -> String {
    let header = Header { kid: kid.map(String::from), ..Header::new(Algorithm::HS256) };
    encode(&header, claims, &EncodingKey::from_secret(secret)).expect("signed")
}

fn eddsa(key: &ShopKey, claims: &Value) -> String {
    encode(&Header::new(Algorithm::EdDSA), claims, &key.signing).expect("signed")
}

/// The same, with the algorithm by another name.
fn signed_as(algorithm: &str, key: &ShopKey, claims: &Value) -> String {
    let part = |value: &Value| base64(value.to_string().as_bytes(), URL, false);
    let signed = format!("{}.{}", part(&json!({ "alg": algorithm })), part(claims));
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key.signing, Algorithm::EdDSA).expect("signed");
    format!("{signed}.{signature}")
}

fn with_token(server: &Server, method: &str, path: &str, token: &str, body: &str) -> Answer {
    let json = "Content-Type: application/json\r\nRequest-Id: r1\r\nIdempotency-Key: k\r\n";
    let headers = format!("{json}Authorization: Bearer {token}\r\n");
    call(server.0.server.public_address, method, path, &headers, body)
}

fn order(server: &Server, token: &str, body: &str) -> Answer {
    with_token(server, "POST", "/v1/drops/1/orders", token, body)
}

#[test]
fn good_tokens_order_in_the_name_of_their_buyer() {
    let scratch = tempfile::tempdir().expect("scratch");
    let key = shop_key();
    let server = serve(shop(scratch.path(), &key));
    server.create(100);
    let now = get_current_timestamp();
    let good = [
        ("a1", hs256(SECRET, Some("first"), &claims("a1", json!({})))),
        ("a2", hs256(SECRET, None, &claims("a2", json!({})))),
        ("a3", hs256(NEXT_SECRET, Some("whatever"), &claims("a3", json!({})))),
        ("a4", eddsa(&key, &claims("a4", json!({ "iat": now, "nbf": now, "iss": "shop", "tier": "premium" })))),
        ("a5", hs256(SECRET, None, &claims("a5", json!({ "aud": ["other", "drops"] })))),
        // Within the leeway of 30 s.
        ("a6", hs256(SECRET, None, &claims("a6", json!({ "exp": now - 10, "iat": now + 10, "nbf": now + 10 })))),
        // The newer name of the algorithm (RFC 9864).
        ("a7", signed_as("Ed25519", &key, &claims("a7", json!({})))),
    ];
    for (buyer, token) in &good {
        let made = order(&server, token, r#"{"quantity":1}"#);
        assert_eq!((made.status, made.body["buyer"].as_str()), (201, Some(*buyer)), "{}", made.body);
    }
    let (name, token) = &good[0];
    let named = order(&server, token, &format!(r#"{{"buyer":"{name}","quantity":1}}"#));
    assert_eq!((named.status, named.headers.contains_key("idempotent-replayed")), (201, true), "the same order");
    for body in [r#"{"buyer":"bob","quantity":1}"#, r#"{"buyer":"bob","quantity":0}"#, r#"{"buyer":"bob","x":1}"#] {
        let other = order(&server, token, body);
        assert_eq!((other.status, other.body["code"].as_str()), (403, Some("forbidden")), "{body}");
    }
    assert_eq!(order(&server, token, r#"{"buyer":7,"quantity":1}"#).status, 400);
    let contact = order(&server, &good[1].1, r#"{"quantity":1,"contact":{"phone":"+49"}}"#);
    assert_eq!((contact.status, contact.body["buyer"].as_str()), (201, Some("a2")), "{}", contact.body);
    server.stop();
}

#[test]
fn bad_tokens_are_all_told_the_same() {
    let scratch = tempfile::tempdir().expect("scratch");
    let (key, foreign_key) = (shop_key(), shop_key());
    let mut settings = shop(scratch.path(), &key);
    settings.identity_issuer = "shop".into();
    let server = serve(settings);
    server.create(100);
    let now = get_current_timestamp();
    let shop = |other: Value| {
        let mut all = claims("ann", json!({ "iss": "shop" }));
        all.as_object_mut().expect("an object").extend(other.as_object().cloned().unwrap_or_default());
        all.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        all
    };
    let signed = |other: Value| hs256(SECRET, None, &shop(other));
    let part = |value: Value| base64(value.to_string().as_bytes(), URL, false);
    let good = signed(json!({}));
    assert_eq!(order(&server, &good, r#"{"quantity":1}"#).status, 201);
    let unsigned = format!("{}.{}", part(json!({ "alg": "none", "typ": "JWT" })), part(shop(json!({}))));
    let (head, signature) = good.rsplit_once('.').expect("three parts");
    let cut = &signature[..signature.len() - 1];
    let with_crit = |names: Vec<String>| {
        let header = Header { crit: Some(names), ..Header::new(Algorithm::HS256) };
        encode(&header, &shop(json!({})), &EncodingKey::from_secret(SECRET)).expect("signed")
    };
    let public_as_secret = |text: &str| hs256(text.as_bytes(), None, &shop(json!({})));
    let bad = [
        ("expired", signed(json!({ "exp": now - 600 }))),
        ("no exp", signed(json!({ "exp": null }))),
        ("exp as text", signed(json!({ "exp": "never" }))),
        ("exp below zero", signed(json!({ "exp": -1 }))),
        ("wrong audience", signed(json!({ "aud": "other" }))),
        ("no audience", signed(json!({ "aud": null }))),
        ("wrong issuer", signed(json!({ "iss": "other" }))),
        ("no issuer", signed(json!({ "iss": null }))),
        ("not yet good", signed(json!({ "nbf": now + 600 }))),
        ("nbf as text", signed(json!({ "nbf": "now" }))),
        ("issued in the future", signed(json!({ "iat": now + 600 }))),
        ("no buyer", signed(json!({ "sub": null }))),
        ("an empty buyer", signed(json!({ "sub": "" }))),
        ("a buyer with a line break", signed(json!({ "sub": "a\nb" }))),
        ("a long buyer", signed(json!({ "sub": "x".repeat(129) }))),
        ("a buyer that is a number", signed(json!({ "sub": 7 }))),
        ("foreign secret", hs256(FOREIGN_SECRET, None, &shop(json!({})))),
        ("foreign key", eddsa(&foreign_key, &shop(json!({})))),
        ("another key's name", hs256(SECRET, Some("next"), &shop(json!({})))),
        ("alg none", format!("{unsigned}.")),
        ("alg none with a signature", format!("{unsigned}.{signature}")),
        ("alg none in two parts", unsigned),
        ("the public key as secret", public_as_secret(&key.public_pem)),
        ("the public key as secret, trimmed", public_as_secret(key.public_pem.trim_end())),
        (
            "HS512",
            encode(&Header::new(Algorithm::HS512), &shop(json!({})), &EncodingKey::from_secret(SECRET)).expect("it"),
        ),
        ("an extension that must be understood", with_crit(vec!["urn:example:payer".into()])),
        ("an empty list of extensions", with_crit(Vec::new())),
        ("cut", format!("{head}.{cut}")),
        (
            "other claims",
            format!("{}.{}.{signature}", part(json!({ "alg": "HS256" })), part(shop(json!({ "sub": "bob" })))),
        ),
        ("Ed448 by name", signed_as("Ed448", &key, &shop(json!({})))),
        ("Ed25519 by name, of a foreign key", signed_as("Ed25519", &foreign_key, &shop(json!({})))),
        ("as long as can be", format!("{good}{}", "A".repeat(4096 - good.len()))),
        ("garbage", "garbage".into()),
        ("dots", "..".into()),
        ("empty", String::new()),
        ("an operator's", format!("fc_0123456789ab_{}", "0".repeat(64))),
    ];
    let mut told = None;
    for (what, token) in &bad {
        let answer = order(&server, token, r#"{"buyer":"ann","quantity":1}"#);
        assert_eq!((answer.status, answer.body["code"].as_str()), (401, Some("unauthorized")), "{what}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
        assert_eq!(*told.get_or_insert(answer.text.clone()), answer.text, "no hint: {what}");
    }
    let long = order(&server, &format!("{good}{}", "A".repeat(4097 - good.len())), r#"{"quantity":1}"#);
    assert_eq!((long.status, long.body["code"].as_str()), (401, Some("unauthorized")));
    assert_eq!(long.body["detail"], "The token is longer than 4096 bytes; leave claims out.");
    let twice = format!("{good}\r\nAuthorization: Bearer {good}");
    assert_eq!(Some(order(&server, &twice, r#"{"quantity":1}"#).text), told, "two tokens");
    let none = call(server.0.server.public_address, "POST", "/v1/drops/1/orders", "Request-Id: r1\r\n", "nonsense");
    assert_eq!((none.status, Some(none.text)), (401, told), "before the body is looked at");
    server.stop();
}

#[test]
fn an_order_is_there_for_its_own_buyer_only() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(shop(scratch.path(), &shop_key()));
    server.create(10);
    let [ann, bob] = ["ann", "bob"].map(|buyer| hs256(SECRET, None, &claims(buyer, json!({}))));
    let made = order(&server, &ann, r#"{"quantity":1}"#);
    let path = format!("/v1/orders/{}", made.body["id"].as_str().expect("an id"));
    let contact = r#"{"contact":{"phone":"+49"}}"#;
    for (method, path, body) in [
        ("GET", path.clone(), ""),
        ("POST", format!("{path}/checkout"), contact),
        ("POST", format!("{path}/cancel"), ""),
    ] {
        assert_eq!(with_token(&server, method, &path, &bob, body).status, 404, "{method} {path}");
        assert_eq!(call(server.0.server.public_address, method, &path, "", body).status, 401, "{method} {path}");
        assert_eq!(with_token(&server, method, &path, &ann, body).status, 200, "{method} {path}");
    }
    assert_eq!(server.public("GET", "/v1/drops/1").status, 200, "reading drops needs no token");
    server.stop();
}

#[test]
fn a_key_is_changed_while_both_are_good() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut settings = config(scratch.path());
    settings.identity_audience = "drops".into();
    let file = |name: &str, secret: &[u8]| KeyFile { kid: None, path: write(scratch.path().join(name), secret) };
    let [old, new] = [SECRET, NEXT_SECRET].map(|secret| hs256(secret, None, &claims("ann", json!({}))));
    let keys = [vec![file("1", SECRET)], vec![file("1", SECRET), file("2", NEXT_SECRET)], vec![file("2", NEXT_SECRET)]];
    for (files, good) in keys.into_iter().zip([(404, 401), (404, 404), (401, 404)]) {
        settings.hs256_secret_files = files;
        let server = serve(settings.clone());
        let known = |token: &str| order(&server, token, r#"{"quantity":1}"#).status;
        assert_eq!((known(&old), known(&new)), good);
        server.stop();
    }
}

#[test]
fn keys_that_are_none_are_refused_at_the_start() {
    let scratch = tempfile::tempdir().expect("scratch");
    let key = shop_key();
    let file = |name: &str, content: &[u8]| KeyFile { kid: None, path: write(scratch.path().join(name), content) };
    let mut settings = config(scratch.path());
    settings.identity_audience = "drops".into();
    settings.hs256_secret_files = vec![file("short", b"too short\n"), file("pem", key.public_pem.as_bytes())];
    settings.eddsa_public_key_files = vec![file("secret", SECRET), file("open", key.public_pem.as_bytes())];
    std::fs::set_permissions(scratch.path().join("open"), PermissionsExt::from_mode(0o666)).expect("set");
    let Err((code, message)) = try_serve(settings) else { panic!("it started") };
    assert_eq!((code, message.lines().count()), (64, 4), "{message}");
    for part in
        ["short: a secret for HS256", "pem: is a key in PEM", "secret: is not an Ed25519", "open: may be written by"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(!message.contains("too short") && !message.contains("first secret"), "{message}");
}

/// A request whose body does not come: it is in flight until the connection is dropped.
fn waiting(server: &Server, more: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.0.server.public_address).expect("connected");
    let head = format!("Host: x\r\n{more}\r\nExpect: 100-continue\r\nContent-Length: 9\r\n");
    write!(stream, "POST /v1/drops/1/orders HTTP/1.1\r\nContent-Type: application/json\r\n{head}\r\n").expect("sent");
    let mut told = [0u8; 12];
    stream.read_exact(&mut told).expect("it is asked for its body");
    assert_eq!(&told, b"HTTP/1.1 100");
    stream
}

#[test]
fn one_client_has_so_many_requests_in_flight_and_nobody_becomes_another_by_a_header() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut settings = config(scratch.path());
    settings.in_flight_per_client_max = 2;
    settings.admission.exempt.networks = vec!["203.0.113.0/24".parse().expect("a network")];
    settings.limits.body_stall_timeout = Duration::from_secs(60);
    settings.limits.body_read_timeout = Duration::from_secs(60);
    settings.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    let server = serve(settings.clone());
    server.create(10);
    let try_as = |server: &Server, forwarded_for: &str| {
        let headers = format!("X-Forwarded-For: {forwarded_for}\r\n");
        call(server.0.server.public_address, "POST", "/v1/drops/1/orders", &headers, "{}")
    };
    let held =
        [waiting(&server, "X-Forwarded-For: 2001:db8::1"), waiting(&server, "X-Forwarded-For: 6.6.6.6, 2001:db8::2")];
    let full = try_as(&server, "2001:db8::3");
    assert_eq!((full.status, full.body["code"].as_str()), (429, Some("rate-limited")));
    assert_eq!(full.body["violated_policies"], json!(["in-flight"]));
    assert_eq!(full.headers["ratelimit-policy"], "\"in-flight\";q=2;qu=\"concurrent-requests\"");
    assert_eq!(
        (full.headers["ratelimit"].as_str(), full.headers["retry-after"].as_str()),
        ("\"in-flight\";r=0;t=1", "1")
    );
    assert_eq!(try_as(&server, "192.0.2.1, 2001:db8::4").status, 429, "what stands left is the client's own word");
    assert_eq!(try_as(&server, "2001:db8:0:1::1").status, 415, "another network has its own places");
    assert_eq!(server.metric("firstcome_turned_away_total{reason=\"in_flight\"} "), 2.0);
    let office = ["X-Forwarded-For: 203.0.113.1"; 3].map(|more| waiting(&server, more));
    assert_eq!(try_as(&server, "203.0.113.1").status, 415, "an exempt network is not counted");
    drop(office);
    let own = call(server.0.server.public_address, "POST", "/v1/drops/1/orders", "", "{}");
    assert_eq!(own.status, 415, "a trusted proxy that calls for itself is not counted");
    drop(held);
    until("the places are free again", || try_as(&server, "2001:db8::3").status == 415);
    server.stop();

    settings.trusted_proxies = Vec::new();
    let server = serve(settings);
    let held = [
        waiting(&server, "X-Forwarded-For: 2001:db8::1"),
        waiting(&server, "X-Forwarded-For: 2001:db8::1"),
        waiting(&server, "X-Forwarded-For: 2001:db8::1"),
    ];
    assert_eq!(try_as(&server, "2001:db8::1").status, 415, "from nobody we trust the header is worth nothing");
    drop(held);
    server.stop();
}

#[test]
fn a_buyer_with_a_token_is_counted_wherever_they_are() {
    let scratch = tempfile::tempdir().expect("scratch");
    let mut settings = shop(scratch.path(), &shop_key());
    settings.in_flight_per_client_max = 1;
    settings.limits.body_stall_timeout = Duration::from_secs(60);
    settings.limits.body_read_timeout = Duration::from_secs(60);
    let server = serve(settings);
    server.create(10);
    let [ann, bob] = ["ann", "bob"].map(|buyer| hs256(SECRET, None, &claims(buyer, json!({}))));
    let held = waiting(&server, &format!("Authorization: Bearer {ann}"));
    assert_eq!(order(&server, &ann, r#"{"quantity":1}"#).body["code"], "rate-limited");
    assert_eq!(order(&server, &bob, r#"{"quantity":1}"#).status, 201, "another buyer at the same address");
    drop(held);
    until("the place is free again", || order(&server, &ann, r#"{"quantity":1}"#).status == 201);
    server.stop();
}

//! Who calls: tokens where they are configured, and TLS.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use firstcome::config::{Config, KeyFile, TlsFiles};
use firstcome::wire::messages::{Bid, Request};
use firstcome::wire::reason;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

use super::auctions::{auction, bid};
use super::http::until;
use super::peer::{PATIENCE, Peer, Said, Site, bytes, ping, pong, reserve};

const SECRET: &[u8] = b"the shop's secret, 32 bytes or more";

pub(crate) fn write(path: PathBuf, content: &[u8]) -> PathBuf {
    std::fs::write(&path, content).expect("written");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("set");
    path
}

fn wants_tokens(directory: &Path, config: &mut Config) {
    config.identity_audience = "d".into();
    let path = write(directory.join("secret"), SECRET);
    config.hs256_secret_files = vec![KeyFile { kid: None, path }];
}

pub(crate) fn token(buyer: &str, seconds: u64) -> String {
    signed(&json!({ "sub": buyer, "aud": "d", "exp": get_current_timestamp() + seconds }))
}

fn signed(claims: &serde_json::Value) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET)).expect("signed")
}

fn hello(token: &str) -> Request<'_> {
    Request::Hello { version: 1, token: token.as_bytes() }
}

/// A server that wants tokens.
pub(crate) fn site(change: impl FnOnce(&mut Config)) -> Site {
    let scratch = tempfile::tempdir().expect("scratch");
    let directory = scratch.path().to_path_buf();
    Site::open_in(scratch, |config| {
        wants_tokens(&directory, config);
        change(config);
    })
}

/// A server whose frames are under TLS, and the file of its certificate, which names localhost.
pub(crate) fn under_tls() -> (Site, PathBuf) {
    let scratch = tempfile::tempdir().expect("scratch");
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).expect("a certificate");
    let certificate = write(scratch.path().join("crt"), made.cert.pem().as_bytes());
    let key = write(scratch.path().join("key"), made.signing_key.serialize_pem().as_bytes());
    let files = TlsFiles { certificate: certificate.clone(), key };
    (Site::open_in(scratch, |config| config.wire_tls = Some(files)), certificate)
}

#[test]
fn where_tokens_are_wanted_nothing_is_done_before_a_good_hello_and_then_for_its_buyer_only() {
    let site = site(|_| {});
    let mut peer = site.connect();
    let bid = Request::Bid(Bid { auction_id: 1, user_id: 7, amount: 1 });
    for request in [ping("x"), reserve(1, "ann"), bid, Request::Subscribe { auction_id: 1, from_seq: 0 }] {
        assert_eq!(peer.ask(request).no(), 5, "{request:?}");
    }
    let forged = encode(
        &Header::new(Algorithm::HS256),
        &json!({ "sub": "ann", "aud": "d", "exp": get_current_timestamp() + 60 }),
        &EncodingKey::from_secret(b"somebody else's secret, 32 bytes long"),
    );
    for bad in ["", "nonsense", &forged.expect("signed")] {
        assert_eq!(peer.ask(hello(bad)).no(), 5, "{bad}");
    }
    assert_eq!(peer.ask(Request::Hello { version: 1, token: b"\xff" }).no(), 5);
    assert_eq!(site.held(), 0);
    assert!(matches!(peer.ask(hello(&token("ann", 600))), Said::Ok(_)));
    assert_eq!(peer.ask(reserve(1, "bob")).no(), 6);
    assert_eq!(peer.ask(reserve(1, "ann")).no(), 0);
    assert_eq!(peer.ask(hello("nonsense")).no(), 5);
    assert_eq!(peer.ask(reserve(1, "ann")).no(), 0, "a refused HELLO changes nothing");
    assert!(matches!(peer.ask(hello(&token("bob", 600))), Said::Ok(_)));
    assert_eq!((peer.ask(reserve(1, "bob")).no(), peer.ask(reserve(2, "ann")).no()), (0, 6));
    assert_eq!(site.held(), 2);
    drop(peer);
    site.server.stop();
}

#[test]
fn a_token_is_good_as_long_as_its_time_and_no_longer() {
    let site = site(|config| config.identity_leeway = Duration::ZERO);
    let mut peer = site.connect();
    assert!(matches!(peer.ask(hello(&token("ann", 2))), Said::Ok(_)));
    assert_eq!(peer.ask(ping("x")), pong("x"));
    let mut asked = 0u64;
    while peer.ask(ping("x")) == pong("x") {
        asked += 1;
        std::thread::park_timeout(Duration::from_millis(20));
        assert!(asked < 1000, "it is good for ever");
    }
    assert_eq!(peer.ask(reserve(1, "ann")).no(), 5);
    assert!(matches!(peer.ask(hello(&token("ann", 600))), Said::Ok(_)), "a new one may follow");
    assert_eq!(peer.ask(reserve(1, "ann")).no(), 0);
    drop(peer);
    site.server.stop();
}

#[test]
fn a_client_without_a_good_hello_is_closed_however_much_it_says() {
    let site = site(|config| config.wire.first_frame_timeout = Duration::from_millis(100));
    let mut peer = site.connect();
    let mut told = 0;
    while peer.send_bytes(&bytes(&[ping("x")])).is_ok() {
        match peer.hear() {
            Some(said) => assert_eq!(said.no(), 5),
            None => break,
        }
        told += 1;
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert!(told > 0 && site.closed("silent") == 1.0);
    site.server.stop();
}

#[test]
fn frames_are_spoken_under_tls_where_there_is_a_certificate_and_not_without() {
    let (site, certificate) = under_tls();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).expect("a certificate")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let stream = TcpStream::connect(site.server.0.server.wire_address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let mut peer = Peer::over(StreamOwned::new(connection, stream));
    assert_eq!(peer.ask(ping("secret")), pong("secret"));
    assert_eq!(peer.ask(reserve(1, "ann")).no(), 0);
    drop(peer);
    let mut plain = site.connect();
    plain.send(&[ping("plain")]);
    let mut first = [0u8; 1];
    let heard = std::io::Read::read(&mut plain.stream, &mut first).unwrap_or(0);
    assert!(heard == 0 || first[0] == 21, "an alert of TLS, or nothing: {first:?}");
    drop(plain);
    site.server.stop();
}

#[test]
fn the_tier_of_the_token_of_a_hello_limits_orders_and_bids() {
    let site = site(|config| {
        config.limits.loopback_is_client = true;
        config.admission.tier_writes = [1, 2, 3, 4];
        config.admission.address_writes = 100;
        config.risk.enabled = false;
    });
    let auction = auction(&site, 1, |_| {});
    let tiers = [("suspected", 1), ("new", 2), ("verified", 3), ("premium", 4)];
    for (number, (tier, limit)) in (0..).zip(tiers) {
        for (what, bids) in [("orders", false), ("bids", true)] {
            let user = 10 + 2 * number + u32::from(bids);
            let buyer = user.to_string();
            let claims = json!({ "sub": buyer, "aud": "d", "exp": get_current_timestamp() + 600, "tier": tier });
            let mut peer = site.connect();
            assert!(matches!(peer.ask(hello(&signed(&claims))), Said::Ok(_)), "{tier}");
            let mut send = |number: u8| {
                let request =
                    if bids { bid(auction, user, 1_000 + 100 * u64::from(number)) } else { reserve(number, &buyer) };
                peer.ask(request).no()
            };
            for number in 0..limit {
                assert_ne!(send(number), reason::RATE_LIMITED, "{what} of {tier}, number {number}");
            }
            assert_eq!(send(limit), reason::RATE_LIMITED, "{what} of {tier}");
        }
    }
    let gold = json!({ "sub": "ann", "aud": "d", "exp": get_current_timestamp() + 600, "tier": "gold" });
    assert_eq!(site.connect().ask(hello(&signed(&gold))).no(), reason::UNAUTHORIZED);
    site.server.stop();
}

#[test]
fn a_tier_of_an_operator_wins_over_the_token_of_a_hello_and_no_refusal_closes_the_connection() {
    let site = site(|config| {
        config.limits.loopback_is_client = true;
        config.admission.tier_writes = [1, 2, 3, 4];
        config.risk.enabled = false;
    });
    for (claimed, set, limit) in [("premium", "suspected", 1), ("suspected", "premium", 4)] {
        let buyer = format!("{claimed}-ann");
        let claims = json!({ "sub": buyer, "aud": "d", "exp": get_current_timestamp() + 600, "tier": claimed });
        let token = signed(&claims);
        let (mut early, mut late) = (site.connect(), site.connect());
        assert!(matches!(early.ask(hello(&token)), Said::Ok(_)), "{claimed}");
        let path = format!("/v1/buyers/{buyer}/tier");
        let answer = site.server.admin("PUT", &path, &json!({ "tier": set, "reason": "a test" }));
        assert_eq!(answer.status, 200, "{}", answer.text);
        for number in 0..limit {
            assert_ne!(early.ask(reserve(number, &buyer)).no(), reason::RATE_LIMITED, "{set}, number {number}");
        }
        assert!(matches!(late.ask(hello(&token)), Said::Ok(_)), "{claimed}");
        for peer in [&mut early, &mut late] {
            for number in 0..3 {
                assert_eq!(peer.ask(reserve(limit + number, &buyer)).no(), reason::RATE_LIMITED, "{set}");
                assert_eq!(peer.ask(ping("on")), pong("on"), "the connection stays");
            }
            assert!(matches!(peer.ask(hello(&token)), Said::Ok(_)), "and takes another HELLO");
        }
        assert_eq!(site.server.admin("DELETE", &path, &json!({})).status, 204);
    }
    site.server.stop();
}

#[test]
fn an_address_that_sends_invalid_tokens_in_masses_is_told_so_unseen_and_its_connection_goes_on() {
    let site = site(|config| {
        config.limits.loopback_is_client = true;
        config.admission.address_invalid_tokens = 3;
    });
    let mut peer = site.connect();
    for _ in 0..3 {
        assert_eq!(peer.ask(hello("forged")).no(), reason::UNAUTHORIZED);
    }
    assert_eq!(peer.ask(hello("forged")).no(), reason::RATE_LIMITED);
    assert_eq!(peer.ask(hello(&token("ann", 600))).no(), reason::RATE_LIMITED, "a token that is not known yet");
    assert_eq!(peer.ask(ping("x")).no(), reason::UNAUTHORIZED);
    let name = "firstcome_rate_limited_total{policy=\"address-invalid-tokens\"}";
    until("figures are handed over", || site.server.metric(name) >= 2.0);
    drop(peer);
    site.server.stop();
}

//! Answers of servers with buyers' and operators' tokens, and of one that takes no streams.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use firstcome::admission::operators::file::change;
use firstcome::admission::operators::{Role, Token};
use firstcome::api::code::Code;
use firstcome::config::KeyFile;
use firstcome::http::routes::{Listener, ROUTES, RequiredRole};
use firstcome::writer::clock::wall_clock;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};

use crate::http::{call, serve_with};
use crate::paths::path_with;
use crate::rooms::with_room;
use crate::{JSON, UNKNOWN, bidding, create, is};

/// No token, and a buyer who orders for another.
pub(crate) fn tokens_that_are_needed() {
    let scratch = tempfile::tempdir().expect("scratch");
    let secret = scratch.path().join("secret");
    std::fs::write(&secret, SECRET).expect("written");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).expect("set");
    let mut owner = String::new();
    let server = serve_with(scratch.path(), |config| {
        config.identity_audience = "drops".into();
        config.hs256_secret_files = vec![KeyFile { kid: None, path: secret }];
        let (token, text) = Token::new("o", Role::Owner, wall_clock(), None);
        owner = text;
        change(&config.data, |tokens: &mut Vec<Token>| {
            tokens.push(token);
            Ok(())
        })
        .expect("written");
    });
    let claims = json!({ "sub": "ann", "aud": "drops", "exp": get_current_timestamp() + 600 });
    let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).expect("signed");
    let headers = format!("{JSON}Idempotency-Key: k\r\nAuthorization: Bearer {token}\r\n");
    let public = server.0.server.public_address;
    is(&call(public, "POST", "/v1/drops/1/orders", &headers, r#"{"buyer":"bob","quantity":1}"#), Code::Forbidden);
    let anothers = r#"{"buyer":"bob","amount":1}"#;
    is(&call(public, "POST", "/v1/auctions/1/bids", &headers, anothers), Code::Forbidden);
    is(&call(public, "POST", "/v1/drops/1/tickets", &headers, r#"{"buyer":"bob"}"#), Code::Forbidden);
    is(&call(public, "POST", "/v1/drops/1/standby", &headers, r#"{"buyer":"bob","quantity":1}"#), Code::Forbidden);
    is(&call(public, "GET", "/v1/drops/1/standby?buyer=bob", &headers, ""), Code::Forbidden);
    is(&call(public, "DELETE", "/v1/drops/1/standby?buyer=bob", &headers, ""), Code::Forbidden);
    is(&call(public, "POST", "/v1/auctions/1/buy-now", &headers, r#"{"buyer":"bob"}"#), Code::Forbidden);
    is(&call(public, "GET", "/v1/auctions/1/order?buyer=bob", &headers, ""), Code::Forbidden);
    is(&call(public, "GET", "/v1/auctions/1/order", &headers, ""), Code::NotFound);
    for route in ROUTES.iter().filter(|route| route.required_role != RequiredRole::None) {
        let address = if route.listener == Listener::Public { public } else { server.0.server.admin_address };
        is(&call(address, route.method.as_str(), &path_with(route, UNKNOWN), "", ""), Code::Unauthorized);
    }
    tokens_of_operators(server.0.server.admin_address, &owner);
    server.stop();
}

/// An owner makes a token, finds it by its key and in the list, and revokes it.
fn tokens_of_operators(admin: SocketAddr, owner: &str) {
    let headers = format!("{JSON}Idempotency-Key: t\r\nAuthorization: Bearer {owner}\r\n");
    let made = call(admin, "POST", "/v1/tokens", &headers, r#"{"name":"shop","role":"operator"}"#);
    assert_eq!(made.status, 201, "{}", made.text);
    let again = call(admin, "POST", "/v1/tokens", &headers, r#"{"name":"shop","role":"operator"}"#);
    assert_eq!((again.status, again.headers["idempotent-replayed"].as_str()), (201, "true"));
    is(&call(admin, "POST", "/v1/tokens", &headers, r#"{"name":"shop","role":"viewer"}"#), Code::KeyReused);
    assert_eq!(call(admin, "GET", "/v1/tokens", &headers, "").status, 200);
    let path = format!("/v1/tokens/{}", made.body["id"].as_str().expect("an id"));
    assert_eq!(call(admin, "DELETE", &path, &headers, "").status, 204);
}

const SECRET: &[u8] = b"a shop's secret of 32 bytes or more";

pub(crate) fn streams_that_are_too_many() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config| config.limits.streams_max = 0);
    server.create(1);
    is(&server.public("GET", "/v1/drops/1/stream"), Code::Overloaded);
    bidding::made(&bidding::auction(&server, "a", &json!({})));
    is(&server.public("GET", "/v1/auctions/1/stream"), Code::Overloaded);
    let drop_id = create(&server, "room", &with_room("2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"));
    is(&server.public("GET", &format!("/v1/drops/{drop_id}/room/stream")), Code::Overloaded);
    is(&server.admin("GET", "/v1/audit", &Value::Null), Code::Overloaded);
    is(&server.admin("GET", "/v1/console/stream", &Value::Null), Code::Overloaded);
    server.stop();
}

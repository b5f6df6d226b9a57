//! Operators: every role against every route on the real server, and the life of their tokens.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::http::{Answer, Server, call, config, listen, serve, try_serve};
use firstcome::admission::operators::file::{TOKENS_FILE, change};
use firstcome::admission::operators::{Role, Token};
use firstcome::http::routes::{Listener, ROUTES};
use firstcome::types::UnixMillis;
use firstcome::writer::clock::wall_clock;
use serde_json::{Value, json};

const JSON: &str = "Content-Type: application/json\r\nRequest-Id: r1\r\n";

/// Who may do what, as the table of roles in src/http/README.md promises it: the rank of the least role per route, 0
/// without a token. A test of the routes holds that table to be complete.
fn least_roles() -> BTreeMap<&'static str, usize> {
    let page = include_str!("../../src/http/README.md");
    let table = page.split("<!-- roles -->").nth(1).and_then(|rest| rest.split("<!-- /roles -->").next());
    let rows = table.expect("the table of roles").lines().filter(|line| line.starts_with("| `") && !line.contains('?'));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let least = cells[2..6].iter().position(|cell| *cell == "yes").unwrap_or_else(|| panic!("for no role: {row}"));
        (cells[1].trim_matches('`'), least)
    })
    .collect()
}

/// A token in the file, without the command.
fn token(data: &Path, name: &str, role: Role, change_it: impl FnOnce(&mut Token)) -> String {
    let (mut token, text) = Token::new(name, role, wall_clock(), None);
    change_it(&mut token);
    let add = |tokens: &mut Vec<Token>| {
        tokens.push(token);
        Ok(())
    };
    change(data, add).expect("written");
    text
}

fn admin(server: &Server, method: &str, path: &str, token: Option<&str>, body: &Value) -> Answer {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let headers = format!("{JSON}Idempotency-Key: k\r\n{authorization}");
    call(server.0.server.admin_address, method, path, &headers, &body.to_string())
}

fn firstcome(arguments: &[&str], data: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
    command.args(arguments).arg("--data").arg(data).stdin(Stdio::null()).output().expect("run")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_role_against_every_route() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let roles = Role::ALL.map(|role| (role.as_str(), token(&data, role.as_str(), role, |_| {})));
    let past = UnixMillis::new(1).expect("in range");
    let revoked = token(&data, "gone", Role::Owner, |token| token.revoked_at = Some(past));
    let expired = token(&data, "late", Role::Owner, |token| token.expires_at = Some(past));
    let foreign = token(&scratch.path().join("other"), "far", Role::Owner, |_| {});
    let right_id = roles[2].1.rsplit_once('_').expect("two halves").0;
    let guessed = format!("{right_id}_{}", "0".repeat(64));
    let bad = [Some(revoked.as_str()), Some(&expired), Some(&foreign), Some(&guessed), Some("fc_"), Some(""), None];

    let server = serve(scratch.path());
    let least_roles = least_roles();
    assert!(least_roles.len() > 25, "{least_roles:?}");
    let mut told = None;
    let of_operators = |route: &&&firstcome::http::routes::Route| route.listener == Listener::Admin;
    // Pages need no token: they show nothing by themselves.
    for page in ROUTES.iter().filter(of_operators).filter(|route| route.is_page) {
        let path = page.path.replace("{file}", "x");
        let answer = admin(&server, page.method.as_str(), &path, None, &json!({}));
        assert!(matches!(answer.status, 200 | 404), "{path} is {}", answer.status);
    }
    for route in ROUTES.iter().filter(of_operators).filter(|route| !route.is_page) {
        let name = format!("{} {}", route.method, route.path);
        let least = *least_roles.get(name.as_str()).unwrap_or_else(|| panic!("src/http/README.md lacks {name}"));
        let path = route
            .path
            .replace("{drop_id}", "1")
            .replace("{auction_id}", "1")
            .replace("{order_id}", "0190a1b2-0000-8000-8000-000000000000");
        let path = path.replace("{endpoint_id}", "1").replace("{buyer}", "ann").replace("{token_id}", "0123456789ab");
        // A stream does not end; its head does.
        let is_stream = path.ends_with("/stream");
        let method = if is_stream { "HEAD" } else { route.method.as_str() };
        for (rank, (role, token)) in roles.iter().enumerate() {
            let answer = admin(&server, method, &path, Some(token), &json!({}));
            let (denied, may) = (matches!(answer.status, 401 | 403), rank + 1 >= least);
            assert_eq!(!denied, may, "{role}: {name} is {}", answer.status);
            assert!(may || is_stream || answer.body["code"] == "forbidden", "{role}: {name}: {}", answer.body);
        }
        for token in bad {
            let answer = admin(&server, method, &path, token, &json!({}));
            if is_stream {
                assert_eq!(answer.status, 401, "{name} {token:?}");
                continue;
            }
            if least == 0 {
                assert!(answer.status < 400, "{name} is for everybody: {}", answer.status);
                continue;
            }
            assert_eq!((answer.status, answer.body["code"].as_str()), (401, Some("unauthorized")), "{name} {token:?}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            assert_eq!(
                *told.get_or_insert(answer.text.clone()),
                answer.text,
                "no hint what is wrong: {name} {token:?}"
            );
        }
    }
    let counted = admin(&server, "GET", "/metrics", Some(&roles[0].1), &Value::Null).text;
    let of =
        |reason: &str| counted.lines().find(|line| line.contains(&format!("turned_away_total{{reason=\"{reason}\"}}")));
    let guarded = least_roles.values().filter(|least| **least > 0).count();
    let expected = format!(" {}", guarded * bad.len());
    assert_eq!(of("unauthorized").map(|line| line.ends_with(&expected)), Some(true), "{guarded} routes: {counted}");
    assert!(of("forbidden").is_some(), "{counted}");
    server.stop();
}

#[test]
fn who_has_no_token_learns_of_no_path_and_no_method() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let viewer = token(&data, "ann", Role::Viewer, |_| {});
    let server = serve(scratch.path());
    let nowhere =
        [("GET", "/"), ("GET", "/v1/none"), ("GET", "/v1/drops/1/none"), ("POST", "/v2/drops"), ("GET", "//")];
    let otherwise = [("TRACE", "/v1/drops"), ("POST", "/metrics"), ("DELETE", "/v1/orders"), ("POST", "/healthz")];
    let requests = nowhere.map(|request| (request, 404)).into_iter().chain(otherwise.map(|request| (request, 405)));
    for ((method, path), status) in requests {
        for token in [None, Some("fc_0123456789ab_x")] {
            let told = admin(&server, method, path, token, &Value::Null);
            assert_eq!((told.status, &told.body["code"]), (401, &json!("unauthorized")), "{method} {path} {token:?}");
            assert!(!told.headers.contains_key("allow"), "{method} {path}");
        }
        assert_eq!(admin(&server, method, path, Some(&viewer), &Value::Null).status, status, "{method} {path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(admin(&server, "GET", path, None, &Value::Null).status, 200, "{path}");
    }
    server.stop();
}

#[test]
fn without_tokens_every_call_is_an_owners_and_two_authorizations_are_none() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve(scratch.path());
    assert_eq!(server.create(1).status, 201);
    assert_eq!(admin(&server, "GET", "/v1/orders", Some("whatever"), &Value::Null).status, 200);
    let token = token(&scratch.path().join("data"), "ann", Role::Owner, |_| {});
    assert_eq!(server.create(1).status, 401, "from now on");
    let both = format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n");
    assert_eq!(call(server.0.server.admin_address, "GET", "/v1/orders", &both, "").status, 401);
    let basic = format!("Authorization: Basic {token}\r\n");
    assert_eq!(call(server.0.server.admin_address, "GET", "/v1/orders", &basic, "").status, 401);
    assert_eq!(server.public("GET", "/v1/drops/1").status, 200, "reading drops needs no token");
    server.stop();
}

#[test]
fn tokens_are_made_before_the_first_start_and_taken_back_while_it_runs() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    assert_eq!(firstcome(&["token", "revoke", "0123456789ab"], &data).status.code(), Some(64));
    assert!(!data.exists(), "nothing is made to take something back");
    let create = ["token", "create", "--role", "owner", "--name", "ann", "--expires-in", "30d"];
    let elsewhere = firstcome(&create, &data);
    assert_eq!(elsewhere.status.code(), Some(64), "no server uses the directory: {elsewhere:?}");
    assert!(text(&elsewhere.stderr).contains(&data.display().to_string()) && !data.exists(), "{elsewhere:?}");
    assert_eq!(firstcome(&["token", "list"], &data).status.code(), Some(64));
    let first: Vec<&str> = create.into_iter().chain(["--before-first-start"]).collect();
    let made = firstcome(&first, &data);
    assert!(made.status.success(), "{made:?}");
    let ann = text(&made.stdout).trim_end().to_string();
    assert!(ann.starts_with("fc_") && ann.lines().count() == 1, "the token alone: {ann}");
    let (id, secret) = ann.trim_start_matches("fc_").split_once('_').expect("two halves");
    assert!(text(&made.stderr).contains(id) && !text(&made.stderr).contains(secret), "{made:?}");

    let server = serve(scratch.path());
    let owners = |token: &str| admin(&server, "GET", "/v1/orders", Some(token), &Value::Null).status;
    assert_eq!(owners(&ann), 200);
    let bob = text(&firstcome(&["token", "create", "--role", "operator", "--name", "bob"], &data).stdout);
    assert_eq!(owners(bob.trim_end()), 200, "a new token is good at once");

    let listed = firstcome(&["token", "list"], &data);
    let lines = text(&listed.stdout);
    assert!(lines.lines().count() == 3 && lines.contains("bob") && lines.contains("in force"), "{lines}");
    assert!(!lines.contains(secret) && !text(&listed.stderr).contains(secret));
    let json: Value = serde_json::from_slice(&firstcome(&["token", "list", "--json"], &data).stdout).expect("JSON");
    assert_eq!(
        (&json[0]["id"], &json[0]["role"], &json[1]["standing"]),
        (&id.into(), &"owner".into(), &"in_force".into())
    );
    assert!(json[1].get("expires_at").is_none() && json[0]["expires_at"].is_string(), "{json}");

    // The support's request line goes on as the value of a header.
    let follow = format!("/v1/audit?follow=true HTTP/1.1\r\nAuthorization: Bearer {ann}\r\nX: ");
    let heard = listen_to_end(&server, &follow, || {
        assert!(firstcome(&["token", "revoke", id], &data).status.success());
    });
    assert!(heard.starts_with("HTTP/1.1 200"), "a follower loses the place, too: {heard}");
    assert_eq!((owners(&ann), owners(bob.trim_end())), (401, 200));
    assert!(firstcome(&["token", "revoke", id], &data).status.success(), "repeated, it changes nothing");
    assert_eq!(firstcome(&["token", "revoke", "nonsense"], &data).status.code(), Some(64));

    let bobs = bob.trim_start_matches("fc_").split('_').next().expect("an id");
    let last = firstcome(&["token", "revoke", bobs], &data);
    assert!(text(&last.stderr).contains("no valid token is left"), "{last:?}");
    assert_eq!(server.create(1).status, 401, "closed, not open");
    server.stop();
    let server = serve(scratch.path());
    assert_eq!(server.create(1).status, 401, "after a restart, too");
    server.stop();
}

/// Reads a stream until the server ends it.
fn listen_to_end(server: &Server, path: &str, then: impl FnMut()) -> String {
    listen(server.0.server.admin_address, path, then, &["HTTP/1.1 200", "\r\n0\r\n\r\n"])
}

#[test]
fn contacts_are_exported_by_owners_only() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let [owner, operator] = [Role::Owner, Role::Operator].map(|role| token(&data, role.as_str(), role, |_| {}));
    let server = serve(scratch.path());
    let export = |token: &str, query: &str| {
        let headers = format!("Accept: text/csv\r\nAuthorization: Bearer {token}\r\n");
        call(server.0.server.admin_address, "GET", &format!("/v1/orders?{query}"), &headers, "").status
    };
    assert_eq!((export(&owner, "contacts=true"), export(&operator, "contacts=true")), (200, 403));
    assert_eq!((export(&operator, "contacts=false"), export(&operator, "")), (200, 200));
    server.stop();
}

#[test]
fn an_operators_name_is_the_scope_of_their_keys_and_stands_in_the_audit() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let [ann, new_ann, bob] = ["ann", "ann", "bob"].map(|name| token(&data, name, Role::Operator, |_| {}));
    let server = serve(scratch.path());
    let drop = json!({ "sku": "S", "name": "N", "currency": "EUR", "unit_price": 100, "total": 1,
                       "starts_at": "2020-01-01T00:00:00Z" });
    let create = |token: &str| {
        let made = admin(&server, "POST", "/v1/drops", Some(token), &drop);
        (made.status, made.body["id"].as_u64(), made.headers.contains_key("idempotent-replayed"))
    };
    assert_eq!(create(&ann), (201, Some(1), false));
    assert_eq!(create(&bob), (201, Some(2), false), "the same key of another operator is another key");
    assert_eq!(create(&new_ann), (201, Some(1), true), "a new token repeats what the old one began");
    let paused = admin(&server, "POST", "/v1/drops/1/pause", Some(&bob), &json!({ "reason": "broken box" }));
    assert_eq!(paused.status, 200);
    let audit = admin(&server, "GET", "/v1/audit", Some(&bob), &Value::Null).text;
    assert!(audit.contains("bob: broken box"), "{audit}");
    server.stop();
}

#[test]
fn rush_makes_its_drop_with_an_operators_token() {
    let scratch = tempfile::tempdir().expect("scratch");
    let token = token(&scratch.path().join("data"), "rush", Role::Operator, |_| {});
    let server = serve(scratch.path());
    let (public, admin) = (server.0.server.public_address.to_string(), server.0.server.admin_address.to_string());
    let rush = |token: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_firstcome"));
        command.args(["rush", "--buyers", "20", "--units", "5", "--connections", "2", "--public", &public]);
        command.args(["--admin", &admin]).env("FIRSTCOME_TOKEN", token).stdin(Stdio::null()).output().expect("run")
    };
    let refused = rush("");
    assert_eq!(refused.status.code(), Some(69), "{refused:?}");
    assert!(text(&refused.stderr).contains("401"), "{refused:?}");
    let done = rush(&token);
    assert!(done.status.success(), "{done:?}");
    server.stop();
}

#[test]
fn a_start_is_refused_with_all_that_is_wrong_about_tokens() {
    let scratch = tempfile::tempdir().expect("scratch");
    let data = scratch.path().join("data");
    let refused = |change: &dyn Fn(&mut firstcome::config::Config)| {
        let mut config = config(scratch.path());
        change(&mut config);
        match try_serve(config) {
            Ok(_) => panic!("it started"),
            Err((code, message)) => {
                assert_eq!(code, 64, "{message}");
                message
            }
        }
    };
    let everywhere = |config: &mut firstcome::config::Config| {
        config.admin_listen = "0.0.0.0:0".parse().expect("an address");
    };
    assert!(refused(&everywhere).contains("firstcome token create"));
    token(&data, "gone", Role::Owner, |token| token.revoked_at = Some(token.created_at));
    assert!(refused(&everywhere).contains("firstcome token create"), "one that is revoked is none");
    token(&data, "ann", Role::Owner, |_| {});
    let mut open = config(scratch.path());
    everywhere(&mut open);
    try_serve(open).unwrap_or_else(|(_, message)| panic!("{message}")).stop();

    let secret = scratch.path().join("shop.secret");
    std::fs::write(&secret, "s".repeat(64)).expect("written");
    for path in [&secret, &data.join(TOKENS_FILE)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).expect("set");
    }
    let both = refused(&|config| {
        config.identity_audience = "shop".into();
        config.hs256_secret_files = vec![
            firstcome::config::KeyFile { kid: None, path: secret.clone() },
            firstcome::config::KeyFile { kid: None, path: scratch.path().join("missing") },
        ];
    });
    assert_eq!(both.lines().count(), 3, "{both}");
    for part in [
        "shop.secret: may be read by others",
        "no such file: identity.hs256_secret_files",
        "operators.json: may be read by others",
    ] {
        assert!(both.contains(part), "{part}: {both}");
    }
    assert!(!both.contains("ssss"), "{both}");
}

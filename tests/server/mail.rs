//! Mails to buyers, by a real server with a real SMTP server that fails: it hangs, greylists, refuses one recipient, takes a
//! mail and drops the connection, is busy, or never ends a line.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::http::{Answer, Server, call, serve_with, until};
use crate::mail_sink::{MailSink, ReceivedMail};
use firstcome::config::{Config, MailTls};
use serde_json::{Value, json};

/// Returns settings with the sink as mail server, and a short retry schedule.
fn mails_to(port: u16) -> impl Fn(&mut Config) {
    move |config| {
        config.mail.host = "127.0.0.1".into();
        config.mail.port = port;
        config.mail.tls = MailTls::None;
        config.mail.from = "Drops & more <shop@shop.example>".into();
        config.mail.reply_to = "help@shop.example".into();
        config.mail.per_second = 1000;
        config.mail.timeout = Duration::from_millis(1500);
        config.outbox.retry_waits = vec![Duration::ZERO; 3];
    }
}

const JSON: &str = "Content-Type: application/json\r\nIdempotency-Key: k\r\n";

fn checked_out(server: &Server, buyer: &str, contact: &Value) -> String {
    let body = json!({ "buyer": buyer, "quantity": 1, "contact": contact });
    let order = server.order(buyer, &body.to_string());
    assert_eq!(order.status, 201, "{}", order.text);
    order.body["id"].as_str().expect("an id").into()
}

fn buy(server: &Server, buyer: &str) -> String {
    checked_out(server, buyer, &json!({ "email": format!("{buyer}@mail.example") }))
}

fn operate(server: &Server, path: &str, body: &Value) -> Answer {
    let answer = call(server.0.server.admin_address, "POST", path, JSON, &body.to_string());
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer
}

fn pay(server: &Server, order: &str, reference: &str) {
    let body = json!({ "reference": reference, "amount": 100, "currency": "EUR", "reason": "by hand" });
    operate(server, &format!("/v1/orders/{order}/payments"), &body);
}

/// Returns the built-in endpoint.
fn endpoint(server: &Server) -> Value {
    let list = call(server.0.server.admin_address, "GET", "/v1/webhook-endpoints", "", "");
    let endpoints = list.body["data"].as_array().expect("a list").clone();
    endpoints.into_iter().find(|endpoint| endpoint["url"] == "mail:buyers").expect("the endpoint of mails")
}

fn deliveries(server: &Server, state: &str) -> Vec<Value> {
    let path = format!("/v1/webhook-endpoints/{}/deliveries?state={state}", endpoint(server)["id"]);
    call(server.0.server.admin_address, "GET", &path, "", "").body["data"].as_array().expect("a list").clone()
}

fn mails(server: &Server, result: &str) -> f64 {
    server.metric(&format!("firstcome_mails_total{{result=\"{result}\"}}"))
}

#[test]
fn a_buyer_reads_what_happens_to_the_order_in_the_order_in_which_it_happens() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = MailSink::new();
    let server = serve_with(scratch.path(), mails_to(sink.port));
    server.create(10);
    let order = checked_out(&server, "ann", &json!({ "name": "Ann Nguyễn", "email": "ann@mail.example" }));
    until("the reservation is told", || sink.received().len() == 1);
    pay(&server, &order, "r-1");
    operate(&server, &format!("/v1/orders/{order}/refund"), &json!({ "restock_quantity": 1, "reason": "came back" }));
    until("all is told", || sink.received().len() == 3);
    let cancelled = buy(&server, "bob");
    until("the reservation is told", || sink.received().len() == 4);
    assert_eq!(
        call(server.0.server.public_address, "POST", &format!("/v1/orders/{cancelled}/cancel"), "", "").status,
        200
    );
    until("the cancellation is told", || sink.received().len() == 5);
    // An order without an address: there is nobody to write to.
    checked_out(&server, "cyd", &json!({ "phone": "+49 170 1234567" }));
    until("its delivery has ended", || mails(&server, "skipped") >= 1.0);
    let kinds = |to: &str| sink.to(to).iter().map(ReceivedMail::kind).collect::<Vec<_>>();
    assert_eq!(kinds("ann@mail.example"), ["Reserved", "Paid", "Refunded"]);
    assert_eq!(kinds("bob@mail.example"), ["Reserved", "Cancelled"]);
    let ids: BTreeSet<String> = sink.received().iter().map(ReceivedMail::id).collect();
    assert_eq!(ids.len(), 5, "one mail per event");
    let first = &sink.received()[0];
    let link = format!("http://{}/pay/{order}", server.0.server.public_address);
    // Quoted-printable or not: a link without `=` is whole, if it is not folded.
    let body = first.content.replace("=\r\n", "").replace("=\n", "");
    assert!(body.contains(&link), "{body}");
    assert!(body.contains("1.00 EUR") && body.contains("multipart/alternative"), "{body}");
    let from = first.header("From").expect("one sender");
    // "Drops & more", as MIME writes it.
    assert!(from.contains("RHJvcHMgJiBtb3Jl") && from.ends_with("<shop@shop.example>"), "{from}");
    assert_eq!(first.header("Reply-To").as_deref(), Some("help@shop.example"));
    assert!(first.id().ends_with("@shop.example>"), "{}", first.id());
    assert_eq!((mails(&server, "sent"), mails(&server, "failed")), (5.0, 0.0));
    let shown = endpoint(&server);
    assert_eq!((&shown["configured"], &shown["dead"], &shown["waiting"]), (&json!(true), &json!(0), &json!(0)));
    server.stop();
    // A restart sends nothing again.
    let server = serve_with(scratch.path(), mails_to(sink.port));
    buy(&server, "dan");
    until("the new order is told", || sink.to("dan@mail.example").len() == 1);
    assert_eq!(sink.received().len(), 6);
    server.stop();
}

#[test]
fn an_erased_contact_gets_no_mail_and_its_delivery_is_done() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = MailSink::new();
    sink.mode("busy");
    let server = serve_with(scratch.path(), |config| {
        mails_to(sink.port)(config);
        config.outbox.retry_waits = vec![Duration::from_secs(1); 20];
    });
    server.create(10);
    let order = buy(&server, "ann");
    until("the mail waits", || deliveries(&server, "waiting").len() == 1);
    let erased = call(server.0.server.admin_address, "DELETE", &format!("/v1/orders/{order}/contact"), "", "");
    assert_eq!(erased.status, 204, "{}", erased.text);
    sink.mode("ok");
    until("the delivery has ended", || deliveries(&server, "waiting").is_empty());
    assert!(sink.received().is_empty(), "nothing of it was sent");
    assert!(deliveries(&server, "dead").is_empty() && mails(&server, "skipped") >= 1.0);
    server.stop();
}

#[test]
fn a_recipient_that_is_refused_is_a_dead_letter_at_once_and_all_others_get_their_mails() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = MailSink::new();
    let server = serve_with(scratch.path(), mails_to(sink.port));
    server.create(30);
    // More than the breaker takes in a row.
    for number in 0..8 {
        buy(&server, &format!("nobody{number}"));
    }
    until("they are given up", || deliveries(&server, "dead").len() == 8);
    for letter in deliveries(&server, "dead") {
        assert_eq!((&letter["attempts"], &letter["trouble"]), (&json!(1), &json!("status 550")));
        assert_eq!(letter["type"], "order.checked_out");
    }
    buy(&server, "ann");
    until("the other gets it", || sink.to("ann@mail.example").len() == 1);
    assert_eq!(sink.events("refused").len(), 8, "each is tried once");
    until("they are counted", || server.metric("firstcome_mail_dead_letters") == 8.0);
    assert_eq!(mails(&server, "rejected"), 8.0);
    assert_eq!(server.metric("firstcome_outbox_breakers_open"), 0.0);
    assert_eq!(server.metric("firstcome_outbox_dead_letters"), 0.0, "no webhook died");
    server.stop();
}

#[test]
fn a_server_that_greylists_gets_the_mail_again() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = MailSink::new();
    sink.mode("grey");
    let server = serve_with(scratch.path(), mails_to(sink.port));
    server.create(30);
    for number in 0..8 {
        buy(&server, &format!("b{number}"));
    }
    until("all have their mails", || sink.received().len() == 8);
    assert_eq!((sink.events("greylisted").len(), mails(&server, "deferred")), (8, 8.0));
    assert_eq!(server.metric("firstcome_outbox_breakers_open"), 0.0, "the server works");
    until("nothing waits", || deliveries(&server, "waiting").is_empty());
    assert!(deliveries(&server, "dead").is_empty());
    server.stop();
}

#[test]
fn a_mail_whose_outcome_is_unknown_is_sent_again_with_the_same_message_id() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = MailSink::new();
    let server = serve_with(scratch.path(), |config| {
        mails_to(sink.port)(config);
        // The server works again before the attempts are used up.
        config.outbox.retry_waits = vec![Duration::from_millis(500); 20];
    });
    server.create(10);
    for (mode, buyer) in [("drop", "ann"), ("hang_at_data", "bob"), ("tempfail", "cyd")] {
        sink.mode(mode);
        buy(&server, buyer);
        let address = format!("{buyer}@mail.example");
        until("the server has it", || !sink.to(&address).is_empty());
        sink.mode("ok");
        until("it is sent again", || sink.to(&address).iter().any(|mail| mail.mode == "ok"));
        let copies = sink.to(&address);
        let ids: BTreeSet<String> = copies.iter().map(ReceivedMail::id).collect();
        assert!(copies.len() >= 2 && ids.len() == 1, "{mode}: {ids:?}");
    }
    until("all are delivered", || mails(&server, "sent") == 3.0 && deliveries(&server, "waiting").is_empty());
    server.stop();
}

#[test]
fn a_server_that_hangs_or_talks_without_an_end_slows_no_sale_and_opens_the_breaker() {
    for mode in ["hang", "endless"] {
        let scratch = tempfile::tempdir().expect("scratch");
        let sink = MailSink::new();
        sink.mode(mode);
        let server = serve_with(scratch.path(), |config| {
            mails_to(sink.port)(config);
            // An answer without an end ends by its size, however late it begins.
            config.mail.timeout = if mode == "hang" { Duration::from_millis(300) } else { Duration::from_secs(20) };
            config.outbox.retry_waits = vec![Duration::from_secs(3600)];
        });
        server.create(1000);
        let started = Instant::now();
        for number in 0..100 {
            buy(&server, &format!("b{number}"));
        }
        let took = started.elapsed();
        until("the breaker opens", || server.metric("firstcome_outbox_breakers_open") == 1.0);
        // A hundred orders that waited for a mail each would take 30 seconds at least.
        assert!(took < Duration::from_secs(20), "{mode}: a hundred orders in {took:?}");
        assert!(server.metric("firstcome_outbox_waiting") < 20.0, "no row per event");
        assert!(mails(&server, "failed") >= 5.0);
        let waiting = deliveries(&server, "waiting");
        let expected = if mode == "hang" { "timed-out" } else { "broken" };
        assert_eq!(waiting[0]["trouble"], expected, "{mode}");
        server.stop();
    }
}

#[test]
fn mails_are_no_faster_than_their_rate() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = MailSink::new();
    let server = serve_with(scratch.path(), |config| {
        mails_to(sink.port)(config);
        config.mail.per_second = 5;
    });
    server.create(50);
    for number in 0..16 {
        buy(&server, &format!("b{number}"));
    }
    until("all are sent", || sink.received().len() == 16);
    let mut at: Vec<f64> = sink.received().iter().map(|mail| mail.at).collect();
    at.sort_by(f64::total_cmp);
    assert!(at[15] - at[0] > 2.0, "15 intervals of 200 ms, less what a busy machine delays: {at:?}");
    for first in 0..at.len() {
        let in_second = at[first..].iter().take_while(|next| **next - at[first] < 0.8).count();
        assert!(in_second <= 6, "{in_second} within 0.8 s: {at:?}");
    }
    server.stop();
}

#[test]
fn addresses_that_are_none_are_dead_letters_with_a_reason_and_reach_no_server() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = MailSink::with(&["--no-utf8"]);
    let server = serve_with(scratch.path(), mails_to(sink.port));
    server.create(60);
    let wrong = [
        "ann",
        "ann@mail.example, eve@mail.example",
        "ann@mail.example> SIZE=1",
        "<ann@mail.example>",
        "Ann <ann@mail.example>",
        "\"ann@evil.example\" <ann@mail.example>",
        "\"a b\"@mail.example",
        "ann@mail..example",
        "ann@localhost",
        "nguyễn@mail.example",
    ];
    for (number, email) in wrong.iter().enumerate() {
        checked_out(&server, &format!("w{number}"), &json!({ "email": email, "name": "Ann\u{2028}Bcc: x" }));
    }
    // The API takes no line breaks in a contact; an older file may have them.
    until("they are given up", || deliveries(&server, "dead").len() == wrong.len());
    for letter in deliveries(&server, "dead") {
        assert_eq!((&letter["attempts"], &letter["trouble"]), (&json!(1), &json!("status 553")));
    }
    assert!(sink.received().is_empty() && sink.events("refused").is_empty());
    let right = [
        ("o'brien+drop@mail.example", "o'brien+drop@mail.example"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
    ];
    for (number, (email, _)) in right.iter().enumerate() {
        checked_out(&server, &format!("r{number}"), &json!({ "email": email }));
    }
    until("the good ones get theirs", || sink.received().len() == right.len());
    let to: BTreeSet<String> = sink.received().into_iter().map(|mail| mail.to).collect();
    assert_eq!(to, right.iter().map(|(_, to)| (*to).to_owned()).collect());
    server.stop();
}

/// Writes a file that only its owner reads.
fn secret(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
    path
}

#[test]
fn the_connection_is_encrypted_before_the_password_is_said_and_only_to_the_server_that_is_meant() {
    let scratch = tempfile::tempdir().expect("scratch");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = secret(scratch.path(), "certificate.pem", &made.cert.pem());
    let key = secret(scratch.path(), "key.pem", &made.signing_key.serialize_pem());
    let sink = MailSink::encrypted(&certificate, &key);
    let credentials = secret(scratch.path(), "credentials", "shop\ncorrect horse\n");
    let settings = |config: &mut Config| {
        mails_to(sink.port)(config);
        config.mail.host = "localhost".into();
        config.mail.tls = MailTls::Starttls;
        config.mail.credentials_file = Some(credentials.clone());
        config.outbox.retry_waits = vec![Duration::from_secs(3600)];
    };
    let directory = |name: &str| {
        let directory = scratch.path().join(name);
        std::fs::create_dir(&directory).expect("made");
        directory
    };
    // An authority that nobody trusts.
    let server = serve_with(&directory("untrusted"), settings);
    server.create(10);
    buy(&server, "ann");
    until("it waits", || deliveries(&server, "waiting").first().is_some_and(|row| row["trouble"] == "tls"));
    server.stop();
    assert!(sink.received().is_empty());
    // A wrong password.
    let wrong = secret(scratch.path(), "wrong", "shop\nguessed\n");
    let trusted = |config: &mut Config| {
        settings(config);
        config.mail.authorities_file = Some(certificate.clone());
    };
    let server = serve_with(&directory("with_wrong"), |config| {
        trusted(config);
        config.mail.credentials_file = Some(wrong);
    });
    server.create(10);
    buy(&server, "ann");
    until("it waits", || deliveries(&server, "waiting").first().is_some_and(|row| row["trouble"] == "status 535"));
    server.stop();
    assert!(sink.received().is_empty());
    let server = serve_with(&directory("right"), trusted);
    server.create(10);
    buy(&server, "ann");
    until("it is sent", || sink.received().len() == 1);
    let mail = &sink.received()[0];
    assert!(mail.encrypted && mail.user.as_deref() == Some("shop"), "{mail:?}");
    server.stop();
    // A server that speaks TLS from the begin of the connection, as on port 465.
    let implicit = MailSink::implicit(&certificate, &key);
    let server = serve_with(&directory("implicit"), |config| {
        trusted(config);
        config.mail.port = implicit.port;
        config.mail.tls = MailTls::Implicit;
    });
    server.create(10);
    buy(&server, "ann");
    until("it is sent", || implicit.received().len() == 1);
    assert_eq!(implicit.received()[0].user.as_deref(), Some("shop"));
    server.stop();
}

#[test]
fn mails_turned_off_wait_and_are_sent_when_they_are_on_again_unless_they_are_old() {
    let scratch = tempfile::tempdir().expect("scratch");
    let sink = MailSink::new();
    let server = serve_with(scratch.path(), mails_to(sink.port));
    server.create(10);
    buy(&server, "ann");
    until("it is sent", || sink.received().len() == 1);
    server.stop();
    let server = crate::http::serve(scratch.path());
    assert_eq!(endpoint(&server)["state"], "disabled");
    let body = json!({ "buyer": "bob", "quantity": 1, "contact": { "email": "bob@mail.example" } });
    let order = server.order("bob", &body.to_string());
    assert_eq!(order.status, 201);
    server.stop();
    let server = serve_with(scratch.path(), mails_to(sink.port));
    assert_eq!(endpoint(&server)["state"], "enabled");
    until("the missed one is sent", || sink.to("bob@mail.example").len() == 1);
    // The URL of the endpoint is the settings' business.
    let path = format!("/v1/webhook-endpoints/{}", endpoint(&server)["id"]);
    let patch = json!({ "url": "https://shop.example/hooks", "reason": "x" }).to_string();
    assert_eq!(call(server.0.server.admin_address, "PATCH", &path, JSON, &patch).status, 400);
    server.stop();
}

#[test]
fn mistakes_of_the_configuration_are_told_all_at_once_without_the_password() {
    let scratch = tempfile::tempdir().expect("scratch");
    let templates = scratch.path().join("templates");
    std::fs::create_dir_all(templates.join("en")).expect("made");
    std::fs::write(templates.join("en/paid.txt"), "Subject: x\n\n{% if %}\n").expect("written");
    let mut config = crate::http::config(scratch.path());
    mails_to(25)(&mut config);
    config.mail.from = "no address".into();
    config.mail.reply_to = "a@b.example\r\nBcc: c@d.example".into();
    config.mail.time_zone = "Mars/Olympus".into();
    config.mail.templates = Some(templates);
    config.mail.credentials_file = Some(secret(scratch.path(), "credentials", "hunter2\n"));
    config.mail.authorities_file = Some(scratch.path().join("absent.pem"));
    let (code, told) = crate::http::try_serve(config).err().expect("refused");
    assert_eq!(code, 64, "{told}");
    for expected in
        ["mail.from", "mail.reply_to", "mail.time_zone", "en/paid.txt, line 3", "two lines", "mail.authorities_file"]
    {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
    let mut config = crate::http::config(scratch.path());
    mails_to(25)(&mut config);
    config.mail.language = "fr".into();
    let (code, told) = crate::http::try_serve(config).err().expect("refused");
    assert!(code == 64 && told.contains("no templates for fr, only for en, vi"), "{told}");
}

#[test]
fn a_preview_shows_the_mail_in_its_language_and_writes_its_html() {
    let scratch = tempfile::tempdir().expect("scratch");
    let firstcome = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_firstcome")).args(arguments).output();
        let output = output.expect("run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().expect("a code"), text(&output.stdout), text(&output.stderr))
    };
    let html = scratch.path().join("mail.html");
    let path = html.to_str().expect("a path");
    let (code, told, _) = firstcome(&["mail", "preview", "reserved", "--lang", "vi", "--html", path]);
    assert!(code == 0 && told.starts_with("Subject: Đã giữ hàng: ") && told.contains("2.580,00 EUR"), "{told}");
    assert!(std::fs::read_to_string(&html).expect("written").contains("Thanh toán ngay"));
    let (code, told, _) = firstcome(&["mail", "preview", "paid"]);
    assert!(code == 0 && told.starts_with("Subject: Paid: "), "{told}");
    let (code, told, _) = firstcome(&["mail", "preview", "outbid"]);
    assert!(code == 0 && told.contains("bid at least 2,680.00 EUR"), "{told}");
    assert_eq!(firstcome(&["mail", "preview", "overbid"]).0, 64);
    let (code, _, told) = firstcome(&["mail", "preview", "paid", "--lang", "fr"]);
    assert!(code == 64 && told.contains("no templates for fr"), "{told}");
    std::fs::create_dir(scratch.path().join("en")).expect("made");
    std::fs::write(scratch.path().join("en/paid.txt"), "Subject: x\n\n\n{{ prize }}\n").expect("written");
    std::fs::remove_file(&html).expect("removed");
    let templates = scratch.path().to_str().expect("a path");
    let (code, _, told) = firstcome(&["mail", "preview", "paid", "--templates", templates]);
    assert!(code == 64 && told.contains("en/paid.txt, line 4: undefined value"), "{told}");
    let (code, told, _) = firstcome(&["mail", "--help"]);
    assert!(code == 0 && told.contains("Examples:"), "{told}");
}

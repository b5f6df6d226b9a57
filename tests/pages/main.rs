//! The pages over real sockets, as a browser without JavaScript uses them.

#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]

#[path = "../http/mod.rs"]
mod http;
#[path = "../provider_webhooks/mod.rs"]
mod provider_webhooks;
mod refusals;
mod rooms;
mod told;

use firstcome::config::{Config, KeyFile};
use firstcome::engine::{Command, PaymentCommand};
use firstcome::store::PrivateData;
use firstcome::types::{Provider, Seq};
use firstcome::writer::{Class, Submission, WriterReply};
use http::{Answer, Server, call, serve_with, until};
use serde_json::{Value, json};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// A server with play money, and a drop of its own.
fn shop(directory: &std::path::Path, drop: &Value) -> Server {
    let server = serve_with(directory, |config| {
        config.payments.sandbox = true;
        config.storefront.enabled = true;
    });
    create(&server, drop);
    server
}

fn create(server: &Server, with: &Value) {
    let mut drop = json!({ "sku": "S", "name": "Shoe", "currency": "EUR", "unit_price": 14900, "total": 5,
                           "starts_at": "2020-01-01T00:00:00Z" });
    drop.as_object_mut().expect("an object").extend(with.as_object().expect("an object").clone());
    let body = drop.to_string();
    // One key for one drop.
    let headers = format!("Content-Type: application/json\r\nIdempotency-Key: drop-{}\r\n", body.len());
    let made = call(server.0.server.admin_address, "POST", "/v1/drops", &headers, &body);
    assert_eq!(made.status, 201, "{}", made.text);
}

fn get(server: &Server, path: &str) -> Answer {
    call(server.0.server.public_address, "GET", path, "", "")
}

fn post(server: &Server, path: &str, form: &str) -> Answer {
    call(server.0.server.public_address, "POST", path, FORM, form)
}

/// The value of a field of the page's first form that has it.
fn field(page: &Answer, name: &str) -> String {
    let (_, rest) =
        page.text.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("{name}: {}", page.text));
    rest.split('"').next().expect("a value").to_string()
}

/// Reserves in the storefront: the path of the page where the order is paid.
fn reserve(server: &Server, buyer: &str) -> String {
    let page = get(server, "/drops/1");
    let form = format!("key={}&buyer={buyer}&quantity=1", field(&page, "key"));
    let sent = post(server, "/drops/1", &form);
    assert_eq!(sent.status, 303, "{}", sent.text);
    let again = post(server, "/drops/1", &form);
    assert_eq!(again.headers["location"], sent.headers["location"], "two clicks are one order");
    let shown = get(server, &sent.headers["location"]);
    is_a_page(&shown, 200);
    sent.headers["location"].replace("/orders/", "/pay/")
}

/// Clicks a button of the sandbox, twice, as impatient people do; the page after it.
fn click(server: &Server, path: &str, what: &str) -> Answer {
    let seen = field(&get(server, path), "seen");
    for _ in 0..2 {
        let sent = post(server, &format!("{path}/sandbox"), &format!("what={what}&seen={seen}"));
        assert_eq!((sent.status, sent.headers["location"].as_str()), (303, path), "{}", sent.text);
    }
    get(server, path)
}

fn state(page: &Answer) -> &str {
    page.text.split_once("data-state=\"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or("")
}

fn order(server: &Server, path: &str) -> Value {
    server.public("GET", &path.replace("/pay/", "/v1/orders/")).body
}

fn is_a_page(page: &Answer, status: u16) {
    assert_eq!(page.status, status, "{}", page.text);
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers["cache-control"], "no-store");
    assert_eq!(page.headers["referrer-policy"], "no-referrer");
    let policy = &page.headers["content-security-policy"];
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(policy.ends_with("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    for elsewhere in ["<style", "<img", "@import", "url(", "http://", "https://", "style=\"", "onclick", "javascript:"]
    {
        assert!(!page.text.contains(elsewhere), "{elsewhere}: {}", page.text);
    }
    for source in page.text.split("src=\"").skip(1) {
        assert!(source.starts_with("/assets/"), "{source}");
    }
    assert!(!page.text.contains("<script>") && page.text.matches("<script").count() == 2, "{}", page.text);
}

#[test]
fn the_whole_journey_can_be_made_with_forms_alone() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), &json!({ "name": "A <b>bold</b> shoe", "per_buyer_limit": 1 }));
    let shown = get(&server, "/");
    is_a_page(&shown, 200);
    is_a_page(&get(&server, "/drops/1"), 200);
    assert!(shown.text.contains("149.00 EUR") && !shown.text.contains("<b>bold"), "{}", shown.text);
    let path = reserve(&server, "ann");
    let refused = post(&server, "/drops/1", "key=other&buyer=ann&quantity=1");
    is_a_page(&refused, 409);
    assert!(
        refused.text.contains("role=\"alert\"") && refused.text.contains("At most 1 per person"),
        "{}",
        refused.text
    );

    let reserved = get(&server, &path);
    is_a_page(&reserved, 200);
    assert_eq!(state(&reserved), "reserved");
    assert!(reserved.headers.contains_key("refresh"), "at its expiry it changes by itself");
    let contact = "name=Ann&email=ann%40example.org&phone=&address=Street+1%0D%0ATown";
    assert_eq!(post(&server, &format!("{path}/checkout"), contact).status, 303);
    let kept = server.admin(
        "GET",
        &path.replace("/pay/", "/v1/orders/").replace(
            path.rsplit('/').next().expect("an id"),
            &format!("{}/contact", path.rsplit('/').next().expect("an id")),
        ),
        &Value::Null,
    );
    assert_eq!(kept.body, json!({ "name": "Ann", "email": "ann@example.org", "address": "Street 1\nTown" }));

    assert_eq!(state(&click(&server, &path, "fail")), "awaiting_payment", "a failed payment changes nothing");
    assert_eq!(state(&click(&server, &path, "pay_late")), "awaiting_payment", "it is not late yet");
    let paid = click(&server, &path, "pay");
    is_a_page(&paid, 200);
    assert_eq!(state(&paid), "paid");
    assert!(!paid.headers.contains_key("refresh") && !paid.text.contains("will be refunded"), "{}", paid.text);
    let late = post(&server, &format!("{path}/checkout"), contact);
    is_a_page(&late, 409);
    assert_eq!(order(&server, &path)["refund_due_amount"], Value::Null, "two clicks are one payment");
    server.stop();
    let report = firstcome::store::verify::verify(&scratch.path().join("data")).expect("verified");
    assert_eq!(report.problem_count, 0, "{:?}", report.problems);
}

#[test]
fn who_pays_twice_keeps_the_order_and_is_owed_the_second_payment() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), &json!({}));
    let path = reserve(&server, "ann");
    let page = click(&server, &path, "pay_twice");
    assert_eq!(state(&page), "paid");
    assert!(page.text.contains("149.00 EUR</span> too much, which will be refunded"), "{}", page.text);
    assert_eq!(order(&server, &path)["refund_due_amount"], 14_900);
    server.stop();
}

#[test]
fn who_pays_late_gets_it_again_while_there_is_stock_and_else_the_money_back() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), &json!({ "total": 1, "reservation_seconds": 1, "per_buyer_limit": 2 }));
    let expired = |buyer: &str| {
        let path = reserve(&server, buyer);
        until("it expires", || state(&get(&server, &path)) == "expired");
        path
    };
    let (first, second) = (expired("ann"), expired("bob"));
    let page = get(&server, &first);
    assert!(page.text.contains("on sale again"), "{}", page.text);
    assert_eq!(state(&click(&server, &first, "pay_late")), "paid", "taken again");
    let page = click(&server, &second, "pay_late");
    assert_eq!(state(&page), "refund_due");
    assert!(page.text.contains("149.00 EUR</span> will be refunded to you"), "{}", page.text);
    let drop = server.public("GET", "/v1/drops/1").body;
    assert_eq!((drop["sold"].as_u64(), drop["available"].as_u64()), (Some(1), Some(0)), "never sold twice");
    server.stop();
}

#[test]
fn a_provider_s_session_is_waited_for_and_then_forwarded_to() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |config: &mut Config| {
        config.payments = provider_webhooks::settings(scratch.path());
        config.payments.sandbox = false;
        config.payments.provider = Some(Provider::Stripe);
        config.payments.stripe_api_key_file = Some(provider_webhooks::secret_file(scratch.path(), "api", "sk_test_x"));
        // Nobody is there: the session never comes by itself.
        config.payments.stripe_url = "http://127.0.0.1:9".into();
    });
    create(&server, &json!({}));
    let made = server.order("k", r#"{"buyer":"ann","quantity":1,"contact":{"email":"ann@example.org"}}"#);
    let path = format!("/pay/{}", made.body["id"].as_str().expect("an id"));
    assert_eq!(made.body["payment_url"], format!("http://{}{path}", server.0.server.public_address));
    let page = get(&server, &path);
    is_a_page(&page, 200);
    assert!(page.text.contains("being prepared") && !page.text.contains("/checkout"), "{}", page.text);
    assert_eq!(page.headers["refresh"], "2");

    let order = Seq::new(made.body["seq"].as_u64().expect("a number")).expect("in range");
    let url = "https://checkout.example/c/pay/cs_1#x";
    let private_data = PrivateData::Session { reference: "cs_1".into(), url: url.into() };
    let command = Command::Payment(PaymentCommand::RecordSession { order, provider: Provider::Stripe });
    let ticket =
        server.0.writer.submit(Submission { command, private_data: Some(private_data), class: Class::Operator });
    assert!(matches!(ticket.expect("let in").wait(), WriterReply::Decided(_)), "it is recorded");
    let forwarded = get(&server, &path);
    assert_eq!((forwarded.status, forwarded.headers["location"].as_str()), (303, url));
    assert_eq!(forwarded.headers["referrer-policy"], "no-referrer");
    // An order that is over is shown here.
    assert_eq!(server.public("POST", &format!("{}/cancel", path.replace("/pay/", "/v1/orders/"))).status, 200);
    let page = get(&server, &path);
    is_a_page(&page, 200);
    assert_eq!(state(&page), "cancelled");
    server.stop();
}

#[test]
fn an_unknown_order_is_a_page_and_the_storefront_is_there_only_where_it_is_on() {
    let scratch = tempfile::tempdir().expect("scratch");
    let secret = provider_webhooks::secret_file(scratch.path(), "hs256", "a shop's secret of 32 bytes or more");
    for (name, sandbox, tokens) in [("plain", false, false), ("tokens", true, true)] {
        let directory = scratch.path().join(name);
        std::fs::create_dir(&directory).expect("made");
        let server = serve_with(&directory, |config| {
            config.payments.sandbox = sandbox;
            if tokens {
                config.identity_audience = "drops".into();
                config.hs256_secret_files = vec![KeyFile { kid: None, path: secret.clone() }];
            }
        });
        create(&server, &json!({}));
        let unknown = format!("/pay/{}", firstcome::api::json::scalars::ORDER_ID_EXAMPLE);
        for path in [unknown.as_str(), "/pay/x", "/pay/%3Cb%3E"] {
            is_a_page(&get(&server, path), 404);
        }
        for path in ["/", "/drops/1", "/auctions/1", "/orders/x"] {
            assert_eq!(get(&server, path).status, 404, "{path}");
        }
        assert_eq!(post(&server, "/drops/1", "key=k&buyer=ann&quantity=1").status, 404);
        assert_eq!(post(&server, &format!("{unknown}/cancel"), "").status, 404);
        assert_eq!(post(&server, &format!("{unknown}/checkout"), "email=a").status, 404);
        assert_eq!(post(&server, &format!("{unknown}/sandbox"), "what=pay&seen=1").status, 404);
        server.stop();
    }
}

#[test]
fn forms_that_no_page_of_ours_sends_change_nothing() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), &json!({}));
    let path = reserve(&server, "ann");
    let before = server.metric("firstcome_seq ");
    let (sandbox, checkout) = (format!("{path}/sandbox"), format!("{path}/checkout"));
    let none = post(&server, "/drops/1", "key=k&buyer=ann&quantity=0");
    assert_eq!(none.body["detail"], "/quantity: must be a whole number from 1 to 65535");
    let long = "x".repeat(9000);
    for (to, form, status) in [
        ("/drops/1", "", 400),
        ("/drops/1", "key=k&buyer=ann", 400),
        ("/drops/1", "key=k&buyer=ann&quantity=0", 400),
        ("/drops/1", "key=k&buyer=ann&quantity=1&more=1", 400),
        ("/drops/1", "key=k&buyer=a%0Ab&quantity=1", 400),
        ("/drops/9", "key=k&buyer=ann&quantity=1", 404),
        ("/drops/1", &long, 413),
        (&sandbox, "what=rob&seen=1", 400),
        (&sandbox, "what=pay", 400),
        (&sandbox, "what=pay&seen=-1", 400),
        (&checkout, "name=&email=&phone=&address=", 400),
        (&checkout, "email=a%00b", 400),
    ] {
        let answer = post(&server, to, form);
        assert_eq!(answer.status, status, "{to} {form}: {}", answer.text);
    }
    let json = call(server.0.server.public_address, "POST", "/drops/1", "Content-Type: application/json\r\n", "{}");
    assert_eq!(json.status, 415);
    assert!((server.metric("firstcome_seq ") - before).abs() < 0.5);
    server.stop();
}

#[test]
fn without_play_money_the_pay_page_takes_contact_details_and_cancels() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = serve_with(scratch.path(), |_| {});
    create(&server, &json!({}));
    let made = server.order("k", r#"{"buyer":"ann","quantity":1}"#);
    let path = format!("/pay/{}", made.body["id"].as_str().expect("an id"));
    let page = get(&server, &path);
    is_a_page(&page, 200);
    for part in ["name=\"email\" type=\"email\" autocomplete=\"email\"", "autocomplete=\"tel\"", " UTC</time>"] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert!(!page.text.contains("Play money") && !page.text.contains("href=\"/\""), "{}", page.text);
    let sent = post(&server, &format!("{path}/checkout?lang=vi"), "name=&email=ann%40example.org&phone=&address=");
    assert_eq!((sent.status, sent.headers["location"].as_str()), (303, format!("{path}?lang=vi").as_str()));
    let page = get(&server, &format!("{path}?lang=vi&utm_source=mail"));
    is_a_page(&page, 200);
    assert_eq!(state(&page), "awaiting_payment");
    assert!(page.text.contains("<html lang=\"vi\"") && page.text.contains("Đang chờ bạn thanh toán"), "{}", page.text);
    assert_eq!(post(&server, &format!("{path}/cancel"), "").status, 303);
    assert_eq!(state(&get(&server, &path)), "cancelled");
    let late = post(&server, &format!("{path}/checkout"), "email=ann%40example.org");
    is_a_page(&late, 409);
    server.stop();
}

#[test]
fn a_picture_s_origin_is_the_only_other_one_that_a_page_may_load_from() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), &json!({ "image_url": "https://img.example:8443/a.jpg?w=1" }));
    for path in ["/", "/drops/1"] {
        let page = get(&server, path);
        let policy = &page.headers["content-security-policy"];
        assert!(policy.contains("img-src 'self' https://img.example:8443; frame-ancestors"), "{policy}");
        assert!(page.text.contains("src=\"https://img.example:8443/a.jpg?w=1\""), "{}", page.text);
    }
    server.stop();
}

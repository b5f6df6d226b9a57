//! What a browser without scripts is shown when its form is refused: a page in its language with the status and the headers of
//! the refusal, and a form that sends the same again.

use std::time::Duration;

use firstcome::api::code::Code;
use firstcome::config::{Config, KeyFile};
use serde_json::{Value, json};

use super::http::{Answer, Server, call, serve_with, until};
use super::{create, field, is_a_page, provider_webhooks};

/// The head of a form that a browser sends.
const BROWSER: &str = "Content-Type: application/x-www-form-urlencoded\r\nAccept-Language: vi\r\n\
     Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8\r\n";

fn send(server: &Server, path: &str, form: &str) -> Answer {
    call(server.0.server.public_address, "POST", path, BROWSER, form)
}

fn open(server: &Server, path: &str) -> Answer {
    call(server.0.server.public_address, "GET", path, BROWSER, "")
}

fn shop(directory: &std::path::Path, change: impl FnOnce(&mut Config)) -> Server {
    serve_with(directory, |config| {
        config.storefront.enabled = true;
        change(config);
    })
}

/// A page in Vietnamese, without a word of the API's problems.
fn is_told(page: &Answer, status: u16, words: &str) {
    is_a_page(page, status);
    assert!(page.text.contains("<html lang=\"vi\"") && page.text.contains("role=\"alert\""), "{}", page.text);
    assert!(page.text.contains(words), "{words}: {}", page.text);
    for code in Code::ALL {
        let title = code.kind().title;
        assert!(!page.text.contains(title), "{title}: {}", page.text);
    }
    assert!(!page.text.contains("Nothing was decided"), "{}", page.text);
}

/// The form that the page offers, as a browser sends it.
fn offered(page: &Answer) -> (String, String) {
    let (_, form) = page.text.split_once("<form class=\"stack\" method=\"post\" action=\"").expect("a form");
    let (form, _) = form.split_once("</form>").expect("its end");
    let action = form.split('"').next().expect("an address");
    let fields = form.split(" name=\"").skip(1).map(|rest| {
        let name = rest.split('"').next().expect("a name");
        let value = rest.split_once("value=\"").map_or("", |(_, value)| value.split('"').next().unwrap_or(""));
        format!("{name}={}", value.replace(' ', "+"))
    });
    (action.replace("&amp;", "&"), fields.collect::<Vec<_>>().join("&"))
}

fn orders(server: &Server) -> usize {
    server.admin("GET", "/v1/orders", &Value::Null).body["data"].as_array().expect("a list").len()
}

#[test]
fn a_refusal_of_the_engine_is_the_drop_s_page_with_what_was_typed_and_the_same_key() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), |_| {});
    create(&server, &json!({ "total": 3, "per_buyer_limit": 2 }));
    create(&server, &json!({ "starts_at": "2099-01-01T00:00:00Z" }));
    let sold_out = send(&server, "/drops/1?lang=vi", "key=k1&buyer=ann&quantity=9");
    is_told(&sold_out, 409, "Bạn đã đạt hạn mức");
    assert_eq!((field(&sold_out, "key").as_str(), orders(&server)), ("k1", 0));
    assert!(sold_out.text.contains("value=\"9\"") && sold_out.text.contains("value=\"ann\""), "{}", sold_out.text);
    let early = send(&server, "/drops/2", "key=k1&buyer=ann&quantity=1");
    is_told(&early, 409, "<time class=\"num\" datetime=\"2099-01-01T00:00:00.000Z\"");
    assert!(early.headers["retry-after"].parse::<u64>().is_ok_and(|seconds| seconds > 1_000_000));
    assert_eq!(server.admin("POST", "/v1/drops/1/pause", &json!({ "reason": "a look" })).status, 200);
    let paused = send(&server, "/drops/1", "key=k1&buyer=ann&quantity=1");
    is_told(&paused, 409, "Đợt bán đang tạm dừng");
    assert_eq!(paused.headers["retry-after"], "5");
    assert_eq!(server.admin("POST", "/v1/drops/1/resume", &json!({ "reason": "on" })).status, 200);
    // The page of the refusal offers the same key, and it buys once.
    let form = format!("key={}&buyer=ann&quantity=2", field(&paused, "key"));
    for _ in 0..2 {
        assert_eq!(send(&server, "/drops/1", &form).status, 303);
    }
    assert_eq!(orders(&server), 1);
    let reused = send(&server, "/drops/1", "key=k1&buyer=ann&quantity=1");
    is_told(&reused, 422, "Trang này đã mua một thứ khác");
    assert!(reused.text.contains("href=\"/drops/1\"") && !reused.text.contains("<form"), "{}", reused.text);
    let none_left = send(&server, "/drops/1", "key=k2&buyer=bob&quantity=2");
    is_told(&none_left, 409, "Lượt giữ tiếp theo hết hạn lúc <time");
    server.stop();
}

#[test]
fn a_mistake_in_a_form_is_told_by_the_field_s_name_and_can_be_corrected_there() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), |_| {});
    create(&server, &json!({}));
    let none = send(&server, "/drops/1", "key=k1&buyer=ann&quantity=0");
    is_told(&none, 400, "Vui lòng kiểm tra lại: Số lượng.");
    let (action, fields) = offered(&none);
    assert_eq!((action.as_str(), fields.as_str()), ("/drops/1", "key=k1&buyer=ann&quantity=0"));
    let made = send(&server, &action, &fields.replace("quantity=0", "quantity=1"));
    assert_eq!(made.status, 303, "{}", made.text);
    let pay = made.headers["location"].replace("/orders/", "/pay/");
    let long = format!("email=a%40b&address={}", "%C4%91".repeat(251));
    let too_long = send(&server, &format!("{pay}/checkout"), &long);
    is_told(&too_long, 400, "Vui lòng kiểm tra lại: Địa chỉ.");
    assert!(too_long.text.contains(&"đ".repeat(251)) && too_long.text.contains("value=\"a@b\""), "{}", too_long.text);
    let fits = format!("email=a%40b&address={}", "%C4%91".repeat(250));
    assert_eq!(send(&server, &format!("{pay}/checkout"), &fits).status, 303, "500 bytes");
    is_told(&send(&server, &format!("{pay}/checkout"), "email="), 400, "Thông tin liên hệ");
    for (form, status) in [("", 400), ("key=k&more=1", 400), (&*"x".repeat(9_000), 413)] {
        is_told(&send(&server, "/drops/1", form), status, "Biểu mẫu không đến đúng");
    }
    let unknown = send(&server, "/drops/9", "key=k&buyer=ann&quantity=1");
    is_a_page(&unknown, 404);
    assert!(unknown.text.contains("Không tìm thấy trang"), "{}", unknown.text);
    assert_eq!(orders(&server), 1);
    server.stop();
}

#[test]
fn an_overloaded_server_and_a_rate_limit_keep_the_form_and_tell_when_to_send_it_again() {
    let scratch = tempfile::tempdir().expect("scratch");
    let full = shop(scratch.path(), |config| config.queue_reserve = config.queue_capacity);
    create(&full, &json!({}));
    let form = "key=k1&buyer=ann&quantity=1&email=&phone=&address=";
    let page = send(&full, "/drops/1?lang=vi", form);
    is_told(&page, 503, "Hiện có rất nhiều người");
    assert!(page.headers["retry-after"].parse::<u64>().is_ok_and(|seconds| seconds >= 1), "{:?}", page.headers);
    assert!(page.headers.contains_key("ratelimit"), "{:?}", page.headers);
    assert_eq!(offered(&page), ("/drops/1?lang=vi".into(), form.into()));
    full.stop();
    let other = tempfile::tempdir().expect("scratch");
    let limited = shop(other.path(), |config| {
        config.limits.loopback_is_client = true;
        config.admission.address_writes = 2;
        config.admission.address_reads = 4;
    });
    create(&limited, &json!({}));
    let form = |n: u32| format!("key=k{n}&buyer=ann&quantity=1");
    let (mut told, mut n) = (None, 0);
    while told.is_none() && n < 50 {
        n += 1;
        told = Some(send(&limited, "/drops/1", &form(n))).filter(|page| page.status == 429);
    }
    let page = told.expect("a limit");
    is_told(&page, 429, "Quá nhiều yêu cầu");
    assert_eq!(offered(&page).1, form(n), "what came is offered again");
    assert!(page.headers.contains_key("retry-after") && page.headers.contains_key("ratelimit-policy"));
    let (mut reloads, mut looks) = (None, 0);
    while reloads.is_none() && looks < 50 {
        looks += 1;
        reloads = Some(open(&limited, "/drops/1")).filter(|page| page.status == 429);
    }
    let page = reloads.expect("a limit of reads");
    is_told(&page, 429, "Trang này sẽ tự tải lại.");
    assert_eq!(page.headers["refresh"], page.headers["retry-after"]);
    limited.stop();
}

#[test]
fn an_unknown_outcome_is_asked_for_again_with_the_same_key_and_there_is_one_order() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), |_| {});
    create(&server, &json!({ "total": 100 }));
    server.stop();
    let server = shop(scratch.path(), |config| config.reply_deadline = Duration::ZERO);
    // The reply to an order that is decided at once is there before the deadline.
    let (mut page, mut sent) = (None, 0);
    while page.is_none() {
        sent += 1;
        assert!(sent < 60, "no outcome is unknown");
        let answer = send(&server, "/drops/1", &format!("key=k{sent}&buyer=buyer-{sent}&quantity=1"));
        assert!(matches!(answer.status, 303 | 503), "{}", answer.text);
        page = Some(answer).filter(|answer| answer.status == 503);
    }
    let page = page.expect("an unknown outcome");
    is_told(&page, 503, "Chưa biết yêu cầu đã thành công hay chưa.");
    assert_eq!(page.headers["retry-after"], "2");
    until("it was decided", || orders(&server) == sent);
    let (action, fields) = offered(&page);
    let again = send(&server, &action, &fields);
    assert!(matches!(again.status, 303 | 503), "{}", again.text);
    server.stop();
    let server = shop(scratch.path(), |_| {});
    assert_eq!(send(&server, &action, &fields).status, 303, "the same key finds it");
    assert_eq!(orders(&server), sent);
    server.stop();
}

#[test]
fn a_drop_that_asks_for_a_challenge_or_a_token_says_that_it_needs_a_script() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), |config| config.limits.loopback_is_client = true);
    create(&server, &json!({ "challenge": "proof_of_work" }));
    let page = send(&server, "/drops/1", "key=k1&buyer=ann&quantity=1");
    is_told(&page, 428, "Hãy cho phép JavaScript trên trang này rồi giữ chỗ lại.");
    assert!(page.text.contains("href=\"/drops/1\""), "{}", page.text);
    server.stop();
    let secret = provider_webhooks::secret_file(scratch.path(), "hs256", "a shop's secret of 32 bytes or more");
    let other = tempfile::tempdir().expect("scratch");
    let server = shop(other.path(), |config| {
        config.identity_audience = "drops".into();
        config.hs256_secret_files = vec![KeyFile { kid: None, path: secret }];
    });
    create(&server, &json!({}));
    let page = send(&server, "/drops/1", "key=k1&buyer=ann&quantity=1");
    is_told(&page, 401, "Cửa hàng dùng JavaScript để đăng nhập người mua.");
    assert_eq!(page.headers["www-authenticate"], "Bearer");
    assert_eq!(orders(&server), 0);
    server.stop();
}

#[test]
fn a_mistyped_address_is_a_page_for_browsers_and_a_problem_for_programs() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), |_| {});
    for path in ["/drop/1", "/nothing", "/assets/nothing.js"] {
        let page = open(&server, path);
        is_a_page(&page, 404);
        assert!(page.text.contains("Không tìm thấy trang") && page.text.contains("href=\"/\""), "{}", page.text);
    }
    assert_eq!(open(&server, "/v1/nothing").body["code"], "not-found", "the API's problems are for programs");
    let script = call(server.0.server.public_address, "POST", "/drops/1", "Accept: */*\r\n", "");
    assert_eq!(script.body["code"], "unsupported-media-type");
    server.stop();
}

//! What the pages tell: the history of an order, and amounts as the reader's language writes them.

use serde_json::{Value, json};

use super::http::{Answer, Server, call, serve_with};
use super::{click, create, get, is_a_page, reserve, shop, until};

/// The lines of an order's history: their words without their instants.
fn history(page: &Answer) -> Vec<String> {
    let (_, list) = page.text.split_once("<ol class=\"steps\">").expect("a history");
    let (list, _) = list.split_once("</ol>").expect("its end");
    let words = |line: &str| {
        let (words, time) = line.split_once("<time").expect("an instant");
        assert!(time.contains("datetime=\"20") && time.contains(" UTC</time>"), "{time}");
        words.split('<').filter_map(|part| part.split_once('>').map(|(_, text)| text)).collect::<String>()
    };
    list.split("<li").skip(1).map(|line| words(&format!("<li{line}"))).collect()
}

fn operator(server: &Server, path: &str, body: &Value) {
    let headers = "Content-Type: application/json\r\nIdempotency-Key: told-1\r\n";
    let answer = call(server.0.server.admin_address, "POST", path, headers, &body.to_string());
    assert!(answer.status < 300, "{path}: {}", answer.text);
}

#[test]
fn an_order_s_page_tells_its_history_without_anything_that_is_the_shop_s_alone() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), &json!({}));
    let path = reserve(&server, "ann");
    let reserved = get(&server, &path);
    assert_eq!(history(&reserved), ["Reserved for you", "Held for you until"]);
    let contact = |email: &str| super::post(&server, &format!("{path}/checkout"), &format!("email={email}"));
    assert_eq!((contact("ann%40example.org").status, contact("ann%40shop.example").status), (303, 303));
    click(&server, &path, "fail");
    click(&server, &path, "pay");
    let id = path.rsplit('/').next().expect("an id");
    let looked = server.admin("GET", &format!("/v1/orders/{id}/contact"), &Value::Null);
    assert_eq!(looked.status, 200);
    operator(&server, &format!("/v1/orders/{id}/refund"), &json!({ "amount": 900, "reason": "SECRET reason" }));
    for page in [get(&server, &path), get(&server, &path.replace("/pay/", "/orders/"))] {
        is_a_page(&page, 200);
        let told = history(&page);
        assert_eq!(
            told[..3],
            ["Reserved for you", "Contact details given; ready to be paid", "Contact details changed"]
        );
        assert_eq!(told[3], "A payment of 149.00 EUR failed");
        assert_eq!(told[4], "149.00 EUR received: the order is paid");
        assert!(told[5].contains("9.00 EUR"), "{told:?}");
        for secret in ["SECRET", "owner", "example.org", "shop.example", "play-", "sandbox-"] {
            assert!(!page.text.contains(secret), "{secret}: {}", page.text);
        }
    }
    let late = reserve(&server, "bob");
    assert_eq!(super::post(&server, &format!("{late}/cancel"), "").status, 303);
    assert_eq!(history(&get(&server, &late)), ["Reserved for you", "You cancelled the order"]);
    server.stop();
}

#[test]
fn amounts_have_the_digits_of_their_currency_and_the_signs_of_the_language() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), &json!({ "currency": "KWD", "unit_price": 100_000_000_000_u64 }));
    create(&server, &json!({ "currency": "JPY", "unit_price": 14_900 }));
    create(&server, &json!({ "currency": "VND", "unit_price": 1_250_000, "total": 12_345 }));
    for (path, written) in [
        ("/drops/1", ">100,000,000.000 KWD<"),
        ("/drops/1?lang=vi", ">100.000.000,000 KWD<"),
        ("/drops/2", ">14,900 JPY<"),
        ("/drops/3?lang=vi", ">1.250.000 ₫<"),
        ("/drops/3?lang=vi", ">12.345<"),
        ("/?lang=vi", ">14.900 JPY<"),
    ] {
        let page = get(&server, path);
        is_a_page(&page, 200);
        assert!(page.text.contains(written), "{path} {written}: {}", page.text);
    }
    server.stop();
}

#[test]
fn the_list_leads_to_every_drop_by_links_and_can_be_asked_for_one_state() {
    let scratch = tempfile::tempdir().expect("scratch");
    let server = shop(scratch.path(), &json!({ "name": "Drop <1>" }));
    for n in 2..=30_u32 {
        create(&server, &json!({ "name": format!("Drop <{n}>{}", " ".repeat(n as usize)) }));
    }
    for id in [3, 30] {
        operator(&server, &format!("/v1/drops/{id}/pause"), &json!({ "reason": "a look" }));
    }
    let tiles = |page: &Answer| -> Vec<u32> {
        is_a_page(page, 200);
        let numbers = page.text.split("<a href=\"/drops/").skip(1);
        numbers.filter_map(|rest| rest.split(['"', '?']).next()?.parse().ok()).collect()
    };
    let first = get(&server, "/?utm=1");
    assert_eq!(tiles(&first), (7..=30).rev().collect::<Vec<_>>());
    assert!(first.text.contains("href=\"/?before=7\""), "{}", first.text);
    let second = get(&server, "/?before=7");
    assert_eq!(tiles(&second), (1..=6).rev().collect::<Vec<_>>());
    assert!(!second.text.contains("Older drops") && second.text.contains("Back to the newest"), "{}", second.text);
    let paused = get(&server, "/?state=paused&lang=vi");
    assert_eq!(tiles(&paused), [30, 3]);
    assert!(paused.text.contains("href=\"/?state=paused&amp;lang=en\""), "{}", paused.text);
    assert_eq!(tiles(&get(&server, "/?state=sold_out")), Vec::<u32>::new());
    for odd in ["/?state=x", "/?before=x", "/?before=-1", "/?before=99999999999"] {
        assert_eq!(tiles(&get(&server, odd)).len(), 24, "{odd}");
    }
    server.stop();
}

#[test]
fn the_list_follows_every_change_at_once_and_has_the_server_s_clock_each_time() {
    let scratch = tempfile::tempdir().expect("scratch");
    // One worker: it has what it kept.
    let server = serve_with(scratch.path(), |config| {
        config.storefront.enabled = true;
        config.http_threads = 1;
    });
    create(&server, &json!({ "name": "Shoe", "total": 3 }));
    let lists = ["/", "/?lang=vi", "/?state=live"];
    let left = |path: &str| -> Option<u32> {
        let page = get(&server, path);
        is_a_page(&page, 200);
        page.text.split_once("data-count=\"").and_then(|(_, rest)| rest.split('"').next()?.parse().ok())
    };
    let clock = || -> i64 {
        let page = get(&server, "/");
        let (_, rest) = page.text.split_once("data-now=\"").expect("a clock");
        rest.split('"').next().and_then(|digits| digits.parse().ok()).expect("milliseconds")
    };
    for units in [3, 2, 1] {
        assert_eq!(lists.map(left), [Some(units); 3]);
        assert_eq!(lists.map(left), [Some(units); 3], "again, from what is kept ready");
        reserve(&server, &format!("buyer-{units}"));
    }
    assert_eq!(lists.map(left), [None; 3], "sold out: no tile says how many are left");
    create(&server, &json!({ "name": "Another shoe" }));
    assert_eq!(lists.map(left), [Some(5); 3]);
    for (path, link) in [("/?lang=en", "href=\"/drops/2?lang=en\""), ("/", "href=\"/drops/2\"")].repeat(2) {
        let page = get(&server, path);
        assert!(page.text.contains(link), "{path}: a chosen language stays chosen: {}", page.text);
    }
    let first = clock();
    until("the clock goes on", || clock() > first);
    server.stop();
}

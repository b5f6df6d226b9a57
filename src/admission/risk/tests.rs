//! Each signal by table, the score, and the memory. Clocks are simulated.

use std::time::{Duration, Instant};

use super::buyer_table::BuyerTable;
use super::headers::{BrowserHeaders, are_odd};
use super::shared_clients::SharedClients;
use super::signals::{decayed, is_regular};
use super::*;
use crate::config::{Config, RISK_ENTRY_BYTES};

fn settings() -> RiskSettings {
    Config::defaults().risk
}

fn risk() -> Risk {
    Risk::new(&settings(), &Telemetry::new())
}

fn buyer(name: &str) -> BuyerText {
    BuyerText::new(name).expect("a buyer")
}

fn drop_7() -> DropId {
    DropId::new(7).expect("an id")
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const CHROME: &[u8] =
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
const FIREFOX: &[u8] = b"Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0";
const IPHONE: &[u8] = b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";
const IPHONE_CHROME: &[u8] = b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1";
const ANDROID: &[u8] =
    b"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36";
const WEB_VIEW: &[u8] = b"Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0.0.0 Mobile Safari/537.36";
const BRANDS: &[u8] = br#""Google Chrome";v="131", "Chromium";v="131", "Not_A Brand";v="24""#;

fn browser(user_agent: &[u8]) -> BrowserHeaders<'_> {
    BrowserHeaders {
        user_agent,
        accept_language: Some(b"en"),
        sec_fetch_site: Some(b"same-origin"),
        sec_fetch_mode: Some(b"cors"),
        is_secure: true,
        ..BrowserHeaders::default()
    }
}

fn chrome() -> BrowserHeaders<'static> {
    BrowserHeaders { brands: Some(BRANDS), mobile: Some(b"?0"), platform: Some(b"\"Windows\""), ..browser(CHROME) }
}

fn names(risk: &Risk, name: &str, now: Instant) -> Vec<&'static str> {
    risk.of(&buyer(name), now).map_or(Vec::new(), |note| note.signals.iter().map(Signal::as_str).collect())
}

#[test]
fn regular_intervals_are_gaps_that_vary_by_less_than_a_share_of_their_mean() {
    #[rustfmt::skip] // a case per line
    let cases: &[(&[u16], u32, bool)] = &[
        (&[500, 500, 500, 500, 500, 500], 10, true),
        (&[490, 510, 500, 495, 505, 500], 10, true),
        (&[400, 600, 500, 450, 550, 500], 10, false), // 12.9 %
        (&[400, 600, 500, 450, 550, 500], 13, true),
        (&[2, 2, 2, 3, 2, 2], 10, false),
        (&[2, 2, 2, 2, 2, 2], 10, true),
        (&[0, 0, 0, 0, 0, 0], 10, false), // all at one instant
        (&[310, 1250, 820, 4400, 640, 190], 10, false), // a person
        (&[60_000, 60_000, 60_000], 1, true),
        (&[65_535; 8], 50, true),
        (&[], 50, false),
    ];
    for (gaps, percent, expected) in cases {
        assert_eq!(is_regular(gaps, *percent), *expected, "{gaps:?} {percent}");
    }
}

#[test]
fn a_weight_halves_with_each_half_life_and_falls_all_the_time() {
    let left = |age_s: u64| decayed(40, age_s * 1000, 600);
    assert_eq!([0, 600, 1200, 1800, 100_000].map(left), [40_000, 20_000, 10_000, 5_000, 0]);
    assert_eq!(left(300), 30_000, "in a straight line between them");
    assert!((1..3000).all(|age| left(age) < left(age - 1) || left(age) == 0));
    assert_eq!(decayed(0, 5, 600), 0);
}

#[test]
fn odd_headers_are_those_that_no_browser_sends_so() {
    let safari = browser(IPHONE);
    let android = BrowserHeaders {
        mobile: Some(b"?1"),
        platform: Some(b"\"Android\""),
        brands: Some(BRANDS),
        ..browser(ANDROID)
    };
    let tool = BrowserHeaders { user_agent: b"ShopApp/7.1 okhttp/4.12", ..BrowserHeaders::default() };
    #[rustfmt::skip] // a case per line
    let cases: &[(&str, BrowserHeaders<'_>, bool)] = &[
        ("Chrome", chrome(), false),
        ("Firefox", browser(FIREFOX), false),
        ("Safari on a telephone", safari, false),
        ("Chrome on an iPhone has Safari's engine", browser(IPHONE_CHROME), false),
        ("Chrome on a telephone", android, false),
        ("a view in an app sends no hints", browser(WEB_VIEW), false),
        ("an app that names itself", tool, false),
        ("Safari before 16.4", BrowserHeaders { sec_fetch_site: None, sec_fetch_mode: None, ..safari }, false),
        ("plain HTTP has no hints", BrowserHeaders { is_secure: false, sec_fetch_site: None, sec_fetch_mode: None, ..browser(CHROME) }, false),
        ("a telephone that wants the page of a desktop", BrowserHeaders { platform: Some(b"\"Android\""), ..chrome() }, false),
        ("no user agent", BrowserHeaders { user_agent: b"", ..chrome() }, true),
        ("a headless browser", browser(b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0.0.0 Safari/537.36"), true),
        ("no language", BrowserHeaders { accept_language: None, ..chrome() }, true),
        ("Chrome without hints", browser(CHROME), true),
        ("Chrome without Sec-Fetch-*", BrowserHeaders { sec_fetch_site: None, sec_fetch_mode: None, ..chrome() }, true),
        ("Firefox without Sec-Fetch-*", BrowserHeaders { sec_fetch_site: None, sec_fetch_mode: None, ..browser(FIREFOX) }, true),
        ("half of Sec-Fetch-*", BrowserHeaders { sec_fetch_mode: None, ..chrome() }, true),
        ("a site that does not exist", BrowserHeaders { sec_fetch_site: Some(b"shop"), ..chrome() }, true),
        ("Firefox with Chrome's hints", BrowserHeaders { brands: Some(BRANDS), ..browser(FIREFOX) }, true),
        ("a tool with Chrome's hints", BrowserHeaders { brands: Some(BRANDS), ..tool }, true),
        ("hints of another version", BrowserHeaders { brands: Some(br#""Chromium";v="120""#), ..chrome() }, true),
        ("a telephone by hints alone", BrowserHeaders { mobile: Some(b"?1"), ..chrome() }, true),
        ("another system", BrowserHeaders { platform: Some(b"\"macOS\""), ..chrome() }, true),
    ];
    for (name, headers, expected) in cases {
        assert_eq!(are_odd(headers), *expected, "{name}");
    }
}

#[test]
fn each_signal_is_raised_by_what_it_is_named_for_and_by_nothing_else() {
    let began = Instant::now();
    let headers = chrome();
    let person = |address| SeenWrite { address: Some(address), headers: Some(&headers), order: None };
    let order = |address, since_start: Option<Duration>| SeenWrite {
        order: Some(SeenOrder { drop_id: drop_7(), since_start }),
        ..person(address)
    };

    let r = risk();
    r.note_write(&buyer("unread"), &order(1, None), began);
    assert_eq!(names(&r, "unread", began), ["no_read_before_purchase"]);
    r.note_read_from(1, Some(drop_7()));
    r.note_write(&buyer("read"), &order(1, None), began);
    r.note_read_by(&buyer("moved"), Some(drop_7()));
    r.note_write(&buyer("moved"), &order(2, None), began);
    r.note_read_from(3, None);
    r.note_write(&buyer("listed"), &order(3, None), began);
    for clean in ["read", "moved", "listed"] {
        assert_eq!(names(&r, clean, began), [""; 0], "{clean}");
    }
    r.note_write(
        &buyer("other-drop"),
        &SeenWrite {
            order: Some(SeenOrder { drop_id: DropId::new(8).expect("an id"), since_start: None }),
            ..person(1)
        },
        began,
    );
    assert_eq!(names(&r, "other-drop", began), ["no_read_before_purchase"], "another drop was read");

    for (since, expected) in [(Some(0), true), (Some(99), true), (Some(100), false), (None, false)] {
        let name = format!("since-{since:?}");
        r.note_write(&buyer(&name), &order(1, since.map(ms)), began);
        assert_eq!(names(&r, &name, began) == ["first_instant"], expected, "{name}");
    }
    r.note_write(&buyer("eager"), &order(1, None), began);
    r.note_write(&buyer("eager"), &order(1, Some(ms(5))), began + ms(1_300));
    assert_eq!(names(&r, "eager", began), [""; 0], "who clicks before the start, too, is a person");

    r.note_checkout(&buyer("slow"), ms(500), began);
    r.note_checkout(&buyer("fast"), ms(499), began);
    assert_eq!((names(&r, "slow", began), names(&r, "fast", began)), (vec![], vec!["fast_checkout"]));
    r.note_challenge(&buyer("failed"), began);
    assert_eq!(names(&r, "failed", began), ["challenge"]);

    let traveller = |count: u64, name: &str| {
        for address in 0..count {
            r.note_write(&buyer(name), &person((address + 1) << 48), began + ms(address * address * 700));
        }
    };
    traveller(5, "traveller");
    traveller(6, "everywhere");
    assert_eq!(names(&r, "traveller", began), [""; 0]);
    assert_eq!(names(&r, "everywhere", began), ["many_addresses"]);
    for number in 0..4u64 {
        let agent = format!("ShopApp/{number}");
        let headers = BrowserHeaders { user_agent: agent.as_bytes(), ..BrowserHeaders::default() };
        let write = SeenWrite { headers: Some(&headers), ..person(1) };
        r.note_write(&buyer("agents"), &write, began + ms(number * number * 700));
        assert_eq!(names(&r, "agents", began) == ["many_addresses"], number == 3, "{number}");
    }

    for (name, gaps) in
        [("timer", [500, 502, 499, 500, 503, 500, 498]), ("clicks", [500, 1900, 300, 800, 2600, 400, 900])]
    {
        let mut now = began;
        r.note_write(&buyer(name), &person(9), now);
        for gap in gaps {
            now += ms(gap);
            r.note_write(&buyer(name), &person(9), now);
        }
        assert_eq!(names(&r, name, now) == ["regular_intervals"], name == "timer", "{name}");
    }
    let mut now = began;
    for _ in 0..20 {
        now += ms(61_000);
        r.note_write(&buyer("visitor"), &person(9), now);
    }
    assert_eq!(names(&r, "visitor", now), [""; 0], "gaps above a minute start anew");
}

#[test]
fn a_read_of_yesterday_counts_and_one_of_the_day_before_does_not() {
    let (r, began) = (risk(), Instant::now());
    let at = |hours: u64| began + Duration::from_secs(3600 * hours);
    let order = SeenWrite {
        address: Some(1),
        order: Some(SeenOrder { drop_id: drop_7(), since_start: None }),
        ..SeenWrite::default()
    };
    r.tick(at(5));
    r.note_read_from(1, Some(drop_7()));
    r.note_write(&buyer("yesterday"), &order, at(28));
    r.note_write(&buyer("long-ago"), &order, at(31));
    assert_eq!(names(&r, "yesterday", at(28)), [""; 0]);
    assert_eq!(names(&r, "long-ago", at(31)), ["no_read_before_purchase"]);
}

#[test]
fn the_shop_s_back_end_and_the_wire_protocol_show_neither_headers_nor_addresses_of_buyers() {
    let (r, now) = (risk(), Instant::now());
    for number in 0..100 {
        let order = Some(SeenOrder { drop_id: drop_7(), since_start: None });
        r.note_write(&buyer(&number.to_string()), &SeenWrite { order, ..SeenWrite::default() }, now);
        r.note_write(&buyer(&format!("wire-{number}")), &SeenWrite { address: Some(5), ..SeenWrite::default() }, now);
    }
    assert_eq!((names(&r, "99", now), names(&r, "wire-99", now)), (vec![], vec![]));
}

#[test]
fn no_signal_suspects_anybody_by_itself_and_two_of_the_strongest_do() {
    let rules = settings();
    assert!(rules.weights.iter().all(|weight| *weight < rules.suspect_at));
    let of = |signal: Signal| rules.weights[signal as usize];
    let nat = of(Signal::SharedClient) + of(Signal::NoReadBeforePurchase) + of(Signal::FirstInstant);
    assert!(nat < rules.suspect_at, "a carrier's NAT behind a cache at the first instant");
    assert!(of(Signal::RegularIntervals) + of(Signal::NoReadBeforePurchase) >= rules.suspect_at, "a fast bot");

    let (r, began) = (risk(), Instant::now());
    let person =
        SeenWrite { address: Some(1), headers: None, order: Some(SeenOrder { drop_id: drop_7(), since_start: None }) };
    for number in 0..7 {
        assert!(!r.is_suspected(&buyer("bot"), began + ms(number * 500)), "{number}");
        r.note_write(&buyer("bot"), &person, began + ms(number * 500));
    }
    let now = began + ms(3_000);
    assert!(r.is_suspected(&buyer("bot"), now), "with the request that shows it");
    assert_eq!(r.of(&buyer("bot"), now).map(|note| note.score), Some(85));
    assert_eq!(r.counts(now).suspected, 1);
    let later = now + Duration::from_secs(600);
    assert!(!r.is_suspected(&buyer("bot"), later));
    assert_eq!(r.of(&buyer("bot"), later).map(|note| note.score), Some(42));
    assert_eq!(r.of(&buyer("bot"), now + Duration::from_secs(100_000)), None, "forgotten");
}

#[test]
fn changed_rules_are_in_force_with_the_next_request_and_disabled_signals_cost_no_memory() {
    let (r, now) = (risk(), Instant::now());
    r.note_challenge(&buyer("eve"), now);
    assert!(!r.is_suspected(&buyer("eve"), now));
    r.replace_rules(&RiskSettings { suspect_at: 50, ..settings() });
    assert!(r.is_suspected(&buyer("eve"), now));
    r.replace_rules(&RiskSettings { enabled: false, ..settings() });
    assert!(!r.is_suspected(&buyer("eve"), now) && r.of(&buyer("eve"), now).is_none());
    r.replace_rules(&RiskSettings { weights: [0; 8], ..settings() });
    assert_eq!(r.of(&buyer("eve"), now), None, "a weight of 0 is off");

    let off = Risk::new(&RiskSettings { enabled: false, ..settings() }, &Telemetry::new());
    off.note_challenge(&buyer("eve"), now);
    off.note_write(&buyer("eve"), &SeenWrite { address: Some(1), ..SeenWrite::default() }, now);
    off.replace_rules(&settings());
    assert_eq!((off.counts(now).entries.0, off.of(&buyer("eve"), now)), (0, None));
}

#[test]
fn a_flood_of_buyers_takes_a_fixed_room_and_evicts_no_suspected_one() {
    let bytes = BuyerTable::bytes_of_a_buyer() + SharedClients::bytes_of_a_pair();
    assert!(bytes <= RISK_ENTRY_BYTES, "{bytes}: a start bounds the tables by that");
    let r = Risk::new(&RiskSettings { entries_max: 1000, weights: [100; 8], ..settings() }, &Telemetry::new());
    let now = Instant::now();
    r.note_challenge(&buyer("eve"), now);
    for number in 0..20_000 {
        r.note_write(&buyer(&number.to_string()), &SeenWrite::default(), now + ms(number));
    }
    assert!(r.is_suspected(&buyer("eve"), now + ms(20_000)));
    let (used, places) = r.counts(now).entries;
    assert!(used <= places && places <= 1000, "{used} of {places}");
}

#[test]
fn a_request_of_another_thread_that_began_earlier_does_not_hide_a_rhythm() {
    let (r, began) = (risk(), Instant::now());
    let write = SeenWrite::default();
    for number in 1..=8 {
        r.note_write(&buyer("bot"), &write, began + ms(500 * number));
        r.note_write(&buyer("bot"), &write, began + ms(500 * number - 1));
    }
    assert_eq!(names(&r, "bot", began + ms(4_001)), ["regular_intervals"]);
}

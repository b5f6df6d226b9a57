//! Tests of each check with possible figures of a server.

use serde_json::json;

use super::*;

fn page(text: &str) -> MetricsPage {
    MetricsPage::parse(text).expect("a page")
}

fn drop(state: &str, [total, available, held, sold]: [u64; 4]) -> Value {
    json!({ "id": 7, "state": state, "starts_at": "2026-01-01T00:00:00.000Z", "total": total, "available": available,
            "held": held, "sold": sold })
}

#[test]
fn a_drop_must_be_or_go_on_sale() {
    let verdict = |state: &str, total: u64| drop_state(&drop(state, [total, total, 0, 0])).verdict;
    assert_eq!([verdict("scheduled", 5), verdict("live", 5)], [Verdict::Pass; 2]);
    assert_eq!([verdict("paused", 5), verdict("sold_out", 5)], [Verdict::Warn; 2]);
    assert_eq!([verdict("ended", 5), verdict("scheduled", 0)], [Verdict::Fail; 2]);
}

#[test]
fn stock_must_add_up_and_the_auditor_must_agree() {
    let good = drop("live", [10, 7, 2, 1]);
    let verdict = |drop: &Value, text: &str| stock(drop, &page(text)).verdict;
    assert_eq!(verdict(&good, "firstcome_oversold_units 0\nfirstcome_undersold_units 0\n"), Verdict::Pass);
    assert_eq!(verdict(&drop("live", [10, 7, 2, 2]), ""), Verdict::Fail);
    assert_eq!(verdict(&good, "firstcome_oversold_units 1\n"), Verdict::Fail);
    assert_eq!(verdict(&good, "firstcome_undersold_units 1\n"), Verdict::Fail);
    assert_eq!(verdict(&good, "firstcome_mismatched_drops 1\n"), Verdict::Fail);
    assert_eq!(verdict(&good, "firstcome_audit_lag 10001\n"), Verdict::Warn);
}

#[test]
fn units_from_before_are_a_warning() {
    assert_eq!(leftovers(&drop("scheduled", [10, 10, 0, 0])).verdict, Verdict::Pass);
    for left in [[10, 9, 1, 0], [10, 9, 0, 1]] {
        let finding = leftovers(&drop("scheduled", left));
        assert!(finding.verdict == Verdict::Warn && finding.to_do.contains("firstcome remedy 7"), "{finding:?}");
    }
}

#[test]
fn clocks_may_differ_up_to_a_limit() {
    let verdict = |theirs: &str, took: u64, text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("firstcome-time-ms", HeaderValue::from_str(theirs).expect("a value"));
        let wall = UnixMillis::new(1_000_000).expect("an instant");
        clock(&headers, Duration::from_millis(took), wall, &page(text)).verdict
    };
    assert_eq!(verdict("1000000", 0, ""), Verdict::Pass);
    assert_eq!([verdict("999800", 0, ""), verdict("999799", 0, "")], [Verdict::Pass, Verdict::Warn]);
    assert_eq!(verdict("999500", 1_000, ""), Verdict::Pass, "its time is half a second old");
    assert_eq!([verdict("998999", 0, ""), verdict("1001001", 0, "")], [Verdict::Fail; 2]);
    assert_eq!(verdict("1000000", 0, "firstcome_clock_offset_seconds -1.5\n"), Verdict::Fail);
    assert_eq!(clock(&HeaderMap::new(), Duration::ZERO, UnixMillis::ZERO, &page("")).verdict, Verdict::Warn);
}

#[test]
fn the_sale_must_fit_on_the_disk() {
    let mut config = Config::defaults();
    (config.free_bytes_min, config.reset_wal_bytes) = (1_000, 2_000);
    // 5,000 at least, and 2,000 for each of 10 units.
    let verdict = |free: u64| disk_space(&page(&format!("firstcome_disk_free_bytes {free}\n")), &config, 10).verdict;
    assert_eq!([verdict(25_000), verdict(24_999), verdict(5_000), verdict(4_999)], {
        [Verdict::Pass, Verdict::Warn, Verdict::Warn, Verdict::Fail]
    });
    config.data = "/no/such/directory".into();
    assert_eq!(disk_space(&page("firstcome_disk_free_bytes 0\n"), &config, 10).verdict, Verdict::Warn, "not said yet");
    let full = page("firstcome_disk_free_bytes 99999\nfirstcome_read_only 1\n");
    assert_eq!(disk_space(&full, &config, 10).verdict, Verdict::Fail);
}

#[test]
fn a_busy_server_and_one_with_other_settings_are_warnings() {
    let config = Config::defaults();
    let verdicts = |depth: u32, capacity: u32| -> Vec<Verdict> {
        let text = format!("firstcome_writer_queue_depth {depth}\nfirstcome_writer_queue_capacity {capacity}\n");
        readiness(Ok(()), &page(&text), &config).iter().map(|finding| finding.verdict).collect()
    };
    assert_eq!(verdicts(0, 8192), [Verdict::Pass, Verdict::Pass]);
    assert_eq!(verdicts(2_000, 8192), [Verdict::Pass, Verdict::Warn]);
    assert_eq!(verdicts(5_000, 8192), [Verdict::Pass, Verdict::Fail]);
    assert_eq!(verdicts(0, 100), [Verdict::Pass, Verdict::Warn]);
    let draining = readiness(Err(RequestError::Status(503, "draining".into())), &page(""), &config);
    assert_eq!(draining[0].verdict, Verdict::Fail);
}

#[test]
fn reads_are_fast_and_one_version_has_one_body() {
    let read = |millis, version: &str, body: &str| (Duration::from_millis(millis), version.into(), body.into());
    let verdict = |reads: &[DropRead]| judge_reads(reads).verdict;
    assert_eq!(verdict(&[read(50, "1-1", "a"), read(1, "1-1", "a")]), Verdict::Pass);
    assert_eq!(verdict(&[read(51, "1-1", "a"), read(1, "1-1", "a")]), Verdict::Warn);
    assert_eq!(verdict(&[read(1, "1-1", "a"), read(201, "1-1", "a")]), Verdict::Fail);
    assert_eq!(verdict(&[read(1, "1-1", "a"), read(1, "1-1", "b")]), Verdict::Fail);
    let changing = judge_reads(&[read(1, "1-1", "a"), read(1, "1-2", "b")]);
    assert!(changing.verdict == Verdict::Pass && changing.found.contains("changed meanwhile"), "{changing:?}");
}

#[test]
fn endpoints_must_respond_and_no_deliveries_may_wait() {
    let endpoint = |waiting, dead, answer: Result<u16, &str>| CheckedEndpoint {
        host: "shop.example".into(),
        waiting,
        dead,
        answer: answer.map(|status| StatusCode::from_u16(status).expect("a status")).map_err(Into::into),
    };
    let verdict = |endpoints: &[CheckedEndpoint], broken| judge_endpoints(endpoints, broken).verdict;
    assert_eq!(verdict(&[], 0), Verdict::Warn);
    assert_eq!(verdict(&[endpoint(0, 0, Ok(204)), endpoint(0, 0, Ok(405))], 0), Verdict::Pass);
    assert_eq!(verdict(&[endpoint(0, 0, Ok(503))], 0), Verdict::Warn);
    assert_eq!(verdict(&[endpoint(1, 0, Ok(200))], 0), Verdict::Warn);
    assert_eq!(verdict(&[endpoint(0, 1, Ok(200))], 0), Verdict::Warn);
    assert_eq!(verdict(&[endpoint(0, 0, Err("connection refused")), endpoint(1, 0, Ok(200))], 0), Verdict::Fail);
    assert_eq!(verdict(&[endpoint(0, 0, Ok(200))], 1), Verdict::Fail);
}

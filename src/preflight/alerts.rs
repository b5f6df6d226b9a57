//! Checks of the monitoring: Prometheus scrapes the server and has the rules, and an alert gets through.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::{Value, json};

use super::finding::Finding;
use crate::client::http::{HttpClient, RequestError, printable};

/// Name of the test alert.
const TEST_ALERT: &str = "FirstcomePreflight";
/// Duration of the test alert.
const TEST_SECONDS: i64 = 60;

/// Checks that Prometheus scrapes the server and has every rule of `wanted`.
pub async fn rules(prometheus: Option<&HttpClient>, wanted: &BTreeSet<String>) -> Vec<Finding> {
    let Some(prometheus) = prometheus else {
        let to_do = "pass it with --prometheus http://HOST:9090";
        return vec![Finding::warn("alert rules", "no Prometheus given", to_do)];
    };
    let seen = prometheus.get_json("/api/v1/query?query=firstcome_seq").await;
    let rules = prometheus.get_json("/api/v1/rules?type=alert").await;
    vec![judge_scrape(&prometheus.url, seen), judge_rules(&prometheus.url, rules, wanted)]
}

fn judge_scrape(url: &str, seen: Result<Value, RequestError>) -> Finding {
    const CHECK: &str = "scraped";
    match seen {
        Err(error) => Finding::fail(CHECK, format!("{url}: {error}"), "is Prometheus running there?"),
        Ok(answer) => match answer["data"]["result"].as_array().map_or(0, Vec::len) {
            0 => Finding::fail(
                CHECK,
                format!("{url} has no metrics of a firstcome server"),
                "see its targets page for the reason: address, token or firewall",
            ),
            servers => Finding::pass(CHECK, format!("{url} scrapes {servers} firstcome servers")),
        },
    }
}

fn judge_rules(url: &str, rules: Result<Value, RequestError>, wanted: &BTreeSet<String>) -> Finding {
    const CHECK: &str = "alert rules";
    let rules = match rules {
        Err(error) => return Finding::fail(CHECK, format!("{url}: {error}"), "is Prometheus running there?"),
        Ok(rules) => rules,
    };
    let groups = rules["data"]["groups"].as_array().into_iter().flatten();
    let rules: Vec<&Value> = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten()).collect();
    let text = |rule: &Value, member: &str| printable(rule[member].as_str().unwrap_or(""));
    let names = |has: &dyn Fn(&Value) -> bool| -> BTreeSet<String> {
        rules
            .iter()
            .filter(|rule| has(rule))
            .map(|rule| text(rule, "name"))
            .filter(|name| wanted.contains(name))
            .collect()
    };
    let joined = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect::<Vec<_>>().join(", ");
    let loaded = names(&|_| true);
    if loaded.len() < wanted.len() {
        let missing = joined(&mut wanted.difference(&loaded));
        let to_do = "load dashboards/alerts.yml (rule_files), and reload Prometheus";
        return Finding::fail(
            CHECK,
            format!("{} of {} are missing: {missing}", wanted.len() - loaded.len(), wanted.len()),
            to_do,
        );
    }
    let broken = names(&|rule| rule["health"] == "err");
    if !broken.is_empty() {
        let found = format!("evaluation fails: {}", joined(&mut broken.iter()));
        return Finding::fail(CHECK, found, "see the rules page of Prometheus for the reason");
    }
    let firing = names(&|rule| rule["state"] == "firing");
    if !firing.is_empty() {
        let found = format!("{} loaded; firing now: {}", loaded.len(), joined(&mut firing.iter()));
        return Finding::warn(CHECK, found, "see the runbook of each in dashboards/runbooks");
    }
    Finding::pass(CHECK, format!("all {} are loaded, none is firing", loaded.len()))
}

/// Fires the test alert, and checks that it has arrived.
pub async fn test_alert(alertmanager: Option<&HttpClient>, drop: u32) -> Finding {
    const CHECK: &str = "test alert";
    let Some(alertmanager) = alertmanager else {
        return Finding::warn(CHECK, "no Alertmanager given", "pass it with --alertmanager http://HOST:9093");
    };
    let url = &alertmanager.url;
    let now = jiff::Timestamp::now();
    let end = jiff::Timestamp::from_second(now.as_second().saturating_add(TEST_SECONDS)).unwrap_or(now);
    let alert = json!([{
        "labels": { "alertname": TEST_ALERT, "severity": "none", "drop": drop.to_string() },
        "annotations": { "summary": format!("A test before the sale of drop {drop}: nothing is wrong") },
        "startsAt": now.to_string(), "endsAt": end.to_string(),
    }]);
    if let Err(error) = alertmanager.request(Method::POST, "/api/v2/alerts", Some(&alert)).await {
        return Finding::fail(CHECK, format!("{url}: {error}"), "is Alertmanager running there?");
    }
    let standing = alertmanager.get_json(&format!("/api/v2/alerts?filter=alertname%3D%22{TEST_ALERT}%22")).await;
    judge_alert(url, standing)
}

fn judge_alert(url: &str, standing: Result<Value, RequestError>) -> Finding {
    const CHECK: &str = "test alert";
    let to_do = "see Alertmanager's log and its alerts page";
    let alerts = match standing {
        Err(error) => return Finding::fail(CHECK, format!("{url}: {error}"), to_do),
        Ok(alerts) => alerts,
    };
    let ours = alerts.as_array().into_iter().flatten().find(|alert| alert["labels"]["alertname"] == TEST_ALERT);
    let Some(ours) = ours else {
        return Finding::fail(CHECK, format!("{url} accepted {TEST_ALERT} but does not list it"), to_do);
    };
    let receivers = ours["receivers"].as_array().into_iter().flatten();
    let receivers: Vec<String> = receivers.map(|one| printable(one["name"].as_str().unwrap_or(""))).collect();
    if ours["status"]["state"] == "suppressed" {
        let found = format!("{TEST_ALERT} is silenced or inhibited");
        return Finding::warn(CHECK, found, "look for a forgotten silence: it may hold back real alerts as well");
    }
    Finding::pass(CHECK, format!("{TEST_ALERT} fires for {TEST_SECONDS} s and goes to {}", receivers.join(", ")))
}

/// Alert rules that Prometheus should have loaded.
const RULES: &str = include_str!("../../dashboards/alerts.yml");

/// Returns the names of the alerts that Prometheus should have loaded.
#[must_use]
pub fn all_names() -> BTreeSet<String> {
    names(RULES)
}

/// Returns the names of the alerts in a file of rules, without parsing the rest of its YAML.
fn names(yaml: &str) -> BTreeSet<String> {
    let of_the_line = |line: &str| {
        let line = line.trim_start();
        let name = line.strip_prefix("- ").unwrap_or(line).trim_start().strip_prefix("alert:")?;
        Some(name.trim().trim_matches(['"', '\'']).to_owned()).filter(|name| !name.is_empty())
    };
    yaml.lines().filter_map(of_the_line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn wanted(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_are_found_in_a_file_of_rules() {
        let yaml = "groups:\n  - name: x\n    rules:\n      - alert: Oversold\n        expr: a > 0\n      - expr: b\n        alert: \"Undersold\"\n\
                    # alert: NotThis\n      - record: alert:ratio\n";
        assert_eq!(names(yaml), wanted(&["Oversold", "Undersold"]));
    }

    #[test]
    fn every_rule_must_be_loaded_and_work() {
        let wanted = wanted(&["A", "B"]);
        let verdict = |rules: Value| {
            let answer = json!({ "data": { "groups": [{ "rules": rules }] } });
            judge_rules("p", Ok(answer), &wanted)
        };
        let rule = |name: &str, state: &str, health: &str| json!({ "name": name, "state": state, "health": health });
        let (a, b) = (rule("A", "inactive", "ok"), rule("B", "inactive", "ok"));
        assert_eq!(verdict(json!([a, b, rule("Theirs", "firing", "err")])).verdict, Verdict::Pass);
        let missing = verdict(json!([a]));
        assert!(missing.verdict == Verdict::Fail && missing.found.ends_with(": B"), "{missing:?}");
        assert_eq!(verdict(json!([a, rule("B", "inactive", "err")])).verdict, Verdict::Fail);
        let firing = verdict(json!([a, rule("B", "firing", "ok")]));
        assert!(firing.verdict == Verdict::Warn && firing.found.contains("firing now: B"), "{firing:?}");
        assert_eq!(judge_rules("p", Err(RequestError::Status(404, String::new())), &wanted).verdict, Verdict::Fail);
    }

    #[test]
    fn a_prometheus_that_does_not_scrape_the_server_fails() {
        let verdict = |result: Value| judge_scrape("p", Ok(json!({ "data": { "result": result } }))).verdict;
        assert_eq!([verdict(json!([{}])), verdict(json!([]))], [Verdict::Pass, Verdict::Fail]);
        assert_eq!(judge_scrape("p", Err(RequestError::Invalid("x".into()))).verdict, Verdict::Fail);
    }

    #[test]
    fn the_test_alert_must_fire_and_have_a_receiver() {
        let alert = |state: &str| {
            json!([{ "labels": { "alertname": TEST_ALERT }, "status": { "state": state },
                                           "receivers": [{ "name": "pager" }] }])
        };
        let active = judge_alert("a", Ok(alert("active")));
        assert!(active.verdict == Verdict::Pass && active.found.ends_with("goes to pager"), "{active:?}");
        assert_eq!(judge_alert("a", Ok(alert("suppressed"))).verdict, Verdict::Warn);
        assert_eq!(judge_alert("a", Ok(json!([]))).verdict, Verdict::Fail);
        assert_eq!(judge_alert("a", Err(RequestError::Status(500, String::new()))).verdict, Verdict::Fail);
    }
}

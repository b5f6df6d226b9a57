//! The settings of challenges.

use std::time::Duration;

use super::limits::Relation;
use super::model::Config;
use super::setting::{Setting, setting};
use super::values::{api_url, count, file, hosts, millis, number, one_of};

fn optional_url(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Ok(String::new()) } else { api_url(text) }
}

/// Public texts that are shown to clients, and actions: visible ASCII.
fn visible(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= 2048 {
        Ok(text.into())
    } else {
        Err("visible ASCII characters without spaces, at most 2048".into())
    }
}

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "challenge.maxnumber",
        "100000",
        "hashes",
        "largest number that the solution of a proof of work can be; a browser tries 100,000 to 1,000,000 a second and thread, so the mean of 55,000 takes a phone about half a second",
        |c, t| c.challenge.maxnumber = number(t, 1, 1_000_000_000)?
    ),
    setting!(
        "challenge.minnumber",
        "10000",
        "hashes",
        "smallest number that the solution can be: no proof of work is cheaper",
        |c, t| c.challenge.minnumber = number(t, 0, 1_000_000_000)?
    ),
    setting!("challenge.expiry_seconds", "300", "s", "time in which a challenge must be solved and used", |c, t| c
        .challenge
        .expiry =
        Duration::from_secs(number(t, 5, 86_400)?)),
    setting!(
        "challenge.used_max",
        "1000000",
        "challenges",
        "used challenges that are remembered at once, 8 bytes each, taken with the first use; one that would be forgotten before it expires is refused instead; bounded together with `admission.entries_max`",
        |c, t| c.challenge.used_max = count(t, 1000, 7_000_000)?
    ),
    setting!(
        "challenge.hashes_per_second_max",
        "10000000",
        "hashes/s",
        "a solution that was found faster was not found by a browser: it passes, and counts as the signal `challenge` of a bot; 0: no solution is too fast",
        |c, t| c.challenge.hashes_per_second_max = number(t, 0, 1_000_000_000_000)?
    ),
    setting!(
        "challenge.siteverify_url",
        "",
        "URL",
        "address where tokens of drops with the challenge `external` are verified, such as https://challenges.cloudflare.com/turnstile/v0/siteverify",
        |c, t| c.challenge.siteverify_url = optional_url(t)?
    ),
    setting!(
        "challenge.secret_file",
        "",
        "file",
        "file with the shop's secret at that service (readable by its owner only)",
        |c, t| c.challenge.secret_file = file(t)
    ),
    setting!(
        "challenge.site_key",
        "",
        "text",
        "public key of the shop at that service, told to clients that must solve a challenge",
        |c, t| c.challenge.site_key = visible(t)?
    ),
    setting!(
        "challenge.widget_url",
        "",
        "URL",
        "address of the service's script or of a page with its widget, told to the same clients",
        |c, t| c.challenge.widget_url = visible(t)?
    ),
    setting!("challenge.hostnames", "", "list", "host names of the pages whose tokens count; any if unset", |c, t| c
        .challenge
        .hostnames =
        hosts(t)?),
    setting!("challenge.action", "", "text", "action of the tokens that count; any if unset", |c, t| c
        .challenge
        .action =
        visible(t)?),
    setting!(
        "challenge.send_address",
        "false",
        "true, false",
        "sends the client's address to that service (`remoteip`)",
        |c, t| c.challenge.send_address = one_of(t, "true", "false")?
    ),
    setting!(
        "challenge.timeout_ms",
        "2000",
        "ms",
        "time for that service's whole response: a buyer waits for it",
        |c, t| c.challenge.timeout = millis(t, 100, 10_000)?
    ),
    setting!(
        "challenge.fail_open",
        "false",
        "true, false",
        "orders pass while that service does not answer; otherwise they are refused",
        |c, t| c.challenge.fail_open = one_of(t, "true", "false")?
    ),
    setting!(
        "challenge.in_flight_max",
        "64",
        "requests",
        "concurrent requests to that service; an order above it is answered `overloaded`",
        |c, t| c.challenge.in_flight_max = count(t, 1, 4096)?
    ),
];

pub(super) fn relations(config: &Config) -> [Relation; 9] {
    let challenge = &config.challenge;
    let has_url = !challenge.siteverify_url.is_empty();
    let needs_url = |key: &'static str, is_unset: bool| {
        (
            [key, "challenge.siteverify_url"],
            is_unset || has_url,
            format!("{key} requires challenge.siteverify_url; otherwise it has no effect"),
        )
    };
    [
        (
            ["challenge.minnumber", "challenge.maxnumber"],
            challenge.minnumber <= challenge.maxnumber,
            "challenge.minnumber must be at most challenge.maxnumber: the solution lies between them".into(),
        ),
        (
            ["challenge.siteverify_url", "challenge.secret_file"],
            !has_url || challenge.secret_file.is_some(),
            "challenge.siteverify_url requires challenge.secret_file: the service answers no request without the secret"
                .into(),
        ),
        needs_url("challenge.secret_file", challenge.secret_file.is_none()),
        needs_url("challenge.fail_open", !challenge.fail_open),
        needs_url("challenge.hostnames", challenge.hostnames.is_empty()),
        needs_url("challenge.action", challenge.action.is_empty()),
        needs_url("challenge.site_key", challenge.site_key.is_empty()),
        needs_url("challenge.widget_url", challenge.widget_url.is_empty()),
        needs_url("challenge.send_address", !challenge.send_address),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &[(&'static str, &str)]) -> Result<Config, Vec<String>> {
        let flags: Vec<(&'static str, String)> = flags.iter().map(|(key, value)| (*key, (*value).into())).collect();
        Config::load(None, [], &flags).map_err(|mistakes| mistakes.into_iter().map(|mistake| mistake.0).collect())
    }

    #[test]
    fn settings_of_challenges_that_contradict_each_other_are_refused_all_at_once() {
        let told = load(&[
            ("challenge.minnumber", "10"),
            ("challenge.maxnumber", "9"),
            ("challenge.secret_file", "k"),
            ("challenge.fail_open", "true"),
            ("challenge.hostnames", "shop.example"),
            ("challenge.action", "buy"),
            ("challenge.site_key", "0x4AAA"),
            ("challenge.widget_url", "https://shop.example/widget"),
            ("challenge.send_address", "true"),
        ]);
        let told = told.expect_err("eight contradictions");
        assert_eq!(told.len(), 8, "{told:#?}");
        assert!(told.iter().any(|line| line.starts_with("challenge.action requires challenge.siteverify_url")));
        let url = ("challenge.siteverify_url", "https://challenges.example/siteverify");
        assert!(load(&[url]).expect_err("no secret")[0].contains("challenge.secret_file"));
        let whole = [url, ("challenge.secret_file", "k"), ("challenge.fail_open", "true")];
        assert!(load(&whole).expect("good").challenge.fail_open);
    }

    #[test]
    fn the_secret_is_never_sent_in_clear_over_a_network() {
        let secret = ("challenge.secret_file", "k");
        for (url, is_good) in [
            ("https://challenges.example/siteverify", true),
            ("http://127.0.0.1:1/siteverify", true),
            ("http://challenges.example/siteverify", false),
            ("ftp://x", false),
        ] {
            assert_eq!(load(&[("challenge.siteverify_url", url), secret]).is_ok(), is_good, "{url}");
        }
    }
}

//! The settings of mails to buyers.

use std::time::Duration;

use super::limits::Relation;
use super::model::{Config, MailTls};
use super::setting::{Setting, setting};
use super::values::{count, file, millis, number};

pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "mail.host",
        "",
        "text",
        "SMTP server that sends the mails to buyers; no mails are sent if unset",
        |c, t| c.mail.host = host(t)?
    ),
    setting!("mail.port", "587", "port", "port of the SMTP server", |c, t| c.mail.port =
        u16::try_from(number(t, 1, 65_535)?).unwrap_or(u16::MAX)),
    setting!(
        "mail.tls",
        "starttls",
        "starttls, implicit, none",
        "encryption of the connection to the SMTP server: by STARTTLS (port 587), from its beginning (port 465), or none, for a server on this machine",
        |c, t| c.mail.tls = tls(t)?
    ),
    setting!(
        "mail.credentials_file",
        "",
        "file",
        "file with user and password at the SMTP server, one a line (readable by its owner only)",
        |c, t| c.mail.credentials_file = file(t)
    ),
    setting!(
        "mail.authorities_file",
        "",
        "file",
        "certificate authorities (PEM) of the SMTP server, besides the public ones",
        |c, t| c.mail.authorities_file = file(t)
    ),
    setting!(
        "mail.from",
        "",
        "text",
        "sender of the mails, `Shop <orders@shop.example>`; its name is the shop's name in the mails",
        |c, t| c.mail.from = t.trim().into()
    ),
    setting!("mail.reply_to", "", "text", "address for answers, if it is not the sender", |c, t| c.mail.reply_to =
        t.trim().into()),
    setting!(
        "mail.rate_per_second",
        "10",
        "mails",
        "mails per second at most: relays refuse or delay those that send faster than their plan",
        |c, t| c.mail.per_second = u32::try_from(number(t, 1, 1000)?).unwrap_or(u32::MAX)
    ),
    setting!("mail.in_flight_max", "4", "mails", "concurrent conversations with the SMTP server", |c, t| c
        .mail
        .in_flight_max =
        count(t, 1, 64)?),
    setting!(
        "mail.timeout_ms",
        "30000",
        "ms",
        "time for handing one mail over; a mail that may have been taken is sent again with the same Message-ID",
        |c, t| c.mail.timeout = millis(t, 100, 300_000)?
    ),
    setting!(
        "mail.age_max_seconds",
        "604800",
        "s",
        "events older than this get no mail: after a long outage a mail about last month helps no buyer",
        |c, t| c.mail.age_max = age(t)?
    ),
    setting!(
        "mail.templates",
        "",
        "directory",
        "directory with templates, `LANGUAGE/NAME.txt` and `LANGUAGE/NAME.html`, that replace or add to the built-in ones (English, Vietnamese)",
        |c, t| c.mail.templates = file(t)
    ),
    setting!("mail.language", "en", "text", "language of the mails: one that has templates", |c, t| c.mail.language =
        t.trim().into()),
    setting!("mail.time_zone", "UTC", "text", "time zone of the times in mails, `Asia/Ho_Chi_Minh`", |c, t| c
        .mail
        .time_zone =
        t.trim().into()),
];

fn host(text: &str) -> Result<String, String> {
    let host = text.trim();
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
    if host.len() <= 253 && host.bytes().all(good) && !host.contains("..") {
        Ok(host.into())
    } else {
        Err("the name or address of a host, without a port".into())
    }
}

fn age(text: &str) -> Result<Duration, String> {
    number(text, 60, 31_536_000).map(Duration::from_secs)
}

fn tls(text: &str) -> Result<MailTls, String> {
    match text.trim() {
        "starttls" => Ok(MailTls::Starttls),
        "implicit" => Ok(MailTls::Implicit),
        "none" => Ok(MailTls::None),
        _ => Err("starttls, implicit or none".into()),
    }
}

pub(super) fn relations(config: &Config) -> [Relation; 2] {
    let mail = &config.mail;
    let is_local = mail.host == "localhost" || mail.host.parse().is_ok_and(|host: std::net::IpAddr| host.is_loopback());
    [
        (
            ["mail.host", "mail.from"],
            mail.host.is_empty() || !mail.from.is_empty(),
            "mail.host requires mail.from, the sender of the mails".into(),
        ),
        (
            ["mail.tls", "mail.host"],
            mail.tls != MailTls::None || mail.host.is_empty() || is_local,
            "mail.tls = none is for an SMTP server on this machine only; otherwise addresses of buyers and the password \
             would travel in clear text"
                .into(),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &[(&'static str, &str)]) -> Result<Config, String> {
        let flags: Vec<(&'static str, String)> = flags.iter().map(|(key, value)| (*key, (*value).into())).collect();
        let told = |mistakes: Vec<super::super::ConfigError>| {
            mistakes.into_iter().map(|mistake| mistake.0).collect::<Vec<_>>().join("\n")
        };
        Config::load(None, [], &flags).map_err(told)
    }

    #[test]
    fn mails_are_off_by_default() {
        let mail = load(&[]).expect("no mistakes").mail;
        assert!(mail.host.is_empty() && mail.language == "en" && mail.time_zone == "UTC");
        assert_eq!((mail.port, mail.tls, mail.per_second), (587, MailTls::Starttls, 10));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let told = load(&[
            ("mail.host", "smtp.example:25:"),
            ("mail.host", "smtp..example"),
            ("mail.port", "0"),
            ("mail.tls", "ssl"),
            ("mail.rate_per_second", "0"),
        ])
        .expect_err("refused");
        for key in ["mail.host", "mail.port", "mail.tls", "mail.rate_per_second"] {
            assert!(told.contains(key), "{told}");
        }
        let told = load(&[("mail.host", "smtp.example"), ("mail.tls", "none")]).expect_err("refused");
        assert!(told.contains("requires mail.from") && told.contains("clear text"), "{told}");
    }

    #[test]
    fn clear_text_is_for_this_machine_only() {
        for (host, allowed) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("10.0.0.1", false),
            ("127.0.0.1.evil.example", false),
        ] {
            let loaded = load(&[("mail.host", host), ("mail.from", "a@b.example"), ("mail.tls", "none")]);
            assert_eq!(loaded.is_ok(), allowed, "{host}");
        }
    }
}

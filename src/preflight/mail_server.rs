//! Check of the mail server: a conversation up to the login, in which no mail is sent.

use super::finding::Finding;
use crate::config::{Config, MailTls};
use crate::mail::Mailer;
use crate::types::AttemptError;

const CHECK: &str = "mail server";

/// Connects, encrypts and logs in as the server's relay does, within `mail.timeout_ms`. `None` if the settings name no mail
/// server.
pub async fn mail_server(config: &Config) -> Option<Finding> {
    let mail = &config.mail;
    let mailer = match Mailer::open(config) {
        Ok(mailer) => mailer?,
        Err(mistakes) => {
            let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            return Some(Finding::fail(CHECK, lines.join("; "), "correct the settings: a start refuses them"));
        }
    };
    let server = format!("{}:{}", mail.host, mail.port);
    Some(match mailer.probe().await {
        Ok(()) => {
            let login = if mail.credentials_file.is_some() { " and takes the login" } else { "" };
            let how = match mail.tls {
                MailTls::None => "in clear text",
                MailTls::Starttls => "by STARTTLS",
                MailTls::Implicit => "by TLS",
            };
            Finding::pass(CHECK, format!("{server} answers {how}{login}"))
        }
        Err(error) => Finding::fail(CHECK, format!("{server}: {error}"), to_do(error)),
    })
}

const fn to_do(error: AttemptError) -> &'static str {
    match error {
        AttemptError::Unresolved => "correct mail.host: the name has no address",
        AttemptError::Unreachable => "correct mail.host and mail.port, or let the firewall pass connections to them",
        AttemptError::Tls => "correct mail.tls, or name the authority of its certificate in mail.authorities_file",
        AttemptError::TimedOut => "ask its operator: it answers too slowly for mail.timeout_ms",
        AttemptError::Status(_) => "ask its operator, or correct the user and the password in mail.credentials_file",
        AttemptError::Broken | AttemptError::Behind | AttemptError::Forbidden => {
            "correct mail.port and mail.tls: what answers there does not speak SMTP as they say"
        }
    }
}

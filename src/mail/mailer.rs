//! The mailer: everything that the configuration says of mails, ready for use.

use std::time::Duration;

use jiff::tz::TimeZone;
use lettre::message::Mailbox;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::client::{MAILBOX_NAME_NOT_ALLOWED, MailResult, SmtpClient, SmtpOptions};
use super::compose::{Envelope, MessageParts, compose};
use super::details::MailDetails;
use super::mail_address;
use super::templates::Templates;
use crate::config::secret_file::{FileProtection, read};
use crate::config::{Config, ConfigError};
use crate::types::{AttemptError, UnixMillis};

const CREDENTIALS_BYTES_MAX: u64 = 4096;
const AUTHORITIES_BYTES_MAX: u64 = 1 << 20;

/// Sends mails.
#[derive(Clone)]
pub struct Mailer {
    client: SmtpClient,
    templates: Templates,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    language: String,
    pub per_second: u32,
    pub in_flight_max: usize,
    /// An event that is older gets no mail.
    pub age_max: Duration,
    /// True if auctions have a page to which mails may lead.
    pub has_shop: bool,
}

impl Mailer {
    /// Reads the files that the configuration names; `None` if it has no mail server.
    ///
    /// # Errors
    /// All mistakes at once. Messages never contain secrets.
    pub fn open(config: &Config) -> Result<Option<Mailer>, Vec<ConfigError>> {
        let mail = &config.mail;
        if mail.host.is_empty() {
            return Ok(None);
        }
        let mut mistakes = Vec::new();
        let from = mailbox("mail.from", &mail.from).map_err(|mistake| mistakes.push(mistake)).ok();
        let reply_to = (!mail.reply_to.is_empty()).then(|| mailbox("mail.reply_to", &mail.reply_to)).transpose();
        let reply_to = reply_to.map_err(|mistake| mistakes.push(mistake)).ok().flatten();
        let credentials = mail.credentials_file.as_deref().map(credentials_in).transpose();
        let credentials = credentials.map_err(|mistake| mistakes.push(mistake)).ok().flatten();
        let authorities = mail.authorities_file.as_deref().map(authorities_in).transpose();
        let authorities = authorities.map_err(|mistake| mistakes.push(mistake)).ok().flatten().unwrap_or_default();
        let zone = TimeZone::get(&mail.time_zone).map_err(|_| {
            let zone = &mail.time_zone;
            mistakes
                .push(ConfigError(format!("mail.time_zone: {zone} is no time zone, such as Asia/Ho_Chi_Minh or UTC")));
        });
        let templates = Templates::load(mail.templates.as_deref(), zone.unwrap_or(TimeZone::UTC));
        let templates = templates.map_err(|more| mistakes.extend(more)).ok();
        if let Some(templates) = templates.as_ref().filter(|templates| !templates.has(&mail.language)) {
            let (language, known) = (&mail.language, templates.languages().collect::<Vec<_>>().join(", "));
            mistakes
                .push(ConfigError(format!("mail.language: there are no templates for {language}, only for {known}")));
        }
        let hello = from.as_ref().map_or(String::new(), |from| from.email.domain().to_owned());
        let client = SmtpClient::new(SmtpOptions {
            host: mail.host.clone(),
            port: mail.port,
            tls: mail.tls,
            credentials,
            authorities,
            hello,
            timeout: mail.timeout,
        });
        let client = client.map_err(|error| mistakes.push(ConfigError(format!("mail.authorities_file: {error}")))).ok();
        let (Some(from), Some(templates), Some(client), true) = (from, templates, client, mistakes.is_empty()) else {
            return Err(mistakes);
        };
        Ok(Some(Mailer {
            client,
            templates,
            from,
            reply_to,
            language: mail.language.clone(),
            per_second: mail.per_second,
            in_flight_max: mail.in_flight_max,
            age_max: mail.age_max,
            has_shop: config.storefront.enabled,
        }))
    }

    /// The name of the shop: that of `mail.from`, or its domain.
    #[must_use]
    pub fn shop(&self) -> String {
        self.from.name.clone().unwrap_or_else(|| self.from.email.domain().to_owned())
    }

    /// Puts a mail together. `message_id` is the part before `@`.
    ///
    /// # Errors
    /// The buyer's address takes no mail, or a template fails with these details: the delivery is given up.
    pub fn prepare(
        &self,
        details: &MailDetails,
        to: &str,
        message_id: &str,
        now: UnixMillis,
    ) -> Result<Envelope, MailResult> {
        let to = mail_address(to).ok_or(MailResult::Rejected(MAILBOX_NAME_NOT_ALLOWED))?;
        let rendered = self.templates.render(details, &self.language).map_err(|error| {
            // The template and the line, and nothing of the details.
            let (template, line) = (error.name().unwrap_or("").to_owned(), error.line().unwrap_or(0));
            tracing::error!(%template, line, kind = %error.kind(), "a template of a mail failed");
            MailResult::Rejected(TRANSACTION_FAILED)
        })?;
        let message_id = format!("{message_id}@{}", self.from.email.domain());
        let reply_to = self.reply_to.as_ref();
        let parts = MessageParts { from: &self.from, reply_to, to, message_id: &message_id, date: now };
        compose(parts, rendered).ok_or(MailResult::Rejected(TRANSACTION_FAILED))
    }

    /// Connects to the server and logs in, without a mail.
    ///
    /// # Errors
    /// The reason for which a mail would fail.
    pub async fn probe(&self) -> Result<(), AttemptError> {
        self.client.probe().await
    }

    /// Hands a mail over.
    pub async fn send(&self, mail: &Envelope) -> MailResult {
        self.client.send(mail).await
    }
}

/// "Transaction failed" (RFC 5321): stands for a mail whose template fails.
const TRANSACTION_FAILED: u16 = 554;

fn mailbox(setting: &str, text: &str) -> Result<Mailbox, ConfigError> {
    let parsed = text.parse::<Mailbox>().ok().filter(|mailbox| mailbox.email.to_string().is_ascii());
    let wrong = || ConfigError(format!("{setting}: must be an address such as `Shop <orders@shop.example>`"));
    parsed.filter(|_| !text.chars().any(char::is_control)).ok_or_else(wrong)
}

/// Reads user and password, one a line.
fn credentials_in(path: &std::path::Path) -> Result<(String, String), ConfigError> {
    let bytes = read("mail.credentials_file", path, FileProtection::Secret, CREDENTIALS_BYTES_MAX)?;
    let wrong = || ConfigError(format!("{}: must have two lines, the user and the password", path.display()));
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong())?;
    let lines: Vec<&str> = text.lines().collect();
    match lines.as_slice() {
        [user, password] if !user.is_empty() && !password.is_empty() => Ok(((*user).into(), (*password).into())),
        _ => Err(wrong()),
    }
}

fn authorities_in(path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let bytes = read("mail.authorities_file", path, FileProtection::Unforgeable, AUTHORITIES_BYTES_MAX)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(ConfigError(format!("{}: contains no PEM certificate", path.display()))),
    }
}

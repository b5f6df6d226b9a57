//! The message of a mail, by MIME. Every header is encoded by the library; none is put together from a buyer's text.

use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};

use super::templates::RenderedMail;
use crate::types::UnixMillis;

/// The parts of a message that the templates do not give.
#[derive(Clone, Debug)]
pub struct MessageParts<'a> {
    pub from: &'a Mailbox,
    pub reply_to: Option<&'a Mailbox>,
    pub to: Address,
    /// Without angle brackets; the same for every attempt.
    pub message_id: &'a str,
    pub date: UnixMillis,
}

/// A message with its addresses, ready to be handed over.
#[derive(Clone)]
pub struct Envelope {
    pub from: Address,
    pub to: Address,
    pub bytes: Vec<u8>,
}

/// Says that a program wrote the mail, so that no absence note answers it (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".into())
    }
}

/// Returns the message of a rendered mail; `None` if its parts make no message.
#[must_use]
pub fn compose(parts: MessageParts<'_>, mail: RenderedMail) -> Option<Envelope> {
    let milliseconds = u64::try_from(parts.date.get()).unwrap_or(0);
    let mut builder = Message::builder()
        .from(parts.from.clone())
        .to(Mailbox::new(None, parts.to.clone()))
        .subject(mail.subject)
        .message_id(Some(format!("<{}>", parts.message_id)))
        .date(SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds))
        .header(AutoSubmitted);
    if let Some(reply_to) = parts.reply_to {
        builder = builder.reply_to(reply_to.clone());
    }
    let message = match mail.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(mail.text, html)),
        None => builder.singlepart(SinglePart::plain(mail.text)),
    };
    let bytes = message.ok()?.formatted();
    Some(Envelope { from: parts.from.email.clone(), to: parts.to, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::mail_address;

    fn composed(subject: &str, html: Option<&str>) -> String {
        let from: Mailbox = "Cửa hàng <shop@shop.example>".parse().expect("a mailbox");
        let parts = MessageParts {
            from: &from,
            reply_to: Some(&from),
            to: mail_address("ann@shop.example").expect("an address"),
            message_id: "1.abc@shop.example",
            date: UnixMillis::new(1_795_251_600_000).expect("in range"),
        };
        let mail = RenderedMail { subject: subject.into(), text: "Xin chào\n".into(), html: html.map(Into::into) };
        String::from_utf8(compose(parts, mail).expect("a message").bytes).expect("only ASCII")
    }

    #[test]
    fn a_message_has_its_headers_and_both_parts() {
        let message = composed("Đơn hàng FC-7", Some("<p>Xin chào</p>"));
        for header in [
            "Message-ID: <1.abc@shop.example>\r\n",
            "To: ann@shop.example\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Date: Sat, 21 Nov 2026 09:00:00 +0000\r\n",
            "MIME-Version: 1.0\r\n",
            "Content-Type: multipart/alternative;",
            "Content-Type: text/plain; charset=utf-8\r\n",
            "Content-Type: text/html; charset=utf-8\r\n",
        ] {
            assert!(message.contains(header), "{header} in {message}");
        }
        assert!(!composed("Hi", None).contains("multipart"));
    }

    #[test]
    fn a_subject_with_line_breaks_makes_no_header() {
        let message = composed("Hi\r\nBcc: all@shop.example\n\nbody", None);
        let (head, _) = message.split_once("\r\n\r\n").expect("a head");
        assert!(!head.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{head}");
    }
}

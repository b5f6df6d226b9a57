//! JsonFields of verified bodies, read one by one; every mistake is named at once.

use serde_json::Value;

use super::provider_event::{InvalidField, WebhookError};
use crate::types::text::parse_rfc3339;
use crate::types::{Amount, Currency, UnixMillis, strict_json};

/// A verified body that is being read.
pub(super) struct JsonFields {
    root: Value,
    invalid: Vec<InvalidField>,
}

/// The body as JSON whose objects have each member once.
pub(super) fn parse(body: &[u8]) -> Result<Value, WebhookError> {
    strict_json::parse(body).map_err(|error| WebhookError::Malformed(format!("Not JSON: {error}.")))
}

impl JsonFields {
    /// A body that was parsed.
    pub(super) fn new(root: Value) -> JsonFields {
        JsonFields { root, invalid: Vec::new() }
    }

    /// What was made of it, unless something did not fit.
    pub(super) fn finish<T>(self, made: Option<T>) -> Result<T, WebhookError> {
        match made {
            Some(made) if self.invalid.is_empty() => Ok(made),
            _ => Err(WebhookError::InvalidFields(self.invalid)),
        }
    }

    /// A text, if it is there and is one.
    pub(super) fn str_at(&self, pointer: &str) -> Option<&str> {
        self.root.pointer(pointer)?.as_str()
    }

    /// A text of 1 to `max` bytes without control characters.
    pub(super) fn text(&mut self, pointer: &'static str, max: usize) -> Option<Box<str>> {
        let fits = |text: &&str| (1..=max).contains(&text.len()) && !text.chars().any(char::is_control);
        let text = self.str_at(pointer).filter(fits).map(Box::from);
        self.required(text, pointer, "must be a text without control characters, of at most 255 bytes")
    }

    /// A whole number of minor units above 0. A fraction, a text and a 0 are no amounts.
    pub(super) fn amount(&mut self, pointer: &'static str) -> Option<Amount> {
        let number = self.root.pointer(pointer).and_then(Value::as_u64).filter(|number| *number > 0);
        self.required(number.and_then(Amount::new), pointer, "must be a whole number of minor units from 1 to 2^53 - 1")
    }

    /// A whole number.
    pub(super) fn integer(&mut self, pointer: &'static str) -> Option<u64> {
        let number = self.root.pointer(pointer).and_then(Value::as_u64);
        self.required(number, pointer, "must be a whole number")
    }

    /// A currency that exists. Some providers write it in lower case.
    pub(super) fn currency(&mut self, pointer: &'static str) -> Option<Currency> {
        let code = self.str_at(pointer).filter(|code| code.len() == 3).map(str::to_ascii_uppercase);
        let known = code.filter(|code| iso_currency::Currency::from_code(code).is_some());
        self.required(known.as_deref().and_then(Currency::new), pointer, "must be an ISO 4217 code such as EUR")
    }

    /// An instant as RFC 3339.
    pub(super) fn instant(&mut self, pointer: &'static str) -> Option<UnixMillis> {
        let instant = self.str_at(pointer).and_then(parse_rfc3339);
        self.required(instant, pointer, "must be an RFC 3339 time")
    }

    /// An instant in seconds since 1970.
    pub(super) fn seconds(&mut self, pointer: &'static str) -> Option<UnixMillis> {
        let seconds = self.root.pointer(pointer).and_then(Value::as_i64);
        let instant = seconds.and_then(|seconds| UnixMillis::new(seconds.checked_mul(1000)?));
        self.required(instant, pointer, "must be seconds since 1970")
    }

    /// Notes a mistake where something could not be read.
    pub(super) fn required<T>(&mut self, read: Option<T>, pointer: &'static str, detail: &'static str) -> Option<T> {
        if read.is_none() {
            self.invalid.push(InvalidField { pointer, detail });
        }
        read
    }
}

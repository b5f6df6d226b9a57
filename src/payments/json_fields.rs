//! Reads the fields of verified JSON bodies one by one, and collects all invalid ones.

use serde_json::Value;

use super::provider_event::{InvalidField, WebhookError};
use crate::types::instant::{NotAnInstant, parse_instant};
use crate::types::strict_json::whole_number;
use crate::types::{Amount, Currency, UnixMillis, strict_json};

/// The reader of one verified body.
pub(super) struct JsonFields {
    root: Value,
    invalid: Vec<InvalidField>,
}

/// Parses JSON whose objects have each member at most once.
pub(super) fn parse(body: &[u8]) -> Result<Value, WebhookError> {
    strict_json::parse(body).map_err(|error| WebhookError::Malformed(format!("Not JSON: {error}.")))
}

impl JsonFields {
    pub(super) fn new(root: Value) -> JsonFields {
        JsonFields { root, invalid: Vec::new() }
    }

    /// Returns what the caller made of the fields, unless any was invalid.
    pub(super) fn finish<T>(self, made: Option<T>) -> Result<T, WebhookError> {
        match made {
            Some(made) if self.invalid.is_empty() => Ok(made),
            _ => Err(WebhookError::InvalidFields(self.invalid)),
        }
    }

    /// Returns the string at a JSON pointer, if there is one. A missing string is no mistake.
    pub(super) fn str_at(&self, pointer: &str) -> Option<&str> {
        self.root.pointer(pointer)?.as_str()
    }

    /// Reads a string of 1 to `max` bytes without control characters.
    pub(super) fn text(&mut self, pointer: &'static str, max: usize) -> Option<Box<str>> {
        let fits = |text: &&str| (1..=max).contains(&text.len()) && !text.chars().any(char::is_control);
        let text = self.str_at(pointer).filter(fits).map(Box::from);
        self.required(text, pointer, "must be a non-empty string without control characters, within its length limit")
    }

    /// Reads a positive whole number of minor units. Fractions and strings are invalid.
    pub(super) fn amount(&mut self, pointer: &'static str) -> Option<Amount> {
        let number = self.whole_number(pointer).filter(|number| *number > 0);
        self.required(number.and_then(Amount::new), pointer, "must be a whole number of minor units from 1 to 2^53 - 1")
    }

    pub(super) fn integer(&mut self, pointer: &'static str) -> Option<u64> {
        let number = self.whole_number(pointer);
        self.required(number, pointer, "must be a whole number")
    }

    fn whole_number(&self, pointer: &str) -> Option<u64> {
        self.root.pointer(pointer).and_then(whole_number).and_then(|number| u64::try_from(number).ok())
    }

    /// Reads a currency of ISO 4217. Some providers write it in lower case.
    pub(super) fn currency(&mut self, pointer: &'static str) -> Option<Currency> {
        let code = self.str_at(pointer).filter(|code| code.len() == 3).map(str::to_ascii_uppercase);
        let known = code.filter(|code| iso_currency::Currency::from_code(code).is_some());
        self.required(known.as_deref().and_then(Currency::new), pointer, "must be an ISO 4217 code such as EUR")
    }

    /// Reads a time in RFC 3339.
    pub(super) fn instant(&mut self, pointer: &'static str) -> Option<UnixMillis> {
        match self.str_at(pointer).map_or(Err(NotAnInstant::Form), parse_instant) {
            Ok(instant) => Some(instant),
            Err(reason) => self.required(None, pointer, reason.sentence()),
        }
    }

    /// Reads a time in seconds since 1970.
    pub(super) fn seconds(&mut self, pointer: &'static str) -> Option<UnixMillis> {
        let seconds = self.root.pointer(pointer).and_then(strict_json::whole_number);
        let instant = seconds.and_then(|seconds| UnixMillis::new(seconds.checked_mul(1000)?));
        self.required(instant, pointer, "must be seconds since 1970")
    }

    /// Records a mistake if a field could not be read.
    pub(super) fn required<T>(&mut self, read: Option<T>, pointer: &'static str, detail: &'static str) -> Option<T> {
        if read.is_none() {
            self.invalid.push(InvalidField { pointer, detail });
        }
        read
    }
}

//! Reading JSON bodies field by field, so that every mistake is named at once, with its place.

use serde_json::{Map, Value};

use super::problem::{FieldError, Problem};
use crate::types::text::parse_rfc3339;
use crate::types::{Amount, BuyerText, Contact, Currency, Quantity, UnitPrice, UnixMillis, contact::CONTACT_BYTES_MAX};

/// The fields of a JSON object that is being read.
pub struct Fields {
    map: Map<String, Value>,
    prefix: &'static str,
    errors: Vec<FieldError>,
}

type Read<T> = Result<T, String>;

impl Fields {
    /// The fields of a body.
    ///
    /// # Errors
    /// `malformed` if it is not JSON, `validation` if it is not an object.
    pub fn parse(body: &[u8]) -> Result<Fields, Problem> {
        let value: Value =
            serde_json::from_slice(body).map_err(|error| Problem::Malformed(format!("Not JSON: {error}.")))?;
        let Value::Object(map) = value else { return Err(Problem::invalid("", "must be an object")) };
        Ok(Fields { map, prefix: "", errors: Vec::new() })
    }

    fn error(&mut self, name: &str, detail: impl Into<String>) {
        let pointer = format!("{}/{}", self.prefix, name.replace('~', "~0").replace('/', "~1"));
        self.errors.push(FieldError { pointer, detail: detail.into() });
    }

    /// A field that may be left out, but not null.
    pub fn optional<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Read<T>) -> Option<T> {
        let value = self.map.remove(name)?;
        match read(&value) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.error(name, detail);
                None
            }
        }
    }

    /// A field that must be there. `None` means that an error was noted.
    pub fn required<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> Read<T>) -> Option<T> {
        if self.map.contains_key(name) {
            return self.optional(name, read);
        }
        self.error(name, "is missing");
        None
    }

    /// A contact that may be left out.
    pub fn optional_contact(&mut self, name: &'static str) -> Option<Contact> {
        let value = self.map.remove(name)?;
        let Value::Object(map) = value else {
            self.error(name, "must be an object");
            return None;
        };
        let mut inner = Fields { map, prefix: "/contact", errors: Vec::new() };
        let contact = Contact {
            name: inner.optional("name", contact_text),
            email: inner.optional("email", contact_text),
            phone: inner.optional("phone", contact_text),
            address: inner.optional("address", contact_text),
        };
        inner.refuse_unknown();
        if contact.is_empty() && inner.errors.is_empty() {
            self.error(name, "must have at least one of name, email, phone, address");
        }
        self.errors.append(&mut inner.errors);
        Some(contact)
    }

    fn refuse_unknown(&mut self) {
        for name in std::mem::take(&mut self.map).keys() {
            self.error(name, "is not known here");
        }
    }

    /// Ends the reading: what was made of the fields, unless there was a mistake or an unknown field.
    ///
    /// # Errors
    /// `validation` with every mistake.
    pub fn finish<T>(mut self, made: Option<T>) -> Result<T, Problem> {
        self.refuse_unknown();
        match made {
            Some(made) if self.errors.is_empty() => Ok(made),
            _ => Err(Problem::Validation(self.errors)),
        }
    }
}

/// A whole number from `min` to `max`.
pub fn whole(min: u64, max: u64) -> impl Fn(&Value) -> Read<u64> {
    move |value| match value.as_u64() {
        Some(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {min} to {max}")),
    }
}

/// A whole number that fits 32 bits, from `min`.
pub fn whole_u32(min: u32) -> impl Fn(&Value) -> Read<u32> {
    move |value| {
        let number = whole(u64::from(min), u64::from(u32::MAX))(value)?;
        u32::try_from(number).map_err(|error| error.to_string())
    }
}

/// A length of time in seconds: up to a year.
pub fn seconds(value: &Value) -> Read<u32> {
    let number = whole(1, 31_536_000)(value)?;
    u32::try_from(number).map_err(|error| error.to_string())
}

/// A change of the total.
pub fn delta(value: &Value) -> Read<i64> {
    const MAX: i64 = u32::MAX as i64;
    match value.as_i64() {
        Some(delta) if delta != 0 && (-MAX..=MAX).contains(&delta) => Ok(delta),
        _ => Err(format!("must be a whole number from -{MAX} to {MAX}, not 0")),
    }
}

/// Units of an order.
pub fn quantity(value: &Value) -> Read<Quantity> {
    let number = whole(1, u64::from(u16::MAX))(value)?;
    u16::try_from(number).ok().and_then(Quantity::new).ok_or_else(|| "is out of range".into())
}

/// Units that go back on sale.
pub fn restock_quantity(value: &Value) -> Read<u16> {
    u16::try_from(whole(0, u64::from(u16::MAX))(value)?).map_err(|error| error.to_string())
}

/// A price of one unit.
pub fn unit_price(value: &Value) -> Read<UnitPrice> {
    UnitPrice::new(whole(0, UnitPrice::MAX)(value)?).ok_or_else(|| "is out of range".into())
}

/// An amount of money.
pub fn amount(value: &Value) -> Read<Amount> {
    Amount::new(whole(0, crate::types::JSON_INTEGER_MAX)(value)?).ok_or_else(|| "is out of range".into())
}

/// A currency that exists.
pub fn currency(value: &Value) -> Read<Currency> {
    let known = value.as_str().filter(|code| iso_currency::Currency::from_code(code).is_some());
    known.and_then(Currency::new).ok_or_else(|| "must be an ISO 4217 code such as EUR".into())
}

/// An instant.
pub fn instant(value: &Value) -> Read<UnixMillis> {
    let parsed = value.as_str().and_then(parse_rfc3339);
    parsed.ok_or_else(|| "must be an RFC 3339 time such as 2026-11-21T09:00:00Z, not before 1970".into())
}

/// A buyer.
pub fn buyer(value: &Value) -> Read<BuyerText> {
    let made = value.as_str().and_then(BuyerText::new);
    made.ok_or_else(|| "must be 1 to 128 bytes of text without control characters".into())
}

/// A text of 1 to `max` bytes without control characters.
pub fn text(max: usize) -> impl Fn(&Value) -> Read<Box<str>> {
    move |value| match value.as_str() {
        Some(text) if (1..=max).contains(&text.len()) && !text.chars().any(char::is_control) => Ok(text.into()),
        _ => Err(format!("must be 1 to {max} bytes of text without control characters")),
    }
}

/// A longer text of 1 to `max` bytes, which may have line breaks.
pub fn long_text(max: usize) -> impl Fn(&Value) -> Read<Box<str>> {
    move |value| match value.as_str() {
        Some(text)
            if (1..=max).contains(&text.len()) && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') =>
        {
            Ok(text.into())
        }
        _ => Err(format!("must be 1 to {max} bytes of text")),
    }
}

/// A picture's address.
pub fn image_url(value: &Value) -> Read<Box<str>> {
    let checked = text(2000)(value)?;
    if checked.starts_with("https://") || checked.starts_with("http://") {
        Ok(checked)
    } else {
        Err("must begin with https:// or http://".into())
    }
}

fn contact_text(value: &Value) -> Read<Box<str>> {
    match value.as_str() {
        Some(text) if (1..=CONTACT_BYTES_MAX).contains(&text.len()) => Ok(text.into()),
        _ => Err(format!("must be 1 to {CONTACT_BYTES_MAX} bytes of text")),
    }
}

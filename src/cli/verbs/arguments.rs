//! Arguments as people write them, as members of a request's body. All mistakes are reported at once.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::exit::Exit;
use crate::types::instant::parse_instant;
use crate::types::text::rfc3339;
use crate::types::{Currency, UnixMillis, money};

/// The form of an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgumentForm {
    Text,
    /// A whole number from 0 on.
    Whole,
    /// An amount in major units, such as 49.90.
    Money,
    /// RFC 3339, `now`, or a time from now such as +10m.
    Instant,
    /// A time such as 2m or 90s, or a number of seconds.
    Seconds,
    /// Texts with commas between them.
    List,
}

/// An argument and its place in the body.
pub struct BodyArgument<'a> {
    pub flag: &'static str,
    /// The member, or `object.member`.
    pub member: &'static str,
    pub form: ArgumentForm,
    /// The text on the command line, if there is one.
    pub text: Option<&'a str>,
}

/// A body that grows argument by argument.
pub struct BodyBuilder {
    body: Map<String, Value>,
    mistakes: Vec<String>,
    now: UnixMillis,
    currency: Option<Currency>,
}

impl BodyBuilder {
    /// Begins with members that arguments replace.
    #[must_use]
    pub fn new(body: Map<String, Value>, now: UnixMillis) -> BodyBuilder {
        let currency = body.get("currency").and_then(Value::as_str).and_then(Currency::new);
        BodyBuilder { body, mistakes: Vec::new(), now, currency }
    }

    /// Sets the currency of amounts, and its member.
    pub fn currency(&mut self, text: Option<&str>) {
        let Some(text) = text else { return };
        let code = text.to_ascii_uppercase();
        self.currency = Currency::new(&code).filter(|_| iso_currency::Currency::from_code(&code).is_some());
        if self.currency.is_none() {
            self.mistakes.push(format!("--currency {text}: must be an ISO 4217 code such as EUR"));
        }
        self.body.insert("currency".into(), code.into());
    }

    /// Sets the currency of amounts without a member.
    pub fn amounts_in(&mut self, currency: Option<Currency>) {
        self.currency = currency;
    }

    /// Puts the arguments that are given into the body.
    pub fn put(&mut self, arguments: &[BodyArgument<'_>]) {
        for argument in arguments {
            let Some(text) = argument.text else { continue };
            match self.value(argument.form, text) {
                Ok(value) => self.insert(argument.member, value),
                Err(mistake) => self.mistakes.push(format!("{} {text}: {mistake}", argument.flag)),
            }
        }
    }

    /// Puts a value into the body.
    pub fn insert(&mut self, member: &str, value: Value) {
        match member.split_once('.') {
            Some((object, inner)) => {
                let object = self.body.entry(object).or_insert_with(|| Value::Object(Map::new()));
                if let Some(object) = object.as_object_mut() {
                    object.insert(inner.into(), value);
                }
            }
            None => {
                self.body.insert(member.into(), value);
            }
        }
    }

    /// Notes another mistake.
    pub fn mistake(&mut self, line: impl Into<String>) {
        self.mistakes.push(line.into());
    }

    /// Notes the members that are missing. A member with a mistake is not missing.
    pub fn require(&mut self, needed: &[(&str, &str)]) {
        for (flag, member) in needed {
            let is_noted = self.mistakes.iter().any(|line| line.starts_with(&format!("{flag} ")));
            let is_there = match member.split_once('.') {
                Some((object, inner)) => self.body.get(object).is_some_and(|object| object.get(inner).is_some()),
                None => self.body.contains_key(*member),
            };
            if !is_there && !is_noted {
                self.mistakes.push(format!("{flag} is missing"));
            }
        }
    }

    /// Returns the body.
    ///
    /// # Errors
    /// 64 with a line for each mistake.
    pub fn finish(self) -> Result<Value, Exit> {
        if self.mistakes.is_empty() { Ok(Value::Object(self.body)) } else { Err(Exit::usage(self.mistakes.join("\n"))) }
    }

    fn value(&self, form: ArgumentForm, text: &str) -> Result<Value, String> {
        match form {
            ArgumentForm::Text => Ok(text.into()),
            ArgumentForm::Whole => whole(text).map(Value::from),
            ArgumentForm::Money => match self.currency {
                Some(currency) => money::parse(text, currency).map(|amount| amount.get().into()),
                None => Err("needs the currency, such as --currency EUR".into()),
            },
            ArgumentForm::Instant => instant(text, self.now).map(|at| rfc3339(at).into()),
            ArgumentForm::Seconds => seconds(text).map(Value::from),
            ArgumentForm::List => Ok(text.split(',').map(|part| part.trim().to_owned()).collect()),
        }
    }
}

/// Reads a whole number.
///
/// # Errors
/// A description of the allowed texts.
pub fn whole(text: &str) -> Result<u64, String> {
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| "must be a whole number".into())
}

fn instant(text: &str, now: UnixMillis) -> Result<UnixMillis, String> {
    if text == "now" {
        return Ok(now);
    }
    let Some(later) = text.strip_prefix('+') else {
        return parse_instant(text).map_err(|wrong| format!("{}, or a time from now such as +10m", wrong.sentence()));
    };
    let millis = i64::try_from(parse_time(later)?.as_millis()).map_err(|_| "is too far in the future")?;
    now.get().checked_add(millis).and_then(UnixMillis::new).ok_or_else(|| "is too far in the future".into())
}

fn seconds(text: &str) -> Result<u64, String> {
    if let Ok(number) = whole(text) {
        return Ok(number);
    }
    parse_time(text).map(|time| time.as_secs())
}

/// Reads a time such as 90s, 90m, 12h, 30d or 4w.
///
/// # Errors
/// A description of the allowed texts.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    const ALLOWED: &str = "a whole number and a unit, such as 90m, 12h, 30d or 4w";
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let seconds: u64 = match text.strip_prefix(digits) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 60 * 60,
        Some("d") => 24 * 60 * 60,
        Some("w") => 7 * 24 * 60 * 60,
        Some(_) | None => return Err(ALLOWED.into()),
    };
    let number: u64 = digits.parse().map_err(|_| ALLOWED)?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or(ALLOWED.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn argument(form: ArgumentForm, text: &'static str) -> BodyArgument<'static> {
        BodyArgument { flag: "--x", member: "x", form, text: Some(text) }
    }

    #[test]
    fn arguments_are_read_as_people_write_them() {
        let now = UnixMillis::new(1_795_251_600_000).expect("in range");
        for (form, text, value) in [
            (ArgumentForm::Whole, "007", json!(7)),
            (ArgumentForm::Money, "49.90", json!(4990)),
            (ArgumentForm::Instant, "2026-12-01T11:00:00+01:00", json!("2026-12-01T10:00:00.000Z")),
            (ArgumentForm::Instant, "+10m", json!("2026-11-21T09:10:00.000Z")),
            (ArgumentForm::Instant, "now", json!("2026-11-21T09:00:00.000Z")),
            (ArgumentForm::Seconds, "2m", json!(120)),
            (ArgumentForm::Seconds, "90", json!(90)),
            (ArgumentForm::List, "order.paid, order.expired", json!(["order.paid", "order.expired"])),
        ] {
            let mut body = BodyBuilder::new(Map::new(), now);
            body.amounts_in(Currency::new("EUR"));
            body.put(&[argument(form, text)]);
            assert_eq!(body.finish().map(|body| body["x"].clone()).map_err(|exit| exit.message), Ok(value), "{text}");
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_flag_and_value() {
        let mut body = BodyBuilder::new(Map::new(), UnixMillis::ZERO);
        body.currency(Some("EURO"));
        body.put(&[
            argument(ArgumentForm::Money, "1.00"),
            argument(ArgumentForm::Whole, "-1"),
            argument(ArgumentForm::Instant, "tomorrow"),
            argument(ArgumentForm::Instant, "+9999999999w"),
            argument(ArgumentForm::Seconds, "soon"),
        ]);
        body.require(&[("--sku", "sku"), ("--x", "x"), ("--currency", "currency")]);
        let exit = body.finish().expect_err("mistakes");
        let lines: Vec<&str> = exit.message.lines().collect();
        assert_eq!((exit.code, lines.len()), (64, 7), "{lines:?}");
        for (line, part) in lines.iter().zip([
            "--currency EURO",
            "--x 1.00: needs the currency",
            "--x -1",
            "--x tomorrow: must be an RFC 3339 time",
            "--x +9999999999w",
            "--x soon",
            "--sku is missing",
        ]) {
            assert!(line.starts_with(part), "{line}: {part}");
        }
    }

    #[test]
    fn members_of_an_object_are_set_one_by_one() {
        let mut body = BodyBuilder::new(Map::new(), UnixMillis::ZERO);
        for member in ["caps.email", "caps.phone"] {
            body.put(&[BodyArgument { flag: "--cap", member, form: ArgumentForm::Whole, text: Some("2") }]);
        }
        assert_eq!(body.finish().map_err(|exit| exit.message), Ok(json!({ "caps": { "email": 2, "phone": 2 } })));
    }
}

//! Rules of fields. Each rule reads a value, and has the JSON schema of the values that it reads.
//!
//! Lengths are bytes of UTF-8, which JSON Schema cannot express: `maxLength` is the same number of characters, and
//! `x-bytes-max` is the exact bound.

mod names;

use serde_json::{Value, json};

use crate::types::instant::{NotAnInstant, parse_instant};
use crate::types::strict_json::whole_number;
use crate::types::text::{BUYER_BYTES_MAX, IDEMPOTENCY_KEY_CHARS_MAX, is_idempotency_key};
use crate::types::webhooks::CATALOGUE;
use crate::types::{
    Amount, BuyerText, ChallengeKind, Currency, EndpointState, EventFilter, Increment, JSON_INTEGER_MAX, OrderRange,
    Packing, Quantity, Seq, Tier, UnitPrice, UnixMillis, contact::CONTACT_BYTES_MAX,
};

pub use names::{OPERATOR_NAME, operator_name, word_of};

/// The value, or a description of the allowed values.
pub type RuleResult<T> = Result<T, String>;

/// A rule of a field.
pub trait Rule<T> {
    /// Reads a value.
    ///
    /// # Errors
    /// A description of the allowed values.
    fn read(&self, value: &Value) -> RuleResult<T>;
    /// Returns the JSON schema of the values that it reads.
    fn schema(&self) -> Value;
}

pub(super) struct DescribedRule<R, S>(pub(super) R, pub(super) S);

impl<T, R: Fn(&Value) -> RuleResult<T>, S: Fn() -> Value> Rule<T> for DescribedRule<R, S> {
    fn read(&self, value: &Value) -> RuleResult<T> {
        self.0(value)
    }
    fn schema(&self) -> Value {
        self.1()
    }
}

/// The pattern of text without control characters.
pub const NO_CONTROL: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
const NO_CONTROL_BUT_BREAKS: &str = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$";

/// A whole number from `min` to `max`.
fn whole(min: u64, max: u64) -> impl Rule<u64> {
    DescribedRule(
        move |value: &Value| match whole_number(value).and_then(|number| u64::try_from(number).ok()) {
            Some(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(format!("must be a whole number from {min} to {max}")),
        },
        move || json!({ "type": "integer", "minimum": min, "maximum": max }),
    )
}

/// A whole number that is converted to another type.
fn made<T>(min: u64, max: u64, make: impl Fn(u64) -> Option<T>) -> impl Rule<T> {
    DescribedRule(
        move |value: &Value| make(whole(min, max).read(value)?).ok_or_else(|| "is out of range".into()),
        move || whole(min, max).schema(),
    )
}

/// A whole number that fits 32 bits, from `min`.
pub fn whole_u32(min: u32) -> impl Rule<u32> {
    made(u64::from(min), u64::from(u32::MAX), |number| u32::try_from(number).ok())
}

/// A whole number that fits 32 bits, from `min` to `max`.
pub fn whole_u32_to(min: u32, max: u32) -> impl Rule<u32> {
    made(u64::from(min), u64::from(max), |number| u32::try_from(number).ok())
}

/// The maximum of pairs in an auction's increments.
const INCREMENTS_MAX: usize = 20;

/// An auction's increments: pairs of a price and the step from there on, ascending from 0.
pub fn increments() -> impl Rule<Box<[Increment]>> {
    let pair = |value: &Value| match value.as_array().map(Vec::as_slice) {
        Some([from, step]) => {
            let price = unit_price();
            let (from, step) = (price.read(from).ok()?, price.read(step).ok()?);
            (step.get() >= 1).then_some(Increment { from, step })
        }
        Some(_) | None => None,
    };
    let ascends = |list: &[Increment]| {
        list.first().is_some_and(|first| first.from.get() == 0)
            && list.is_sorted_by(|one, next| one.from < next.from)
            && list.len() <= INCREMENTS_MAX
    };
    DescribedRule(
        move |value: &Value| {
            let list: Option<Box<[Increment]>> = value.as_array().and_then(|list| list.iter().map(pair).collect());
            list.filter(|list| ascends(list)).ok_or_else(|| {
                format!(
                    "must be 1 to {INCREMENTS_MAX} pairs of a price and a step of 1 or more, ascending from price 0"
                )
            })
        },
        || {
            let step = json!({ "type": "integer", "minimum": 1, "maximum": UnitPrice::MAX });
            json!({
                "type": "array", "minItems": 1, "maxItems": INCREMENTS_MAX,
                "items": {
                    "type": "array", "minItems": 2, "maxItems": 2, "prefixItems": [unit_price().schema(), step],
                    "items": { "type": "integer" },
                },
            })
        },
    )
}

/// A duration in seconds, up to a year.
pub fn seconds() -> impl Rule<u32> {
    made(1, 31_536_000, |number| u32::try_from(number).ok())
}

/// A change of a drop's total.
pub fn delta() -> impl Rule<i64> {
    const MAX: i64 = u32::MAX as i64;
    DescribedRule(
        |value: &Value| match whole_number(value) {
            Some(delta) if delta != 0 && (-MAX..=MAX).contains(&delta) => Ok(delta),
            _ => Err(format!("must be a whole number from -{MAX} to {MAX}, not 0")),
        },
        || json!({ "type": "integer", "minimum": -MAX, "maximum": MAX, "not": { "const": 0 } }),
    )
}

pub fn quantity() -> impl Rule<Quantity> {
    made(1, u64::from(u16::MAX), |number| u16::try_from(number).ok().and_then(Quantity::new))
}

/// Units of a refund that become available again.
pub fn restock_quantity() -> impl Rule<u16> {
    made(0, u64::from(u16::MAX), |number| u16::try_from(number).ok())
}

pub fn unit_price() -> impl Rule<UnitPrice> {
    made(0, UnitPrice::MAX, UnitPrice::new)
}

pub fn amount() -> impl Rule<Amount> {
    made(0, JSON_INTEGER_MAX, Amount::new)
}

/// The sequence number of an event.
pub fn seq() -> impl Rule<Seq> {
    made(1, Seq::MAX.get(), Seq::new)
}

/// The range of orders of an undo.
pub fn run() -> impl Rule<OrderRange> {
    DescribedRule(
        |value: &Value| {
            let run = value.as_str().and_then(OrderRange::parse);
            run.ok_or_else(|| "must be the run of a preview, such as 1201-1234".into())
        },
        || json!({ "$ref": "#/components/schemas/OrderRange" }),
    )
}

/// Returns true if ISO 4217 has this currency, and it is money: not a metal, a unit of account, or a code for tests or for
/// no currency.
#[must_use]
pub fn is_currency(code: &str) -> bool {
    iso_currency::Currency::from_code(code).is_some_and(|currency| !currency.is_special())
}

pub fn flag() -> impl Rule<bool> {
    DescribedRule(
        |value: &Value| value.as_bool().ok_or_else(|| "must be true or false".into()),
        || json!({ "type": "boolean" }),
    )
}

/// The URL of an endpoint. The handler checks it further.
pub fn endpoint_url() -> impl Rule<Box<str>> {
    DescribedRule(
        |value: &Value| match value.as_str() {
            Some(url) if (1..=2048).contains(&url.len()) => Ok(url.into()),
            Some(_) | None => Err("must be a URL of at most 2048 bytes".into()),
        },
        || json!({ "type": "string", "format": "uri", "minLength": 1, "maxLength": 2048 }),
    )
}

/// A list of event types.
pub fn events() -> impl Rule<EventFilter> {
    DescribedRule(
        |value: &Value| {
            let names: Option<Vec<&str>> = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
            let allowed = || "must be a list of at least one event type, or of *".to_string();
            EventFilter::of_names(names.ok_or_else(allowed)?).map_err(|_| allowed())
        },
        || {
            let mut schema = events_schema();
            if let Some(names) = schema["items"]["enum"].as_array_mut() {
                names.push("*".into());
            }
            schema
        },
    )
}

/// Returns the schema of a list of event types.
#[must_use]
pub fn events_schema() -> Value {
    let names: Vec<&str> = CATALOGUE.iter().map(|event| event.name).collect();
    json!({ "type": "array", "minItems": 1, "items": { "type": "string", "enum": names } })
}

/// The state of an endpoint.
pub fn endpoint_state() -> impl Rule<EndpointState> {
    DescribedRule(
        |value: &Value| {
            value.as_str().and_then(EndpointState::parse).ok_or_else(|| "must be enabled or disabled".to_string())
        },
        endpoint_state_schema,
    )
}

/// Returns the schema of an endpoint's state.
#[must_use]
pub fn endpoint_state_schema() -> Value {
    json!({ "type": "string", "enum": [EndpointState::Enabled.as_str(), EndpointState::Disabled.as_str()] })
}

/// A kind of challenge.
pub fn challenge() -> impl Rule<ChallengeKind> {
    DescribedRule(
        |value: &Value| {
            let kind = value.as_str().and_then(ChallengeKind::parse);
            kind.ok_or_else(|| "must be none, proof_of_work or external".to_string())
        },
        challenge_schema,
    )
}

/// Returns the schema of a kind of challenge.
#[must_use]
pub fn challenge_schema() -> Value {
    json!({ "type": "string", "enum": ChallengeKind::ALL.map(ChallengeKind::as_str) })
}

/// The tier below which a challenge is demanded.
pub fn challenge_below() -> impl Rule<Tier> {
    DescribedRule(
        |value: &Value| {
            let tier = value.as_str().and_then(Tier::parse).filter(|tier| *tier != Tier::Suspected);
            tier.ok_or_else(|| "must be new, verified or premium".to_string())
        },
        challenge_below_schema,
    )
}

/// Returns the schema of the tier below which a challenge is demanded.
#[must_use]
pub fn challenge_below_schema() -> Value {
    let tiers = [Tier::New, Tier::Verified, Tier::Premium].map(Tier::as_str);
    json!({ "type": "string", "enum": tiers })
}

/// A tier of a buyer.
pub fn tier() -> impl Rule<Tier> {
    DescribedRule(
        |value: &Value| {
            let tier = value.as_str().and_then(Tier::parse);
            tier.ok_or_else(|| "must be suspected, new, verified or premium".to_string())
        },
        || json!({ "type": "string", "enum": Tier::ALL.map(Tier::as_str) }),
    )
}

/// A packing of a backup.
pub fn packing() -> impl Rule<Packing> {
    DescribedRule(
        |value: &Value| {
            let packing = value.as_str().and_then(Packing::parse);
            packing.ok_or_else(|| "must be none, zstd or gzip".to_string())
        },
        packing_schema,
    )
}

/// Returns the schema of a packing.
#[must_use]
pub fn packing_schema() -> Value {
    json!({ "type": "string", "enum": Packing::ALL.map(Packing::as_str) })
}

/// A path on the server's machine, from its root, of at most `max` bytes.
pub fn absolute_path(max: usize) -> impl Rule<Box<str>> {
    DescribedRule(
        move |value: &Value| {
            let path = value.as_str().filter(|path| path.starts_with('/') && path.len() <= max);
            let path =
                path.filter(|path| !path.chars().any(char::is_control) && !path.split('/').any(|part| part == ".."));
            path.map(Box::from).ok_or_else(|| {
                format!(
                    "must be a path that begins with /, of at most {max} bytes, without control characters and `..`"
                )
            })
        },
        move || json!({ "type": "string", "pattern": "^/[^\\x00-\\x1f\\x7f]*$", "maxLength": max }),
    )
}

/// A currency of ISO 4217.
pub fn currency() -> impl Rule<Currency> {
    DescribedRule(
        |value: &Value| {
            let known = value.as_str().filter(|code| is_currency(code));
            known.and_then(Currency::new).ok_or_else(|| "must be an ISO 4217 code such as EUR".into())
        },
        || json!({ "$ref": "#/components/schemas/Currency" }),
    )
}

pub fn instant() -> impl Rule<UnixMillis> {
    DescribedRule(
        |value: &Value| {
            let parsed = value.as_str().map_or(Err(NotAnInstant::Form), parse_instant);
            parsed.map_err(|reason| reason.sentence().into())
        },
        || json!({ "type": "string", "format": "date-time", "description": "RFC 3339, any offset, from 1970 to 9999-12-30T22:00:00Z." }),
    )
}

/// A text of at most `max` bytes that fits.
fn fitting(
    max: usize,
    pattern: Option<&'static str>,
    fits: fn(char) -> bool,
    words: &'static str,
) -> impl Rule<Box<str>> {
    DescribedRule(
        move |value: &Value| match value.as_str() {
            Some(text) if (1..=max).contains(&text.len()) && text.chars().all(fits) => Ok(text.into()),
            _ => Err(format!("must be 1 to {max} bytes of {words}")),
        },
        move || {
            let mut schema = json!({ "type": "string", "minLength": 1, "maxLength": max, "x-bytes-max": max });
            if let Some(pattern) = pattern {
                schema["pattern"] = pattern.into();
            }
            schema
        },
    )
}

/// A text of 1 to `max` bytes without control characters.
pub fn text(max: usize) -> impl Rule<Box<str>> {
    fitting(max, Some(NO_CONTROL), |c| !c.is_control(), "text without control characters")
}

/// A longer text of 1 to `max` bytes, which may have line breaks. It is kept with line feeds: a form of a page sends a
/// carriage return before each (HTML, 4.10.22.4).
pub fn long_text(max: usize) -> impl Rule<Box<str>> {
    let as_sent = fitting(
        max,
        Some(NO_CONTROL_BUT_BREAKS),
        |c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'),
        "text without control characters other than line breaks and tabs",
    );
    let schema = as_sent.schema();
    DescribedRule(
        move |value: &Value| {
            let text = as_sent.read(value)?;
            if !text.contains('\r') {
                return Ok(text);
            }
            Ok(text.replace("\r\n", "\n").replace('\r', "\n").into())
        },
        move || schema.clone(),
    )
}

/// A name, an e-mail address or a telephone number, in any form. Control characters are refused: they come from mistakes,
/// or attack the terminal, the label printer or the mail that shows them.
pub fn contact_text() -> impl Rule<Box<str>> {
    text(CONTACT_BYTES_MAX)
}

/// A postal address, in any form, with line breaks.
pub fn contact_address() -> impl Rule<Box<str>> {
    long_text(CONTACT_BYTES_MAX)
}

/// An idempotency key in a body.
pub fn idempotency_key() -> impl Rule<Box<str>> {
    let detail = || format!("must be 1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters");
    DescribedRule(
        move |value: &Value| {
            let key = value.as_str().filter(|key| is_idempotency_key(key.as_bytes()));
            key.map(Into::into).ok_or_else(detail)
        },
        || json!({ "type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_CHARS_MAX, "pattern": "^[!-~]*$" }),
    )
}

pub fn buyer() -> impl Rule<BuyerText> {
    DescribedRule(
        |value: &Value| {
            BuyerText::new(&text(BUYER_BYTES_MAX).read(value)?)
                .ok_or_else(|| "must be text without control characters".into())
        },
        || text(BUYER_BYTES_MAX).schema(),
    )
}

/// The maximum length of an image's URL in bytes.
const IMAGE_URL_BYTES_MAX: usize = 2000;

/// The URL of an image.
pub fn image_url() -> impl Rule<Box<str>> {
    DescribedRule(
        |value: &Value| {
            let checked = text(IMAGE_URL_BYTES_MAX).read(value)?;
            let is_link = checked.starts_with("https://") || checked.starts_with("http://");
            if is_link { Ok(checked) } else { Err("must begin with https:// or http://".into()) }
        },
        || {
            let mut schema = text(IMAGE_URL_BYTES_MAX).schema();
            schema["pattern"] = r"^https?://[^\u0000-\u001f\u007f-\u009f]*$".into();
            schema
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_however_they_are_spelled_and_fractions_never() {
        let read = |text: &str| whole(0, JSON_INTEGER_MAX).read(&serde_json::from_str(text).expect("JSON"));
        for (text, number) in [("2", 2), ("2.0", 2), ("2e3", 2000), ("-0", 0), ("9007199254740991.0", JSON_INTEGER_MAX)]
        {
            assert_eq!(read(text), Ok(number), "{text}");
        }
        for text in ["2.5", "-1", "9007199254740992", "9007199254740993.0", "1e300", "18446744073709551616", "\"2\""] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn line_breaks_are_kept_as_line_feeds_in_whatever_form_they_come() {
        for sent in ["1 High St\r\nYork", "1 High St\nYork", "1 High St\rYork"] {
            assert_eq!(contact_address().read(&sent.into()).as_deref(), Ok("1 High St\nYork"), "{sent:?}");
        }
        assert!(contact_text().read(&"a\r\nb".into()).is_err(), "a name is one line");
    }

    #[test]
    fn what_a_rule_reads_is_what_its_schema_says() {
        let samples: Vec<Value> = ["0", "1", "-1", "65535", "65536", "4294967295", "4294967296", "1.0", "1.5", "null"]
            .iter()
            .map(|text| serde_json::from_str(text).expect("JSON"))
            .chain(["", "a", "a\nb", "a\u{85}b", "a\u{0}", "EUR", "http://x", "https://x", "ftp://x"].map(Value::from))
            .chain([Value::from("x".repeat(128)), Value::from("x".repeat(129)), json!({}), json!([]), json!(true)])
            .collect();
        fn agree<T>(name: &str, rule: &impl Rule<T>, samples: &[Value]) {
            let validator = jsonschema::validator_for(&rule.schema()).expect("a schema");
            for sample in samples {
                assert_eq!(rule.read(sample).is_ok(), validator.is_valid(sample), "{name}: {sample}");
            }
        }
        agree("whole_u32", &whole_u32(1), &samples);
        agree("seconds", &seconds(), &samples);
        agree("whole_u32_to", &whole_u32_to(1, 65_535), &samples);
        let pairs = ["[[0,1]]", "[[0,0]]", "[[0]]", "[[0,1,2]]", "[0,1]", "[[0,1.5]]", "[[0,1],[5,2]]", "[[-1,1]]"];
        let pairs: Vec<Value> = pairs.iter().map(|text| serde_json::from_str(text).expect("JSON")).collect();
        agree("increments", &increments(), &pairs);
        agree("increments", &increments(), &samples);
        agree("delta", &delta(), &samples);
        agree("quantity", &quantity(), &samples);
        agree("restock", &restock_quantity(), &samples);
        agree("price", &unit_price(), &samples);
        agree("amount", &amount(), &samples);
        agree("text", &text(128), &samples);
        agree("long_text", &long_text(128), &samples);
        agree("contact_text", &contact_text(), &samples);
        agree("contact_address", &contact_address(), &samples);
        agree("buyer", &buyer(), &samples);
        agree("image_url", &image_url(), &samples);
    }
}

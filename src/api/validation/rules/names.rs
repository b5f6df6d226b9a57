//! Rules of words and of operators' names.

use serde_json::{Value, json};

use super::{DescribedRule, Rule};
use crate::types::text::{OPERATOR_NAME_CHARS_MAX, is_operator_name};

/// One of these words.
pub fn word_of(words: &'static [&'static str]) -> impl Rule<&'static str> {
    DescribedRule(
        move |value: &Value| {
            let word = value.as_str().and_then(|text| words.iter().copied().find(|word| *word == text));
            word.ok_or_else(|| format!("must be one of {}", words.join(", ")))
        },
        move || json!({ "type": "string", "enum": words }),
    )
}

/// The pattern of an operator's name ([`is_operator_name`]).
pub const OPERATOR_NAME: &str = "^[A-Za-z0-9._@-]{1,64}$";

/// The name of an operator.
pub fn operator_name() -> impl Rule<Box<str>> {
    DescribedRule(
        |value: &Value| {
            let name = value.as_str().filter(|name| is_operator_name(name));
            name.map(Box::from)
                .ok_or_else(|| format!("must be 1 to {OPERATOR_NAME_CHARS_MAX} letters, digits or characters of .-_@"))
        },
        || json!({ "type": "string", "pattern": OPERATOR_NAME }),
    )
}

//! Queries of requests, and what is said of a parameter that is wrong: what it must be, by the schema of the route.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::request::pointer_to;
use super::route::query_schema;
use crate::api::Problem;

/// Parses a query into a struct that denies unknown fields.
///
/// # Errors
/// `validation`, with the parameter that is wrong and what it must be.
pub(super) fn parse_query<T: DeserializeOwned + JsonSchema>(query: &str) -> Result<T, Problem> {
    // An empty value would read as a parameter that is not there, and a list would have more than was asked for.
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if value.is_empty() {
            return Err(Problem::invalid(format!("/{name}"), "must have a value; leave the parameter out otherwise"));
        }
    }
    serde_html_form::from_str(query).map_err(|_| complaint::<T>(query))
}

/// Returns the problem of the first parameter of a query that is wrong by itself or repeated. The parser tells neither its name
/// nor its range.
fn complaint<T: DeserializeOwned + JsonSchema>(query: &str) -> Problem {
    let schema = query_schema::<T>();
    let mut names = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let decoded: Vec<(String, String)> = serde_html_form::from_str(pair).unwrap_or_default();
        let name = decoded.into_iter().next().map(|(name, _)| name).unwrap_or_default();
        if names.contains(&name) {
            return Problem::invalid(pointer_to(&name), "must be there once");
        }
        if serde_html_form::from_str::<T>(pair).is_err() {
            let must_be = must_be(&schema["properties"], &name);
            return Problem::invalid(pointer_to(&name), must_be);
        }
        names.push(name);
    }
    Problem::invalid("", "must be parameters of this route, once each")
}

/// Returns what the schemas of a route's parameters say of one of them.
fn must_be(parameters: &Value, name: &str) -> String {
    let Some(schema) = parameters.get(name) else {
        let known: Vec<&str> = parameters.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        return format!("is an unknown parameter: this route has {}", listed(&known, "and"));
    };
    if let Some(words) = words(schema) {
        return format!("must be {}", listed(&words, "or"));
    }
    let is = |kind: &str| {
        let kinds = &schema["type"];
        kinds == kind || kinds.as_array().is_some_and(|kinds| kinds.iter().any(|known| known == kind))
    };
    if is("boolean") {
        return "must be true or false".into();
    }
    match (is("integer"), schema["maximum"].as_u64()) {
        (true, Some(most)) => {
            format!("must be a whole number from {} to {most}", schema["minimum"].as_u64().unwrap_or(0))
        }
        (_, _) => "must be a text in UTF-8, percent-encoded".into(),
    }
}

/// Returns the words of an enumeration, wherever the schema has it.
fn words(schema: &Value) -> Option<Vec<&str>> {
    match schema {
        Value::Object(members) => match members.get("enum") {
            Some(Value::Array(words)) => Some(words.iter().filter_map(Value::as_str).collect()),
            Some(_) | None => members.values().find_map(words),
        },
        Value::Array(parts) => parts.iter().find_map(words),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn listed(words: &[&str], last: &str) -> String {
    match words {
        [] => "none".into(),
        [one] => (*one).into(),
        [all @ .., end] => format!("{} {last} {end}", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::json::queries::{CopyQuery, DropsQuery, OrdersQuery, ReadyQuery};

    fn said<T: DeserializeOwned + JsonSchema>(query: &str) -> String {
        match parse_query::<T>(query) {
            Err(Problem::Validation(errors)) => {
                errors.iter().map(|error| format!("{} {}", error.pointer, error.detail)).collect()
            }
            Err(other) => format!("{other:?}"),
            Ok(_) => "parsed".into(),
        }
    }

    #[test]
    fn a_wrong_parameter_is_told_what_it_must_be_in_plain_words() {
        for wrong in ["x", "-1", "1.5", "4294967296", "99999999999999999999", "+", "1e3"] {
            assert_eq!(
                said::<DropsQuery>(&format!("after={wrong}")),
                "/after must be a whole number from 0 to 4294967295",
                "{wrong}"
            );
        }
        assert_eq!(said::<DropsQuery>("limit=ten"), "/limit must be a whole number from 1 to 100");
        assert_eq!(said::<OrdersQuery>("after=x"), "/after must be a whole number from 0 to 281474976710655");
        assert_eq!(said::<OrdersQuery>("drop_id=x"), "/drop_id must be a whole number from 1 to 4294967295");
        assert_eq!(said::<OrdersQuery>("limit=x"), "/limit must be a whole number from 1 to 5000");
        assert_eq!(said::<OrdersQuery>("refund_due=yes"), "/refund_due must be true or false");
        assert_eq!(said::<ReadyQuery>("role=king"), "/role must be any, leader or follower");
        assert_eq!(said::<CopyQuery>("to=n1"), "/to is an unknown parameter: this route has from_leader");
        assert_eq!(said::<DropsQuery>("page=2"), "/page is an unknown parameter: this route has after and limit");
        assert_eq!(said::<DropsQuery>("limit=2&limit=3"), "/limit must be there once");
        assert_eq!(said::<DropsQuery>("after=7&limit=3"), "parsed");
    }
}

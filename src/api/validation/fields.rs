//! Reads JSON bodies field by field, so that every mistake is reported at once, with its place.
//!
//! One function per request names its fields. It runs for each body, and once without a body to make the schema, so that
//! OpenAPI cannot differ from what is read.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::rules::{Rule, RuleResult};
use crate::api::problem::{FieldError, Problem};
use crate::types::strict_json::{self, Mistake};

/// The fields of a JSON object that is being read.
pub struct BodyFields {
    map: Map<String, Value>,
    /// JSON pointer to the object; empty for the body itself.
    prefix: String,
    errors: Vec<FieldError>,
    /// Present only while the schema is made.
    description: Option<ObjectSchema>,
}

/// Returns the schema of a component by its name.
fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

#[derive(Default)]
struct ObjectSchema {
    properties: Map<String, Value>,
    required: Vec<Value>,
    bounds: Map<String, Value>,
}

impl BodyFields {
    /// Reads a body with a function that names its fields.
    ///
    /// # Errors
    /// `malformed` if it is not JSON, `validation` with the first repeated field, or else with every mistake and every unknown
    /// field.
    pub fn read<T>(body: &[u8], read: impl FnOnce(&mut BodyFields) -> Option<T>) -> Result<T, Problem> {
        let value = strict_json::parse(body).map_err(|mistake| match mistake {
            Mistake::NotJson(error) => Problem::Malformed(format!("Not JSON: {error}.")),
            Mistake::Repeated(pointer) => Problem::invalid(pointer, "is there twice"),
        })?;
        let Value::Object(map) = value else { return Err(Problem::invalid("", "must be an object")) };
        let mut fields = BodyFields { map, prefix: String::new(), errors: Vec::new(), description: None };
        let made = read(&mut fields);
        fields.refuse_unknown();
        match made {
            Some(made) if fields.errors.is_empty() => Ok(made),
            _ => Err(Problem::Validation(fields.errors)),
        }
    }

    /// Returns the JSON schema of the bodies that such a function reads.
    #[must_use]
    pub fn describe<T>(read: impl FnOnce(&mut BodyFields) -> Option<T>) -> Value {
        let mut fields = BodyFields {
            map: Map::new(),
            prefix: String::new(),
            errors: Vec::new(),
            description: Some(ObjectSchema::default()),
        };
        let _nothing_to_make = read(&mut fields);
        let ObjectSchema { properties, required, bounds } = fields.description.unwrap_or_default();
        let mut schema = bounds;
        schema.insert("type".into(), "object".into());
        schema.insert("properties".into(), properties.into());
        schema.insert("additionalProperties".into(), false.into());
        if !required.is_empty() {
            schema.insert("required".into(), required.into());
        }
        schema.into()
    }

    fn note(&mut self, name: &str, schema: impl FnOnce() -> Value) {
        if let Some(description) = &mut self.description {
            description.properties.insert(name.into(), schema());
        }
    }

    /// Returns the JSON pointer (RFC 6901) to a member.
    fn pointer(&self, name: &str) -> String {
        format!("{}/{}", self.prefix, name.replace('~', "~0").replace('/', "~1"))
    }

    fn error(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(FieldError { pointer: self.pointer(name), detail: detail.into() });
    }

    /// Notes a mistake in a field that its rule alone does not see.
    pub fn refuse(&mut self, name: &str, detail: &str) {
        self.error(name, detail);
    }

    /// Requires a number of members. Call it before the fields are read.
    pub fn count(&mut self, min: usize, max: usize, detail: &str) {
        if let Some(description) = &mut self.description {
            description.bounds.insert("minProperties".into(), min.into());
            description.bounds.insert("maxProperties".into(), max.into());
        }
        if !(min..=max).contains(&self.map.len()) {
            self.errors.push(FieldError { pointer: self.prefix.clone(), detail: detail.into() });
        }
    }

    /// Reads a field that may be missing, but not null.
    pub fn optional<T>(&mut self, name: &str, rule: impl Rule<T>) -> Option<T> {
        self.note(name, || rule.schema());
        self.take(name, |value| rule.read(value))
    }

    /// Reads a field that may be missing, with its default.
    pub fn defaulted<T: Copy + Into<Value>>(&mut self, name: &str, default: T, rule: impl Rule<T>) -> T {
        self.note(name, || {
            let mut schema = rule.schema();
            schema["default"] = default.into();
            schema
        });
        self.take(name, |value| rule.read(value)).unwrap_or(default)
    }

    /// Reads a field that may be missing, with a default that has a name.
    pub fn defaulted_name<T: Copy>(
        &mut self,
        name: &str,
        default: T,
        name_of: fn(T) -> &'static str,
        rule: impl Rule<T>,
    ) -> T {
        self.note(name, || {
            let mut schema = rule.schema();
            schema["default"] = name_of(default).into();
            schema
        });
        self.take(name, |value| rule.read(value)).unwrap_or(default)
    }

    /// Reads a required field. `None` means that an error was noted.
    pub fn required<T>(&mut self, name: &str, rule: impl Rule<T>) -> Option<T> {
        self.note(name, || rule.schema());
        self.is_required(name);
        self.take(name, |value| rule.read(value))
    }

    /// Reads an object in a field with its own function. `schema` is its name among the components.
    pub fn object<T>(
        &mut self,
        name: &str,
        schema: &str,
        read: impl FnOnce(&mut BodyFields) -> Option<T>,
    ) -> Option<T> {
        self.note(name, || reference(schema));
        let value = self.map.remove(name)?;
        self.inner(self.pointer(name), value, read)
    }

    /// Reads a required array of objects, each with the same function. `schema` is their name among the components.
    pub fn objects<T>(
        &mut self,
        name: &str,
        schema: &str,
        number: RangeInclusive<usize>,
        read: impl Fn(&mut BodyFields) -> Option<T>,
    ) -> Option<Vec<T>> {
        let (least, most) = (*number.start(), *number.end());
        self.note(name, || json!({ "type": "array", "minItems": least, "maxItems": most, "items": reference(schema) }));
        self.is_required(name);
        let items = match self.map.remove(name)? {
            Value::Array(items) if number.contains(&items.len()) => items,
            Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                self.error(name, format!("must be an array of {least} to {most} objects"));
                return None;
            }
        };
        let pointer = self.pointer(name);
        let made: Vec<Option<T>> = items
            .into_iter()
            .enumerate()
            .map(|(index, value)| self.inner(format!("{pointer}/{index}"), value, &read))
            .collect();
        made.into_iter().collect()
    }

    fn inner<T>(&mut self, prefix: String, value: Value, read: impl FnOnce(&mut BodyFields) -> Option<T>) -> Option<T> {
        let Value::Object(map) = value else {
            self.errors.push(FieldError { pointer: prefix, detail: "must be an object".into() });
            return None;
        };
        let mut inner = BodyFields { map, prefix, errors: Vec::new(), description: None };
        let made = read(&mut inner);
        inner.refuse_unknown();
        self.errors.append(&mut inner.errors);
        made
    }

    /// Notes an error if the field is missing. Call it before the field is read.
    pub fn is_required(&mut self, name: &str) {
        if let Some(description) = &mut self.description {
            description.required.push(name.into());
        }
        self.is_needed(name);
    }

    /// Notes an error if the field is missing, without making it required in the schema.
    pub fn is_needed(&mut self, name: &str) {
        if !self.map.contains_key(name) {
            self.error(name, "is missing");
        }
    }

    fn take<T>(&mut self, name: &str, read: impl FnOnce(&Value) -> RuleResult<T>) -> Option<T> {
        let value = self.map.remove(name)?;
        read(&value).map_err(|detail| self.error(name, detail)).ok()
    }

    fn refuse_unknown(&mut self) {
        for name in std::mem::take(&mut self.map).keys() {
            self.error(name, "is an unknown field");
        }
    }
}

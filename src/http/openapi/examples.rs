//! Examples of responses, made from their schemas, so that a new member has one at once.

use serde_json::{Map, Value, json};

/// Depth at which references end; no schema of the document comes near.
const DEPTH_MAX: usize = 16;

/// Returns a value that the schema allows: an object with its required members.
pub(super) fn of(schema: &Value, components: &Map<String, Value>) -> Value {
    value("", schema, components, DEPTH_MAX)
}

/// Gives each response in JSON an example.
pub(super) fn add(paths: &mut Value, components: &Map<String, Value>) {
    let operations = paths.as_object_mut().into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut);
    for operation in operations.flat_map(Map::values_mut) {
        let responses = operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut);
        for content in responses.filter_map(|response| response.pointer_mut("/content/application~1json")) {
            content["example"] = of(&content["schema"], components);
        }
    }
}

fn value(name: &str, schema: &Value, components: &Map<String, Value>, depth: usize) -> Value {
    if let Some(usual) = schema["examples"].get(0).cloned().or_else(|| usual(name)) {
        return usual;
    }
    let component = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    if let Some(found) = component.and_then(|component| components.get(component)) {
        return if depth == 0 { Value::Null } else { value(name, found, components, depth.saturating_sub(1)) };
    }
    let given = schema.get("const").or_else(|| schema.get("default")).or_else(|| schema["examples"].get(0));
    if let Some(given) = given.or_else(|| schema["enum"].get(0)) {
        return given.clone();
    }
    if let Some(first) = schema["anyOf"].get(0) {
        return value(name, first, components, depth);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("object") => object(schema, components, depth),
        Some("array") => json!([value(name, &schema["items"], components, depth)]),
        Some("integer") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("number") => json!(1.5),
        Some("boolean") => json!(false),
        Some(_) | None => json!("text"),
    }
}

fn object(schema: &Value, components: &Map<String, Value>, depth: usize) -> Value {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    // An object that must have any member has one with a usual value.
    let names = schema["properties"].as_object().into_iter().flat_map(Map::keys).map(String::as_str);
    let any = names.filter(|name| schema.get("minProperties").is_some() && usual(name).is_some()).take(1);
    let members =
        required.chain(any).map(|name| (name.to_string(), value(name, &schema["properties"][name], components, depth)));
    Value::Object(members.collect())
}

/// Returns the usual value of a member of this name, where the first allowed value would not tell a reader much, or would
/// contradict another member.
fn usual(name: &str) -> Option<Value> {
    Some(match name {
        "sku" => json!("SNEAKER-42"),
        "name" => json!("Limited sneaker"),
        "buyer" => json!("ann"),
        "email" => json!("ann@mail.example"),
        "currency" => json!("EUR"),
        "unit_price" | "amount" | "start_price" | "current" => json!(12_900),
        "minimum_next" => json!(13_000),
        "total" => json!(100),
        "available" => json!(90),
        "held" => json!(6),
        "sold" => json!(4),
        "starts_at" | "reserved_at" | "created_at" | "at" => json!("2026-11-21T09:00:00.000Z"),
        "expires_at" => json!("2026-11-21T09:02:00.000Z"),
        "ends_at" => json!("2026-11-21T18:00:00.000Z"),
        "url" => json!("https://shop.example/hooks/firstcome"),
        "admin_url" => json!("http://10.0.0.2:8081"),
        "reference" => json!("pi_3PqR5"),
        "salt" => json!("9f2c1d7ab0e84f65?expires=1795251720&d=7&"),
        "challenge" | "signature" => json!("5f0ab7c19d3e6824".repeat(4)),
        "request_id" => json!("8e03978e-40d5-43e8-bc93-6894a57f9324"),
        "reservation_seconds" => json!(120),
        "payment_seconds" => json!(900),
        "maxnumber" => json!(100_000),
        "leader" => json!("node-2"),
        "commitment" => json!("4bb06f8e4e3a7715d201d573d0aa423762e55dabd61a2c02278fa56cc6d294e0"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::openapi::{Urls, make};

    #[test]
    fn every_response_in_json_has_an_example_that_its_schema_allows() {
        let document = make(Urls::default());
        let mut found = 0;
        for (path, operations) in document["paths"].as_object().expect("paths") {
            for (method, operation) in operations.as_object().expect("operations") {
                for (status, response) in operation["responses"].as_object().expect("responses") {
                    let Some(content) = response.pointer("/content/application~1json") else { continue };
                    let mut schema = content["schema"].clone();
                    schema["components"] = json!({ "schemas": document["components"]["schemas"] });
                    let validator =
                        jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema");
                    let errors: Vec<String> =
                        validator.iter_errors(&content["example"]).map(|e| e.to_string()).collect();
                    assert!(errors.is_empty(), "{method} {path} {status}: {errors:?}\n{}", content["example"]);
                    found += 1;
                }
            }
        }
        assert!(found > 30, "{found}");
    }
}

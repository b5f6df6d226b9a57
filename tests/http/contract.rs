//! The OpenAPI document as a judge: every answer that a test gets is held against it, closed: a member, a header or a
//! status that it does not name is a mistake here, though clients are told to ignore what they do not know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// The document, with all objects closed.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document: Value = serde_json::from_slice(&firstcome::http::openapi::document()).expect("JSON");
    close(&mut document["components"]["schemas"]);
    document
});

/// What was seen: operation, status, code of the problem.
pub static SEEN: Mutex<BTreeSet<(String, u16, String)>> = Mutex::new(BTreeSet::new());

/// Headers that HTTP itself brings, and those of CORS.
const OF_HTTP: &[&str] = &[
    "content-type",
    "content-length",
    "transfer-encoding",
    "date",
    "connection",
    // By Origin, where origins are set.
    "vary",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
    "access-control-expose-headers",
];

fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("properties").is_some_and(Value::is_object) && map.get("type").is_some_and(|t| t == "object") {
                map.entry("additionalProperties").or_insert(false.into());
            }
            map.values_mut().for_each(close);
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The operation behind a method and a path.
pub fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let method = if method == "HEAD" { "get".into() } else { method.to_lowercase() };
    let parts: Vec<&str> = path.split('?').next().unwrap_or("").split('/').collect();
    let fits = |template: &str| {
        let known: Vec<&str> = template.split('/').collect();
        let same = |(known, part): (&&str, &&str)| known == part || (known.starts_with('{') && !part.is_empty());
        known.len() == parts.len() && known.iter().zip(&parts).all(same)
    };
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    // A literal path wins over one with a parameter.
    let exact = paths.get(&parts.join("/"));
    let found = exact.or_else(|| paths.iter().find(|(template, _)| fits(template)).map(|(_, item)| item));
    found.and_then(|item| item.get(method))
}

fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference}")),
        None => value,
    }
}

fn validate(schema: &Value, instance: &Value, what: &str) {
    static VALIDATORS: LazyLock<Mutex<BTreeMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let key = schema.to_string();
    let known = VALIDATORS.lock().get(&key).cloned();
    let validator = known.unwrap_or_else(|| {
        let mut schema = schema.clone();
        schema["components"] = json!({ "schemas": DOCUMENT["components"]["schemas"] });
        let made = jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema");
        Arc::clone(VALIDATORS.lock().entry(key).or_insert(Arc::new(made)))
    });
    let errors: Vec<String> =
        validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}\n{instance}");
}

/// What an exchange was.
pub struct Exchange<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// The body that was sent.
    pub sent: &'a str,
    pub status: u16,
    pub headers: &'a BTreeMap<String, String>,
    /// The body that came back, unless it is still coming.
    pub text: Option<&'a str>,
}

/// Holds an exchange against the document.
pub fn check(exchange: &Exchange<'_>) {
    let Exchange { method, path, sent, status, headers, text } = *exchange;
    let what = format!("{method} {path}: {status} {}", text.unwrap_or(""));
    let is_page_of_an_order = path.starts_with("/pay/") && path.matches('/').count() == 2;
    let of_pages = ["/assets/", "/drops/", "/orders/", "/auctions/", "/console", "/docs"];
    let is_page = path == "/" || (path.starts_with("/pay/") && !is_page_of_an_order);
    if is_page || of_pages.iter().any(|start| path.starts_with(start)) {
        // Pages and their files are no part of the contract.
        return;
    }
    let is_html = headers.get("content-type").is_some_and(|media| media.starts_with("text/html"));
    if is_html && operation(method, path).is_none() {
        // A browser that was sent to an address that leads nowhere gets a page.
        return;
    }
    let elsewhere = |name: &str| &DOCUMENT["x-responses-without-an-operation"][name];
    // A route of the other listener is no route of this one; the server itself asserts what its own routes may answer.
    let found = operation(method, path);
    let operation = found.filter(|found| status != 404 || found["responses"]["404"].is_object());
    let response = match (operation, status) {
        (_, 405) => elsewhere("MethodNotAllowed"),
        // The head is not well formed: no route was looked for.
        (_, 400) if headers.get("connection").is_some_and(|value| value == "close") && is_malformed(text) => {
            elsewhere("Malformed")
        }
        (None, 401) => elsewhere("Unauthorized"),
        (None, 404) => elsewhere("NotFound"),
        (None, 403) => elsewhere("Forbidden"),
        (None, 204) => elsewhere("Preflight"),
        (Some(operation), _) => resolved(&operation["responses"][status.to_string()]),
        (None, _) => panic!("{what}: no operation"),
    };
    assert!(response.is_object(), "{what}: not documented");
    check_headers(response, headers, &what);
    let body = text.map(|text| check_body(response, headers, method, text, &what));
    let code = body.flatten().and_then(|body| body["code"].as_str().map(String::from)).filter(|_| status >= 400);
    if let Some(operation) = operation.filter(|_| status != 405) {
        let sent_schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        if status < 300 && sent_schema.is_object() {
            let sent = serde_json::from_str(sent).unwrap_or_else(|_| panic!("{what}: accepted {sent}"));
            validate(sent_schema, &sent, &format!("{what}: accepted, but not documented"));
        }
        let id = operation["operationId"].as_str().expect("an id").to_string();
        SEEN.lock().insert((id, status, code.unwrap_or_default()));
    }
}

fn is_malformed(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.contains("\"code\":\"malformed\""))
}

fn check_headers(response: &'static Value, headers: &BTreeMap<String, String>, what: &str) {
    let mut unknown: BTreeSet<&str> = headers.keys().map(String::as_str).collect();
    unknown.retain(|name| !OF_HTTP.contains(name));
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let header = resolved(header);
        let name = name.to_lowercase();
        unknown.remove(name.as_str());
        let Some(value) = headers.get(&name) else {
            assert_ne!(header["required"], true, "{what}: {name} is missing");
            continue;
        };
        let number = header["schema"]["type"] == "integer";
        let value = if number { serde_json::from_str(value).expect("a number") } else { Value::from(value.as_str()) };
        validate(&header["schema"], &value, &format!("{what}: {name}"));
    }
    assert!(unknown.is_empty(), "{what}: {unknown:?} are not documented");
}

/// Checks the body, and gives it back if it is JSON.
fn check_body(
    response: &'static Value,
    headers: &BTreeMap<String, String>,
    method: &str,
    text: &str,
    what: &str,
) -> Option<Value> {
    let media = headers.get("content-type").map(|value| value.split(';').next().unwrap_or("").to_string());
    let Some(content) = response.get("content") else {
        assert!(text.is_empty() && media.is_none(), "{what}: a body where none is documented");
        return None;
    };
    let media = media.unwrap_or_else(|| panic!("{what}: no content-type"));
    let schema = &content[media.as_str()]["schema"];
    assert!(schema.is_object(), "{what}: {media} is not documented");
    if method == "HEAD" {
        assert_eq!(text, "", "{what}");
        return None;
    }
    if media == "application/x-ndjson" {
        let lines =
            text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{what}: {error}")));
        lines.for_each(|line| validate(schema, &line, what));
        return None;
    }
    let body: Value = if media.ends_with("json") {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{what}: {error}"))
    } else {
        text.into()
    };
    validate(schema, &body, what);
    Some(body)
}

//! The OpenAPI document as a page: every operation with its parameters, bodies and answers, and every schema. It needs no script.

use maud::{DOCTYPE, Markup, html};
use serde_json::{Map, Value};

use super::assets;

/// The methods in the order of the page.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
/// Names of an enumeration that are shown.
const NAMES_MAX: usize = 12;

/// An operation with its place.
struct Operation<'d> {
    path: &'d str,
    method: &'static str,
    value: &'d Value,
}

fn text<'d>(value: &'d Value, member: &str) -> &'d str {
    value.get(member).and_then(Value::as_str).unwrap_or("")
}

fn members<'d>(value: &'d Value, member: &str) -> impl Iterator<Item = (&'d String, &'d Value)> {
    value.get(member).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

fn items<'d>(value: &'d Value, member: &str) -> impl Iterator<Item = &'d Value> {
    value.get(member).and_then(Value::as_array).into_iter().flatten()
}

/// Returns the operations of a tag by their paths.
fn operations<'d>(document: &'d Value, member: &str, tag: &str) -> Vec<Operation<'d>> {
    let of_path = |(path, operations): (&'d String, &'d Value)| {
        METHODS
            .into_iter()
            .filter_map(move |method| operations.get(method).map(|value| Operation { path, method, value }))
    };
    let all = members(document, member).flat_map(of_path);
    all.filter(|one| items(one.value, "tags").any(|known| known == tag)).collect()
}

/// Returns the last part of a reference, which is the name of a schema.
fn referred(schema: &Value) -> Option<&str> {
    text(schema, "$ref").rsplit_once('/').map(|(_, name)| name)
}

/// The kind of values that a schema allows, in a few words.
fn kind(schema: &Value) -> Markup {
    if let Some(name) = referred(schema) {
        return html! { a href={ "#schema-" (name) } { (name) } };
    }
    let names: Vec<&str> = items(schema, "enum").filter_map(Value::as_str).collect();
    if !names.is_empty() {
        let shown = names.iter().take(NAMES_MAX);
        return html! { @for (index, name) in shown.enumerate() { @if index > 0 { " | " } code { (name) } } @if names.len() > NAMES_MAX { " | …" } };
    }
    if let Some(only) = schema.get("const") {
        return html! { code { (only) } };
    }
    let any: Vec<&Value> = items(schema, "anyOf").chain(items(schema, "oneOf")).collect();
    if !any.is_empty() {
        return html! { @for (index, one) in any.iter().enumerate() { @if index > 0 { " or " } (kind(one)) } };
    }
    if let Some(of) = schema.get("items") {
        return html! { "list of " (kind(of)) };
    }
    let word = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or("any");
    html! { (word) @if let Some(format) = schema.get("format").and_then(Value::as_str) { " (" (format) ")" } }
}

/// The bounds of a schema, such as `1 to 100`.
fn bounds(schema: &Value) -> Markup {
    let bound = |name: &str| schema.get(name).map(ToString::to_string);
    let range = |least: Option<String>, most: Option<String>, what: &str| match (least, most) {
        (Some(least), Some(most)) => format!("{least} to {most}{what}"),
        (Some(least), None) => format!("at least {least}{what}"),
        (None, Some(most)) => format!("at most {most}{what}"),
        (None, None) => String::new(),
    };
    let numbers = range(bound("minimum"), bound("maximum"), "");
    let lengths = range(bound("minLength"), bound("maxLength"), " characters");
    let parts = [numbers, lengths].into_iter().chain(schema.get("default").map(|value| format!("default {value}")));
    html! { @for part in parts.filter(|part| !part.is_empty()) { " " span.bound { (part) } } }
}

/// A text in which words between backquotes are code and words between asterisks are stressed, such as descriptions have.
fn prose(words: &str) -> Markup {
    html! { @for (index, part) in words.split('`').enumerate() { @if index % 2 == 1 { code { (part) } } @else { (stressed(part)) } } }
}

/// A text in which words between asterisks are stressed. One asterisk alone is itself.
fn stressed(words: &str) -> Markup {
    let parts: Vec<&str> = words.split('*').collect();
    if parts.len().is_multiple_of(2) {
        return html! { (words) };
    }
    html! { @for (index, part) in parts.iter().enumerate() { @if index % 2 == 1 { em { (part) } } @else { (part) } } }
}

/// A row of a table of members.
fn row(name: &str, schema: &Value, is_required: bool, about: &str) -> Markup {
    html! {
        div.member {
            dt { code { (name) } @if is_required { span.must { "required" } } }
            dd { span.kind { (kind(schema)) (bounds(schema)) } @if !about.is_empty() { span { (prose(about)) } } }
        }
    }
}

/// The members of a schema.
fn fields(schema: &Value) -> Markup {
    let required: Vec<&str> = items(schema, "required").filter_map(Value::as_str).collect();
    html! {
        @if schema.get("properties").is_some() {
            dl.members { @for (name, member) in members(schema, "properties") {
                (row(name, member, required.contains(&name.as_str()), text(member, "description")))
            } }
        } @else { p { (kind(schema)) (bounds(schema)) } }
    }
}

/// The schemas of a body or an answer.
fn content(of: &Value) -> Markup {
    html! { @for (media_type, body) in members(of, "content") {
        span.content { code { (media_type) } " " (kind(&body["schema"])) }
    } }
}

fn example(of: &Value) -> Markup {
    let found = of.pointer("/content/application~1json/example");
    html! { @if let Some(found) = found { pre tabindex="0" { (format!("{found:#}")) } } }
}

fn operation(one: &Operation<'_>) -> Markup {
    let Operation { path, method, value } = one;
    let body = value.get("requestBody");
    let parameters: Vec<&Value> = items(value, "parameters").collect();
    html! {
        details.operation id=(text(value, "operationId")) {
            summary { span class={ "method " (method) } { (method.to_uppercase()) } code.path { (path) } span.about { (text(value, "summary")) } }
            div.stack {
                p { (prose(text(value, "description"))) }
                @if !parameters.is_empty() {
                    h3 { "Parameters" }
                    dl.members { @for parameter in parameters {
                        (row(text(parameter, "name"), &parameter["schema"], parameter["required"] == true,
                            &format!("{}: {}", text(parameter, "in"), text(parameter, "description"))))
                    } }
                }
                @if let Some(body) = body { h3 { "Body" } p { (content(body)) } (example(body)) }
                h3 { "Answers" }
                dl.members { @for (status, answer) in members(value, "responses") { div.member {
                    dt { code { (status) } }
                    dd { span { (prose(text(answer, "description"))) } (content(answer)) }
                } } }
                @for (status, answer) in members(value, "responses").filter(|(status, _)| status.starts_with('2')) {
                    @if answer.pointer("/content/application~1json/example").is_some() { h3 { "Example of " (status) } (example(answer)) }
                }
            }
        }
    }
}

fn part(document: &Value, (member, tag, title): (&str, &str, &str)) -> Markup {
    let operations = operations(document, member, tag);
    let about =
        items(document, "tags").find(|known| text(known, "name") == tag).map_or("", |found| text(found, "description"));
    html! {
        section aria-labelledby=(tag) {
            h2 id=(tag) { (title) }
            p.soft { (about) }
            @for one in &operations { (operation(one)) }
        }
    }
}

const PARTS: [(&str, &str, &str); 3] =
    [("paths", "public", "Buyers"), ("paths", "admin", "Operators"), ("webhooks", "webhooks", "Webhooks to the shop")];

/// Returns the page of a document.
#[must_use]
pub fn page(document: &Value) -> String {
    let info = &document["info"];
    let schemas = &document["components"];
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { "API · " (text(info, "title")) }
                link rel="icon" href=(assets::path("icon.svg"));
                link rel="stylesheet" href=(assets::path("docs.css"));
            }
            body {
                a.skip href="#content" { "Skip to the page" }
                main id="content" {
                    header {
                        h1 { (text(info, "title")) " API" span.soft { " " (text(info, "version")) } }
                        nav aria-label="Parts" {
                            @for (_, tag, title) in PARTS { a href={ "#" (tag) } { (title) } }
                            a href="#schemas" { "Schemas" }
                            a href="/openapi.json" { "openapi.json" }
                        }
                    }
                    @for paragraph in text(info, "description").split("\n\n") { p { (prose(paragraph)) } }
                    dl.members { @for server in items(document, "servers") { div.member {
                        dt { (text(server, "description")) }
                        dd { code { (text(server, "url")) } }
                    } } }
                    @for one in PARTS { (part(document, one)) }
                    section aria-labelledby="schemas" {
                        h2 id="schemas" { "Schemas" }
                        @for (name, schema) in members(schemas, "schemas") {
                            div.schema id={ "schema-" (name) } {
                                h3 { (name) }
                                @if !text(schema, "description").is_empty() { p { (prose(text(schema, "description"))) } }
                                (fields(schema))
                            }
                        }
                    }
                }
            }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_of_the_document_are_never_markup_and_references_lead_to_their_schema() {
        let operation = json!({ "operationId": "GetX", "summary": "<b>x</b>", "tags": ["public"], "parameters": [],
                                "responses": { "200": { "description": "OK", "content": { "application/json": {
                                    "schema": { "$ref": "#/components/schemas/X" }, "example": { "n": 1 } } } } } });
        let document = json!({ "info": { "title": "firstcome", "version": "1", "description": "one `two` *four*\n\nthree * 5" },
            "servers": [{ "url": "https://shop.example", "description": "Buyers" }],
            "tags": [{ "name": "public", "description": "For buyers." }], "paths": { "/x": { "get": operation } },
            "components": { "schemas": { "X": { "type": "object", "required": ["n"],
                "properties": { "n": { "type": "integer", "minimum": 1, "maximum": 9 } } } } } });
        let page = page(&document);
        assert!(page.contains("&lt;b&gt;x&lt;/b&gt;") && !page.contains("<b>"), "{page}");
        assert!(page.contains("href=\"#schema-X\"") && page.contains("id=\"schema-X\""), "{page}");
        assert!(page.contains("1 to 9") && page.contains("required") && page.contains("<code>two</code>"), "{page}");
        assert!(page.contains("<em>four</em>") && page.contains("three * 5"), "{page}");
        assert!(!page.contains("<script") && !page.contains("style="), "{page}");
    }
}

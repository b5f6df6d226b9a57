//! Names of types.

use std::collections::BTreeMap;

use crate::tree::{Source, code};

/// Names of structs, enums, traits and type aliases that are defined in more than one place outside unit tests, as `Name x3`.
/// A name inside an `impl` (an associated type) is no definition of its own.
pub(crate) fn defined_again(sources: &[Source]) -> Vec<String> {
    let mut defined: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.path.ends_with("/tests.rs")) {
        for line in code(&source.text).lines() {
            if let Some(name) = definition(line) {
                *defined.entry(name).or_default() += 1;
            }
        }
    }
    defined.into_iter().filter(|(_, count)| *count > 1).map(|(name, count)| format!("{name} x{count}")).collect()
}

fn definition(line: &str) -> Option<String> {
    let indented = line.starts_with(' ');
    let line = line.trim_start();
    let line = match line.strip_prefix("pub") {
        Some(rest) => {
            rest.strip_prefix('(').map_or(rest, |rest| rest.split_once(')').map_or("", |(_, rest)| rest)).trim_start()
        }
        None => line,
    };
    let rest = ["struct ", "enum ", "trait ", "union "].iter().find_map(|keyword| line.strip_prefix(keyword));
    let rest = rest.or_else(|| line.strip_prefix("type ").filter(|_| !indented))?;
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

#[test]
fn definitions_are_found_whatever_stands_before_them() {
    for (line, name) in [
        ("pub struct Order {", Some("Order")),
        ("    pub(in crate::http) enum Kind {", Some("Kind")),
        ("type Result<T> = X;", Some("Result")),
        ("    type Error = X;", None),
        ("let structure = 1;", None),
    ] {
        assert_eq!(definition(line).as_deref(), name, "{line}");
    }
}

//! The commented example of a configuration file: every setting with its default, generated from the table of settings.

use super::setting::{Setting, ValueKind};
use super::settings::all_settings;

/// Columns of a comment.
const WIDTH: usize = 110;

/// Returns a TOML file in which every setting is a comment with its meaning, its unit and its default. It changes nothing until
/// a line loses its `#`.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Settings of firstcome, each with its default. A line without its leading `# ` is in force.\n\
         # Environment variables override this file (FIRSTCOME__WRITER__QUEUE_CAPACITY for writer.queue_capacity), and flags\n\
         # override both. `firstcome serve --check --config FILE` tells all mistakes.\n",
    );
    for section in sections() {
        if !section.is_empty() {
            text.push_str(&format!("\n[{section}]\n"));
        }
        for setting in all_settings().filter(|setting| split(setting.key).0 == section) {
            push_setting(&mut text, setting);
        }
    }
    text
}

/// Returns the sections in the order of the table. Keys without a section come first, as TOML needs it.
fn sections() -> Vec<&'static str> {
    let mut sections = vec![""];
    for setting in all_settings() {
        let (section, _) = split(setting.key);
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    sections
}

fn split(key: &'static str) -> (&'static str, &'static str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

fn push_setting(text: &mut String, setting: &Setting) {
    text.push('\n');
    let (_, name) = split(setting.key);
    for line in wrapped(&format!("{} ({})", setting.why, setting.unit)) {
        text.push_str(&format!("# {line}\n"));
    }
    text.push_str(&format!("# {name} = {}\n", value(setting)));
}

/// Returns the default as TOML. A text that is not set is empty: every layer reads that as unset.
fn value(setting: &Setting) -> String {
    let quoted = |text: &str| toml::Value::String(text.into()).to_string();
    let items = || setting.default.split(',').map(str::trim).filter(|item| !item.is_empty());
    match setting.kind() {
        ValueKind::Number if setting.default.parse::<i64>().is_ok() => setting.default.into(),
        ValueKind::Flag if !setting.default.is_empty() => setting.default.into(),
        ValueKind::Texts => format!("[{}]", items().map(quoted).collect::<Vec<_>>().join(", ")),
        ValueKind::Numbers => format!("[{}]", items().collect::<Vec<_>>().join(", ")),
        ValueKind::Text | ValueKind::Number | ValueKind::Flag => quoted(setting.default),
    }
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last().map_or(0, String::len);
        if last > 0 && last.saturating_add(word.len()) >= WIDTH {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn load(text: &str) -> Config {
        let directory = tempfile::tempdir().expect("scratch");
        let file = directory.path().join("firstcome.toml");
        std::fs::write(&file, text).expect("written");
        let (config, mistakes) = Config::load_as_far_as_possible(Some(&file), std::iter::empty(), &[]);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        config
    }

    #[test]
    fn the_example_changes_nothing_whether_its_settings_are_comments_or_not() {
        let example = example();
        let is_value = |line: &str| {
            line.strip_prefix("# ")
                .and_then(|line| line.split_once(" = "))
                .is_some_and(|(name, _)| all_settings().any(|setting| split(setting.key).1 == name))
        };
        let in_force: Vec<&str> = example.lines().map(|line| if is_value(line) { &line[2..] } else { line }).collect();
        let count = example.lines().filter(|line| is_value(line)).count();
        assert_eq!(count, all_settings().count(), "each setting once");
        let defaults = format!("{:?}", load(""));
        assert_eq!(format!("{:?}", load(&example)), defaults);
        assert_eq!(format!("{:?}", load(&in_force.join("\n"))), defaults);
    }
}

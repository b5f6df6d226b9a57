//! The keys of one table of a file of a cluster or of shards, and their mistakes.

use toml::{Table, Value};

use super::model::ConfigError;
use super::toml_file::{not_shown, shown};

/// A table that is being read.
pub(super) struct Fields<'a, 'b> {
    /// The table's name and a dot; empty for the file itself.
    section: &'a str,
    table: &'a Table,
    /// Name of the file, for messages.
    source: &'a str,
    known: Vec<&'static str>,
    mistakes: &'b mut Vec<ConfigError>,
}

impl<'a, 'b> Fields<'a, 'b> {
    pub(super) fn new(
        section: &'a str,
        table: &'a Table,
        source: &'a str,
        mistakes: &'b mut Vec<ConfigError>,
    ) -> Fields<'a, 'b> {
        Fields { section, table, source, known: Vec::new(), mistakes }
    }

    /// Returns the value of a key that must be there.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        if !self.table.contains_key(key) {
            self.known.push(key);
            self.mistake(format!("{}{key} ({}): missing: expected {expected}", self.section, self.source));
            return None;
        }
        self.optional(key, expected, parse)
    }

    /// Returns the value of a key, if it is there and right.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        self.known.push(key);
        let value = self.table.get(key)?;
        let parsed = parse(value);
        if parsed.is_none() {
            let text = value.to_string();
            // A key of TLS or of the cluster, typed where the name of its file belongs; the password of a URL.
            let may_be_secret = key.starts_with("key") || text.contains('@');
            let text = if may_be_secret { not_shown(&text) } else { shown(&text) };
            self.mistake(format!("{}{key} = {text} ({}): expected {expected}", self.section, self.source));
        }
        parsed
    }

    /// Returns a table inside this one.
    pub(super) fn section(&mut self, key: &'static str) -> Option<&'a Table> {
        self.known.push(key);
        let value = self.table.get(key)?;
        let table = value.as_table();
        if table.is_none() {
            let text = shown(&value.to_string());
            self.mistake(format!("{key} = {text} ({}): expected a section: [{key}]", self.source));
        }
        table
    }

    /// Notes unknown keys of the table.
    pub(super) fn finish(self) {
        for key in self.table.keys().filter(|key| !self.known.contains(&key.as_str())) {
            let (section, source, key) = (self.section, self.source, shown(key));
            self.mistakes
                .push(ConfigError(format!("{section}{key} ({source}): unknown key; src/log/README.md lists all keys")));
        }
    }

    fn mistake(&mut self, line: String) {
        self.mistakes.push(ConfigError(line));
    }
}

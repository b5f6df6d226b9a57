//! The layers of a configuration, and what must hold between settings when all are in.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use super::{Config, ConfigError, SETTINGS, limits, outbox, payments, wire};

/// The configuration while its layers come in, each over the one before. A value that a later layer replaces is
/// checked all the same.
pub(super) struct Layers {
    config: Config,
    /// Keys with a mistake: the relations of theirs would only repeat it.
    wrong: BTreeSet<&'static str>,
    mistakes: Vec<ConfigError>,
}

impl Layers {
    pub(super) fn over(config: Config) -> Layers {
        Layers { config, wrong: BTreeSet::new(), mistakes: Vec::new() }
    }

    pub(super) fn finish(mut self) -> Result<Config, Vec<ConfigError>> {
        self.check_relations();
        if self.mistakes.is_empty() { Ok(self.config) } else { Err(self.mistakes) }
    }

    pub(super) fn place(&mut self, key: &str, value: &str, source: &str) {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            let key = shown(key);
            self.mistakes
                .push(ConfigError(format!("{key} ({source}): there is no such setting; the README lists them")));
            return;
        };
        if let Err(allowed) = (setting.set)(&mut self.config, value) {
            self.wrong.insert(setting.key);
            self.mistakes.push(ConfigError(format!("{key} = \"{}\" ({source}): {allowed}", shown(value))));
        }
    }

    pub(super) fn read_file(&mut self, path: &Path) {
        let source = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return self.mistakes.push(ConfigError(format!("{source}: {error}"))),
        };
        match text.parse::<toml::Table>() {
            Ok(table) => self.place_table("", &table, &source),
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
                let line = before.matches('\n').count().saturating_add(1);
                let message = error.message().replace('\n', ", ");
                self.mistakes.push(ConfigError(format!("{source}: line {line}: {message}")));
            }
        }
    }

    fn place_table(&mut self, prefix: &str, table: &toml::Table, source: &str) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            let is_section = SETTINGS.iter().any(|setting| setting.key.starts_with(&format!("{key}.")));
            let takes_list = SETTINGS.iter().any(|setting| setting.key == key && setting.unit == "list");
            match value {
                toml::Value::Table(inner) if is_section => self.place_table(&key, inner, source),
                toml::Value::Array(items) if takes_list => {
                    let items: Vec<_> = items.iter().map(|item| item.as_str().unwrap_or("?")).collect();
                    self.place(&key, &items.join(","), source);
                }
                toml::Value::String(text) => self.place(&key, text, source),
                // A table or an array where one value is wanted: as text it is none that is allowed.
                toml::Value::Table(_)
                | toml::Value::Array(_)
                | toml::Value::Integer(_)
                | toml::Value::Float(_)
                | toml::Value::Boolean(_)
                | toml::Value::Datetime(_) => self.place(&key, &value.to_string(), source),
            }
        }
    }

    /// What must hold between settings.
    fn check_relations(&mut self) {
        let config = &self.config;
        let threads = config.serving_threads();
        let relations = [
            (
                ["writer.queue_reserve", "writer.queue_capacity"],
                config.queue_reserve < config.queue_capacity,
                format!(
                    "writer.queue_reserve ({}) must be below writer.queue_capacity ({}): else no buyer gets in",
                    config.queue_reserve, config.queue_capacity
                ),
            ),
            (
                ["writer.queue_reserve", "http.threads"],
                config.queue_reserve > threads,
                format!(
                    "writer.queue_reserve ({}) must be above the number of serving threads ({threads}): each may overshoot by one",
                    config.queue_reserve
                ),
            ),
            (
                ["writer.batch_commands_max", "writer.queue_capacity"],
                config.batch_commands_max <= config.queue_capacity,
                format!(
                    "writer.batch_commands_max ({}) must be at most writer.queue_capacity ({}): a batch is drained from the queue",
                    config.batch_commands_max, config.queue_capacity
                ),
            ),
            (
                ["writer.queue_wait_max_ms", "writer.reply_deadline_ms"],
                config.queue_wait_max < config.reply_deadline,
                "writer.queue_wait_max_ms must be below writer.reply_deadline_ms: else late commands are decided for nobody"
                    .into(),
            ),
            (
                ["writer.checkpoint_wal_bytes", "writer.reset_wal_bytes"],
                config.checkpoint_wal_bytes < config.reset_wal_bytes,
                "writer.checkpoint_wal_bytes must be below writer.reset_wal_bytes".into(),
            ),
            (
                ["identity.audience", "identity.audience"],
                !config.identity_audience.is_empty()
                    || (config.hs256_secret_files.is_empty() && config.eddsa_public_key_files.is_empty()),
                "identity.audience must be set where buyers' tokens have keys: else a token for another service is good here"
                    .into(),
            ),
            (
                ["public.listen", "admin.listen"],
                apart(config.public_listen, config.admin_listen)
                    && apart(config.public_listen, config.wire_listen)
                    && apart(config.admin_listen, config.wire_listen),
                "public.listen, admin.listen and wire.listen must be three addresses".into(),
            ),
        ];
        let relations = relations
            .into_iter()
            .chain(limits::relations(config))
            .chain(payments::relations(config))
            .chain(outbox::relations(config))
            .chain(wire::relations(config));
        let broken = relations.filter(|(keys, holds, _)| !holds && !keys.iter().any(|key| self.wrong.contains(key)));
        let broken: Vec<_> = broken.map(|(_, _, sentence)| ConfigError(sentence)).collect();
        self.mistakes.extend(broken);
    }
}

/// Whether two listeners can both be bound; 0.0.0.0 has every address of the machine. Port 0 is always a free one.
fn apart(one: SocketAddr, other: SocketAddr) -> bool {
    let overlap = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == 0 || one.port() != other.port() || !overlap
}

/// Somebody's text, fit for one line of a terminal.
fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let cut = if text.chars().nth(CHARS_MAX).is_some() { "…" } else { "" };
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().take(CHARS_MAX).map(escape).collect::<String>() + cut
}

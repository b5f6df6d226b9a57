//! The layers of a configuration, and the relations that must hold between settings once all layers are applied.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use super::model::{ClusterConfig, Config, ConfigError};
use super::setting::Setting;
use super::settings::all_settings;
use super::toml_file::{not_shown, shown, toml_table};
use super::{admission, challenge, console, limits, mail, outbox, payments, risk, wire};

/// The source of the values that no layer sets.
pub(super) const DEFAULT: &str = "default";

/// A configuration in the making. Each layer replaces values of the one before; replaced values are checked as well.
pub(super) struct Layers {
    config: Config,
    /// Keys with an error. Their relations are not checked, because they would only repeat it.
    wrong: BTreeSet<&'static str>,
    mistakes: Vec<ConfigError>,
    /// A layer above the defaults sets `writer.durability`.
    has_durability: bool,
}

impl Layers {
    pub(super) fn over(config: Config) -> Layers {
        Layers { config, wrong: BTreeSet::new(), mistakes: Vec::new(), has_durability: false }
    }

    /// Returns the configuration, in which a key with an error has its value of the layer before, and all errors.
    pub(super) fn finish(mut self) -> (Config, Vec<ConfigError>) {
        self.check_relations();
        self.read_cluster();
        (self.config, self.mistakes)
    }

    /// Reads the file of the cluster, which takes addresses of the listeners.
    fn read_cluster(&mut self) {
        let Some(path) = self.config.cluster_file.clone() else { return };
        if self.has_durability {
            self.mistakes.push(ConfigError(
                "writer.durability must not be set with cluster.file: an order is acknowledged once the log of the cluster has it"
                    .into(),
            ));
        }
        match ClusterConfig::read(&path, Some(&self.config)) {
            Ok(cluster) => self.config.cluster = Some(cluster),
            Err(mistakes) => self.mistakes.extend(mistakes),
        }
    }

    pub(super) fn place(&mut self, key: &str, value: &str, source: &str) {
        let Some(setting) = all_settings().find(|setting| setting.key == key) else {
            let key = shown(key);
            self.mistakes.push(ConfigError(format!(
                "{key} ({source}): unknown setting; src/config/README.md lists all settings"
            )));
            return;
        };
        self.has_durability |= setting.key == "writer.durability" && source != DEFAULT;
        match (setting.set)(&mut self.config, value) {
            Ok(()) => self.config.in_force.note(console::in_force(setting, value, source)),
            Err(allowed) => self.refused(setting, value, source, &allowed),
        }
    }

    /// Notes a value that its setting does not allow.
    fn refused(&mut self, setting: &'static Setting, value: &str, source: &str, allowed: &str) {
        self.wrong.insert(setting.key);
        let (key, value) = (setting.key, value);
        let value = if setting.may_hold_secret(value) { not_shown(value) } else { format!("\"{}\"", shown(value)) };
        self.mistakes.push(ConfigError(format!("{key} = {value} ({source}): expected {allowed}")));
    }

    pub(super) fn read_file(&mut self, path: &Path) {
        match toml_table(path) {
            Ok(table) => self.place_table("", &table, &path.display().to_string()),
            Err(mistake) => self.mistakes.push(mistake),
        }
    }

    fn place_table(&mut self, prefix: &str, table: &toml::Table, source: &str) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            let is_section = all_settings().any(|setting| setting.key.starts_with(&format!("{key}.")));
            let setting = all_settings().find(|setting| setting.key == key);
            match (value, setting) {
                (toml::Value::Table(inner), None) if is_section => self.place_table(&key, inner, source),
                (_, None) if is_section => self.mistake(&key, value, source, &format!("a section: [{key}]")),
                (_, None) => self.place(&key, "", source),
                (_, Some(setting)) => match setting.kind().text_of(value) {
                    Ok(text) => self.place(&key, &text, source),
                    Err(expected) => {
                        self.wrong.insert(setting.key);
                        self.mistake(&key, value, source, expected);
                    }
                },
            }
        }
    }

    /// Notes a value of the wrong type, as it stands in the file.
    fn mistake(&mut self, key: &str, value: &toml::Value, source: &str, expected: &str) {
        let value = value.to_string();
        let is_secret = all_settings().any(|setting| setting.key == key && setting.may_hold_secret(&value));
        let value = if is_secret { not_shown(&value) } else { shown(&value) };
        self.mistakes.push(ConfigError(format!("{} = {value} ({source}): expected {expected}", shown(key))));
    }

    fn check_relations(&mut self) {
        let config = &self.config;
        let threads = config.serving_threads();
        let relations = [
            (
                ["writer.queue_reserve", "writer.queue_capacity"],
                config.queue_reserve < config.queue_capacity,
                format!(
                    "writer.queue_reserve ({}) must be below writer.queue_capacity ({}); otherwise every buyer is rejected",
                    config.queue_reserve, config.queue_capacity
                ),
            ),
            (
                ["writer.queue_reserve", "http.threads"],
                config.queue_reserve > threads,
                format!(
                    "writer.queue_reserve ({}) must be above the number of workers ({threads}), because each may exceed the limit by one command",
                    config.queue_reserve
                ),
            ),
            (
                ["writer.batch_commands_max", "writer.queue_capacity"],
                config.batch_commands_max <= config.queue_capacity,
                format!(
                    "writer.batch_commands_max ({}) must be at most writer.queue_capacity ({}), because a batch is taken from the queue",
                    config.batch_commands_max, config.queue_capacity
                ),
            ),
            (
                ["writer.queue_wait_max_ms", "writer.reply_deadline_ms"],
                config.queue_wait_max < config.reply_deadline,
                "writer.queue_wait_max_ms must be below writer.reply_deadline_ms; otherwise commands are decided after their client was answered"
                    .into(),
            ),
            (
                ["writer.checkpoint_wal_bytes", "writer.reset_wal_bytes"],
                config.checkpoint_wal_bytes < config.reset_wal_bytes,
                "writer.checkpoint_wal_bytes must be below writer.reset_wal_bytes".into(),
            ),
            (
                ["backup.every_seconds", "backup.directory"],
                config.backup.every_seconds == 0 || config.backup.directory.is_some(),
                "backup.every_seconds needs backup.directory: a directory on another disk than the data".into(),
            ),
            (
                ["identity.audience", "identity.audience"],
                !config.identity_audience.is_empty()
                    || (config.hs256_secret_files.is_empty() && config.eddsa_public_key_files.is_empty()),
                "identity.audience is required if a key of buyers' tokens is set; otherwise tokens of other services would be accepted"
                    .into(),
            ),
            (
                ["capture.file", "data"],
                config.capture_file.as_deref().is_none_or(|file| !is_kept_name(file, &config.data)),
                "capture.file has the name of a file that the server keeps in its data directory; choose another name, such \
                 as traffic.capture"
                    .into(),
            ),
            (
                ["public.listen", "admin.listen"],
                apart(config.public_listen, config.admin_listen)
                    && apart(config.public_listen, config.wire_listen)
                    && apart(config.admin_listen, config.wire_listen),
                "public.listen, admin.listen and wire.listen must be different addresses".into(),
            ),
        ];
        let relations = relations
            .into_iter()
            .chain(limits::relations(config))
            .chain(admission::relations(config))
            .chain(challenge::relations(config))
            .chain(risk::relations(config))
            .chain(payments::relations(config))
            .chain(outbox::relations(config))
            .chain(mail::relations(config))
            .chain(wire::relations(config));
        let broken = relations.filter(|(keys, holds, _)| !holds && !keys.iter().any(|key| self.wrong.contains(key)));
        let broken: Vec<_> = broken.map(|(_, _, sentence)| ConfigError(sentence)).collect();
        self.mistakes.extend(broken);
    }
}

/// Returns whether a path has a name that the server keeps for itself in the data directory: those of the database, of
/// what lies beside it, of operators' tokens, and of recoveries and migrations.
fn is_kept_name(file: &Path, data: &Path) -> bool {
    let directory = file.parent().unwrap_or(Path::new(""));
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let is_within = match (directory.canonicalize(), data.canonicalize()) {
        (Ok(directory), Ok(data)) => directory == data,
        _ => directory == data,
    };
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    is_within && ["firstcome.", "operators.", "rebuil"].iter().any(|begin| name.starts_with(begin))
}

/// Returns true if two listeners can both be bound: 0.0.0.0 includes every address of the machine, and port 0 is always
/// a free port.
fn apart(one: SocketAddr, other: SocketAddr) -> bool {
    let overlap = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == 0 || one.port() != other.port() || !overlap
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_the_server_keeps_is_refused_in_the_data_directory_alone() {
        let scratch = tempfile::tempdir().expect("scratch");
        let data = scratch.path().join("data");
        std::fs::create_dir(&data).expect("made");
        let kept = ["rebuilt", "rebuilding", "operators.json", "firstcome.db-journal", "firstcome.clock"];
        for name in kept {
            assert!(is_kept_name(&data.join(name), &data), "{name}");
            assert!(is_kept_name(&data.join("../data").join(name), &data), "{name} by another way");
            assert!(!is_kept_name(&scratch.path().join(name), &data), "{name} beside the directory");
        }
        assert!(!is_kept_name(&data.join("sale.capture"), &data));
        assert!(!is_kept_name(Path::new("sale.capture"), &data));
    }
}

//! Every setting and limit, named once: key, default, unit, reason, and how it is set.
//!
//! From the one table [`SETTINGS`] come the defaults, the keys of the TOML file, the environment variables
//! `FIRSTCOME__SECTION__KEY`, the errors for unknown keys, and the table in the README. Flags win over the environment,
//! the environment over the file, the file over the defaults. All mistakes are reported at once.

mod settings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use settings::{SETTINGS, Setting};

/// The configuration of a server. Each field is explained where it is set, in [`SETTINGS`].
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "SETTINGS holds a sentence for each; a second one would drift")]
pub struct Config {
    pub data: PathBuf,
    pub public_listen: SocketAddr,
    pub public_url: String,
    pub cors_origins: Vec<String>,
    pub admin_listen: SocketAddr,
    pub admin_hosts: Vec<String>,
    pub wire_listen: SocketAddr,
    pub http_threads: usize,
    pub connections_max: usize,
    pub header_read_timeout: Duration,
    pub body_read_timeout: Duration,
    pub body_bytes_max: usize,
    pub header_bytes_max: usize,
    pub headers_max: usize,
    pub uri_bytes_max: usize,
    pub listen_backlog: i32,
    pub streams_max: usize,
    pub durability_full: bool,
    pub sync_interval: Duration,
    pub queue_capacity: usize,
    pub queue_reserve: usize,
    pub queue_wait_max: Duration,
    pub reply_deadline: Duration,
    pub batch_commands_max: usize,
    pub batch_events_max: usize,
    pub pin_core: PinCore,
    pub checkpoint_wal_bytes: u64,
    pub reset_wal_bytes: u64,
    pub reset_gate: Duration,
    pub idempotency_keys_max: usize,
    pub hot_bodies_max: usize,
    pub compare_interval: Duration,
    pub accept_clock: bool,
    pub log_level: String,
    pub log_json: bool,
}

/// Where the writer runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PinCore {
    /// On the last core, where there are more than two.
    Auto,
    /// Wherever the kernel likes.
    Off,
    /// On this one.
    Core(usize),
}

/// One thing that is wrong with the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake(pub String);

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What comes before the name of every environment variable.
pub const ENVIRONMENT_PREFIX: &str = "FIRSTCOME__";

impl Config {
    /// Puts the configuration together from its layers.
    ///
    /// # Errors
    /// All mistakes in all layers, and all relations between limits that do not hold.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(&'static str, String)],
    ) -> Result<Config, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut values: BTreeMap<&'static str, (String, String)> = BTreeMap::new();
        for setting in SETTINGS {
            values.insert(setting.key, (setting.default.into(), "the default".into()));
        }
        if let Some(path) = file {
            for (key, value) in read_file(path, &mut mistakes) {
                place(&mut values, &key, value, &path.display().to_string(), &mut mistakes);
            }
        }
        for (name, value) in environment {
            if let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                let key = key.to_ascii_lowercase().replace("__", ".");
                place(&mut values, &key, value, &format!("the variable {name}"), &mut mistakes);
            }
        }
        for (key, value) in flags {
            place(&mut values, key, value.clone(), "the command line", &mut mistakes);
        }
        let mut config = Config::blank();
        for setting in SETTINGS {
            if let Some((value, source)) = values.get(setting.key)
                && let Err(allowed) = (setting.set)(&mut config, value)
            {
                mistakes.push(Mistake(format!("{} = {value:?} ({source}): {allowed}", setting.key)));
            }
        }
        if mistakes.is_empty() {
            check_relations(&mut config, &mut mistakes);
        }
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    /// The configuration with nothing but defaults.
    ///
    /// # Panics
    /// If the table of settings contradicts itself; a test holds that it does not.
    #[must_use]
    pub fn defaults() -> Config {
        Config::load(None, [], &[]).unwrap_or_else(|mistakes| panic!("the defaults are wrong: {mistakes:?}"))
    }

    /// How many threads serve.
    #[must_use]
    pub fn serving_threads(&self) -> usize {
        match self.http_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }

    fn blank() -> Config {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Config {
            data: PathBuf::new(),
            public_listen: anywhere,
            public_url: String::new(),
            cors_origins: Vec::new(),
            admin_listen: anywhere,
            admin_hosts: Vec::new(),
            wire_listen: anywhere,
            http_threads: 0,
            connections_max: 0,
            header_read_timeout: Duration::ZERO,
            body_read_timeout: Duration::ZERO,
            body_bytes_max: 0,
            header_bytes_max: 0,
            headers_max: 0,
            uri_bytes_max: 0,
            listen_backlog: 0,
            streams_max: 0,
            durability_full: true,
            sync_interval: Duration::ZERO,
            queue_capacity: 0,
            queue_reserve: 0,
            queue_wait_max: Duration::ZERO,
            reply_deadline: Duration::ZERO,
            batch_commands_max: 0,
            batch_events_max: 0,
            pin_core: PinCore::Auto,
            checkpoint_wal_bytes: 0,
            reset_wal_bytes: 0,
            reset_gate: Duration::ZERO,
            idempotency_keys_max: 0,
            hot_bodies_max: 0,
            compare_interval: Duration::ZERO,
            accept_clock: false,
            log_level: String::new(),
            log_json: false,
        }
    }
}

fn place(
    values: &mut BTreeMap<&'static str, (String, String)>,
    key: &str,
    value: String,
    source: &str,
    mistakes: &mut Vec<Mistake>,
) {
    match SETTINGS.iter().find(|setting| setting.key == key) {
        Some(setting) => {
            values.insert(setting.key, (value, source.into()));
        }
        None => mistakes.push(Mistake(format!("{key} ({source}): there is no such setting; the README lists them"))),
    }
}

/// The keys and values of a TOML file, as text.
fn read_file(path: &Path, mistakes: &mut Vec<Mistake>) -> Vec<(String, String)> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            mistakes.push(Mistake(format!("{}: {error}", path.display())));
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    match text.parse::<toml::Table>() {
        Ok(table) => flatten("", &toml::Value::Table(table), &mut found),
        Err(error) => mistakes.push(Mistake(format!("{}: {}", path.display(), error.message()))),
    }
    found
}

fn flatten(prefix: &str, value: &toml::Value, found: &mut Vec<(String, String)>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, found);
            }
        }
        toml::Value::String(text) => found.push((prefix.into(), text.clone())),
        toml::Value::Array(items) => {
            let items: Vec<_> =
                items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), Into::into)).collect();
            found.push((prefix.into(), items.join(",")));
        }
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) | toml::Value::Datetime(_) => {
            found.push((prefix.into(), value.to_string()));
        }
    }
}

/// What must hold between settings.
fn check_relations(config: &mut Config, mistakes: &mut Vec<Mistake>) {
    let mut hold = |holds: bool, sentence: String| {
        if !holds {
            mistakes.push(Mistake(sentence));
        }
    };
    let threads = config.serving_threads();
    hold(
        config.queue_reserve < config.queue_capacity,
        format!(
            "writer.queue_reserve ({}) must be below writer.queue_capacity ({}): else no buyer gets in",
            config.queue_reserve, config.queue_capacity
        ),
    );
    hold(
        config.queue_reserve > threads,
        format!(
            "writer.queue_reserve ({}) must be above the number of serving threads ({threads}): each may overshoot by one",
            config.queue_reserve
        ),
    );
    hold(
        config.queue_wait_max < config.reply_deadline,
        "writer.queue_wait_max_ms must be below writer.reply_deadline_ms: else late commands are decided for nobody"
            .into(),
    );
    hold(
        config.checkpoint_wal_bytes < config.reset_wal_bytes,
        "writer.checkpoint_wal_bytes must be below writer.reset_wal_bytes".into(),
    );
    hold(
        config.admin_listen.ip().is_loopback(),
        format!(
            "admin.listen = {}: without operator tokens the admin listener stays on a loopback address",
            config.admin_listen
        ),
    );
    let listeners = [config.public_listen, config.admin_listen, config.wire_listen];
    let shared = |a: SocketAddr, b: SocketAddr| a == b && a.port() != 0;
    hold(
        !shared(listeners[0], listeners[1])
            && !shared(listeners[0], listeners[2])
            && !shared(listeners[1], listeners[2]),
        "public.listen, admin.listen and wire.listen must be three addresses".into(),
    );
    if config.public_url.is_empty() {
        config.public_url = format!("http://{}", config.public_listen);
    }
}

/// The README's table of settings, as Markdown.
#[must_use]
pub fn settings_as_markdown() -> String {
    let mut table = String::from("| setting | default | unit | why |\n|---|---|---|---|\n");
    for setting in SETTINGS {
        let default = if setting.default.is_empty() { "none".into() } else { format!("`{}`", setting.default) };
        table.push_str(&format!("| `{}` | {default} | {} | {} |\n", setting.key, setting.unit, setting.why));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)], flags: &[(&'static str, String)]) -> Result<Config, Vec<String>> {
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Config::load(None, environment, flags).map_err(|mistakes| mistakes.into_iter().map(|m| m.0).collect())
    }

    #[test]
    fn the_defaults_hold_together() {
        assert_eq!(Config::defaults().public_url, "http://127.0.0.1:8080");
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("firstcome.toml");
        std::fs::write(&path, "[writer]\nqueue_capacity = 1000\nqueue_reserve = 100\nbatch_commands_max = 7\n")
            .expect("written");
        let environment = [
            ("FIRSTCOME__WRITER__QUEUE_CAPACITY".to_string(), "2000".to_string()),
            ("FIRSTCOME__WRITER__QUEUE_RESERVE".to_string(), "200".to_string()),
            ("HOME".to_string(), "/root".to_string()),
        ];
        let config = Config::load(Some(&path), environment, &[("writer.queue_capacity", "3000".into())]).expect("good");
        assert_eq!((config.queue_capacity, config.queue_reserve, config.batch_commands_max), (3000, 200, 7));
    }

    #[test]
    fn all_mistakes_are_reported_at_once_with_key_source_and_what_is_allowed() {
        let mistakes = load(
            &[("FIRSTCOME__WRITER__QUEUE_CAPACITY", "many"), ("FIRSTCOME__NO__SUCH", "1")],
            &[("public.listen", "nowhere".into()), ("writer.durability", "maybe".into())],
        )
        .expect_err("four mistakes");
        assert_eq!(mistakes.len(), 4, "{mistakes:#?}");
        assert!(mistakes.iter().any(|m| m.contains("no.such") && m.contains("FIRSTCOME__NO__SUCH")), "{mistakes:#?}");
        assert!(
            mistakes.iter().any(|m| m.contains("writer.durability") && m.contains("full or interval")),
            "{mistakes:#?}"
        );
    }

    #[test]
    fn relations_between_limits_are_checked() {
        let flags = [("writer.queue_capacity", "100".into()), ("writer.queue_reserve", "100".into())];
        assert!(load(&[], &flags).expect_err("refused")[0].contains("queue_reserve"));
        let flags = [("admin.listen", "0.0.0.0:8081".into())];
        assert!(load(&[], &flags).expect_err("refused")[0].contains("loopback"));
        let flags = [("admin.listen", "127.0.0.1:8080".into())];
        assert!(load(&[], &flags).expect_err("refused")[0].contains("three addresses"));
    }

    #[test]
    fn the_readme_has_this_table() {
        let readme = include_str!("../README.md");
        assert!(readme.contains(&settings_as_markdown()), "put this into README.md:\n{}", settings_as_markdown());
    }
}

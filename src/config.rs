//! Every setting and limit, named once: key, default, unit, reason, and the assignment that sets it.
//!
//! The table of [`all_settings`] gives the defaults, the keys of the TOML file, the environment variables
//! `FIRSTCOME__SECTION__KEY`, the errors for unknown keys, and the table in `config/README.md`. Flags win over the
//! environment, the environment over the file, the file over the defaults. All errors are reported at once.

mod admission;
mod auctions;
mod backup;
mod challenge;
mod cluster;
mod console;
mod example;
mod fields;
mod identity;
mod in_force;
mod layers;
mod limits;
mod log;
mod mail;
mod model;
mod outbox;
mod payments;
mod plan;
mod risk;
pub mod secret_file;
mod setting;
mod settings;
mod shards;
mod storefront;
mod toml_file;
mod traces;
mod values;
mod wire;

use std::net::SocketAddr;
use std::path::Path;

pub use admission::{LIMIT_ENTRY_BYTES, READ_FILTER_BYTES, RISK_ENTRY_BYTES, TABLE_BYTES_MAX, USED_CHALLENGE_BYTES};
pub use cluster::read_key_file;
pub use example::example;
pub use in_force::{SettingInForce, SettingsInForce};
use layers::Layers;
pub use limits::{OPERATOR_CONNECTIONS_MAX, check_descriptors, settle_connections_max, somaxconn, warnings};
pub use model::{
    AccessLogSettings, AdmissionSettings, AdvertisedAddresses, AuctionSettings, BackupSettings, ChallengeSettings,
    ClusterConfig, Config, ConfigError, ConnectionLimits, Exemptions, KeyFile, MailSettings, MailTls, MemberTls,
    OutboxSettings, PaymentSettings, PinCore, PlanSettings, RiskSettings, StorefrontSettings, SuccessRedirect,
    TlsFiles, TraceSettings, WireLimits,
};
pub use setting::Setting;
pub use settings::all_settings;
pub use shards::{RouteLimits, ShardNode, ShardNodes, ShardsConfig};
pub use values::host_address;

/// Prefix of every environment variable with a setting.
pub const ENVIRONMENT_PREFIX: &str = "FIRSTCOME__";

impl Config {
    /// Builds the configuration from its layers.
    ///
    /// # Errors
    /// All errors of all layers, and all relations between limits that do not hold.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(&'static str, String)],
    ) -> Result<Config, Vec<ConfigError>> {
        let (config, mistakes) = Config::load_as_far_as_possible(file, environment, flags);
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }

    /// Builds the configuration from its layers, and returns all errors beside it: a key with an error has its value of
    /// the layer before. So the errors of files that the settings name can be reported together with those of settings.
    pub fn load_as_far_as_possible(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(&'static str, String)],
    ) -> (Config, Vec<ConfigError>) {
        let mut layers = Layers::over(Config::blank());
        for setting in all_settings() {
            layers.place(setting.key, setting.default, layers::DEFAULT);
        }
        if let Some(path) = file {
            layers.read_file(path);
        }
        for (name, value) in environment {
            if let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                layers.place(
                    &key.to_ascii_lowercase().replace("__", "."),
                    &value,
                    &format!("environment variable {name}"),
                );
            }
        }
        for (key, value) in flags {
            layers.place(key, value, "command line");
        }
        layers.finish()
    }

    /// Returns the configuration of the defaults alone.
    ///
    /// # Panics
    /// If the table of settings contradicts itself; a unit test proves that it does not.
    #[must_use]
    pub fn defaults() -> Config {
        Config::load(None, [], &[]).unwrap_or_else(|mistakes| panic!("invalid defaults: {mistakes:?}"))
    }

    /// Number of workers. One per core means at most 128, so that the default queue reserve covers them on any machine.
    #[must_use]
    pub fn serving_threads(&self) -> usize {
        match self.http_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(128),
            threads => threads,
        }
    }

    /// Scheme of a listener's URLs.
    #[must_use]
    pub fn scheme(tls: &Option<TlsFiles>) -> &'static str {
        if tls.is_some() { "https" } else { "http" }
    }

    /// Sets `public_url`, if it is unset, to the bound address of the public listener. That address has the port which
    /// the system chose for port 0.
    pub fn settle_public_url(&mut self, bound: SocketAddr) {
        if self.public_url.is_empty() {
            self.public_url = format!("{}://{bound}", Self::scheme(&self.public_tls));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the table of `src/config/README.md`.
    fn settings_as_markdown() -> String {
        let mut table = String::from("| setting | default | unit | why |\n|---|---|---|---|\n");
        for setting in all_settings() {
            let default = if setting.default.is_empty() { "none".into() } else { format!("`{}`", setting.default) };
            table.push_str(&format!("| `{}` | {default} | {} | {} |\n", setting.key, setting.unit, setting.why));
        }
        table
    }

    fn load(environment: &[(&str, &str)], flags: &[(&'static str, String)]) -> Result<Config, Vec<String>> {
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Config::load(None, environment, flags).map_err(|mistakes| mistakes.into_iter().map(|m| m.0).collect())
    }

    #[test]
    fn the_defaults_hold_together() {
        let mut config = Config::defaults();
        config.settle_public_url(config.public_listen);
        assert_eq!(config.public_url, "http://127.0.0.1:8080");
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
        let flags = [("identity.hs256_secret_files", "shop.secret".into())];
        assert!(load(&[], &flags).expect_err("refused")[0].contains("identity.audience"));
        let flags = [("admin.listen", "127.0.0.1:8080".into())];
        assert!(load(&[], &flags).expect_err("refused")[0].contains("different addresses"));
    }

    #[test]
    fn a_mistake_is_told_although_a_later_layer_replaces_it_and_relations_are_told_with_it() {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("firstcome.toml");
        let text = "[writer]\nqueue_capacity = true\nreply_deadline_ms = 500\n[log]\nlevel = [\"info\"]\n[nonsense]\n";
        std::fs::write(&path, text).expect("written");
        let environment = [("FIRSTCOME__WRITER__QUEUE_CAPACITY".to_string(), "100".to_string())];
        let told = Config::load(Some(&path), environment, &[]).expect_err("four mistakes");
        assert_eq!(told.len(), 4, "{told:#?}");
        for part in ["queue_capacity = true", "queue_wait_max_ms must be below", "log.level = ", "nonsense"] {
            assert!(told.iter().any(|mistake| mistake.0.contains(part)), "{part}: {told:#?}");
        }
        std::fs::write(&path, "[log]\nlevel = \n").expect("written");
        let told = Config::load(Some(&path), [], &[]).expect_err("not TOML");
        assert!(told.len() == 1 && told[0].0.contains("line 2"), "{told:#?}");
    }

    /// Loads a file with this text.
    fn load_file(text: &str) -> Result<Config, Vec<String>> {
        let scratch = tempfile::tempdir().expect("scratch");
        let path = scratch.path().join("firstcome.toml");
        std::fs::write(&path, text).expect("written");
        Config::load(Some(&path), [], &[]).map_err(|mistakes| mistakes.into_iter().map(|mistake| mistake.0).collect())
    }

    #[test]
    fn every_setting_takes_the_type_of_its_value_and_says_what_it_expects_instead_of_another() {
        use setting::ValueKind as K;
        let values = ["7", "1.5", "true", "2026-11-21", "\"?\"", "[\"a,b\"]", "[true]", "[[1]]", "{ x = 1 }"];
        for setting in all_settings() {
            let kind = setting.kind();
            for value in values {
                // A text is read as in the environment: it may be right or wrong.
                let may_be_right = match kind {
                    K::Text | K::Texts => value == "\"?\"",
                    K::Number | K::Numbers => matches!(value, "7" | "\"?\""),
                    K::Flag => matches!(value, "true" | "\"?\""),
                };
                let told = load_file(&format!("{} = {value}\n", setting.key)).err().unwrap_or_default();
                let key = setting.key;
                assert!(may_be_right || !told.is_empty(), "{key} = {value}");
                assert!(may_be_right || told.iter().any(|t| t.starts_with(key) && t.contains("expected ")), "{told:?}");
            }
        }
        assert!(load_file("data = 3").expect_err("refused")[0].contains("data = 3 "), "as it stands in the file");
        assert!(load_file("data = \"\"").is_err());
        let sections = load_file("writer = 3\n[[log]]\n").expect_err("refused");
        assert!(
            sections.len() == 2 && sections.iter().all(|line| line.contains("expected a section: [")),
            "{sections:?}"
        );
    }

    #[test]
    fn lists_are_of_numbers_or_of_texts() {
        let seconds = std::time::Duration::from_secs;
        let waits =
            |text: &str| load_file(&format!("outbox.retry_seconds = {text}")).map(|config| config.outbox.retry_waits);
        assert_eq!(waits("[1, 1]"), Ok(vec![seconds(1); 2]));
        assert_eq!(waits("[]"), Ok(Vec::new()));
        assert_eq!(waits("[\"1\", 2]"), Ok(vec![seconds(1), seconds(2)]));
        assert_eq!(waits("\"1, 2\""), Ok(vec![seconds(1), seconds(2)]));
        assert!(waits("[1.5]").expect_err("refused")[0].contains("expected a list of whole numbers"));
        let origins = load_file("public.cors_origins = [\"https://a.example\", \"https://b.example\"]").expect("good");
        assert_eq!(origins.cors_origins.len(), 2);
        assert!(load_file("payments.stripe_secret_files = [3]").expect_err("refused")[0].contains("texts in quotes"));
    }

    #[test]
    fn a_secret_typed_where_the_name_of_a_file_belongs_is_not_shown() {
        let told = |key: &'static str, value: &str| load(&[], &[(key, value.into())]).expect_err("refused").join("; ");
        for (key, value) in [
            ("payments.stripe_secret_files", "a,b,c,d,whsec_TopSecret"),
            ("payments.payos_checksum_key_files", "TopSecret,b,c,d,e"),
            ("identity.hs256_secret_files", "=TopSecret"),
            ("public_url", "https://ann:TopSecret@shop.example"),
            ("payments.stripe_url", "https://ann:TopSecret@shop.example"),
        ] {
            let told = told(key, value);
            assert!(told.contains(key) && told.contains(" bytes)") && !told.contains("TopSecret"), "{told}");
        }
        for text in
            ["payments.stripe_api_key_file = [\"TopSecret\"]", "payments.stripe_secret_files = { a = \"TopSecret\" }"]
        {
            let told = load_file(text).expect_err("refused").join("; ");
            assert!(told.contains(" bytes)") && !told.contains("TopSecret"), "{told}");
        }
    }

    #[test]
    fn a_message_never_moves_the_cursor_of_a_terminal() {
        let told =
            load(&[("FIRSTCOME__LOG__LEVEL", "\u{1b}[2J\n"), ("FIRSTCOME__A\u{7}", "")], &[]).expect_err("refused");
        assert!(told.iter().all(|line| !line.contains(['\u{1b}', '\n'])), "{told:?}");
    }

    #[test]
    fn urls_origins_and_host_names_are_checked() {
        let good = load(
            &[("FIRSTCOME__PUBLIC__CORS_ORIGINS", "https://Shop.example, http://localhost:3000")],
            &[("public_url", "https://drops.example/shop/".into()), ("admin.hosts", "OPS.example".into())],
        )
        .expect("good");
        assert_eq!(good.public_url, "https://drops.example/shop");
        assert_eq!(good.cors_origins, ["https://shop.example", "http://localhost:3000"]);
        assert_eq!(good.admin_hosts, ["ops.example"]);
        let proxies =
            load(&[("FIRSTCOME__TRUSTED_PROXIES", "10.1.2.3/8, fd00::1")], &[]).expect("good").trusted_proxies;
        assert_eq!(proxies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "fd00::1/128"]);
        for (key, wrong) in [
            ("public_url", "https://"),
            ("public_url", "https://a b"),
            ("public_url", "https://a?b=c"),
            ("public.cors_origins", "*"),
            ("public.cors_origins", "https://a/"),
            ("admin.hosts", "ops.example:8081"),
            ("trusted_proxies", "10.0.0.0/33"),
            ("trusted_proxies", "the-proxy"),
            ("identity.eddsa_public_key_files", "k1="),
        ] {
            assert_eq!(load(&[], &[(key, wrong.into())]).expect_err("refused").len(), 1, "{key} = {wrong}");
        }
    }

    #[test]
    fn limits_that_do_not_ascend_with_the_tiers_are_refused_with_all_other_mistakes() {
        let told = load(
            &[],
            &[
                ("admission.suspected_writes_per_minute", "0".into()),
                ("admission.verified_writes_per_minute", "10".into()),
                ("admission.default_tier", "gold".into()),
                ("admission.exempt", "10.0.0.0/8, buyer:, nobody".into()),
                ("admission.entries_max", "4000000".into()),
            ],
        );
        let told = told.expect_err("five mistakes");
        assert_eq!(told.len(), 5, "{told:#?}");
        for part in ["suspected_writes_per_minute must be at most", "new_writes_per_minute must be at most", "gold"] {
            assert!(told.iter().any(|line| line.contains(part)), "{part}: {told:#?}");
        }
        let exempt = load(&[], &[("admission.exempt", "buyer:box office, 10.1.2.3/8, ::1".into())]).expect("good");
        let Exemptions { networks, buyers } = exempt.admission.exempt;
        assert_eq!((networks.len(), buyers), (2, vec!["box office".to_string()]));
    }

    #[test]
    fn a_listener_on_every_address_needs_the_url_that_buyers_use() {
        for listen in ["0.0.0.0:8080", "[::]:8080"] {
            let flags = [("public.listen", listen.into()), ("writer.durability", "maybe".into())];
            let told = load(&[], &flags).expect_err("refused");
            assert_eq!(told.len(), 2, "with all other mistakes: {told:?}");
            assert!(told.iter().any(|line| line.contains("public_url") && line.contains(listen)), "{told:?}");
            let url = ("public_url", "https://shop.example".to_string());
            assert!(load(&[], &[("public.listen", listen.into()), url]).is_ok());
        }
        for url in ["http://0.0.0.0:8080", "https://0.0.0.0", "http://[::]:80/x", "https://[::]"] {
            let told = load(&[], &[("public_url", url.into())]).expect_err("refused");
            assert!(told[0].contains("that buyers use"), "{url}: {told:?}");
        }
        for url in ["http://127.0.0.1:8080", "http://[::1]:8080/shop", "https://0.example"] {
            assert!(load(&[], &[("public_url", url.into())]).is_ok(), "{url}");
        }
    }

    #[test]
    fn listeners_that_cannot_both_be_bound_are_refused() {
        let flags = [("public.listen", "0.0.0.0:8081".into()), ("public_url", "https://shop.example".into())];
        let told = load(&[], &flags).expect_err("refused");
        assert!(told.len() == 1 && told[0].contains("different addresses"), "{told:?}");
        let free = || "127.0.0.1:0".to_string();
        load(&[], &[("public.listen", free()), ("admin.listen", free()), ("wire.listen", free())]).expect("good");
    }

    #[test]
    fn the_readme_has_this_table() {
        let readme = include_str!("config/README.md");
        assert!(
            readme.contains(&settings_as_markdown()),
            "put this into src/config/README.md:\n{}",
            settings_as_markdown()
        );
    }
}

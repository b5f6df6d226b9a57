//! The setting of the console, and the settings in force as it shows them.

use super::in_force::SettingInForce;
use super::setting::{Setting, ValueKind, setting};
use super::values::url;
use crate::failpoints::{Bug, enabled};

pub(super) const SETTINGS: &[Setting] = &[setting!(
    "console.prometheus_url",
    "",
    "URL",
    "Prometheus whose firing alerts the console shows, such as http://127.0.0.1:9090; if unset, the console compares gauges with the thresholds of the alerts",
    |c, t| c.prometheus_url = url(t.trim())?
)];

/// Returns a setting with the value that a layer gives it.
pub(super) fn in_force(setting: &'static Setting, value: &str, source: &str) -> SettingInForce {
    let Setting { key, default, unit, why, .. } = *setting;
    SettingInForce { key, default, unit, why, value: shown(setting, value), source: source.into() }
}

/// Returns a value without its secrets: names of files may be secrets that were typed in their place, and the paths of other
/// servers' URLs often are.
fn shown(setting: &Setting, value: &str) -> Option<String> {
    let value = value.trim();
    if value.is_empty() {
        return Some(String::new());
    }
    if setting.may_hold_secret(value) && !enabled(Bug::SecretSettingShown) {
        return None;
    }
    if setting.unit == "URL" && setting.kind() == ValueKind::Text && setting.key != "public_url" {
        let (scheme, rest) = value.split_once("://")?;
        let (host, path) = rest.split_once(['/', '?']).unwrap_or((rest, ""));
        let more = if path.is_empty() { "" } else { "/…" };
        return Some(format!("{scheme}://{host}{more}"));
    }
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, all_settings};

    fn in_force(flags: &[(&'static str, String)]) -> Vec<(&'static str, Option<String>, String)> {
        let config = Config::load(None, [], flags).expect("good");
        let shown = |one: &super::SettingInForce| (one.key, one.value.clone(), one.source.clone());
        config.in_force.iter().map(shown).collect()
    }

    #[test]
    fn every_setting_is_in_force_once_with_the_layer_that_set_it() {
        let found = in_force(&[("writer.queue_capacity", "2000".into())]);
        assert_eq!(found.len(), all_settings().count());
        let of = |key: &str| found.iter().find(|(known, _, _)| *known == key).cloned().expect("known");
        assert_eq!(of("writer.queue_capacity"), ("writer.queue_capacity", Some("2000".into()), "command line".into()));
        assert_eq!(of("public.listen"), ("public.listen", Some("127.0.0.1:8080".into()), "default".into()));
    }

    #[test]
    fn names_of_files_and_paths_of_urls_are_not_shown() {
        let found = in_force(&[
            ("challenge.secret_file", "TopSecret".into()),
            ("outbox.endpoint_secret_file", "TopSecret".into()),
            ("outbox.endpoint_url", "https://hooks.example/services/TopSecret".into()),
            ("challenge.siteverify_url", "https://challenge.example/siteverify/TopSecret".into()),
        ]);
        assert!(found.iter().all(|(_, value, _)| value.as_ref().is_none_or(|text| !text.contains("TopSecret"))));
        let of = |key: &str| found.iter().find(|(known, _, _)| *known == key).and_then(|(_, value, _)| value.clone());
        assert_eq!(of("outbox.endpoint_url").as_deref(), Some("https://hooks.example/…"));
        assert_eq!(of("challenge.secret_file"), None);
    }
}

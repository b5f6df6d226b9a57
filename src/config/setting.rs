//! A row of the table of settings.

use super::model::Config;

/// One setting: its key, its texts, and the function that sets it.
#[derive(Clone, Copy)]
pub struct Setting {
    /// Key in the TOML file, `section.name`.
    pub key: &'static str,
    pub default: &'static str,
    pub unit: &'static str,
    /// Meaning of the setting, and the reason of its default.
    pub why: &'static str,
    /// Parses a text into the configuration. The error is the expected form.
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
}

/// Makes a [`Setting`] of its texts and the assignment that sets it.
macro_rules! setting {
    ($key:literal, $default:literal, $unit:literal, $why:literal, |$config:ident, $text:ident| $set:expr) => {
        Setting {
            key: $key,
            default: $default,
            unit: $unit,
            why: $why,
            set: |$config, $text| {
                $set;
                Ok(())
            },
        }
    };
}

pub(super) use setting;

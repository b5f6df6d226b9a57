//! What a row of the table of settings is.

use super::Config;

/// One setting.
#[derive(Clone, Copy)]
pub struct Setting {
    /// Its key in the file, `section.name`.
    pub key: &'static str,
    /// Its default, as text.
    pub default: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Why it is there, and where its default comes from.
    pub why: &'static str,
    /// Sets it, or says what is allowed.
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
}

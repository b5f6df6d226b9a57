//! The settings in force, as operators see them.

use std::fmt;

/// A setting as it is in force, without any secret.
#[derive(Clone)]
pub struct SettingInForce {
    pub key: &'static str,
    pub default: &'static str,
    pub unit: &'static str,
    pub why: &'static str,
    /// The value as text; `None` where a secret may stand in it.
    pub value: Option<String>,
    /// The layer that set it: `default`, a file, an environment variable or the command line.
    pub source: String,
}

/// All settings in force, in the order of the table.
#[derive(Clone, Default)]
pub struct SettingsInForce(Vec<SettingInForce>);

/// Without the values: two configurations with the same values are the same, whatever set them.
impl fmt::Debug for SettingsInForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SettingsInForce")
    }
}

impl SettingsInForce {
    /// Notes the value that a layer sets. The value of an earlier layer is replaced.
    pub(super) fn note(&mut self, noted: SettingInForce) {
        match self.0.iter_mut().find(|known| known.key == noted.key) {
            Some(known) => *known = noted,
            None => self.0.push(noted),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &SettingInForce> {
        self.0.iter()
    }
}

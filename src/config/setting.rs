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

/// The type of a setting's value in the TOML file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ValueKind {
    Text,
    /// A number, or a word that stands for one.
    Number,
    Flag,
    Texts,
    Numbers,
}

impl Setting {
    /// Returns true if a secret may stand in a value, by mistake: where a file's name belongs, or as the user of a URL.
    pub(super) fn may_hold_secret(&self, value: &str) -> bool {
        self.unit == "file" || self.key.ends_with("_files") || (self.unit == "URL" && value.contains('@'))
    }

    /// Returns the type of the value. All units that are not named here count something.
    pub(super) fn kind(&self) -> ValueKind {
        match self.unit {
            "directory"
            | "file"
            | "address"
            | "URL"
            | "text"
            | "level"
            | "full, interval"
            | "starttls, implicit, none"
            | "text, json"
            | "none, zstd, gzip"
            | "suspected, new, verified, premium"
            | "stripe, payos, standard-webhooks, sandbox" => ValueKind::Text,
            "true, false" => ValueKind::Flag,
            "list" if self.default.starts_with(|first: char| first.is_ascii_digit()) => ValueKind::Numbers,
            "list" => ValueKind::Texts,
            _ => ValueKind::Number,
        }
    }
}

impl ValueKind {
    /// Returns the text that a value of the TOML file stands for, as other layers would write it.
    ///
    /// # Errors
    /// A description of the values of this type.
    pub(super) fn text_of(self, value: &toml::Value) -> Result<String, &'static str> {
        use toml::Value as V;
        match (self, value) {
            (ValueKind::Texts | ValueKind::Numbers, V::Array(items)) => {
                let items: Option<Vec<String>> = items.iter().map(|item| self.item_of(item)).collect();
                items.map(|items| items.join(",")).ok_or(self.expected())
            }
            // Environment variables and flags are texts, too.
            (_, V::String(text)) => Ok(text.clone()),
            (ValueKind::Number | ValueKind::Numbers, V::Integer(number)) => Ok(number.to_string()),
            (ValueKind::Flag, V::Boolean(flag)) => Ok(flag.to_string()),
            (_, V::Integer(_) | V::Float(_) | V::Boolean(_) | V::Datetime(_) | V::Array(_) | V::Table(_)) => {
                Err(self.expected())
            }
        }
    }

    /// Items are joined by commas, so an item must not have one.
    fn item_of(self, item: &toml::Value) -> Option<String> {
        match (self, item) {
            (ValueKind::Numbers, toml::Value::Integer(number)) => Some(number.to_string()),
            (_, toml::Value::String(text)) if !text.contains(',') => Some(text.clone()),
            _ => None,
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            ValueKind::Text => "a text in quotes",
            ValueKind::Number => "a whole number",
            ValueKind::Flag => "true or false",
            ValueKind::Texts => "a list of texts in quotes, without commas in them",
            ValueKind::Numbers => "a list of whole numbers",
        }
    }
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

//! Reading of TOML files, and values of theirs in messages.

use std::io::Read as _;
use std::path::Path;

use super::model::ConfigError;
use super::secret_file::open_regular;

/// Returns the words for a value that may be a secret.
pub(super) fn not_shown(text: &str) -> String {
    format!("(a value of {} bytes)", text.len())
}

/// Returns a text of an operator cut and escaped for one line of a terminal.
pub(super) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let cut = if text.chars().nth(CHARS_MAX).is_some() { "…" } else { "" };
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().take(CHARS_MAX).map(escape).collect::<String>() + cut
}

/// More than a settings file has.
const SETTINGS_BYTES_MAX: u64 = 1 << 20;

/// Reads a file of TOML.
///
/// # Errors
/// One line with the file's name, and the number of the line that is not TOML.
pub(super) fn toml_table(path: &Path) -> Result<toml::Table, ConfigError> {
    let source = path.display();
    let text = settings_text(path).map_err(|error| ConfigError(format!("{source}: {error}")))?;
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
        let line = before.matches('\n').count().saturating_add(1);
        let message = error.message().replace('\n', ", ");
        ConfigError(format!("{source}: line {line}: {message}"))
    })
}

/// Reads a settings file. A pipe, a device or a directory is refused and never waited for.
fn settings_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    open_regular(path)?.take(SETTINGS_BYTES_MAX.saturating_add(1)).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > SETTINGS_BYTES_MAX {
        return Err(std::io::Error::other(format!("larger than {SETTINGS_BYTES_MAX} bytes")));
    }
    Ok(text)
}

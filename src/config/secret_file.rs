//! Files that must not be everybody's.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Mistake;

/// What others than the owner must not be able to do with a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    /// Read or write it: it is a secret.
    Secret,
    /// Write it: whoever can put his own key there is believed.
    Unforgeable,
}

/// Reads a file whole, after a look at who else may.
///
/// # Errors
/// One sentence, without anything of the content.
pub fn read(path: &Path, guard: Guard, bytes_max: u64) -> Result<Vec<u8>, Mistake> {
    let told = |error: std::io::Error| Mistake(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(told)?;
    read_open(&file, path, guard, bytes_max)
}

/// The same with an open file: what is checked is what is read.
pub fn read_open(mut file: &File, path: &Path, guard: Guard, bytes_max: u64) -> Result<Vec<u8>, Mistake> {
    let told = |error: std::io::Error| Mistake(format!("{}: {error}", path.display()));
    let (mode, name) = (file.metadata().map_err(told)?.mode() & 0o777, path.display());
    let (forbidden, advice) = match guard {
        Guard::Secret => (0o077, "600"),
        Guard::Unforgeable => (0o022, "644"),
    };
    if mode & forbidden != 0 {
        let done = if guard == Guard::Secret { "read" } else { "written" };
        return Err(Mistake(format!(
            "{name}: may be {done} by others than its owner (mode {mode:03o}); chmod {advice} it"
        )));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(told)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(Mistake(format!("{name}: has more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

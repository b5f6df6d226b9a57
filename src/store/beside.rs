//! The note beside the data directory: which file the directory has. It survives the removal of the directory, after which
//! no empty file is created in its place.

use std::io;
use std::path::{Path, PathBuf};

use crate::types::hex;

/// Returns the path of the note, `DIR.firstcome`; `None` if the directory has no parent.
#[must_use]
pub fn path(directory: &Path) -> Option<PathBuf> {
    let whole = directory.canonicalize().ok()?;
    let name = format!("{}.firstcome", whole.file_name()?.to_string_lossy());
    Some(whole.parent()?.join(name))
}

/// Writes the note unless it is there. A directory above that is not writable has none: that is no reason to refuse.
pub fn write(directory: &Path, file_id: [u8; 16]) {
    let Some(path) = path(directory) else { return };
    let text = format!(
        "file {}\nThe directory {} has the database of this id. While this note is here, firstcome creates no empty\n\
         database in its place. To begin anew, delete the note.\n",
        hex::encode(&file_id),
        directory.display()
    );
    if std::fs::read_to_string(&path).is_ok_and(|found| found == text) {
        return;
    }
    if let Err(error) = std::fs::write(&path, text)
        && !matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    {
        tracing::warn!(%error, path = %path.display(), "note beside the data directory not written");
    }
}

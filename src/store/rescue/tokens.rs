//! Operators' tokens in a copy of a lost directory: their file as the server knew it last, and the memory that there was
//! one, without which a start takes every request to the admin listener for the owner's.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::store::StoreError;
use crate::store::beside::{self, OPERATORS_FILE, OPERATORS_LOCK_FILE};
use crate::store::ownership::open_private;

/// The tokens of the operators of a lost directory.
pub(super) struct RescuedTokens {
    /// Content of their file as it was known last.
    file: Option<String>,
    /// There were tokens, also if the server does not know them.
    had: bool,
}

impl RescuedTokens {
    /// Judges by the file, by the note beside the directory, which the command that makes a token writes, and by the
    /// directory, if it is still there.
    pub(super) fn of(directory: &Path, file: Option<String>) -> RescuedTokens {
        let locked = || fs::metadata(directory.join(OPERATORS_LOCK_FILE)).is_ok_and(|lock| lock.len() > 0);
        let had = file.is_some() || beside::had_tokens(directory) || locked();
        RescuedTokens { file, had }
    }

    pub(super) const fn had(&self) -> bool {
        self.had
    }

    /// Puts the tokens into a copy. One whose tokens are not known admits no operator.
    pub(super) fn write(&self, target: &Path) -> Result<(), StoreError> {
        if !self.had {
            return Ok(());
        }
        put(target, OPERATORS_LOCK_FILE, "1")?;
        self.file.as_deref().map_or(Ok(()), |file| put(target, OPERATORS_FILE, file))
    }

    /// Returns the command after which a copy into the directory `COPY` admits no operator without a token.
    pub(super) fn by_hand(&self) -> Option<String> {
        self.had.then(|| format!("printf 1 > COPY/{OPERATORS_LOCK_FILE}"))
    }
}

fn put(target: &Path, name: &str, text: &str) -> Result<(), StoreError> {
    let path = target.join(name);
    let written = open_private(&path).and_then(|file| {
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_all()
    });
    written.map_err(|source| StoreError::Io { path, source })
}

//! Operators' tokens beside a copy of the database: their file as it is known, and the memory that there was one, without
//! which a start takes every request to the admin listener for the owner's.

use std::fs;
use std::io::{Read, read_to_string};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::StoreError;
use super::beside::{self, OPERATORS_FILE, OPERATORS_LOCK_FILE};
use super::ownership::open_private;
use crate::config::secret_file::open_regular;

/// More than a file of tokens has.
const BYTES_MAX: u64 = 2 << 20;

/// The tokens of the operators of a directory whose database is copied or moved to another one.
pub(super) struct KeptTokens {
    /// Content of their file as it was known last.
    file: Option<String>,
    /// There were tokens, also if the server does not know them.
    had: bool,
}

impl KeptTokens {
    /// Judges by the file, by the note beside the directory, which the command that makes a token writes, and by the
    /// directory, if it is still there.
    pub(super) fn of(directory: &Path, file: Option<String>) -> KeptTokens {
        let locked = || fs::metadata(directory.join(OPERATORS_LOCK_FILE)).is_ok_and(|lock| lock.len() > 0);
        let had = file.is_some() || beside::had_tokens(directory) || locked();
        KeptTokens { file, had }
    }

    /// Returns the tokens of a directory in which no server runs.
    pub(super) fn in_directory(directory: &Path) -> KeptTokens {
        // A named pipe in its place is not waited for.
        let file = open_regular(&directory.join(OPERATORS_FILE)).and_then(|file| read_to_string(file.take(BYTES_MAX)));
        KeptTokens::of(directory, file.ok())
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
        // An interrupted attempt may have left a longer one.
        file.set_len(u64::try_from(text.len()).unwrap_or(0))?;
        file.sync_all()
    });
    written.map_err(|source| StoreError::Io { path, source })
}

//! Files that a report is written to: complete or not at all, for their owner alone.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::exit::Exit;
use crate::store::ownership::open_new_private;
use crate::types::random;

/// A file that gets its name once it is complete. Without that it is removed.
pub(super) struct NewFile {
    path: PathBuf,
    /// The name until then, in the same directory.
    partial: PathBuf,
    file: Option<BufWriter<File>>,
    replaces: bool,
}

impl NewFile {
    /// Makes a file beside `path`.
    ///
    /// # Errors
    /// 64 if there is one and it is not to be replaced; 73 or 77 if none can be made.
    pub(super) fn create(path: &Path, replaces: bool) -> Result<NewFile, Exit> {
        if path.is_dir() {
            return Err(Exit::usage(format!("{}: is a directory", path.display())));
        }
        if !replaces && path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
        let mut bits = [0u8; 4];
        random::fill(&mut bits);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:08x}.partial", u32::from_le_bytes(bits)));
        let partial = path.with_file_name(name);
        let file = open_new_private(&partial).map_err(|error| Exit::unwritten(path.display(), &error))?;
        Ok(NewFile { path: path.to_path_buf(), partial, file: Some(BufWriter::new(file)), replaces })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// 64 if another one has it by now; 73 if the disk has no room.
    pub(super) fn finish(mut self) -> Result<(), Exit> {
        let failed = |error: &std::io::Error| {
            let is_there = error.kind() == ErrorKind::AlreadyExists;
            if is_there { exists(&self.path) } else { Exit::unwritten(self.path.display(), error) }
        };
        let Some(file) = self.file.take() else { return Ok(()) };
        let file = file.into_inner().map_err(|error| failed(error.error()))?;
        file.sync_all().map_err(|error| failed(&error))?;
        if self.replaces {
            return std::fs::rename(&self.partial, &self.path).map_err(|error| failed(&error));
        }
        // A link does not take the place of a file that came meanwhile. The first name is removed at the end.
        std::fs::hard_link(&self.partial, &self.path).map_err(|error| failed(&error))
    }

    /// Makes the end of a command that could not write to the file.
    #[must_use]
    pub(super) fn unwritten(&self, error: &std::io::Error) -> Exit {
        Exit::unwritten(self.path.display(), error)
    }
}

/// Makes the end of a command that would replace a file.
pub(super) fn exists(path: &Path) -> Exit {
    Exit::usage(format!("{}: exists already; --overwrite replaces it", path.display()))
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _removed_before = std::fs::remove_file(&self.partial);
    }
}

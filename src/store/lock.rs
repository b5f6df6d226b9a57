//! The lock of the data directory: one process per file, until the process ends.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::StoreError;
use super::ownership::{self, create_private_directory, open_private};

/// Lock file inside the data directory.
pub const LOCK_FILE: &str = "firstcome.lock";

/// Network file systems by their `statfs(2)` type. Their locks depend on another machine.
const NETWORK: &[(u64, &str)] = &[(0x6969, "NFS"), (0x517b, "SMB"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB 2")];

/// Exclusive use of a data directory.
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Creates the directory if only its last component is missing, locks it, and writes the process id into the lock.
    ///
    /// # Errors
    /// If the directory cannot be used, or another process has it.
    pub fn take(directory: &Path) -> Result<DirectoryLock, StoreError> {
        make_directory(directory)?;
        refuse_network(directory)?;
        let path = directory.join(LOCK_FILE);
        let refuse = |source| StoreError::Directory { path: path.clone(), source };
        ownership::check(directory)?;
        let mut file = open_private(&path).map_err(refuse)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _unreadable = file.read_to_string(&mut holder);
                return Err(StoreError::InUse { path, holder: holder.trim().to_string() });
            }
            Err(TryLockError::Error(error)) => return Err(refuse(error)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(refuse)?;
        // The process id informs operators only: on a full disk it may be missing, and the lock holds anyway.
        let _unwritten = writeln!(file, "{}", std::process::id());
        Ok(DirectoryLock { _file: file })
    }
}

/// Waits until the names in a directory are on the disk.
pub fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    let synced = File::open(directory).and_then(|open| open.sync_all());
    synced.map_err(|source| StoreError::Io { path: directory.to_path_buf(), source })
}

fn make_directory(directory: &Path) -> Result<(), StoreError> {
    let refuse = |source| StoreError::Directory { path: directory.to_path_buf(), source };
    match create_private_directory(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        Err(error) => Err(refuse(error)),
    }
}

fn refuse_network(directory: &Path) -> Result<(), StoreError> {
    let Ok(found) = rustix::fs::statfs(directory) else { return Ok(()) };
    let magic = u64::try_from(found.f_type).unwrap_or(0);
    match NETWORK.iter().find(|(known, _)| *known == magic) {
        Some((_, kind)) => Err(StoreError::Network { path: directory.to_path_buf(), kind }),
        None => Ok(()),
    }
}

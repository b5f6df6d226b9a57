//! The lock of the data directory: one process per file, until the process ends.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::StoreError;
use super::ownership::{self, create_data_directory, open_private};

/// Lock file inside the data directory.
pub const LOCK_FILE: &str = "firstcome.lock";

/// Network file systems by their `statfs(2)` type. Their locks depend on another machine.
const NETWORK: &[(u64, &str)] = &[(0x6969, "NFS"), (0x517b, "SMB"), (0xff53_4d42, "CIFS"), (0xfe53_4d42, "SMB 2")];

/// A process that ends, or a tool that finds nothing to do, releases the lock within this time. A refusal ends a server for
/// good: a supervisor does not start it again.
const WAIT_MAX: Duration = Duration::from_secs(1);
const WAIT_STEP: Duration = Duration::from_millis(20);

/// Exclusive use of a data directory.
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Creates the directory if only its last component is missing, locks it, and writes who has it into the lock.
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
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if began.elapsed() < WAIT_MAX => std::thread::park_timeout(WAIT_STEP),
                Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path, holder: holder(&mut file) }),
                Err(TryLockError::Error(error)) => return Err(refuse(error)),
            }
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(refuse)?;
        // It informs operators only: on a full disk it may be missing, and the lock holds anyway.
        let _unwritten = writeln!(file, "{} {} {}", std::process::id(), pid_namespace(), host_name());
        Ok(DirectoryLock { _file: file })
    }
}

/// Describes the process that has the lock. Its id is missing for a moment after it took the lock, and on a full disk. In
/// another container it is the id of something else here.
fn holder(file: &mut File) -> String {
    let mut written = String::new();
    if file.read_to_string(&mut written).is_err() {
        return "another process".into();
    }
    let mut words = written.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (None, ..) => "another process".into(),
        (Some(id), Some(namespace), host) if namespace != pid_namespace() => {
            let host = host.unwrap_or("unknown");
            format!("process {id} of another container (host name {host}, pid namespace {namespace})")
        }
        (Some(id), ..) => format!("process {id}"),
    }
}

/// Returns the namespace in which this process has its id, `pid:[4026531836]`; a minus sign if it cannot be read.
fn pid_namespace() -> String {
    let read = std::fs::read_link("/proc/self/ns/pid");
    read.map_or_else(|_| "-".into(), |name| name.display().to_string())
}

/// Returns the name of this host, in a container usually the container's id.
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().into()
}

/// Waits until the names in a directory are on the disk.
pub fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    let synced = File::open(directory).and_then(|open| open.sync_all());
    synced.map_err(|source| StoreError::Io { path: directory.to_path_buf(), source })
}

fn make_directory(directory: &Path) -> Result<(), StoreError> {
    let refuse = |source| StoreError::Directory { path: directory.to_path_buf(), source };
    match create_data_directory(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        Err(error) => match std::fs::read_link(directory) {
            Ok(target) => {
                let what = format!("it is a link to {}, and there is no directory", target.display());
                Err(refuse(std::io::Error::other(what)))
            }
            Err(_) => Err(refuse(error)),
        },
    }
}

/// Refuses a directory in which no database can be opened or made: what [`DirectoryLock::take`] refuses but the lock of another
/// process. Nothing is changed.
pub(super) fn check_place(directory: &Path) -> Result<(), StoreError> {
    let refuse = |source| StoreError::Directory { path: directory.to_path_buf(), source };
    if std::fs::symlink_metadata(directory).is_ok() {
        refuse_network(directory)?;
        return ownership::check(directory);
    }
    // `data` alone has an empty parent: the current directory.
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    refuse_network(parent)?;
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(parent, access).map_err(|error| refuse(error.into()))
}

fn refuse_network(directory: &Path) -> Result<(), StoreError> {
    let Ok(found) = rustix::fs::statfs(directory) else { return Ok(()) };
    let magic = u64::try_from(found.f_type).unwrap_or(0);
    match NETWORK.iter().find(|(known, _)| *known == magic) {
        Some((_, kind)) => Err(StoreError::Network { path: directory.to_path_buf(), kind }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_waits_for_a_process_that_is_about_to_release_the_lock() {
        let scratch = tempfile::tempdir().expect("scratch");
        let tool = DirectoryLock::take(scratch.path()).expect("taken");
        std::thread::scope(|scope| {
            let start = scope.spawn(|| DirectoryLock::take(scratch.path()).map(drop));
            std::thread::park_timeout(5 * WAIT_STEP);
            drop(tool);
            start.join().expect("no panic").expect("taken");
        });
    }

    #[test]
    fn a_refusal_names_the_process_as_far_as_its_id_is_known() {
        let scratch = tempfile::tempdir().expect("scratch");
        let _server = DirectoryLock::take(scratch.path()).expect("taken");
        let written = std::fs::read_to_string(scratch.path().join(LOCK_FILE)).expect("read");
        let host = std::process::Command::new("uname").arg("-n").output().expect("run").stdout;
        let host = String::from_utf8(host).expect("a text");
        assert!(written.trim_end().ends_with(&format!(" {}", host.trim_end())), "{written}");
        let refusal = || DirectoryLock::take(scratch.path()).err().expect("refused").to_string();
        let known = format!("is locked by process {}; only one server", std::process::id());
        let told = refusal();
        assert!(told.contains(&known), "{told}");
        // As a server in a container has it, to which another container or the host has the same volume.
        std::fs::write(scratch.path().join(LOCK_FILE), "1 pid:[4026532201] 5d1f9e0c2a77\n").expect("written");
        let told = refusal();
        let of_another = "is locked by process 1 of another container (host name 5d1f9e0c2a77, pid namespace pid:[4026532201]); only";
        assert!(told.contains(of_another), "{told}");
        std::fs::write(scratch.path().join(LOCK_FILE), "4711\n").expect("written by an older version");
        let told = refusal();
        assert!(told.contains("is locked by process 4711; only"), "{told}");
        std::fs::write(scratch.path().join(LOCK_FILE), "").expect("cut");
        let told = refusal();
        assert!(told.contains("is locked by another process; only one server"), "{told}");
    }
}

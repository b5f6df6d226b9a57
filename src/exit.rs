//! Exit codes of the program, by their names in sysexits(3). `TABLE` is the single list: `--help`, the table of exit codes
//! in the documentation and `scripts/firstcome.service` are held against it by tests.

use std::fmt::{Display, Write as _};
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;

/// Exit code 0.
pub const OK: u8 = 0;
/// Exit code 1: a check failed, or a difference was found.
pub const FAILED: u8 = 1;
/// Exit code 64, `EX_USAGE`.
pub const USAGE: u8 = 64;
/// Exit code 65, `EX_DATAERR`.
pub const BAD_DATA: u8 = 65;
/// Exit code 66, `EX_NOINPUT`.
pub const MISSING: u8 = 66;
/// Exit code 69, `EX_UNAVAILABLE`.
pub const UNAVAILABLE: u8 = 69;
/// Exit code 70, `EX_SOFTWARE`.
pub const BUG: u8 = 70;
/// Exit code 71, `EX_OSERR`.
pub const SYSTEM: u8 = 71;
/// Exit code 72, `EX_OSFILE`.
pub const FILE_LOST: u8 = 72;
/// Exit code 73, `EX_CANTCREAT`.
pub const CANNOT_CREATE: u8 = 73;
/// Exit code 74, `EX_IOERR`.
pub const DISK: u8 = 74;
/// Exit code 77, `EX_NOPERM`.
pub const DENIED: u8 = 77;
/// Exit code 78, `EX_CONFIG`.
pub const CONFIG: u8 = 78;
/// Exit code 130: 128 and the number of SIGINT, as shells report it.
pub const INTERRUPTED: u8 = 130;

/// A row of the table of exit codes.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub code: u8,
    /// Name in sysexits(3); empty for codes outside of it.
    pub name: &'static str,
    /// One line of at most 73 characters, so that the help needs no wrapping at 80 columns.
    pub meaning: &'static str,
    /// A supervisor starts the server again after this code.
    pub restarts: bool,
}

const fn row(code: u8, name: &'static str, restarts: bool, meaning: &'static str) -> Row {
    Row { code, name, meaning, restarts }
}

/// All exit codes, in ascending order.
pub const TABLE: [Row; 14] = [
    row(OK, "EX_OK", false, "finished; a server has decided and committed all it accepted"),
    row(FAILED, "", false, "a check failed, or a difference was found"),
    row(USAGE, "EX_USAGE", false, "wrong arguments, settings or data directory; one line per mistake"),
    row(BAD_DATA, "EX_DATAERR", false, "the file is damaged, incomplete, foreign or of another schema version"),
    row(MISSING, "EX_NOINPUT", false, "the file is missing"),
    row(UNAVAILABLE, "EX_UNAVAILABLE", false, "a port is in use; for tools: the server is unreachable or refuses"),
    row(BUG, "EX_SOFTWARE", true, "a bug; the batch in progress was rolled back"),
    row(SYSTEM, "EX_OSERR", true, "the operating system refused a thread, a signal handler or similar"),
    row(FILE_LOST, "EX_OSFILE", false, "a file of the data directory was removed, moved, replaced or cut"),
    row(CANNOT_CREATE, "EX_CANTCREAT", false, "another process uses the file, or an output file cannot be written"),
    row(DISK, "EX_IOERR", false, "a disk fault, now or earlier: run `firstcome recover` before a reboot"),
    row(DENIED, "EX_NOPERM", false, "this user may not use a file of the data directory: its owner or mode"),
    row(CONFIG, "EX_CONFIG", false, "the wall clock is far off (--accept-clock), or a cluster refuses a start"),
    row(INTERRUPTED, "", true, "ended at once by a second SIGTERM or SIGINT; acknowledged orders are kept"),
];

/// The table for `--help`.
#[must_use]
pub fn help() -> String {
    let mut text = String::from("Exit codes:");
    for Row { code, meaning, .. } in TABLE {
        let _infallible = write!(text, "\n  {code:<3}  {meaning}");
    }
    text
}

/// An unsuccessful end of a command.
#[derive(Debug)]
pub struct Exit {
    /// Exit code of the process, one of `TABLE`.
    pub code: u8,
    /// Lines for the operator: what failed, on which file or address, and what to do.
    pub message: String,
}

impl Exit {
    #[must_use]
    pub fn new(code: u8, message: impl Into<String>) -> Exit {
        Exit { code, message: message.into() }
    }

    #[must_use]
    pub fn failed(message: impl Into<String>) -> Exit {
        Exit::new(FAILED, message)
    }

    #[must_use]
    pub fn usage(message: impl Into<String>) -> Exit {
        Exit::new(USAGE, message)
    }

    #[must_use]
    pub fn bad_data(message: impl Into<String>) -> Exit {
        Exit::new(BAD_DATA, message)
    }

    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Exit {
        Exit::new(UNAVAILABLE, message)
    }

    #[must_use]
    pub fn bug(message: impl Into<String>) -> Exit {
        Exit::new(BUG, message)
    }

    #[must_use]
    pub fn system(message: impl Into<String>) -> Exit {
        Exit::new(SYSTEM, message)
    }

    #[must_use]
    pub fn cannot_create(message: impl Into<String>) -> Exit {
        Exit::new(CANNOT_CREATE, message)
    }

    /// Describes a file of this name that could not be made or written, with the next step if the system's words say too
    /// little. Where the name is at fault and not the disk, it is a wrong argument.
    #[must_use]
    pub fn unwritten(name: impl Display, error: &io::Error) -> Exit {
        let code = if error.kind() == ErrorKind::PermissionDenied {
            DENIED
        } else if is_of_the_disk(error) {
            CANNOT_CREATE
        } else {
            USAGE
        };
        Exit::new(code, format!("{name}: {error}{}", next_step(error)))
    }

    #[must_use]
    pub fn disk(message: impl Into<String>) -> Exit {
        Exit::new(DISK, message)
    }

    /// A cluster that must be put in order before a node of it starts.
    #[must_use]
    pub fn cluster(message: impl Into<String>) -> Exit {
        Exit::new(CONFIG, message)
    }

    #[must_use]
    pub fn clock(message: impl Into<String>) -> Exit {
        Exit::new(CONFIG, message)
    }
}

/// Returns true for an error that no other name of a file would mend: no room, a limit, a read-only file system, a fault.
#[must_use]
pub fn is_of_the_disk(error: &io::Error) -> bool {
    let kinds =
        [ErrorKind::FileTooLarge, ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::ReadOnlyFilesystem];
    kinds.contains(&error.kind()) || error.raw_os_error() == Some(libc::EIO)
}

/// Returns what to do about an error of the system, where its words alone say too little.
#[must_use]
pub fn next_step(error: &io::Error) -> &'static str {
    const STEPS: [(ErrorKind, &str); 4] = [
        (ErrorKind::FileTooLarge, "; raise the limit on the sizes of files (`ulimit -f`, `LimitFSIZE` of the unit)"),
        (ErrorKind::StorageFull, "; free space on its disk"),
        (ErrorKind::QuotaExceeded, "; free space within the quota of this user"),
        (ErrorKind::ReadOnlyFilesystem, "; mount its file system read-write"),
    ];
    STEPS.into_iter().find(|(kind, _)| *kind == error.kind()).map_or("", |(_, step)| step)
}

/// Ends the process without running anything more: no destructor, no handler, no flush. The end after a storage fault:
/// closing the database could write to it.
pub fn exit_now(code: u8) -> ! {
    #[expect(unsafe_code, reason = "_exit is the only call that runs nothing; it takes a number and cannot fail")]
    unsafe {
        libc::_exit(i32::from(code))
    }
}

/// Unblocks all signals for this thread and those that it starts.
pub fn unblock_signals() {
    let mut all = MaybeUninit::uninit();
    #[expect(unsafe_code, reason = "the set is filled before it is read, and neither call keeps its address")]
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_UNBLOCK, all.as_ptr(), std::ptr::null_mut());
    }
}

/// Makes a write beyond the limit on file sizes (`ulimit -f`) fail with an error that names its file, instead of ending the
/// process.
pub fn ignore_file_size_signal() {
    #[expect(unsafe_code, reason = "the call takes two numbers, and no handler is installed")]
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_meanings_fit_the_help() {
        assert!(TABLE.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert!(help().lines().all(|line| line.len() <= 80), "{}", help());
    }

    #[test]
    fn a_file_without_room_is_73_with_the_next_step_and_a_wrong_path_64() {
        let of = |errno| Exit::unwritten("/a/file", &io::Error::from_raw_os_error(errno));
        for errno in [libc::EFBIG, libc::ENOSPC, libc::EDQUOT, libc::EROFS] {
            let Exit { code, message } = of(errno);
            assert!(code == CANNOT_CREATE && message.starts_with("/a/file: "), "{message}");
            assert!(message.contains("); "), "a next step: {message}");
        }
        assert_eq!(of(libc::EIO).code, CANNOT_CREATE);
        assert_eq!(of(libc::EACCES).code, DENIED);
        assert_eq!([libc::ENOENT, libc::ENOTDIR, libc::EISDIR].map(|errno| of(errno).code), [USAGE; 3]);
    }
}

//! The only module that prints. A closed pipe ends the output quietly: `firstcome … | head` is no error. Any other failure is
//! kept for the end of the command: a result on a full disk is no result.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use parking_lot::Mutex;

/// First failure of standard output that is not a closed pipe.
static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints a line to standard output: the result of the command.
pub fn line(text: impl Display) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = writeln!(stdout, "{text}").and_then(|()| stdout.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        FAILURE.lock().get_or_insert(error);
    }
}

/// Prints a line that exists nowhere else, such as a secret, and waits until it is delivered: a closed pipe is an error, and
/// so is a disk that has no space for it.
///
/// # Errors
/// If the line may not have arrived.
pub fn secret(text: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()?;
    let file = File::from(stdout.as_fd().try_clone_to_owned()?);
    // A terminal and a pipe have nothing to sync.
    if file.metadata()?.is_file() { file.sync_all() } else { Ok(()) }
}

/// Returns the failure of standard output, if a line was lost by another reason than a closed pipe.
#[must_use]
pub fn failure() -> Option<io::Error> {
    FAILURE.lock().take()
}

/// Prints a line to standard error: notes and errors for the person at the terminal.
pub fn note(text: impl Display) {
    let _closed_pipe = writeln!(std::io::stderr().lock(), "{text}");
}

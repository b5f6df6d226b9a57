//! The only module that prints. A closed pipe ends the output quietly: `firstcome … | head` is no error.

use std::fmt::Display;
use std::io::Write;

/// Prints a line to standard output: the result of the command.
pub fn line(text: impl Display) {
    let _closed_pipe = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a line to standard error: notes and errors for the person at the terminal.
pub fn note(text: impl Display) {
    let _closed_pipe = writeln!(std::io::stderr().lock(), "{text}");
}

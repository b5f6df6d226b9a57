//! The one place that prints. A closed pipe ends the output quietly: `firstcome … | head` is no error.

use std::io::Write;

/// A line on standard output: what the command was asked for.
pub fn line(text: impl std::fmt::Display) {
    let _closed_pipe = writeln!(std::io::stdout().lock(), "{text}");
}

/// A line on standard error: notes for the person at the terminal.
pub fn note(text: impl std::fmt::Display) {
    let _closed_pipe = writeln!(std::io::stderr().lock(), "{text}");
}

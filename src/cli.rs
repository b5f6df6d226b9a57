//! The command line: one file per subcommand.

pub mod output;
pub mod rush;

/// How a subcommand ends when it does not end well: one line for the operator, and the exit code (design section 9).
#[derive(Debug)]
pub struct Exit {
    /// The exit code of the process.
    pub code: u8,
    /// What happened, to what, and what to do: one line each.
    pub message: String,
}

impl Exit {
    /// An exit with a code and a line.
    #[must_use]
    pub fn new(code: u8, message: impl Into<String>) -> Exit {
        Exit { code, message: message.into() }
    }
}

//! Parses the arguments, runs the subcommand and reports its exit code.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use firstcome::cli::{self, Arguments};
use firstcome::exit::{self, Exit};
use firstcome::output;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A mask of blocked signals is inherited: SIGTERM would never end the server in order. Before any other thread.
    exit::unblock_signals();
    exit::ignore_file_size_signal();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            if !error.use_stderr() {
                let printed = error.print().err().filter(|error| error.kind() != std::io::ErrorKind::BrokenPipe);
                return printed.map_or(ExitCode::SUCCESS, |error| end(&cli::unprinted(&error)));
            }
            if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
                let _closed_pipe = error.print();
            } else {
                output::note(format!("firstcome: {}", cli::one_line(&error.to_string())));
            }
            return ExitCode::from(exit::USAGE);
        }
    };
    match cli::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => end(&exit),
    }
}

/// Reports an unsuccessful end.
fn end(exit: &Exit) -> ExitCode {
    for line in exit.message.lines() {
        output::note(format!("firstcome: {line}"));
    }
    ExitCode::from(exit.code)
}

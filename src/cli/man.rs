//! `firstcome man`: the man pages.

use std::io;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory as _};
use clap_mangen::Man;

use super::Arguments;
use crate::exit::{self, Exit};
use crate::output;

const EXAMPLES: &str = "Examples:
  firstcome man | man -l -                     read it
  firstcome man serve | man -l -               the page of one command
  firstcome man --to /usr/local/share/man/man1 write firstcome.1 and a page for each command";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ManArgs {
    /// Command to print the page of, such as `serve` or `cluster join`; the program by default
    #[arg(value_name = "COMMAND", conflicts_with = "to")]
    command: Vec<String>,
    /// Write all pages into this directory instead of printing one
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Prints a page, or writes all of them.
///
/// # Errors
/// 64 if there is no such command; 73 if a page cannot be written.
pub fn run(args: &ManArgs) -> Result<(), Exit> {
    let mut program = Arguments::command();
    if let Some(directory) = &args.to {
        return clap_mangen::generate_to(program, directory).map_err(|error| {
            let place = directory.display();
            Exit::cannot_create(format!("{place}: the pages could not be written: {error}{}", exit::next_step(&error)))
        });
    }
    program.build();
    let mut found = &program;
    for name in &args.command {
        found = found.find_subcommand(name).ok_or_else(|| {
            Exit::usage(format!("there is no command `{}`: see firstcome --help", args.command.join(" ")))
        })?;
    }
    let page = page(found).map_err(|error| Exit::bug(format!("the man page could not be made: {error}")))?;
    output::line(String::from_utf8_lossy(&page).trim_end());
    Ok(())
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

//! The command line: one file per subcommand.

pub mod leave;
pub mod migrate;
pub mod openapi;
pub mod preflight;
pub mod recover;
pub mod replay;
pub mod rush;
pub mod serve;
pub mod token;
pub mod top;
mod traces;
pub mod undo;
pub mod verify;
pub mod wire;

use clap::{Parser, Subcommand};

use crate::exit::{self, Exit};

/// First come, first served: an inventory engine for limited drops and flash sales. One program, one SQLite file.
#[derive(Parser, Debug)]
#[command(name = "firstcome", version, about, after_help = after_help(), max_term_width = 110)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  firstcome serve --demo              a server with a drop to play with
  firstcome rush                      100,000 buyers storm 10,000 units of a new drop of it
  firstcome verify                    prove from the file that nothing was oversold";

fn after_help() -> String {
    format!("{EXAMPLES}\n\n{}", exit::help())
}

/// What the program can do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Sell: run the server
    Serve(serve::ServeArgs),
    /// Storm: many buyers on few units over real HTTP, and a count at the end
    Rush(rush::RushArgs),
    /// Prove: recount everything in the file
    Verify(verify::VerifyArgs),
    /// Once more: run a capture through an engine and compare
    Replay(replay::ReplayArgs),
    /// Talk: the binary protocol in words
    Wire(wire::WireArgs),
    /// Undo the last orders of a drop: list them, then cancel and refund them
    #[command(name = "remedy", visible_alias = "undo-orders")]
    Undo(undo::UndoArgs),
    /// Before the sale: look at server, machine and watchers, and say what is not ready
    Preflight(preflight::PreflightArgs),
    /// Watch: a running server's essentials, live in a terminal
    Top(top::TopArgs),
    /// Who operates: make, list and take back operators' tokens
    Token(token::TokenArgs),
    /// After a fault of the disk: save what can be read into a new file
    Recover(recover::RecoverArgs),
    /// Copy a file of an older version over to this one
    Migrate(migrate::MigrateArgs),
    /// Describe: print the OpenAPI document of the HTTP interface
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApiArgs),
}

/// Runs a command.
///
/// # Errors
/// How it ended, if not well.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    match arguments.command {
        Command::Serve(args) => serve::run(args),
        Command::Rush(args) => rush::run(args),
        Command::Verify(args) => verify::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Wire(args) => wire::run(&args),
        Command::Undo(args) => undo::run(&args),
        Command::Preflight(args) => preflight::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Recover(args) => recover::run(&args),
        Command::Migrate(args) => migrate::run(&args),
        Command::OpenApi(_) => {
            openapi::run();
            Ok(())
        }
    }
}

/// clap's paragraphs about wrong arguments as one line: what is wrong and what may be meant. `--help` shows the rest.
#[must_use]
pub fn one_line(told: &str) -> String {
    let paragraphs = told.split("\n\n").take_while(|paragraph| !paragraph.starts_with("Usage:"));
    let lines = paragraphs.map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let line = lines.collect::<Vec<_>>().join("; ");
    format!("{} (--help shows what is possible)", line.strip_prefix("error: ").unwrap_or(&line))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn told(line: &str) -> clap::Error {
        let arguments = std::iter::once("firstcome").chain(line.split_whitespace());
        Arguments::try_parse_from(arguments).map(|_| ()).expect_err("no command to run")
    }

    #[test]
    fn clap_finds_no_fault_with_the_arguments() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn wrong_arguments_are_one_line() {
        for (line, part) in [
            ("sell", "unrecognized subcommand 'sell'"),
            ("serve --colour red", "unexpected argument '--colour'"),
            ("serve --pubic 127.0.0.1:1", "'--public'"),
            ("serve --data", "a value is required for '--data <DIR>'"),
            ("verify --demo", "unexpected argument '--demo'"),
        ] {
            let shown = one_line(&told(line).to_string());
            assert!(shown.contains(part) && !shown.contains('\n') && !shown.contains("Usage"), "{line}: {shown}");
        }
    }

    #[test]
    fn every_help_has_an_example() {
        for command in [
            "",
            "serve ",
            "rush ",
            "verify ",
            "replay ",
            "recover ",
            "remedy ",
            "migrate ",
            "openapi ",
            "wire ",
            "preflight ",
            "top ",
            "token ",
            "token create ",
            "token list ",
            "token revoke ",
        ] {
            let line = format!("{command}--help");
            let help = told(&line).to_string();
            assert!(help.contains("Examples:\n  firstcome "), "{line}: {help}");
        }
    }
}

//! The command line: arguments and output, one file per subcommand.

pub mod auction;
pub mod backup;
pub mod buyer;
pub mod cluster;
pub mod completions;
pub mod draw;
pub mod drop;
pub mod endpoint;
pub mod explain;
pub mod health;
pub mod mail;
pub mod man;
pub mod migrate;
pub mod openapi;
pub mod order;
pub mod preflight;
pub mod reconcile;
pub mod recover;
pub mod replay;
pub mod report;
pub mod restore;
pub mod route;
pub mod rush;
pub mod serve;
mod service_manager;
mod signals;
pub mod token;
pub mod top;
pub mod undo;
pub mod verbs;
pub mod verify;
pub mod wire;

use clap::{Parser, Subcommand};

use crate::exit::{self, Exit};
use crate::output;
use crate::types::version::VERSION_AND_REVISION;

/// First come, first served: an inventory engine for limited drops and flash sales. One program, one SQLite file.
#[derive(Parser, Debug)]
#[command(name = "firstcome", version = VERSION_AND_REVISION, about, after_help = after_help(), max_term_width = 110)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: CliCommand,
}

const EXAMPLES: &str = "Examples:
  firstcome serve --demo              run a server with a demo drop
  firstcome rush                      send it 100,000 buyers for 10,000 units of a new drop
  firstcome verify                    prove from the file that nothing was oversold";

fn after_help() -> String {
    format!("{EXAMPLES}\n\n{}", exit::help())
}

#[derive(Subcommand, Debug)]
pub enum CliCommand {
    /// Run the server: sell over HTTP and the wire protocol
    Serve(serve::ServeArgs),
    /// Generate load: many buyers for few units over real HTTP, and a check at the end
    Rush(Box<rush::RushArgs>),
    /// Verify a database: recount everything in the file
    Verify(verify::VerifyArgs),
    /// Run a capture through an engine or against a server, and compare
    Replay(replay::ReplayArgs),
    /// Send commands typed as text over the wire protocol
    Wire(wire::WireArgs),
    /// Create, list, show, pause, resume, close and clone drops, and change their stock
    Drop(drop::DropArgs),
    /// List, show, search and refund orders, and settle refunds
    Order(order::OrderArgs),
    /// Explain what happened to an order or a buyer, or why a request was refused
    Explain(explain::ExplainArgs),
    /// Report on a drop's sale: one page of pictures and figures, JSON or CSV
    Report(report::ReportArgs),
    /// Compare the payments with an export of the payment provider
    Reconcile(reconcile::ReconcileArgs),
    /// Verify the draw of a drop's waiting room
    Draw(draw::DrawArgs),
    /// Create, list and cancel auctions
    Auction(auction::AuctionArgs),
    /// Create and list webhook endpoints, list failed deliveries, deliver again
    Endpoint(endpoint::EndpointArgs),
    /// Read, set and remove the tiers of buyers
    Buyer(buyer::BuyerArgs),
    /// Undo the last orders of a drop: list them, then cancel and refund them
    #[command(name = "remedy", visible_alias = "undo-orders")]
    Undo(undo::UndoArgs),
    /// Check before a sale that the server, its machine and its monitoring are ready
    Preflight(preflight::PreflightArgs),
    /// Watch a running server in the terminal
    Top(top::TopArgs),
    /// Ask a running server whether it is alive, or ready for traffic
    Health(health::HealthArgs),
    /// Run on several machines: make the log of a cluster, show its state, make its key
    Cluster(cluster::ClusterArgs),
    /// Be the front for the nodes of several shards: send each request to its shard
    Route(route::RouteArgs),
    /// Create, list and revoke operators' tokens
    Token(token::TokenArgs),
    /// Back up a running server's database, and verify the copy
    Backup(backup::BackupArgs),
    /// Put a backup into a data directory
    Restore(restore::RestoreArgs),
    /// After a disk fault: save the readable data into a new file
    Recover(recover::RecoverArgs),
    /// Migrate the file of an older version to this one
    Migrate(migrate::MigrateArgs),
    /// Print the OpenAPI document of the HTTP interface
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApiArgs),
    /// Preview the mails to buyers
    Mail(mail::MailArgs),
    /// Print the completions of a shell
    Completions(completions::CompletionsArgs),
    /// Print the man page, or write all man pages
    Man(man::ManArgs),
}

/// Runs a subcommand.
///
/// # Errors
/// The exit code and the lines for the operator.
pub fn run(arguments: Arguments) -> Result<(), Exit> {
    run_command(arguments.command)?;
    output::failure().map_or(Ok(()), |error| Err(unprinted(&error)))
}

/// Returns the end of a command whose result did not reach standard output.
#[must_use]
pub fn unprinted(error: &std::io::Error) -> Exit {
    Exit::cannot_create(format!(
        "the command has done its work, and its result could not be written to standard output: {error}{}",
        exit::next_step(error)
    ))
}

fn run_command(command: CliCommand) -> Result<(), Exit> {
    match command {
        CliCommand::Serve(args) => {
            let ended = serve::run(args);
            // Its addresses are in the log as well.
            let _banner_lost = output::failure();
            ended
        }
        CliCommand::Rush(args) => rush::run(*args),
        CliCommand::Verify(args) => verify::run(&args),
        CliCommand::Replay(args) => replay::run(&args),
        CliCommand::Wire(args) => wire::run(&args),
        CliCommand::Drop(args) => drop::run(&args),
        CliCommand::Order(args) => order::run(&args),
        CliCommand::Explain(args) => explain::run(&args),
        CliCommand::Report(args) => report::run(&args),
        CliCommand::Reconcile(args) => reconcile::run(&args),
        CliCommand::Draw(args) => draw::run(&args),
        CliCommand::Auction(args) => auction::run(&args),
        CliCommand::Endpoint(args) => endpoint::run(&args),
        CliCommand::Buyer(args) => buyer::run(&args),
        CliCommand::Undo(args) => undo::run(&args),
        CliCommand::Preflight(args) => preflight::run(&args),
        CliCommand::Top(args) => top::run(&args),
        CliCommand::Health(args) => health::run(&args),
        CliCommand::Cluster(args) => cluster::run(&args),
        CliCommand::Route(args) => route::run(&args),
        CliCommand::Token(args) => token::run(&args),
        CliCommand::Backup(args) => backup::run(&args),
        CliCommand::Restore(args) => restore::run(&args),
        CliCommand::Recover(args) => recover::run(&args),
        CliCommand::Migrate(args) => migrate::run(&args),
        CliCommand::OpenApi(_) => {
            openapi::run();
            Ok(())
        }
        CliCommand::Mail(args) => mail::run(&args),
        CliCommand::Completions(args) => completions::run(&args),
        CliCommand::Man(args) => man::run(&args),
    }
}

/// Joins clap's paragraphs about wrong arguments into one line: the mistake, the suggestions and where to read on.
#[must_use]
pub fn one_line(error: &str) -> String {
    let paragraphs = error.split("\n\n").take_while(|paragraph| {
        let paragraph = paragraph.trim_start();
        !paragraph.starts_with("Usage:") && !paragraph.starts_with("For more information")
    });
    let lines = paragraphs.map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let line = lines.collect::<Vec<_>>().join("; ");
    format!("{} (see --help)", line.strip_prefix("error: ").unwrap_or(&line))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn error_of(line: &str) -> clap::Error {
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
            ("rush --buyers=-3", "-3 is not in 1..="),
        ] {
            let shown = one_line(&error_of(line).to_string());
            assert!(shown.contains(part) && !shown.contains('\n'), "{line}: {shown}");
            assert!(["Usage", "For more"].iter().all(|more| !shown.contains(more)), "{line}: {shown}");
        }
    }

    #[test]
    fn every_help_has_an_example() {
        let mut program = Arguments::command();
        program.build();
        let mut commands = vec![String::new()];
        names_below(&program, "", &mut commands);
        assert!(commands.iter().any(|command| command == "buyer tier set "), "{commands:?}");
        for command in commands.iter().filter(|command| !command.contains("help ")) {
            let line = format!("{command}--help");
            let help = error_of(&line).to_string();
            assert!(help.contains("Examples:\n  firstcome "), "{line}: {help}");
        }
    }

    /// The names of all subcommands, each with a space behind it.
    fn names_below(command: &clap::Command, before: &str, names: &mut Vec<String>) {
        for inner in command.get_subcommands() {
            let name = format!("{before}{} ", inner.get_name());
            names_below(inner, &name, names);
            names.push(name);
        }
    }
}

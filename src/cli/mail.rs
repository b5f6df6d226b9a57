//! `firstcome mail`: the mails to buyers, before a buyer sees them.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use jiff::tz::TimeZone;

use super::serve;
use crate::exit::{self, Exit};
use crate::mail::{MailKind, Templates, example_details};
use crate::output;

const EXAMPLES: &str = "Examples:
  firstcome mail preview reserved                                     the built-in mail in English
  firstcome mail preview paid --lang vi --html paid.html              in Vietnamese, its HTML for a browser
  firstcome mail preview won --config firstcome.toml                  with the settings' templates, language and time zone
  firstcome mail preview outbid --templates mails --lang de           with the templates of a directory";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct MailArgs {
    #[command(subcommand)]
    command: MailCommand,
}

#[derive(Subcommand, Debug)]
enum MailCommand {
    /// Print a mail about an example order or auction, and check all templates
    Preview(PreviewArgs),
}

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
struct PreviewArgs {
    /// Mail to print, by the event that it tells of
    #[arg(value_name = "EVENT", value_parser = PossibleValuesParser::new(MailKind::ALL.map(MailKind::name)))]
    event: String,
    /// Language; that of the settings by default
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<String>,
    /// Write the HTML of the mail into this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// TOML file with the server's settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory with templates, if the settings do not name it
    #[arg(long, value_name = "DIR")]
    templates: Option<PathBuf>,
}

/// Runs the subcommand.
///
/// # Errors
/// 64 a setting, a template or a language; 73 the HTML cannot be written.
pub fn run(args: &MailArgs) -> Result<(), Exit> {
    match &args.command {
        MailCommand::Preview(args) => preview(args),
    }
}

fn preview(args: &PreviewArgs) -> Result<(), Exit> {
    let config = serve::load_config(args.config.as_deref(), &[])?;
    let zone =
        TimeZone::get(&config.mail.time_zone).map_err(|error| Exit::usage(format!("mail.time_zone: {error}")))?;
    let directory = args.templates.as_deref().or(config.mail.templates.as_deref());
    let templates = Templates::load(directory, zone).map_err(|mistakes| {
        let lines: Vec<String> = mistakes.into_iter().map(|mistake| mistake.to_string()).collect();
        Exit::usage(lines.join("\n"))
    })?;
    let language = args.lang.as_deref().unwrap_or(&config.mail.language);
    if !templates.has(language) {
        let known = templates.languages().collect::<Vec<_>>().join(", ");
        return Err(Exit::usage(format!("there are no templates for {language}, only for {known}")));
    }
    let Some(kind) = MailKind::parse(&args.event) else {
        return Err(Exit::usage(format!("there is no mail {}", args.event)));
    };
    let mail = templates.render(&example_details(kind), language);
    let mail = mail.map_err(|error| Exit::bug(format!("the example could not be rendered: {error}")))?;
    match (&args.html, mail.html) {
        (Some(file), Some(html)) => std::fs::write(file, html).map_err(|error| {
            let file = file.display();
            Exit::cannot_create(format!("{file}: the HTML could not be written: {error}{}", exit::next_step(&error)))
        })?,
        (Some(_), None) => {
            return Err(Exit::usage(format!("{} has no HTML in {language}: it is sent as text", args.event)));
        }
        (None, _) => {}
    }
    output::line(format!("Subject: {}\n\n{}", mail.subject, mail.text));
    Ok(())
}

//! `firstcome completions`: the completions of a shell.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Arguments;
use crate::exit::Exit;
use crate::output;

const EXAMPLES: &str = "Examples:
  firstcome completions bash > /usr/share/bash-completion/completions/firstcome
  firstcome completions zsh > /usr/share/zsh/site-functions/_firstcome
  firstcome completions fish > ~/.config/fish/completions/firstcome.fish
  source <(firstcome completions bash)         this shell only";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// Shell that reads them
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the completions.
///
/// # Errors
/// 70 if the script is not text, which it always is.
pub fn run(args: &CompletionsArgs) -> Result<(), Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "firstcome", &mut script);
    let script = String::from_utf8(script).map_err(|_| Exit::bug("the completions are not UTF-8"))?;
    output::line(script.trim_end());
    Ok(())
}

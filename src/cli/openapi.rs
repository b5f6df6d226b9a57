//! `firstcome openapi`.

use clap::Args;

use crate::http::openapi;
use crate::output;

const EXAMPLES: &str = "Examples:
  firstcome openapi > openapi.json
  firstcome openapi | jq '.paths | keys'

Prints what a running server answers on GET /openapi.json, with line breaks. Exit code 0.";

/// `openapi` has no flags.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct OpenApiArgs {}

/// Prints the description of the HTTP interface.
pub fn run() {
    output::line(openapi::pretty());
}

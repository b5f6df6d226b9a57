//! `firstcome openapi`: prints the OpenAPI document.

use clap::Args;

use crate::http::openapi;
use crate::output;

const EXAMPLES: &str = "Examples:
  firstcome openapi > openapi.json
  firstcome openapi | jq '.paths | keys'

Prints the document that a running server returns for GET /openapi.json, with line breaks; the server's own one names its public_url.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct OpenApiArgs {}

pub fn run() {
    output::line(openapi::pretty());
}

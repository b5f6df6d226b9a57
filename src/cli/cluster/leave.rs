//! `firstcome cluster leave`: a node leads no more, before it is stopped for good or for long.

use std::path::Path;

use hyper::Method;

use crate::client::http::{HttpClient, block_on};
use crate::exit::Exit;
use crate::output;

const PATH: &str = "/v1/node/leave";

/// Asks the node to leave its cluster.
///
/// # Errors
/// 64 or 69 and a line.
pub(super) fn run(admin: &str, ca: Option<&Path>) -> Result<(), Exit> {
    let node = HttpClient::for_admin(admin, "--admin", ca)?;
    let answer = block_on(async {
        let answered = node.request(Method::POST, PATH, None).await;
        answered.map_err(|error| node.exit(&format!("POST {PATH}"), &error))
    })?;
    let answer: serde_json::Value = serde_json::from_slice(&answer.reply.body).unwrap_or_default();
    let leads =
        answer["leader"].as_str().map_or_else(|| "no node leads now".to_owned(), |leader| format!("{leader} leads"));
    output::line(format!(
        "{} has left: {leads}, and this node follows and serves reads until its server is stopped; started again it takes part again",
        answer["node"].as_str().unwrap_or("the node")
    ));
    Ok(())
}

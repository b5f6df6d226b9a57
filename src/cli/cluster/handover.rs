//! `firstcome cluster handover`: the leader gives the leadership to another node, before it is stopped.

use std::path::Path;

use hyper::Method;

use crate::client::http::{HttpClient, block_on};
use crate::exit::Exit;
use crate::output;

/// Asks the leader to hand over.
///
/// # Errors
/// 64 or 69 and a line.
pub(super) fn run(admin: &str, ca: Option<&Path>, to: Option<&str>) -> Result<(), Exit> {
    if let Some(to) = to
        && (to.is_empty() || !to.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)))
    {
        return Err(Exit::usage(format!("--to {to:?}: no name of a node")));
    }
    let node = HttpClient::for_admin(admin, "--admin", ca)?;
    let path = to.map_or_else(|| "/v1/node/handover".to_owned(), |to| format!("/v1/node/handover?to={to}"));
    let answer = block_on(async {
        let answered = node.request(Method::POST, &path, None).await;
        answered.map_err(|error| node.exit(&format!("POST {path}"), &error))
    })?;
    let answer: serde_json::Value = serde_json::from_slice(&answer.reply.body).unwrap_or_default();
    let text = |name: &str| answer[name].as_str().unwrap_or("").to_owned();
    output::line(format!(
        "{} leads now: {} (admin {}); {} ms without a leader",
        text("leader"),
        text("public_url"),
        text("admin_url"),
        answer["without_leader_ms"]
    ));
    Ok(())
}

//! The admin listener, for subcommands that operate a running server: the client of `rush`, with an operator's token.

use serde_json::Value;

use super::client::LoadConnection;
use super::drops::{ask, authorization, open, refused};
use super::target::Target;
use crate::exit::Exit;

/// A kept-alive connection to the admin listener.
pub(crate) struct Admin {
    target: Target,
    connection: LoadConnection,
}

impl Admin {
    /// Connects.
    ///
    /// # Errors
    /// The address is none (64), or nobody answers there (69).
    pub(crate) async fn connect(address: &str) -> Result<Admin, Exit> {
        let target = Target::parse(address, true).map_err(|mistake| Exit::usage(mistake))?;
        let connection = open(&target, "admin").await?;
        Ok(Admin { target, connection })
    }

    /// Asks, and gives the JSON of a good answer.
    ///
    /// # Errors
    /// There is no answer, or it is a problem (69, with what it says).
    pub(crate) async fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Exit> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.target.authority,
            authorization(),
            body.len()
        );
        let (head, answer) = ask(&self.target, "admin", &mut self.connection, &request).await?;
        if head.status != 200 {
            let hint = if head.status == 401 { " (the variable FIRSTCOME_TOKEN has an operator's token)" } else { "" };
            let Exit { code, message } = refused(&format!("{method} {path}"), head.status, &answer);
            return Err(Exit::new(code, format!("{message}{hint}")));
        }
        serde_json::from_slice(&answer)
            .map_err(|error| Exit::unavailable(format!("the answer makes no sense: {error}")))
    }
}

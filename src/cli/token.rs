//! `firstcome token`: creates, lists and revokes operators' tokens, before the server's first start or while it runs.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};

use super::verbs::arguments::parse_time;
use crate::admission::operators::file::{
    ChangeError, LOCK_FILE, TOKENS_FILE, change, had_tokens, list_as_json, make_room, read,
};
use crate::admission::operators::{NAME_CHARS_MAX, Role, Token, TokenStatus, is_name};
use crate::config::ConfigError;
use crate::exit::{self, Exit};
use crate::output;
use crate::store::beside;
use crate::store::open::DATABASE_FILE;
use crate::store::ownership::{check_readable, check_writable, create_data_directory};
use crate::types::UnixMillis;
use crate::types::text::rfc3339;
use crate::writer::clock::wall_clock;

const EXAMPLES: &str = "Examples:
  firstcome token create --role owner --name ann --data /var/lib/firstcome/data
  firstcome token list --data /var/lib/firstcome/data
  firstcome token revoke 0123456789ab --data /var/lib/firstcome/data

Without any token, every request to the admin listener has the role owner, and the listener must stay on a loopback address. With at least one token, every request needs `Authorization: Bearer fc_…`. A running server picks up changes at once.";

const CREATE_EXAMPLES: &str = "Examples:
  firstcome token create --role owner --name ann
  firstcome token create --role viewer --name prometheus --expires-in 365d > /etc/prometheus/firstcome.token
  firstcome token create --role operator --name shop --data /var/lib/firstcome/data
  firstcome token create --role owner --name ann --data /var/lib/firstcome/data --before-first-start

The token is the only line on standard output. It is shown only once: the server stores its SHA-256. Exit code 73: it could not be written there, or the list of tokens not be written, and no token was made.

Roles: viewer reads drops, audit log and metrics; operator also manages sales, payments, refunds, orders and contacts; owner may do everything.";

const LIST_EXAMPLES: &str = "Examples:
  firstcome token list
  firstcome token list --json | jq '.[] | select(.standing == \"in_force\")'";

const REVOKE_EXAMPLES: &str = "Examples:
  firstcome token revoke 0123456789ab

The id is the part after fc_, and is listed by `firstcome token list`. A repeated revocation changes nothing.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand, Debug)]
enum TokenCommand {
    /// Create a token and print it once
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// Role of the holder
        #[arg(long, value_enum)]
        role: Role,
        /// Name of the holder for logs and the audit log: letters, digits and .-_@
        #[arg(long, value_parser = parse_name)]
        name: String,
        /// Time until it expires, such as 90m, 12h, 30d or 4w [default: never]
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        expires_in: Option<Duration>,
        /// The directory has no database yet: the server starts there later
        #[arg(long)]
        before_first_start: bool,
        #[command(flatten)]
        directory: DataDirectory,
    },
    /// List all tokens without their secrets
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        directory: DataDirectory,
    },
    /// Revoke a token permanently
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke {
        /// Id of the token
        id: String,
        #[command(flatten)]
        directory: DataDirectory,
    },
}

#[derive(Args, Debug)]
struct DataDirectory {
    /// Directory of the database
    #[arg(long, value_name = "DIR", default_value = "./firstcome-data")]
    data: PathBuf,
}

fn parse_name(text: &str) -> Result<String, String> {
    let allowed = || format!("1 to {NAME_CHARS_MAX} letters, digits or characters of .-_@");
    if is_name(text) { Ok(text.into()) } else { Err(allowed()) }
}

fn usage(error: ConfigError) -> Exit {
    Exit::usage(error.0)
}

fn unchanged(error: ChangeError) -> Exit {
    match error {
        ChangeError::Refused(error) => usage(error),
        ChangeError::Unwritten { path, source } => Exit::unwritten(path.display(), &source),
    }
}

/// Creates, lists or revokes tokens.
///
/// # Errors
/// 64: the token file cannot be used, no server uses the directory, or the id is unknown. 73: the token could not be printed,
/// or the file not be written. 77: this user may not use the directory, the file or its lock.
pub fn run(args: &TokenArgs) -> Result<(), Exit> {
    let now = wall_clock();
    match &args.command {
        TokenCommand::Create { role, name, expires_in, before_first_start, directory } => {
            if *before_first_start {
                make_directory(&directory.data)?;
            } else {
                require_use(&directory.data)?;
            }
            require_permission(&directory.data, Wanted::Change)?;
            create(&directory.data, *role, name, *expires_in, now)
        }
        TokenCommand::List { json, directory } => {
            require_use(&directory.data)?;
            require_permission(&directory.data, Wanted::Read)?;
            list(&directory.data, *json, now)
        }
        TokenCommand::Revoke { id, directory } => {
            require_use(&directory.data)?;
            require_permission(&directory.data, Wanted::Change)?;
            revoke(&directory.data, id, now)
        }
    }
}

/// Makes the directory of a server that starts later, for the user who has the directory above.
fn make_directory(data: &Path) -> Result<(), Exit> {
    match create_data_directory(data) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Exit::unwritten(data.display(), &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Refuses a directory that no server has used: its tokens would open and close nothing.
fn require_use(data: &Path) -> Result<(), Exit> {
    let whole = std::path::absolute(data).unwrap_or_else(|_| data.to_path_buf());
    match data.join(DATABASE_FILE).try_exists() {
        Ok(is_there) if is_there || had_tokens(data) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(Exit::new(exit::DENIED, format!("{}: {error}", whole.display())));
        }
        Ok(_) | Err(_) => {}
    }
    Err(Exit::usage(format!(
        "{} has no {DATABASE_FILE}: no server uses it; name the directory of the server with --data, or make the first token \
         with `firstcome token create --before-first-start`",
        whole.display()
    )))
}

/// The use that a command makes of the tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Read,
    Change,
}

/// Refuses tokens that this user may not use.
fn require_permission(data: &Path, wanted: Wanted) -> Result<(), Exit> {
    let mut allowed = check_readable(&data.join(TOKENS_FILE));
    if wanted == Wanted::Change {
        allowed = allowed.and_then(|()| check_writable(data)).and_then(|()| check_writable(&data.join(LOCK_FILE)));
    }
    allowed.map_err(|error| Exit::new(error.exit_code(), error.to_string()))
}

fn create(data: &Path, role: Role, name: &str, lives: Option<Duration>, now: UnixMillis) -> Result<(), Exit> {
    let expires_at = lives.map(|lives| now.plus_millis(i64::try_from(lives.as_millis()).unwrap_or(i64::MAX)));
    let (token, text) = Token::new(name, role, now, expires_at);
    let (mut unprinted, mut is_printed) = (None, false);
    let made = change(data, |tokens| {
        make_room(tokens, now)?;
        let (id, first) = (token.id.clone(), tokens.is_empty());
        tokens.push(token);
        // First: a token in force whose secret is lost would close the admin listener.
        if let Err(error) = output::secret(text) {
            unprinted = Some(format!(
                "the token could not be written to standard output: {error}{}; no token was made",
                exit::next_step(&error)
            ));
            return Err(ConfigError(String::new()));
        }
        is_printed = true;
        Ok((id, first))
    });
    let (id, first) = match (made, unprinted) {
        (Ok(made), _) => made,
        (Err(_), Some(line)) => return Err(Exit::cannot_create(line)),
        (Err(error), None) => {
            let mut end = unchanged(error);
            if is_printed {
                end.message.push_str("; the token that was printed is not in force");
            }
            return Err(end);
        }
    };
    beside::note_tokens(data);
    let end = expires_at.map_or_else(|| "never expires".into(), |end| format!("expires {}", rfc3339(end)));
    output::note(format!("token {id} of {name} ({}), {end}; it is not shown again", role.as_str()));
    if first {
        output::note("from now on every request to the admin listener needs a token");
    }
    Ok(())
}

fn list(data: &Path, json: bool, now: UnixMillis) -> Result<(), Exit> {
    let tokens = read(&data.join(TOKENS_FILE)).map_err(usage)?.map(|(tokens, _)| tokens);
    if json {
        output::line(list_as_json(tokens.as_deref().unwrap_or_default(), now));
        return Ok(());
    }
    let Some(tokens) = tokens else {
        output::note(format!(
            "no tokens in {}: every request to the admin listener has the role owner",
            data.display()
        ));
        return Ok(());
    };
    let end = |token: &Token| match (token.status(now), token.revoked_at, token.expires_at) {
        (TokenStatus::Revoked, Some(at), _) => rfc3339(at),
        (_, _, Some(at)) => rfc3339(at),
        (_, _, None) => "never".into(),
    };
    let width = tokens.iter().map(|token| token.name.len()).max().unwrap_or(0).max(4);
    output::line(format!(
        "{:12}  {:width$}  {:8}  {:8}  {:24}  {:24}",
        "id", "name", "role", "standing", "created", "ends or ended"
    ));
    for token in &tokens {
        let (role, standing) = (token.role.as_str(), token.status(now).as_str());
        let (id, name, created) = (&token.id, &token.name, rfc3339(token.created_at));
        output::line(format!("{id:12}  {name:width$}  {role:8}  {standing:8}  {created:24}  {}", end(token)));
    }
    Ok(())
}

fn revoke(data: &Path, id: &str, now: UnixMillis) -> Result<(), Exit> {
    let unknown = || ConfigError(format!("{}: no token has the id {}", data.display(), id.escape_default()));
    // The file is not created only to find nothing to revoke.
    if read(&data.join(TOKENS_FILE)).map_err(usage)?.is_none() {
        return Err(usage(unknown()));
    }
    let (name, left) = change(data, |tokens| {
        let token = tokens.iter_mut().find(|token| *token.id == *id).ok_or_else(unknown)?;
        token.revoked_at.get_or_insert(now);
        let name = token.name.clone();
        Ok((name, tokens.iter().filter(|token| token.status(now) == TokenStatus::InForce).count()))
    })
    .map_err(unchanged)?;
    output::line(format!("token {id} of {name} is revoked; {left} are in force"));
    if left == 0 {
        output::note("no valid token is left: create one with `firstcome token create`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        assert_eq!(parse_time("90m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_time("30d"), Ok(Duration::from_secs(30 * 86_400)));
        for bad in ["", "d", "30", "0d", "-1d", "1.5h", "30 d", "30D", "99999999999999999w"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}

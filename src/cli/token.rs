//! `firstcome token`: who operates, and with what. It works while the server runs, and before its first start.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::admission::operators::file::{TOKENS_FILE, change, list_as_json, make_room, read};
use crate::admission::operators::{NAME_CHARS_MAX, Role, Token, TokenStatus, is_name};
use crate::config::ConfigError;
use crate::exit::Exit;
use crate::output;
use crate::types::UnixMillis;
use crate::types::text::rfc3339;
use crate::writer::clock::wall_clock;

const EXAMPLES: &str = "Examples:
  firstcome token create --role owner --name ann
  firstcome token list
  firstcome token revoke 0123456789ab

Without any token, every call of an operator is an owner's, and the admin listener stays on a loopback address. Once
there is one, every call needs `Authorization: Bearer fc_…`. A running server sees changes at once.";

const CREATE_EXAMPLES: &str = "Examples:
  firstcome token create --role owner --name ann
  firstcome token create --role viewer --name prometheus --expires-in 365d > /etc/prometheus/firstcome.token
  firstcome token create --role operator --name shop --data /var/lib/firstcome

The token is the only line on standard output, shown this once: the server keeps but its SHA-256.
viewer: drops, audit, metrics; operator: also sales, payments, refunds, orders and contacts; owner: everything.";

const LIST_EXAMPLES: &str = "Examples:
  firstcome token list
  firstcome token list --json | jq '.[] | select(.standing == \"in_force\")'";

const REVOKE_EXAMPLES: &str = "Examples:
  firstcome token revoke 0123456789ab

The id is the part after fc_; `firstcome token list` shows it. Repeated, it changes nothing.";

/// `token`'s subcommands.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct TokenArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Make a token and show it, this once
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// What its holder may do
        #[arg(long, value_enum)]
        role: Role,
        /// Who holds it: letters, digits and .-_@; shown in logs and in the audit
        #[arg(long, value_parser = name)]
        name: String,
        /// When it ends by itself, such as 90m, 12h, 30d or 4w [default: never]
        #[arg(long, value_name = "TIME", value_parser = time)]
        expires_in: Option<Duration>,
        #[command(flatten)]
        place: Place,
    },
    /// Show all tokens, without their secrets
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// As JSON, for other programs
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Take a token back, for good
    #[command(after_help = REVOKE_EXAMPLES)]
    Revoke {
        /// The token's id
        id: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args, Debug)]
struct Place {
    /// The directory of the database
    #[arg(long, value_name = "DIR", default_value = "./firstcome-data")]
    data: PathBuf,
}

fn name(text: &str) -> Result<String, String> {
    let allowed = || format!("1 to {NAME_CHARS_MAX} letters, digits or characters of .-_@");
    if is_name(text) { Ok(text.into()) } else { Err(allowed()) }
}

fn time(text: &str) -> Result<Duration, String> {
    const ALLOWED: &str = "a whole number and a unit, such as 90m, 12h, 30d or 4w";
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let seconds: u64 = match text.strip_prefix(digits) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 60 * 60,
        Some("d") => 24 * 60 * 60,
        Some("w") => 7 * 24 * 60 * 60,
        Some(_) | None => return Err(ALLOWED.into()),
    };
    let number: u64 = digits.parse().map_err(|_| ALLOWED)?;
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or(ALLOWED.into())
}

fn wrong(mistake: ConfigError) -> Exit {
    Exit::usage(mistake.0)
}

/// Makes, lists or takes back tokens.
///
/// # Errors
/// 64 and a line.
pub fn run(args: &TokenArgs) -> Result<(), Exit> {
    let now = wall_clock();
    match &args.what {
        What::Create { role, name, expires_in, place } => create(&place.data, *role, name, *expires_in, now),
        What::List { json, place } => list(&place.data, *json, now),
        What::Revoke { id, place } => revoke(&place.data, id, now),
    }
}

fn create(data: &Path, role: Role, name: &str, lives: Option<Duration>, now: UnixMillis) -> Result<(), Exit> {
    let expires_at = lives.map(|lives| now.plus_millis(i64::try_from(lives.as_millis()).unwrap_or(i64::MAX)));
    let (token, text) = Token::new(name, role, now, expires_at);
    let (id, first) = change(data, |tokens| {
        make_room(tokens, now)?;
        let (id, first) = (token.id.clone(), tokens.is_empty());
        tokens.push(token);
        Ok((id, first))
    })
    .map_err(wrong)?;
    output::line(text);
    let end = expires_at.map_or_else(|| "never expires".into(), |end| format!("expires {}", rfc3339(end)));
    output::note(format!("token {id} of {name} ({}), {end}; it is shown only now", role.as_str()));
    if first {
        output::note("from now on every call of an operator needs a token");
    }
    Ok(())
}

fn list(data: &Path, json: bool, now: UnixMillis) -> Result<(), Exit> {
    let tokens = read(&data.join(TOKENS_FILE)).map_err(wrong)?.map(|(tokens, _)| tokens);
    if json {
        output::line(list_as_json(tokens.as_deref().unwrap_or_default(), now));
        return Ok(());
    }
    let Some(tokens) = tokens else {
        output::note(format!("no tokens in {}: every call of an operator is an owner's", data.display()));
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
    // Nothing is made where there is nothing to take back.
    if read(&data.join(TOKENS_FILE)).map_err(wrong)?.is_none() {
        return Err(wrong(unknown()));
    }
    let (name, left) = change(data, |tokens| {
        let token = tokens.iter_mut().find(|token| *token.id == *id).ok_or_else(unknown)?;
        token.revoked_at.get_or_insert(now);
        let name = token.name.clone();
        Ok((name, tokens.iter().filter(|token| token.status(now) == TokenStatus::InForce).count()))
    })
    .map_err(wrong)?;
    output::line(format!("token {id} of {name} is revoked; {left} are in force"));
    if left == 0 {
        output::note("no operator can call now; make a token with `firstcome token create`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        assert_eq!(time("90m"), Ok(Duration::from_secs(5400)));
        assert_eq!(time("30d"), Ok(Duration::from_secs(30 * 86_400)));
        for bad in ["", "d", "30", "0d", "-1d", "1.5h", "30 d", "30D", "99999999999999999w"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}

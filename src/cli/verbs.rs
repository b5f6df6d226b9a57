//! The core of the verbs for operators (`firstcome drop pause`): a row ([`Verb`]) has the request that a verb sends, its
//! words and its columns, and an [`OperatorSession`] sends it and prints the answer.

pub mod arguments;
mod failure;
pub mod table;

use std::path::PathBuf;

use clap::{Args, value_parser};
use hyper::Method;
use serde_json::{Map, Value};

use self::failure::FailedVerb;
use self::table::TableColumn;
use crate::client::http::HttpClient;
use crate::config::secret_file::{self, FileProtection};
use crate::exit::Exit;
use crate::output;
use crate::types::{hex, random};

/// The longest file of a token, in bytes.
const TOKEN_BYTES_MAX: u64 = 4096;
/// The maximum of items that the server puts on a page.
const PAGE_ITEMS_MAX: u32 = 100;
/// The maximum of requests for one list: a page may be short, because the server scans a bounded number of rows for it.
const PAGES_MAX: u32 = 2000;

/// The end of each help: the arguments and exit codes that all verbs share.
pub const ALL_VERBS: &str = "If operators have tokens, set FIRSTCOME_TOKEN to a token with the role operator (endpoints: owner), or name its file with --token-file.

Exit codes: 0 done; 1 the server refuses, or there is no such thing; 64 wrong argument; 69 the server is unreachable, or does not allow it.";

/// Arguments of all verbs.
#[derive(Args, Debug)]
pub struct AdminArgs {
    /// Print the server's JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Admin listener of the server: host:port, http://host:port or https://host:port
    #[arg(long, value_name = "URL", default_value = "127.0.0.1:8081")]
    admin: String,
    /// File with the operator's token, readable by its owner only; instead of the variable FIRSTCOME_TOKEN
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// With https://: trust the authorities in this PEM file as well
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl AdminArgs {
    /// Returns true if the answer is printed as JSON.
    #[must_use]
    pub const fn prints_json(&self) -> bool {
        self.json
    }
}

/// The listener from which drops and auctions are read.
#[derive(Args, Debug)]
pub struct PublicArgs {
    /// Public listener of the server, where drops and auctions are read; it gets no token
    #[arg(long, value_name = "URL", default_value = "127.0.0.1:8080")]
    public: String,
}

/// The part of a list that is printed.
#[derive(Args, Debug)]
pub struct PageArgs {
    /// The most items to print
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Begin after this number, which the end of a list names
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,
}

impl PageArgs {
    /// The longest list.
    pub const ALL: PageArgs = PageArgs { limit: 100_000, after: 0 };
}

/// The key that makes a repeat harmless.
#[derive(Args, Debug)]
pub struct KeyArgs {
    /// Idempotency key: a repeat with the same key has no second effect [default: a new one]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

/// The listener that answers a verb.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VerbListener {
    Admin,
    Public,
}

/// A row: the request of a verb, its words and its columns.
pub struct Verb {
    pub method: Method,
    pub listener: VerbListener,
    /// The path with `{}` in the place of its parameter.
    pub path: &'static str,
    /// True if the request has an idempotency key.
    pub has_key: bool,
    /// Words after a success, with `{}` in the place of the subject; empty for reads.
    pub done: &'static str,
    /// Words that begin an error, with `{}` in the place of the subject.
    pub undone: &'static str,
    /// Words for a subject that the server does not have.
    pub missing: &'static str,
    pub columns: &'static [TableColumn],
}

/// A request of a verb.
#[derive(Default)]
pub struct VerbCall<'a> {
    /// The subject as people know it, such as a drop's number.
    pub subject: &'a str,
    /// The parameter of the path, if it is not the subject.
    pub parameter: Option<&'a str>,
    /// Query with its question mark, or empty.
    pub query: String,
    pub body: Option<Value>,
    /// The idempotency key of the command line.
    pub key: Option<&'a KeyArgs>,
}

/// The clients of one run of the program.
pub struct OperatorSession<'a> {
    args: &'a AdminArgs,
    admin: HttpClient,
    public: HttpClient,
}

impl<'a> OperatorSession<'a> {
    /// Makes the clients. Verbs that read nothing at the public listener leave `public` out.
    ///
    /// # Errors
    /// 64 for each wrong address, certificate or token, all at once.
    pub fn new(args: &'a AdminArgs, public: Option<&PublicArgs>) -> Result<OperatorSession<'a>, Exit> {
        let ca = args.ca.as_deref();
        let admin = HttpClient::for_admin(&args.admin, "--admin", ca).and_then(|client| with_token(client, args));
        let public = match public {
            Some(args) => HttpClient::new(&args.public, "--public", ca),
            None => HttpClient::new("127.0.0.1:8080", "--public", None),
        };
        match (admin, public) {
            (Ok(admin), Ok(public)) => Ok(OperatorSession { args, admin, public }),
            (Err(admin), Err(public)) if admin.message != public.message => {
                Err(Exit::usage(format!("{}\n{}", admin.message, public.message)))
            }
            (Err(wrong), _) | (_, Err(wrong)) => Err(wrong),
        }
    }

    /// Returns true if the answer is printed as JSON.
    #[must_use]
    pub const fn prints_json(&self) -> bool {
        self.args.json
    }

    /// Returns the client of the admin listener.
    #[must_use]
    pub const fn admin(&self) -> &HttpClient {
        &self.admin
    }

    /// Sends the request of a verb and returns the document of the answer; null if it has none.
    ///
    /// # Errors
    /// 1, 64 or 69 and a line.
    pub async fn send(&self, verb: &Verb, call: &VerbCall<'_>) -> Result<Value, Exit> {
        let key = verb.has_key.then(|| key_of(call.key));
        let path = verb.path.replace("{}", call.parameter.unwrap_or(call.subject));
        let path = format!("{path}{}", call.query);
        let client = match verb.listener {
            VerbListener::Admin => &self.admin,
            VerbListener::Public => &self.public,
        };
        let failed = FailedVerb { verb, subject: call.subject, url: &client.url, key: key.as_deref() };
        let response = client.exchange(verb.method.clone(), &path, call.body.as_ref(), key.as_deref()).await;
        let response = response.map_err(|error| failed.unanswered(&error))?;
        if !response.status.is_success() {
            return Err(failed.refused(&response));
        }
        if response.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&response.body).map_err(|_| failed.unreadable())
    }

    /// Sends the request of a change and prints what was done.
    ///
    /// # Errors
    /// As [`OperatorSession::send`].
    pub async fn change(&self, verb: &Verb, call: &VerbCall<'_>) -> Result<(), Exit> {
        let answer = self.send(verb, call).await?;
        self.print_change(verb, call.subject, &answer);
        Ok(())
    }

    /// Prints the words of a change and the new state of its subject.
    pub fn print_change(&self, verb: &Verb, subject: &str, answer: &Value) {
        if self.args.json {
            return output::line(answer);
        }
        output::line(verb.done.replace("{}", subject));
        if !answer.is_null() {
            table::print_rows(verb.columns, std::slice::from_ref(answer));
        }
    }

    /// Reads one thing and prints it, a line for each member.
    ///
    /// # Errors
    /// As [`OperatorSession::send`].
    pub async fn show(&self, verb: &Verb, call: &VerbCall<'_>) -> Result<(), Exit> {
        let answer = self.send(verb, call).await?;
        if self.args.json {
            output::line(&answer);
        } else {
            table::print_members(verb.columns, &answer);
        }
        Ok(())
    }

    /// Reads a list page by page, up to the limit, and prints it.
    ///
    /// # Errors
    /// As [`OperatorSession::send`].
    pub async fn list(&self, verb: &Verb, call: VerbCall<'_>, page: &PageArgs) -> Result<(), Exit> {
        let answer = self.pages(verb, call, page).await?;
        self.print_list(verb, &answer);
        Ok(())
    }

    /// Reads a list page by page, up to the limit.
    ///
    /// # Errors
    /// As [`OperatorSession::send`].
    pub async fn pages(&self, verb: &Verb, mut call: VerbCall<'_>, page: &PageArgs) -> Result<Value, Exit> {
        let filter = std::mem::take(&mut call.query);
        let first = if filter.is_empty() { '?' } else { '&' };
        let (mut items, mut next, mut asked) = (Vec::new(), Some(page.after), 0);
        while let Some(after) = next
            && asked < PAGES_MAX
        {
            let left = page.limit.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
            if left == 0 {
                break;
            }
            call.query = format!("{filter}{first}after={after}&limit={}", left.min(PAGE_ITEMS_MAX));
            let mut answer = self.send(verb, &call).await?;
            items.append(answer["data"].as_array_mut().unwrap_or(&mut Vec::new()));
            next = answer["next_after"].as_u64();
            asked += 1;
        }
        let mut whole = Map::new();
        whole.insert("data".into(), items.into());
        whole.insert("has_more".into(), next.is_some().into());
        if let Some(after) = next {
            whole.insert("next_after".into(), after.into());
        }
        Ok(Value::Object(whole))
    }

    /// Prints a page of a list.
    pub fn print_list(&self, verb: &Verb, page: &Value) {
        if self.args.json {
            return output::line(page);
        }
        let items = page["data"].as_array().map_or(&[][..], Vec::as_slice);
        if items.is_empty() {
            output::note("nothing found");
        } else {
            table::print_rows(verb.columns, items);
        }
        if let Some(after) = page["next_after"].as_u64() {
            output::note(format!("there may be more: repeat with --after {after}"));
        }
    }
}

fn with_token(client: HttpClient, args: &AdminArgs) -> Result<HttpClient, Exit> {
    let Some(file) = &args.token_file else { return Ok(client) };
    let token = secret_file::read("--token-file", file, FileProtection::Secret, TOKEN_BYTES_MAX)
        .map_err(|mistake| Exit::usage(mistake.to_string()))?;
    client.with_token(String::from_utf8_lossy(&token).trim())
}

/// Returns the idempotency key of the command line, or a new one.
fn key_of(args: Option<&KeyArgs>) -> String {
    args.and_then(|args| args.key.clone()).unwrap_or_else(|| {
        let mut bits = [0u8; 8];
        random::fill(&mut bits);
        String::from_utf8_lossy(&hex::of_u64(u64::from_le_bytes(bits))).into_owned()
    })
}

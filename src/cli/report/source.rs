//! The place that a sale is read from: a running server, through its admin listener, or a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use hyper::Method;
use rusqlite::Connection;

use serde_json::Value;

use crate::api::json::payment_entry::PaymentEntry;
use crate::api::json::report::DropReport;
use crate::api::json::{OrderContext, order_body};
use crate::cli::verbs::{AdminArgs, OperatorSession, Verb, VerbCall, VerbListener};
use crate::client::http::RequestError;
use crate::config::{Config, PlanSettings};
use crate::exit::Exit;
use crate::read::lists::{self, AuditFilter, OrderFilter};
use crate::read::payments::{PaymentFilter, payments_page};
use crate::read::report::ReportCounter;
use crate::store::verify::open_for_reading;
use crate::types::{DropId, Provider, Seq};

/// The longest wait for a report: tens of millions of events are counted meanwhile.
const REPORT_WAIT: Duration = Duration::from_secs(300);
/// The longest wait for more of a body.
const PIECE_WAIT: Duration = Duration::from_secs(30);
/// The longest body of a report, in bytes; the bound on points keeps it far below.
const REPORT_BYTES_MAX: usize = 8 << 20;

/// The longest row of the audit, in bytes.
const ROW_BYTES_MAX: usize = 1 << 20;
/// Items of a page of a list.
const PAGE_ITEMS: u32 = 100;
const PAGE_PAYMENTS: u32 = 1000;

static ORDERS: Verb = reads("/v1/orders", "the orders of drop {} were not listed");
static PAYMENTS: Verb = reads("/v1/payments", "payments were not listed");

const fn reads(path: &'static str, undone: &'static str) -> Verb {
    let (method, listener) = (Method::GET, VerbListener::Admin);
    Verb { method, listener, path, has_key: false, done: "", undone, missing: "", columns: &[] }
}

/// The file that is read instead of a server.
#[derive(Args, Debug)]
pub struct FileArgs {
    /// Read a database file, such as a backup, instead of a server
    #[arg(long, value_name = "FILE", conflicts_with_all = ["admin", "token_file", "ca"])]
    db: Option<PathBuf>,
}

/// A server or a file.
pub enum SaleSource<'a> {
    Server(Box<OperatorSession<'a>>),
    File { path: PathBuf, connection: Connection, plan: Option<PlanSettings> },
}

impl<'a> SaleSource<'a> {
    /// Opens the file of the arguments, or makes the clients of the server.
    ///
    /// # Errors
    /// 64, 65 or 66 and a line for each mistake.
    pub fn open(file: &FileArgs, admin: &'a AdminArgs, config: Option<&Path>) -> Result<SaleSource<'a>, Exit> {
        let Some(path) = &file.db else { return Ok(SaleSource::Server(Box::new(OperatorSession::new(admin, None)?))) };
        let plan = config.map(plan_of).transpose()?;
        let connection = open_for_reading(path).map_err(|error| Exit::new(error.exit_code(), error.told(path)))?;
        Ok(SaleSource::File { path: path.clone(), connection, plan })
    }

    /// Returns the report of a drop.
    ///
    /// # Errors
    /// 1 if there is no such drop; 65 for an unreadable file; 69 for a server that does not answer.
    pub async fn report(&self, drop: DropId) -> Result<DropReport, Exit> {
        match self {
            SaleSource::Server(session) => served(session, drop).await,
            SaleSource::File { path, connection, plan } => {
                let counted = count(connection, drop).map_err(|error| unread(path, &error))?;
                let facts = counted.ok_or_else(|| missing(drop))?.finish();
                Ok(DropReport::new(&facts, *plan, None))
            }
        }
    }
}

impl SaleSource<'_> {
    /// Passes the orders of a drop to `each`, as the admin listener lists them.
    ///
    /// # Errors
    /// Those of `each`; 65 for an unreadable file; 69 for a server that does not answer.
    pub async fn orders(&self, drop: DropId, each: &mut impl FnMut(&Value) -> Result<(), Exit>) -> Result<(), Exit> {
        let mut next = Some(0);
        while let Some(after) = next {
            let (orders, next_after) = match self {
                SaleSource::Server(session) => {
                    let query = format!("?drop_id={drop}&after={after}&limit={PAGE_ITEMS}");
                    let mut page = session.send(&ORDERS, &call(&drop.to_string(), query)).await?;
                    (page["data"].as_array_mut().map(std::mem::take).unwrap_or_default(), page["next_after"].as_u64())
                }
                SaleSource::File { path, connection, .. } => {
                    let filter = OrderFilter { drop_id: Some(drop), ..OrderFilter::default() };
                    let page = lists::orders(connection, filter, seq(after), PAGE_PAYMENTS);
                    let page = page.map_err(|error| unread(path, &error))?;
                    let frame = OrderContext { public_url: "", epoch: 0 };
                    let of = |order| serde_json::from_slice(&order_body(order, frame)).unwrap_or_default();
                    (page.items.iter().map(of).collect(), page.next_after)
                }
            };
            orders.iter().try_for_each(&mut *each)?;
            next = next_after;
        }
        Ok(())
    }

    /// Passes payments to `each`, by the numbers of their orders.
    ///
    /// # Errors
    /// As [`SaleSource::orders`].
    pub async fn payments(
        &self,
        drop: Option<DropId>,
        provider: Option<Provider>,
        each: &mut impl FnMut(PaymentEntry) -> Result<(), Exit>,
    ) -> Result<(), Exit> {
        let mut next = Some(0);
        while let Some(after) = next {
            let (payments, next_after): (Vec<PaymentEntry>, _) = match self {
                SaleSource::Server(session) => {
                    let drop = drop.map(|drop| format!("&drop_id={drop}")).unwrap_or_default();
                    let provider = provider.map(|provider| format!("&provider={}", provider.as_str()));
                    let query = format!("?after={after}&limit={PAGE_PAYMENTS}{drop}{}", provider.unwrap_or_default());
                    let mut page = session.send(&PAYMENTS, &call("", query)).await?;
                    let payments = serde_json::from_value(page["data"].take());
                    let of_another =
                        |error| Exit::unavailable(format!("the server's payments cannot be read: {error}"));
                    (payments.map_err(of_another)?, page["next_after"].as_u64())
                }
                SaleSource::File { path, connection, .. } => {
                    let filter = PaymentFilter { drop_id: drop, provider };
                    let limit = usize::try_from(PAGE_PAYMENTS).unwrap_or(usize::MAX);
                    let page = payments_page(connection, filter, seq(after), limit);
                    let page = page.map_err(|error| unread(path, &error))?;
                    (page.items.iter().map(PaymentEntry::of).collect(), page.next_after)
                }
            };
            payments.into_iter().try_for_each(&mut *each)?;
            next = next_after;
        }
        Ok(())
    }

    /// Passes the events of a drop to `each`, as rows of the audit.
    ///
    /// # Errors
    /// As [`SaleSource::orders`].
    pub async fn audit(&self, drop: DropId, each: &mut impl FnMut(&Value) -> Result<(), Exit>) -> Result<(), Exit> {
        match self {
            SaleSource::Server(session) => served_audit(session, drop, each).await,
            SaleSource::File { path, connection, .. } => {
                let filter = AuditFilter { drop_id: Some(drop), ..AuditFilter::default() };
                let (mut since, mut more) = (Seq::ZERO, true);
                while more {
                    let page = lists::audit(connection, since, filter).map_err(|error| unread(path, &error))?;
                    let (lines, last, is_cut) = page;
                    for line in &lines {
                        each(&serde_json::from_str(line).unwrap_or_default())?;
                    }
                    (since, more) = (last, is_cut);
                }
                Ok(())
            }
        }
    }
}

fn call(subject: &str, query: String) -> VerbCall<'_> {
    VerbCall { subject, query, ..VerbCall::default() }
}

fn seq(number: u64) -> Seq {
    Seq::new(number).unwrap_or(Seq::MAX)
}

async fn served_audit(
    session: &OperatorSession<'_>,
    drop: DropId,
    each: &mut impl FnMut(&Value) -> Result<(), Exit>,
) -> Result<(), Exit> {
    let path = format!("/v1/audit?drop_id={drop}");
    let failed = |error: &RequestError| session.admin().exit(&format!("GET {path}"), error);
    let mut response = session.admin().open(&path, PIECE_WAIT).await.map_err(|error| failed(&error))?;
    let mut rest = Vec::new();
    while let Some(piece) =
        response.piece(PIECE_WAIT).await.map_err(|error| failed(&RequestError::NoResponse(error)))?
    {
        rest.extend_from_slice(&piece);
        let mut from = 0;
        while let Some(end) = rest[from..].iter().position(|byte| *byte == b'\n') {
            let row = serde_json::from_slice(&rest[from..from + end]);
            each(&row.map_err(|error| failed(&RequestError::Invalid(error.to_string())))?)?;
            from += end + 1;
        }
        rest.drain(..from);
        if rest.len() > ROW_BYTES_MAX {
            return Err(failed(&RequestError::Invalid("a row has no end".into())));
        }
    }
    Ok(())
}

fn plan_of(path: &Path) -> Result<PlanSettings, Exit> {
    let (config, mistakes) = Config::load_as_far_as_possible(Some(path), [], &[]);
    // Other settings may need files that only the server's machine has; the plan is what is read here.
    let of_plan: Vec<String> = mistakes
        .iter()
        .map(ToString::to_string)
        .filter(|line| line.contains("plan.") || line.contains("TOML"))
        .collect();
    if !path.is_file() {
        return Err(Exit::usage(format!("--config {}: there is no such file", path.display())));
    }
    if of_plan.is_empty() { Ok(config.plan) } else { Err(Exit::usage(of_plan.join("\n"))) }
}

fn missing(drop: DropId) -> Exit {
    Exit::failed(format!(
        "drop {drop} was not found: `firstcome drop list` lists drops; those of auctions have no report"
    ))
}

/// Makes the end of a command whose file cannot be read.
pub fn unread(path: &Path, error: &rusqlite::Error) -> Exit {
    Exit::bad_data(format!("{}: {error}; `firstcome verify` tells what is wrong with it", path.display()))
}

fn count(connection: &Connection, drop: DropId) -> rusqlite::Result<Option<ReportCounter>> {
    let Some(mut counter) = ReportCounter::begin(connection, drop)? else { return Ok(None) };
    while counter.step(connection)? {}
    Ok(Some(counter))
}

async fn served(session: &OperatorSession<'_>, drop: DropId) -> Result<DropReport, Exit> {
    let path = format!("/v1/drops/{drop}/report");
    let failed = |error: &RequestError| match error {
        RequestError::Status(404, _) => missing(drop),
        RequestError::Status(..) | RequestError::NoResponse(_) | RequestError::Invalid(_) => {
            session.admin().exit(&format!("GET {path}"), error)
        }
    };
    let mut response = session.admin().open(&path, REPORT_WAIT).await.map_err(|error| failed(&error))?;
    let mut body = Vec::new();
    while let Some(piece) =
        response.piece(PIECE_WAIT).await.map_err(|error| failed(&RequestError::NoResponse(error)))?
    {
        body.extend_from_slice(&piece);
        if body.len() > REPORT_BYTES_MAX {
            return Err(failed(&RequestError::Invalid(format!("more than {REPORT_BYTES_MAX} bytes"))));
        }
    }
    serde_json::from_slice(&body).map_err(|error| failed(&RequestError::Invalid(error.to_string())))
}

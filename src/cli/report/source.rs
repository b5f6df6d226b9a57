//! The place that a sale is read from: a running server, through its admin listener, or a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rusqlite::Connection;

use crate::api::json::report::DropReport;
use crate::cli::verbs::{AdminArgs, OperatorSession};
use crate::client::http::RequestError;
use crate::config::{Config, PlanSettings};
use crate::exit::Exit;
use crate::read::report::ReportCounter;
use crate::store::verify::open_for_reading;
use crate::types::DropId;

/// The longest wait for a report: tens of millions of events are counted meanwhile.
const REPORT_WAIT: Duration = Duration::from_secs(300);
/// The longest wait for more of a body.
const PIECE_WAIT: Duration = Duration::from_secs(30);
/// The longest body of a report, in bytes; the bound on points keeps it far below.
const REPORT_BYTES_MAX: usize = 8 << 20;

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

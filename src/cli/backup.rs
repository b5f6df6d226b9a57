//! `firstcome backup`: has the running server make a backup on a disk of its own machine, and waits for its end.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};

use crate::api::json::BackupJson;
use crate::client::http::{HttpClient, block_on, printable};
use crate::exit::{self, Exit};
use crate::output;

const EXAMPLES: &str = "Examples:
  firstcome backup --to /var/backups/firstcome           a directory: the file gets a name by its instant
  firstcome backup --to /var/backups/before.db.zst --compress zstd
  firstcome backup --to /var/backups --json | jq -r .file

The server makes the backup, as its own user, on its own machine, while it sells: copied, verified (every counter, every link
of the hash chain), and only then given its name, with its watermark beside it. No other file is replaced. If this command is
interrupted, the server goes on. `backup.every_seconds` makes backups without a command; `firstcome restore` puts one back.

If operators have tokens, set FIRSTCOME_TOKEN to a token with the role owner: a backup has contacts and secrets.

Exit codes: 0 it is made; 1 it is not, and nothing of it is left; 64 wrong arguments; 69 the server is unreachable or refuses,
or makes another one.";

/// Interval of looks at a backup.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct BackupArgs {
    /// File, which must not exist, or directory on the server's machine
    #[arg(long, value_name = "FILE|DIR")]
    to: PathBuf,
    /// Compression of the file
    #[arg(long, value_name = "FORM")]
    compress: Option<Compress>,
    /// Print JSON instead of a line
    #[arg(long)]
    json: bool,
    /// Admin listener of the server: host:port, http://host:port or https://host:port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    admin: String,
    /// With https://: trust the authorities in this PEM file as well
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum Compress {
    Zstd,
    Gzip,
}

/// Makes a backup.
///
/// # Errors
/// 1, 64 or 69 and a line.
pub fn run(args: &BackupArgs) -> Result<(), Exit> {
    let to = std::path::absolute(&args.to).map_err(|error| Exit::usage(format!("--to: {error}")))?;
    let to = to.to_str().ok_or_else(|| Exit::usage("--to: the path is not UTF-8"))?;
    let compression = match args.compress {
        None => "none",
        Some(Compress::Zstd) => "zstd",
        Some(Compress::Gzip) => "gzip",
    };
    let admin = HttpClient::for_admin(&args.admin, "--admin", args.ca.as_deref())?;
    let made = block_on(make(&admin, &json!({ "to": to, "compression": compression })))?;
    if args.json {
        output::line(&made);
    }
    let text = |name: &str| printable(made[name].as_str().unwrap_or(""));
    if made["state"] != BackupJson::MADE {
        return Err(Exit::new(exit::FAILED, format!("no backup was made: {}", text("error"))));
    }
    if !args.json {
        output::line(format!(
            "{}: {} orders, up to event {}; {} bytes; verified",
            text("file"),
            made["orders"],
            made["seq"],
            made["bytes"]
        ));
    }
    Ok(())
}

async fn make(admin: &HttpClient, body: &Value) -> Result<Value, Exit> {
    let path = "/v1/backup";
    let begun = admin.post_json(path, body, None).await;
    let begun = begun.map_err(|error| admin.exit(&format!("POST {path}"), &error))?;
    loop {
        tokio::time::sleep(LOOK).await;
        let answered = admin.request(Method::GET, path, None).await;
        let answered = answered.map_err(|error| admin.exit(&format!("GET {path}"), &error))?;
        let state: Value = serde_json::from_slice(&answered.reply.body).unwrap_or_default();
        if state["number"] != begun["number"] {
            return Err(Exit::unavailable(format!(
                "{}: the server was started again, or makes another backup by now: look for the file",
                admin.url
            )));
        }
        if state["state"] != BackupJson::RUNNING {
            return Ok(state);
        }
    }
}

//! The access log: one line per answered HTTP request on standard output, on demand (`log.access_one_in`).
//!
//! A serving thread hands the facts over and never waits: a thread of its own formats and writes them. Lines for which the
//! queue has no room are dropped and counted. Standard output is not the stream of the log, so that a reader that has
//! stopped reading cannot hold up a serving thread that logs.
//!
//! Never in a line: the path with its ids, the query, the client's address, a buyer, a token.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use hyper::header::HeaderValue;
use metrics::Counter;
use serde::Serialize;

use super::{PanicMeter, Telemetry, catalogue as metric};
use crate::types::UnixMillis;
use crate::types::text::rfc3339;

/// Wait at the end for lines that are queued; a reader that has stopped reading does not keep the process.
const DRAIN_WITHIN: Duration = Duration::from_secs(2);
/// Lines per write.
const LINES_PER_WRITE: usize = 256;

/// Options of the access log.
#[derive(Clone, Copy, Debug)]
pub struct AccessLogOptions {
    /// Each worker logs one request of so many; at least 1.
    pub one_in: u64,
    /// Lines that wait for the writing thread.
    pub queue_lines: usize,
    /// JSON instead of text.
    pub json: bool,
}

/// One answered request.
pub struct AccessRecord {
    pub at: UnixMillis,
    pub listener: &'static str,
    /// Method of the route, which answers HEAD like GET.
    pub method: &'static str,
    /// Path of the route, with names in braces.
    pub route: &'static str,
    pub status: u16,
    /// Code of the problem response.
    pub problem: Option<&'static str>,
    /// Size of the response's body; `None` for a stream.
    pub bytes: Option<u64>,
    /// From the request's head to the response's head.
    pub took: Duration,
    pub request_id: HeaderValue,
}

/// The sending end, which the workers share.
#[derive(Clone)]
pub struct AccessLog {
    records: Sender<AccessRecord>,
    dropped: Counter,
    one_in: u64,
}

impl AccessLog {
    /// Returns the sampling of one worker, which logs its first request.
    #[must_use]
    pub fn sampler(&self) -> AccessSampler {
        AccessSampler { log: self.clone(), left: Cell::new(1) }
    }
}

/// The choice of the logged requests of one worker.
pub struct AccessSampler {
    log: AccessLog,
    /// Number of requests until the next logged one.
    left: Cell<u64>,
}

impl AccessSampler {
    /// Logs a request if it is due for a line. `record` is called for such a one only.
    pub fn note(&self, record: impl FnOnce() -> AccessRecord) {
        let left = self.left.get().saturating_sub(1);
        self.left.set(if left == 0 { self.log.one_in } else { left });
        if left == 0 && self.log.records.try_send(record()).is_err() {
            self.log.dropped.increment(1);
        }
    }
}

/// The thread that writes the lines.
pub struct AccessLogThread {
    stop: Sender<()>,
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl AccessLogThread {
    /// Writes the lines that are queued, within a bounded time, and ends the thread.
    pub fn stop(self) {
        drop(self.stop);
        match self.ended.recv_timeout(DRAIN_WITHIN) {
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => {
                tracing::warn!("the access log lacks its last lines: standard output is not read");
            }
            Ok(()) | Err(crossbeam_channel::RecvTimeoutError::Disconnected) => {
                let _panics_are_counted = self.thread.join();
            }
        }
    }
}

/// Starts an access log that is written to `out`.
///
/// # Errors
/// If the thread fails to start.
pub fn start(
    options: AccessLogOptions,
    telemetry: &Telemetry,
    out: impl Write + Send + 'static,
) -> io::Result<(AccessLog, AccessLogThread)> {
    let (sender, records) = bounded(options.queue_lines);
    let (stop, stopping) = bounded(0);
    let (ending, ended) = bounded(0);
    let [written, dropped] =
        ["written", "dropped"].map(|result| telemetry.counter(&metric::ACCESS_LOG_LINES, &[("result", result)]));
    let mut writer =
        LineWriter { out, json: options.json, written, dropped: dropped.clone(), text: String::new(), failing: false };
    let panics = PanicMeter::new(telemetry, "fc-access-log");
    let thread = std::thread::Builder::new().name("fc-access-log".into()).spawn(move || {
        panics.restart_until(
            || matches!(stopping.try_recv(), Err(crossbeam_channel::TryRecvError::Disconnected)),
            || {
                writer.run(&records, &stopping);
            },
        );
        drop(ending);
    })?;
    let one_in = options.one_in.max(1);
    Ok((AccessLog { records: sender, dropped, one_in }, AccessLogThread { stop, ended, thread }))
}

struct LineWriter<W> {
    out: W,
    json: bool,
    written: Counter,
    dropped: Counter,
    text: String,
    /// The last write failed, which was logged.
    failing: bool,
}

impl<W: Write> LineWriter<W> {
    /// Writes until the server stops, then what is queued.
    fn run(&mut self, records: &Receiver<AccessRecord>, stopping: &Receiver<()>) {
        loop {
            select! {
                recv(records) -> record => match record {
                    Ok(record) => self.write(record, records),
                    Err(_) => return,
                },
                recv(stopping) -> _ => break,
            }
        }
        while let Ok(record) = records.try_recv() {
            self.write(record, records);
        }
    }

    /// Writes a record and some of those that wait behind it, at once.
    fn write(&mut self, first: AccessRecord, more: &Receiver<AccessRecord>) {
        self.text.clear();
        let mut lines = 0u64;
        for record in std::iter::once(first).chain(more.try_iter()).take(LINES_PER_WRITE) {
            self.line(&record);
            lines = lines.saturating_add(1);
        }
        match self.out.write_all(self.text.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => {
                self.written.increment(lines);
                self.failing = false;
            }
            Err(error) => {
                self.dropped.increment(lines);
                if !self.failing {
                    tracing::error!(%error, "the access log cannot be written");
                }
                self.failing = true;
            }
        }
    }

    fn line(&mut self, record: &AccessRecord) {
        let line = AccessLine::of(record);
        // Writing to a String cannot fail, nor can the serialization of these types.
        if self.json {
            self.text.push_str(&serde_json::to_string(&line).unwrap_or_default());
        } else {
            let AccessLine { at, listener, method, route, status, problem, bytes, took_us, request_id } = line;
            let _ = write!(self.text, "{at} listener={listener} method={method} route={route} status={status}");
            if let Some(problem) = problem {
                let _ = write!(self.text, " problem={problem}");
            }
            if let Some(bytes) = bytes {
                let _ = write!(self.text, " bytes={bytes}");
            }
            let _ = write!(self.text, " took_us={took_us} request_id={request_id}");
        }
        self.text.push('\n');
    }
}

/// The members of a line.
#[derive(Serialize)]
struct AccessLine<'a> {
    at: String,
    listener: &'static str,
    method: &'static str,
    route: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    took_us: u64,
    request_id: &'a str,
}

impl AccessLine<'_> {
    fn of(record: &AccessRecord) -> AccessLine<'_> {
        let AccessRecord { at, listener, method, route, status, problem, bytes, took, ref request_id } = *record;
        AccessLine {
            at: rfc3339(at),
            listener,
            method,
            route,
            status,
            problem,
            bytes,
            took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            request_id: request_id.to_str().unwrap_or(""),
        }
    }
}

#[cfg(test)]
mod tests;

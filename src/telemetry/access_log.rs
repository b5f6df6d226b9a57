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
        let line = Line::of(record);
        // Writing to a String cannot fail, nor can the serialization of these types.
        if self.json {
            self.text.push_str(&serde_json::to_string(&line).unwrap_or_default());
        } else {
            let Line { at, listener, method, route, status, problem, bytes, took_us, request_id } = line;
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
struct Line<'a> {
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

impl Line<'_> {
    fn of(record: &AccessRecord) -> Line<'_> {
        let AccessRecord { at, listener, method, route, status, problem, bytes, took, ref request_id } = *record;
        Line {
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
mod tests {
    use std::sync::Arc;

    use parking_lot::{Condvar, Mutex};

    use super::*;

    fn record(status: u16) -> AccessRecord {
        AccessRecord {
            at: UnixMillis::new(1_700_000_000_123).expect("in range"),
            listener: "public",
            method: "POST",
            route: "/v1/drops/{drop_id}/orders",
            status,
            problem: (status == 409).then_some("sold-out"),
            bytes: (status != 200).then_some(412),
            took: Duration::from_micros(57),
            request_id: HeaderValue::from_static("r1"),
        }
    }

    /// A reader that reads only while it is open.
    #[derive(Clone, Default)]
    struct Gate(Arc<(Mutex<Output>, Condvar)>);

    #[derive(Default)]
    struct Output {
        is_open: bool,
        bytes: Vec<u8>,
    }

    impl Gate {
        fn open(&self) {
            self.0.0.lock().is_open = true;
            self.0.1.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.0.lock().bytes.clone()).expect("text")
        }
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.0.lock();
            while !state.is_open {
                self.0.1.wait(&mut state);
            }
            state.bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const ALL: AccessLogOptions = AccessLogOptions { one_in: 1, queue_lines: 100, json: false };

    fn begin(
        options: AccessLogOptions,
        telemetry: &Telemetry,
        out: impl Write + Send + 'static,
    ) -> (AccessSampler, AccessLogThread) {
        let (log, thread) = start(options, telemetry, out).expect("started");
        (log.sampler(), thread)
    }

    fn lines(telemetry: &Telemetry, result: &str) -> u64 {
        let start = format!("firstcome_access_log_lines_total{{result=\"{result}\"}} ");
        telemetry.render().lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).expect("counted")
    }

    #[test]
    fn a_line_has_route_status_size_time_and_request_id_as_text_or_json() {
        for json in [false, true] {
            let (telemetry, gate) = (Telemetry::new(), Gate::default());
            gate.open();
            let (log, thread) = begin(AccessLogOptions { json, ..ALL }, &telemetry, gate.clone());
            [201, 409, 200].into_iter().for_each(|status| log.note(|| record(status)));
            thread.stop();
            let text = gate.text();
            assert_eq!((text.lines().count(), lines(&telemetry, "written"), lines(&telemetry, "dropped")), (3, 3, 0));
            if json {
                let refused: serde_json::Value =
                    serde_json::from_str(text.lines().nth(1).expect("a line")).expect("JSON");
                let expected = serde_json::json!({
                    "at": "2023-11-14T22:13:20.123Z", "listener": "public", "method": "POST",
                    "route": "/v1/drops/{drop_id}/orders", "status": 409, "problem": "sold-out", "bytes": 412,
                    "took_us": 57, "request_id": "r1",
                });
                assert_eq!(refused, expected);
            } else {
                let head =
                    "2023-11-14T22:13:20.123Z listener=public method=POST route=/v1/drops/{drop_id}/orders status=";
                let ends = ["201 bytes=412", "409 problem=sold-out bytes=412", "200"];
                let expected: Vec<_> = ends.map(|end| format!("{head}{end} took_us=57 request_id=r1")).into();
                assert_eq!(text.lines().collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn a_reader_that_has_stopped_reading_costs_lines_and_nothing_else() {
        let (telemetry, gate) = (Telemetry::new(), Gate::default());
        let (log, thread) = begin(ALL, &telemetry, gate.clone());
        // One batch is in the writer's hands, one queue is full: everything else is dropped at once.
        let sent = 10_000;
        (0..sent).for_each(|_| log.note(|| record(200)));
        let dropped = lines(&telemetry, "dropped");
        assert!((sent - 1000..sent).contains(&dropped), "{dropped} of {sent}");
        gate.open();
        thread.stop();
        assert_eq!(lines(&telemetry, "written") + dropped, sent, "each line is written or counted");
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_that_has_stopped_reading() {
        let (telemetry, gate) = (Telemetry::new(), Gate::default());
        let (log, thread) = begin(ALL, &telemetry, gate.clone());
        log.note(|| record(200));
        thread.stop();
        assert_eq!(lines(&telemetry, "written"), 0);
        gate.open();
    }

    #[test]
    fn one_request_of_so_many_is_logged_and_the_first_is() {
        let (telemetry, gate) = (Telemetry::new(), Gate::default());
        gate.open();
        let (log, thread) = begin(AccessLogOptions { one_in: 10, ..ALL }, &telemetry, gate.clone());
        (0..95).for_each(|number| log.note(|| record(200 + number)));
        thread.stop();
        let text = gate.text();
        assert_eq!(text.lines().count(), 10, "{text}");
        assert!(text.contains("status=200 ") && text.contains("status=290 "), "{text}");
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let telemetry = Telemetry::new();
        let (log, thread) = begin(ALL, &telemetry, Closed);
        (0..5).for_each(|_| log.note(|| record(200)));
        thread.stop();
        assert_eq!((lines(&telemetry, "written"), lines(&telemetry, "dropped")), (0, 5));
    }
}

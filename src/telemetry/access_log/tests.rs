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
            let refused: serde_json::Value = serde_json::from_str(text.lines().nth(1).expect("a line")).expect("JSON");
            let expected = serde_json::json!({
                "at": "2023-11-14T22:13:20.123Z", "listener": "public", "method": "POST",
                "route": "/v1/drops/{drop_id}/orders", "status": 409, "problem": "sold-out", "bytes": 412,
                "took_us": 57, "request_id": "r1",
            });
            assert_eq!(refused, expected);
        } else {
            let head = "2023-11-14T22:13:20.123Z listener=public method=POST route=/v1/drops/{drop_id}/orders status=";
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

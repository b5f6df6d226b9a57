//! The figures of the console: a frame a second, made once for all consoles from the metrics of the server. The writer is
//! never asked.

mod figures;
pub mod prometheus;
pub(super) mod state;
pub(super) mod thresholds;

use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use tokio::sync::watch;

use super::handlers::metrics::measured;
use super::worker::Worker;
use crate::api::json::console::{ConsoleFrame, console_body};
use crate::telemetry::page::MetricsPage;

/// Consoles that one server serves at once.
pub(super) const CONSOLES_MAX: usize = 16;
/// The interval of frames.
const FRAME_EVERY: Duration = Duration::from_secs(1);
/// Time for which frames are made after the last console has left: a page that is loaded again finds its charts.
const LINGER: Duration = Duration::from_secs(60);
/// Seconds of the charts.
const POINTS_MAX: usize = 300;
/// Pages that rates are made of. Threads add their counts up once a second, each at its own moment, so that the difference
/// of two seconds jumps.
const PAGES_MAX: usize = 4;

/// A console among those that are served.
pub(super) struct ConsoleSlot(Rc<Worker>);

impl Drop for ConsoleSlot {
    fn drop(&mut self) {
        let consoles = &self.0.console.consoles;
        consoles.set(consoles.get().saturating_sub(1));
    }
}

impl ConsoleSlot {
    /// Takes a slot, unless there are too many consoles. Frames are made from now on.
    pub(super) fn take(worker: &Rc<Worker>) -> Option<ConsoleSlot> {
        let consoles = &worker.console.consoles;
        if consoles.get() >= CONSOLES_MAX {
            return None;
        }
        consoles.set(consoles.get().saturating_add(1));
        if !worker.console.is_measuring.replace(true) {
            measure(worker);
            tokio::task::spawn_local(measure_each_second(Rc::clone(worker)));
        }
        Some(ConsoleSlot(Rc::clone(worker)))
    }

    /// Returns the newest frame with the seconds before it, and the frames to come.
    pub(super) fn frames(&self) -> (Bytes, watch::Receiver<(u64, Bytes)>) {
        let console = &self.0.console;
        let mut frames = console.newest.subscribe();
        frames.mark_unchanged();
        let first = console.frame.borrow().as_ref().map(|frame| {
            let recent = Some(console.points.borrow().iter().copied().collect());
            console_body(&ConsoleFrame { recent, ..frame.clone() })
        });
        (first.unwrap_or_default(), frames)
    }
}

async fn measure_each_second(worker: Rc<Worker>) {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + FRAME_EVERY, FRAME_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watched_at = Instant::now();
    loop {
        interval.tick().await;
        if worker.console.consoles.get() > 0 {
            watched_at = Instant::now();
        }
        if watched_at.elapsed() > LINGER || *worker.server.stopping.borrow() {
            break;
        }
        measure(&worker);
    }
    let console = &worker.console;
    console.is_measuring.set(false);
    console.pages.borrow_mut().clear();
    console.points.borrow_mut().clear();
}

/// Makes a frame of the metrics as they are now.
fn measure(worker: &Worker) {
    let console = &worker.console;
    let (text, sample) = measured(worker);
    let page = match MetricsPage::parse(&text) {
        Ok(page) => page,
        Err(error) => {
            tracing::error!(%error, "the console cannot read the metrics");
            return;
        }
    };
    let now = Instant::now();
    let mut pages = console.pages.borrow_mut();
    let rates = pages.front().and_then(|(then, before)| figures::rates(&page, before, now.duration_since(*then)));
    let frame = figures::frame(worker, &page, sample, rates);
    pages.push_back((now, page));
    if pages.len() > PAGES_MAX {
        pages.pop_front();
    }
    let mut points = console.points.borrow_mut();
    points.extend(figures::point(&frame));
    if points.len() > POINTS_MAX {
        points.pop_front();
    }
    let json = console_body(&frame);
    console.newest.send_modify(|(number, newest)| {
        *number = number.saturating_add(1);
        *newest = json;
    });
    *console.frame.borrow_mut() = Some(frame);
}

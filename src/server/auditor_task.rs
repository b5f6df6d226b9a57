//! The auditor's schedule: it counts new events every second, and compares with the counters at every interval.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::failpoints;
use crate::http::worker::Worker;
use crate::read::Auditor;
use crate::telemetry::PanicMeter;
use crate::telemetry::panics::RESTART_PAUSE;
use crate::types::DropId;

/// Called on the query thread with a drop and whether a mismatch stands; returns whether the writer accepted it.
pub(super) type MismatchHook = Arc<dyn Fn(DropId, bool) -> bool + Send + Sync>;

/// Longest interval of counting new events, between two comparisons.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the auditor until the runtime ends. After a panic it counts everything again.
pub(super) async fn supervise(worker: Rc<Worker>, mismatched: Vec<DropId>, on_mismatch: MismatchHook) {
    let panics = PanicMeter::new(&worker.server.telemetry, "fc-auditor");
    let mismatched = Rc::new(mismatched);
    loop {
        let (worker, mismatched) = (Rc::clone(&worker), Rc::clone(&mismatched));
        match tokio::task::spawn_local(audit(worker, mismatched, Arc::clone(&on_mismatch))).await {
            Err(ended) if ended.is_panic() => panics.note(&*ended.into_panic()),
            // The runtime ends.
            Ok(()) | Err(_) => return,
        }
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

async fn audit(worker: Rc<Worker>, mismatched: Rc<Vec<DropId>>, on_mismatch: MismatchHook) {
    let mut auditor = Auditor::default();
    mismatched.iter().for_each(|drop_id| auditor.expect_mismatch(*drop_id));
    let compare_interval = worker.server.config.compare_interval;
    let mut compared = None;
    loop {
        failpoints::panic_in("fc-auditor");
        // In short steps, with room for operators in between.
        while let Ok(true) = auditor.follow(&worker.reader, &worker.server.auditor) {
            tokio::task::yield_now().await;
        }
        if compared.is_none_or(|at: Instant| at.elapsed() >= compare_interval) {
            compared = Some(Instant::now());
            match auditor.compare(&worker.reader, &worker.server.auditor) {
                Ok(changes) => {
                    for change in changes.into_iter().filter(|change| on_mismatch(change.drop_id, change.stands)) {
                        auditor.noted(change);
                    }
                }
                Err(error) => tracing::error!(%error, "auditor's database read failed"),
            }
        }
        tokio::time::sleep(FOLLOW_INTERVAL.min(compare_interval)).await;
    }
}

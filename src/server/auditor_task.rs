//! The auditor's schedule: it counts new events every second, and compares with the counters at every interval.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::http::worker::Worker;
use crate::read::{Auditor, Reader};
use crate::types::DropId;

/// Called on the query thread with a drop and whether a mismatch stands; returns whether the writer accepted it.
pub(super) type MismatchHook = Arc<dyn Fn(DropId, bool) -> bool + Send + Sync>;

/// Longest interval of counting new events, between two comparisons.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the auditor until the runtime ends.
pub(super) async fn audit(worker: Rc<Worker>, reader: Reader, mismatched: Vec<DropId>, on_mismatch: MismatchHook) {
    let mut auditor = Auditor::default();
    mismatched.into_iter().for_each(|drop_id| auditor.expect_mismatch(drop_id));
    let compare_interval = worker.server.config.compare_interval;
    let mut compared = None;
    loop {
        // In short steps, with room for operators in between.
        while let Ok(true) = auditor.follow(&reader, &worker.server.auditor) {
            tokio::task::yield_now().await;
        }
        if compared.is_none_or(|at: Instant| at.elapsed() >= compare_interval) {
            compared = Some(Instant::now());
            match auditor.compare(&reader, &worker.server.auditor) {
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

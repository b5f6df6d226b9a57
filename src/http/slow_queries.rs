//! Queries that take longer than a point read run on one thread of their own, the query thread, so that a list never
//! delays an order. It has its own database connection and serves the admin listener as well.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::deadlines::within;
use crate::failpoints;
use crate::read::Reader;
use crate::telemetry::PanicMeter;

/// Queries that wait at most; more are rejected.
const QUERIES_MAX: usize = 256;

type Query = Box<dyn FnOnce(&Reader) + Send>;

/// Sends queries to the query thread. Each worker has a clone.
#[derive(Clone)]
pub struct QueryQueue {
    queries: mpsc::Sender<Query>,
    deadline: Duration,
}

/// The receiving end: runs the queries.
pub struct QueryThread(mpsc::Receiver<Query>);

/// The query thread has too many queries waiting, or did not answer in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueryThreadBusy;

impl QueryQueue {
    /// Returns both ends of an empty queue.
    #[must_use]
    pub fn new(deadline: Duration) -> (QueryQueue, QueryThread) {
        let (queries, receiver) = mpsc::channel(QUERIES_MAX);
        (QueryQueue { queries, deadline }, QueryThread(receiver))
    }

    /// Waits for the turn of a query, as long as for its result.
    ///
    /// # Errors
    /// If the turn does not come in time.
    pub async fn within_deadline<T>(&self, turn: impl Future<Output = T>) -> Result<T, QueryThreadBusy> {
        within(self.deadline, turn).await.ok_or(QueryThreadBusy)
    }

    /// Runs a query on the query thread and returns its result.
    ///
    /// # Errors
    /// If the queue is full, the result is late, or the query thread has ended.
    pub async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Reader) -> T + Send + 'static,
    ) -> Result<T, QueryThreadBusy> {
        let (sender, receiver) = oneshot::channel();
        let query: Query = Box::new(move |reader| {
            // The client has disconnected, or was told that the query takes too long: its result is not needed.
            if !sender.is_closed() {
                let _disconnected = sender.send(query(reader));
            }
        });
        self.queries.try_send(query).map_err(|_| QueryThreadBusy)?;
        let result = within(self.deadline, receiver).await;
        result.ok_or(QueryThreadBusy)?.map_err(|_| QueryThreadBusy)
    }
}

impl QueryThread {
    /// Runs one query after the other; the thread's other tasks run in between. A query that panics has no result.
    pub async fn run(mut self, reader: &Reader, panics: &PanicMeter) {
        while let Some(query) = self.0.recv().await {
            let _panicked = panics.catch(|| {
                failpoints::panic_in("fc-query");
                query(reader);
            });
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_without_a_result_in_time_fails() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (queries, _not_running) = QueryQueue::new(Duration::from_millis(5));
        assert_eq!(runtime.block_on(queries.run(|_| ())), Err(QueryThreadBusy));
    }
}

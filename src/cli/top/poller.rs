//! A thread that reads the server's figures once per interval and passes them to the screen.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::view::Sample;
use crate::client::http::{HttpClient, RequestError};
use crate::exit::{self, Exit, exit_now};
use crate::telemetry::page::MetricsPage;

/// Samples that wait to be drawn; a screen that is too slow misses some.
const WAITING_MAX: usize = 4;

/// Time for the screen to restore the terminal after a signal. A terminal that is gone blocks the screen's thread.
const QUIT_WITHIN: Duration = Duration::from_secs(1);

/// Interval at which a full channel is tried again.
const RETRY_EVERY: Duration = Duration::from_millis(10);

/// The listeners to read from.
#[derive(Clone)]
pub(super) struct Source {
    admin: HttpClient,
    drop: Option<(HttpClient, u32)>,
}

/// Reason for the lack of a sample, as text for the screen and as the exit of `--once`.
pub(super) struct SampleError {
    pub(super) reason: String,
    pub(super) exit: Exit,
    /// A later attempt would fail as well.
    pub(super) is_final: bool,
}

/// Message to the screen.
pub(super) enum PollResult {
    Sample(Sample),
    /// Reason for the lack of a sample.
    Failed(String),
    /// A signal requests the end of the program.
    Quit,
}

impl Source {
    /// Parses the addresses.
    ///
    /// # Errors
    /// 64: an address is malformed, or the file has no certificate.
    pub(super) fn new(admin: &str, public: &str, drop: Option<u32>, ca: Option<&Path>) -> Result<Source, Exit> {
        let admin = HttpClient::for_admin(admin, "--admin", ca)?;
        let drop = drop.map(|id| HttpClient::new(public, "--public", ca).map(|public| (public, id))).transpose()?;
        Ok(Source { admin, drop })
    }

    /// Returns the address for the heading.
    pub(super) fn server(&self) -> String {
        self.admin.url.trim_start_matches("http://").to_owned()
    }

    /// Reads the metrics and the drop.
    ///
    /// # Errors
    /// 69: the server is unreachable or refuses.
    pub(super) async fn sample(&self, start: Instant) -> Result<Sample, SampleError> {
        let failed = |error: RequestError| SampleError {
            reason: error.to_string(),
            exit: self.admin.exit("/metrics", &error),
            is_final: false,
        };
        let text = self.admin.get_text("/metrics").await.map_err(failed)?;
        let page = MetricsPage::parse(&text).map_err(|wrong| failed(RequestError::Invalid(wrong.to_string())))?;
        let drop = self.drop().await?;
        Ok(Sample { at: start.elapsed(), page, drop })
    }

    /// Reads the drop of `--drop`.
    ///
    /// # Errors
    /// 69: the server is unreachable, or has no such drop.
    pub(super) async fn drop(&self) -> Result<Option<Value>, SampleError> {
        let Some((public, id)) = &self.drop else { return Ok(None) };
        match public.get_json(&format!("/v1/drops/{id}")).await {
            Ok(drop) => Ok(Some(drop)),
            Err(error @ RequestError::Status(404, _)) => {
                let reason = format!("there is no drop {id}");
                let exit = Exit::unavailable(format!("{}: {reason} ({error})", public.url));
                Err(SampleError { reason, exit, is_final: true })
            }
            Err(error) => {
                let exit = public.exit(&format!("drop {id}"), &error);
                Err(SampleError { reason: error.to_string(), exit, is_final: false })
            }
        }
    }
}

/// Handle of the polling thread.
pub(super) struct Poller {
    results: Receiver<PollResult>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Poller {
    /// Starts the thread.
    ///
    /// # Errors
    /// 71: no thread or no runtime.
    pub(super) fn start(source: Source, every: Duration) -> Result<Poller, Exit> {
        let failed = |error: std::io::Error| Exit::system(format!("no polling thread: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (results, received) = bounded(WAITING_MAX);
        let (stop, mut stopped) = oneshot::channel();
        let work = async move {
            tokio::select! {
                () = poll(&source, every, &results) => {}
                _ = &mut stopped => {}
                () = signalled() => quit(&results, stopped).await,
            }
        };
        let thread = std::thread::Builder::new().name("top-poll".into()).spawn(move || runtime.block_on(work));
        Ok(Poller { results: received, stop, thread: thread.map_err(failed)? })
    }

    /// Returns the next result that has arrived, without waiting.
    ///
    /// # Errors
    /// 70: the thread has ended by itself.
    pub(super) fn next(&self) -> Result<Option<PollResult>, Exit> {
        match self.results.try_recv() {
            Ok(result) => Ok(Some(result)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Exit::bug("the polling thread has ended")),
        }
    }

    /// Stops and joins the thread.
    pub(super) fn stop(self) {
        drop(self.results);
        let _ended_already = self.stop.send(());
        let _reported_by_the_panic_hook = self.thread.join();
    }
}

async fn poll(source: &Source, every: Duration, results: &Sender<PollResult>) {
    let start = Instant::now();
    let mut turns = tokio::time::interval(every);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let result = match source.sample(start).await {
            Ok(sample) => PollResult::Sample(sample),
            Err(error) => PollResult::Failed(error.reason),
        };
        // If the channel is full, the screen is behind and the next sample is newer.
        let _missed = results.try_send(result);
    }
}

/// Asks the screen to restore the terminal and to quit. If it does not, its terminal is gone: the process ends at once.
async fn quit(results: &Sender<PollResult>, stopped: oneshot::Receiver<()>) {
    let deadline = Instant::now() + QUIT_WITHIN;
    while results.try_send(PollResult::Quit).is_err() && Instant::now() < deadline {
        tokio::time::sleep(RETRY_EVERY).await;
    }
    if tokio::time::timeout(QUIT_WITHIN, stopped).await.is_err() {
        exit_now(exit::OK);
    }
}

/// Waits for SIGTERM, SIGHUP, or a SIGINT that does not come from the keyboard.
async fn signalled() {
    let signals = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()].map(signal);
    let [Ok(mut terminate), Ok(mut hangup), Ok(mut interrupt)] = signals else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
        _ = interrupt.recv() => {}
    }
}

//! Who asks: a thread that looks at the server once per interval and hands over what it sees.

use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::view::Look;
use crate::client::http::{HttpClient, RequestError};
use crate::client::metrics::MetricsPage;
use crate::exit::Exit;

/// Looks that wait to be drawn; a screen that is too slow misses some.
const WAITING_MAX: usize = 4;

/// Whom to ask, and for what.
#[derive(Clone)]
pub(super) struct Asking {
    admin: HttpClient,
    drop: Option<(HttpClient, u32)>,
}

/// Why there is no look: in some words for the screen, and as the end of a command.
pub(super) struct NoLook {
    pub(super) why: String,
    pub(super) exit: Exit,
    /// Trying on would be in vain.
    pub(super) is_final: bool,
}

/// What came of it.
pub(super) enum Answer {
    /// What the server shows.
    Look(Look),
    /// Nothing: why.
    None(String),
    /// A signal asks the program to end.
    Leave,
}

impl Asking {
    /// Takes the addresses apart.
    ///
    /// # Errors
    /// One of them is none, or there is no authority in the file (64).
    pub(super) fn new(admin: &str, public: &str, drop: Option<u32>, ca: Option<&Path>) -> Result<Asking, Exit> {
        let admin = HttpClient::for_admin(admin, "--admin", ca)?;
        let drop = drop.map(|id| HttpClient::new(public, "--public", ca).map(|public| (public, id))).transpose()?;
        Ok(Asking { admin, drop })
    }

    /// Whom the screen names.
    pub(super) fn server(&self) -> String {
        self.admin.url.trim_start_matches("http://").to_owned()
    }

    /// One look.
    ///
    /// # Errors
    /// Why there is none (69).
    pub(super) async fn look(&self, start: Instant) -> Result<Look, NoLook> {
        let told = |error: RequestError| NoLook {
            why: error.to_string(),
            exit: self.admin.exit("/metrics", &error),
            is_final: false,
        };
        let text = self.admin.get_text("/metrics").await.map_err(told)?;
        let page = MetricsPage::parse(&text).map_err(|wrong| told(RequestError::Invalid(wrong.to_string())))?;
        let drop = self.drop().await?;
        Ok(Look { at: start.elapsed(), page, drop })
    }

    /// The drop that was asked for.
    ///
    /// # Errors
    /// Why it is not to be seen (69).
    pub(super) async fn drop(&self) -> Result<Option<Value>, NoLook> {
        let Some((public, id)) = &self.drop else { return Ok(None) };
        match public.get_json(&format!("/v1/drops/{id}")).await {
            Ok(drop) => Ok(Some(drop)),
            Err(error @ RequestError::Status(404, _)) => {
                let why = format!("there is no drop {id}");
                let exit = Exit::unavailable(format!("{}: {why} ({error})", public.url));
                Err(NoLook { why, exit, is_final: true })
            }
            Err(error) => {
                let exit = public.exit(&format!("drop {id}"), &error);
                Err(NoLook { why: error.to_string(), exit, is_final: false })
            }
        }
    }
}

/// The thread.
pub(super) struct Watch {
    answers: Receiver<Answer>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Starts to look.
    ///
    /// # Errors
    /// No thread, or no runtime (71).
    pub(super) fn start(asking: Asking, every: Duration) -> Result<Watch, Exit> {
        let failed = |error: std::io::Error| Exit::system(format!("no thread to ask with: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (answers, received) = bounded(WAITING_MAX);
        let (stop, stopped) = oneshot::channel();
        let work = async move {
            tokio::select! {
                () = ask(&asking, every, &answers) => {}
                _ = stopped => {}
                () = asked_to_end() => {
                    // The screen puts the terminal right; it takes what is there within a blink.
                    let _gone = answers.send(Answer::Leave);
                }
            }
        };
        let thread = std::thread::Builder::new().name("top-asks".into()).spawn(move || runtime.block_on(work));
        Ok(Watch { answers: received, stop, thread: thread.map_err(failed)? })
    }

    /// What has come, if anything has.
    ///
    /// # Errors
    /// The thread has ended by itself: a bug (70).
    pub(super) fn next(&self) -> Result<Option<Answer>, Exit> {
        match self.answers.try_recv() {
            Ok(answer) => Ok(Some(answer)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Exit::bug("the thread that asks the server has ended")),
        }
    }

    /// Ends it.
    pub(super) fn stop(self) {
        drop(self.answers);
        let _ended_already = self.stop.send(());
        let _told_by_its_hook = self.thread.join();
    }
}

async fn ask(asking: &Asking, every: Duration, answers: &Sender<Answer>) {
    let start = Instant::now();
    let mut turns = tokio::time::interval(every);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let answer = match asking.look(start).await {
            Ok(look) => Answer::Look(look),
            Err(none) => Answer::None(none.why),
        };
        // A full channel is drawn soon; the next look is newer.
        let _missed = answers.try_send(answer);
    }
}

/// SIGTERM and SIGHUP, and SIGINT from elsewhere than the keyboard: the terminal must not stay as it is.
async fn asked_to_end() {
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

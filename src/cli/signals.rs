//! Signals that do not end the server: SIGHUP reads the limits again, SIGUSR1 and SIGUSR2 change nothing.

use std::sync::{Arc, OnceLock};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::serve::ServeArgs;
use crate::admission::Admission;

/// The admission of a server, once it serves.
pub(super) type Serving = OnceLock<Arc<Admission>>;

/// Signals that are logged and end nothing.
pub(super) struct HarmlessSignals {
    hangup: Signal,
    user1: Signal,
    user2: Signal,
}

impl HarmlessSignals {
    pub(super) fn listen() -> std::io::Result<HarmlessSignals> {
        Ok(HarmlessSignals {
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Handles each signal while the runtime waits for the end.
    pub(super) fn handle_on(mut self, runtime: &Runtime, args: Arc<ServeArgs>, serving: Arc<Serving>) {
        runtime.spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = self.hangup.recv() => match serving.get() {
                        Some(admission) => {
                            read_limits_again(&args, admission);
                            continue;
                        }
                        None => "SIGHUP",
                    },
                    _ = self.user1.recv() => "SIGUSR1",
                    _ = self.user2.recv() => "SIGUSR2",
                };
                tracing::info!(
                    signal = name,
                    "ignored: changed certificates, keys and operators take effect without a signal"
                );
            }
        });
    }
}

/// Puts the limits of the file, the environment and the flags in force, unless they have a mistake.
fn read_limits_again(args: &ServeArgs, admission: &Admission) {
    match args.config() {
        Ok(config) => {
            admission.replace_limits(&config);
            tracing::info!(
                "SIGHUP: the limits of the sections admission and risk are in force as they stand now; all other settings, and \
                 entries_max of both, take effect at the next start"
            );
        }
        Err(mistakes) => {
            let mistakes = mistakes.message.lines().collect::<Vec<_>>().join("; ");
            tracing::error!(mistakes, "SIGHUP: the settings have mistakes, so the limits stay as they are");
        }
    }
}

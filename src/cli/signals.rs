//! Signals that do not end the server: SIGHUP reads the limits again, SIGUSR1 and SIGUSR2 change nothing.

use std::sync::{Arc, OnceLock};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::serve::ServeArgs;
use crate::admission::Admission;
use crate::config::ConfigError;

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
                            read_rules_again(&args, admission);
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

/// Puts the sections `admission`, `risk` and `challenge` of the file, the environment and the flags in force, unless any
/// setting has a mistake.
fn read_rules_again(args: &ServeArgs, admission: &Admission) {
    let config = args.config().map_err(|mistakes| mistakes.message.lines().collect::<Vec<_>>().join("; "));
    let replaced = config.and_then(|config| {
        let told = |mistakes: Vec<ConfigError>| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        admission.replace_rules(&config).map_err(told)
    });
    match replaced {
        Ok(()) => tracing::info!(
            "SIGHUP: the sections admission, risk and challenge are in force as they stand now; all other settings, and the \
             numbers of places (admission.entries_max, risk.entries_max, challenge.used_max), take effect at the next start"
        ),
        Err(mistakes) => {
            tracing::error!(
                mistakes,
                "SIGHUP: the settings have mistakes, so limits, signals and challenges stay as they are"
            );
        }
    }
}

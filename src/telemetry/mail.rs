//! Metrics of the mails to buyers.

use metrics::{Counter, Gauge};

use super::{Telemetry, catalogue as metric, meters};

/// The result of an attempt to send a mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailOutcome {
    Sent,
    /// There was no address, or nothing to say any more.
    Skipped,
    /// The server asked to try this mail later.
    Deferred,
    /// The server, or the address itself, will never take it.
    Rejected,
    Failed,
    /// Given up after the last attempt, in addition to `Deferred` or `Failed`.
    Dead,
}

impl MailOutcome {
    const ALL: [(MailOutcome, &'static str); 6] = [
        (MailOutcome::Sent, "sent"),
        (MailOutcome::Skipped, "skipped"),
        (MailOutcome::Deferred, "deferred"),
        (MailOutcome::Rejected, "rejected"),
        (MailOutcome::Failed, "failed"),
        (MailOutcome::Dead, "dead"),
    ];
}

/// Meter of the relay's mails.
pub struct MailMeter {
    results: [Counter; 6],
    dead_letters: Gauge,
}

impl MailMeter {
    #[must_use]
    pub fn new(telemetry: &Telemetry) -> MailMeter {
        MailMeter {
            results: MailOutcome::ALL.map(|(_, name)| telemetry.counter(&metric::MAILS, &[("result", name)])),
            dead_letters: telemetry.gauge(&metric::MAIL_DEAD, &[]),
        }
    }

    pub fn count(&self, outcome: MailOutcome) {
        for ((known, _), counter) in MailOutcome::ALL.iter().zip(&self.results) {
            counter.increment(u64::from(*known == outcome));
        }
    }

    /// Sets the number of mails that were given up.
    pub fn show(&self, dead_letters: u64) {
        meters::set(&self.dead_letters, dead_letters);
    }
}

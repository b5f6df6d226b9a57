//! The bound of mails per second that the SMTP server is sent.

use std::time::{Duration, Instant};

/// The share that may have gathered unused: the relay looks for work every few milliseconds, so that high rates need some.
const BURST: Duration = Duration::from_millis(100);

/// A limit of mails per second, by the generic cell rate algorithm.
#[derive(Clone, Debug)]
pub struct RateLimit {
    interval: Duration,
    next: Instant,
}

impl RateLimit {
    #[must_use]
    pub fn new(per_second: u32, now: Instant) -> RateLimit {
        let interval = Duration::from_secs(1).checked_div(per_second.max(1)).unwrap_or(Duration::from_secs(1));
        RateLimit { interval, next: now }
    }

    /// Takes one mail's share, if there is one at `now`.
    pub fn take(&mut self, now: Instant) -> bool {
        let earliest = self.next.max(now.checked_sub(BURST).unwrap_or(now));
        if earliest > now {
            return false;
        }
        self.next = earliest + self.interval;
        true
    }

    /// Gives a share back that was taken for a mail which was not sent.
    pub fn give_back(&mut self) {
        self.next = self.next.checked_sub(self.interval).unwrap_or(self.next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_mails_than_its_rate_and_a_tenth() {
        for rate in [1, 7, 100, 1000] {
            let start = Instant::now();
            let mut limit = RateLimit::new(rate, start);
            let mut taken = Vec::new();
            // Ten seconds of looks every 25 ms, as the relay does, after an idle minute.
            for look in 0..400u64 {
                let now = start + Duration::from_secs(60) + Duration::from_millis(look * 25);
                while limit.take(now) {
                    taken.push(now);
                }
            }
            for (at, first) in taken.iter().enumerate() {
                let in_second = taken[at..].iter().take_while(|next| **next < *first + Duration::from_secs(1)).count();
                assert!(in_second <= (rate + rate / 10 + 1) as usize, "{in_second} at {rate}/s");
            }
            let least = rate as usize * 9;
            assert!(taken.len() >= least, "{} of {least} at {rate}/s", taken.len());
        }
    }
}

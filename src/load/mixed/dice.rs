//! Random numbers from a seed, and the distributions of waiting times. Pure.

use std::f64::consts::TAU;

/// A stream of well-mixed numbers (splitmix64), the same for the same seed and purpose.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Dice(u64);

/// A distribution of times, in seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Spread {
    Uniform {
        from: f64,
        to: f64,
    },
    LogNormal {
        median: f64,
        sigma: f64,
    },
    /// An exponential time after a least one.
    Exponential {
        least: f64,
        mean: f64,
    },
    /// The sum of this number of exponential times.
    Erlang {
        parts: u8,
        mean: f64,
    },
    Weibull {
        scale: f64,
        shape: f64,
    },
}

impl Dice {
    pub(super) fn new(seed: u64, purpose: u64) -> Dice {
        let mut dice = Dice(seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93));
        // The first number mixes the purpose into the stream.
        Dice(dice.number() ^ purpose)
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to below 1.
    pub(super) fn share(&mut self) -> f64 {
        let bits = u32::try_from(self.number() >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    /// True in this share of cases.
    pub(super) fn happens(&mut self, share: f64) -> bool {
        self.share() < share
    }

    /// A whole number of a range, both ends included.
    pub(super) fn whole_within(&mut self, from: u32, to: u32) -> u32 {
        let range = u64::from(to.saturating_sub(from)) + 1;
        from.saturating_add(u32::try_from(self.number() % range).unwrap_or(0))
    }

    /// One of these, by its weight.
    pub(super) fn pick<T: Copy>(&mut self, weighted: &[(u32, T)]) -> Option<T> {
        let sum: u32 = weighted.iter().map(|(weight, _)| weight).sum();
        let mut left = self.whole_within(1, sum.max(1));
        for (weight, item) in weighted {
            if left <= *weight {
                return Some(*item);
            }
            left -= weight;
        }
        None
    }

    /// A number of the standard normal distribution (Box and Muller).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (TAU * self.share()).cos()
    }

    /// A time of a distribution, in seconds.
    pub(super) fn time(&mut self, spread: Spread) -> f64 {
        let mut exponential = |mean: f64| -mean * (1.0 - self.share()).ln();
        match spread {
            Spread::Uniform { from, to } => from + (to - from) * self.share(),
            Spread::LogNormal { median, sigma } => median * (sigma * self.normal()).exp(),
            Spread::Exponential { least, mean } => least + exponential(mean),
            Spread::Erlang { parts, mean } => (0..parts).map(|_| exponential(mean / f64::from(parts))).sum(),
            Spread::Weibull { scale, shape } => scale * exponential(1.0).powf(1.0 / shape),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_follows_from_its_seed_and_its_purpose() {
        let draw = |seed, purpose| {
            let mut dice = Dice::new(seed, purpose);
            [dice.number(), dice.number()]
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
    }

    #[test]
    fn distributions_have_their_means() {
        let root_pi_half = std::f64::consts::PI.sqrt() / 2.0;
        for (spread, mean) in [
            (Spread::Uniform { from: 1.0, to: 3.0 }, 2.0),
            (Spread::LogNormal { median: 2.0, sigma: 0.5 }, 2.0 * (0.125f64).exp()),
            (Spread::Exponential { least: 1.0, mean: 2.0 }, 3.0),
            (Spread::Erlang { parts: 3, mean: 2.0 }, 2.0),
            (Spread::Weibull { scale: 2.0, shape: 2.0 }, 2.0 * root_pi_half),
        ] {
            let mut dice = Dice::new(1, 1);
            let sum: f64 = (0..20_000).map(|_| dice.time(spread)).sum();
            assert!((sum / 20_000.0 - mean).abs() < 0.05 * mean, "{spread:?}: {}", sum / 20_000.0);
        }
    }

    #[test]
    fn picks_follow_the_weights() {
        let mut dice = Dice::new(3, 3);
        let picked = (0..10_000).filter(|_| dice.pick(&[(1, "a"), (3, "b")]) == Some("a")).count();
        assert!((2_300..2_700).contains(&picked), "{picked}");
        assert_eq!(dice.pick::<u8>(&[]), None);
    }
}

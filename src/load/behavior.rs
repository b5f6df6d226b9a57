//! The behavior of buyers who have a unit: the shares of the crowd, drawn from the seed. Pure.
//!
//! Invariant: the behavior of a buyer depends on the seed and the buyer's number only, so it need not be stored.

use std::time::Duration;

use super::buyer::{Buyer, BuyerStep};

/// Shares of the real crowd, in thousandths of the buyers who get a unit.
const REPEATS_PER_MILLE: u64 = 50;
const ASKS_TWICE_PER_MILLE: u64 = 50;
const CANCELS_PER_MILLE: u64 = 80;
const CHECKS_OUT_THEN_CANCELS_PER_MILLE: u64 = 20;
const CHECKS_OUT_PER_MILLE: u64 = 600;

/// People take up to this long between an answer and their next step.
const THINK_MAX: Duration = Duration::from_millis(100);

/// The crowd of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Crowd {
    /// Every buyer places one order and leaves, whatever the answer.
    Plain,
    /// Every buyer places one order and checks out at once.
    Checkout,
    /// Like people: some repeat, ask twice, cancel, check out or never do; buyers who found it sold out wait for returns.
    Real,
}

impl Crowd {
    /// The word on the command line and in the report.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Crowd::Plain => "plain",
            Crowd::Checkout => "checkout",
            Crowd::Real => "real",
        }
    }
}

/// The parameters of the whole crowd's behavior.
#[derive(Clone, Debug)]
pub(super) struct BehaviorRules {
    pub(super) seed: u64,
    pub(super) crowd: Crowd,
    /// Some buyers ask twice: only where the drop allows one unit each, so that the answer is known.
    pub(super) asks_twice: bool,
    /// The length of a reservation where abandoned ones lapse during the run (`--expire`).
    pub(super) lapse_after: Option<Duration>,
    /// Buyers send nothing a second time: more requests than were offered would blur the cost of a rate.
    pub(super) asks_once: bool,
    /// Buyers ask further nodes where one is gone: attempts at it do not count as those of a server that fails.
    pub(super) has_other_nodes: bool,
}

/// A well-mixed number out of a seed (splitmix64's finisher).
const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl BehaviorRules {
    /// A number that belongs to this run, this buyer and this purpose.
    pub(super) fn dice(&self, number: u32, purpose: u64) -> u64 {
        mix(mix(self.seed ^ (u64::from(number) << 20)) ^ purpose)
    }

    /// True if this buyer takes this step after getting a unit.
    pub(super) fn takes(&self, number: u32, step: BuyerStep) -> bool {
        match self.crowd {
            Crowd::Plain => return false,
            Crowd::Checkout => return step == BuyerStep::CheckOut,
            Crowd::Real => {}
        }
        let fate = self.dice(number, 1) % 1000;
        let cancels = fate < CANCELS_PER_MILLE;
        let checks_out_then_cancels = !cancels && fate < CANCELS_PER_MILLE + CHECKS_OUT_THEN_CANCELS_PER_MILLE;
        let ends_with_return = CANCELS_PER_MILLE + CHECKS_OUT_THEN_CANCELS_PER_MILLE;
        let checks_out = fate >= ends_with_return && fate < ends_with_return + CHECKS_OUT_PER_MILLE;
        match step {
            BuyerStep::Order => true,
            BuyerStep::Repeat => self.dice(number, 2) % 1000 < REPEATS_PER_MILLE,
            BuyerStep::AskTwice => self.asks_twice && self.dice(number, 3) % 1000 < ASKS_TWICE_PER_MILLE,
            BuyerStep::CheckOut => checks_out || checks_out_then_cancels,
            BuyerStep::Cancel => cancels || checks_out_then_cancels,
            BuyerStep::ReadLapsed => self.lapse_after.is_some() && fate >= ends_with_return + CHECKS_OUT_PER_MILLE,
        }
    }

    /// True if this buyer wants to keep a unit: checks out and does not cancel.
    pub(super) fn keeps(&self, number: u32) -> bool {
        self.takes(number, BuyerStep::CheckOut) && !self.takes(number, BuyerStep::Cancel)
    }

    /// The pause of this buyer before this step.
    pub(super) fn think(&self, buyer: &Buyer, step: BuyerStep) -> Duration {
        if self.crowd == Crowd::Checkout {
            return Duration::ZERO;
        }
        let purpose = 16 + u64::from(buyer.key) * 8 + step as u64;
        part(THINK_MAX, self.dice(buyer.number, purpose))
    }
}

/// A part of a length of time, picked by a well-mixed number.
pub(super) fn part(whole: Duration, dice: u64) -> Duration {
    let thousandths = u32::try_from(dice >> 54).unwrap_or(0); // 0 to 1023
    whole * thousandths / 1024
}

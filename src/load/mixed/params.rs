//! The populations: sizes, addresses, programs and times of each kind. All times are in seconds.
//!
//! The weights of `risk` and the limits of `admission` may be tuned on population `a`. Populations `b` and `c` have other seeds,
//! distributions, intervals, programs and sizes of NATs, and are for evaluation only.

use super::dice::Spread;
use super::headers::{ClientProgram, DeviceSystem};

mod a;
mod b;
mod c;

/// The population of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum PopulationName {
    /// The one that defaults are tuned on.
    A,
    /// Other times, intervals, headers and NATs, which no default was tuned on.
    B,
    /// The same once more, for an evaluation after the rule that population `b` had shown to be missing.
    C,
}

impl PopulationName {
    /// The word on the command line and in the report.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            PopulationName::A => "a",
            PopulationName::B => "b",
            PopulationName::C => "c",
        }
    }

    pub(super) fn params(self) -> PopulationParams {
        match self {
            PopulationName::A => a::params(),
            PopulationName::B => b::params(),
            PopulationName::C => c::params(),
        }
    }
}

/// Programs with their weights.
pub(super) type Programs = &'static [(u32, ClientProgram)];

/// A population at its full size.
pub(super) struct PopulationParams {
    /// Is mixed into the seed, so that populations differ for the same seed.
    pub(super) salt: u64,
    /// Units of the drop, in percent of people and students.
    pub(super) units_percent: u32,
    pub(super) people: PeopleParams,
    /// Campuses, each behind one address.
    pub(super) campuses: u32,
    pub(super) students_each: u32,
    pub(super) student_programs: Programs,
    pub(super) human: HumanParams,
    pub(super) fast: MachineParams,
    pub(super) distributed: MachineParams,
    pub(super) reading: MachineParams,
    /// Patient bots, and their programs.
    pub(super) patient: u32,
    pub(super) patient_programs: Programs,
}

/// The places and programs of people.
pub(super) struct PeopleParams {
    pub(super) count: u32,
    /// The share of people on a telephone behind a carrier's NAT; the others have a line at home.
    pub(super) behind_nat: f64,
    /// People behind one address of a carrier: the fewest and the most.
    pub(super) nat_sizes: (u32, u32),
    pub(super) phones: Programs,
    pub(super) computers: Programs,
}

/// The times of people, students and patient bots, and the shares of habits that look like a bot's.
#[derive(Clone, Copy)]
pub(super) struct HumanParams {
    /// The arrival at the page before the start, for those who wait for it.
    pub(super) early: Spread,
    /// The share that waits for the start; the others come after it.
    pub(super) waits: f64,
    /// From the start to the click of those who wait.
    pub(super) reaction: Spread,
    /// From the start to the arrival of the others.
    pub(super) late: Spread,
    /// The pause between two requests of a buyer.
    pub(super) think: Spread,
    /// From the reservation to the checkout.
    pub(super) form: Spread,
    /// Reads before the first order: the fewest and the most.
    pub(super) reads: (u32, u32),
    /// Orders of a buyer who finds the drop sold out, before giving up: the fewest and the most.
    pub(super) tries: (u32, u32),
    /// The probability that a buyer reads the drop again before another try.
    pub(super) looks_again: f64,
    /// The share that clicks before the start, too.
    pub(super) impatient: f64,
    /// The share whose browser or app repeats by a timer.
    pub(super) by_timer: f64,
    /// The share that orders without a read: by a link into the shop's basket, for instance.
    pub(super) unread: f64,
    /// The share whose browser leaves out a header.
    pub(super) private: f64,
    /// The share whose address changes with each request.
    pub(super) roaming: f64,
    /// The share whose browser fills in the form at once.
    pub(super) instant_form: f64,
}

/// Bots that send by a timer.
#[derive(Clone, Copy)]
pub(super) struct MachineParams {
    pub(super) count: u32,
    /// Buyers behind one address.
    pub(super) per_address: u32,
    pub(super) programs: Programs,
    /// From the bot's first order to the start of the drop.
    pub(super) begins: Spread,
    /// The interval of a bot between its orders.
    pub(super) interval: Spread,
    /// The standard deviation of its intervals, in shares of their mean.
    pub(super) jitter: f64,
}

/// Chrome of a version on a system.
const fn chrome(version: u16, system: DeviceSystem) -> ClientProgram {
    ClientProgram::Chromium(version, system, "Google Chrome")
}

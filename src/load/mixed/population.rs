//! The simulated buyers of a run: a pure function of the population, the seed and the size.

use std::net::{IpAddr, Ipv4Addr};

use super::dice::Dice;
use super::habits::{Habits, HumanHabits, MachineHabits};
use super::headers::{ClientProgram, HeaderChange, lines};
use super::params::{HumanParams, MachineParams, PopulationName, PopulationParams, Programs};

/// Addresses come from the network for benchmarks (RFC 2544), 198.18.0.0/15.
const ADDRESSES: u32 = 1 << 17;
/// The first address of that network, 198.18.0.0.
const FIRST_ADDRESS: u32 = 0xc612_0000;

/// A kind of buyer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum BuyerKind {
    Person,
    Student,
    FastBot,
    DistributedBot,
    ReadingBot,
    PatientBot,
}

impl BuyerKind {
    pub(super) const ALL: [BuyerKind; 6] = [
        BuyerKind::Person,
        BuyerKind::Student,
        BuyerKind::FastBot,
        BuyerKind::DistributedBot,
        BuyerKind::ReadingBot,
        BuyerKind::PatientBot,
    ];

    /// The name in JSON, and in the table.
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            BuyerKind::Person => ("people", "people"),
            BuyerKind::Student => ("campuses", "campuses"),
            BuyerKind::FastBot => ("fast_bots", "fast bots"),
            BuyerKind::DistributedBot => ("distributed_bots", "distributed bots"),
            BuyerKind::ReadingBot => ("reading_bots", "reading bots"),
            BuyerKind::PatientBot => ("patient_bots", "patient bots"),
        }
    }

    /// True for programs.
    pub(super) const fn is_bot(self) -> bool {
        match self {
            BuyerKind::Person | BuyerKind::Student => false,
            BuyerKind::FastBot | BuyerKind::DistributedBot | BuyerKind::ReadingBot | BuyerKind::PatientBot => true,
        }
    }
}

/// A simulated buyer.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct CrowdMember {
    pub(super) number: u32,
    pub(super) kind: BuyerKind,
    pub(super) address: IpAddr,
    /// Header lines of the buyer's program.
    pub(super) headers: String,
    pub(super) habits: Habits,
}

/// All simulated buyers of a run.
pub(super) struct Population {
    pub(super) members: Vec<CrowdMember>,
    units_percent: u32,
}

impl Population {
    /// The population of a name and a seed, at a size in percent of the full one.
    pub(super) fn new(name: PopulationName, seed: u64, percent: u32) -> Population {
        let params = name.params();
        let mut builder = PopulationBuilder::new(seed ^ (params.salt << 56), percent);
        builder.people(&params);
        builder.students(&params);
        let (fast, distributed, reading) = (params.fast, params.distributed, params.reading);
        builder.machines(BuyerKind::FastBot, &fast);
        builder.machines(BuyerKind::DistributedBot, &distributed);
        builder.machines(BuyerKind::ReadingBot, &reading);
        builder.patient(&params);
        Population { members: builder.members, units_percent: params.units_percent }
    }

    /// Units of the drop: scarce, in percent of the people and students who want one.
    pub(super) fn units(&self) -> u32 {
        let wanted = self.members.iter().filter(|member| !member.kind.is_bot()).count();
        u32::try_from(wanted).unwrap_or(u32::MAX).saturating_mul(self.units_percent).div_ceil(100).max(1)
    }
}

/// A population that is being made.
struct PopulationBuilder {
    seed: u64,
    percent: u32,
    members: Vec<CrowdMember>,
    /// Addresses that were given out.
    addresses: u32,
    /// The first address of this seed, so that runs of several seeds against one server share few.
    first_address: u32,
}

impl PopulationBuilder {
    fn new(seed: u64, percent: u32) -> PopulationBuilder {
        let first_address = Dice::new(seed, 0).whole_within(0, ADDRESSES - 1);
        PopulationBuilder { seed, percent, members: Vec::new(), addresses: 0, first_address }
    }

    fn scaled(&self, count: u32) -> u32 {
        count.saturating_mul(self.percent).div_ceil(100)
    }

    fn address(&mut self) -> IpAddr {
        let index = self.first_address.wrapping_add(self.addresses) % ADDRESSES;
        self.addresses += 1;
        IpAddr::V4(Ipv4Addr::from_bits(FIRST_ADDRESS + index))
    }

    fn add(&mut self, kind: BuyerKind, address: IpAddr, headers: String, habits: Habits) {
        let number = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        self.members.push(CrowdMember { number, kind, address, headers, habits });
    }

    /// The random numbers of the next member.
    fn dice(&self) -> Dice {
        Dice::new(self.seed, self.members.len() as u64 + 1)
    }

    fn people(&mut self, params: &PopulationParams) {
        let people = &params.people;
        let (mut nat, mut room) = (self.address(), 0);
        for _ in 0..self.scaled(people.count) {
            let mut dice = self.dice();
            let (address, programs) = if dice.happens(people.behind_nat) {
                if room == 0 {
                    (nat, room) = (self.address(), dice.whole_within(people.nat_sizes.0, people.nat_sizes.1));
                }
                room -= 1;
                (nat, people.phones)
            } else {
                (self.address(), people.computers)
            };
            let headers = human_headers(&mut dice, programs, &params.human);
            let habits = human(&mut dice, &params.human);
            self.add(BuyerKind::Person, address, headers, habits);
        }
    }

    fn students(&mut self, params: &PopulationParams) {
        // A smaller population has fewer campuses, and one at least.
        let count = self.scaled(params.campuses * params.students_each);
        let mut campus = self.address();
        for number in 0..count {
            if number > 0 && number.is_multiple_of(params.students_each) {
                campus = self.address();
            }
            let mut dice = self.dice();
            let headers = human_headers(&mut dice, params.student_programs, &params.human);
            let habits = human(&mut dice, &params.human);
            self.add(BuyerKind::Student, campus, headers, habits);
        }
    }

    fn machines(&mut self, kind: BuyerKind, params: &MachineParams) {
        let mut address = self.address();
        for number in 0..self.scaled(params.count) {
            if number > 0 && number.is_multiple_of(params.per_address) {
                address = self.address();
            }
            let mut dice = self.dice();
            let habits = MachineHabits {
                begins: -dice.time(params.begins),
                every: dice.time(params.interval),
                jitter: params.jitter,
                reads: kind == BuyerKind::ReadingBot,
                dice: Dice::new(self.seed, u64::from(number) << 32 | kind as u64),
            };
            let headers = program_headers(&mut dice, params.programs);
            self.add(kind, address, headers, Habits::Machine(habits));
        }
    }

    fn patient(&mut self, params: &PopulationParams) {
        let human_params =
            HumanParams { unread: 1.0, looks_again: 0.0, by_timer: 0.0, private: 0.0, roaming: 0.0, ..params.human };
        for _ in 0..self.scaled(params.patient) {
            let mut dice = self.dice();
            let address = self.address();
            let headers = program_headers(&mut dice, params.patient_programs);
            let habits = human(&mut dice, &human_params);
            self.add(BuyerKind::PatientBot, address, headers, habits);
        }
    }
}

fn program_headers(dice: &mut Dice, programs: Programs) -> String {
    let program = dice.pick(programs).unwrap_or(ClientProgram::Library("empty"));
    lines(program, HeaderChange::Unchanged)
}

fn human_headers(dice: &mut Dice, programs: Programs, params: &HumanParams) -> String {
    let program = dice.pick(programs).unwrap_or(ClientProgram::App("empty"));
    let change = if dice.happens(params.private) { HeaderChange::NoLanguage } else { HeaderChange::Unchanged };
    lines(program, change)
}

fn human(dice: &mut Dice, params: &HumanParams) -> Habits {
    let waits = dice.happens(params.waits);
    let (arrives, mut clicks) = if waits {
        (-dice.time(params.early), dice.time(params.reaction))
    } else {
        let late = dice.time(params.late);
        (late, late)
    };
    if waits && dice.happens(params.impatient) {
        clicks = arrives / 3.0;
    }
    let reads = dice.whole_within(params.reads.0, params.reads.1);
    let reads = if dice.happens(params.unread) { 0 } else { reads };
    let timer = dice.happens(params.by_timer).then(|| 1.0 + 2.0 * dice.share());
    let form = if dice.happens(params.instant_form) { 0.3 } else { dice.time(params.form) };
    Habits::Human(HumanHabits {
        arrives,
        clicks,
        reads,
        tries: dice.whole_within(params.tries.0, params.tries.1),
        think: params.think,
        form,
        timer,
        looks_again: params.looks_again,
        roams: dice.happens(params.roaming),
        dice: dice.clone(),
    })
}

//! What a run is going to do: the arguments, checked, with every mistake said at once.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::RushArgs;
use super::bids::Bids;
use super::drops::random;
use super::habits::Crowd;
use super::ladder::Ladder;
use super::target::Target;
use crate::exit::Exit;

/// The load shares the machine with the server: more threads would only take its cores.
const THREADS_MAX: usize = 4;
/// Descriptors beside the connections: listeners of the runtimes, files, the terminal.
const DESCRIPTORS_BESIDE: u64 = 64;
/// Reservations of rush's own drop outlast the run by this, so that none lapses while it counts.
const OUTLAST_SECONDS: u64 = 60;
/// Reservations of rush's own drop where they are to lapse: people take some 0.1 s to check out.
const EXPIRE_SECONDS: u64 = 3;
/// The least payment window of rush's own drop: the server's default.
const PAYMENT_SECONDS_MIN: u64 = 900;

/// A run, ready to go.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) public: Target,
    pub(super) admin: Target,
    pub(super) buyers: u32,
    pub(super) units: u32,
    pub(super) connections: usize,
    pub(super) threads: usize,
    pub(super) rate: Option<u32>,
    pub(super) reads_percent: u8,
    pub(super) drop_id: Option<u32>,
    pub(super) expire: bool,
    pub(super) crowd: Crowd,
    pub(super) seed: u64,
    pub(super) deadline: Duration,
    pub(super) json: Option<PathBuf>,
    /// Many runs instead of this one.
    pub(super) ladder: Option<Ladder>,
    /// Bids instead of orders.
    pub(super) bids: Option<Bids>,
}

impl Plan {
    /// The plan that the arguments make.
    ///
    /// # Errors
    /// Every mistake in them, one line each (64).
    pub(super) fn new(args: RushArgs) -> Result<Plan, Exit> {
        let mut mistakes = Vec::new();
        let mut target = |text: &str| match Target::parse(text, args.allow_remote) {
            Ok(target) => Some(target),
            Err(mistake) => {
                mistakes.push(mistake);
                None
            }
        };
        let (public, admin) = (target(&args.public), target(&args.admin));
        if args.expire && args.crowd != Crowd::Real {
            mistakes.push("--expire needs the real crowd: nobody of the others watches his reservation".to_owned());
        }
        let ladder = Ladder::new(args.ladder).unwrap_or_else(|wrong| {
            mistakes.extend(wrong);
            None
        });
        let bids = Bids::new(&args.bids, args.allow_remote).unwrap_or_else(|wrong| {
            mistakes.push(wrong);
            None
        });
        let subscribers = bids.as_ref().map_or(0, Bids::subscribers);
        if let Err(mistake) = allow_descriptors(u64::from(args.connections) + u64::from(subscribers)) {
            mistakes.push(mistake);
        }
        let (Some(public), Some(admin), true) = (public, admin, mistakes.is_empty()) else {
            return Err(Exit::usage(mistakes.join("\n")));
        };
        let connections = usize::from(args.connections);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = args.threads.map_or(cores.min(THREADS_MAX), usize::from).min(connections);
        let seed = match args.seed {
            Some(seed) => seed,
            None => random()? >> 32, // short enough to be typed
        };
        Ok(Plan {
            public,
            admin,
            buyers: args.buyers,
            units: args.units,
            connections,
            threads,
            rate: args.rate,
            reads_percent: args.reads,
            drop_id: args.drop,
            expire: args.expire,
            crowd: args.crowd,
            seed,
            deadline: Duration::from_secs(u64::from(args.deadline)),
            json: args.json,
            ladder,
            bids,
        })
    }

    /// How long rush's own drop reserves.
    pub(super) const fn reservation_seconds(&self) -> u64 {
        if self.expire { EXPIRE_SECONDS } else { self.deadline.as_secs() + OUTLAST_SECONDS }
    }

    /// How long rush's own drop waits for a payment: checked out is kept to the end.
    pub(super) fn payment_seconds(&self) -> u64 {
        PAYMENT_SECONDS_MIN.max(self.deadline.as_secs() + OUTLAST_SECONDS)
    }
}

/// Raises the limit of open files as far as these connections need it and the operating system allows.
fn allow_descriptors(connections: u64) -> Result<(), String> {
    let needed = connections + DESCRIPTORS_BESIDE;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|_| {
        format!("{connections} connections need {needed} open files, more than this shell allows: see `ulimit -Hn`")
    })
}

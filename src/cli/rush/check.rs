//! The arguments of `firstcome rush`, checked: every mistake is reported at once.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::arguments::{CrowdName, RushArgs};
use crate::client::http::HttpClient;
use crate::client::target::ServerAddress;
use crate::client::wire::WireClient;
use crate::exit::Exit;
use crate::load::bids::{AUCTIONS_MAX, AuctionSource, BidPlan, BidderTokens};
use crate::load::drops::random;
use crate::load::ladder::LadderPlan;
use crate::load::mixed::{CrowdPlan, TokenKey};
use crate::load::{Crowd, LoadPlan};

/// The load shares the machine with the server: more threads would only take its cores.
const THREADS_MAX: usize = 4;
/// Descriptors beside the connections: listeners of the runtimes, files, the terminal.
const DESCRIPTORS_BESIDE: u64 = 64;

/// A run of orders, or a ladder, a run of bids or one of the mixed crowd with the same parameters.
pub(super) struct RushPlan {
    pub(super) plan: LoadPlan,
    pub(super) ladder: Option<LadderPlan>,
    pub(super) bids: Option<BidPlan>,
    pub(super) mixed: Option<MixedPlan>,
}

/// A run of the mixed crowd.
pub(super) struct MixedPlan {
    pub(super) crowd: CrowdPlan,
    /// A missed aim is a failure of the command.
    pub(super) fails_if_missed: bool,
}

/// The plan of these arguments. Raises the limit of open files as far as it needs.
///
/// # Errors
/// Every mistake in them, one line each (64).
pub(super) fn plan(args: RushArgs) -> Result<RushPlan, Exit> {
    let mut mistakes = Vec::new();
    let public = ServerAddress::parse(&args.public, args.allow_remote).map_err(|mistake| mistakes.push(mistake)).ok();
    let others: Vec<_> = args.nodes.iter().map(|node| ServerAddress::parse(node, args.allow_remote)).collect();
    let others: Vec<_> =
        others.into_iter().filter_map(|node| node.map_err(|mistake| mistakes.push(mistake)).ok()).collect();
    let admin = admin_client(&args).map_err(|mistake| mistakes.push(mistake)).ok();
    if args.expire && args.crowd != CrowdName::Real {
        mistakes.push(
            "--expire needs the real crowd: buyers of the other crowds do not watch their reservation".to_owned(),
        );
    }
    if args.streams > 0 && !matches!(args.crowd, CrowdName::Plain | CrowdName::Checkout) {
        mistakes.push(
            "--streams needs the plain or the checkout crowd: where units return, no change has an age".to_owned(),
        );
    }
    let bids = bid_plan(&args).unwrap_or_else(|wrong| {
        mistakes.push(wrong);
        None
    });
    let token_key = token_key(&args).unwrap_or_else(|mistake| {
        mistakes.push(mistake);
        None
    });
    let p99_max = Duration::from_millis(u64::from(args.ladder.p99_ms));
    let ladder = LadderPlan::new(args.ladder.ladder, args.ladder.mix, args.ladder.rung_seconds, p99_max);
    let ladder = ladder.unwrap_or_else(|wrong| {
        mistakes.extend(wrong);
        None
    });
    let subscribers = bids.as_ref().map_or(0, |bids| bids.subscribers);
    if let Err(mistake) =
        allow_descriptors(u64::from(args.connections) + u64::from(subscribers) + u64::from(args.streams))
    {
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
    let mixed = token_key.map(|key| MixedPlan {
        crowd: CrowdPlan {
            public: public.clone(),
            admin: admin.clone(),
            population: args.mixed.population,
            seed,
            percent: args.mixed.percent,
            sale: Duration::from_secs(u64::from(args.mixed.sale_seconds)),
            key,
            audience: args.mixed.audience.clone(),
            connections,
        },
        fails_if_missed: args.mixed.check,
    });
    let plan = LoadPlan {
        public,
        others,
        admin,
        buyers: args.buyers,
        units: args.units,
        connections,
        threads,
        rate: args.rate,
        reads_percent: args.reads,
        streams: usize::from(args.streams),
        drop_id: args.drop,
        expire: args.expire,
        crowd: orders_crowd(args.crowd),
        asks_once: false,
        seed,
        deadline: Duration::from_secs(u64::from(args.deadline)),
    };
    Ok(RushPlan { plan, ladder, bids, mixed })
}

/// The behavior of buyers in a run of orders. The mixed crowd has behaviors of its own.
const fn orders_crowd(name: CrowdName) -> Crowd {
    match name {
        CrowdName::Plain => Crowd::Plain,
        CrowdName::Checkout => Crowd::Checkout,
        CrowdName::Real | CrowdName::Mixed => Crowd::Real,
    }
}

/// The key that signs the tokens of the mixed crowd; none for the other crowds.
fn token_key(args: &RushArgs) -> Result<Option<TokenKey>, String> {
    let mixed = &args.mixed;
    match (args.crowd, &mixed.token_key) {
        (CrowdName::Mixed, None) => {
            Err("--crowd mixed needs --token-key, the server's file of identity.hs256_secret_files".to_owned())
        }
        (CrowdName::Mixed, Some(_)) if args.bids.bids.is_some() || args.drop.is_some() || !args.nodes.is_empty() => {
            Err("--crowd mixed makes a drop of its own at one server: without --bids, --drop and --nodes".to_owned())
        }
        (CrowdName::Mixed, Some(file)) => TokenKey::read(file).map(Some),
        (CrowdName::Plain | CrowdName::Checkout | CrowdName::Real, None) if !mixed.check => Ok(None),
        (CrowdName::Plain | CrowdName::Checkout | CrowdName::Real, None | Some(_)) => {
            Err("--token-key and --check need --crowd mixed".to_owned())
        }
    }
}

fn admin_client(args: &RushArgs) -> Result<HttpClient, String> {
    ServerAddress::check(&args.admin, args.allow_remote)?;
    HttpClient::for_admin(&args.admin, "--admin", args.ca.as_deref()).map_err(|exit| exit.message)
}

/// The run of bids that the arguments ask for, if they ask for one.
fn bid_plan(args: &RushArgs) -> Result<Option<BidPlan>, String> {
    let RushArgs { bids: args, allow_remote, ca, admin, .. } = args;
    let Some(each) = args.bids else { return Ok(None) };
    // The authority may be that of the admin listener alone.
    let ca = ca.as_deref().filter(|_| args.wire.starts_with("tls://") || !admin.starts_with("https://"));
    let wire = WireClient::parse(&args.wire, ca, *allow_remote)?;
    let source = match &args.auctions {
        Some(ids) => AuctionSource::Existing(id_range(ids)?),
        None => AuctionSource::New(args.new_auctions),
    };
    let tokens = args.tokens.as_deref().map(BidderTokens::read).transpose()?.unwrap_or_default();
    let pace = args.pace_ms.map(|ms| Duration::from_millis(u64::from(ms)));
    let (pipeline, subscribers) = (usize::from(args.pipeline), args.subscribers);
    Ok(Some(BidPlan { wire, source, tokens, each, pipeline, pace, subscribers }))
}

fn id_range(text: &str) -> Result<Vec<u32>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let ids = first.parse::<u32>().ok().zip(last.parse::<u32>().ok());
    let ids = ids.filter(|(first, last)| *first > 0 && first <= last && last - first < AUCTIONS_MAX);
    let (first, last) =
        ids.ok_or_else(|| format!("--auctions {text}: an id such as 1, or at most {AUCTIONS_MAX} such as 1-8"))?;
    Ok((first..=last).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auctions_are_an_id_or_a_range() {
        assert_eq!(id_range("7"), Ok(vec![7]));
        assert_eq!(id_range("7-9"), Ok(vec![7, 8, 9]));
        for bad in ["", "0", "9-7", "a", "1-", "1-20001"] {
            assert!(id_range(bad).is_err(), "{bad}");
        }
    }
}

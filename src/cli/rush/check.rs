//! The arguments of `firstcome rush`, checked: every mistake is reported at once.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::arguments::{CrowdName, RushArgs};
use super::crowd_options;
use crate::client::http::HttpClient;
use crate::client::target::ServerAddress;
use crate::client::wire::WireClient;
use crate::exit::Exit;
use crate::load::bids::{AUCTIONS_MAX, AuctionSource, BidPlan, BidderTokens};
use crate::load::drops::random;
use crate::load::ladder::LadderPlan;
use crate::load::mixed::{CrowdPlan, CrowdRoom, PopulationName, TokenKey};
use crate::load::pay::{PayPlan, PayProvider};
use crate::load::rooms::{DrawKind, RoomPlan};
use crate::load::{Crowd, LoadPlan};
use crate::payments::WebhookSigner;

/// The load shares the machine with the server: more threads would only take its cores.
const THREADS_MAX: usize = 4;
/// Descriptors beside the connections: listeners of the runtimes, files, the terminal.
const DESCRIPTORS_BESIDE: u64 = 64;
/// The time to order of the room's crowd, and of the mixed one, whose people look at the room every 5 s.
const ORDER_SECONDS: u32 = 5;
const MIXED_ORDER_SECONDS: u32 = 20;
// What is not given. Without a default in clap, an option that was given can be told from one that was not.
const BUYERS: u32 = 100_000;
const UNITS: u32 = 10_000;
const DEADLINE_SECONDS: u16 = 120;
const SALE_SECONDS: u16 = 60;
const ADMIT_PER_SECOND: u32 = 5000;
const POLL_SECONDS: u16 = 2;
const PROVIDER_CONNECTIONS: u16 = 32;

/// A run of orders, or a ladder, a run of bids, or one of the mixed crowd, of a waiting room or of buyers who pay with the same
/// parameters.
pub(super) struct RushPlan {
    pub(super) plan: LoadPlan,
    pub(super) ladder: Option<LadderPlan>,
    pub(super) bids: Option<BidPlan>,
    pub(super) mixed: Option<MixedPlan>,
    pub(super) room: Option<RoomPlan>,
    pub(super) pay: Option<PayPlan>,
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
    mistakes.extend(crowd_options::misplaced(&args));
    // clap lets it pass beside an argument that a ladder excludes.
    if args.ladder.html.is_some() && args.ladder.ladder.is_empty() {
        mistakes.push("--html needs --ladder".to_owned());
    }
    let bids = bid_plan(&args).unwrap_or_else(|wrong| {
        mistakes.push(wrong);
        None
    });
    let token_key = token_key(&args).unwrap_or_else(|mistake| {
        mistakes.push(mistake);
        None
    });
    let signer = webhook_signer(&args).unwrap_or_else(|mistake| {
        mistakes.push(mistake);
        None
    });
    let p99_max = Duration::from_millis(u64::from(args.ladder.p99_ms));
    let ladder = LadderPlan::new(args.ladder.ladder.clone(), args.ladder.mix, args.ladder.rung_seconds, p99_max);
    let ladder = ladder.unwrap_or_else(|wrong| {
        mistakes.extend(wrong);
        None
    });
    let subscribers = bids.as_ref().map_or(0, |bids| bids.subscribers);
    if let Err(mistake) = allow_descriptors(
        u64::from(args.connections)
            + u64::from(subscribers)
            + u64::from(args.streams)
            + u64::from(args.pay.provider_connections.unwrap_or(PROVIDER_CONNECTIONS)),
    ) {
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
    let (buyers, units) = (args.buyers.unwrap_or(BUYERS), args.units.unwrap_or(UNITS));
    let deadline = Duration::from_secs(u64::from(args.deadline.unwrap_or(DEADLINE_SECONDS)));
    let draw = args.room.draw.unwrap_or(DrawKind::Arrival);
    let admit_per_second = args.room.admit_per_second.unwrap_or(ADMIT_PER_SECOND);
    let mixed = token_key.map(|key| MixedPlan {
        crowd: CrowdPlan {
            public: public.clone(),
            admin: admin.clone(),
            population: args.mixed.population.unwrap_or(PopulationName::A),
            seed,
            percent: args.mixed.percent.unwrap_or(100),
            sale: Duration::from_secs(u64::from(args.mixed.sale_seconds.unwrap_or(SALE_SECONDS))),
            key,
            audience: args.mixed.audience.clone().unwrap_or_else(|| "shop".to_owned()),
            connections,
            room: args.mixed.waiting_room.then_some(CrowdRoom {
                draw,
                admit_per_second,
                order_seconds: args.room.order_seconds.unwrap_or(MIXED_ORDER_SECONDS),
            }),
        },
        fails_if_missed: args.mixed.check,
    });
    let room = (args.crowd == CrowdName::Room).then(|| RoomPlan {
        public: public.clone(),
        admin: admin.clone(),
        buyers,
        units,
        connections,
        threads,
        seed,
        deadline,
        gather: gather_time(&args),
        draw,
        admit_per_second,
        order_seconds: args.room.order_seconds.unwrap_or(ORDER_SECONDS),
        polls: Duration::from_secs(u64::from(args.room.poll_seconds.unwrap_or(POLL_SECONDS))),
    });
    let pay = signer.map(|signer| PayPlan {
        public: public.clone(),
        admin: admin.clone(),
        buyers,
        units,
        connections,
        provider_connections: usize::from(args.pay.provider_connections.unwrap_or(PROVIDER_CONNECTIONS)),
        threads,
        seed,
        deadline,
        rate: args.rate,
        provider: args.pay.webhook_provider.unwrap_or(PayProvider::StandardWebhooks),
        signer,
        copies: args.pay.copies.unwrap_or(1),
    });
    let plan = LoadPlan {
        public,
        others,
        admin,
        buyers,
        units,
        connections,
        threads,
        rate: args.rate,
        reads_percent: args.reads,
        streams: usize::from(args.streams),
        blind_ms: args.blind_ms,
        drop_id: args.drop,
        expire: args.expire,
        crowd: orders_crowd(args.crowd),
        asks_once: false,
        seed,
        deadline,
    };
    Ok(RushPlan { plan, ladder, bids, mixed, room, pay })
}

/// The time from the opening of the room to the start: 5 s, and one more for each 10,000 tickets.
fn gather_time(args: &RushArgs) -> Duration {
    let default = 5 + u64::from(args.buyers.unwrap_or(BUYERS)) / 10_000;
    Duration::from_secs(args.room.gather_seconds.map_or(default, u64::from))
}

/// The behavior of buyers in a run of orders. The mixed crowd, that of a room and that which pays have
/// behaviors of their own.
const fn orders_crowd(name: CrowdName) -> Crowd {
    match name {
        CrowdName::Plain => Crowd::Plain,
        CrowdName::Checkout => Crowd::Checkout,
        CrowdName::Real | CrowdName::Mixed | CrowdName::Room | CrowdName::Pay => Crowd::Real,
    }
}

/// The key that signs the tokens of the mixed crowd; none for the other crowds.
fn token_key(args: &RushArgs) -> Result<Option<TokenKey>, String> {
    match (args.crowd, &args.mixed.token_key) {
        (CrowdName::Mixed, None) => {
            Err("--crowd mixed needs --token-key, the server's file of identity.hs256_secret_files".to_owned())
        }
        (CrowdName::Mixed, Some(file)) => TokenKey::read(file).map(Some),
        (CrowdName::Plain | CrowdName::Checkout | CrowdName::Real | CrowdName::Room | CrowdName::Pay, _) => Ok(None),
    }
}

/// The secret that signs the webhooks of a crowd that pays; none for the other crowds.
fn webhook_signer(args: &RushArgs) -> Result<Option<WebhookSigner>, String> {
    match (args.crowd, &args.pay.webhook_secret) {
        (CrowdName::Pay, None) => {
            Err("--crowd pay needs --webhook-secret, the server's file of payments.standard_webhooks_secret_files"
                .to_owned())
        }
        (CrowdName::Pay, Some(file)) => WebhookSigner::read("--webhook-secret", file).map(Some),
        (CrowdName::Plain | CrowdName::Checkout | CrowdName::Real | CrowdName::Mixed | CrowdName::Room, _) => Ok(None),
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

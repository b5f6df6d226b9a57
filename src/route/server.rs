//! The threads of a router: one that looks at the nodes, and one for each core that serves.

use std::cell::Cell;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::task::LocalSet;

use super::connection::{OpenConnections, accept};
use super::view::ShardsView;
use super::watch::watch;
use super::worker::{RouteShared, RouteWorker};
use crate::config::{ConnectionLimits, OPERATOR_CONNECTIONS_MAX, ShardsConfig};
use crate::egress::{AddressGuard, ClientOptions, EgressClient};
use crate::exit::Exit;
use crate::http::routes::Listener;
use crate::sockets::{ListenError, bind};
use crate::telemetry::Telemetry;
use crate::types::random;

/// Connections of buyers that are accepted however few descriptors there are.
const CONNECTIONS_MIN: usize = 16;
/// Connections that wait to be accepted, per listener.
const BACKLOG: i32 = 4_096;
/// Idle connections of a thread to a node.
const IDLE_PER_NODE_MAX: usize = 128;
/// Time that an idle connection to a node is kept: half of that after which a node closes it.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// A router that serves.
pub struct RunningRoute {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl RunningRoute {
    /// Stops the router: requests that are in flight get their answers.
    pub fn stop(self) {
        let _no_thread_left = self.stop.send(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the router panicked");
            }
        }
    }
}

/// Starts a router.
///
/// # Errors
/// 64: a URL of the file, or an address that the system refuses. 69: an address is in use. 71: no thread.
pub fn start(
    config: ShardsConfig,
    authorities: &[CertificateDer<'static>],
    public: SocketAddr,
    admin: SocketAddr,
) -> Result<RunningRoute, Exit> {
    let telemetry = Telemetry::new();
    let guard = any_network();
    let view = ShardsView::new(&config.shards, config.limits, &guard, &telemetry).map_err(Exit::usage)?;
    let view = Arc::new(view);
    let connections_max = connections_max(config.limits.connections_max, descriptors_max());
    if connections_max < config.limits.connections_max {
        tracing::warn!(
            connections_max,
            "fewer connections than limits.connections_max are accepted: each takes two file descriptors; raise ulimit -n"
        );
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let refused = |error: ListenError| Exit::new(error.exit_code(), error.to_string());
    let (public, public_listeners) = bind(public, "--public", threads, BACKLOG).map_err(refused)?;
    let (admin, admin_listeners) = bind(admin, "--admin", threads, BACKLOG).map_err(refused)?;
    let standard = crate::config::Config::defaults().limits;
    let limits = ConnectionLimits {
        body_bytes_max: config.limits.body_bytes_max,
        header_bytes_max: config.limits.header_bytes_max,
        ..standard
    };
    let options = ClientOptions {
        // Of a look at a node, and of a connection to it.
        timeout: config.limits.connect_timeout,
        connect_timeout: config.limits.connect_timeout,
        idle_per_origin_max: IDLE_PER_NODE_MAX,
        idle_max: IDLE_MAX,
        authorities: authorities.to_vec(),
        ..ClientOptions::default()
    };
    let client =
        || EgressClient::new(guard.clone(), options.clone()).map_err(|error| Exit::usage(format!("ca: {error}")));
    let (stop, stopping) = watch::channel(false);
    let shared = Arc::new(RouteShared::new(Arc::clone(&view), config, telemetry, limits));
    let open = [OpenConnections::new(connections_max), OpenConnections::new(OPERATOR_CONNECTIONS_MAX)];
    let mut running = RunningRoute { public, admin, stop, threads: Vec::new() };
    running.threads.push(watcher(&view, client()?, stopping.clone())?);
    for (public, admin) in public_listeners.into_iter().zip(admin_listeners) {
        let thread = ServingThread {
            shared: Arc::clone(&shared),
            client: client()?,
            stopping: stopping.clone(),
            open: open.clone(),
        };
        running.threads.push(thread.start(public, admin)?);
    }
    Ok(running)
}

/// Raises the limit of open descriptors as far as the system lets, and returns it.
fn descriptors_max() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open descriptors stays");
    }
    getrlimit(Resource::Nofile).current
}

/// Returns the connections for which the process has descriptors: one for the client, one for the node.
fn connections_max(wanted: usize, descriptors_max: Option<u64>) -> usize {
    /// Listeners, looks at nodes, and operators' connections.
    const BESIDE: u64 = 768;
    let Some(max) = descriptors_max else { return wanted };
    let free = usize::try_from(max.saturating_sub(BESIDE) / 2).unwrap_or(usize::MAX);
    wanted.min(free.max(CONNECTIONS_MIN))
}

/// The nodes are where the operator says.
fn any_network() -> AddressGuard {
    let all: [IpNet; 2] =
        [Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0).into(), Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0).into()];
    AddressGuard::new(all.to_vec())
}

/// Starts the thread that looks at the nodes: requests do not delay it.
fn watcher(
    view: &Arc<ShardsView>,
    client: EgressClient,
    mut stopping: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, Exit> {
    let view = Arc::clone(view);
    spawn("fc-route-view", move |runtime| {
        runtime.block_on(LocalSet::new().run_until(async {
            for (shard, seen) in view.shards.iter().enumerate() {
                for node in 0..seen.nodes.len() {
                    tokio::task::spawn_local(watch(Arc::clone(&view), shard, node, client.clone()));
                }
            }
            let _or_gone = stopping.wait_for(|stopping| *stopping).await;
        }));
    })
}

/// The parts of a thread that serves.
struct ServingThread {
    shared: Arc<RouteShared>,
    client: EgressClient,
    stopping: watch::Receiver<bool>,
    /// Those of the public and of the admin listener.
    open: [OpenConnections; 2],
}

impl ServingThread {
    fn start(self, public: TcpListener, admin: TcpListener) -> Result<JoinHandle<()>, Exit> {
        spawn("fc-route", move |runtime| {
            let mut first = [0; 8];
            random::fill(&mut first);
            let worker = Rc::new(RouteWorker {
                view: Arc::clone(&self.shared.view),
                shared: self.shared,
                client: self.client,
                stopping: self.stopping,
                request_ids: Cell::new(u64::from_be_bytes(first)),
            });
            runtime.block_on(LocalSet::new().run_until(async {
                let [buyers, operators] = self.open;
                let listeners = [(public, Listener::Public, buyers), (admin, Listener::Admin, operators)];
                let accepting: Vec<_> = listeners
                    .into_iter()
                    .filter_map(|(listener, kind, open)| {
                        let listener = tokio::net::TcpListener::from_std(listener)
                            .map_err(|error| tracing::error!(%error, "the system refused a listener to its thread"))
                            .ok()?;
                        let accepting = accept(Rc::clone(&worker), listener, kind, open);
                        Some(tokio::task::spawn_local(accepting))
                    })
                    .collect();
                for ended in accepting {
                    if ended.await.is_err() {
                        tracing::error!("accepting connections panicked");
                    }
                }
            }));
        })
    }
}

fn spawn(name: &str, work: impl FnOnce(tokio::runtime::Runtime) + Send + 'static) -> Result<JoinHandle<()>, Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Exit::system(format!("no runtime: {error}")))?;
    let thread = std::thread::Builder::new().name(name.into()).spawn(move || work(runtime));
    thread.map_err(|error| Exit::system(format!("a thread could not start: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_as_many_as_the_process_has_descriptors_for() {
        for (descriptors, expected) in [(None, 10_000), (Some(1 << 20), 10_000), (Some(4_096), 1_664), (Some(256), 16)]
        {
            assert_eq!(connections_max(10_000, descriptors), expected, "{descriptors:?}");
        }
    }
}

//! A crowd that pays: each buyer orders and checks out, and a payment provider, which the load plays as well, reports the payment by
//! a signed webhook, or by many copies of it at once. At the end everything must be counted once.
//!
//! `requests` is the protocol, `worker` has the connections, `ledger` counts, `books` reads what the server has recorded,
//! `report` compares the two.

mod books;
mod ledger;
mod plan;
mod report;
mod requests;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

use crossbeam_channel::{Receiver, bounded};
use serde_json::json;

use super::client::LoadConnection;
use super::drops;
use crate::client::http::block_on;
use crate::exit::Exit;
use ledger::PayLedger;
use requests::{CURRENCY, PayRequests, UNIT_PRICE};
use worker::{DeliveryAnswer, DeliveryResult, PayRun};

pub(crate) use plan::{PayPlan, PayProvider};
pub(crate) use report::PayReport;

/// Runs the crowd, and compares its books with the server's.
///
/// # Errors
/// 64 the server does not take the provider's signature, or the listeners are of two servers; 69 no server, 70 a bug, 71 no thread or runtime.
pub(crate) fn run(plan: &PayPlan) -> Result<PayReport<'_>, Exit> {
    let drop_id = block_on(make_drop(plan))?;
    let provider = plan.provider.provider();
    let requests = PayRequests::new(&plan.public.authority, drop_id, plan.seed, provider, plan.signer.clone());
    block_on(probe(plan, &requests))?;
    let began = Instant::now();
    let run = Arc::new(PayRun {
        requests,
        server: plan.public.address,
        buyers: plan.buyers,
        rate: plan.rate,
        copies: plan.copies,
        began,
        until: began + plan.deadline,
        next: AtomicU32::new(0),
    });
    let share = |of: usize, thread: usize| of / plan.threads + usize::from(thread < of % plan.threads);
    let mut threads = Vec::with_capacity(plan.threads);
    for thread in 0..plan.threads {
        let (run, buyers) = (Arc::clone(&run), share(plan.connections, thread));
        // A thread delivers the payments of its own buyers.
        let providers = share(plan.provider_connections, thread).max(1);
        threads.push(spawn(format!("rush-pay-{thread}"), move || worker::work(run, buyers, providers))?);
    }
    let bug = |what: &str| Exit::bug(format!("a load thread failed: {what}"));
    let mut ledger = PayLedger::new().map_err(|error| bug(&error.to_string()))?;
    for thread in threads {
        let worked = thread.recv().map_err(|_| bug("it panicked"))?;
        ledger.merge(worked?).map_err(|error| bug(&error.to_string()))?;
    }
    let drop = block_on(drops::read_patiently(std::iter::once(&plan.public), drop_id))?;
    let payments = block_on(books::read(&plan.admin, drop_id))?;
    Ok(PayReport::new(plan, ledger, began, drop, payments))
}

/// Starts a thread whose result can be received.
fn spawn<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> Result<T, Exit> + Send + 'static,
) -> Result<Receiver<Result<T, Exit>>, Exit> {
    let (send, receive) = bounded(1);
    let run = move || {
        // The receiver waits until every thread has ended.
        let _unreceived = send.send(work());
    };
    let spawned = std::thread::Builder::new().name(name).spawn(run);
    spawned.map(|_handle| receive).map_err(|error| Exit::system(format!("no thread: {error}")))
}

/// Makes the drop, which the public listener must have, too; returns its number.
async fn make_drop(plan: &PayPlan) -> Result<u32, Exit> {
    let outlasts = plan.deadline.as_secs() + 60;
    let body = json!({
        "sku": format!("PAY-{}", plan.seed),
        "name": format!("A paid sale of seed {}", plan.seed),
        "currency": CURRENCY,
        "unit_price": UNIT_PRICE,
        "total": plan.units,
        "per_buyer_limit": 1,
        "reservation_seconds": outlasts,
        "payment_seconds": outlasts.max(900),
    });
    let made = drops::create_from(&plan.admin, body).await?;
    let found = drops::read_patiently(std::iter::once(&plan.public), made.id).await?;
    if found == made {
        Ok(made.id)
    } else {
        let (id, public) = (made.id, &plan.public.authority);
        Err(Exit::usage(format!("drop {id} at {public} is another one: --public and --admin must be of one server")))
    }
}

/// Sends an event that the server verifies and does not record: its signature must be taken.
async fn probe(plan: &PayPlan, requests: &PayRequests) -> Result<(), Exit> {
    let unreachable = |error| drops::unreachable_at(&plan.public, &error);
    let mut connection = LoadConnection::open(plan.public.address).await.map_err(unreachable)?;
    let mut out = Vec::new();
    requests.probe(jiff::Timestamp::now(), &mut out);
    let reply = connection.exchange(&out).await.map_err(unreachable)?;
    let (provider, setting) = (plan.provider.provider().as_str(), plan.provider.setting());
    match (reply.head.status, worker::read_delivery(&reply.head, reply.body)) {
        (_, DeliveryAnswer::Acknowledged(DeliveryResult::Ignored)) => Ok(()),
        (401, _) => Err(Exit::usage(format!(
            "the server does not take the signature: --webhook-secret must be a file of its {setting}"
        ))),
        (404, _) => Err(Exit::usage(format!("the server takes no webhooks of {provider}: set its {setting}"))),
        (status, _) => Err(Exit::unavailable(format!(
            "{}: a signed webhook of {provider} got status {status}; do the clocks of both machines agree?",
            plan.public.authority
        ))),
    }
}

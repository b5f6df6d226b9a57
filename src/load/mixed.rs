//! A run of the mixed crowd: people, campuses and bots of several kinds at one drop, and what the door does with each.
//!
//! Every simulated buyer has an address of their own or shares one (sent as `X-Forwarded-For`, so the server must trust this
//! machine as a proxy), headers, a token, and a behavior that follows from the seed. `population` and `params` make the
//! buyers, `headers` has the headers, `habits` decides each buyer's next request without I/O, `requests` writes requests,
//! `waiting` leads a buyer through a waiting
//! room where the drop has one, `pacer` sends requests when they are due, `tally` counts answers by kind, `probe` checks the server's settings before the run,
//! `signals` asks for the signals of suspected buyers after it, `report` has the table, the aims and the JSON.

mod dice;
mod habits;
mod headers;
mod pacer;
mod params;
mod plan;
mod population;
mod probe;
mod report;
mod requests;
mod signals;
mod tally;
#[cfg(test)]
mod tests;
mod tokens;
mod waiting;

use std::rc::Rc;
use std::time::Duration;

use serde_json::json;

use super::drops;
use crate::client::http::block_on;
use crate::exit::Exit;
use population::Population;
use requests::CrowdRequests;

pub(crate) use params::PopulationName;
pub(crate) use plan::{CrowdPlan, CrowdRoom};
pub(crate) use report::CrowdReport;
pub(crate) use tokens::TokenKey;

/// Simulated buyers come before the start by at most this, as the populations say.
const LEAD: Duration = Duration::from_secs(12);

/// Runs the crowd against a server, and counts.
///
/// # Errors
/// 64 the server lacks settings that the crowd needs, 69 no server, 70 a bug, 71 no runtime.
pub(crate) fn run(plan: &CrowdPlan) -> Result<CrowdReport<'_>, Exit> {
    let population = Population::new(plan.population, plan.seed, plan.percent);
    block_on(async {
        let units = population.units();
        let mut body = json!({
            "sku": format!("CROWD-{}", plan.seed),
            "name": format!("A crowd of seed {}", plan.seed),
            "currency": "EUR",
            "unit_price": 1_999,
            "total": units,
            "per_buyer_limit": 1,
            "reservation_seconds": (LEAD + plan.sale).as_secs() + 600,
            "starts_at": drops::from_now(&plan.admin, i64::try_from(LEAD.as_millis()).unwrap_or(i64::MAX)).await?,
        });
        if let Some(CrowdRoom { draw, admit_per_second, order_seconds }) = plan.room {
            body["room"] = json!({
                "opens_at": drops::from_now(&plan.admin, -1_000).await?,
                "draw": draw.as_str(),
                "admit_per_second": admit_per_second,
                "order_seconds": order_seconds,
            });
        }
        let starts = tokio::time::Instant::now() + LEAD;
        let made = drops::create_at(&plan.admin, "/v1/drops", &body).await?;
        let id = made["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| Exit::unavailable("invalid response: a drop without an id"))?;
        let requests = CrowdRequests::new(&plan.public.authority, id, plan);
        probe::check(plan, &requests).await?;
        let requests = Rc::new(requests);
        let tally = pacer::play(plan, &population, Rc::clone(&requests), starts).await?;
        let suspected = signals::of_suspected(plan, &population, &requests, &tally).await?;
        let after = drops::read_patiently(std::iter::once(&plan.public), id).await?;
        Ok(CrowdReport::new(plan, &population, &tally, &suspected, after))
    })
}

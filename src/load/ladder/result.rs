//! The figures of a whole ladder.

use serde_json::{Value, json};

use super::plan::LadderPlan;
use super::rung::{Rung, knee};
use super::scrape::ScrapedSample;
use crate::load::plan::LoadPlan;

/// The rungs of a ladder, and the server's metrics meanwhile.
pub(crate) struct LadderResult<'a> {
    pub(super) plan: &'a LoadPlan,
    pub(super) ladder: &'a LadderPlan,
    pub(super) rungs: Vec<Rung>,
    pub(super) samples: Vec<ScrapedSample>,
}

impl LadderResult<'_> {
    /// The end of the kept rungs, in a sentence.
    pub(super) fn knee(&self) -> String {
        knee(&self.rungs, self.ladder.p99_max)
    }

    /// True if the admin listener gave any metrics.
    pub(crate) fn has_metrics(&self) -> bool {
        !self.samples.is_empty()
    }

    /// The findings of all rungs that do not hold, a line each.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.rungs.iter().flat_map(Rung::broken).collect()
    }

    pub(crate) fn json(&self) -> Value {
        let rungs: Vec<_> = self.rungs.iter().map(|rung| rung.json(self.ladder.p99_max)).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "debug_build": cfg!(debug_assertions),
            "seed": self.plan.seed,
            "reads_percent": self.ladder.reads_percent,
            "rung_seconds": self.ladder.rung_seconds,
            "connections": self.plan.connections,
            "knee": self.knee(),
            "rungs": rungs,
        })
    }
}

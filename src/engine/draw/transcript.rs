//! The check of a published draw, as an outsider makes it.

use super::tree::leads_to_root;
use super::{DrawRun, Drawn, TicketSet};
use crate::types::{Beacon, Commitment, DrawResult, Seed, TicketDigest, TicketNumber, TicketPosition, TreeNode};

/// Everything that a server publishes of a draw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transcript {
    pub commitment: Commitment,
    pub seed: Seed,
    pub beacon: Beacon,
    pub tickets: TicketSet,
    pub result: DrawResult,
}

/// The published place of a ticket, with the path that proves that it was drawn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TicketProof {
    pub number: TicketNumber,
    pub digest: TicketDigest,
    pub position: TicketPosition,
    pub path: Vec<TreeNode>,
}

/// The first thing in a transcript that does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DrawFault {
    #[error("the seed is not the one that was committed to: its SHA-256 is {0}, the commitment {1}")]
    SeedNotCommitted(Commitment, Commitment),
    #[error("ticket {0} is not among the {1} tickets of the draw")]
    NotDrawn(TicketNumber, u32),
    #[error(
        "ticket {0} with this digest is not under the root of {1} tickets: tickets were exchanged, added or removed"
    )]
    NotUnderRoot(TicketNumber, u32),
    #[error("ticket {number} is said to have position {claimed}; seed and beacon draw {drawn}")]
    OtherPosition { number: TicketNumber, claimed: TicketPosition, drawn: TicketPosition },
    #[error("the result is said to be {claimed}; seed, beacon and tickets give {drawn}: their order was changed")]
    OtherResult { claimed: DrawResult, drawn: DrawResult },
}

impl Transcript {
    /// Draws again, and compares. What costs little is checked first.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self, proof: Option<&TicketProof>) -> Result<Drawn, DrawFault> {
        let committed = self.seed.commitment();
        if committed != self.commitment {
            return Err(DrawFault::SeedNotCommitted(committed, self.commitment));
        }
        if let Some(proof) = proof {
            self.check_membership(proof)?;
        }
        let drawn = DrawRun::new(&self.tickets, &self.seed, &self.beacon).run();
        if let Some(TicketProof { number, position: claimed, .. }) = proof.cloned() {
            let position = drawn.order.position(number);
            let position = position.ok_or(DrawFault::NotDrawn(number, self.tickets.count()))?;
            if position != claimed {
                return Err(DrawFault::OtherPosition { number, claimed, drawn: position });
            }
        }
        if drawn.result != self.result {
            return Err(DrawFault::OtherResult { claimed: self.result, drawn: drawn.result });
        }
        Ok(drawn)
    }

    fn check_membership(&self, proof: &TicketProof) -> Result<(), DrawFault> {
        let count = self.tickets.count();
        if proof.number.get() > count {
            return Err(DrawFault::NotDrawn(proof.number, count));
        }
        if leads_to_root(&self.tickets, proof.number, &proof.digest, &proof.path) {
            Ok(())
        } else {
            Err(DrawFault::NotUnderRoot(proof.number, count))
        }
    }
}

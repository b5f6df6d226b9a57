//! Proofs of draws that are done: the tree over the tickets and their order, computed once a draw on the query thread in short
//! steps, when they are first asked for.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;

use crate::engine::draw::{DrawRun, DrawStep, Permutation, TicketProof, TicketSet, TicketTree, TreeBuilder};
use crate::read::DrawRow;
use crate::read::draws::ticket_digests;
use crate::types::draw::{TICKETS_MAX, TICKETS_PER_READ, TICKETS_PER_STEP};
use crate::types::{Beacon, Commitment, DigestKey, DropId, TicketNumber, TicketPosition};

/// The tree and the order of a draw: 8.3 bytes a ticket.
#[derive(Debug)]
pub struct DrawProofs {
    drop_id: DropId,
    commitment: Commitment,
    tree: TicketTree,
    order: Permutation,
}

impl DrawProofs {
    /// Returns the position of a ticket; `None` for one that was not drawn.
    #[must_use]
    pub fn position_of(&self, number: TicketNumber) -> Option<TicketPosition> {
        self.order.position(number)
    }

    /// Returns the proof of a ticket: it reads the digests of at most 256 tickets. `None` for a ticket that was not drawn.
    pub fn of_ticket(
        &self,
        connection: &Connection,
        key: &DigestKey,
        number: TicketNumber,
    ) -> rusqlite::Result<Option<TicketProof>> {
        let Some(position) = self.order.position(number) else { return Ok(None) };
        let block = self.tree.block_of(number);
        let first = *block.start();
        let digests = ticket_digests(connection, key, self.drop_id, &self.commitment, block)?;
        let index = usize::try_from(number.get().saturating_sub(first)).unwrap_or(usize::MAX);
        let path = self.tree.path(number, &digests);
        Ok(path.zip(digests.get(index).copied()).map(|(path, digest)| TicketProof { number, digest, position, path }))
    }
}

/// The proofs of draws that were asked for last: those of at most [`TICKETS_MAX`] tickets together, or of one draw.
#[derive(Default)]
pub struct DrawProofCache {
    /// Those that were computed last come first.
    proofs: Mutex<VecDeque<Arc<DrawProofs>>>,
    /// The draw whose proofs are being computed. A request that ends in the middle leaves them to the next one.
    pub turn: tokio::sync::Mutex<Option<Arc<Mutex<ProofBuilder>>>>,
}

impl DrawProofCache {
    /// Returns the proofs of a drop's draw, if they are there.
    #[must_use]
    pub fn get(&self, drop_id: DropId) -> Option<Arc<DrawProofs>> {
        self.proofs.lock().iter().find(|proofs| proofs.drop_id == drop_id).cloned()
    }

    /// Keeps the proofs of a draw.
    pub fn put(&self, proofs: Arc<DrawProofs>) {
        let mut kept = self.proofs.lock();
        kept.push_front(proofs);
        let tickets_of = |proofs: &Arc<DrawProofs>| u64::from(proofs.tree.tickets().count());
        while kept.len() > 1 && kept.iter().map(tickets_of).sum::<u64>() > u64::from(TICKETS_MAX) {
            kept.pop_back();
        }
    }
}

/// Proofs that are being computed.
pub struct ProofBuilder {
    draw: DrawRow,
    tickets: TicketSet,
    work: Work,
}

enum Work {
    Tree { builder: TreeBuilder, done: u32 },
    Order { tree: TicketTree, run: DrawRun },
    Done,
}

/// A step of the computation was done.
pub enum ProofStep {
    More,
    Done(Arc<DrawProofs>),
    /// The tickets or their order are not those that were published.
    Differs(&'static str),
}

impl ProofBuilder {
    /// Returns a builder for a draw that is done.
    #[must_use]
    pub fn new(draw: DrawRow) -> Option<ProofBuilder> {
        let tickets = draw.tickets.zip(draw.root).and_then(|(count, root)| TicketSet::new(count, root))?;
        Some(ProofBuilder { draw, tickets, work: Work::Tree { builder: TreeBuilder::default(), done: 0 } })
    }

    #[must_use]
    pub const fn drop_id(&self) -> DropId {
        self.draw.drop_id
    }

    /// Does the next step: a few milliseconds.
    pub fn step(&mut self, connection: &Connection, key: &DigestKey) -> rusqlite::Result<ProofStep> {
        let DrawRow { drop_id, commitment, ref seed, ref beacon, result, .. } = self.draw;
        let count = self.tickets.count();
        match std::mem::replace(&mut self.work, Work::Done) {
            Work::Tree { mut builder, done } if done < count => {
                let until = done.saturating_add(TICKETS_PER_READ).min(count);
                let digests = ticket_digests(connection, key, drop_id, &commitment, done.saturating_add(1)..=until);
                let digests = match digests {
                    Ok(digests) => digests,
                    Err(error) => {
                        self.work = Work::Tree { builder, done };
                        return Err(error);
                    }
                };
                digests.iter().for_each(|digest| builder.push(digest));
                self.work = Work::Tree { builder, done: until };
                Ok(ProofStep::More)
            }
            Work::Tree { builder, .. } => {
                let tree = builder.finish();
                if tree.tickets() != self.tickets {
                    return Ok(ProofStep::Differs("its tickets are not those whose root was published"));
                }
                let Some(seed) = seed else { return Ok(ProofStep::Differs("it has no seed")) };
                let run = DrawRun::new(&self.tickets, seed, beacon.as_ref().unwrap_or(&Beacon::default()));
                self.work = Work::Order { tree, run };
                Ok(ProofStep::More)
            }
            Work::Order { tree, run } => match run.step(TICKETS_PER_STEP) {
                DrawStep::More(run) => {
                    self.work = Work::Order { tree, run };
                    Ok(ProofStep::More)
                }
                DrawStep::Done(drawn) if Some(drawn.result) == result => {
                    let order = drawn.order;
                    Ok(ProofStep::Done(Arc::new(DrawProofs { drop_id, commitment, tree, order })))
                }
                DrawStep::Done(_) => Ok(ProofStep::Differs("its order is not the one that was published")),
            },
            Work::Done => Ok(ProofStep::Differs("its proofs were computed before")),
        }
    }
}

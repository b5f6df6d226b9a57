//! The tree over the tickets of a draw (RFC 6962), built while they are read, and its inclusion proofs.
//!
//! The nodes over 256 tickets and above are kept: 64 bytes for 256 tickets, 250 kB for a million. The rest of a proof is
//! computed from the digests of the ticket's block.

use std::ops::RangeInclusive;

use super::TicketSet;
use crate::types::draw::{DigestTag, TICKETS_MAX, sha256};
use crate::types::{MerkleRoot, TicketDigest, TicketNumber, TreeNode};

/// Tickets under the lowest nodes that a tree keeps; a power of two.
pub const TICKETS_OF_BLOCK: u32 = 256;

/// A tree that is being built from the digests of all tickets, in the order of their numbers.
#[derive(Clone, Default, Debug)]
pub struct TreeBuilder {
    count: u32,
    /// The leaves of the block that is not full.
    leaves: Vec<TreeNode>,
    blocks: Vec<TreeNode>,
}

impl TreeBuilder {
    /// Adds the next ticket: the first one has number 1.
    ///
    /// # Panics
    /// Beyond [`TICKETS_MAX`], which no room gives out.
    pub fn push(&mut self, digest: &TicketDigest) {
        assert!(self.count < TICKETS_MAX, "more than {TICKETS_MAX} tickets");
        self.count += 1;
        self.leaves.push(leaf(self.count, digest));
        if self.leaves.len() == TICKETS_OF_BLOCK as usize {
            self.blocks.push(top_of(std::mem::take(&mut self.leaves)));
        }
    }

    #[must_use]
    pub fn finish(mut self) -> TicketTree {
        if !self.leaves.is_empty() || self.blocks.is_empty() {
            self.blocks.push(top_of(self.leaves));
        }
        let levels = levels_over(self.blocks);
        let top = levels.last().and_then(|level| level.first()).copied().unwrap_or_else(top_over_nothing);
        TicketTree { tickets: TicketSet { count: self.count, root: root_of(self.count, &top) }, levels }
    }
}

/// The tree over all tickets of a draw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TicketTree {
    tickets: TicketSet,
    /// The nodes over blocks, and the levels over them up to the top.
    levels: Vec<Vec<TreeNode>>,
}

impl TicketTree {
    #[must_use]
    pub const fn tickets(&self) -> TicketSet {
        self.tickets
    }

    /// Returns the numbers of the tickets whose digests a proof of this ticket needs.
    #[must_use]
    pub fn block_of(&self, number: TicketNumber) -> RangeInclusive<u32> {
        let before = (number.get() - 1) / TICKETS_OF_BLOCK * TICKETS_OF_BLOCK;
        before + 1..=before.saturating_add(TICKETS_OF_BLOCK).min(self.tickets.count)
    }

    /// Returns the path of a ticket to the top, from the digests of its block. `None` if the ticket is not among the tickets,
    /// or these are not the digests of its block.
    #[must_use]
    pub fn path(&self, number: TicketNumber, block: &[TicketDigest]) -> Option<Vec<TreeNode>> {
        let leaves: Vec<_> = self.block_of(number).zip(block).map(|(number, digest)| leaf(number, digest)).collect();
        if number.get() > self.tickets.count || leaves.len() != block.len() {
            return None;
        }
        let place = number.index() / TICKETS_OF_BLOCK as usize;
        let within = levels_over(leaves);
        if within.last()?.first() != self.levels.first()?.get(place) {
            return None;
        }
        let mut path = siblings(&within, number.index() % TICKETS_OF_BLOCK as usize);
        path.extend(siblings(&self.levels, place));
        Some(path)
    }
}

/// Returns true if the path leads from the ticket to the root (RFC 9162, 2.1.3.2).
#[must_use]
pub(super) fn leads_to_root(
    tickets: &TicketSet,
    number: TicketNumber,
    digest: &TicketDigest,
    path: &[TreeNode],
) -> bool {
    if number.get() > tickets.count() {
        return false;
    }
    let (mut at, mut last) = (number.get() - 1, tickets.count() - 1);
    let mut node = leaf(number.get(), digest);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            node = parent(sibling, &node);
            // The last node of a level without a sibling rises to the next level as it is.
            while at.is_multiple_of(2) && at != 0 {
                (at, last) = (at / 2, last / 2);
            }
        } else {
            node = parent(&node, sibling);
        }
        (at, last) = (at / 2, last / 2);
    }
    last == 0 && root_of(tickets.count(), &node) == tickets.root()
}

fn leaf(number: u32, digest: &TicketDigest) -> TreeNode {
    TreeNode(sha256(&[&[DigestTag::Leaf as u8], &u64::from(number).to_be_bytes(), &digest.0]))
}

fn parent(left: &TreeNode, right: &TreeNode) -> TreeNode {
    TreeNode(sha256(&[&[DigestTag::Node as u8], &left.0, &right.0]))
}

fn root_of(count: u32, top: &TreeNode) -> MerkleRoot {
    MerkleRoot(sha256(&[&[DigestTag::Root as u8], &u64::from(count).to_be_bytes(), &top.0]))
}

/// Returns the node over all nodes of a level.
fn top_of(nodes: Vec<TreeNode>) -> TreeNode {
    let mut level = nodes;
    while level.len() > 1 {
        level = level_over(&level);
    }
    level.pop().unwrap_or_else(top_over_nothing)
}

fn top_over_nothing() -> TreeNode {
    TreeNode(sha256(&[]))
}

fn level_over(nodes: &[TreeNode]) -> Vec<TreeNode> {
    let (pairs, rest) = nodes.as_chunks();
    let mut level: Vec<_> = pairs.iter().map(|[left, right]| parent(left, right)).collect();
    level.extend(rest);
    level
}

/// Returns this level and all levels over it.
fn levels_over(nodes: Vec<TreeNode>) -> Vec<Vec<TreeNode>> {
    let mut levels = vec![nodes];
    while let Some(level) = levels.last().filter(|level| level.len() > 1) {
        let next = level_over(level);
        levels.push(next);
    }
    levels
}

/// Returns the siblings of a node and of the nodes over it.
fn siblings(levels: &[Vec<TreeNode>], index: usize) -> Vec<TreeNode> {
    let places = levels.iter().enumerate();
    places.filter_map(|(height, level)| level.get((index >> height) ^ 1)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962, 2.1: the hash over a list, and the path of one of its leaves.
    fn defined(leaves: &[TreeNode]) -> TreeNode {
        match leaves {
            [] => top_over_nothing(),
            [only] => *only,
            more => {
                let (left, right) = more.split_at(more.len().next_power_of_two() / 2);
                parent(&defined(left), &defined(right))
            }
        }
    }

    fn defined_path(leaves: &[TreeNode], index: usize) -> Vec<TreeNode> {
        if leaves.len() <= 1 {
            return Vec::new();
        }
        let middle = leaves.len().next_power_of_two() / 2;
        let (left, right) = leaves.split_at(middle);
        let (mut path, sibling) = if index < middle {
            (defined_path(left, index), defined(right))
        } else {
            (defined_path(right, index - middle), defined(left))
        };
        path.push(sibling);
        path
    }

    fn digest(number: u32) -> TicketDigest {
        let mut digest = [0xd1; 16];
        digest.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
        TicketDigest(digest)
    }

    fn tree(count: u32) -> TicketTree {
        let mut builder = TreeBuilder::default();
        (1..=count).for_each(|number| builder.push(&digest(number)));
        builder.finish()
    }

    fn proof(tree: &TicketTree, number: TicketNumber) -> Option<Vec<TreeNode>> {
        let block: Vec<_> = tree.block_of(number).map(digest).collect();
        tree.path(number, &block)
    }

    const SIZES: [u32; 18] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 31, 255, 256, 257, 511, 512, 513, 769, 1300];

    #[test]
    fn roots_and_paths_are_those_of_rfc_6962() {
        for count in SIZES {
            let tree = tree(count);
            let leaves: Vec<_> = (1..=count).map(|number| leaf(number, &digest(number))).collect();
            assert_eq!(tree.tickets().root(), root_of(count, &defined(&leaves)), "{count} tickets");
            for number in (1..=count).filter_map(TicketNumber::new).step_by(if count > 100 { 37 } else { 1 }) {
                assert_eq!(proof(&tree, number), Some(defined_path(&leaves, number.index())), "{number} of {count}");
            }
        }
    }

    #[test]
    fn a_path_leads_to_its_root_for_its_ticket_only() {
        for count in SIZES {
            let tree = tree(count);
            let tickets = tree.tickets();
            for number in (1..=count).filter_map(TicketNumber::new).step_by(if count > 100 { 53 } else { 1 }) {
                let path = proof(&tree, number).expect("a ticket of the tree");
                let leads = |tickets: &TicketSet, number, digest: &TicketDigest, path: &[TreeNode]| {
                    leads_to_root(tickets, number, digest, path)
                };
                let own = digest(number.get());
                assert!(leads(&tickets, number, &own, &path), "{number} of {count}");
                assert!(!leads(&tickets, number, &TicketDigest([0; 16]), &path));
                let next = TicketNumber::new(number.get() + 1).expect("not 0");
                assert!(!leads(&tickets, next, &digest(next.get()), &path));
                for other in [count - 1, count + 1] {
                    let set = TicketSet { count: other, root: tickets.root };
                    assert!(!leads(&set, number, &own, &path), "{number} of {count}, said to be {other}");
                }
                for at in 0..path.len() {
                    let mut altered = path.clone();
                    altered[at].0[31] ^= 1;
                    assert!(!leads(&tickets, number, &own, &altered));
                    altered = path.clone();
                    altered.remove(at);
                    assert!(!leads(&tickets, number, &own, &altered));
                }
                let longer = [path.as_slice(), &[TreeNode([0; 32])]].concat();
                assert!(!leads(&tickets, number, &own, &longer));
            }
        }
    }

    #[test]
    fn digests_of_another_block_give_no_path() {
        let tree = tree(600);
        let number = |number| TicketNumber::new(number).expect("not 0");
        let block: Vec<_> = tree.block_of(number(300)).map(digest).collect();
        assert_eq!((tree.block_of(number(300)), block.len()), (257..=512, 256));
        assert!(tree.path(number(300), &block).is_some());
        assert!(tree.path(number(200), &block).is_none() && tree.path(number(600), &block).is_none());
        assert!(tree.path(number(300), &block[1..]).is_none());
        assert!(tree.path(number(601), &[]).is_none());
        let longer = [block.as_slice(), &[digest(513)]].concat();
        assert!(tree.path(number(300), &longer).is_none());
    }
}

//! Reasons why a node of a cluster does not do what an operator asks for.

/// The reason why a node does not do something for its cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeConflict {
    /// The node leads, and a copy would keep its write-ahead log from being emptied.
    CopiesAtLeader,
    /// The node's disk has no room for a copy of its file.
    NoRoomForCopy,
    /// The node to which the leadership was to go is not there, or it is this one.
    NoSuccessor,
    /// A handover is under way already.
    HandsOver,
    /// No other node has taken the leadership that was given up.
    NotTaken,
}

impl NodeConflict {
    pub(super) const fn detail(self) -> &'static str {
        match self {
            NodeConflict::CopiesAtLeader => {
                "This node leads, and a copy would keep its write-ahead log from being emptied. Ask a follower, or send ?from_leader=true."
            }
            NodeConflict::NoRoomForCopy => {
                "The disk of this node has no room for a copy of its file beside writer.free_bytes_min. Ask another node."
            }
            NodeConflict::NoSuccessor => {
                "No other node can lead: it must run and follow, and be the one that `to` names. `firstcome cluster status` shows the nodes. Nothing was changed."
            }
            NodeConflict::HandsOver => "A handover is under way.",
            NodeConflict::NotTaken => {
                "The node has given the leadership up, and no other one has taken it in time. `firstcome cluster status` shows which node leads."
            }
        }
    }
}

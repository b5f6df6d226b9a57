//! The faults of a cluster, and their ends.

#![allow(unreachable_pub, reason = "a test's own module")]

use std::time::Duration;

use rustix::process::Signal;

use super::nodes::{Nodes, Way};

/// A fault, and its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    LeaderKilled,
    FollowerKilled,
    LeaderPaused,
    FollowerPaused,
    EtcdLeaderKilled,
    EtcdFollowerKilled,
    EtcdLeaderPaused,
    EtcdFollowerPaused,
    /// The other members do not hear the one that leads them; it hears them, and nodes.
    EtcdLeaderUnheard,
    /// The leader and the member that leads the others die together.
    MachineKilled,
    MachinePaused,
    AllMembersKilled,
    AllMembersPaused,
    /// Nothing passes between the leader and the members.
    LeaderCutOff,
    /// The leader's requests arrive, and no answer comes back.
    LeaderWithoutAnswers,
    FollowerCutOff,
    FollowerWithoutAnswers,
    /// Each request of every node takes 100 ms more, and each answer.
    SlowNetwork,
    /// Connections between nodes and members end at any moment, and pieces are late.
    LossyNetwork,
    /// The same between the members.
    LossyPeers,
    /// No file of the leader may grow any more: it ends, and its directory needs a new copy.
    LeaderDiskFails,
}

/// The parts that nodes and members have before a fault.
#[derive(Clone, Copy, Debug)]
pub struct Roles {
    pub leader: usize,
    pub follower: usize,
    pub etcd_leader: usize,
    pub etcd_follower: usize,
}

impl Roles {
    pub fn of(nodes: &Nodes) -> Roles {
        let (leader, etcd_leader) = (nodes.leader(), nodes.etcd.leader());
        Roles { leader, follower: nodes.follower(), etcd_leader, etcd_follower: (etcd_leader + 1) % 3 }
    }
}

/// Shortest time of a fault that orders survive: a lease is over, and members have elected.
const LASTS: Duration = Duration::from_millis(2500);

impl Fault {
    pub const ALL: [Fault; 21] = [
        Fault::LeaderKilled,
        Fault::FollowerKilled,
        Fault::LeaderPaused,
        Fault::FollowerPaused,
        Fault::EtcdLeaderKilled,
        Fault::EtcdFollowerKilled,
        Fault::EtcdLeaderPaused,
        Fault::EtcdFollowerPaused,
        Fault::EtcdLeaderUnheard,
        Fault::MachineKilled,
        Fault::MachinePaused,
        Fault::AllMembersKilled,
        Fault::AllMembersPaused,
        Fault::LeaderCutOff,
        Fault::LeaderWithoutAnswers,
        Fault::FollowerCutOff,
        Fault::FollowerWithoutAnswers,
        Fault::SlowNetwork,
        Fault::LossyNetwork,
        Fault::LossyPeers,
        Fault::LeaderDiskFails,
    ];

    pub fn writes_go_on(self) -> bool {
        !matches!(self, Fault::AllMembersKilled | Fault::AllMembersPaused)
    }

    /// Shortest time for which it lasts.
    pub fn lasts(self) -> Duration {
        match self {
            Fault::LeaderKilled
            | Fault::FollowerKilled
            | Fault::EtcdFollowerKilled
            | Fault::AllMembersKilled
            | Fault::LeaderDiskFails => Duration::ZERO,
            Fault::LeaderPaused
            | Fault::FollowerPaused
            | Fault::EtcdLeaderKilled
            | Fault::EtcdLeaderPaused
            | Fault::EtcdFollowerPaused
            | Fault::EtcdLeaderUnheard
            | Fault::MachineKilled
            | Fault::MachinePaused
            | Fault::AllMembersPaused
            | Fault::LeaderCutOff
            | Fault::LeaderWithoutAnswers
            | Fault::FollowerCutOff
            | Fault::FollowerWithoutAnswers
            | Fault::SlowNetwork
            | Fault::LossyNetwork
            | Fault::LossyPeers => LASTS,
        }
    }

    pub fn begin(self, nodes: &mut Nodes, roles: Roles) {
        let Roles { leader, follower, etcd_leader, etcd_follower } = roles;
        match self {
            Fault::LeaderKilled => nodes.kill(leader),
            Fault::FollowerKilled => nodes.kill(follower),
            Fault::LeaderPaused => nodes.node(leader).signal(Signal::STOP),
            Fault::FollowerPaused => nodes.node(follower).signal(Signal::STOP),
            Fault::EtcdLeaderKilled => nodes.etcd.kill(etcd_leader),
            Fault::EtcdFollowerKilled => nodes.etcd.kill(etcd_follower),
            Fault::EtcdLeaderPaused => nodes.etcd.signal(etcd_leader, Signal::STOP),
            Fault::EtcdFollowerPaused => nodes.etcd.signal(etcd_follower, Signal::STOP),
            Fault::EtcdLeaderUnheard => nodes.connect_peers(etcd_leader, Way::NoAnswers),
            Fault::MachineKilled => {
                nodes.etcd.kill(etcd_leader);
                nodes.kill(leader);
            }
            Fault::MachinePaused => {
                nodes.etcd.signal(etcd_leader, Signal::STOP);
                nodes.node(leader).signal(Signal::STOP);
            }
            Fault::AllMembersKilled => (0..3).for_each(|member| nodes.etcd.kill(member)),
            Fault::AllMembersPaused => (0..3).for_each(|member| nodes.etcd.signal(member, Signal::STOP)),
            Fault::LeaderCutOff => nodes.connect(leader, Way::Cut),
            Fault::LeaderWithoutAnswers => nodes.connect(leader, Way::NoAnswers),
            Fault::FollowerCutOff => nodes.connect(follower, Way::Cut),
            Fault::FollowerWithoutAnswers => nodes.connect(follower, Way::NoAnswers),
            Fault::SlowNetwork => (0..3).for_each(|node| nodes.connect(node, Way::Slow)),
            Fault::LossyNetwork => (0..3).for_each(|node| nodes.connect(node, Way::Lossy)),
            Fault::LossyPeers => (0..3).for_each(|member| nodes.connect_peers(member, Way::Lossy)),
            Fault::LeaderDiskFails => nodes.fill_disk(leader),
        }
    }

    pub fn end(self, nodes: &mut Nodes, roles: Roles) {
        let Roles { leader, follower, etcd_leader, etcd_follower } = roles;
        match self {
            Fault::LeaderKilled => nodes.run(leader),
            Fault::FollowerKilled => nodes.run(follower),
            Fault::LeaderPaused => nodes.node(leader).signal(Signal::CONT),
            Fault::FollowerPaused => nodes.node(follower).signal(Signal::CONT),
            Fault::EtcdLeaderKilled => nodes.etcd.run(etcd_leader),
            Fault::EtcdFollowerKilled => nodes.etcd.run(etcd_follower),
            Fault::EtcdLeaderPaused => nodes.etcd.signal(etcd_leader, Signal::CONT),
            Fault::EtcdFollowerPaused => nodes.etcd.signal(etcd_follower, Signal::CONT),
            Fault::EtcdLeaderUnheard => nodes.connect_peers(etcd_leader, Way::Open),
            Fault::MachineKilled => {
                nodes.etcd.run(etcd_leader);
                nodes.run(leader);
            }
            Fault::MachinePaused => {
                nodes.etcd.signal(etcd_leader, Signal::CONT);
                nodes.node(leader).signal(Signal::CONT);
            }
            Fault::AllMembersKilled => nodes.etcd.run_all(),
            Fault::AllMembersPaused => (0..3).for_each(|member| nodes.etcd.signal(member, Signal::CONT)),
            Fault::LeaderCutOff | Fault::LeaderWithoutAnswers => nodes.connect(leader, Way::Open),
            Fault::FollowerCutOff | Fault::FollowerWithoutAnswers => nodes.connect(follower, Way::Open),
            Fault::SlowNetwork | Fault::LossyNetwork => (0..3).for_each(|node| nodes.connect(node, Way::Open)),
            Fault::LossyPeers => (0..3).for_each(|member| nodes.connect_peers(member, Way::Open)),
            Fault::LeaderDiskFails => nodes.kill(leader),
        }
    }
}

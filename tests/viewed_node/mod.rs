//! A server that is the node of a cluster, whose view of the cluster the test sets by hand.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::expect_used, reason = "a test ends where something is not as expected")]
#![allow(unreachable_pub, missing_docs, reason = "a test's own module")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use firstcome::api::code::Code;
use firstcome::config::Config;
use firstcome::writer::clock::boot_clock;
use firstcome::writer::{LeaderAddress, NodeView};

use crate::http::{Answer, Server, call, serve_node};

pub const LEADER_PUBLIC: &str = "https://b.shop.example";
pub const LEADER_ADMIN: &str = "https://b.internal.example:8443";
pub const LEADER_WIRE: &str = "b.shop.example:8082";

/// A server with the view of a node.
pub struct Node {
    pub server: Server,
    pub view: Arc<NodeView>,
    scratch: tempfile::TempDir,
}

impl Node {
    /// The only node, which leads, with a drop of nine units.
    pub fn leading(change: impl FnOnce(&Path, &mut Config)) -> Node {
        let scratch = tempfile::tempdir().expect("scratch");
        let view = Arc::new(NodeView::new("a".into()));
        lead(&view);
        let server = serve_node(scratch.path(), &view, |config| change(scratch.path(), config));
        assert_eq!(server.create(9).status, 201);
        Node { server, view, scratch }
    }

    /// A node that follows another, with a drop of nine units.
    pub fn following() -> Node {
        let node = Node::leading(|_, _| {});
        follow(&node.view);
        node
    }

    /// The directory of its file.
    pub fn directory(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    pub fn public(&self) -> SocketAddr {
        self.server.0.server.public_address
    }

    pub fn admin(&self) -> SocketAddr {
        self.server.0.server.admin_address
    }

    pub fn seq(&self) -> u64 {
        self.server.0.writer.published.seq()
    }

    pub fn get(&self, path: &str, headers: &str) -> Answer {
        call(self.public(), "GET", path, headers, "")
    }

    pub fn ready(&self, query: &str) -> Answer {
        call(self.admin(), "GET", &format!("/readyz{query}"), "", "")
    }

    /// Decides an order while it leads, and follows again.
    pub fn decides_meanwhile(&self, key: &str) -> u64 {
        lead(&self.view);
        let order = self.server.order(key, r#"{"buyer":"ann","quantity":1}"#);
        follow(&self.view);
        assert_eq!(order.status, 201, "{}", order.text);
        order.headers["firstcome-seq"].parse().expect("a number")
    }
}

pub fn lead(view: &NodeView) {
    view.set_leader(Some(LeaderAddress {
        node: "a".into(),
        public_url: "http://own.example".into(),
        admin_url: "http://own.example".into(),
        wire: "own.example:1".into(),
    }));
    view.set_leads_until(Some(boot_clock().plus(600_000)));
}

pub fn leader() -> LeaderAddress {
    LeaderAddress {
        node: "b".into(),
        public_url: LEADER_PUBLIC.into(),
        admin_url: LEADER_ADMIN.into(),
        wire: LEADER_WIRE.into(),
    }
}

pub fn follow(view: &NodeView) {
    view.set_leads_until(None);
    view.set_leader(Some(leader()));
}

#[track_caller]
pub fn is(answer: &Answer, code: Code) {
    let found = (answer.status, answer.body["code"].as_str());
    assert_eq!(found, (code.kind().status.as_u16(), Some(code.kind().code)), "{}", answer.text);
}

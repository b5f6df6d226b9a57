//! A candidate that gets no further.

use super::*;
use crate::store::chain::ChainLink;
use crate::types::Seq;

#[test]
fn an_elected_node_that_cannot_catch_up_resigns_and_lets_others_go_first() {
    let settings = NodeSettings::default();
    let mut node = Node::new(settings, Head::before_all(Seq::ZERO, ChainLink::START), BootMillis(0));
    let wall = UnixMillis::ZERO;
    let ask = |node: &mut Node, now: u64| {
        let at = BootMillis(now);
        if let Some(request) = node.lease_request(at) {
            assert!(matches!(request, LogRequest::KeepAlive { .. }));
            node.lease_answered(at, at, &LogAnswer::Kept);
        }
        let request = node.request(at);
        let answer = match &request {
            Some(LogRequest::Campaign) => LogAnswer::Elected(Tenure(7)),
            Some(LogRequest::Resign { tenure: Tenure(7) }) => LogAnswer::Kept,
            // The log does not answer this node's reads.
            _ => LogAnswer::Unknown,
        };
        if request.is_some() {
            drop(node.answered(at, wall, &answer));
        }
        request
    };
    let asked: Vec<_> = (0..20_000).step_by(100).map(|now| (now, ask(&mut node, now))).collect();
    let first = |wanted: fn(&LogRequest) -> bool| {
        asked.iter().find(|(_, request)| request.as_ref().is_some_and(wanted)).map(|(now, _)| *now)
    };
    let elected = first(|request| *request == LogRequest::Campaign).expect("it campaigns");
    let resigned = first(|request| matches!(request, LogRequest::Resign { .. })).expect("it resigns");
    assert_eq!(resigned - elected, 10_000);
    let again = asked.iter().filter(|(_, request)| *request == Some(LogRequest::Campaign)).count();
    assert_eq!(again, 1, "it waits before it campaigns again");
}

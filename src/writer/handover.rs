//! A handover of the leadership, from its request to the moment at which the node has given the leadership up.
//!
//! Three threads take part: the one of the request, the log's, which names the successor in the log, and the writer, which
//! gives the leadership up between two batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The step at which a handover is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum HandoverStep {
    #[default]
    None,
    /// To the node of this name, or to any.
    Asked(Option<String>),
    /// The log's thread looks for the successor, and names it.
    Naming,
    /// There is no such node, or none.
    Refused,
    /// The log names the successor: the writer may give the leadership up.
    Named(String),
    /// The leadership was given up.
    GivenUp(String),
}

/// The handover of a node.
#[derive(Default, Debug)]
pub struct Handover {
    step: Mutex<HandoverStep>,
    /// True in the step `Named`: the writer looks at it without a lock.
    is_named: AtomicBool,
    is_asked: Notify,
}

impl Handover {
    /// Begins one. `None` if one is under way.
    #[must_use]
    pub fn begin(self: &Arc<Self>, to: Option<String>) -> Option<HandoverTurn> {
        let mut step = self.step.lock();
        if *step != HandoverStep::None {
            return None;
        }
        *step = HandoverStep::Asked(to);
        drop(step);
        self.is_asked.notify_one();
        Some(HandoverTurn(Arc::clone(self)))
    }

    /// Waits until one is asked for. Returns the name of the node that was asked for.
    pub async fn asked(&self) -> Option<String> {
        loop {
            self.is_asked.notified().await;
            let mut step = self.step.lock();
            if let HandoverStep::Asked(to) = &mut *step {
                let to = to.take();
                *step = HandoverStep::Naming;
                return to;
            }
        }
    }

    /// Notes the successor that the log names; `None` if there is no node that can lead.
    pub fn set_named(&self, successor: Option<String>) {
        let mut step = self.step.lock();
        // The request may have ended meanwhile.
        if *step == HandoverStep::Naming {
            self.is_named.store(successor.is_some(), Ordering::Release);
            *step = successor.map_or(HandoverStep::Refused, HandoverStep::Named);
        }
    }

    /// Returns whether the leadership is to be given up.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.is_named.load(Ordering::Acquire)
    }

    /// Notes that it was.
    pub fn set_given_up(&self) {
        self.is_named.store(false, Ordering::Release);
        let mut step = self.step.lock();
        if let HandoverStep::Named(successor) = &mut *step {
            *step = HandoverStep::GivenUp(std::mem::take(successor));
        }
    }
}

/// A handover under way: it ends with this.
#[derive(Debug)]
pub struct HandoverTurn(Arc<Handover>);

impl HandoverTurn {
    #[must_use]
    pub fn step(&self) -> HandoverStep {
        self.0.step.lock().clone()
    }
}

impl Drop for HandoverTurn {
    fn drop(&mut self) {
        self.0.is_named.store(false, Ordering::Release);
        *self.0.step.lock() = HandoverStep::None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_handover_at_a_time_and_one_whose_client_went_away_is_forgotten() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let handover = Arc::new(Handover::default());
        let turn = handover.begin(Some("n2".into())).expect("none is under way");
        assert!(handover.begin(None).is_none());
        assert_eq!(runtime.block_on(handover.asked()), Some("n2".into()));
        handover.set_named(Some("n2".into()));
        assert!(handover.is_named());
        handover.set_given_up();
        assert_eq!((turn.step(), handover.is_named()), (HandoverStep::GivenUp("n2".into()), false));
        drop(turn);
        let turn = handover.begin(None).expect("the first has ended");
        assert_eq!(runtime.block_on(handover.asked()), None);
        drop(turn);
        handover.set_named(Some("n3".into()));
        assert!(!handover.is_named(), "nobody waits for it");
    }
}

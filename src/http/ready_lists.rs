//! First pages of the storefront's list that are ready to be sent.

use hyper::header::HeaderValue;

use crate::types::DropState;
use crate::web::ReadyPage;
use crate::web::words::Language;

/// The first pages that a worker has rendered since the newest change: at most one for each state, language and whether the reader
/// chose it, 24 in all.
#[derive(Default)]
pub(super) struct ReadyLists(Vec<ReadyList>);

/// The first page of the list, in one language and of one state.
pub(super) struct ReadyList {
    pub(super) language: Language,
    pub(super) state: Option<DropState>,
    /// The newest change that was published before the list was read.
    pub(super) change: u64,
    pub(super) page: ReadyPage,
    /// The header `Content-Security-Policy`, which names the hosts of its pictures.
    pub(super) policy: Option<HeaderValue>,
}

impl ReadyLists {
    /// Returns the page that has this change, if it was kept.
    pub(super) fn find(&self, language: Language, state: Option<DropState>, change: u64) -> Option<&ReadyList> {
        self.0.iter().find(|ready| (ready.language, ready.state, ready.change) == (language, state, change))
    }

    /// Keeps a page, and drops those of other changes.
    pub(super) fn put(&mut self, list: ReadyList) {
        self.0.retain(|other| {
            other.change == list.change && (other.language, other.state) != (list.language, list.state)
        });
        self.0.push(list);
    }
}

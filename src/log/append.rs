//! One append, from its first request until it is known what became of the entry.
//!
//! An answer may be lost although the entry stands, and a request may be carried out long after its answer was given up.
//! So an append whose answer is unknown is resolved by what stands in the log alone: the head first, and behind it the
//! entry of the append's number. *Not applied* is said only if another entry stands there.

use std::sync::Arc;

use super::request::{LogAnswer, LogRequest, Tenure};
use super::{Entry, Head};
use crate::failpoints::{self, Bug};

/// An append under way.
#[derive(Clone, Debug)]
pub struct Append {
    tenure: Tenure,
    from: Head,
    to: Head,
    bytes: Arc<[u8]>,
    asked: Asked,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    Append,
    Head,
    Entry { head: Head, elsewhere: bool },
}

/// The step that follows from an answer.
#[derive(Debug)]
pub enum Step {
    /// The request of [`Append::request`] comes next.
    Ask(Append),
    Done(Fate),
}

/// The end of an append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The entry is in the log, and the head is its own.
    Stands,
    /// The entry is in the log, and others have appended behind it.
    StandsBehind(Head),
    /// Another entry has its number: it is not in the log and never will be.
    NotApplied(Head),
    /// The log does not tell: the slot was overwritten, the tenure ended before another entry came, or the log went back.
    Unknown,
}

impl Append {
    #[must_use]
    pub fn new(tenure: Tenure, from: Head, to: Head, bytes: Arc<[u8]>) -> Append {
        Append { tenure, from, to, bytes, asked: Asked::Append }
    }

    /// The head after the entry.
    #[must_use]
    pub fn to(&self) -> Head {
        self.to
    }

    /// Returns the request to carry out next.
    #[must_use]
    pub fn request(&self) -> LogRequest {
        let Append { tenure, from, to, .. } = *self;
        match self.asked {
            Asked::Append => LogRequest::Append { tenure, from, to, bytes: Arc::clone(&self.bytes) },
            Asked::Head => LogRequest::Head { elsewhere: false },
            Asked::Entry { elsewhere, .. } => LogRequest::Read { number: to.number, elsewhere },
        }
    }

    /// Takes the answer to the last request.
    #[must_use]
    pub fn answered(self, answer: &LogAnswer) -> Step {
        match (self.asked, answer) {
            (Asked::Append, LogAnswer::Appended) => Step::Done(Fate::Stands),
            (Asked::Append, LogAnswer::Fenced(head)) => self.judge(*head, true),
            (Asked::Append, _) if failpoints::enabled(Bug::UnknownIsNotApplied) => {
                Step::Done(Fate::NotApplied(self.from))
            }
            (Asked::Append, _) => self.ask(Asked::Head),
            (Asked::Head, LogAnswer::Head(head)) => self.judge(*head, false),
            (Asked::Entry { head, elsewhere }, LogAnswer::Entry(bytes)) => self.compare(head, elsewhere, bytes),
            (Asked::Head | Asked::Entry { .. }, _) => Step::Ask(self),
        }
    }

    fn ask(self, asked: Asked) -> Step {
        Step::Ask(Append { asked, ..self })
    }

    /// Draws the conclusion from a head; `fenced` if it is the answer to the append itself.
    fn judge(self, head: Head, fenced: bool) -> Step {
        if head == self.to {
            Step::Done(Fate::Stands)
        } else if head == self.from {
            // Refused at the right head: the tenure has ended. No other entry stands, but one may be on its way.
            if fenced { Step::Done(Fate::Unknown) } else { self.ask(Asked::Append) }
        } else if head.number >= self.to.number {
            self.ask(Asked::Entry { head, elsewhere: false })
        } else {
            Step::Done(Fate::Unknown)
        }
    }

    fn compare(self, head: Head, elsewhere: bool, bytes: &[u8]) -> Step {
        match Entry::decode(bytes) {
            Ok(entry) if entry.head() == self.to => Step::Done(Fate::StandsBehind(head)),
            Ok(entry) if entry.number == self.to.number => Step::Done(Fate::NotApplied(head)),
            Ok(entry) if entry.number > self.to.number => Step::Done(Fate::Unknown),
            // A damaged or an old copy says nothing: another member has a good one.
            Ok(_) | Err(_) => self.ask(Asked::Entry { head, elsewhere: !elsewhere }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Batch;
    use crate::store::chain::ChainLink;
    use crate::types::{Seq, UnixMillis};

    fn entry(number: u64, epoch: u64) -> Entry {
        let link = ChainLink::START;
        let tenure = Tenure(epoch);
        Entry {
            number,
            epoch,
            tenure,
            seq: Seq::ZERO,
            before: link,
            link,
            at: UnixMillis::ZERO,
            batch: Batch::default(),
        }
    }

    fn bytes(entry: &Entry) -> LogAnswer {
        LogAnswer::Entry(entry.encode().expect("short").into())
    }

    /// Answers an append of entry 5 of epoch 2 until it is done; returns what became of it and what was asked.
    fn answer(answers: &[LogAnswer]) -> (Option<Fate>, Vec<LogRequest>) {
        let (from, own) = (entry(4, 2).head(), entry(5, 2));
        let mut append = Append::new(Tenure(1), from, own.head(), own.encode().expect("short").into());
        let mut asked = vec![append.request()];
        for answer in answers {
            match append.answered(answer) {
                Step::Done(fate) => return (Some(fate), asked),
                Step::Ask(next) => append = next,
            }
            asked.push(append.request());
        }
        (None, asked)
    }

    #[test]
    fn an_entry_that_the_log_took_stands() {
        assert_eq!(answer(&[LogAnswer::Appended]).0, Some(Fate::Stands));
        assert_eq!(answer(&[LogAnswer::Unknown, LogAnswer::Head(entry(5, 2).head())]).0, Some(Fate::Stands));
        assert_eq!(
            answer(&[LogAnswer::Fenced(entry(5, 2).head())]).0,
            Some(Fate::Stands),
            "the first request was late"
        );
    }

    #[test]
    fn an_entry_that_is_not_there_yet_is_sent_again_in_the_same_bytes() {
        let head = LogRequest::Head { elsewhere: false };
        let (fate, asked) = answer(&[LogAnswer::Unknown, LogAnswer::Unknown, LogAnswer::Head(entry(4, 2).head())]);
        assert_eq!((fate, &asked[1], &asked[2]), (None, &head, &head));
        assert_eq!(asked[0], asked[3]);
    }

    #[test]
    fn behind_other_entries_the_entry_of_its_number_decides() {
        let later = entry(9, 3).head();
        assert_eq!(answer(&[LogAnswer::Fenced(later), bytes(&entry(5, 2))]).0, Some(Fate::StandsBehind(later)));
        assert_eq!(answer(&[LogAnswer::Fenced(later), bytes(&entry(5, 3))]).0, Some(Fate::NotApplied(later)));
        assert_eq!(answer(&[LogAnswer::Fenced(later), bytes(&entry(4101, 3))]).0, Some(Fate::Unknown), "overwritten");
    }

    #[test]
    fn a_damaged_or_an_old_copy_says_nothing_and_another_member_is_asked() {
        let later = entry(9, 3).head();
        for copy in [LogAnswer::Entry(Arc::from(&b"damaged"[..])), bytes(&entry(1, 1))] {
            let (fate, asked) = answer(&[LogAnswer::Fenced(later), copy]);
            assert_eq!(fate, None);
            assert_eq!(asked[1], LogRequest::Read { number: 5, elsewhere: false });
            assert_eq!(asked[2], LogRequest::Read { number: 5, elsewhere: true });
        }
    }

    #[test]
    fn a_tenure_that_ended_or_a_log_that_went_back_leaves_the_outcome_unknown() {
        assert_eq!(answer(&[LogAnswer::Fenced(entry(4, 2).head())]).0, Some(Fate::Unknown));
        assert_eq!(answer(&[LogAnswer::Unknown, LogAnswer::Head(entry(2, 1).head())]).0, Some(Fate::Unknown));
        assert_eq!(answer(&[LogAnswer::Unknown, LogAnswer::Head(entry(4, 3).head())]).0, Some(Fate::Unknown));
    }
}

//! The shard that a node says it is of, compared with that of the router's file.

use std::fmt;

use hyper::header::HeaderMap;

use crate::failpoints::{self, Bug};
use crate::http::request::FIRSTCOME_SHARD;
use crate::types::shard::Shard;

/// The word of an answer about the node's shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ShardWord {
    /// The node is of the shard under which the file names it.
    Agrees,
    Differs(OtherShard),
    /// The answer says nothing of a shard.
    Nothing,
}

/// The shard that a node names instead of that of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OtherShard {
    Number(Shard),
    /// The answer names no shard, like those of a single machine and of a node of an older version.
    Unnamed,
    /// The answer names something that is no number of a shard.
    Unreadable,
}

impl ShardWord {
    /// Returns the word of any answer: one without a shard says nothing.
    pub(super) fn of_answer(file: Shard, headers: &HeaderMap) -> ShardWord {
        let mut said = headers.get_all(FIRSTCOME_SHARD).iter();
        let Some(first) = said.next() else { return ShardWord::Nothing };
        if failpoints::enabled(Bug::RouterBelievesFile) {
            return ShardWord::Agrees;
        }
        let number = first.to_str().ok().filter(|_| said.next().is_none()).and_then(|text| text.parse().ok());
        match number.map(Shard::new) {
            Some(shard) if shard == file => ShardWord::Agrees,
            Some(shard) => ShardWord::Differs(OtherShard::Number(shard)),
            None => ShardWord::Differs(OtherShard::Unreadable),
        }
    }

    /// Returns the word of a node that serves: one that names no shard is of that of a single machine.
    pub(super) fn of_serving(file: Shard, headers: &HeaderMap) -> ShardWord {
        match ShardWord::of_answer(file, headers) {
            ShardWord::Nothing if file == Shard::SINGLE || failpoints::enabled(Bug::RouterBelievesFile) => {
                ShardWord::Agrees
            }
            ShardWord::Nothing => ShardWord::Differs(OtherShard::Unnamed),
            word @ (ShardWord::Agrees | ShardWord::Differs(_)) => word,
        }
    }
}

impl fmt::Display for OtherShard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OtherShard::Number(shard) => write!(formatter, "{}", shard.get()),
            OtherShard::Unnamed => formatter.write_str("none"),
            OtherShard::Unreadable => formatter.write_str("no number"),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_node_is_of_the_shard_that_it_names_and_a_single_machine_of_shard_0() {
        use OtherShard::{Number, Unnamed, Unreadable};
        use ShardWord::{Agrees, Differs, Nothing};
        for (file, said, any, serving) in [
            (0, &[][..], Nothing, Agrees),
            (3, &[][..], Nothing, Differs(Unnamed)),
            (3, &["3"][..], Agrees, Agrees),
            (3, &["5"][..], Differs(Number(Shard::new(5))), Differs(Number(Shard::new(5)))),
            (0, &["5"][..], Differs(Number(Shard::new(5))), Differs(Number(Shard::new(5)))),
            (0, &["256"][..], Differs(Unreadable), Differs(Unreadable)),
            (3, &["3", "3"][..], Differs(Unreadable), Differs(Unreadable)),
            (0, &[""][..], Differs(Unreadable), Differs(Unreadable)),
        ] {
            let mut headers = HeaderMap::new();
            for value in said {
                headers.append(FIRSTCOME_SHARD, HeaderValue::from_static(value));
            }
            let file = Shard::new(file);
            assert_eq!(ShardWord::of_answer(file, &headers), any, "{file:?} {said:?}");
            assert_eq!(ShardWord::of_serving(file, &headers), serving, "{file:?} {said:?}");
        }
    }
}

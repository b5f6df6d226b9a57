//! A worker's memory of the starts of drops. Each is read once, and again after a change of any drop by an operator.

use std::collections::BTreeMap;

use crate::types::{DropId, Published, UnixMillis};

/// The starts of the drops that were ordered.
#[derive(Default)]
pub struct DropStarts {
    /// The count of changes as of which the starts were read.
    as_of: u64,
    starts: BTreeMap<DropId, UnixMillis>,
}

impl DropStarts {
    /// Returns the start of a drop. `read` reads that of a drop which exists.
    ///
    /// # Errors
    /// The error of `read`.
    pub fn of<E>(
        &mut self,
        published: &Published,
        drop_id: DropId,
        read: impl FnOnce() -> Result<Option<UnixMillis>, E>,
    ) -> Result<Option<UnixMillis>, E> {
        // The count is read before the row: a start that changes meanwhile is read again.
        let as_of = published.price_changes();
        if self.as_of != as_of {
            *self = DropStarts { as_of, starts: BTreeMap::new() };
        }
        if let Some(known) = self.starts.get(&drop_id) {
            return Ok(Some(*known));
        }
        if published.version(drop_id) == 0 {
            return Ok(None);
        }
        let found = read()?;
        if let Some(start) = found {
            self.starts.insert(drop_id, start);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::types::Seq;

    #[test]
    fn a_start_is_read_once_until_an_operator_changes_a_drop_and_not_at_all_for_drops_that_do_not_exist() {
        let (mut starts, published) = (DropStarts::default(), Published::default());
        let drop_id = DropId::new(1).expect("an id");
        let at = |ms| UnixMillis::ZERO.plus_millis(ms);
        let mut asked = |published: &Published, ms: Option<i64>| {
            let read = || Ok::<_, Infallible>(Some(at(ms.unwrap_or_else(|| unreachable!("it is known")))));
            let Ok(found) = starts.of(published, drop_id, read);
            found
        };
        assert_eq!(asked(&published, None), None);
        published.publish_version(drop_id, Seq::new(1).expect("a seq"));
        assert_eq!(asked(&published, Some(5)), Some(at(5)));
        assert_eq!(asked(&published, None), Some(at(5)));
        published.note_price_change();
        assert_eq!(asked(&published, Some(6)), Some(at(6)));
    }
}

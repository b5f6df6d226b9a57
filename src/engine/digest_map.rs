//! Maps by digests that grow in small steps.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::types::Digest;

/// Number of the tables of a large map. A table that grows moves all of its entries at once: with a million entries in one table
/// that stopped the writer for 50 to 100 ms, and a 64th of them takes about 1 ms.
const TABLES: usize = 64;
/// Entries of a small map, which is one table: a map for each drop must cost little.
const SMALL_MAX: usize = 4096;

type DigestTable<V> = HashMap<Digest, V, BuildHasherDefault<DigestHasher>>;

/// Values by digests: one table while there are few, then 64 tables by the last byte of the digest. The hasher takes the first
/// bytes.
#[derive(Clone, Debug)]
pub(crate) struct DigestMap<V> {
    len: usize,
    /// Empty once there are many.
    small: DigestTable<V>,
    large: Option<Box<[DigestTable<V>; TABLES]>>,
}

const fn table_of(digest: &Digest) -> usize {
    let [.., last] = digest.0;
    last as usize % TABLES
}

impl<V> Default for DigestMap<V> {
    fn default() -> DigestMap<V> {
        DigestMap { len: 0, small: DigestTable::default(), large: None }
    }
}

impl<V> DigestMap<V> {
    #[inline]
    fn table(&self, digest: &Digest) -> &DigestTable<V> {
        self.large.as_deref().and_then(|tables| tables.get(table_of(digest))).unwrap_or(&self.small)
    }

    #[inline]
    fn table_mut(&mut self, digest: &Digest) -> &mut DigestTable<V> {
        match self.large.as_deref_mut().and_then(|tables| tables.get_mut(table_of(digest))) {
            Some(table) => table,
            None => &mut self.small,
        }
    }

    #[inline]
    pub(crate) fn get(&self, digest: &Digest) -> Option<&V> {
        self.table(digest).get(digest)
    }

    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.get(digest).is_some()
    }

    /// Sets the value of a digest, and returns the one before.
    pub(crate) fn insert(&mut self, digest: Digest, value: V) -> Option<V> {
        if self.large.is_none() && self.len >= SMALL_MAX {
            self.split();
        }
        let before = self.table_mut(&digest).insert(digest, value);
        self.len = self.len.saturating_add(usize::from(before.is_none()));
        before
    }

    pub(crate) fn remove(&mut self, digest: &Digest) -> Option<V> {
        let before = self.table_mut(digest).remove(digest);
        self.len = self.len.saturating_sub(usize::from(before.is_some()));
        before
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Digest, &V)> {
        self.tables().flatten()
    }

    fn tables(&self) -> impl Iterator<Item = &DigestTable<V>> {
        std::iter::once(&self.small).chain(self.large.as_deref().into_iter().flatten())
    }

    /// Frees the memory of one of its tables. Returns whether all of it is free.
    pub(crate) fn free_some(&mut self) -> bool {
        let filled = |table: &&mut DigestTable<V>| table.capacity() > 0;
        let mut tables = std::iter::once(&mut self.small).chain(self.large.as_deref_mut().into_iter().flatten());
        let Some(table) = tables.find(filled) else { return true };
        self.len = self.len.saturating_sub(table.len());
        *table = DigestTable::default();
        false
    }

    fn split(&mut self) {
        let mut tables: Box<[DigestTable<V>; TABLES]> = Box::new(std::array::from_fn(|_| DigestTable::default()));
        #[expect(clippy::iter_over_hash_type, reason = "the order in which entries move does not matter")]
        for (digest, value) in std::mem::take(&mut self.small) {
            if let Some(table) = tables.get_mut(table_of(&digest)) {
                table.insert(digest, value);
            }
        }
        self.large = Some(tables);
    }

    /// The memory of the tables in bytes: a slot has one byte beside its entry, and an eighth of the slots stays empty.
    pub(crate) fn bytes_in_memory(&self) -> usize {
        let slots: usize = self.tables().map(|table| table.capacity().saturating_mul(8).div_ceil(7)).sum();
        let tables = self.large.as_deref().map_or(0, |_| size_of::<[DigestTable<V>; TABLES]>());
        slots.saturating_mul(size_of::<(Digest, V)>().saturating_add(1)).saturating_add(tables)
    }
}

impl<V: PartialEq> PartialEq for DigestMap<V> {
    /// Compares the entries, however they are spread over tables.
    fn eq(&self, other: &DigestMap<V>) -> bool {
        self.len == other.len && self.iter().all(|(digest, value)| other.get(digest) == Some(value))
    }
}

impl<V: Eq> Eq for DigestMap<V> {}

/// Digests are keyed and uniform already: their first eight bytes are the hash. Clients cannot choose them.
#[derive(Clone, Default)]
pub(crate) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length_prefix: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::DigestKey;

    /// Digests as the engine has them: keyed hashes.
    fn digests(count: usize) -> Vec<Digest> {
        let key = DigestKey::new(&[7; 32]);
        (0..count).map(|number| key.buyer(&number.to_string())).collect()
    }

    #[test]
    fn a_map_keeps_its_entries_while_it_is_split_into_tables() {
        let digests = digests(SMALL_MAX * 2);
        let mut map = DigestMap::default();
        for (number, digest) in digests.iter().enumerate() {
            assert_eq!(map.get(digest), None);
            assert_eq!(map.insert(*digest, number), None);
            assert_eq!(map.len(), number + 1);
        }
        assert!(map.large.is_some() && map.small.is_empty());
        for (number, digest) in digests.iter().enumerate() {
            assert_eq!(map.insert(*digest, number + 1), Some(number), "a second value takes the place of the first");
        }
        let mut found: Vec<usize> = map.iter().map(|(_, number)| *number).collect();
        found.sort_unstable();
        assert!(found.into_iter().eq(1..=digests.len()));
        for (number, digest) in digests.iter().enumerate() {
            assert_eq!((map.remove(digest), map.remove(digest)), (Some(number + 1), None));
        }
        assert!(map.is_empty() && map.iter().next().is_none());
    }

    #[test]
    fn a_map_is_freed_table_by_table() {
        let mut map = DigestMap::default();
        for digest in digests(SMALL_MAX * 2) {
            map.insert(digest, 1);
        }
        let mut steps = 0;
        while !map.free_some() {
            steps += 1;
        }
        assert_eq!((steps, map.len(), map.iter().count()), (TABLES, 0, 0));
        assert!(DigestMap::<u32>::default().free_some());
    }

    #[test]
    fn a_map_that_was_split_equals_one_with_the_same_entries_that_was_not() {
        let (few, many) = (digests(10), digests(SMALL_MAX + 1));
        let small: DigestMap<u32> = few.iter().fold(DigestMap::default(), |mut map, digest| {
            map.insert(*digest, 1);
            map
        });
        let mut split = DigestMap::default();
        for digest in &many {
            split.insert(*digest, 1);
        }
        assert!(small != split);
        for digest in many.iter().filter(|digest| !few.contains(digest)) {
            split.remove(digest);
        }
        assert!(split.large.is_some() && small == split);
        split.insert(few[0], 2);
        assert!(small != split);
    }
}

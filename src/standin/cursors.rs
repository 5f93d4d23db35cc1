//! Cursors: query, collection and position, without documents.
//!
//! Cursors belong to the server, not to a connection, because drivers fetch the next batch on any connection of their
//! pool. At the limit, the oldest cursor is dropped.

use std::collections::BTreeMap;

use bson::raw::RawArrayBuf;

use super::{filter::Filter, store::Store};
use crate::limits::{STANDIN_BATCH_BYTES, STANDIN_CURSORS};
use crate::mongo::CommandFailure;

/// All open cursors.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    open: BTreeMap<i64, OpenCursor>,
    last: i64,
}

/// A query's result, and the position up to which it was sent.
#[derive(Debug)]
pub(super) struct OpenCursor {
    /// `db.collection`.
    pub(super) namespace: String,
    pub(super) filter: Filter,
    /// The maximum number of documents that are still to be sent.
    pub(super) remaining: usize,
    next: usize,
    /// The end of the result: documents inserted after the query are not part of it.
    end: usize,
}

impl OpenCursor {
    pub(super) fn new(store: &Store, namespace: String, filter: Filter, remaining: usize) -> Self {
        let end = store.from(&namespace, 0).len();
        Self { namespace, filter, remaining, next: 0, end }
    }

    /// The next documents, at most `most`.
    pub(super) fn batch(&mut self, store: &Store, most: usize) -> RawArrayBuf {
        let (mut batch, mut count, mut bytes) = (RawArrayBuf::new(), 0, 0);
        let most = most.min(self.remaining);
        let documents = store.from(&self.namespace, self.next).iter().take(self.end - self.next);
        for document in documents {
            if count == most || bytes >= STANDIN_BATCH_BYTES {
                break;
            }
            self.next += 1;
            if self.filter.matches(document) {
                batch.push(document);
                count += 1;
                bytes += document.as_bytes().len();
            }
        }
        self.remaining -= count;
        batch
    }

    /// Whether the whole result was sent.
    pub(super) fn is_done(&self) -> bool {
        self.remaining == 0 || self.next == self.end
    }
}

impl Cursors {
    /// Keeps a cursor unless its whole result was sent. Returns its ID, or 0 if it is not kept.
    pub(super) fn keep(&mut self, cursor: OpenCursor) -> i64 {
        if cursor.is_done() {
            return 0;
        }
        if self.open.len() == STANDIN_CURSORS {
            self.open.pop_first();
        }
        self.last += 1;
        self.open.insert(self.last, cursor);
        self.last
    }

    /// The next batch of a cursor, and the cursor's ID, which is 0 if this is the last batch.
    ///
    /// # Errors
    ///
    /// mongod's `CursorNotFound`, also if the cursor belongs to another collection.
    pub(super) fn more(
        &mut self,
        store: &Store,
        id: i64,
        namespace: &str,
        most: usize,
    ) -> Result<(RawArrayBuf, i64), CommandFailure> {
        let cursor = self.open.get_mut(&id).filter(|cursor| cursor.namespace == namespace);
        let cursor =
            cursor.ok_or_else(|| CommandFailure::new((43, "CursorNotFound"), format!("cursor id {id} not found")))?;
        let batch = cursor.batch(store, most);
        if cursor.is_done() {
            self.open.remove(&id);
            return Ok((batch, 0));
        }
        Ok((batch, id))
    }

    /// Removes a cursor; returns false if there was none.
    pub(super) fn kill(&mut self, id: i64) -> bool {
        self.open.remove(&id).is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use bson::rawdoc;

    use super::*;

    fn store(count: i32) -> Store {
        let mut store = Store::default();
        for id in 0..count {
            store.insert("d.c", rawdoc! { "_id": id, "even": id % 2 == 0 }).unwrap();
        }
        store
    }

    fn cursor(store: &Store, query: bson::raw::RawDocumentBuf, limit: usize) -> OpenCursor {
        OpenCursor::new(store, "d.c".to_owned(), Filter::new(&query).unwrap(), limit)
    }

    #[test]
    fn batches_add_up() {
        let mut store = store(10);
        for (query, limit, batch, expected) in [
            (rawdoc! {}, usize::MAX, 3, vec![3, 3, 3, 1]),
            (rawdoc! {}, 4, 3, vec![3, 1]),
            (rawdoc! { "even": true }, usize::MAX, 2, vec![2, 2, 1]),
            (rawdoc! { "none": 1 }, usize::MAX, 2, vec![0]),
        ] {
            let mut cursor = cursor(&store, query, limit);
            let mut sizes = Vec::new();
            while sizes.is_empty() || !cursor.is_done() {
                sizes.push(cursor.batch(&store, batch).into_iter().count());
            }
            sizes.pop_if(|last| *last == 0 && expected.len() > 1);
            assert_eq!(sizes, expected);
        }
        let mut before = cursor(&store, rawdoc! {}, usize::MAX);
        store.insert("d.c", rawdoc! {}).unwrap();
        assert_eq!(before.batch(&store, usize::MAX).into_iter().count(), 10, "what came later is no part of it");
    }

    #[test]
    fn cursors_are_found_killed_and_bounded() {
        let store = store(2);
        let mut cursors = Cursors::default();
        let first = cursors.keep(cursor(&store, rawdoc! {}, usize::MAX));
        assert_eq!(cursors.more(&store, first, "d.other", 1).unwrap_err().number(), 43);
        assert_eq!(cursors.more(&store, first, "d.c", 1).unwrap().1, first);
        assert_eq!(cursors.more(&store, first, "d.c", 1).unwrap().1, 0);
        assert_eq!(cursors.more(&store, first, "d.c", 1).unwrap_err().number(), 43);
        assert_eq!(cursors.keep(cursor(&store, rawdoc! {}, 0)), 0);
        let kept: Vec<i64> = (0..=STANDIN_CURSORS).map(|_| cursors.keep(cursor(&store, rawdoc! {}, 9))).collect();
        assert!(!cursors.kill(kept[0]) && cursors.kill(kept[1]) && !cursors.kill(kept[1]));
    }
}

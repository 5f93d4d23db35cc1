//! Documents in memory: one list per `db.collection`, in the order of insertion.
//!
//! The store only grows, within bounds. Without update, delete and drop, a cursor is a position ([`super::cursors`]),
//! and a count proves that no document was lost.

use std::collections::{HashMap, HashSet};

use bson::{
    oid::ObjectId,
    raw::{RawBsonRef, RawDocument, RawDocumentBuf, cstr},
};

use super::filter::Filter;
use crate::limits::{STANDIN_BYTES, STANDIN_DOCUMENT_BYTES, STANDIN_DOCUMENTS};
use crate::mongo::{CommandFailure, integer};

#[derive(Debug, Default)]
pub(super) struct Store {
    /// The collections, keyed by `db.collection`. No collection is empty.
    collections: HashMap<String, Collection>,
    documents: usize,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Collection {
    documents: Vec<RawDocumentBuf>,
    /// The `_id` of each document, so that a repeated insert is an error.
    ids: HashSet<Vec<u8>>,
}

impl Store {
    /// Adds a document; one without an `_id` gets one.
    ///
    /// # Errors
    ///
    /// mongod's errors for a document that is too large, a duplicate `_id`, and a full store.
    pub(super) fn insert(&mut self, namespace: &str, document: RawDocumentBuf) -> Result<(), CommandFailure> {
        let document = with_id(document)?;
        let size = document.as_bytes().len();
        if size > STANDIN_DOCUMENT_BYTES {
            return Err(CommandFailure::new(
                (10334, "BSONObjectTooLarge"),
                format!("document of {size} bytes is too large"),
            ));
        }
        let id = id_bytes(&document)?;
        let bytes = self.bytes + size + id.len();
        if self.documents == STANDIN_DOCUMENTS || bytes > STANDIN_BYTES {
            let text = format!("the stand-in keeps at most {STANDIN_DOCUMENTS} documents and {STANDIN_BYTES} bytes");
            return Err(CommandFailure::new((14031, "OutOfDiskSpace"), text));
        }
        let collection = self.collections.entry(namespace.to_owned()).or_default();
        if !collection.ids.insert(id) {
            let text = format!("E11000 duplicate key error collection: {namespace} index: _id_");
            return Err(CommandFailure::new((11000, "DuplicateKey"), text));
        }
        collection.documents.push(document);
        self.documents += 1;
        self.bytes = bytes;
        Ok(())
    }

    /// The documents of a collection from a position on; empty beyond the end, or if the collection does not exist.
    pub(super) fn from(&self, namespace: &str, position: usize) -> &[RawDocumentBuf] {
        let all = self.collections.get(namespace).map_or(&[][..], |collection| &collection.documents);
        all.get(position..).unwrap_or_default()
    }

    /// The number of matching documents.
    pub(super) fn count(&self, namespace: &str, filter: &Filter) -> usize {
        self.from(namespace, 0).iter().filter(|document| filter.matches(document)).count()
    }

    /// The number of documents, over all collections.
    pub(super) fn len(&self) -> usize {
        self.documents
    }
}

/// Returns the document with an `_id`; a missing one is generated as the first field, as in mongod.
fn with_id(document: RawDocumentBuf) -> Result<RawDocumentBuf, CommandFailure> {
    if document.get("_id").map_err(malformed)?.is_some() {
        return Ok(document);
    }
    let mut whole = RawDocumentBuf::new();
    whole.append(cstr!("_id"), ObjectId::new());
    for element in &document {
        let (key, value) = element.map_err(malformed)?;
        whole.append(key, value);
    }
    Ok(whole)
}

/// The `_id` as bytes that are equal for equal values: whole numbers are compared by value, not by type.
fn id_bytes(document: &RawDocument) -> Result<Vec<u8>, CommandFailure> {
    let id = document.get("_id").map_err(malformed)?.unwrap_or(RawBsonRef::Null);
    let mut key = RawDocumentBuf::new();
    key.append(cstr!(""), integer(id).map_or(id, RawBsonRef::Int64));
    Ok(key.into_bytes())
}

fn malformed(_: bson::error::Error) -> CommandFailure {
    CommandFailure::new((22, "InvalidBSON"), "malformed document")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use bson::rawdoc;

    use super::*;

    #[test]
    fn documents_are_kept_once_and_counted() {
        let mut store = Store::default();
        for (namespace, document, code) in [
            ("d.c", rawdoc! { "_id": 1, "a": 1 }, None),
            ("d.c", rawdoc! { "_id": 1.0 }, Some(11000)),
            ("d.c", rawdoc! { "_id": "1", "a": 1 }, None),
            ("d.other", rawdoc! { "_id": 1 }, None),
            ("d.c", rawdoc! { "a": 1 }, None),
            ("d.c", rawdoc! { "a": 1 }, None),
            ("d.c", rawdoc! { "a": "x".repeat(STANDIN_DOCUMENT_BYTES) }, Some(10334)),
        ] {
            assert_eq!(store.insert(namespace, document).err().map(|failure| failure.number()), code);
        }
        assert_eq!((store.len(), store.from("d.c", 0).len(), store.from("none", 7).len()), (5, 4, 0));
        assert_eq!(store.count("d.c", &Filter::new(&rawdoc! { "a": 1 }).unwrap()), 4);
        let made_up = &store.from("d.c", 2)[0];
        assert!(made_up.get_object_id("_id").is_ok() && made_up.get_i32("a").is_ok());
    }

    #[test]
    fn it_is_full_at_its_bounds() {
        let full =
            |documents, bytes| Store { documents, bytes, ..Store::default() }.insert("d.c", rawdoc! { "_id": 1 });
        assert!(full(STANDIN_DOCUMENTS - 1, 0).is_ok());
        assert_eq!(full(STANDIN_DOCUMENTS, 0).unwrap_err().number(), 14031);
        assert_eq!(full(0, STANDIN_BYTES).unwrap_err().number(), 14031);
    }
}

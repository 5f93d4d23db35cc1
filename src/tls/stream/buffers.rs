//! The buffers of a worker thread, and helpers for the bytes that a stream keeps between polls.

use std::cell::RefCell;

use crate::limits::{TLS_HELD, TLS_READ, TLS_RECORD, TLS_WRITTEN};

/// Removes the first `count` bytes. Frees the allocation if the buffer becomes empty.
pub(crate) fn forget(kept: &mut Vec<u8>, count: usize) {
    kept.drain(..count);
    if kept.is_empty() {
        *kept = Vec::new();
    }
}

/// Replaces the contents with `bytes`. A new allocation has exactly that size, since many streams keep small remainders;
/// one that is large enough is used again, and freed once nothing is kept.
pub(crate) fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() > kept.capacity() || bytes.is_empty() {
        *kept = bytes.to_vec();
    } else {
        kept.clear();
        kept.extend_from_slice(bytes);
    }
}

thread_local! {
    /// Received records, which are decrypted in place. Used within a single poll only.
    pub(crate) static INCOMING: RefCell<Box<[u8]>> = RefCell::new(vec![0; TLS_HELD + TLS_READ].into_boxed_slice());
    /// Encrypted records.
    pub(crate) static OUTGOING: RefCell<Box<[u8]>> = RefCell::new(vec![0; TLS_RECORD + TLS_WRITTEN].into_boxed_slice());
}

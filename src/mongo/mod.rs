//! The little of MongoDB's wire protocol that tlsramp needs, as pure functions over bytes.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | [`header`] | the 16 bytes every message starts with; the operation codes |
//! | [`request`] | a command as a server reads it (OP_MSG, OP_QUERY) and as a client sends it |
//! | [`reply`] | its answer (OP_MSG, OP_REPLY), built and read; error documents |
//! | [`follow`] | where messages begin and end, and whether a request is without its answer |
//! | [`kind`], [`compressed`] | whether a request wants an answer, compressed or not |
//! | [`last_requests`] | the requests that want no answer among what a client sends after our end |
//! | [`first`], [`metadata`] | who a client says it is |
//! | [`mod@refusal`] | what to say to a peer that spoke MongoDB where it may not |
//!
//! Nothing here reads a socket, waits, or panics on any bytes. It refuses what it does not need: compressed messages (but for their heads),
//! the writes and cursors of the protocol before OP_MSG, checksums (not verified).

mod body;
mod compressed;
mod first;
mod follow;
pub mod header;
mod kind;
mod last_requests;
mod metadata;
mod reader;
pub mod refusal;
pub mod reply;
pub mod request;

pub use first::{First, Greeting};
pub use follow::{Follower, Transaction};
pub use header::{Header, OpCode};
pub use last_requests::LastRequests;
pub use metadata::{ClientMetadata, bounded};
pub use reader::Malformed;
pub use refusal::{Refusal, refusal};
pub use reply::{Reply, error_document};
pub use request::Request;

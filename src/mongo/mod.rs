//! MongoDB's wire protocol, as far as tlsramp needs it.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | [`header`] | the 16 bytes every message starts with; the operation codes |
//! | [`request`] | a command as a server reads it (OP_MSG, OP_QUERY) and as a client sends it |
//! | [`encode`] | messages of one document, as bytes |
//! | [`reply`] | its answer (OP_MSG, OP_REPLY), built and read; error documents |
//! | [`follow`] | where messages begin and end, and whether a request is without its answer |
//! | [`kind`], [`compressed`] | whether a request wants an answer, compressed or not |
//! | [`last_requests`] | the requests that want no answer among what a client sends after our end |
//! | [`first`], [`metadata`] | who a client says it is |
//! | [`mod@refusal`] | what to say to a peer that spoke MongoDB where it may not |
//! | [`client`], [`server`], [`message`] | either end of a connection, over any stream |
//!
//! Parsing is pure and panics on no bytes. Compressed messages (but for their heads) and the writes and cursors of the
//! protocol before OP_MSG are refused; checksums are not verified.

mod body;
mod client;
mod compressed;
mod encode;
mod first;
mod follow;
pub mod header;
mod kind;
mod last_requests;
mod message;
mod metadata;
mod reader;
pub mod refusal;
pub mod reply;
pub mod request;
pub(crate) mod server;

pub use client::{CommandError, MongoClient};
pub use first::{First, Greeting};
pub use follow::{Follower, Transaction};
pub use header::{Header, OpCode};
pub use last_requests::LastRequests;
pub use metadata::{ClientMetadata, bounded};
pub use reader::Malformed;
pub use refusal::{Refusal, refusal};
pub(crate) use reply::{CommandFailure, CommandResult, integer};
pub use reply::{Reply, error_document};
pub use request::Request;

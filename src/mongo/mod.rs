//! MongoDB's wire protocol, as far as tlsramp needs it.
//!
//! | module | contents |
//! |---|---|
//! | [`header`] | the message header and the operation codes |
//! | [`request`] | a command as a server reads it (OP_MSG, OP_QUERY) and as a client sends it |
//! | [`encode`] | messages of one document, as bytes |
//! | [`reply`] | its answer (OP_MSG, OP_REPLY), built and read; error documents |
//! | [`boundary`] | follows message boundaries, and whether a request is unanswered |
//! | [`request_kind`], [`compressed`] | whether a request expects a reply, compressed or not |
//! | [`trailing_requests`] | requests without a reply that a client sends after our close |
//! | [`first_message`], [`metadata`] | the client metadata in the first message |
//! | [`mod@refusal`] | the error reply to a client that is refused |
//! | [`client`], [`server`], [`message`] | either end of a connection, over any stream |
//!
//! Parsing is pure and never panics. Compressed messages (except for their beginning) and legacy writes and cursors are
//! refused; checksums are not verified.

mod boundary;
mod client;
mod compressed;
mod encode;
mod field_reader;
mod first_message;
pub mod header;
mod message;
mod metadata;
mod msg_body;
pub mod refusal;
pub mod reply;
pub mod request;
mod request_kind;
pub(crate) mod server;
mod trailing_requests;

pub use boundary::{Follower, Transaction};
pub use client::{CommandError, MongoClient};
pub use field_reader::Malformed;
pub use first_message::{FirstMessage, Greeting};
pub use header::{Header, OpCode};
pub use metadata::{ClientMetadata, bounded};
pub use refusal::{Refusal, refusal};
pub use reply::Reply;
#[cfg(test)]
pub use reply::error_document;
pub(crate) use reply::{CommandFailure, CommandResult, integer};
pub use request::Request;
pub use trailing_requests::TrailingRequests;

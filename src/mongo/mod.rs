//! The parts of MongoDB's wire protocol that tlsramp uses.
//!
//! | module | contents |
//! |---|---|
//! | [`header`] | the message header and the operation codes |
//! | [`request`] | commands (OP_MSG, OP_QUERY): parsed as a server does, built as a client does |
//! | [`encode`] | encoding of messages that contain one document |
//! | [`reply`] | replies to commands (OP_MSG, OP_REPLY), built and parsed; error documents |
//! | [`boundary`] | the follower of message boundaries and unanswered requests |
//! | [`request_kind`], [`compressed`] | whether a request, compressed or not, expects a reply |
//! | [`trailing_requests`] | requests that expect no reply and arrive after our close |
//! | [`first_message`], [`metadata`] | the client metadata in the first message |
//! | [`mod@refusal`] | the error reply to a refused client |
//! | [`client`], [`server`], [`message`] | both ends of a connection, over any stream |
//!
//! Parsing is pure and never panics. Of requests, only commands are parsed: legacy writes and cursors, and compressed
//! messages, are refused. Only [`request_kind`] and [`boundary`] have the beginning of a compressed message
//! decompressed. Checksums are not verified.

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
pub use reply::Reply;
#[cfg(test)]
pub use reply::error_document;
pub(crate) use reply::{CommandFailure, CommandResult, integer};
pub use request::Request;
pub use trailing_requests::TrailingRequests;

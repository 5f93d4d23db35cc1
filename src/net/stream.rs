//! A byte stream of any kind: plaintext or TLS, over TCP or a Unix socket.

use std::fmt::Debug;

use tokio::io::{AsyncRead, AsyncWrite};

/// The traits that every stream implements.
pub trait AsyncStream: AsyncRead + AsyncWrite + Debug + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Debug + Send + Unpin> AsyncStream for S {}

/// A stream of any kind.
pub type BoxedStream = Box<dyn AsyncStream>;

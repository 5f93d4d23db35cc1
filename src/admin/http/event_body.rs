//! The body of a reply that is sent as events come up.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame};
use tokio::sync::mpsc;

/// The body. It ends when the sender is dropped.
#[derive(Debug)]
pub(super) struct EventBody(mpsc::Receiver<Bytes>);

impl EventBody {
    /// A body, and the sender of its parts. One part waits at most.
    pub(super) fn new() -> (mpsc::Sender<Bytes>, EventBody) {
        let (sender, parts) = mpsc::channel(1);
        (sender, EventBody(parts))
    }
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

//! `GET /events`: server-sent events for an open page, until the page is closed, loses its access, or takes nothing for
//! [`ADMIN_ANSWER`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::event_body::EventBody;
use super::feed::{Viewer, event};
use super::reply::HttpReply;
use super::sampler;
use crate::admin::access::Access;
use crate::admin::connection::AdminConnection;
use crate::admin::replies::PageAccess;
use crate::limits::{ADMIN_ANSWER, EVENT_VIEWERS};

/// The body of the reply to a new page.
///
/// # Errors
/// The reply if too many pages are open.
pub(super) fn open(connection: &Arc<AdminConnection>) -> Result<EventBody, HttpReply> {
    let view = Arc::clone(connection.shared.controller.view());
    let viewer = connection.shared.feed.open(|feed| sampler::run(view, feed)).ok_or_else(|| {
        let text = format!("{EVENT_VIEWERS} pages receive events already, the limit; close one of them");
        HttpReply::error(StatusCode::SERVICE_UNAVAILABLE, "Busy", text)
    })?;
    let (sender, body) = EventBody::new();
    tokio::spawn(send(Arc::clone(connection), viewer, sender));
    Ok(body)
}

async fn send(connection: Arc<AdminConnection>, mut viewer: Viewer, sender: mpsc::Sender<Bytes>) {
    let mut told = None;
    loop {
        // Access is checked before each event, as before each request: settings, CAs and CRLs may have changed.
        let access = connection.access();
        if access.is_refused() {
            return;
        }
        let admin = connection.shared.admin();
        let here = PageAccess {
            may_change: access == Access::Full,
            stopping: connection.shared.stopping.load(Ordering::Relaxed),
            links: admin.links,
        };
        let text = if told.as_ref() == Some(&here) {
            tokio::select! {
                news = viewer.next() => news,
                () = sender.closed() => return,
                () = connection.watch.draining() => return,
            }
        } else {
            let text = event("access", &here);
            told = Some(here);
            text
        };
        match timeout(ADMIN_ANSWER, sender.send(text.into())).await {
            Ok(Ok(())) => connection.slot.served(),
            Ok(Err(_)) => return,
            // The page reads nothing. Without an eviction, the connection would stay open until the page reads.
            Err(_) => return connection.slot.evict(),
        }
    }
}

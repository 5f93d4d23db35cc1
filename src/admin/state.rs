//! The state that all connections of the admin port share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::http::Feed;
use super::log_limit::LogLimit;
use crate::config::Admin;
use crate::control::Controller;

/// The state that all connections share.
#[derive(Debug)]
pub(super) struct AdminState {
    pub(super) controller: Arc<Controller>,
    pub(super) log_limit: LogLimit,
    /// The events of open pages.
    pub(super) feed: Feed,
    /// The bound addresses, by route name.
    pub(super) bound: Vec<(Arc<str>, SocketAddr)>,
    /// Set once the proxy accepts no new connections: it is live, but not ready.
    pub(super) stopping: AtomicBool,
}

impl AdminState {
    /// The options of the admin port in force.
    pub(super) fn admin(&self) -> Admin {
        self.controller.view().settings().admin
    }
}

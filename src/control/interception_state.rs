//! The last results of the interception monitor: whether the rules are in force, and the connections that bypass this
//! proxy.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bypass_scan::{Bypass, BypassScan};

#[derive(Debug, Default)]
pub(super) struct InterceptionState(Mutex<Results>);

#[derive(Debug, Default)]
struct Results {
    rules: Option<bool>,
    once: bool,
    scan: BypassScan,
}

impl InterceptionState {
    /// Notes whether the rules are in force. Returns true if the result has changed.
    pub(super) fn set_rules(&self, rules: bool, expected: bool) -> bool {
        let mut results = self.lock();
        results.once |= rules;
        let now = (expected || results.once).then_some(rules);
        std::mem::replace(&mut results.rules, now) != now
    }

    /// Whether the rules were in force at the last check; `None` before the first check, or if no rules are expected.
    pub(super) fn rules(&self) -> Option<bool> {
        self.lock().rules
    }

    /// Whether the rules have been in force at any time since the start.
    pub(super) fn once(&self) -> bool {
        self.lock().once
    }

    pub(super) fn set_scan(&self, scan: BypassScan) {
        self.lock().scan = scan;
    }

    pub(super) fn bypass(&self) -> Vec<Bypass> {
        self.lock().scan.bypass.clone()
    }

    /// The `unnamed` destinations of the last scan.
    pub(super) fn unnamed(&self) -> Vec<SocketAddr> {
        self.lock().scan.unnamed.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Results> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Trials: whether a server can be reached by the kind of link that another mode would use.

use std::time::{Instant, SystemTime};

use super::{OtherLinkTrial, ProbeTarget, millis};
use crate::control::probe::results::{OtherLinkResult, Traffic, Unreachable};
use crate::control::probe::session::HelloOutcome;
use crate::control::remedy::RedirectedServer;
use crate::limits::OTHER_LINK_AGAIN;
use crate::policy::{Link, Mode, Permit};
use crate::state::Snapshot;
use crate::telemetry::LinkFailure;
use crate::tls::PeerFault;

impl ProbeTarget {
    /// The reason why the server would be unreachable in a mode; `None` if it would be reachable.
    pub(in crate::control::probe) async fn unreachable(
        &self,
        to: Mode,
        snapshot: &Snapshot,
        traffic: &Traffic,
        bypasses: bool,
    ) -> Option<Unreachable> {
        let permit = self.permit(to)?;
        let link = permit.link();
        let in_use = self.permit(snapshot.mode).map(|permit| permit.link());
        let (failed, by_the_change) = if bypasses {
            // Connections that bypass this proxy show nothing about the links of this proxy.
            (self.try_other(permit, snapshot).await, false)
        } else if in_use == Some(link) {
            // The change does not affect the link in use, whose state is known.
            (self.failing(traffic), false)
        } else if let Some(failure) = self.try_other(permit, snapshot).await {
            let by_the_change = traffic.open > 0 || self.is_up(snapshot).await;
            (Some(failure), by_the_change)
        } else {
            (None, false)
        };
        let found = |failure: LinkFailure| Unreachable {
            upstream: self.upstream.name.to_string(),
            route: self.route.id.clone(),
            link,
            remedy: self
                .redirected
                .and_then(|address| RedirectedServer { address, names: self.upstream.names() }.remedy(&failure.fault)),
            reason: self.in_words(&failure),
            fault: failure.fault,
            by_the_change,
            bypasses,
            open: None,
        };
        failed.map(found)
    }

    /// The reason why the link in use fails, according to the last probe or to a later connection; `None` if it works.
    fn failing(&self, traffic: &Traffic) -> Option<LinkFailure> {
        let seen = self.seen();
        let checked = seen.checked.map(millis);
        if let Some((failure, at)) = &traffic.failing
            && checked.is_none_or(|checked| checked < *at)
        {
            return Some(failure.clone());
        }
        let down = checked.is_some() && !seen.up;
        down.then(|| LinkFailure { text: seen.reason.clone().unwrap_or_default(), fault: seen.fault.clone() })
    }

    /// Whether the link in use can be made, according to the last probe (true before the first). If the server is not a
    /// target of the probe, it is tried now.
    async fn is_up(&self, snapshot: &Snapshot) -> bool {
        if self.probed {
            let seen = self.seen();
            return seen.up || seen.checked.is_none();
        }
        match self.permit(snapshot.mode) {
            Some(permit) => self.tried(permit, snapshot).await.is_none(),
            None => false,
        }
    }

    /// Tries the kind of link that is not in use, at most once a minute for each snapshot. Returns the reason if it
    /// failed.
    async fn try_other(&self, permit: Permit, snapshot: &Snapshot) -> Option<LinkFailure> {
        let link = permit.link();
        let mut other = self.other.lock().await;
        let fresh = other.as_ref().filter(|tried| {
            tried.link == link && tried.generation == snapshot.generation && tried.at.elapsed() < OTHER_LINK_AGAIN
        });
        if let Some(tried) = fresh {
            let failed = tried.failed.clone()?;
            // The text does not state the age of the trial, since `rollout` prints a text again when it changes.
            let text = format!("{} (as tried within the last minute)", failed.text);
            return Some(LinkFailure { text, ..failed });
        }
        let failed = self.tried(permit, snapshot).await;
        *other =
            Some(OtherLinkTrial { at: Instant::now(), generation: snapshot.generation, link, failed: failed.clone() });
        let mut seen = self.seen();
        seen.other_fault = failed.as_ref().map(|failure| failure.fault.clone()).unwrap_or_default();
        seen.other = Some(OtherLinkResult {
            link,
            failure: failed.as_ref().map(|failure| self.in_words(failure)),
            checked: SystemTime::now(),
        });
        failed
    }

    /// Makes a link once. Returns the reason if it failed.
    async fn tried(&self, permit: Permit, snapshot: &Snapshot) -> Option<LinkFailure> {
        let link = permit.link();
        let mut session = match self.open(permit, snapshot).await {
            Err(failure) => return Some(failure),
            Ok(session) => session,
        };
        let asks = link != Link::Untouched && self.asks;
        let answer = if asks { Some(session.hello().await) } else { None };
        session.close().await;
        match answer {
            Some(HelloOutcome::Closed(text)) => Some(LinkFailure { text, fault: PeerFault::Other }),
            // Any other error is not due to the kind of link.
            Some(HelloOutcome::Refused(failure)) => {
                Some(failure).filter(|failure| failure.fault == PeerFault::WantsTls)
            }
            Some(HelloOutcome::Hello(_) | HelloOutcome::Strange(_)) | None => None,
        }
    }
}

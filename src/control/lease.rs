//! The lease: while it is held, only its holder may change the mode and the names of members, except by force. It
//! excludes a second rollout. It expires, so that a killed rollout does not lock the proxy for ever.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::limits::LEASE_SECONDS;

/// A lease that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseHeld {
    /// The holder.
    pub holder: String,
    /// The remaining time.
    pub left: Duration,
}

/// The lease of one proxy.
#[derive(Debug, Default)]
pub(super) struct Lease(Option<Holding>);

#[derive(Debug)]
struct Holding {
    holder: String,
    until: Instant,
}

impl Lease {
    /// The lease of the process that this one replaces.
    pub(super) fn continued(held: LeaseHeld) -> Lease {
        let LeaseHeld { holder, left } = held;
        Lease(Some(Holding { holder, until: Instant::now() + left.min(Duration::from_secs(LEASE_SECONDS)) }))
    }

    pub(super) fn held_now(&self) -> Option<LeaseHeld> {
        let (holder, left) = self.held(Instant::now())?;
        Some(LeaseHeld { holder: holder.to_owned(), left })
    }

    /// The holder and the remaining time.
    pub(super) fn held(&self, now: Instant) -> Option<(&str, Duration)> {
        let held = self.0.as_ref()?;
        let left = held.until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some((&held.holder, left))
    }

    /// The holder and the remaining time, if the lease refuses a change by the caller `name` (`None`: a caller without
    /// a name).
    pub(super) fn keeps_out(&self, name: Option<&str>, now: Instant) -> Option<(&str, Duration)> {
        self.held(now).filter(|(holder, _)| name != Some(*holder))
    }

    /// Takes or renews the lease; a time of zero gives it back.
    pub(super) fn take(&mut self, holder: &str, time: Duration, now: Instant) {
        self.0 = (!time.is_zero()).then(|| Holding { holder: holder.to_owned(), until: now + time });
    }
}

#[cfg(test)]
mod tests {
    use super::Lease;
    use std::time::{Duration, Instant};

    #[test]
    fn it_keeps_out_others_until_it_ends() {
        let (mut lease, now) = (Lease::default(), Instant::now());
        let (minute, later) = (Duration::from_secs(60), now + Duration::from_secs(59));
        assert_eq!(lease.keeps_out(None, now), None);
        lease.take("a", minute, now);
        assert_eq!(lease.keeps_out(Some("a"), later), None);
        assert_eq!(lease.keeps_out(Some("b"), later), Some(("a", Duration::from_secs(1))));
        assert_eq!(lease.keeps_out(None, later), Some(("a", Duration::from_secs(1))));
        assert_eq!(lease.keeps_out(None, now + minute), None);
        lease.take("a", minute, later);
        assert!(lease.keeps_out(None, now + minute).is_some(), "renewed");
        lease.take("a", Duration::ZERO, later);
        assert_eq!(lease.held(later), None);
    }
}

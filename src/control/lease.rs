//! The lease: while one holds it, others do not change the mode. It keeps two rollouts apart, and is no lock that
//! anyone could leave behind: it ends by itself.

use std::time::{Duration, Instant};

/// The lease of one proxy.
#[derive(Debug, Default)]
pub(crate) struct Lease(Option<Held>);

#[derive(Debug)]
struct Held {
    holder: String,
    until: Instant,
}

impl Lease {
    /// Who holds it, and for how long still.
    #[must_use]
    pub(crate) fn held(&self, now: Instant) -> Option<(&str, Duration)> {
        let held = self.0.as_ref()?;
        let left = held.until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some((&held.holder, left))
    }

    /// Whether it keeps out who asks in this name, or in none.
    #[must_use]
    pub(crate) fn keeps_out(&self, name: Option<&str>, now: Instant) -> Option<(&str, Duration)> {
        self.held(now).filter(|(holder, _)| name != Some(*holder))
    }

    /// Takes or renews it; a time of zero gives it back.
    pub(crate) fn take(&mut self, holder: &str, time: Duration, now: Instant) {
        self.0 = (!time.is_zero()).then(|| Held { holder: holder.to_owned(), until: now + time });
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

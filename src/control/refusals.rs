//! The last rotation and the last reload, if they were refused: the files on disk are not in force.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::caller::{Caller, Interface};
use super::change::ChangeError;
use crate::telemetry::now_millis;
use crate::text::{printable, rfc3339_millis};

/// A refused change, if no later one of its kind has succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingRefusal {
    /// The time of the first refusal in a row, in milliseconds since 1970.
    pub since: i64,
    /// The interface of the last request.
    pub interface: Interface,
    /// The peer that sent the last request.
    pub by: String,
    /// The reason for the refusal.
    pub error: String,
}

/// The refused changes that no later one has superseded.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Standing>);

/// The last refusal of each kind, until a change of that kind succeeds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    pub(crate) rotation: Option<StandingRefusal>,
    pub(crate) reload: Option<StandingRefusal>,
}

impl Refusals {
    pub(crate) fn rotated<T>(&self, outcome: &Result<T, ChangeError>, caller: &Caller) {
        let mut standing = self.lock();
        standing.rotation = outcome.as_ref().err().map(|error| refused(standing.rotation.as_ref(), error, caller));
    }

    /// Notes the outcome of a reload, which reads the TLS files too.
    pub(crate) fn reloaded<T>(&self, outcome: &Result<T, ChangeError>, caller: &Caller) {
        let mut standing = self.lock();
        standing.reload = outcome.as_ref().err().map(|error| refused(standing.reload.as_ref(), error, caller));
        if outcome.is_ok() {
            standing.rotation = None;
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StandingRefusal {
    fn shown(&self) -> (String, &'static str, &str) {
        (rfc3339_millis(self.since), self.interface.name(), &self.error)
    }
}

impl Standing {
    /// A warning for each standing refusal.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        let rotation = self.rotation.iter().map(|refused| {
            let (since, door, error) = refused.shown();
            format!(
                "the TLS files on disk have been refused since {since} ({door}), so the old ones stay in force: \
                 {error}. Correct them, then run: tlsramp ctl rotate"
            )
        });
        let reload = self.reload.iter().map(|refused| {
            let (since, door, error) = refused.shown();
            format!(
                "the configuration has been refused since {since} ({door}), so the old one stays in force: {error}. \
                 Correct it, then run: tlsramp ctl reload"
            )
        });
        rotation.chain(reload)
    }
}

fn refused(earlier: Option<&StandingRefusal>, error: &ChangeError, caller: &Caller) -> StandingRefusal {
    StandingRefusal {
        since: earlier.map_or_else(now_millis, |earlier| earlier.since),
        interface: caller.interface,
        by: caller.who.place(),
        error: printable(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::Refusals;
    use crate::control::{Caller, ChangeError};

    #[test]
    fn a_refusal_stands_until_one_succeeds() {
        let refusals = Refusals::default();
        let (no, yes) = (|text: &str| Err::<(), _>(ChangeError::Internal(text.to_owned())), Ok::<(), ChangeError>(()));
        let shown = || refusals.standing().warnings().collect::<Vec<_>>();
        refusals.rotated(&no("first\n"), &Caller::WATCH);
        let since = refusals.standing().rotation.unwrap().since;
        refusals.rotated(&no("second"), &Caller::PROGRAM);
        assert_eq!(refusals.standing().rotation.unwrap().since, since);
        assert!(shown()[0].contains("second") && shown()[0].contains("tlsramp ctl rotate"), "{:?}", shown());
        refusals.reloaded(&no("third"), &Caller::SIGNAL);
        assert!(shown().len() == 2 && shown()[1].contains("(signal)"), "{:?}", shown());
        refusals.rotated(&yes, &Caller::WATCH);
        assert!(shown().len() == 1 && shown()[0].contains("third"), "{:?}", shown());
        refusals.rotated(&no("fourth"), &Caller::WATCH);
        refusals.reloaded(&yes, &Caller::SIGNAL);
        assert_eq!(shown(), Vec::<String>::new());
    }
}

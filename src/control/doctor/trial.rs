//! One connection to a server by one kind of link, and the facts that the server shows without credentials.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::rawdoc;
use tokio::time::timeout;

use super::rules::Spoken;
use crate::control::probe::{HelloOutcome, HelloReply, ProbeSession};
use crate::limits::{DOCTOR_DIAL, DOCTOR_SERVER, Timeouts};
use crate::net::OwnDials;
use crate::policy::{Acceptance, Link, LinkRule, Mode, Opening, Permit, judge};
use crate::state::Snapshot;
use crate::telemetry::{LinkFailure, now_millis};
use crate::text::printable;
use crate::tls::PeerFault;
use crate::upstream::Upstream;

/// The result of a trial of one kind of link.
#[derive(Debug, Clone)]
pub(super) struct LinkTrial {
    /// Whether the server speaks this protocol, whatever else is wrong.
    pub(super) spoken: Spoken,
    /// The reason why the link cannot be used; `None` if it can.
    pub(super) failure: Option<LinkFailure>,
    /// The unexpected answer on a link that works.
    pub(super) strange: Option<String>,
    pub(super) facts: ServerFacts,
}

/// The facts that a server shows without credentials.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerFacts {
    pub(super) hello: Option<HelloReply>,
    /// How far its clock is ahead of this host's, in milliseconds.
    pub(super) clock_offset: Option<i64>,
    pub(super) version: Option<String>,
    /// `notAfter` of its certificate in seconds since 1970.
    pub(super) certificate_ends: Option<i64>,
    pub(super) access: Option<LocalAccess>,
}

/// The rights of a local client without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LocalAccess {
    /// Everything: the server does not demand authentication.
    Everything,
    /// Create the first user: the localhost exception is open.
    FirstUser,
    Nothing,
}

#[derive(Debug, Clone)]
pub(super) struct Dialler {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) dials: OwnDials,
    pub(super) timeouts: Timeouts,
}

impl Dialler {
    /// Connects by one kind of link. With `asks_access`, tries what a client without credentials may do.
    pub(super) async fn trial(
        &self,
        upstream: &Upstream,
        acceptance: Acceptance,
        link: Link,
        asks_access: bool,
    ) -> LinkTrial {
        let tried = timeout(DOCTOR_SERVER, self.tried(upstream, acceptance, link, asks_access)).await;
        tried.unwrap_or_else(|_| {
            LinkTrial::failed(Spoken::Unknown, &format!("no result within {} s", DOCTOR_SERVER.as_secs()))
        })
    }

    async fn tried(&self, upstream: &Upstream, acceptance: Acceptance, link: Link, asks_access: bool) -> LinkTrial {
        let Some(permit) = permit(link) else { return LinkTrial::failed(Spoken::Unknown, "no such link") };
        let at_most = |limit: Duration| limit.min(DOCTOR_DIAL);
        let Timeouts { connect, handshake, .. } = self.timeouts;
        let times = Timeouts { connect: at_most(connect), handshake: at_most(handshake), ..self.timeouts };
        let note = |local, remote| self.dials.note(local, remote, acceptance);
        let opened = ProbeSession::open(permit, upstream, &self.snapshot.tls, times, note).await;
        let mut session = match opened {
            Ok(session) => session,
            Err(failure) => return LinkTrial { spoken: spoken(&failure.fault), ..LinkTrial::of(failure) },
        };
        let facts = ServerFacts { certificate_ends: session.certificate_ends, ..ServerFacts::default() };
        let asked = (now_millis(), Instant::now());
        let trial = match session.hello().await {
            HelloOutcome::Hello(hello) => {
                let took = i64::try_from(asked.1.elapsed().as_millis()).unwrap_or(i64::MAX);
                let middle = asked.0.saturating_add(took / 2);
                let clock_offset = hello.local_time.map(|there| there.saturating_sub(middle));
                let version = version(&mut session).await;
                let access = if asks_access { access(&mut session).await } else { None };
                let facts = ServerFacts { hello: Some(hello), clock_offset, version, access, ..facts };
                LinkTrial { spoken: Spoken::Yes, failure: None, strange: None, facts }
            }
            HelloOutcome::Strange(text) => LinkTrial { spoken: Spoken::Yes, failure: None, strange: Some(text), facts },
            HelloOutcome::Refused(failure) => {
                let spoken = if failure.fault == PeerFault::WantsTls { Spoken::No } else { Spoken::Yes };
                LinkTrial { spoken, facts, ..LinkTrial::of(failure) }
            }
            // A server that accepts only TLS closes a plaintext connection without an answer.
            HelloOutcome::Closed(text) => {
                let spoken = if link == Link::Tls { Spoken::Yes } else { Spoken::No };
                return LinkTrial { facts, ..LinkTrial::failed(spoken, &text) };
            }
        };
        session.close().await;
        trial
    }
}

impl LinkTrial {
    fn of(failure: LinkFailure) -> LinkTrial {
        LinkTrial { spoken: Spoken::Unknown, failure: Some(failure), strange: None, facts: ServerFacts::default() }
    }

    fn failed(spoken: Spoken, text: &str) -> LinkTrial {
        let failure = LinkFailure { text: text.to_owned(), fault: PeerFault::Other };
        LinkTrial { spoken, ..LinkTrial::of(failure) }
    }
}

/// The permit for a link of this kind, in any mode.
fn permit(link: Link) -> Option<Permit> {
    let rule = if link == Link::Tls { LinkRule::Always } else { LinkRule::Never };
    judge(Mode::Disabled, Acceptance::Outbound, rule, Opening::Plaintext).ok()
}

/// Whether a peer speaks TLS, according to the fault of a handshake. A failed dial does not show this.
const fn spoken(fault: &PeerFault) -> Spoken {
    match fault {
        PeerFault::WrongName(_) | PeerFault::Untrusted(_) | PeerFault::Alert => Spoken::Yes,
        PeerFault::TlsDisabled => Spoken::No,
        PeerFault::WantsTls | PeerFault::Other => Spoken::Unknown,
    }
}

async fn version(session: &mut ProbeSession) -> Option<String> {
    let info = session.ask(&rawdoc! { "buildInfo": 1 }).await?.ok()?;
    info.get_str("version").ok().map(printable)
}

/// Tries two commands that change nothing. mongod checks the rights before it runs a command. `replSetGetStatus` is one
/// of the few commands that the localhost exception allows; a server without a set answers that it has none.
async fn access(session: &mut ProbeSession) -> Option<LocalAccess> {
    match session.ask(&rawdoc! { "getCmdLineOpts": 1 }).await? {
        Ok(options) => {
            let security = options.get_document("parsed").and_then(|parsed| parsed.get_document("security"));
            let demanded = security.is_ok_and(|security| {
                security.get_str("authorization").is_ok_and(|it| it == "enabled") || security.get_str("keyFile").is_ok()
            });
            // An arbiter has no users. While the exception is open, it answers this command although it demands
            // authentication.
            Some(if demanded { LocalAccess::FirstUser } else { LocalAccess::Everything })
        }
        Err(UNAUTHORIZED) => match session.ask(&rawdoc! { "replSetGetStatus": 1 }).await? {
            Ok(_) | Err(NO_REPLICATION | NOT_INITIATED) => Some(LocalAccess::FirstUser),
            Err(UNAUTHORIZED) => Some(LocalAccess::Nothing),
            Err(_) => None,
        },
        Err(_) => None,
    }
}

/// `Unauthorized`.
const UNAUTHORIZED: i32 = 13;
/// `NoReplicationEnabled`.
const NO_REPLICATION: i32 = 76;
/// `NotYetInitialized`.
const NOT_INITIATED: i32 = 94;

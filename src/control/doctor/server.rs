//! The findings about one server, from the trials of both kinds of link.

use std::sync::Arc;

use super::finding::{CheckVerdict, DoctorCheck, DoctorFinding};
use super::rules::{AcceptedKinds, MemberFacts, Spoken, clock, modes};
use super::trial::{Dialler, LinkTrial, LocalAccess, ServerFacts};
use crate::control::remedy::STEP_UP;
use crate::limits::EXPIRY_WARNING_DAYS;
use crate::policy::{Acceptance, Link, LinkRule, Mode, route_permit};
use crate::route::{Route, RouteId};
use crate::telemetry::{LinkFailure, now_millis};
use crate::text::printable;
use crate::tls::PeerFault;
use crate::upstream::Upstream;

#[derive(Debug, Clone)]
pub(super) struct DoctorTarget {
    pub(super) name: String,
    pub(super) upstream: Arc<Upstream>,
    pub(super) acceptance: Acceptance,
    link_rule: LinkRule,
    /// Whether it is the server that this proxy fronts.
    is_fronted: bool,
    /// Whether connections through this proxy lead there.
    is_routed: bool,
}

#[derive(Debug)]
pub(super) struct ServerLook {
    pub(super) target: DoctorTarget,
    plaintext: LinkTrial,
    /// `None` if there is no CA file, or no name, to verify the server with.
    tls: Option<LinkTrial>,
}

impl DoctorTarget {
    pub(super) fn of_route(route: &Route, upstream: &Arc<Upstream>) -> DoctorTarget {
        DoctorTarget {
            name: upstream.name.to_string(),
            upstream: Arc::clone(upstream),
            acceptance: route.acceptance,
            link_rule: route.link_rule,
            is_fronted: route.id == RouteId::Inbound,
            is_routed: true,
        }
    }

    pub(super) fn member(name: String, upstream: Upstream, is_routed: bool) -> DoctorTarget {
        let (acceptance, link_rule) = (Acceptance::Outbound, LinkRule::Policy);
        DoctorTarget { name, upstream: Arc::new(upstream), acceptance, link_rule, is_fronted: false, is_routed }
    }

    /// The kind of link that the route makes in a mode.
    fn link(&self, mode: Mode) -> Link {
        match route_permit(mode, self.acceptance, self.link_rule).map(|permit| permit.link()) {
            Some(Link::Tls | Link::Untouched) => Link::Tls,
            Some(Link::Plaintext) | None => Link::Plaintext,
        }
    }

    /// Connects by both kinds of link at once.
    pub(super) async fn look(self, dialler: Arc<Dialler>) -> ServerLook {
        let Dialler { snapshot, .. } = &*dialler;
        let (now, by_tls) = (self.link(snapshot.mode), snapshot.tls.can_dial());
        let asks = |link: Link| self.is_fronted && link == now;
        let plaintext = dialler.trial(&self.upstream, self.acceptance, Link::Plaintext, asks(Link::Plaintext));
        let tls = async {
            if !by_tls || self.upstream.names().is_empty() {
                return None;
            }
            Some(dialler.trial(&self.upstream, self.acceptance, Link::Tls, asks(Link::Tls)).await)
        };
        let (plaintext, tls) = tokio::join!(plaintext, tls);
        ServerLook { target: self, plaintext, tls }
    }
}

impl ServerLook {
    pub(super) fn is_fronted(&self) -> bool {
        self.target.is_fronted
    }

    /// The facts of the plaintext link, or those of the TLS link, if this was answered and the plaintext link does not
    /// show the rights of a local client.
    pub(super) fn facts(&self) -> &ServerFacts {
        let by_tls = self.tls.as_ref().filter(|tls| tls.facts.hello.is_some());
        match by_tls {
            Some(tls) if self.plaintext.facts.hello.is_none() || self.plaintext.facts.access.is_none() => &tls.facts,
            Some(_) | None => &self.plaintext.facts,
        }
    }

    pub(super) fn member_facts(&self) -> Option<MemberFacts> {
        let facts = self.facts();
        let state = facts.hello.as_ref()?.state;
        Some(MemberFacts { name: self.target.name.clone(), version: facts.version.clone(), state })
    }

    pub(super) fn findings(&self, dialler: &Dialler) -> Vec<DoctorFinding> {
        let (snapshot, now) = (&dialler.snapshot, now_millis() / 1000);
        let mode = snapshot.mode;
        let link = if self.target.is_routed { self.link_finding(mode) } else { self.reach_finding() };
        let mut found = vec![link];
        found.extend(self.certificate_finding(mode, now));
        let offset = self.facts().clock_offset;
        found.extend(offset.map(|offset| clock(&self.target.name, offset, snapshot.tls.items(), now)));
        if self.is_fronted() {
            found.extend(self.exception_finding());
        } else {
            found.extend(self.modes_finding(mode));
        }
        found
    }

    /// The finding about the route's present link and, if that works, about the TLS link of later modes.
    fn link_finding(&self, mode: Mode) -> DoctorFinding {
        let name = &self.target.name;
        let now = self.target.link(mode);
        let in_use = match now {
            Link::Tls => self.tls.as_ref(),
            Link::Plaintext | Link::Untouched => Some(&self.plaintext),
        };
        let Some(in_use) = in_use else {
            let text = format!(
                "{mode} connects to it by TLS, but there is no CA file, or no name, to verify its certificate with"
            );
            let remedy = "set tlsCAFile, and run `tlsramp ctl reload`";
            return DoctorFinding::bad(DoctorCheck::Upstream, name, CheckVerdict::Failed, text, remedy);
        };
        if let Some(failure) = self.failure(in_use) {
            let text = format!("{mode} connects to it {}, which fails: {}", by(now), failure.text);
            return self.failing(failure, CheckVerdict::Failed, text);
        }
        if let Some(strange) = &in_use.strange {
            let text = format!("it accepts a connection {}, but: {strange}", by(now));
            let remedy = "check that a MongoDB server runs there: connect with `mongosh`, and read its log";
            return DoctorFinding::bad(DoctorCheck::Upstream, name, CheckVerdict::Warning, text, remedy);
        }
        let coming = self.target.link(Mode::Require);
        let later = self.tls.as_ref().filter(|_| now == Link::Plaintext && coming == Link::Tls);
        if let Some(failure) = later.and_then(|tls| self.failure(tls)) {
            let text = format!(
                "it answers now, but preferSSL and requireSSL connect to it by TLS, which fails: {}",
                failure.text
            );
            return self.failing(failure, CheckVerdict::Warning, text);
        }
        let later = if later.is_some() { ", and by TLS, which later modes use" } else { "" };
        DoctorFinding::ok(DoctorCheck::Upstream, name, format!("it answers {}{later}", by(now)))
    }

    /// The reason why a link cannot be used. If TLS is passed through, clients verify the server and present their own
    /// certificates, so it is enough that the server speaks TLS.
    fn failure<'a>(&self, trial: &'a LinkTrial) -> Option<&'a LinkFailure> {
        let is_theirs = self.target.acceptance == Acceptance::Passthrough && trial.spoken == Spoken::Yes;
        trial.failure.as_ref().filter(|_| !is_theirs)
    }

    /// The finding about a member to which no route of this proxy leads: whether it can be reached.
    fn reach_finding(&self) -> DoctorFinding {
        let (name, tls) = (&self.target.name, self.tls.as_ref().and_then(|tls| tls.failure.as_ref()));
        match (&self.plaintext.failure, tls) {
            (Some(plaintext), Some(tls)) => {
                let (plaintext, by_tls) = (&plaintext.text, &tls.text);
                let text = format!("it can be reached neither in plaintext ({plaintext}) nor by TLS ({by_tls})");
                self.failing(tls, CheckVerdict::Failed, text)
            }
            (Some(plaintext), None) if self.tls.is_none() => {
                let text = format!("it cannot be reached in plaintext ({}); {NOT_TRIED}", plaintext.text);
                self.failing(plaintext, CheckVerdict::Failed, text)
            }
            (_, Some(failure)) if matches!(failure.fault, PeerFault::WrongName(_) | PeerFault::Untrusted(_)) => {
                self.failing(failure, CheckVerdict::Warning, format!("TLS to it fails: {}", failure.text))
            }
            _ => DoctorFinding::ok(DoctorCheck::Upstream, name, "it answers"),
        }
    }

    fn failing(&self, failure: &LinkFailure, verdict: CheckVerdict, text: String) -> DoctorFinding {
        let (host, tls_name) = (&self.target.name, self.target.upstream.names().first());
        let tls_name = tls_name.map(|name| name.to_str().into_owned()).unwrap_or_default();
        let (id, text, remedy) = match &failure.fault {
            PeerFault::WrongName(names) => {
                let names = names.join(", ");
                let shown = if names.is_empty() { "no DNS name".to_owned() } else { names };
                let remedy = format!(
                    "issue the certificate of {host} with {tls_name} as subjectAltName; or, if it is the right server, \
                     connect to it by a name in its certificate ({shown})"
                );
                (DoctorCheck::PeerCertificate, format!("{text} (OpenSSL: hostname mismatch)"), remedy)
            }
            PeerFault::Untrusted(reason) => {
                let remedy = format!(
                    "replace the certificate of {host}; or, if its CA can be trusted, add that CA to tlsCAFile and run \
                     `tlsramp ctl rotate`"
                );
                (DoctorCheck::PeerCertificate, format!("{text} (OpenSSL: {reason})"), remedy)
            }
            PeerFault::Alert => (
                DoctorCheck::Upstream,
                text,
                format!(
                    "the log of {host} has the reason; usually it refuses the certificate of this node \
                     (tlsClusterFile, else tlsCertificateKeyFile)"
                ),
            ),
            PeerFault::TlsDisabled => (DoctorCheck::Upstream, text, STEP_UP.to_owned()),
            PeerFault::WantsTls => (DoctorCheck::Upstream, text, WANTS_TLS.to_owned()),
            PeerFault::Other if verdict == CheckVerdict::Warning => (DoctorCheck::Upstream, text, NO_TLS.to_owned()),
            PeerFault::Other => {
                let (ip, port) = host.rsplit_once(':').unwrap_or((host, ""));
                let ip = ip.trim_matches(['[', ']']);
                let remedy = format!(
                    "check that {host} runs, listens there and is not blocked by a firewall: `nc -vz {ip} {port}` on \
                     this host"
                );
                (DoctorCheck::Upstream, text, remedy)
            }
        };
        DoctorFinding::bad(id, host, verdict, text, remedy)
    }

    /// How long the server's certificate is valid, if it verifies.
    fn certificate_finding(&self, mode: Mode, now: i64) -> Option<DoctorFinding> {
        let ends = self.tls.as_ref()?.facts.certificate_ends?;
        let (host, days) = (&self.target.name, u64::try_from(ends.saturating_sub(now)).unwrap_or(0) / SECONDS_PER_DAY);
        let text = format!("its certificate verifies, and expires in {days} days");
        if days >= EXPIRY_WARNING_DAYS {
            return Some(DoctorFinding::ok(DoctorCheck::PeerCertificate, host, text));
        }
        let used = if self.target.link(mode) == Link::Tls { "" } else { "; not used in this mode" };
        let remedy = format!("renew the certificate of {host}");
        Some(DoctorFinding::bad(
            DoctorCheck::PeerCertificate,
            host,
            CheckVerdict::Warning,
            format!("{text}{used}"),
            remedy,
        ))
    }

    /// The kinds of connection that a node accepts, compared with our mode.
    fn modes_finding(&self, mode: Mode) -> Option<DoctorFinding> {
        let host = &self.target.name;
        let Some(tls) = &self.tls else {
            let remedy = "set tlsCAFile, and run `tlsramp ctl reload`";
            return Some(DoctorFinding::bad(DoctorCheck::Modes, host, CheckVerdict::NotChecked, NOT_TRIED, remedy));
        };
        let by_tls = match (self.plaintext.spoken, tls.spoken) {
            // The server answers in plaintext, so it is up, and the handshake failed because the server has no TLS.
            (Spoken::Yes, Spoken::Unknown) => Spoken::No,
            (_, spoken) => spoken,
        };
        // If this is unknown, the finding about the link has the reason.
        Some(modes(host, AcceptedKinds::of(self.plaintext.spoken, by_tls)?, mode))
    }

    /// The localhost exception: the server regards clients of this proxy as local.
    fn exception_finding(&self) -> Option<DoctorFinding> {
        let (host, facts) = (&self.target.name, self.facts());
        facts.hello.as_ref()?;
        let id = DoctorCheck::LocalhostException;
        Some(match facts.access {
            Some(LocalAccess::Nothing) => DoctorFinding::ok(id, host, "the exception is closed"),
            Some(LocalAccess::Everything) => DoctorFinding::ok(id, host, "the server does not demand authentication"),
            Some(LocalAccess::FirstUser) => DoctorFinding::bad(
                id,
                host,
                CheckVerdict::Failed,
                "the exception is open: the server has no user yet and regards clients of this proxy as local, so any \
                 of them may create the first user",
                "create the first user now, or restart the server with --setParameter enableLocalhostAuthBypass=0",
            ),
            None => DoctorFinding::bad(
                id,
                host,
                CheckVerdict::NotChecked,
                "the server does not show this without credentials",
                format!(
                    "as an administrator: `mongosh {} --eval 'db.adminCommand({{getParameter: 1, \
                     enableLocalhostAuthBypass: 1}})'`",
                    printable(host)
                ),
            ),
        })
    }
}

const fn by(link: Link) -> &'static str {
    match link {
        Link::Tls => "by TLS",
        Link::Plaintext | Link::Untouched => "in plaintext",
    }
}

const NOT_TRIED: &str = "TLS was not tried, since there is no CA file, or no name, to verify its certificate with";
const WANTS_TLS: &str = "it accepts only TLS: step this node up to preferSSL, or that node back to preferSSL";
const NO_TLS: &str =
    "enable TLS on that server; if it is on this host and will never have TLS, set upstreamTLS to never and restart";
const SECONDS_PER_DAY: u64 = 86_400;

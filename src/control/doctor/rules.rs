//! Judges facts about clocks, modes, states and descriptors, by pure functions.

use super::finding::{CheckVerdict, DoctorCheck, DoctorFinding};
use crate::control::probe::ServerState;
use crate::limits::{DESCRIPTORS_USED_PERCENT, DOCTOR_LEAST_CONNECTIONS, DOCTOR_SKEW};
use crate::policy::Mode;
use crate::tls::{TlsItem, TlsItemKind};

/// Whether a peer speaks a protocol, as far as a trial has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    Yes,
    No,
    Unknown,
}

/// The kinds of connection that a node accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AcceptedKinds {
    PlaintextOnly,
    Both,
    TlsOnly,
}

impl AcceptedKinds {
    /// `None` if the trials do not show it.
    pub(super) const fn of(plaintext: Spoken, tls: Spoken) -> Option<AcceptedKinds> {
        match (plaintext, tls) {
            (Spoken::Yes, Spoken::No) => Some(AcceptedKinds::PlaintextOnly),
            (Spoken::Yes, Spoken::Yes) => Some(AcceptedKinds::Both),
            (Spoken::No, Spoken::Yes) => Some(AcceptedKinds::TlsOnly),
            (Spoken::No, Spoken::No) | (Spoken::Unknown, _) | (_, Spoken::Unknown) => None,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            AcceptedKinds::PlaintextOnly => "accepts plaintext only, as in disabled",
            AcceptedKinds::Both => "accepts plaintext and TLS, as in allowSSL or preferSSL",
            AcceptedKinds::TlsOnly => "accepts TLS only, as in requireSSL",
        }
    }

    /// The lowest and the highest mode that the node may be in.
    const fn modes(self) -> (Mode, Mode) {
        match self {
            AcceptedKinds::PlaintextOnly => (Mode::Disabled, Mode::Disabled),
            AcceptedKinds::Both => (Mode::Allow, Mode::Prefer),
            AcceptedKinds::TlsOnly => (Mode::Require, Mode::Require),
        }
    }
}

/// Compares the kinds of connection that another node accepts with the mode of this one. Neighbouring modes work
/// together, as in a rolling upgrade.
pub(super) fn modes(node: &str, kinds: AcceptedKinds, ours: Mode) -> DoctorFinding {
    let (lowest, highest) = kinds.modes();
    let behind = (ours as u8).saturating_sub(highest as u8);
    let ahead = (lowest as u8).saturating_sub(ours as u8);
    let text = format!("{}; this node is in {ours}", kinds.text());
    let failed =
        |text, remedy: String| DoctorFinding::bad(DoctorCheck::Modes, node, CheckVerdict::Failed, text, remedy);
    if behind > 1 {
        let remedy = "step that node up to allowSSL (`tlsramp ctl mode allowSSL` there), or this node back: \
                      `tlsramp ctl mode allowSSL --force`";
        failed(format!("{text}, {behind} steps ahead of it: connections between the two fail"), remedy.to_owned())
    } else if ahead > 1 {
        let to = Mode::Prefer;
        let remedy =
            format!("step this node up to {to} (`tlsramp ctl ready` shows the next step), or that node back to {to}");
        failed(format!("{text}, {ahead} steps behind it: it refuses connections of this node"), remedy)
    } else {
        DoctorFinding::ok(DoctorCheck::Modes, node, text)
    }
}

/// Judges the clock of another host, which is `offset` milliseconds ahead of this one's (negative: behind). The check
/// fails if one of our certificates is valid by our clock but not by that one. Otherwise, a difference of more than
/// [`DOCTOR_SKEW`] is a warning: one of the hosts does not synchronize its clock, and their logs are hard to compare.
pub(super) fn clock(host: &str, offset: i64, ours: &[TlsItem], now: i64) -> DoctorFinding {
    let theirs = now.saturating_add(offset / 1000);
    let shown = format!("{}.{} s", offset.unsigned_abs() / 1000, offset.unsigned_abs() % 1000 / 100);
    let direction = if offset < 0 { "behind" } else { "ahead of" };
    let mut shows = ours.iter().filter(|item| matches!(item.kind, TlsItemKind::Certificate | TlsItemKind::Chain));
    let out = shows.find(|item| !item.is_out_of_date(now) && item.is_out_of_date(theirs));
    let text = format!("its clock is {shown} {direction} this host's");
    let bad = |verdict, text| DoctorFinding::bad(DoctorCheck::Clock, host, verdict, text, CLOCK_REMEDY);
    match out {
        Some(item) => bad(
            CheckVerdict::Failed,
            format!(
                "{text}: by that clock, the certificate {} is not valid there, and TLS of this node is refused",
                item.subject
            ),
        ),
        None if offset.unsigned_abs() > u64::try_from(DOCTOR_SKEW.as_millis()).unwrap_or(u64::MAX) => {
            bad(CheckVerdict::Warning, text)
        }
        None => DoctorFinding::ok(DoctorCheck::Clock, host, format!("its clock is within {} s", DOCTOR_SKEW.as_secs())),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemberFacts {
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) state: Option<ServerState>,
}

/// Judges versions and states of the members. Different versions show that an upgrade of MongoDB is in progress or
/// incomplete.
pub(super) fn members(all: &[MemberFacts]) -> Vec<DoctorFinding> {
    let mut releases: Vec<_> = all.iter().filter_map(|one| release(one.version.as_deref()?)).collect();
    releases.sort_unstable();
    releases.dedup();
    let mixed = releases.len() > 1;
    let finding = |one: &MemberFacts| {
        let version = one.version.as_ref().map_or_else(|| "version unknown".to_owned(), |it| format!("MongoDB {it}"));
        let state = one.state.map_or("state unknown", ServerState::name);
        let text = format!("{version}, {state}");
        let warning = |text: String, remedy: &str| {
            DoctorFinding::bad(DoctorCheck::Members, &one.name, CheckVerdict::Warning, text, remedy)
        };
        if one.state == Some(ServerState::Other) {
            warning(
                format!("{text}: neither primary, secondary nor arbiter"),
                "wait until it is SECONDARY (rs.status()) before you change the mode of any node",
            )
        } else if mixed && one.version.is_some() {
            warning(
                format!("{text}: the members have different releases ({})", releases.join(", ")),
                "finish the upgrade of MongoDB before you change the mode",
            )
        } else {
            DoctorFinding::ok(DoctorCheck::Members, &one.name, text)
        }
    };
    all.iter().map(finding).collect()
}

/// `6.0` of `6.0.5`.
fn release(version: &str) -> Option<String> {
    let mut parts = version.split('.');
    Some(format!("{}.{}", parts.next()?, parts.next()?))
}

/// The descriptors of this process, and the connections that they allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DescriptorFacts {
    pub(super) limit: u64,
    /// Open descriptors; `None` if the number cannot be read, or no proxy runs.
    pub(super) used: Option<u64>,
    /// The connections that the limit allows.
    pub(super) carried: u64,
    /// `maxIncomingConnections`, if given.
    pub(super) wanted: Option<u64>,
}

pub(super) fn descriptors(facts: DescriptorFacts) -> DoctorFinding {
    let DescriptorFacts { limit, used, carried, wanted } = facts;
    let subject = format!("limit {limit}");
    let bad = |verdict, text, remedy: &str| {
        DoctorFinding::bad(DoctorCheck::Descriptors, &subject, verdict, text, remedy.to_owned())
    };
    let percent = used.map_or(0, |used| used.saturating_mul(100) / limit.max(1));
    if let (Some(used), true) = (used, percent >= DESCRIPTORS_USED_PERCENT) {
        return bad(CheckVerdict::Failed, format!("{used} of {limit} descriptors are open ({percent} %)"), MORE);
    }
    match wanted {
        Some(wanted) if wanted > carried => bad(
            CheckVerdict::Warning,
            format!("maxIncomingConnections is {wanted}, and {limit} descriptors are enough for {carried} connections"),
            MORE_OR_LESS,
        ),
        None if carried < DOCTOR_LEAST_CONNECTIONS => {
            bad(CheckVerdict::Warning, format!("{limit} descriptors are enough for {carried} connections only"), MORE)
        }
        Some(_) | None => {
            let used = used.map_or_else(String::new, |used| format!("; {used} are open"));
            let text = format!("enough for {carried} connections{used}");
            DoctorFinding::ok(DoctorCheck::Descriptors, &subject, text)
        }
    }
}

const CLOCK_REMEDY: &str = "synchronize the clocks of both hosts (`chronyc tracking`, `timedatectl`)";
const MORE: &str = "raise the limit (LimitNOFILE of the systemd unit, or `ulimit -n`), and restart";
const MORE_OR_LESS: &str =
    "raise the limit (LimitNOFILE of the systemd unit, or `ulimit -n`) and restart, or lower maxIncomingConnections";

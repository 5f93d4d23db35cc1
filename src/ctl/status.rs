//! Renders the reply of `status`: one line for each subject, so that it fits a screen. Amber marks a problem to fix
//! soon, red a present failure.

use super::status_tables;
use crate::admin::replies::{BlockerKind, BlockerReply, CertificateStatus, Ready, Status, UpstreamStatus};
use crate::admin_client::ClientError;
use crate::limits::EXPIRY_WARNING_DAYS;
use crate::policy::{Mode, Spelling};
use crate::screen::words::{ago, count, since, span};
use crate::screen::{Page, StyledText};
use crate::text::escaped;

/// The page. `next` is the answer about the next step up, if there is one; with `wide`, the tables follow.
pub(super) fn page(status: &Status, next: Option<&Result<Ready, ClientError>>, wide: bool, now: i64) -> Page {
    let mut page = Page::default();
    for critical in &status.critical {
        page.alarm(escaped(critical));
    }
    page.item("Mode", mode(status, now));
    if let Ok(mode) = Mode::parse(&status.ssl_mode, Spelling::Ssl) {
        page.item("Policy", meaning(mode));
    }
    page.item("Restart", restart(status));
    page.item("Next step", next_step(next));
    page.item("Clients", clients(status));
    page.item("Connections", connections(status));
    for server in status.upstreams.iter().take(SERVERS_SHOWN) {
        page.item("Server", upstream(server, now));
    }
    if let Some(links) = links(status) {
        page.item("Links", links);
    }
    for certificate in ending_first(&status.certificates).take(CERTIFICATES_SHOWN) {
        page.item("Certificate", expiry(certificate));
    }
    if let Some(in_force) = status.redirect {
        page.item("Interception", interception(in_force));
    }
    if !status.bypass.is_empty() {
        let verb = if status.bypass.len() == 1 { "bypasses" } else { "bypass" };
        let number = count(status.bypass.len(), "connection");
        page.item("Bypass", StyledText::amber(format!("{number} {verb} tlsramp: `ctl status --wide` lists them")));
    }
    if let Some(lease) = &status.lease {
        let (holder, left) = (escaped(&lease.holder), span(lease.seconds_left));
        page.item("Lease", format!("held by {holder} for another {left}: others need --force to change the mode"));
    }
    let (version, up) = (escaped(&status.version), span(status.uptime_secs));
    page.item("Process", format!("tlsramp {version}, process {}, up for {up}", status.pid));
    let told = |warning: &&String| status.critical.contains(warning) || status.drift.as_ref() == Some(*warning);
    for warning in status.warnings.iter().filter(|warning| !told(warning)) {
        page.warn(escaped(warning));
    }
    if wide {
        status_tables::add(&mut page, status, now);
    }
    page
}

fn mode(status: &Status, now: i64) -> String {
    let (ssl, tls) = (escaped(&status.ssl_mode), escaped(&status.tls_mode));
    let newer = if ssl == tls { String::new() } else { format!(" (tlsMode {tls})") };
    let since = since(&status.mode_since, now).map(|seconds| format!(" for {}", span(seconds))).unwrap_or_default();
    let by =
        status.mode_by.as_deref().map_or_else(|| "since the start".to_owned(), |by| format!("set by {}", escaped(by)));
    format!("{ssl}{newer}{since}, {by}")
}

const fn meaning(mode: Mode) -> &'static str {
    match mode {
        Mode::Disabled => "clients: plaintext, TLS is refused; to other servers: plaintext",
        Mode::Allow => "clients: plaintext and TLS; to other servers: plaintext",
        Mode::Prefer => "clients: plaintext and TLS; to other servers: TLS",
        Mode::Require => "clients: TLS, plaintext is refused; to other servers: TLS",
    }
}

fn restart(status: &Status) -> StyledText {
    let mode = escaped(&status.ssl_mode);
    match &status.drift {
        Some(drift) => StyledText::amber(format!("{}; to keep {mode}: `ctl mode {mode} --persist`", escaped(drift))),
        None if status.persisted_mode.is_some() => {
            format!("keeps {}, by the state file", escaped(&status.ssl_mode)).into()
        }
        None => format!("keeps {}", escaped(&status.ssl_mode)).into(),
    }
}

fn next_step(next: Option<&Result<Ready, ClientError>>) -> StyledText {
    match next {
        None => "none, this is the last; a step back: `ctl mode preferSSL --force`".into(),
        Some(Err(error)) => StyledText::amber(format!("not known: {}", escaped(&error.to_string()))),
        Some(Ok(ready)) if ready.ready => {
            let to = escaped(&ready.to);
            format!("{to}, no blockers: `ctl mode {to}`").into()
        }
        Some(Ok(ready)) => {
            let (to, blockers) = (escaped(&ready.to), by_kind(&ready.blockers));
            StyledText::amber(format!("{to}, blocked by {blockers}: `ctl ready`"))
        }
    }
}

/// The blockers, counted by kind: `3 clients, 1 server`.
fn by_kind(blockers: &[BlockerReply]) -> String {
    let noun = |blocker: &BlockerReply| match blocker.kind {
        BlockerKind::PlaintextOpen | BlockerKind::PlaintextSeen | BlockerKind::TlsOpen | BlockerKind::TlsSeen => {
            "client"
        }
        BlockerKind::Upstream => "server",
        BlockerKind::InventoryLost
        | BlockerKind::Unservable
        | BlockerKind::Bypass
        | BlockerKind::Redirect
        | BlockerKind::More
        | BlockerKind::Other => "finding",
    };
    let number = |kind: &&str| blockers.iter().filter(|blocker| noun(blocker) == *kind).count();
    let kinds = ["client", "server", "finding"].iter().filter(|kind| number(kind) > 0);
    kinds.map(|kind| count(number(kind), kind)).collect::<Vec<_>>().join(", ")
}

fn clients(status: &Status) -> StyledText {
    let inventory = &status.inventory;
    let refused = Mode::parse(&status.ssl_mode, Spelling::Ssl) == Ok(Mode::Require);
    let (have, connect, are) =
        if inventory.unmoved == 1 { ("has", "connects", "is") } else { ("have", "connect", "are") };
    let text = match (inventory.rows, inventory.unmoved) {
        (0, _) => return "none seen yet".into(),
        (rows, 0) => return format!("{rows} seen, none is a blocker").into(),
        (rows, unmoved) if refused => format!("{rows} seen, {unmoved} {have} not moved to TLS and {are} refused now"),
        (rows, unmoved) => format!("{rows} seen, {unmoved} still {connect} without TLS"),
    };
    StyledText::amber(format!("{text}: `ctl clients --plaintext`"))
}

fn connections(status: &Status) -> StyledText {
    let counts = &status.connections;
    let waiting: usize = status.slots.iter().map(|slots| slots.waiting).sum();
    let mut text = format!(
        "{} open: {} plaintext, {} TLS, {} outbound",
        counts.open, counts.plaintext, counts.tls, counts.outbound
    );
    if waiting > 0 {
        text.push_str(&format!("; {waiting} wait for a slot, --maxIncomingConnections is reached"));
    }
    if counts.recycling > 0 {
        text.push_str(&format!("; {} being recycled", counts.recycling));
    }
    if counts.non_conforming > 0 {
        text.push_str(&format!("; {} non-conforming: `ctl recycle`", counts.non_conforming));
    }
    if waiting + counts.non_conforming > 0 { StyledText::amber(text) } else { text.into() }
}

fn upstream(server: &UpstreamStatus, now: i64) -> StyledText {
    let address = escaped(&server.upstream);
    if server.checked.is_empty() {
        return format!("{address} not probed yet").into();
    }
    let reason = server.reason.as_deref().map(|reason| format!(": {}", escaped(reason))).unwrap_or_default();
    let checked = ago(&server.checked, now);
    if !server.up {
        return StyledText::red(format!("{address} DOWN{reason} (checked {checked})"));
    }
    let link = escaped(server.tls_version.as_ref().unwrap_or(&server.link));
    let state = server.state.as_deref().map(|state| format!(", {}", escaped(state))).unwrap_or_default();
    let set = server.set_name.as_deref().map(|set| format!(" of {}", escaped(set))).unwrap_or_default();
    let text = format!("{address} up, {link}{state}{set}{reason} (checked {checked})");
    if reason.is_empty() { text.into() } else { StyledText::amber(text) }
}

fn links(status: &Status) -> Option<StyledText> {
    let failing: Vec<_> = status.links.iter().filter(|link| !link.up).collect();
    let all = count(status.links.len(), "link");
    match failing.as_slice() {
        [] if status.links.is_empty() => None,
        [] => Some(format!("{all} to other servers, none fails").into()),
        [first, ..] => {
            let reason = first.reason.as_deref().map(|reason| format!(": {}", escaped(reason))).unwrap_or_default();
            let (failing, verb) = (failing.len(), if failing.len() == 1 { "FAILS" } else { "FAIL" });
            Some(StyledText::red(format!(
                "{failing} of {all} to other servers {verb}: {}{reason}",
                escaped(&first.destination)
            )))
        }
    }
}

/// The certificates, sorted by expiry.
fn ending_first(certificates: &[CertificateStatus]) -> impl Iterator<Item = &CertificateStatus> {
    let mut sorted: Vec<_> = certificates.iter().collect();
    sorted.sort_by_key(|certificate| certificate.days_left);
    sorted.into_iter()
}

fn expiry(certificate: &CertificateStatus) -> StyledText {
    let (role, subject) = (escaped(&certificate.role), escaped(&certificate.subject));
    let days = count(certificate.days_left.unsigned_abs(), "day");
    match certificate.days_left {
        ..0 => StyledText::red(format!("{role} {subject} EXPIRED {days} ago")),
        left if left.unsigned_abs() < EXPIRY_WARNING_DAYS => {
            StyledText::amber(format!("{role} {subject} expires in {days}"))
        }
        _ => format!("{role} {subject} expires in {days}").into(),
    }
}

fn interception(in_force: bool) -> StyledText {
    if in_force {
        "the rules are in force".into()
    } else {
        StyledText::red("the rules are NOT in force: tlsramp netfilter --help")
    }
}

/// The maximum number of servers shown; `--wide` lists all.
const SERVERS_SHOWN: usize = 4;
/// The maximum number of certificates shown; `--wide` lists all.
const CERTIFICATES_SHOWN: usize = 2;

#[cfg(test)]
mod tests;

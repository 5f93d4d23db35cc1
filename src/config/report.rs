//! The output of `check` for a valid configuration: the mode, how each route handles connections in that mode, the
//! certificates, the warnings.

use std::fmt::Write;
use std::path::Path;

use super::check::Loaded;
use super::settings::{Admin, AdminBind, InboundSettings, OutboundSettings, Settings};
use crate::policy::{Acceptance, Admission, Link, LinkRule, Opening, judge};

/// A summary of a few lines, with the warnings of the configuration and those in `more`.
pub fn report(loaded: &Loaded, more: &[String]) -> String {
    let mut text = summary(&loaded.settings);
    for warning in loaded.warnings.iter().chain(more) {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

fn summary(settings: &Settings) -> String {
    let mut text = String::new();
    let file = settings.file.as_deref().map_or_else(|| "flags only".to_owned(), |file| file.display().to_string());
    let _ = writeln!(text, "configuration: {file}");
    let (parameter, mode) = (settings.spelling.parameter(), settings.mode.name(settings.spelling));
    let _ = writeln!(text, "{parameter}: {mode}");
    if let Some(inbound) = &settings.inbound {
        let _ = writeln!(text, "inbound: {}", line_of_inbound(settings, inbound));
    }
    for outbound in &settings.outbound {
        let _ = writeln!(text, "outbound: {}", line_of_outbound(settings, outbound));
    }
    if let Some(port) = settings.transparent {
        let what = does(settings, Acceptance::Outbound, LinkRule::Policy, Opening::Plaintext, "plaintext");
        let _ = writeln!(text, "outbound: redirected to port {port} -> original destination; {what}");
    }
    let _ = writeln!(text, "certificates: {}", line_of_files(settings));
    let _ = writeln!(text, "admin: {}", line_of_admin(&settings.admin));
    text
}

fn line_of_inbound(settings: &Settings, inbound: &InboundSettings) -> String {
    let binds = inbound.binds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let transparent = if inbound.transparent { " (transparent)" } else { "" };
    let what = |opening, name| does(settings, inbound.acceptance, inbound.link, opening, name);
    let source = inbound.source.map_or_else(String::new, |source| format!(" from {source}"));
    let (plaintext, tls) = (what(Opening::Plaintext, "plaintext"), what(Opening::Tls, "TLS"));
    format!("{binds}{transparent} -> {}{source}; {plaintext}; {tls}", inbound.upstream)
}

fn line_of_outbound(settings: &Settings, outbound: &OutboundSettings) -> String {
    let what = does(settings, Acceptance::Outbound, LinkRule::Policy, Opening::Plaintext, "plaintext");
    let name = if outbound.name == outbound.target.host { String::new() } else { format!(" (as {})", outbound.name) };
    format!("{} -> {}{name}; {what}", outbound.listen, outbound.target)
}

/// How one kind of client is handled in the mode.
fn does(settings: &Settings, acceptance: Acceptance, rule: LinkRule, opening: Opening, client: &str) -> String {
    match judge(settings.mode, acceptance, rule, opening) {
        Err(_) => format!("{client} is refused"),
        Ok(permit) => match (permit.admission(), permit.link()) {
            (Admission::Untouched, _) | (_, Link::Untouched) => format!("{client} is passed through unchanged"),
            (Admission::Terminated, Link::Tls) => format!("{client} is terminated here and forwarded over TLS"),
            (Admission::Terminated, Link::Plaintext) => {
                format!("{client} is terminated here and forwarded in plaintext")
            }
            (Admission::Plaintext, Link::Tls) => format!("{client} is forwarded over TLS"),
            (Admission::Plaintext, Link::Plaintext) => format!("{client} is forwarded in plaintext"),
        },
    }
}

fn line_of_admin(admin: &Admin) -> String {
    let bind = |bind: &AdminBind| match bind {
        AdminBind::Tcp(at) if at.ip().is_loopback() => at.to_string(),
        AdminBind::Tcp(at) => format!("{at} by TLS"),
        AdminBind::Unix(path) => format!("unix:{}", path.display()),
    };
    let binds = admin.binds.iter().map(bind).collect::<Vec<_>>();
    let binds = if binds.is_empty() { "nowhere".to_owned() } else { binds.join(", ") };
    let read_only = if admin.read_only { "; no changes over TCP" } else { "" };
    let probes = admin.probes.iter().map(ToString::to_string).collect::<Vec<_>>();
    let probes = if probes.is_empty() { String::new() } else { format!("; probes: {}", probes.join(", ")) };
    let state = admin.state_file.as_deref().map(Path::display);
    let state = state.map_or_else(|| "none".to_owned(), |path| path.to_string());
    format!("{binds}{read_only}{probes}; state file: {state}")
}

fn line_of_files(settings: &Settings) -> String {
    let tls = &settings.tls;
    let rows = [
        ("presented", &tls.certificate_key),
        ("presented to servers", &tls.cluster),
        ("CA", &tls.ca),
        ("CA of clients", &tls.cluster_ca),
        ("CRL", &tls.crl),
    ];
    let given = rows.iter().filter_map(|(what, path)| Some(format!("{what}: {}", path.as_deref().map(Path::display)?)));
    let given = given.collect::<Vec<_>>();
    let clients = match (&tls.ca, tls.allow_connections_without_certificates) {
        (None, _) => "not requested from clients",
        (Some(_), true) => "requested from clients, but optional",
        (Some(_), false) => "required from clients",
    };
    if given.is_empty() { "none".to_owned() } else { format!("{}; {clients}", given.join(", ")) }
}

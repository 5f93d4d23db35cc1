//! The checks that need neither a network nor a running proxy: certificates and descriptors.

use super::finding::{CheckVerdict, DoctorCheck, DoctorFinding};
use super::rules::{DescriptorFacts, descriptors};
use crate::config::Settings;
use crate::net::{HostPort, UpstreamAddress, carried, descriptor_limit, is_own, open_descriptors};
use crate::policy::{Acceptance, Mode};
use crate::tls::{Identity, Material, findings};

/// The certificates and CRLs: validity, usages, and the names under which members connect to this node.
pub(super) fn certificates(
    settings: &Settings,
    material: &Material,
    mode: Mode,
    names: &[HostPort],
    now: i64,
) -> Vec<DoctorFinding> {
    let mut found = validity(material, now);
    found.extend(usages(settings, material, mode));
    found.extend(names_of_this_node(settings, material, mode, names));
    found
}

fn validity(material: &Material, now: i64) -> Vec<DoctorFinding> {
    let bad = findings(material.items(), now);
    let mut found: Vec<_> = bad
        .iter()
        .map(|finding| {
            let verdict = if finding.is_valid_now() || !finding.is_critical() && finding.item.begins <= now {
                CheckVerdict::Warning
            } else {
                CheckVerdict::Failed
            };
            let (text, remedy) = finding.text_and_remedy();
            let subject = finding.item.path.display().to_string();
            DoctorFinding::bad(DoctorCheck::Certificates, subject, verdict, text, remedy)
        })
        .collect();
    let identities = [("presented to clients", &material.serving), ("presented to servers", &material.outgoing)];
    for (role, identity) in identities {
        let Some(identity) = identity.as_ref().filter(|_| found.is_empty()) else { continue };
        let days = identity.not_after.saturating_sub(now) / SECONDS_PER_DAY;
        let text = format!("{}, {role}, expires in {days} days", identity.subject);
        found.push(DoctorFinding::ok(DoctorCheck::Certificates, role, text));
    }
    found
}

/// The extended key usages: a member presents its certificate as a server and as a client.
fn usages(settings: &Settings, material: &Material, mode: Mode) -> Vec<DoctorFinding> {
    let bad = |identity: &Identity, used: bool, text: &str, remedy: &str| {
        let verdict = if used { CheckVerdict::Failed } else { CheckVerdict::Warning };
        let text = format!("{} {text}", identity.subject);
        DoctorFinding::bad(DoctorCheck::Certificates, &identity.subject, verdict, text, remedy)
    };
    let (accepts, dials) = (settings.needs_certificate(mode), settings.links_by_tls(mode));
    let server = material.serving.as_ref().filter(|identity| !identity.server_auth);
    let client =
        material.outgoing.as_ref().filter(|identity| settings.links_by_tls(Mode::Require) && !identity.client_auth);
    let server = server.map(|identity| bad(identity, accepts, NO_SERVER_AUTH, BOTH));
    server.into_iter().chain(client.map(|identity| bad(identity, dials, NO_CLIENT_AUTH, BOTH_OR_CLUSTER))).collect()
}

/// Whether the certificate is valid for the names under which members connect to this node.
pub(super) fn names_of_this_node(
    settings: &Settings,
    material: &Material,
    mode: Mode,
    names: &[HostPort],
) -> Option<DoctorFinding> {
    let ends_here = settings.inbound.as_ref().is_some_and(|inbound| inbound.acceptance == Acceptance::Terminate);
    let serving = material.serving.as_ref().filter(|_| ends_here && !names.is_empty())?;
    let missing: Vec<_> = names.iter().map(|name| &*name.host).filter(|host| !serving.is_for(host)).collect();
    let all = names.iter().map(|name| &*name.host).collect::<Vec<_>>().join(", ");
    if missing.is_empty() {
        let text = format!("{} is valid for the name of this node: {all}", serving.subject);
        return Some(DoctorFinding::ok(DoctorCheck::Certificates, all, text));
    }
    let verdict = if mode.accepts_tls() { CheckVerdict::Failed } else { CheckVerdict::Warning };
    let missing = missing.join(", ");
    let text = format!(
        "{} is not valid for {missing}, to which members and drivers connect; its names are {}",
        serving.subject,
        serving.names().join(", ")
    );
    let remedy = format!("reissue it with {missing} as subjectAltName, and run `tlsramp ctl rotate`");
    Some(DoctorFinding::bad(DoctorCheck::Certificates, missing, verdict, text, remedy))
}

/// The names of this node in the settings: members with an address of this host, whose port is that of the inbound
/// route or of the server behind it.
pub(super) fn own_names(settings: &Settings) -> Vec<HostPort> {
    let own = settings.members.iter().filter(|member| member.address.is_some_and(is_own));
    own.map(|member| member.name.clone()).filter(|name| is_own_port(settings, name.port)).collect()
}

/// Whether a port is that of the inbound route or of the server behind it.
pub(super) fn is_own_port(settings: &Settings, port: u16) -> bool {
    settings.inbound.as_ref().is_some_and(|inbound| {
        let server = match &inbound.upstream {
            UpstreamAddress::Tcp(target) => target.port == port,
            UpstreamAddress::Unix(_) => false,
        };
        server || inbound.binds.iter().any(|bind| bind.port() == port)
    })
}

/// The descriptors of this process, which runs the proxy.
pub(super) fn descriptors_of_this_process(settings: &Settings) -> DoctorFinding {
    descriptor_facts(settings, descriptor_limit(), open_descriptors())
}

/// The descriptors that a proxy of these settings would have.
pub(super) fn descriptor_facts(settings: &Settings, limit: u64, used: Option<u64>) -> DoctorFinding {
    let wanted = settings.max_incoming.map(|wanted| wanted as u64);
    descriptors(DescriptorFacts { limit, used, carried: carried(limit, settings.workers as u64), wanted })
}

const NO_SERVER_AUTH: &str = "is presented to clients, but its extended key usage lacks serverAuth: clients refuse it";
const NO_CLIENT_AUTH: &str =
    "is presented to other servers, but its extended key usage lacks clientAuth: servers refuse it";
const BOTH: &str = "reissue it with serverAuth and clientAuth, and run `tlsramp ctl rotate`";
const BOTH_OR_CLUSTER: &str =
    "reissue it with serverAuth and clientAuth, or set tlsClusterFile to another, and run `tlsramp ctl rotate`";
const SECONDS_PER_DAY: i64 = 86_400;

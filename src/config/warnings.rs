//! What is legal and yet worth a word at start: each warning names the option and what to do if it was not meant.

use std::os::unix::fs::PermissionsExt;

use super::options::Key;
use super::raw::{Entry, Raw};
use super::settings::{AdminBind, Inbound, Settings};
use super::values;
use crate::net::{UpstreamAddress, is_own};
use crate::policy::{Acceptance, LinkRule, Mode};
use crate::tls::Material;

/// The warnings for settings that have no mistake.
pub(super) fn warnings(raw: &Raw, settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    match &settings.inbound {
        Some(inbound) => {
            hop(raw, inbound, &mut warnings);
            warnings.extend(out_of_reach(raw, inbound));
        }
        None => warnings.extend(idle(raw)),
    }
    encryption(raw, settings, &mut warnings);
    control(raw, settings, &mut warnings);
    warnings.extend(readable_by_others(raw));
    warnings
}

/// A serving certificate that is shown to servers too, and that they will refuse.
pub(super) fn outgoing(raw: &Raw, settings: &Settings, material: &Material) -> Option<String> {
    let shared = settings.tls.cluster.is_none() && settings.links_by_tls(Mode::Require);
    let identity = material.outgoing.as_ref().filter(|identity| shared && !identity.client_auth)?;
    let (key, cluster) = (raw.say(Key::Certificate), raw.say(Key::Cluster));
    Some(format!(
        "{key}: {} is shown on outgoing links too, and its extended key usage lacks clientAuth: servers that ask for a \
         certificate refuse it. Issue it with both usages, or name another with {cluster}",
        identity.subject
    ))
}

/// The hop to the fronted server.
fn hop(raw: &Raw, inbound: &Inbound, warnings: &mut Vec<String>) {
    let upstream = &inbound.upstream;
    let here = match upstream {
        UpstreamAddress::Unix(_) => true,
        UpstreamAddress::Tcp(target) => upstream.is_local() || target.ip().is_some_and(is_own),
    };
    if inbound.link == LinkRule::Never && !here {
        let link = raw.say(Key::UpstreamTls);
        warnings.push(format!(
            "{link} never: everything to {upstream} crosses the network in plaintext, in every mode. Run tlsramp on that \
             server's host, or use policy"
        ));
    }
    let looks_local = match upstream {
        UpstreamAddress::Unix(_) => true,
        UpstreamAddress::Tcp(_) => upstream.is_local() && inbound.source.is_none_or(|source| source.is_loopback()),
    };
    if looks_local {
        let bind = match upstream {
            UpstreamAddress::Unix(_) => String::new(),
            UpstreamAddress::Tcp(_) => {
                format!(", or give the hop a source address that is not loopback with {}", raw.say(Key::UpstreamBind))
            }
        };
        warnings.push(format!(
            "{} {upstream}: remote clients look local to mongod, whose localhost exception then lets a stranger create \
             the first user of a fresh --auth server. Start it with --setParameter enableLocalhostAuthBypass=0, or \
             create the first user before exposure{bind}",
            raw.say(Key::Upstream)
        ));
    }
}

/// A transparent route that the kernel hands no connection of another host to: TPROXY looks for a listener on the address
/// of the interface by which a connection came.
fn out_of_reach(raw: &Raw, inbound: &Inbound) -> Option<String> {
    let loopback = inbound.binds.iter().all(|bind| bind.ip().is_loopback());
    (inbound.transparent && loopback).then(|| {
        let (transparent, bind) = (raw.say(Key::InboundTransparent), raw.say(Key::BindIp));
        format!(
            "{transparent}: the inbound route listens on loopback addresses only, and the rules of tlsramp netfilter lead to \
             the address of the interface. Give {bind} 0.0.0.0, and :: for IPv6"
        )
    })
}

/// Files with secrets that every user of this host can read. A file that a group can read is left alone: it is how a key
/// is shared with a service.
fn readable_by_others(raw: &Raw) -> Vec<String> {
    let keys = [Key::Certificate, Key::Cluster, Key::CertificatePasswordFile, Key::ClusterPasswordFile];
    let given = keys.into_iter().filter_map(|key| raw.get(key));
    let readable = given.filter(|entry| {
        let metadata = std::fs::metadata(&entry.value);
        metadata.is_ok_and(|metadata| metadata.permissions().mode() & OTHERS_READ != 0)
    });
    let warning = |entry: &Entry| {
        let path = crate::text::printable(&entry.value);
        format!("{} {path}: every user of this host can read it. chmod o-r it, and consider a new key", entry.name())
    };
    readable.map(warning).collect()
}

/// Options of an inbound route that is not there.
fn idle(raw: &Raw) -> Option<String> {
    let keys = [
        Key::Port,
        Key::BindIp,
        Key::InboundTransparent,
        Key::InboundTls,
        Key::UpstreamTls,
        Key::UpstreamBind,
        Key::MaxIncoming,
    ];
    let names = keys.iter().filter_map(|key| raw.get(*key)).map(Entry::name).collect::<Vec<_>>();
    (!names.is_empty()).then(|| {
        let upstream = raw.say(Key::Upstream);
        format!("without {upstream} there is no inbound route, so nothing comes of: {}", names.join(", "))
    })
}

/// The control plane.
fn control(raw: &Raw, settings: &Settings, warnings: &mut Vec<String>) {
    let admin = &settings.admin;
    if let Some(pattern) = admin.allow.iter().find(|pattern| pattern.is_everyone()) {
        let name = raw.say(Key::AdminAllow);
        warnings.push(format!("{name} {pattern}: whoever has a certificate of the clients' CA can change the mode"));
    }
    if admin.read_only && !admin.binds.iter().any(|bind| matches!(bind, AdminBind::Unix(_))) {
        let (name, bind) = (raw.say(Key::AdminReadOnly), raw.say(Key::AdminBind));
        warnings.push(format!(
            "{name}, and no unix socket: only the configuration file and SIGHUP can change the mode. Add {bind} \
             unix:PATH.sock if that is not meant"
        ));
    }
}

fn encryption(raw: &Raw, settings: &Settings, warnings: &mut Vec<String>) {
    let tls = &settings.tls;
    if tls.allow_invalid_certificates {
        let name = raw.say(Key::InvalidCertificates);
        warnings.push(format!(
            "{name}: no certificate is verified, so anyone can pose as a server or a client. For tests only"
        ));
    }
    if tls.allow_invalid_hostnames {
        let name = raw.say(Key::InvalidHostnames);
        warnings.push(format!("{name}: a server may show the certificate of any other that the CA signed"));
    }
    let ends_here = settings.inbound.as_ref().is_some_and(|inbound| inbound.acceptance == Acceptance::Terminate);
    if ends_here && tls.certificate_key.is_some() && tls.ca.is_none() {
        warnings.push(format!(
            "No client certificate validation can be performed since no CA file has been provided: none is requested, \
             so any client may connect by TLS. Give {} to ask for one",
            raw.say(Key::Ca)
        ));
    }
    let none = raw.get(Key::DisabledProtocols).and_then(|entry| values::protocols(&entry.value).ok());
    if none.is_some_and(|(_, none)| none) {
        let name = raw.say(Key::DisabledProtocols);
        warnings.push(format!("{name} none: TLS 1.0 and 1.1 do not come back, tlsramp has only 1.2 and 1.3"));
    }
}

/// The permission of a file that lets all other users read it (inode(7)).
const OTHERS_READ: u32 = 0o004;

//! Warnings about settings that are valid but may be unintended. Each names the option and the remedy.

use std::os::unix::fs::PermissionsExt;

use super::options::OptionKey;
use super::raw::{Raw, RawValue};
use super::settings::{InboundSettings, Settings};
use super::values;
use crate::net::{UpstreamAddress, is_own};
use crate::policy::{Acceptance, LinkRule, Mode};
use crate::tls::Material;

/// The warnings about settings without mistakes.
pub(super) fn warnings(raw: &Raw, settings: &Settings) -> Vec<String> {
    let mut warnings = Vec::new();
    match &settings.inbound {
        Some(inbound) => {
            upstream_link(raw, inbound, &mut warnings);
            warnings.extend(unreachable_by_tproxy(raw, inbound));
        }
        None => warnings.extend(without_inbound(raw)),
    }
    encryption(raw, settings, &mut warnings);
    control(raw, settings, &mut warnings);
    warnings.extend(readable_by_others(raw));
    warnings
}

/// A warning if the certificate for clients is also presented to servers but lacks the usage clientAuth: servers that
/// request a certificate refuse it.
pub(super) fn outgoing(raw: &Raw, settings: &Settings, material: &Material) -> Option<String> {
    let shared = settings.tls.cluster.is_none() && settings.links_by_tls(Mode::Require);
    let identity = material.outgoing.as_ref().filter(|identity| shared && !identity.client_auth)?;
    let (key, cluster) = (raw.option_name(OptionKey::Certificate), raw.option_name(OptionKey::Cluster));
    Some(format!(
        "{key}: {} is also presented to other servers, but its extended key usage lacks clientAuth, so servers that \
         request a certificate refuse it. Issue it with both usages, or give another with {cluster}",
        identity.subject
    ))
}

/// Warnings about the connection to the upstream.
fn upstream_link(raw: &Raw, inbound: &InboundSettings, warnings: &mut Vec<String>) {
    let upstream = &inbound.upstream;
    let here = match upstream {
        UpstreamAddress::Unix(_) => true,
        UpstreamAddress::Tcp(target) => upstream.is_local() || target.ip().is_some_and(is_own),
    };
    if inbound.link == LinkRule::Never && !here {
        let link = raw.option_name(OptionKey::UpstreamTls);
        warnings.push(format!(
            "{link} never: all data to {upstream} crosses the network in plaintext, in every mode. Run tlsramp on that \
             server's host, or set {link} to policy"
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
                format!(
                    ", or give connections to the server a source address other than loopback with {}",
                    raw.option_name(OptionKey::UpstreamBind)
                )
            }
        };
        warnings.push(format!(
            "{} {upstream}: remote clients look local to mongod, whose localhost exception then lets any client create \
             the first user of a new --auth server. Start mongod with --setParameter enableLocalhostAuthBypass=0, or \
             create the first user before clients can connect{bind}",
            raw.option_name(OptionKey::Upstream)
        ));
    }
}

/// A warning about an inbound route with `IP_TRANSPARENT` that listens only on loopback. It gets no connections from
/// other hosts: TPROXY looks for a listener on the address of the interface on which a connection arrives, or on the
/// wildcard address.
fn unreachable_by_tproxy(raw: &Raw, inbound: &InboundSettings) -> Option<String> {
    let loopback = inbound.binds.iter().all(|bind| bind.ip().is_loopback());
    (inbound.transparent && loopback).then(|| {
        let (transparent, bind) = (raw.option_name(OptionKey::InboundTransparent), raw.option_name(OptionKey::BindIp));
        format!(
            "{transparent}: the inbound route listens on loopback addresses only, but TPROXY delivers connections to a \
             listener on the address of the interface on which they arrive. Set {bind} to 0.0.0.0, and :: for IPv6"
        )
    })
}

/// Warnings about files with secrets that every user of this host can read. Group permissions are not checked, since
/// they are a usual way to share a key with a service.
fn readable_by_others(raw: &Raw) -> Vec<String> {
    let keys = [
        OptionKey::Certificate,
        OptionKey::Cluster,
        OptionKey::CertificatePasswordFile,
        OptionKey::ClusterPasswordFile,
    ];
    let given = keys.into_iter().filter_map(|key| raw.get(key));
    let readable = given.filter(|entry| {
        let metadata = std::fs::metadata(&entry.value);
        metadata.is_ok_and(|metadata| metadata.permissions().mode() & OTHERS_READ != 0)
    });
    let warning = |entry: &RawValue| {
        let path = crate::text::printable(&entry.value);
        format!(
            "{} {path}: every user of this host can read the file. Run chmod o-r on it, and consider replacing the key",
            entry.name()
        )
    };
    readable.map(warning).collect()
}

/// A warning about options of the inbound route if there is no such route.
fn without_inbound(raw: &Raw) -> Option<String> {
    let keys = [
        OptionKey::Port,
        OptionKey::BindIp,
        OptionKey::InboundTransparent,
        OptionKey::InboundTls,
        OptionKey::UpstreamTls,
        OptionKey::UpstreamBind,
        OptionKey::MaxIncoming,
    ];
    let names = keys.iter().filter_map(|key| raw.get(*key)).map(RawValue::name).collect::<Vec<_>>();
    (!names.is_empty()).then(|| {
        let upstream = raw.option_name(OptionKey::Upstream);
        format!("without {upstream} there is no inbound route, so these options have no effect: {}", names.join(", "))
    })
}

/// Warnings about the admin port.
fn control(raw: &Raw, settings: &Settings, warnings: &mut Vec<String>) {
    let admin = &settings.admin;
    if let Some(pattern) = admin.allow.iter().find(|pattern| pattern.is_everyone()) {
        let name = raw.option_name(OptionKey::AdminAllow);
        warnings.push(format!(
            "{name} {pattern}: every client with a certificate of the clients' CA can change the mode. Use a narrower \
             pattern"
        ));
    }
    if admin.read_only && admin.unix_binds().next().is_none() {
        let (name, bind) = (raw.option_name(OptionKey::AdminReadOnly), raw.option_name(OptionKey::AdminBind));
        warnings.push(format!(
            "{name} without a unix socket: only the configuration file and SIGHUP can change the mode. Add {bind} \
             unix:PATH.sock if that is not intended"
        ));
    }
}

fn encryption(raw: &Raw, settings: &Settings, warnings: &mut Vec<String>) {
    let tls = &settings.tls;
    if tls.allow_invalid_certificates {
        let name = raw.option_name(OptionKey::InvalidCertificates);
        warnings.push(format!(
            "{name}: no certificate is verified, so anyone can pose as a server or a client. For tests only"
        ));
    }
    if tls.allow_invalid_hostnames {
        let name = raw.option_name(OptionKey::InvalidHostnames);
        warnings.push(format!("{name}: a server may present the certificate of any other server that the CA signed"));
    }
    let ends_here = settings.inbound.as_ref().is_some_and(|inbound| inbound.acceptance == Acceptance::Terminate);
    if ends_here && tls.certificate_key.is_some() && tls.ca.is_none() {
        warnings.push(format!(
            "No client certificate validation can be performed since no CA file has been provided: no certificate is \
             requested, so any client may connect over TLS. Give {} to require certificates",
            raw.option_name(OptionKey::Ca)
        ));
    }
    let none = raw.get(OptionKey::DisabledProtocols).and_then(|entry| values::protocols(&entry.value).ok());
    if none.is_some_and(|(_, none)| none) {
        let name = raw.option_name(OptionKey::DisabledProtocols);
        warnings.push(format!("{name} none: TLS 1.0 and 1.1 stay disabled; tlsramp supports only 1.2 and 1.3"));
    }
}

/// The permission of a file that lets all other users read it (inode(7)).
const OTHERS_READ: u32 = 0o004;

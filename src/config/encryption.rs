//! The TLS options: which files, and whether they are enough for the mode and the routes. The files themselves are
//! read and judged by [`crate::tls::Material`].

use std::path::PathBuf;

use super::options::Key;
use super::reader::Reader;
use super::settings::Settings;
use super::values;
use crate::policy::{LinkRule, Mode, Spelling};
use crate::tls::{DisabledProtocols, FileRole, Password, Secret, TlsFiles};

/// The mode and the spelling of its name.
pub(super) fn mode(reader: &mut Reader<'_>) -> (Mode, Spelling) {
    let spelling = reader.raw.spelling();
    let mode = reader.read(Key::Mode, |text| Mode::parse(text, spelling).map_err(|error| error.to_string()));
    (mode.unwrap_or(Mode::Disabled), spelling)
}

/// The files and switches.
pub(super) fn files(reader: &mut Reader<'_>) -> TlsFiles {
    let path = |key: Key| reader.raw.get(key).map(|entry| PathBuf::from(&entry.value));
    let mut files = TlsFiles {
        certificate_key: path(Key::Certificate),
        certificate_key_password: password(reader, &CERTIFICATE_PASSWORD),
        cluster: path(Key::Cluster),
        cluster_password: password(reader, &CLUSTER_PASSWORD),
        ca: path(Key::Ca),
        cluster_ca: path(Key::ClusterCa),
        crl: path(Key::Crl),
        ..TlsFiles::default()
    };
    files.allow_connections_without_certificates = switch(reader, Key::WithoutCertificates);
    files.allow_invalid_certificates = switch(reader, Key::InvalidCertificates);
    files.allow_invalid_hostnames = switch(reader, Key::InvalidHostnames);
    files.disabled = protocols(reader);
    files
}

/// The places that the password of one key may come from.
struct PasswordOptions {
    /// The file that the key is in.
    key_file: Key,
    given: Key,
    file: Key,
    environment: &'static str,
}

const CERTIFICATE_PASSWORD: PasswordOptions = PasswordOptions {
    key_file: Key::Certificate,
    given: Key::CertificatePassword,
    file: Key::CertificatePasswordFile,
    environment: "TLSRAMP_PEM_KEY_PASSWORD",
};
const CLUSTER_PASSWORD: PasswordOptions = PasswordOptions {
    key_file: Key::Cluster,
    given: Key::ClusterPassword,
    file: Key::ClusterPasswordFile,
    environment: "TLSRAMP_CLUSTER_PASSWORD",
};

/// The password of a key, by its option, its file, or the environment, in this order.
fn password(reader: &Reader<'_>, options: &PasswordOptions) -> Option<Password> {
    let given = || reader.raw.get(options.given).map(|entry| Password::Given(Secret(entry.value.clone())));
    let file = || reader.raw.get(options.file).map(|entry| Password::File(PathBuf::from(&entry.value)));
    let environment = || {
        let value = std::env::var(options.environment).ok().filter(|value| !value.is_empty())?;
        reader.given(options.key_file).then_some(Password::Given(Secret(value)))
    };
    given().or_else(file).or_else(environment)
}

/// Whether what the mode and the routes need is there.
pub(super) fn check(reader: &mut Reader<'_>, settings: &Settings) {
    let (mode, tls) = (settings.mode, &settings.tls);
    pairs(reader);
    if settings.needs_certificate(mode) && tls.certificate_key.is_none() {
        let key = reader.say(Key::Certificate);
        let (option, layer) = match settings.spelling {
            Spelling::Ssl => ("sslPEMKeyFile", "SSL"),
            Spelling::Tls => ("tlsCertificateKeyFile", "TLS"),
        };
        let problem = format!("need {option} when {layer} is enabled");
        reader.refuse(Key::Mode, &problem, &format!("give {key} the PEM file with the server's certificate and key"));
    }
    if settings.links_by_tls(mode) && tls.ca.is_none() && !tls.allow_invalid_certificates {
        let policy = settings.inbound.as_ref().is_some_and(|inbound| inbound.link == LinkRule::Policy);
        let by_mode = policy || (mode.dials_tls() && !settings.outbound.is_empty());
        let (ca, link) = (reader.say(Key::Ca), reader.say(Key::UpstreamTls));
        let remedy = if settings.outbound.is_empty() {
            format!("give {ca} the roots of the servers' certificates, or {link} never for a server on this host")
        } else {
            format!("give {ca} the roots of the servers' certificates")
        };
        let key = if by_mode { Key::Mode } else { Key::UpstreamTls };
        reader.refuse(key, "connections to other servers are TLS, and no CA file is there to verify them", &remedy);
    }
}

/// The option that names a file.
pub(super) const fn key_of(file: FileRole) -> Key {
    match file {
        FileRole::CertificateKey => Key::Certificate,
        FileRole::Cluster => Key::Cluster,
        FileRole::Ca => Key::Ca,
        FileRole::ClusterCa => Key::ClusterCa,
        FileRole::Crl => Key::Crl,
    }
}

/// Options that mean nothing without another.
fn pairs(reader: &mut Reader<'_>) {
    let rows = [
        (Key::Crl, Key::Ca, "a revocation list is checked for certificates of a CA, and none is given"),
        (Key::ClusterCa, Key::Ca, "it verifies clients alone, so a CA file that verifies servers must be there too"),
        (Key::CertificatePassword, Key::Certificate, "it is the password of a file that is not given"),
        (Key::CertificatePasswordFile, Key::Certificate, "it has the password of a file that is not given"),
        (Key::ClusterPassword, Key::Cluster, "it is the password of a file that is not given"),
        (Key::ClusterPasswordFile, Key::Cluster, "it has the password of a file that is not given"),
    ];
    for (key, needed, problem) in rows {
        if reader.given(key) && !reader.given(needed) {
            let needed = reader.say(needed);
            reader.refuse(key, &format!("need {needed}: {problem}"), &format!("give {needed}, or take this out"));
        }
    }
    for PasswordOptions { given, file, .. } in [CERTIFICATE_PASSWORD, CLUSTER_PASSWORD] {
        if reader.given(given) && reader.given(file) {
            let problem = format!("the password is given twice: {} gives it too", reader.say(given));
            reader.refuse(file, &problem, "leave one of the two out");
        }
    }
}

fn protocols(reader: &mut Reader<'_>) -> DisabledProtocols {
    let (disabled, _) = reader.read(Key::DisabledProtocols, values::protocols).unwrap_or_default();
    if disabled.tls1_2 && disabled.tls1_3 {
        let problem = "All valid TLS modes disabled: TLS 1.2 and 1.3 are the only ones there are";
        reader.refuse(Key::DisabledProtocols, problem, "leave one of the two out of the list");
        // The files are judged all the same, under the versions there are.
        return DisabledProtocols::default();
    }
    disabled
}

fn switch(reader: &mut Reader<'_>, key: Key) -> bool {
    reader.read(key, values::switch).unwrap_or(false)
}

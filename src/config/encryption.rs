//! The TLS options: which files are given, and which ones the mode and the routes require. The files are read and
//! checked by [`crate::tls::Material`].

use std::path::PathBuf;

use super::options::OptionKey;
use super::reader::OptionReader;
use super::settings::Settings;
use super::values;
use crate::policy::{LinkRule, Mode, Spelling};
use crate::tls::{DisabledProtocols, FileRole, Password, Secret, TlsFiles};

/// The mode and the spelling of its name.
pub(super) fn mode(reader: &mut OptionReader<'_>) -> (Mode, Spelling) {
    let spelling = reader.raw.spelling();
    let mode = reader.read(OptionKey::Mode, |text| Mode::parse(text, spelling).map_err(|error| error.to_string()));
    (mode.unwrap_or(Mode::Disabled), spelling)
}

/// The TLS files and switches.
pub(super) fn files(reader: &mut OptionReader<'_>) -> TlsFiles {
    let path = |key: OptionKey| reader.raw.get(key).map(|entry| PathBuf::from(&entry.value));
    let mut files = TlsFiles {
        certificate_key: path(OptionKey::Certificate),
        certificate_key_password: password(reader, &CERTIFICATE_PASSWORD),
        cluster: path(OptionKey::Cluster),
        cluster_password: password(reader, &CLUSTER_PASSWORD),
        ca: path(OptionKey::Ca),
        cluster_ca: path(OptionKey::ClusterCa),
        crl: path(OptionKey::Crl),
        ..TlsFiles::default()
    };
    files.allow_connections_without_certificates = switch(reader, OptionKey::WithoutCertificates);
    files.allow_invalid_certificates = switch(reader, OptionKey::InvalidCertificates);
    files.allow_invalid_hostnames = switch(reader, OptionKey::InvalidHostnames);
    files.disabled = protocols(reader);
    files
}

/// The sources of the password of one private key.
struct PasswordOptions {
    /// The option of the private key's file.
    key_file: OptionKey,
    given: OptionKey,
    file: OptionKey,
    environment: &'static str,
}

const CERTIFICATE_PASSWORD: PasswordOptions = PasswordOptions {
    key_file: OptionKey::Certificate,
    given: OptionKey::CertificatePassword,
    file: OptionKey::CertificatePasswordFile,
    environment: "TLSRAMP_PEM_KEY_PASSWORD",
};
const CLUSTER_PASSWORD: PasswordOptions = PasswordOptions {
    key_file: OptionKey::Cluster,
    given: OptionKey::ClusterPassword,
    file: OptionKey::ClusterPasswordFile,
    environment: "TLSRAMP_CLUSTER_PASSWORD",
};

/// The password of a private key: from its option, its file, or the environment, in this order.
fn password(reader: &OptionReader<'_>, options: &PasswordOptions) -> Option<Password> {
    let given = || reader.raw.get(options.given).map(|entry| Password::Given(Secret(entry.value.clone())));
    let file = || reader.raw.get(options.file).map(|entry| Password::File(PathBuf::from(&entry.value)));
    // Without a key file, the variable is not for this command.
    let environment = || Password::from_environment(options.environment).filter(|_| reader.given(options.key_file));
    given().or_else(file).or_else(environment)
}

/// Checks that the files are given that the mode, the routes and other options require.
pub(super) fn check(reader: &mut OptionReader<'_>, settings: &Settings) {
    let (mode, tls) = (settings.mode, &settings.tls);
    dependent_options(reader);
    if settings.needs_certificate(mode) && tls.certificate_key.is_none() {
        let key = reader.option_name(OptionKey::Certificate);
        let (option, layer) = match settings.spelling {
            Spelling::Ssl => ("sslPEMKeyFile", "SSL"),
            Spelling::Tls => ("tlsCertificateKeyFile", "TLS"),
        };
        let problem = format!("need {option} when {layer} is enabled");
        reader.refuse(
            OptionKey::Mode,
            &problem,
            &format!("give {key} the PEM file with the server's certificate and key"),
        );
    }
    if settings.links_by_tls(mode) && tls.ca.is_none() && !tls.allow_invalid_certificates {
        let policy = settings.inbound.as_ref().is_some_and(|inbound| inbound.link == LinkRule::Policy);
        let by_mode = policy || (mode.dials_tls() && !settings.outbound.is_empty());
        let (ca, link) = (reader.option_name(OptionKey::Ca), reader.option_name(OptionKey::UpstreamTls));
        let remedy = if settings.outbound.is_empty() {
            format!(
                "give {ca} the CA certificates that verify servers, or set {link} to never for a server on this host"
            )
        } else {
            format!("give {ca} the CA certificates that verify servers")
        };
        let key = if by_mode { OptionKey::Mode } else { OptionKey::UpstreamTls };
        reader.refuse(key, "connections to other servers use TLS, but there is no CA file to verify them", &remedy);
    }
}

/// The option that names a file.
pub(super) const fn key_of(file: FileRole) -> OptionKey {
    match file {
        FileRole::CertificateKey => OptionKey::Certificate,
        FileRole::Cluster => OptionKey::Cluster,
        FileRole::Ca => OptionKey::Ca,
        FileRole::ClusterCa => OptionKey::ClusterCa,
        FileRole::Crl => OptionKey::Crl,
    }
}

/// Checks options that require another option to be given.
fn dependent_options(reader: &mut OptionReader<'_>) {
    let rows = [
        (
            OptionKey::Crl,
            OptionKey::Ca,
            "a revocation list is checked only for certificates of a CA, but no CA file is given",
        ),
        (
            OptionKey::ClusterCa,
            OptionKey::Ca,
            "this file verifies clients only; a CA file that verifies servers is required too",
        ),
        (
            OptionKey::CertificatePassword,
            OptionKey::Certificate,
            "this is the password of a private key file that is not given",
        ),
        (
            OptionKey::CertificatePasswordFile,
            OptionKey::Certificate,
            "this file has the password of a private key file that is not given",
        ),
        (
            OptionKey::ClusterPassword,
            OptionKey::Cluster,
            "this is the password of a private key file that is not given",
        ),
        (
            OptionKey::ClusterPasswordFile,
            OptionKey::Cluster,
            "this file has the password of a private key file that is not given",
        ),
    ];
    for (key, needed, problem) in rows {
        if reader.given(key) && !reader.given(needed) {
            let needed = reader.option_name(needed);
            reader.refuse(key, &format!("need {needed}: {problem}"), &format!("give {needed}, or remove this option"));
        }
    }
    for PasswordOptions { given, file, .. } in [CERTIFICATE_PASSWORD, CLUSTER_PASSWORD] {
        if reader.given(given) && reader.given(file) {
            let problem = format!("the password is given twice: {} has it too", reader.option_name(given));
            reader.refuse(file, &problem, "remove one of the two");
        }
    }
}

fn protocols(reader: &mut OptionReader<'_>) -> DisabledProtocols {
    let (disabled, _) = reader.read(OptionKey::DisabledProtocols, values::protocols).unwrap_or_default();
    if disabled.tls1_2 && disabled.tls1_3 {
        let problem = "All valid TLS modes disabled: tlsramp supports only TLS 1.2 and 1.3";
        reader.refuse(OptionKey::DisabledProtocols, problem, "remove one of the two from the list");
        // The files are still checked, with all versions enabled.
        return DisabledProtocols::default();
    }
    disabled
}

fn switch(reader: &mut OptionReader<'_>, key: OptionKey) -> bool {
    reader.read(key, values::switch).unwrap_or(false)
}

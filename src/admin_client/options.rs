//! The TLS options for a remote admin port, named as in mongosh, and the files that they name.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::address::AdminAddress;
use crate::net::UpstreamAddress;
use crate::tls::{FileError, FileRole, Material, Password, Secret, TlsFiles};

/// The TLS options of a command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Whether to use TLS to reach the admin port.
    pub tls: bool,
    /// File of the CAs that verify the admin port's certificate.
    pub ca: Option<PathBuf>,
    /// File of the client certificate and its key.
    pub certificate_key: Option<PathBuf>,
    /// The password of the key.
    pub password: Option<Password>,
}

/// Options that exclude or require each other, or files that cannot be used: one message per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct UsageError(Vec<String>);

/// Adds the options to a command and its subcommands.
pub fn with_tls_options(command: Command) -> Command {
    let option = |name: &'static str| Arg::new(name).long(name).global(true).help_heading("Admin port");
    let file = |name| option(name).value_name("FILE").value_parser(value_parser!(PathBuf));
    command.args([
        option(TLS)
            .action(ArgAction::SetTrue)
            .help("Use TLS to reach the admin port; required unless the address is local"),
        file(CA).help("PEM file of the CA that signed the admin port's certificate"),
        file(CERTIFICATE_KEY)
            .help("PEM file of the client certificate and its key; the proxy's --adminAllow must match it"),
        option(PASSWORD)
            .value_name("PASSWORD")
            .help("Password of that key; visible to every user of the host in the process list"),
        file(PASSWORD_FILE).conflicts_with(PASSWORD).help(format!(
            "File whose first line is the password of that key; without either option, {PASSWORD_ENVIRONMENT} of the \
             environment is used"
        )),
    ])
}

/// The options that were given.
pub fn tls_options(matches: &ArgMatches) -> TlsOptions {
    let certificate_key = matches.get_one(CERTIFICATE_KEY).cloned();
    let given = || matches.get_one::<String>(PASSWORD).cloned().map(|text| Password::Given(Secret(text)));
    let file = || matches.get_one::<PathBuf>(PASSWORD_FILE).cloned().map(Password::File);
    // Without a key file, the variable is not for this command.
    let environment = || Password::from_environment(PASSWORD_ENVIRONMENT).filter(|_| certificate_key.is_some());
    let password = given().or_else(file).or_else(environment);
    TlsOptions { tls: matches.get_flag(TLS), ca: matches.get_one(CA).cloned(), certificate_key, password }
}

impl TlsOptions {
    /// Loads the files for a connection to `address`; `None` without TLS.
    ///
    /// # Errors
    /// [`UsageError`]: an option that is missing or has no effect, or every file that cannot be used.
    pub fn load(&self, address: &AdminAddress) -> Result<Option<Arc<Material>>, UsageError> {
        if let Some(problem) = self.problem(address) {
            return Err(UsageError(vec![problem]));
        }
        if !self.tls {
            return Ok(None);
        }
        // Loaded as a cluster certificate, because a server's certificate must have a subject alternative name, and a
        // client's need not.
        let files = TlsFiles {
            cluster: self.certificate_key.clone(),
            cluster_password: self.password.clone(),
            ca: self.ca.clone(),
            ..TlsFiles::default()
        };
        let (material, _) =
            Material::load(&files).map_err(|faults| UsageError(faults.iter().map(message).collect()))?;
        Ok(Some(Arc::new(material)))
    }

    fn problem(&self, address: &AdminAddress) -> Option<String> {
        let given = [
            (CA, self.ca.is_some()),
            (CERTIFICATE_KEY, self.certificate_key.is_some()),
            (PASSWORD, self.password.is_some()),
        ];
        if let Some((name, _)) = given.iter().find(|(_, given)| *given && !self.tls) {
            return Some(format!("--{name} has no effect without --{TLS}: give both or neither"));
        }
        if !self.tls {
            return None;
        }
        match &address.0 {
            UpstreamAddress::Unix(_) => Some(format!("--{TLS} does not apply to the Unix socket {address}: omit it")),
            UpstreamAddress::Tcp(_) => given[..2].iter().find(|(_, given)| !given).map(|(name, _)| {
                format!(
                    "--{TLS} requires --{name}: the admin port's certificate is verified, and it requires a client \
                     certificate"
                )
            }),
        }
    }
}

/// Describes an error in a file, with the options of this command, which are fewer than the proxy's.
fn message(fault: &FileError) -> String {
    let name = match fault.file {
        FileRole::CertificateKey | FileRole::Cluster => CERTIFICATE_KEY,
        FileRole::Ca | FileRole::ClusterCa | FileRole::Crl => CA,
    };
    let FileError { path, problem, remedy, needs_password, .. } = fault;
    let by = if *needs_password { format!(" by --{PASSWORD}") } else { String::new() };
    format!("--{name} {}: {problem}; {remedy}{by}", path.display())
}

const TLS: &str = "tls";
const CA: &str = "tlsCAFile";
const CERTIFICATE_KEY: &str = "tlsCertificateKeyFile";
const PASSWORD: &str = "tlsCertificateKeyFilePassword";
const PASSWORD_FILE: &str = "tlsCertificateKeyFilePasswordFile";
const PASSWORD_ENVIRONMENT: &str = "TLSRAMP_CLIENT_KEY_PASSWORD";

#[cfg(test)]
mod tests {
    use certs_gen::Set;
    use clap::Command;

    use super::{tls_options, with_tls_options};

    #[test]
    fn what_does_not_go_together_is_said() {
        for (address, args, expected) in [
            ("db1:1", &[][..], None),
            ("db1:1", &["--tlsCAFile", "a"], Some("--tlsCAFile has no effect without --tls")),
            ("db1:1", &["--tlsCertificateKeyFilePassword", "a"], Some("has no effect")),
            ("db1:1", &["--tls"], Some("--tls requires --tlsCAFile")),
            ("db1:1", &["--tls", "--tlsCAFile", "a"], Some("--tls requires --tlsCertificateKeyFile")),
            ("unix:/a", &["--tls"], Some("does not apply to the Unix socket unix:/a")),
            (
                "db1:1",
                &["--tls", "--tlsCAFile", "/none", "--tlsCertificateKeyFile", "/none"],
                Some("--tlsCAFile /none: it cannot be read"),
            ),
        ] {
            let command = with_tls_options(Command::new("ctl"));
            let matches = command.try_get_matches_from([&["ctl"], args].concat()).unwrap();
            let loaded = tls_options(&matches).load(&address.parse().unwrap());
            match (loaded, expected) {
                (Ok(material), None) => assert!(material.is_none()),
                (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
                (loaded, _) => panic!("{args:?}: {loaded:?}"),
            }
        }
    }

    #[test]
    fn an_encrypted_key_wants_its_password() {
        let folder = tempfile::tempdir().unwrap();
        Set::full().unwrap().write(folder.path()).unwrap();
        let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let address = "db1:1".parse().unwrap();
        for (password, part) in [(None, "by --tlsCertificateKeyFilePassword"), (Some("wrong"), "check the password")] {
            let (ca, key) = (file("ca.pem"), file("encrypted.pem"));
            let mut args = vec!["ctl", "--tls", "--tlsCAFile", &ca, "--tlsCertificateKeyFile", &key];
            args.extend(password.iter().flat_map(|password| ["--tlsCertificateKeyFilePassword", password]));
            let matches = with_tls_options(Command::new("ctl")).try_get_matches_from(args).unwrap();
            let error = tls_options(&matches).load(&address).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--tlsCertificateKeyFile {key}: ")) && error.contains(part), "{error}");
        }
    }
}

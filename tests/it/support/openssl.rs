//! Runs `openssl`, as an independent implementation and to make certificates that modern libraries refuse to make.
//!
//! A test that uses it begins with `require_command!("openssl")`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use super::{Scratch, process};

/// Runs `openssl s_client -connect ADDRESS ARGS` for at most ten seconds, without input.
///
/// At the end of its input, it closes the connection right after the handshake. In TLS 1.3, the server's verdict on the
/// client certificate arrives later. To see it, pass `-ign_eof`, which waits until the server closes the connection.
pub(crate) fn s_client(address: SocketAddr, args: &[&str]) -> Output {
    s_client_sending(address, args, b"")
}

/// As [`s_client`], and sends `input` once the handshake is done.
pub(crate) fn s_client_sending(address: SocketAddr, args: &[&str], input: &[u8]) -> Output {
    let mut command = process::tethered("openssl");
    command.args(["s_client", "-connect", &address.to_string()]).args(args);
    process::output_with_input(command, input.to_vec(), LIMIT).unwrap_or_else(|why| panic!("{why}"))
}

/// The output of `openssl x509 -text` for the first certificate in a file.
pub(crate) fn text_of(certificate: &Path) -> String {
    let certificate = certificate.to_string_lossy();
    run(None, &["x509", "-in", &certificate, "-noout", "-text"])
}

/// The flaw, by current rules, of a certificate that OpenSSL formerly accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// No flaw: RSA 2048, SHA-256, X.509 v3, with subject alternative names.
    None,
    /// An RSA key of 1024 bits.
    Rsa1024,
    /// A SHA-1 signature.
    Sha1,
    /// X.509 v1, without extensions.
    Version1,
    /// X.509 v3, with the name in the CN only.
    CommonNameOnly,
}

/// A CA made by `openssl`, which can sign certificates that `certs-gen` cannot make. RSA 2048.
#[derive(Debug)]
pub(crate) struct Authority(Scratch);

impl Authority {
    /// Creates a CA.
    pub(crate) fn new() -> Self {
        let folder = Scratch::new("openssl-ca");
        let request = "req -x509 -newkey rsa:2048 -nodes -sha256 -days 30 -subj /CN=openssl-CA \
            -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca-key.pem -out ca.pem";
        run(Some(folder.path()), &request.split_whitespace().collect::<Vec<_>>());
        Self(folder)
    }

    /// The path of its certificate, to use as a CA file.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// Issues a certificate with one flaw for `localhost` and `127.0.0.1`, for servers and clients alike. Returns the
    /// path of a PEM file with certificate and key.
    pub(crate) fn issue(&self, flaw: Flaw) -> PathBuf {
        let bits = if flaw == Flaw::Rsa1024 { "rsa:1024" } else { "rsa:2048" };
        let digest = if flaw == Flaw::Sha1 { "-sha1" } else { "-sha256" };
        let usage = "extendedKeyUsage=serverAuth,clientAuth\n";
        let extensions = match flaw {
            Flaw::Version1 => None,
            Flaw::CommonNameOnly => Some(usage.to_owned()),
            Flaw::None | Flaw::Rsa1024 | Flaw::Sha1 => {
                Some(format!("{usage}subjectAltName=DNS:localhost,IP:127.0.0.1\n"))
            }
        };
        let folder = Scratch::new("openssl-issue");
        let inside = Some(folder.path());
        run(inside, &["req", "-new", "-newkey", bits, "-nodes", "-subj", "/CN=localhost", "-keyout", "k", "-out", "r"]);
        let (ca, key) = (self.ca_file(), self.0.join("ca-key.pem"));
        let (ca, key) = (ca.to_string_lossy(), key.to_string_lossy());
        let mut sign = vec!["x509", "-req", "-in", "r", "-CA", &ca, "-CAkey", &key, "-CAcreateserial"];
        sign.extend(["-days", "20", digest, "-out", "c"]);
        if let Some(extensions) = extensions {
            std::fs::write(folder.join("extensions"), extensions).expect("writes");
            sign.extend(["-extfile", "extensions"]);
        }
        run(inside, &sign);

        let both = ["c", "k"].map(|name| std::fs::read_to_string(folder.join(name)).expect("openssl made it")).concat();
        let file = self.0.join(format!("{flaw:?}.pem"));
        std::fs::write(&file, both).expect("writes");
        file
    }
}

/// Runs `openssl ARGS` in a folder. It must succeed. Returns its output.
#[track_caller]
pub(crate) fn run(folder: Option<&Path>, args: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(args);
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let output = process::succeed(command, LIMIT).unwrap_or_else(|why| panic!("{why}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Most of this time is for making an RSA key on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::{super::require_command, *};

    #[test]
    fn flaws_are_as_named() {
        require_command!("openssl");
        let ca = Authority::new();
        for (flaw, has, lacks) in [
            (Flaw::None, "Version: 3", "sha1With"),
            (Flaw::Rsa1024, "Public-Key: (1024 bit)", "2048 bit"),
            (Flaw::Sha1, "sha1WithRSAEncryption", "sha256With"),
            (Flaw::Version1, "Version: 1", "X509v3"),
            (Flaw::CommonNameOnly, "Version: 3", "Subject Alternative Name"),
        ] {
            let text = text_of(&ca.issue(flaw));
            assert!(text.contains(has) && !text.contains(lacks), "{flaw:?}: {text}");
        }
    }
}

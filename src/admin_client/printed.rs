//! Commands to print for an operator, quoted for a shell and with the options of the admin port.

use super::address::AdminAddress;
use super::options::TlsOptions;
use crate::net::UpstreamAddress;
use crate::tls::Password;

/// `tlsramp ctl` with the options for this admin port. A password that is not in a file is left out: the reader has it.
pub fn ctl_command(address: &AdminAddress, tls: &TlsOptions) -> String {
    let mut words = vec!["tlsramp".to_owned(), "ctl".to_owned()];
    let text = address.to_string();
    if text != AdminAddress::DEFAULT {
        words.extend(["--admin".to_owned(), quoted(&text)]);
    }
    // A Unix socket is used without TLS, and `ctl` refuses the TLS options there.
    if let UpstreamAddress::Tcp(_) = &address.0 {
        words.extend(tls_words(tls));
    }
    words.join(" ")
}

fn tls_words(tls: &TlsOptions) -> Vec<String> {
    let mut words = Vec::new();
    if tls.tls {
        words.push("--tls".to_owned());
    }
    let files = [("--tlsCAFile", &tls.ca), ("--tlsCertificateKeyFile", &tls.certificate_key)];
    for (flag, file) in files.into_iter().filter_map(|(flag, file)| Some((flag, file.as_ref()?))) {
        words.extend([flag.to_owned(), quoted(&file.to_string_lossy())]);
    }
    if let Some(Password::File(file)) = &tls.password {
        words.extend(["--tlsCertificateKeyFilePasswordFile".to_owned(), quoted(&file.to_string_lossy())]);
    }
    words
}

/// Quotes the word for a shell if necessary.
pub fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::{ctl_command, quoted};
    use crate::admin_client::options::TlsOptions;
    use crate::tls::Password;

    #[test]
    fn a_printed_command_reaches_the_admin_port() {
        let tls = TlsOptions {
            tls: true,
            ca: Some("/a b/ca.pem".into()),
            certificate_key: Some("ops.pem".into()),
            password: Some(Password::File("ops.password".into())),
        };
        let words = |address: &str| ctl_command(&address.parse().unwrap(), &tls);
        let expected = "tlsramp ctl --admin db1:28017 --tls --tlsCAFile '/a b/ca.pem' --tlsCertificateKeyFile ops.pem \
             --tlsCertificateKeyFilePasswordFile ops.password";
        assert_eq!(words("db1:28017"), expected);
        assert_eq!(words("unix:/run/a b.sock"), "tlsramp ctl --admin 'unix:/run/a b.sock'");
        // A client chooses its name, which must not become a command of the operator who pastes it.
        assert_eq!(quoted("1.1.1.1/x'; rm -rf ~ #/d"), r"'1.1.1.1/x'\''; rm -rf ~ #/d'");
        assert_eq!(quoted(""), "''");
    }
}

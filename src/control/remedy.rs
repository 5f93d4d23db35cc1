//! Texts about a link that fails because of the server's name: the reason, and the option that corrects it.
//!
//! A name in a certificate is only suggested, never used: an operator has to decide whether the server is the right
//! one.

use std::net::SocketAddr;

use rustls::pki_types::ServerName;

use crate::net::HostPort;
use crate::tls::PeerFault;

/// The original destination of redirected connections, and the names that are accepted for the server; its certificate
/// must contain one of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RedirectedServer<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) names: &'a [ServerName<'static>],
}

impl RedirectedServer<'_> {
    /// The reason why the link cannot be made: the names, if they do not match; else the error's own text.
    pub(crate) fn reason(self, text: &str, fault: &PeerFault) -> String {
        let PeerFault::WrongName(presented) = fault else { return text.to_owned() };
        let ip = self.address.ip();
        let known = self.names.iter().filter(|name| matches!(name, ServerName::DnsName(_)));
        let known: Vec<_> = known.map(|name| name.to_str()).collect();
        let presented = if presented.is_empty() { "no DNS name".to_owned() } else { presented.join(", ") };
        if known.is_empty() {
            format!("its certificate is for {presented}, but no name of {ip} is known")
        } else {
            format!("its certificate is for {presented}, but the known names of {ip} are {}", known.join(", "))
        }
    }

    /// The option that names the server so that its certificate verifies, if the certificate has a usable name.
    pub(crate) fn suggestion(self, fault: &PeerFault) -> Option<String> {
        let PeerFault::WrongName(presented) = fault else { return None };
        let (ip, port) = (self.address.ip(), self.address.port());
        // A wildcard does not name one host, and `localhost` names every host.
        let usable = presented.iter().filter(|name| **name != "localhost" || ip.is_loopback());
        let host = usable.filter_map(|name| format!("{name}:{port}").parse::<HostPort>().ok()).next()?;
        Some(format!("--member {host}={ip}"))
    }

    /// The remedy, if the certificate has none of the accepted names; `None` for any other fault.
    pub(crate) fn remedy(self, fault: &PeerFault) -> Option<String> {
        let PeerFault::WrongName(presented) = fault else { return None };
        let Some(suggestion) = self.suggestion(fault) else {
            let (ip, port) = (self.address.ip(), self.address.port());
            return Some(format!(
                "if tlsramp should reach this server, issue a certificate for its name, or give a name of its \
                 certificate: --member NAME:{port}={ip}"
            ));
        };
        let more = if presented.len() > 1 { " (or another name in its certificate)" } else { "" };
        Some(format!("if this is the intended server, name it: start with {suggestion}{more}"))
    }
}

/// The remedy for a server behind a tlsramp in mode `disabled`.
pub(crate) const STEP_UP: &str = "change the mode of that tlsramp to allowSSL first";

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;

    use super::RedirectedServer;
    use crate::tls::PeerFault;

    /// Address, known names, names of the certificate; reason, suggestion.
    type Row = (&'static str, &'static [&'static str], &'static [&'static str], &'static str, Option<&'static str>);

    #[test]
    fn names_are_suggested_and_said() {
        let rows: &[Row] = &[
            (
                "10.0.0.7:27017",
                &["10.0.0.7"],
                &["db7.example.net"],
                "its certificate is for db7.example.net, but no name of 10.0.0.7 is known",
                Some("--member db7.example.net:27017=10.0.0.7"),
            ),
            (
                "10.0.0.7:27017",
                &["db6.example.net", "db6"],
                &["*.example.net", "localhost", "db7", "db7.example.net"],
                "its certificate is for *.example.net, localhost, db7, db7.example.net, but the known names of 10.0.0.7 \
                 are db6.example.net, db6",
                Some("--member db7:27017=10.0.0.7"),
            ),
            (
                "[2001:db8::7]:27018",
                &["2001:db8::7"],
                &["db7"],
                "its certificate is for db7, but no name of 2001:db8::7 is known",
                Some("--member db7:27018=2001:db8::7"),
            ),
            (
                "10.0.0.7:1",
                &["10.0.0.7"],
                &["*.example.net", "localhost", "a b\\n"],
                "its certificate is for *.example.net, localhost, a b\\n, but no name of 10.0.0.7 is known",
                None,
            ),
            (
                "10.0.0.7:1",
                &["10.0.0.7"],
                &[],
                "its certificate is for no DNS name, but no name of 10.0.0.7 is known",
                None,
            ),
            (
                "127.0.0.1:1",
                &["127.0.0.1"],
                &["localhost"],
                "its certificate is for localhost, but no name of 127.0.0.1 is known",
                Some("--member localhost:1=127.0.0.1"),
            ),
        ];
        for (address, names, presented, reason, suggestion) in rows {
            let names: Vec<_> = names.iter().map(|name| ServerName::try_from(*name).unwrap()).collect();
            let peer = RedirectedServer { address: address.parse().unwrap(), names: &names };
            let fault = PeerFault::WrongName(presented.iter().map(|&name| name.to_owned()).collect());
            assert_eq!(peer.reason("as the error has it", &fault), *reason);
            assert_eq!(peer.suggestion(&fault).as_deref(), *suggestion, "{reason}");
            let remedy = peer.remedy(&fault).unwrap();
            assert!(remedy.contains("--member ") && remedy.contains(suggestion.unwrap_or("NAME")), "{remedy}");
            // The suggested option must be one that the parser accepts.
            let option = suggestion.map(|suggestion| suggestion.trim_start_matches("--member ").to_owned());
            assert!(option.is_none_or(|option| {
                option.rsplit_once('=').is_some_and(|(name, _)| name.parse::<crate::net::HostPort>().is_ok())
            }));
        }
        let peer = RedirectedServer { address: "10.0.0.7:1".parse().unwrap(), names: &[] };
        assert_eq!(peer.reason("refused", &PeerFault::TlsDisabled), "refused");
        assert_eq!((peer.suggestion(&PeerFault::Other), peer.remedy(&PeerFault::Other)), (None, None));
    }
}

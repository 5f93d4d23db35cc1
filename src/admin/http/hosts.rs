//! Checks `Host`, `Origin` and `Sec-Fetch-Site`, against DNS rebinding and cross-site requests. A page of another site
//! can make a browser send requests here, to this host's address or to a name of the attacker's that resolves to it.
//! The page cannot make the browser send another `Host`.
//!
//! Over TLS, the names of the admin port's certificate are accepted too, since a browser has verified one of them. In
//! plaintext, no name was verified.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::header::{self, HeaderMap};
use hyper::http::uri::Authority;
use hyper::{Request, Uri};

use super::reply::HttpReply;
use crate::limits::HOST_NAMES_SHOWN;
use crate::text::printable;
use crate::tls::{Identity, Material};

/// The accepted host names and addresses.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    local: Option<SocketAddr>,
    /// The TLS material in force, if the request came over TLS.
    material: Option<Arc<Material>>,
}

impl Hosts {
    /// Accepts the bound addresses, this connection's local address, `localhost` and its addresses, and the names of
    /// `--adminHost`.
    pub(super) fn new(bound: &[IpAddr], local: Option<SocketAddr>, names: &[String]) -> Hosts {
        let mut addresses = vec![IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        addresses.extend(bound.iter().filter(|address| !address.is_unspecified()));
        // An address is safe to accept. A name is not: anyone can make a name resolve to this host.
        addresses.extend(local.map(|local| local.ip().to_canonical()));
        let names = std::iter::once("localhost".to_owned()).chain(names.iter().map(|name| normal(name))).collect();
        Hosts { names, addresses, local, material: None }
    }

    /// Accepts the names of the certificate in force too, for a request over TLS.
    pub(super) fn by_tls(self, material: Arc<Material>) -> Hosts {
        Hosts { material: Some(material), ..self }
    }

    /// Checks that a request has exactly one `Host` header, with an accepted name. Any port is accepted, since the
    /// client may have come through a tunnel.
    ///
    /// # Errors
    /// The reply that refuses the request.
    pub(super) fn check<B>(&self, request: &Request<B>) -> Result<(), HttpReply> {
        let host = self.host(request.headers(), request.uri());
        host.map(drop).map_err(|what| HttpReply::forbidden(format!("{what}; {}", self.remedy())))
    }

    /// Checks by `Origin` that a change, or a request for events, does not come from a page of another site.
    ///
    /// # Errors
    /// The reply that refuses the request.
    pub(super) fn check_origin<B>(&self, request: &Request<B>) -> Result<(), HttpReply> {
        let origins: Vec<_> = request.headers().get_all(header::ORIGIN).iter().collect();
        let host = self.host(request.headers(), request.uri()).ok();
        for origin in origins {
            let origin = origin.to_str().unwrap_or_default();
            let secure = origin.strip_prefix("https://");
            let authority = secure.or_else(|| origin.strip_prefix("http://"));
            let authority = authority.and_then(|text| text.parse::<Authority>().ok());
            let is_ours = authority.as_ref().is_some_and(|authority| {
                let port = authority.port_u16();
                let same_port = port == host.as_ref().and_then(Authority::port_u16)
                    || port.is_some() && port == self.local.map(|local| local.port());
                (self.is_ours(authority) || secure.is_some() && self.is_certified(authority)) && same_port
            });
            if !is_ours {
                let origin = printable(origin);
                return Err(HttpReply::forbidden(format!(
                    "changes are not accepted from pages of '{origin}'; send the request without an Origin header, for \
                     example with curl"
                )));
            }
        }
        Ok(())
    }

    /// Checks that a browser does not make this request for a page of another site. Such a page could read no reply,
    /// but it could hold connections and cause servers to be probed. A link to here may be followed.
    ///
    /// # Errors
    /// The reply that refuses the request.
    pub(super) fn check_site<B>(request: &Request<B>) -> Result<(), HttpReply> {
        let value = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        match value("sec-fetch-site") {
            None | Some("same-origin" | "none") => Ok(()),
            Some(_) if value("sec-fetch-dest") == Some("document") => Ok(()),
            Some(_) => Err(HttpReply::forbidden(
                "requests are not accepted from pages of other sites; open the address in the browser, or use curl",
            )),
        }
    }

    fn host(&self, headers: &HeaderMap, uri: &Uri) -> Result<Authority, String> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err("the request must have exactly one Host header".to_owned());
        };
        let text = host.to_str().unwrap_or_default();
        let foreign = |text: &str| format!("the Host header '{}' does not name this admin port", printable(text));
        let host = text.parse::<Authority>().map_err(|_| foreign(text))?;
        // A request target in absolute form names a host too.
        for authority in [Some(&host), uri.authority()].into_iter().flatten() {
            if !self.is_ours(authority) && !self.is_certified(authority) {
                return Err(foreign(authority.as_str()));
            }
        }
        Ok(host)
    }

    /// Whether the request came over TLS and the certificate is valid for this host name.
    fn is_certified(&self, authority: &Authority) -> bool {
        !authority.as_str().contains('@') && self.identity().is_some_and(|identity| identity.is_for(authority.host()))
    }

    fn identity(&self) -> Option<&Identity> {
        self.material.as_ref()?.serving.as_ref()
    }

    /// The remedy for a name that was refused.
    fn remedy(&self) -> String {
        let Some(identity) = self.identity() else { return REMEDY.to_owned() };
        let names = identity.names();
        let mut shown: Vec<_> = names.iter().take(HOST_NAMES_SHOWN).map(|name| printable(name)).collect();
        if names.len() > shown.len() {
            shown.push("...".to_owned());
        }
        format!("{REMEDY}; over TLS, the names of the certificate are accepted too: {}", shown.join(", "))
    }

    fn is_ours(&self, authority: &Authority) -> bool {
        if authority.as_str().contains('@') {
            return false;
        }
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(address) => self.addresses.contains(&address.to_canonical()),
            Err(_) => self.names.contains(&normal(host)),
        }
    }
}

fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

const REMEDY: &str = "use an address on which the admin port listens, or localhost, or add the name with --adminHost";

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::Hosts;

    fn hosts() -> Hosts {
        let bound = ["10.0.0.5".parse().unwrap(), "0.0.0.0".parse().unwrap()];
        Hosts::new(&bound, Some("10.0.0.7:28017".parse().unwrap()), &["Admin.Example.NET".to_owned()])
    }

    #[test]
    fn only_our_names_are_ours() {
        for (host, is_ours) in [
            ("localhost", true),
            ("LOCALHOST:28017", true),
            ("localhost.", true),
            ("localhost:9", true),
            ("127.0.0.1:28017", true),
            ("[::1]:28017", true),
            ("[::ffff:127.0.0.1]", true),
            ("10.0.0.5", true),
            ("10.0.0.7:28017", true),
            ("admin.example.net", true),
            ("0.0.0.0:28017", false),
            ("10.0.0.6", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("evil.example:28017", false),
            ("localhost@evil.example", false),
            ("user@localhost", false),
            ("127.0.0.1.evil.example", false),
            ("2130706433", false),
            ("", false),
        ] {
            let request = Request::builder().uri("/status").header("Host", host).body(()).unwrap();
            assert_eq!(hosts().check(&request).is_ok(), is_ours, "{host}");
        }
        let without = Request::builder().uri("/status").body(()).unwrap();
        assert!(hosts().check(&without).is_err());
        let twice = Request::builder().uri("/").header("Host", "localhost").header("Host", "localhost");
        assert!(hosts().check(&twice.body(()).unwrap()).is_err());
        let absolute = Request::builder().uri("http://evil.example/status").header("Host", "localhost");
        assert!(hosts().check(&absolute.body(()).unwrap()).is_err());
    }

    /// The accepted hosts of a request over TLS to a proxy whose certificate has these names.
    fn certified(names: &[&str]) -> Hosts {
        let ca = certs_gen::Authority::new("CA").unwrap();
        let issued = ca.issue(&certs_gen::Request::server("a").names(names.iter().copied())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.pem");
        std::fs::write(&file, issued.pem()).unwrap();
        let files = crate::tls::TlsFiles { certificate_key: Some(file), ..crate::tls::TlsFiles::default() };
        hosts().by_tls(crate::tls::Material::load(&files).unwrap().0.into())
    }

    #[test]
    fn by_tls_the_names_of_the_certificate_are_ours() {
        let hosts = certified(&["db1.example.net", "*.ops.example.net", "10.0.0.9"]);
        for (host, is_ours) in [
            ("db1.example.net", true),
            ("db1.example.net:28017", true),
            ("DB1.EXAMPLE.NET.:28017", true),
            ("a.ops.example.net:28017", true),
            ("10.0.0.9:28017", true),
            ("localhost:28017", true),
            ("admin.example.net", true),
            ("db2.example.net", false),
            ("a.b.ops.example.net", false),
            ("ops.example.net", false),
            ("10.0.0.8", false),
            ("db1.example.net@evil.example", false),
            ("evil.example@db1.example.net", false),
        ] {
            let request = |by: &str| Request::builder().uri("/status").header("Host", by).body(()).unwrap();
            assert_eq!(hosts.check(&request(host)).is_ok(), is_ours, "{host}");
        }
        let plaintext = Request::builder().uri("/status").header("Host", "db1.example.net").body(()).unwrap();
        assert!(self::hosts().check(&plaintext).is_err(), "in plaintext nobody has verified the name");
        for (origin, is_ours) in [
            ("https://db1.example.net:28017", true),
            ("http://db1.example.net:28017", false),
            ("https://db2.example.net:28017", false),
        ] {
            let request = Request::builder().uri("/mode").header("Host", "db1.example.net:28017");
            let request = request.header("Origin", origin).body(()).unwrap();
            assert_eq!(hosts.check_origin(&request).is_ok(), is_ours, "{origin}");
        }
    }

    #[test]
    fn pages_of_other_sites_may_only_link_here() {
        for (site, dest, is_taken) in [
            (None, None, true),
            (Some("none"), Some("document"), true),
            (Some("same-origin"), Some("empty"), true),
            (Some("cross-site"), Some("document"), true),
            (Some("same-site"), Some("document"), true),
            (Some("cross-site"), Some("empty"), false),
            (Some("same-site"), Some("image"), false),
            (Some("cross-site"), Some("iframe"), false),
            (Some("cross-site"), None, false),
            (Some("x"), None, false),
        ] {
            let headers = [("Sec-Fetch-Site", site), ("Sec-Fetch-Dest", dest)];
            let given = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
            let request = given.fold(Request::builder(), |request, (name, value)| request.header(name, value));
            assert_eq!(Hosts::check_site(&request.body(()).unwrap()).is_ok(), is_taken, "{site:?} {dest:?}");
        }
    }

    #[test]
    fn only_our_pages_may_change_things() {
        for (origin, is_ours) in [
            (None, true),
            (Some("http://localhost:28017"), true),
            (Some("https://127.0.0.1:28017"), true),
            (Some("http://localhost:9000"), true),
            (Some("http://localhost:3000"), false),
            (Some("http://localhost"), false),
            (Some("http://evil.example"), false),
            (Some("http://evil.example:28017"), false),
            (Some("null"), false),
            (Some("file://localhost"), false),
            (Some(""), false),
        ] {
            let mut request = Request::builder().uri("/mode").header("Host", "localhost:9000");
            if let Some(origin) = origin {
                request = request.header("Origin", origin);
            }
            assert_eq!(hosts().check_origin(&request.body(()).unwrap()).is_ok(), is_ours, "{origin:?}");
        }
    }
}

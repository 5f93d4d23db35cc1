//! Certificates of a set: one for each member with its own name, and the clients' certificates. Also certificates with
//! the same names by a CA that is not trusted.

use std::{fs, path::PathBuf};

use certs_gen::{Authority, Request, write_private};

use super::Host;
use crate::support::Scratch;

/// A folder of certificates.
#[derive(Debug)]
pub(crate) struct Identities {
    folder: Scratch,
    authority: Authority,
    stranger: Authority,
}

impl Identities {
    pub(crate) fn new(members: &[Host]) -> Self {
        let folder = Scratch::new("identities");
        let made = |name: &str| Authority::new(name).expect("an authority is made");
        let identities = Self { folder, authority: made("the cluster's CA"), stranger: made("the cluster's CA") };
        fs::write(identities.path("ca"), identities.authority.pem()).expect("and written");
        for member in members {
            let name = member.name();
            identities.issue(&format!("h{}", member.number), &Request::member(&name).organization("members"));
            identities.forge(&format!("forged-h{}", member.number), &Request::member(&name).organization("members"));
        }
        identities.issue("ops", &Request::client("ops").organization("operators"));
        identities.issue("client", &Request::client("writer").organization("applications"));
        identities.forge("stranger", &Request::client("writer").organization("applications"));
        identities
    }

    /// The path of the CA file.
    pub(crate) fn ca(&self) -> String {
        self.path("ca").to_string_lossy().into_owned()
    }

    /// The path of a file with a certificate and its key: `h1` and so on, `client`, `ops`; forged ones: `forged-h1` and
    /// so on, `stranger`.
    pub(crate) fn file(&self, name: &str) -> String {
        let path = self.path(name);
        assert!(path.is_file(), "there is no certificate {name}");
        path.to_string_lossy().into_owned()
    }

    /// Issues another certificate, signed by the cluster's CA.
    pub(crate) fn issue(&self, name: &str, request: &Request) -> String {
        self.write(name, &self.authority, request)
    }

    fn forge(&self, name: &str, request: &Request) -> String {
        self.write(name, &self.stranger, request)
    }

    fn write(&self, name: &str, authority: &Authority, request: &Request) -> String {
        let issued = authority.issue(request).expect("a certificate is issued");
        write_private(&self.path(name), &issued.pem()).expect("and written");
        self.file(name)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }
}

//! A set of certificates of one CA, including invalid ones on request. The CA's key is not kept, so a set can only be
//! renewed as a whole.

use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
};

use crate::{Authority, Error, Issued, Request, Validity, write_private, write_public};

/// The default names of server and member certificates, which are this machine's.
pub const DEFAULT_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Password of `encrypted.pem`.
pub const PASSWORD: &str = "tlsramp";

/// One file of a [`Set`].
#[derive(Debug, Clone)]
pub struct File {
    /// Its name within the folder.
    pub name: Cow<'static, str>,
    /// Its purpose, in one line.
    pub purpose: &'static str,
    text: String,
}

/// The files of one folder, in memory until written.
#[derive(Debug, Clone)]
pub struct Set {
    files: Vec<File>,
}

impl Set {
    /// Makes the whole set, for [`DEFAULT_NAMES`].
    ///
    /// # Errors
    ///
    /// As [`Set::new`].
    pub fn full() -> Result<Self, Error> {
        Self::new(&DEFAULT_NAMES.map(str::to_owned), true, &[], &[])
    }

    /// Makes `ca.pem`, `server.pem`, `member.pem` and `client.pem`; with `wrong`, also certificates that must be
    /// refused. Server and member certificates contain all of `names`; the first one (`localhost` if there is none) is
    /// their CN.
    ///
    /// Also makes `NAME.pem` for each of `members`, with that name only, and for each of `clients`, with that CN.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] for a name that is not allowed in a certificate, [`Error::File`] for a name that cannot be a
    /// file's, [`Error::Sign`] or [`Error::Encrypt`] if making a certificate fails.
    pub fn new(names: &[String], wrong: bool, members: &[String], clients: &[String]) -> Result<Self, Error> {
        let ca = Authority::new("tlsramp test CA")?;
        let common_name = names.first().map_or(DEFAULT_NAMES[0], String::as_str);
        // Members have the same organization as servers, by which mongod recognizes members.
        let member = Request::member(common_name).names(names).organization("tlsramp members");
        let server = Request::server(common_name).names(names).organization("tlsramp members");
        let client = Request::client("client").organization("tlsramp clients");

        let mut set = Self { files: Vec::new() };
        set.add("ca.pem", "the authority, for --tlsCAFile", ca.pem().to_owned());
        set.issue("server.pem", "a server: certificate and key", &ca, &server)?;
        set.issue("member.pem", "a cluster member: server and client in one", &ca, &member)?;
        set.issue("client.pem", "a client", &ca, &client)?;
        for name in members {
            let request = Request::member(name).organization("tlsramp members");
            set.issue_named(name, "a cluster member, by its own name", &ca, &request)?;
        }
        for name in clients {
            let request = Request::client(name).organization("tlsramp clients");
            set.issue_named(name, "a client, by its own name", &ca, &request)?;
        }
        if wrong {
            set.add_wrong(&ca, &member, common_name)?;
        }
        Ok(set)
    }

    /// The files, in the order in which they were made.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The files of the set that already exist in `dir`.
    pub fn existing(&self, dir: &Path) -> Vec<PathBuf> {
        self.files.iter().map(|file| dir.join(&*file.name)).filter(|path| path.symlink_metadata().is_ok()).collect()
    }

    /// Writes all files to `dir`, which is created if necessary. Existing files are replaced. Files with a private key
    /// have mode 0600.
    ///
    /// # Errors
    ///
    /// [`Error::Write`] for the first file that cannot be written. Files before it were written.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Write { path, source }
        };
        fs::create_dir_all(dir).map_err(failed(dir))?;
        for file in &self.files {
            let path = dir.join(&*file.name);
            let write = if file.text.contains("PRIVATE KEY") { write_private } else { write_public };
            write(&path, &file.text).map_err(failed(&path))?;
        }
        Ok(())
    }

    /// All invalid certificates except `other-ca-client.pem` are members', so that they can be used both as server and
    /// as client certificates.
    fn add_wrong(&mut self, ca: &Authority, member: &Request, common_name: &str) -> Result<(), Error> {
        let expired = member.clone().valid(Validity::Expired);
        let not_yet = member.clone().valid(Validity::NotYet);
        let elsewhere = member.clone().names(["wrong-name.invalid"]);
        let no_san = Request::member(common_name).without_names().organization("tlsramp members");
        self.issue("expired.pem", "wrong: expired yesterday", ca, &expired)?;
        self.issue("not-yet-valid.pem", "wrong: valid from tomorrow", ca, &not_yet)?;
        self.issue("wrong-name.pem", "wrong: for wrong-name.invalid", ca, &elsewhere)?;
        self.issue("no-san.pem", "wrong: the name in the CN alone, no SAN", ca, &no_san)?;

        let other = Authority::new("some other CA")?;
        self.add("other-ca.pem", "an authority nobody trusts", other.pem().to_owned());
        let stranger = Request::client("client").organization("tlsramp clients");
        self.issue("other-ca-client.pem", "wrong: a client of the other authority", &other, &stranger)?;

        let revoked = self.issue("revoked.pem", "wrong: revoked by crl.pem", ca, member)?;
        self.add("crl.pem", "revokes revoked.pem, for --tlsCRLFile", ca.revoke(&[&revoked], Validity::Now)?);
        self.add("crl-empty.pem", "a CRL that revokes nothing", ca.revoke(&[], Validity::Now)?);
        self.add("crl-expired.pem", "wrong: a CRL past its nextUpdate", ca.revoke(&[], Validity::Expired)?);

        let encrypted = ca.issue(member)?.encrypted_pem(PASSWORD)?;
        self.add("encrypted.pem", "a member, its key encrypted; password: tlsramp", encrypted);
        Ok(())
    }

    /// Issues a certificate for `name` and adds it in a file of that name.
    fn issue_named(
        &mut self,
        name: &str,
        purpose: &'static str,
        ca: &Authority,
        request: &Request,
    ) -> Result<Issued, Error> {
        let file = format!("{name}.pem");
        let plain = name.chars().all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char));
        let hidden = name.is_empty() || name.starts_with('.');
        if !plain || hidden || self.files.iter().any(|known| known.name == file) {
            return Err(Error::File(name.to_owned()));
        }
        self.issue(file, purpose, ca, request)
    }

    fn issue(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        purpose: &'static str,
        ca: &Authority,
        request: &Request,
    ) -> Result<Issued, Error> {
        let issued = ca.issue(request)?;
        self.add(name, purpose, issued.pem());
        Ok(issued)
    }

    fn add(&mut self, name: impl Into<Cow<'static, str>>, purpose: &'static str, text: String) {
        self.files.push(File { name: name.into(), purpose, text });
    }
}

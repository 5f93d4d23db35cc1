//! Parses the offered versions and the server name (SNI) of a ClientHello (RFC 8446, section 4.1.2).
//!
//! Parsing is best effort on the bytes received so far, for the record of a connection that is refused or passed
//! through; fields that cannot be parsed are left out. One decision depends on the result: a ClientHello whose
//! `legacy_version` is below TLS 1.2 and whose `supported_versions` lists no version from TLS 1.2 up is refused as too
//! old. (The TLS stack would refuse it too, but report missing extensions.)

use std::fmt;

/// The parsed parts of a ClientHello.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The `legacy_version` field: the highest version that the client supports, up to TLS 1.2 (later versions are in
    /// an extension).
    pub client_version: Option<u16>,
    /// The offered protocol versions.
    pub versions: Versions,
    /// The requested server name (SNI) as the client sent it; not escaped for logs.
    pub sni: Option<String>,
}

/// A set of protocol versions, SSL 3.0 to TLS 1.3.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Versions(u8);

impl ClientHello {
    /// Returns whether the client supports no version from TLS 1.2 up. The `supported_versions` extension takes
    /// precedence over `legacy_version` (RFC 8446, section 4.2.1).
    pub fn is_too_old(&self) -> bool {
        self.client_version.is_some_and(|version| version < TLS_1_2) && !self.versions.has_from(TLS_1_2)
    }

    /// Parses the received part of a ClientHello, which may be split over any number of records.
    pub fn read(bytes: &[u8]) -> ClientHello {
        let mut hello = ClientHello::default();
        let _ = hello.fill(&handshake_bytes(bytes));
        hello
    }

    /// Stops at the first missing or invalid byte; the fields parsed before it are kept.
    fn fill(&mut self, handshake: &[u8]) -> Option<()> {
        let mut hello = ByteReader(handshake);
        let [CLIENT_HELLO, _, _, _] = hello.take(4)? else { return None };
        let version = hello.u16()?;
        self.client_version = Some(version);
        self.versions.add(version);
        hello.take(RANDOM_BYTES)?;
        hello.short_vector()?;
        hello.vector()?;
        hello.short_vector()?;
        let length = usize::from(hello.u16()?);
        // Bytes after the last extension are not extensions, even if they look like one.
        let mut extensions = ByteReader(hello.up_to(length));
        loop {
            let kind = extensions.u16()?;
            let length = usize::from(extensions.u16()?);
            let body = ByteReader(extensions.take(length)?);
            match kind {
                SERVER_NAME => self.sni = server_name(body),
                SUPPORTED_VERSIONS => self.supported_versions(body)?,
                _ => {}
            }
        }
    }

    fn supported_versions(&mut self, mut body: ByteReader<'_>) -> Option<()> {
        self.versions = Versions::default();
        let mut listed = ByteReader(body.short_vector()?);
        while let Some(version) = listed.u16() {
            self.versions.add(version);
        }
        Some(())
    }
}

impl Versions {
    fn has_from(self, lowest: u16) -> bool {
        NAMES.iter().enumerate().any(|(bit, (code, _))| *code >= lowest && self.0 & (1 << bit) != 0)
    }

    fn add(&mut self, version: u16) {
        if let Some(bit) = NAMES.iter().position(|(code, _)| *code == version) {
            self.0 |= 1 << bit;
        }
    }
}

/// Formats the set as `TLS1.0, TLS1.1`; as `unknown` if the set is empty because the ClientHello could not be parsed.
impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMES.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0);
        let names: Vec<_> = named.map(|(_, (_, name))| *name).collect();
        f.write_str(if names.is_empty() { "unknown" } else { "" })?;
        f.write_str(&names.join(", "))
    }
}

/// Joins the payloads of consecutive handshake records.
fn handshake_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(bytes.len());
    let mut records = ByteReader(bytes);
    while let Some([HANDSHAKE, _, _, high, low]) = records.take(5) {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        joined.extend_from_slice(records.up_to(length));
    }
    joined
}

fn server_name(mut body: ByteReader<'_>) -> Option<String> {
    let mut list = ByteReader(body.vector()?);
    let [HOST_NAME] = list.take(1)? else { return None };
    std::str::from_utf8(list.vector()?).ok().map(str::to_owned)
}

/// A cursor that returns `None` past the end.
struct ByteReader<'a>(&'a [u8]);

impl<'a> ByteReader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn up_to(&mut self, count: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(count.min(self.0.len()));
        self.0 = tail;
        head
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// Reads a vector with a two-byte length.
    fn vector(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    /// Reads a vector with a one-byte length.
    fn short_vector(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const TLS_1_2: u16 = 0x0303;
const RANDOM_BYTES: usize = 32;
const SERVER_NAME: u16 = 0;
const SUPPORTED_VERSIONS: u16 = 43;
const HOST_NAME: u8 = 0;
const NAMES: [(u16, &str); 5] =
    [(0x0300, "SSL3.0"), (0x0301, "TLS1.0"), (0x0302, "TLS1.1"), (0x0303, "TLS1.2"), (0x0304, "TLS1.3")];

#[cfg(test)]
mod tests {
    use super::ClientHello;
    use proptest::prelude::proptest;

    /// Returns a TLS 1.3 ClientHello for `db1`, in records of `fragment` bytes.
    fn hello(fragment: usize) -> Vec<u8> {
        let mut extensions = vec![0, 0, 0, 8, 0, 6, 0, 0, 3, b'd', b'b', b'1'];
        extensions.extend([0, 43, 0, 5, 4, 3, 4, 3, 3]);
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0, 0, u8::try_from(extensions.len()).unwrap()]);
        body.extend(extensions);
        let mut handshake = vec![1, 0, 0, u8::try_from(body.len()).unwrap()];
        handshake.extend(body);
        let record = |part: &[u8]| [&[22, 3, 1, 0, u8::try_from(part.len()).unwrap()], part].concat();
        handshake.chunks(fragment).flat_map(record).collect()
    }

    #[test]
    fn reads_versions_and_name_over_any_split() {
        for fragment in 1..=200 {
            let read = ClientHello::read(&hello(fragment));
            assert_eq!((read.versions.to_string(), read.sni.as_deref()), ("TLS1.2, TLS1.3".to_owned(), Some("db1")));
        }
    }

    #[test]
    fn supported_versions_outweigh_the_own_version() {
        let mut old = hello(200);
        assert_eq!(old.splice(9..11, [3, 1]).collect::<Vec<_>>(), [3, 3]);
        assert!(!ClientHello::read(&old).is_too_old());
        // Without extensions, the same ClientHello offers TLS 1.0 only.
        assert!(ClientHello::read(&old[..60]).is_too_old());
    }

    #[test]
    fn what_follows_the_extensions_is_none() {
        let mut longer = hello(200);
        let name = [0, 0, 0, 8, 0, 6, 0, 0, 3, b'd', b'b', b'2'];
        longer.extend(name);
        longer[4] += u8::try_from(name.len()).unwrap();
        assert_eq!(ClientHello::read(&longer).sni.as_deref(), Some("db1"));
    }

    #[test]
    fn reads_what_is_there() {
        let whole = hello(200);
        for end in 0..whole.len() {
            let read = ClientHello::read(&whole[..end]);
            assert!(read.sni.is_none() || end > 50);
        }
        assert_eq!(ClientHello::read(b"\x16\x03\x01\x00\x05\x02").versions.to_string(), "unknown");
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>, cut in 0_usize..120) {
            let _ = ClientHello::read(&bytes);
            let mut broken = hello(30);
            broken.splice(cut.min(broken.len()).., bytes);
            let _ = ClientHello::read(&broken);
        }
    }
}

//! Client metadata: the `client` document of the first `hello` on a connection. A client with missing or malformed
//! metadata is served too.

use bson::raw::{RawBsonRef, RawDocument};

use super::Request;
use crate::limits::CLIENT_TEXT_BYTES;

/// The metadata that a client sends. All texts are bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ClientMetadata {
    /// The application name that the client sends (`appName`).
    pub application: Option<String>,
    /// The driver's name.
    pub driver: Option<String>,
    /// The driver's version.
    pub driver_version: Option<String>,
    /// Whether the client identifies itself as a mongod or a mongos.
    pub internal: bool,
}

impl ClientMetadata {
    /// Parses the first message of a connection; `None` if it is neither `hello` nor a server's `_isSelf`.
    pub fn of(message: &[u8]) -> Option<ClientMetadata> {
        let request = Request::parse(message).ok()?;
        // A mongod that starts or gets a new configuration sends `_isSelf` to every member, without metadata.
        if request.name == "_isSelf" {
            return Some(ClientMetadata { internal: true, ..ClientMetadata::default() });
        }
        let hello = ["hello", "isMaster", "ismaster"].contains(&request.name.as_str());
        hello.then(|| ClientMetadata::read(&request.command))
    }

    fn read(command: &RawDocument) -> ClientMetadata {
        // These fields are sent by servers only; `hostInfo` by older ones.
        let internal = ["internalClient", "hostInfo"].iter().any(|key| matches!(command.get(key), Ok(Some(_))));
        let Ok(Some(RawBsonRef::Document(client))) = command.get("client") else {
            return ClientMetadata { internal, ..ClientMetadata::default() };
        };
        let driver = document(client, "driver");
        ClientMetadata {
            application: document(client, "application").and_then(|application| text(application, "name")),
            driver: driver.and_then(|driver| text(driver, "name")),
            driver_version: driver.and_then(|driver| text(driver, "version")),
            internal,
        }
    }
}

fn document<'a>(outer: &'a RawDocument, key: &str) -> Option<&'a RawDocument> {
    match outer.get(key) {
        Ok(Some(RawBsonRef::Document(inner))) => Some(inner),
        _ => None,
    }
}

fn text(document: &RawDocument, key: &str) -> Option<String> {
    bounded(document.get_str(key).ok()?)
}

/// A text from a client, cut to [`CLIENT_TEXT_BYTES`]; `None` if it is empty.
pub fn bounded(text: &str) -> Option<String> {
    let end = (0..=text.len().min(CLIENT_TEXT_BYTES)).rev().find(|end| text.is_char_boundary(*end))?;
    (end > 0).then(|| text[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::ClientMetadata;
    use crate::mongo::request::{msg_command, query_command};
    use bson::{RawDocumentBuf, rawdoc};

    fn hello(name: &str, more: RawDocumentBuf) -> RawDocumentBuf {
        let mut command = RawDocumentBuf::new();
        command.append(bson::raw::CString::try_from(name).unwrap(), 1);
        for element in &more {
            let (key, value) = element.unwrap();
            command.append(key, value);
        }
        command
    }

    fn pymongo() -> RawDocumentBuf {
        rawdoc! { "helloOk": true, "client": {
            "driver": { "name": "PyMongo", "version": "4.20.0" },
            "os": { "type": "Linux" },
            "application": { "name": "reports" },
        } }
    }

    #[test]
    fn clients_by_both_operations_and_all_names() {
        let expected = ClientMetadata {
            application: Some("reports".into()),
            driver: Some("PyMongo".into()),
            driver_version: Some("4.20.0".into()),
            internal: false,
        };
        for name in ["hello", "isMaster", "ismaster"] {
            let command = hello(name, pymongo());
            assert_eq!(ClientMetadata::of(&msg_command(1, "admin", &command)), Some(expected.clone()));
            assert_eq!(ClientMetadata::of(&query_command(1, "admin", &command)), Some(expected.clone()));
            let wrapped = rawdoc! { "$query": command, "$readPreference": { "mode": "primary" } };
            assert_eq!(ClientMetadata::of(&query_command(1, "admin", &wrapped)), Some(expected.clone()));
        }
        assert_eq!(ClientMetadata::of(&msg_command(1, "admin", &hello("ping", pymongo()))), None);
        assert_eq!(ClientMetadata::of(b"GET / HTTP/1.1\r\n\r\n"), None);
    }

    #[test]
    fn servers_and_the_nameless() {
        let internal = hello("hello", rawdoc! { "internalClient": { "minWireVersion": 0, "maxWireVersion": 17 } });
        assert!(ClientMetadata::of(&msg_command(1, "admin", &internal)).unwrap().internal);
        let old = hello("isMaster", rawdoc! { "hostInfo": "a:27017" });
        assert!(ClientMetadata::of(&query_command(1, "admin", &old)).unwrap().internal);
        let itself = rawdoc! { "_isSelf": 1 };
        assert_eq!(
            ClientMetadata::of(&msg_command(1, "admin", &itself)),
            Some(ClientMetadata { internal: true, ..ClientMetadata::default() })
        );
        // The legacy shell reports the driver name that servers use, but is not a server.
        let shell = rawdoc! { "client": { "driver": { "name": "MongoDB Internal Client" } } };
        assert!(!ClientMetadata::of(&msg_command(1, "admin", &hello("isMaster", shell))).unwrap().internal);
        let odd = rawdoc! { "client": { "driver": "x", "application": { "name": 5 } } };
        assert_eq!(ClientMetadata::of(&msg_command(1, "admin", &hello("hello", odd))), Some(ClientMetadata::default()));
        let long = rawdoc! { "client": { "application": { "name": "é".repeat(200) } } };
        let cut = ClientMetadata::of(&msg_command(1, "admin", &hello("hello", long))).unwrap().application.unwrap();
        assert_eq!(cut, "é".repeat(64));
    }

    #[test]
    fn no_byte_makes_it_panic() {
        let message = msg_command(1, "admin", &hello("hello", pymongo()));
        for index in 0..message.len() {
            for value in 0..=255 {
                let mut changed = message.clone();
                changed[index] = value;
                let _ = ClientMetadata::of(&changed);
            }
        }
    }
}

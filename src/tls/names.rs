//! Names of protocol versions and cipher suites in logs and replies.

use rustls::{CipherSuite, ProtocolVersion};

/// `TLS1.2` or `TLS1.3`; `None` for other versions, which are never negotiated.
pub fn version_name(version: ProtocolVersion) -> Option<&'static str> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
    match version {
        ProtocolVersion::TLSv1_2 => Some("TLS1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLS1.3"),
        _ => None,
    }
}

/// The IANA name of a cipher suite.
pub fn suite_name(suite: CipherSuite) -> String {
    suite.as_str().map_or_else(|| format!("{suite:?}"), |name| name.replacen("TLS13_", "TLS_", 1))
}

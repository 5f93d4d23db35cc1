//! The name that a client asks for. The stack tells it to whoever chooses the certificate, and to nobody else where a
//! session has no buffers of its own; so it is noted there, and fetched as soon as the step of the handshake is over.

use std::cell::Cell;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// Shows the one certificate, and notes the name that was asked for.
#[derive(Debug)]
pub(super) struct Listening(pub(super) SingleCertAndKey);

impl ResolvesServerCert for Listening {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        ASKED.set(hello.server_name().map(str::to_owned));
        self.0.resolve(hello)
    }
}

/// The name heard by this thread since this was last asked.
pub(super) fn asked() -> Option<String> {
    ASKED.take()
}

thread_local! {
    static ASKED: Cell<Option<String>> = const { Cell::new(None) };
}

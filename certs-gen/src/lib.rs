//! Certificates for tlsramp's tests, its demo and people trying it out: the right ones, and each of the wrong ones.
//!
//! | file | what a reader would look for there |
//! |---|---|
//! | [`request`](Request) | what a certificate should say: names, usages, dates |
//! | [`authority`](Authority) | a CA: issues certificates, revokes them |
//! | [`issued`](Issued) | a certificate and its key, as PEM in the shapes mongod reads |
//! | [`set`](Set) | the whole folder that the `certs-gen` command writes |
//! | [`file`](write_private) | files that are never world-readable for an instant |
//!
//! ```
//! # fn main() -> Result<(), certs_gen::Error> {
//! use certs_gen::{Authority, Request, Validity};
//!
//! let ca = Authority::new("test CA")?;
//! let server = ca.issue(&Request::server("localhost").names(["localhost", "127.0.0.1"]))?;
//! let late = ca.issue(&Request::client("late").valid(Validity::Expired))?;
//! let crl = ca.revoke(&[&server], Validity::Now)?;
//! # let _ = (ca.pem(), server.pem(), late.pem(), crl);
//! # Ok(())
//! # }
//! ```
//!
//! It refuses to be a CA for production: an authority's key lives in memory only and is gone with the process, so
//! nothing it signed can be renewed, and there is no door by which its key could be written down. All keys are
//! ECDSA P-256: made in under a millisecond, where RSA takes a test a second.

mod authority;
mod error;
mod file;
mod issued;
mod request;
mod set;

pub use authority::Authority;
pub use error::Error;
pub use file::{write_private, write_public};
pub use issued::Issued;
pub use request::{Request, Validity};
pub use set::{DEFAULT_NAMES, File, PASSWORD, Set};

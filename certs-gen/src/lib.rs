//! Makes certificates for tlsramp's tests, its demo and for trying it out: valid ones, and every kind of invalid one.
//!
//! | module | contents |
//! |---|---|
//! | [`request`](Request) | the contents of a certificate: names, usages, dates |
//! | [`authority`](Authority) | a CA, which issues and revokes certificates |
//! | [`issued`](Issued) | a certificate and its key, as PEM in the forms that mongod reads |
//! | [`set`](Set) | the files that the `certs-gen` command writes |
//! | [`file`](write_private) | private files, never readable by others |
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
//! Not for production: a CA's key exists in memory only and is lost with the process, so its certificates cannot be
//! renewed. All keys are ECDSA P-256, which are generated in less than a millisecond, whereas RSA takes a second.

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

//! Shared by the benches that use real sockets: processes that end with the bench, ports, certificates, and `tlsramp
//! load`.
//!
//! | file | contents |
//! |---|---|
//! | [`running`] | a process under test, with its children |
//! | [`ports`] | free ports |
//! | [`certs`] | one server certificate in the formats that the peers need |
//! | [`load`] | one measurement with `tlsramp load`, and its result |
//! | [`tlsramp`] | the proxy, and the server of `tlsramp load --serve` |
//! | [`machine`] | processor, kernel, descriptor limit |
//! | `parts` `process` `require` `scratch` `until` | from the tests: real parts, commands with a time limit, temporary folders, waits |

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each bench takes what it needs, and the tests' files have more"
)]

pub(crate) mod certs;
pub(crate) mod load;
pub(crate) mod machine;
#[path = "../../tests/it/support/parts.rs"]
pub(crate) mod parts;
pub(crate) mod ports;
#[path = "../../tests/it/support/process.rs"]
pub(crate) mod process;
#[path = "../../tests/it/support/require.rs"]
pub(crate) mod require;
pub(crate) mod running;
#[path = "../../tests/it/support/scratch.rs"]
pub(crate) mod scratch;
pub(crate) mod tlsramp;
#[path = "../../tests/it/support/until.rs"]
pub(crate) mod until;

pub(crate) use certs::Certs;
pub(crate) use load::{Load, Report};
pub(crate) use running::Running;
pub(crate) use scratch::Scratch;

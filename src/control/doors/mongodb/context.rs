//! What every command is given.

use crate::control::doors::access::Access;
use crate::control::doors::visit::Visit;
use crate::mongo::Request;

/// What a command may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) visit: &'a Visit,
    pub(super) request: &'a Request,
    /// What the visitor may do now.
    pub(super) access: Access,
}

//! What every command is given.

use crate::admin::access::Access;
use crate::admin::connection::AdminConnection;
use crate::mongo::Request;

/// What a command may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) connection: &'a AdminConnection,
    pub(super) request: &'a Request,
    /// What the visitor may do now.
    pub(super) access: Access,
}

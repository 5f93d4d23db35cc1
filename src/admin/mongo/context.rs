//! The arguments of every command.

use crate::admin::access::Access;
use crate::admin::connection::AdminConnection;
use crate::mongo::Request;

#[derive(Debug, Clone, Copy)]
pub(super) struct CommandContext<'a> {
    pub(super) connection: &'a AdminConnection,
    pub(super) request: &'a Request,
    /// The client's access at this request.
    pub(super) access: Access,
}

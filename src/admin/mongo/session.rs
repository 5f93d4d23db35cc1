//! A MongoDB client's connection: its present access, and the reply to each request.

use tokio::io::{AsyncRead, AsyncWrite};

use super::commands::{self, not_authorized_text};
use super::context::CommandContext;
use super::errors::{INVALID_BSON, NO_DATABASE, PROTOCOL_ERROR, TLS_NEEDED, UNAUTHORIZED, UNSUPPORTED_OP_QUERY};
use crate::admin::access::{Access, NEEDS_TLS};
use crate::admin::connection::AdminConnection;
use crate::limits::{ADMIN_ANSWER, ADMIN_IDLE, ADMIN_MESSAGE_BYTES, ADMIN_REQUEST};
use crate::mongo::server::{
    BadMessage, CommandService, ConnectionEnd, ServerLimits, ServiceReply, refuse, serve as serve_commands,
};
use crate::mongo::{CommandFailure, Header, Malformed, OpCode, Request};
use crate::net::linger;

const LIMITS: ServerLimits =
    ServerLimits { message_bytes: ADMIN_MESSAGE_BYTES, idle: ADMIN_IDLE, request: ADMIN_REQUEST, reply: ADMIN_ANSWER };

/// Serves a client over MongoDB's wire protocol.
pub(in crate::admin) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, connection: &AdminConnection) {
    let access = connection.access();
    if access == Access::NeedsTls {
        refuse(&mut stream, &[], TLS_NEEDED, NEEDS_TLS, ADMIN_REQUEST).await;
        return linger(stream).await;
    }
    match serve_commands(&mut stream, &LIMITS, &mut AdminCommands { connection, access }).await {
        Ok(ConnectionEnd::Closed) => {}
        Ok(ConnectionEnd::Refused) => linger(stream).await,
        Ok(ConnectionEnd::Idle) => {
            tracing::debug!(who = %connection.who, "closed an idle admin connection");
        }
        Err(error) => {
            tracing::debug!(who = %connection.who, %error, "an admin connection ended within a message");
        }
    }
}

/// The commands of one connection.
struct AdminCommands<'a> {
    connection: &'a AdminConnection,
    /// The access at the last request.
    access: Access,
}

impl CommandService for AdminCommands<'_> {
    async fn answer(&mut self, request: Result<&Request, &BadMessage<'_>>) -> ServiceReply {
        let access = self.connection.access();
        let before = std::mem::replace(&mut self.access, access);
        if access == Access::NotValid || (access.is_refused() && !before.is_refused()) {
            let why = self.connection.refusal(access).unwrap_or_default();
            self.connection.refused(&why);
            return ServiceReply::Refuse(UNAUTHORIZED, not_authorized_text(&why));
        }
        match request {
            Ok(request) => self.run(request).await,
            Err(BadMessage::Malformed(message, malformed)) => refusal(message, malformed),
            Err(BadMessage::TooLong(header)) => {
                let (most, length) = (ADMIN_MESSAGE_BYTES, header.message_length);
                let text = format!("the admin port accepts messages of at most {most} bytes; this one has {length}");
                ServiceReply::Refuse(PROTOCOL_ERROR, text)
            }
        }
    }

    async fn stopped(&self) {
        self.connection.watch.draining().await;
    }
}

impl AdminCommands<'_> {
    async fn run(&self, request: &Request) -> ServiceReply {
        let AdminCommands { connection, access } = *self;
        let busy = connection.slot.busy();
        let document = if is_outdated(request) {
            let text = format!("Unsupported OP_QUERY command: {}. {UPGRADE}", request.name);
            CommandFailure::new(UNSUPPORTED_OP_QUERY, text).document()
        } else {
            commands::answer(&CommandContext { connection, request, access }).await
        };
        drop(busy);
        if !access.is_refused() {
            connection.slot.served();
        }
        ServiceReply::Reply(document)
    }
}

/// Whether the request is an OP_QUERY that mongod refuses: since 5.1, mongod accepts only handshake commands in an
/// OP_QUERY.
fn is_outdated(request: &Request) -> bool {
    request.header.op_code() == Some(OpCode::Query) && !matches!(&*request.name, "hello" | "isMaster" | "ismaster")
}

/// The error for a message that is not a command.
fn refusal(message: &[u8], malformed: &Malformed) -> ServiceReply {
    let op_code = Header::of(message).and_then(|header| header.op_code());
    let (code, text) = match (op_code, malformed) {
        (Some(OpCode::Query), _) => (LEGACY, format!("OP_QUERY is no longer supported. {UPGRADE}")),
        (Some(OpCode::GetMore), _) => (LEGACY, format!("OP_GET_MORE is no longer supported. {UPGRADE}")),
        (_, Malformed::NotACommand) => (NO_DATABASE, "OP_MSG requests require a $db argument".to_owned()),
        (_, Malformed::Bson) => (INVALID_BSON, malformed.to_string()),
        (
            _,
            Malformed::Length
            | Malformed::OpCode(_)
            | Malformed::Flags(_)
            | Malformed::Section
            | Malformed::TooManyDocuments,
        ) => (PROTOCOL_ERROR, malformed.to_string()),
    };
    ServiceReply::Refuse(code, text)
}

const UPGRADE: &str = "The client driver may require an upgrade. For more details see \
     https://dochub.mongodb.org/core/legacy-opcode-removal";
const LEGACY: (i32, &str) = (5_739_101, "Location5739101");

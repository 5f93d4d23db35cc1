//! A connection of a MongoDB client: message in, answer out, until either side ends it.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{
    Failure, INVALID_BSON, NO_DATABASE, PROTOCOL_ERROR, TLS_NEEDED, UNAUTHORIZED, UNSUPPORTED_OP_QUERY,
};
use super::commands::{self, not_authorized_text};
use super::context::Context;
use super::wire::{Incoming, read, turn_away, write};
use crate::admin::access::{Access, NEEDS_TLS};
use crate::admin::connection::AdminConnection;
use crate::limits::ADMIN_MESSAGE_BYTES;
use crate::mongo::header::HEADER_BYTES;
use crate::mongo::{Header, Malformed, OpCode, Request};

/// Serves a client.
pub(in crate::admin) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, connection: &AdminConnection) {
    let mut access = connection.access();
    if access == Access::NeedsTls {
        return turn_away(stream, &[], TLS_NEEDED, NEEDS_TLS).await;
    }
    let mut answers = 0_i32;
    loop {
        let incoming = tokio::select! {
            biased;
            () = connection.watch.draining() => return,
            incoming = read(&mut stream) => incoming,
        };
        let message = match incoming {
            Ok(Incoming::Message(message)) => message,
            Ok(Incoming::TooLarge(header)) => return too_large(stream, &header).await,
            Ok(Incoming::End) => return,
            Ok(Incoming::Idle) => {
                tracing::debug!(who = %connection.who, "an admin connection was idle for too long");
                return;
            }
            Err(error) => return ended(connection, &error),
        };
        let before = std::mem::replace(&mut access, connection.access());
        if access == Access::NotValid || (access.is_refused() && !before.is_refused()) {
            return no_longer(stream, &message, connection, access).await;
        }
        let answer = match Request::parse(&message) {
            Ok(request) => answer(&Context { connection, request: &request, access }, &mut answers).await,
            Err(malformed) => return misunderstood(stream, &message, malformed).await,
        };
        if let Some(answer) = answer
            && let Err(error) = write(&mut stream, &answer).await
        {
            return ended(connection, &error);
        }
    }
}

/// The whole message that answers a request; none where the client will read none.
async fn answer(context: &Context<'_>, answers: &mut i32) -> Option<Vec<u8>> {
    let Context { connection, request, access } = *context;
    let busy = connection.slot.busy();
    let document = if is_outdated(request) {
        unsupported_query(&request.name).document()
    } else {
        commands::answer(context).await
    };
    drop(busy);
    if !access.is_refused() {
        connection.slot.served();
    }
    *answers = answers.wrapping_add(1);
    request.expects_reply.then(|| request.reply(*answers, &document))
}

/// Since 5.1, mongod takes only the handshake by OP_QUERY.
fn is_outdated(request: &Request) -> bool {
    request.header.op_code() == Some(OpCode::Query) && !matches!(&*request.name, "hello" | "isMaster" | "ismaster")
}

fn unsupported_query(name: &str) -> Failure {
    let text = format!("Unsupported OP_QUERY command: {name}. {UPGRADE}");
    Failure::new(UNSUPPORTED_OP_QUERY, text)
}

/// The answer to a request of a client that was admitted and no longer is, and the end of its connection.
async fn no_longer<S>(stream: S, message: &[u8], connection: &AdminConnection, access: Access)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let why = connection.refusal(access).unwrap_or_default();
    connection.refused(&why);
    turn_away(stream, message, UNAUTHORIZED, &not_authorized_text(&why)).await;
}

/// A message that is no command ends the connection, with a word to those who read one.
async fn misunderstood<S: AsyncRead + AsyncWrite + Unpin>(stream: S, message: &[u8], malformed: Malformed) {
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
    turn_away(stream, message, code, &text).await;
}

async fn too_large<S: AsyncRead + AsyncWrite + Unpin>(stream: S, header: &[u8; HEADER_BYTES]) {
    let length = Header::parse(header).message_length;
    let text = format!("the admin port takes messages of at most {ADMIN_MESSAGE_BYTES} bytes; this one has {length}");
    turn_away(stream, header, PROTOCOL_ERROR, &text).await;
}

fn ended(connection: &AdminConnection, error: &io::Error) {
    tracing::debug!(who = %connection.who, %error, "an admin connection has ended in the middle of a message");
}

const UPGRADE: &str = "The client driver may require an upgrade. For more details see \
     https://dochub.mongodb.org/core/legacy-opcode-removal";
const LEGACY: (i32, &str) = (5_739_101, "Location5739101");

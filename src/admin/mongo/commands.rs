//! The table of commands, and the checks before each, in mongod's order.

use std::collections::HashSet;
use std::pin::Pin;

use bson::raw::{RawBsonRef, RawDocumentBuf, cstr};
use bson::rawdoc;

use super::context::CommandContext;
use super::errors::{COMMAND_NOT_FOUND, DUPLICATE_FIELD, NO_SEQUENCES, UNAUTHORIZED, finished};
use super::{handshake, operations, parameters, server_info, server_status};
use crate::admin::access::{Access, READ_ONLY};
use crate::admin::connection::AdminConnection;
use crate::mongo::{CommandFailure, CommandResult, Request};

type CommandFuture<'a> = Pin<Box<dyn Future<Output = CommandResult> + Send + 'a>>;

/// The handler of a command.
#[derive(Clone, Copy)]
enum CommandHandler {
    /// Answers from memory.
    Sync(fn(&CommandContext<'_>) -> CommandResult),
    /// Answers through the controller, which may wait for other callers.
    Async(AsyncHandler),
}

#[derive(Clone, Copy)]
struct AdminCommand {
    name: &'static str,
    requires: RequiredAccess,
    /// Whether it must be run on the database `admin`.
    admin_only: bool,
    run: CommandHandler,
}

/// The access that a command requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequiredAccess {
    /// No access: drivers and shells need these commands to learn that the others are not permitted.
    None,
    /// Read access.
    Read,
    /// Full access.
    Full,
}

const fn sync(
    name: &'static str,
    requires: RequiredAccess,
    run: fn(&CommandContext<'_>) -> CommandResult,
) -> AdminCommand {
    AdminCommand { name, requires, admin_only: false, run: CommandHandler::Sync(run) }
}

const fn unrestricted(name: &'static str, run: fn(&CommandContext<'_>) -> CommandResult) -> AdminCommand {
    sync(name, RequiredAccess::None, run)
}

const fn read(name: &'static str, run: fn(&CommandContext<'_>) -> CommandResult) -> AdminCommand {
    sync(name, RequiredAccess::Read, run)
}

type AsyncHandler = for<'a> fn(CommandContext<'a>) -> CommandFuture<'a>;

const fn asynchronous(name: &'static str, requires: RequiredAccess, run: AsyncHandler) -> AdminCommand {
    AdminCommand { name, requires, admin_only: false, run: CommandHandler::Async(run) }
}

impl AdminCommand {
    const fn admin_only(self) -> AdminCommand {
        AdminCommand { admin_only: true, ..self }
    }
}

const COMMANDS: [AdminCommand; 30] = [
    unrestricted("hello", handshake::hello),
    unrestricted("isMaster", handshake::is_master),
    unrestricted("ismaster", handshake::is_master),
    unrestricted("ping", handshake::nothing),
    unrestricted("buildInfo", server_info::build_info),
    unrestricted("buildinfo", server_info::build_info),
    unrestricted("whatsmyuri", handshake::whats_my_uri),
    unrestricted("connectionStatus", handshake::connection_status),
    unrestricted("endSessions", handshake::nothing),
    unrestricted("logout", handshake::nothing),
    unrestricted("saslStart", handshake::no_users),
    unrestricted("authenticate", handshake::no_users),
    read("startSession", handshake::start_session),
    read("refreshSessions", handshake::nothing),
    read("killSessions", handshake::nothing),
    read("killAllSessions", handshake::nothing),
    read("listCommands", list_commands),
    read("listCollections", handshake::list_collections),
    read("listDatabases", handshake::list_databases).admin_only(),
    read("replSetGetStatus", handshake::no_set).admin_only(),
    read("getFreeMonitoringStatus", handshake::free_monitoring).admin_only(),
    read("hostInfo", server_info::host_info),
    read("getCmdLineOpts", server_info::command_line).admin_only(),
    read("getParameter", parameters::get).admin_only(),
    asynchronous("serverStatus", RequiredAccess::Read, |context| Box::pin(server_status::answer(context))),
    asynchronous("plaintextClients", RequiredAccess::Read, |context| Box::pin(operations::plaintext_clients(context)))
        .admin_only(),
    asynchronous("getLog", RequiredAccess::Read, |context| Box::pin(server_info::log(context))).admin_only(),
    asynchronous("setParameter", RequiredAccess::Full, |context| Box::pin(parameters::set(context))).admin_only(),
    asynchronous("rotateCertificates", RequiredAccess::Full, |context| Box::pin(operations::rotate(context)))
        .admin_only(),
    asynchronous("recycleConnections", RequiredAccess::Full, |context| Box::pin(operations::recycle(context)))
        .admin_only(),
];

/// The reply to a request.
pub(super) async fn answer(context: &CommandContext<'_>) -> RawDocumentBuf {
    let answer = match check(context) {
        Ok(command) => match command.run {
            CommandHandler::Sync(run) => run(context),
            CommandHandler::Async(run) => run(*context).await,
        },
        Err(failure) => Err(failure),
    };
    finished(answer)
}

/// Finds the command, and checks that its name is known, its fields are well-formed, its database is right, and the
/// client may run it.
fn check(context: &CommandContext<'_>) -> Result<AdminCommand, CommandFailure> {
    let CommandContext { connection, request, access } = *context;
    let name = &*request.name;
    let command = COMMANDS.into_iter().find(|command| command.name == name);
    let Some(command) = command else {
        if access.is_refused() {
            return Err(not_authorized(connection, access));
        }
        return Err(CommandFailure::new(COMMAND_NOT_FOUND, format!("no such command: '{name}'")));
    };
    let mut seen = HashSet::new();
    for (key, _) in request.command.iter().flatten() {
        if !seen.insert(key.as_str()) {
            let text = format!("BSON field 'APIParametersFromClient.{key}' is a duplicate field");
            return Err(CommandFailure::new(DUPLICATE_FIELD, text));
        }
    }
    check_time_limit(request)?;
    if !request.documents.is_empty() {
        let text = format!("The {name} command does not support document sequences.");
        return Err(CommandFailure::new(NO_SEQUENCES, text));
    }
    if command.admin_only && request.database != "admin" {
        return Err(CommandFailure::new(UNAUTHORIZED, format!("{name} may only be run against the admin database.")));
    }
    match (command.requires, access) {
        (RequiredAccess::None, _)
        | (RequiredAccess::Read, Access::Full | Access::ReadOnly)
        | (RequiredAccess::Full, Access::Full) => Ok(command),
        (RequiredAccess::Full, Access::ReadOnly) => Err(CommandFailure::new(UNAUTHORIZED, READ_ONLY)),
        (RequiredAccess::Read | RequiredAccess::Full, Access::NeedsTls | Access::NotAllowed | Access::NotValid) => {
            Err(not_authorized(connection, access))
        }
    }
}

/// Refuses an invalid `maxTimeMS` as mongod does. A valid one has no effect.
fn check_time_limit(request: &Request) -> Result<(), CommandFailure> {
    let millis = match request.command.get("maxTimeMS") {
        Ok(None) | Err(_) => return Ok(()),
        Ok(Some(RawBsonRef::Int32(number))) => f64::from(number),
        #[expect(clippy::cast_precision_loss, reason = "it is only compared with 0 and i32::MAX")]
        Ok(Some(RawBsonRef::Int64(number))) => number as f64,
        Ok(Some(RawBsonRef::Double(number))) => number,
        Ok(Some(_)) => return Err(CommandFailure::bad_value("maxTimeMS must be a number")),
    };
    if (0.0..=f64::from(i32::MAX)).contains(&millis) {
        return Ok(());
    }
    Err(CommandFailure::bad_value(format!("{millis} value for maxTimeMS is out of range")))
}

fn not_authorized(connection: &AdminConnection, access: Access) -> CommandFailure {
    CommandFailure::new(UNAUTHORIZED, not_authorized_text(&connection.refusal(access).unwrap_or_default()))
}

/// mongod's text for a command that this client may not run.
pub(super) fn not_authorized_text(why: &str) -> String {
    format!("not authorized on admin to execute command: {why}")
}

fn list_commands(_: &CommandContext<'_>) -> CommandResult {
    let mut commands = RawDocumentBuf::new();
    for command in COMMANDS {
        let Ok(name) = bson::raw::CString::try_from(command.name) else { continue };
        let (admin_only, help) = (command.admin_only, "");
        let about = rawdoc! { "help": help, "requiresAuth": false, "secondaryOk": true, "adminOnly": admin_only };
        commands.append(name, about);
    }
    let mut answer = RawDocumentBuf::new();
    answer.append(cstr!("commands"), commands);
    Ok(answer)
}

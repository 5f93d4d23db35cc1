//! Every command by name, and what all of them have in common: the order of mongod's checks.

use std::collections::HashSet;
use std::pin::Pin;

use bson::raw::{RawBsonRef, RawDocumentBuf, cstr};
use bson::rawdoc;

use super::context::Context;
use super::errors::{COMMAND_NOT_FOUND, CommandResult, DUPLICATE_FIELD, NO_SEQUENCES, UNAUTHORIZED, finished};
use super::{handshake, operations, parameters, server_info, server_status};
use crate::admin::access::{Access, READ_ONLY};
use crate::admin::connection::AdminConnection;
use crate::mongo::{CommandFailure, Request};

type Later<'a> = Pin<Box<dyn Future<Output = CommandResult> + Send + 'a>>;

/// How a command is answered.
#[derive(Clone, Copy)]
enum Run {
    /// From memory.
    Now(fn(&Context<'_>) -> CommandResult),
    /// By the controller, which may have to wait for others.
    Later(for<'a> fn(Context<'a>) -> Later<'a>),
}

/// A command.
#[derive(Clone, Copy)]
struct Command {
    name: &'static str,
    /// Who may give it.
    rule: Rule,
    /// Whether it belongs to the database `admin`.
    admin_only: bool,
    run: Run,
}

/// Who may give a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Anybody who got as far as this: what a driver needs to be told that it may do nothing.
    Anybody,
    /// Who may look.
    Look,
    /// Who may change things.
    Change,
}

const fn anybody(name: &'static str, run: fn(&Context<'_>) -> CommandResult) -> Command {
    Command { name, rule: Rule::Anybody, admin_only: false, run: Run::Now(run) }
}

const fn look(name: &'static str, run: fn(&Context<'_>) -> CommandResult) -> Command {
    Command { name, rule: Rule::Look, admin_only: false, run: Run::Now(run) }
}

impl Command {
    const fn admin_only(self) -> Command {
        Command { admin_only: true, ..self }
    }

    const fn later(name: &'static str, rule: Rule, run: for<'a> fn(Context<'a>) -> Later<'a>) -> Command {
        Command { name, rule, admin_only: true, run: Run::Later(run) }
    }
}

/// All of them.
const COMMANDS: [Command; 30] = [
    anybody("hello", handshake::hello),
    anybody("isMaster", handshake::is_master),
    anybody("ismaster", handshake::is_master),
    anybody("ping", handshake::nothing),
    anybody("buildInfo", server_info::build_info),
    anybody("buildinfo", server_info::build_info),
    anybody("whatsmyuri", handshake::whats_my_uri),
    anybody("connectionStatus", handshake::connection_status),
    anybody("endSessions", handshake::nothing),
    anybody("logout", handshake::nothing),
    anybody("saslStart", handshake::no_users),
    anybody("authenticate", handshake::no_users),
    look("startSession", handshake::start_session),
    look("refreshSessions", handshake::nothing),
    look("killSessions", handshake::nothing),
    look("killAllSessions", handshake::nothing),
    look("listCommands", list_commands),
    look("listCollections", handshake::list_collections),
    look("listDatabases", handshake::list_databases).admin_only(),
    look("replSetGetStatus", handshake::no_set).admin_only(),
    look("getFreeMonitoringStatus", handshake::free_monitoring).admin_only(),
    look("hostInfo", server_info::host_info),
    look("getCmdLineOpts", server_info::command_line).admin_only(),
    look("getParameter", parameters::get).admin_only(),
    Command::later("plaintextClients", Rule::Look, |context| Box::pin(operations::plaintext_clients(context))),
    Command::later("getLog", Rule::Look, |context| Box::pin(server_info::log(context))),
    Command { admin_only: false, ..Command::later("serverStatus", Rule::Look, |c| Box::pin(server_status::answer(c))) },
    Command::later("setParameter", Rule::Change, |context| Box::pin(parameters::set(context))),
    Command::later("rotateCertificates", Rule::Change, |context| Box::pin(operations::rotate(context))),
    Command::later("recycleConnections", Rule::Change, |context| Box::pin(operations::recycle(context))),
];

/// Answers a request; failures are answers too.
pub(super) async fn answer(context: &Context<'_>) -> RawDocumentBuf {
    let answer = match check(context) {
        Ok(command) => match command.run {
            Run::Now(run) => run(context),
            Run::Later(run) => run(*context).await,
        },
        Err(failure) => Err(failure),
    };
    finished(answer)
}

/// In mongod's order: is there such a command, is it well formed, is it where it belongs, and who asks.
fn check(context: &Context<'_>) -> Result<Command, CommandFailure> {
    let Context { connection, request, access } = *context;
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
    match (command.rule, access) {
        (Rule::Anybody, _) | (Rule::Look, Access::Full | Access::ReadOnly) | (Rule::Change, Access::Full) => {
            Ok(command)
        }
        (Rule::Change, Access::ReadOnly) => Err(CommandFailure::new(UNAUTHORIZED, READ_ONLY)),
        (Rule::Look | Rule::Change, Access::NeedsTls | Access::NotAllowed | Access::NotValid) => {
            Err(not_authorized(connection, access))
        }
    }
}

/// Nothing here takes long enough for `maxTimeMS` to matter; a wrong one is refused as mongod does.
fn check_time_limit(request: &Request) -> Result<(), CommandFailure> {
    let millis = match request.command.get("maxTimeMS") {
        Ok(None) | Err(_) => return Ok(()),
        Ok(Some(RawBsonRef::Int32(number))) => f64::from(number),
        #[expect(clippy::cast_precision_loss, reason = "only its sign and its order matter")]
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

/// mongod's words for a command that this client may not give.
pub(super) fn not_authorized_text(why: &str) -> String {
    format!("not authorized on admin to execute command: {why}")
}

fn list_commands(_: &Context<'_>) -> CommandResult {
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

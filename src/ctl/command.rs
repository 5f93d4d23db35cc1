//! The command line of `tlsramp ctl`.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, Command, value_parser};

use super::target::{ClientTarget, ConnectionTarget};
use crate::admin_client::{AdminAddress, with_tls_options};
use crate::limits::{RECYCLE_GRACE_MOST, RECYCLE_WAIT, RECYCLE_WAIT_MOST};
use crate::policy::{Mode, Spelling};

/// The command line of `tlsramp ctl`.
pub fn command() -> Command {
    let command = Command::new("ctl")
        .about("Query and control a running proxy; without a command, show its status")
        .long_about(LONG_ABOUT)
        .after_long_help(EXIT_CODES);
    with_options(command, true).subcommands([
        verb(STATUS, STATUS_ABOUT, ""),
        mode(),
        ready(),
        clients(),
        accept(),
        connections(),
        whois(),
        verb(HISTORY, "List the last 200 changes, made or refused, with time, caller and protocol; newest last", ""),
        doctor(),
        verb(
            ROTATE,
            "Reload key, certificate, CA and CRL files: all of them, or none",
            "1: refused; the loaded files stay in use",
        )
        .arg(read_again_by_force()),
        recycle(),
        verb(RELOAD, "Reload the configuration, as SIGHUP does", "1: refused; nothing was changed")
            .arg(read_again_by_force()),
    ])
}

/// The command line of `tlsramp status`, a short form of `tlsramp ctl status`.
pub fn status_command() -> Command {
    with_options(verb(STATUS, STATUS_ABOUT, ""), false)
}

/// Adds the options that all subcommands have.
fn with_options(command: Command, global: bool) -> Command {
    let admin = Arg::new(ADMIN)
        .long(ADMIN)
        .value_name("HOST:PORT|unix:PATH")
        .env("TLSRAMP_ADMIN")
        .default_value(AdminAddress::DEFAULT)
        .value_parser(value_parser!(AdminAddress))
        .global(global)
        .help_heading("Admin port")
        .help(
            "Address of the proxy's admin port (its --adminBind); the PATH of a Unix socket is absolute and has at most \
             107 bytes",
        );
    let json = switch(JSON).global(global).help("Print the admin port's JSON unchanged: one object, also for errors");
    let wide = switch(WIDE).global(global).help(
        "Print all columns of tables, and all tables of the status; without it, columns that do not fit the terminal are \
         left out (in a pipe, none)",
    );
    with_tls_options(command.args([json, wide, admin]))
}

fn verb(name: &'static str, about: &'static str, no: &str) -> Command {
    let no = if no.is_empty() { "1: refused" } else { no };
    Command::new(name)
        .about(about)
        .after_help(format!("Exit code: 0: done. {no}. 2: usage. 4: no tlsramp answers at the admin address."))
}

fn switch(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

fn read_again_by_force() -> Arg {
    switch(FORCE).help(
        "Load TLS files even if they are expired (the proxy's certificate, every CA, or a required CRL) and the files \
         in force are not",
    )
}

fn doctor() -> Command {
    let about = "Check for usual problems, from the host of the proxy, with the remedy for each finding";
    verb(DOCTOR, about, "1: something failed, or refused").long_about(
        "Check for usual problems, from the host of the proxy, with the remedy for each finding: name \
         resolution; servers and members, with and without TLS; certificates of both sides; clocks; descriptors; \
         interception rules; the localhost exception; versions and states of members; the modes of other nodes; \
         connections that bypass the proxy.\n\n\
         The proxy connects to every server once with TLS and once without; a server that accepts only one of them \
         logs the other. The result is reused for ten seconds.",
    )
}

fn mode() -> Command {
    let to = Arg::new(NEW)
        .value_name("MODE")
        .value_parser(parse_mode)
        .help("The mode to change to; without it, the mode is printed");
    let holder = Arg::new(HOLDER).long(HOLDER).value_name("NAME").value_parser(NonEmptyStringValueParser::new());
    verb(
        MODE,
        "Print the mode in force, or change it",
        "1: refused, with the reasons; the mode is unchanged. 3: refused, since the step has blockers",
    )
    .long_about(
        "Print the mode in force (one word, in the older spelling), or change it.\n\n\
         The modes in order: disabled, allowSSL, preferSSL, requireSSL; the newer spelling is accepted too (allowTLS \
         ...). A change goes one step up; any other, such as a step back, needs --force. Setting the mode in force \
         again is no error.\n\n\
         A step that would refuse clients or cut servers off lists them and asks; if standard input or output is not a \
         terminal, or with --json, it is refused (exit code 3). --yes makes it without a question.",
    )
    .args([
        to,
        switch(YES)
            .visible_alias("no-guard")
            .requires(NEW)
            .help("Do not ask: make the change, and print the blockers as warnings"),
        switch(FORCE).requires(NEW).help("Allow going back, skipping a step, or cutting servers off; do not ask"),
        switch(GUARD)
            .requires(NEW)
            .conflicts_with(YES)
            .help("Refuse the change, without asking, while `ready` lists a blocker"),
        switch(PERSIST).requires(NEW).help("Also start in this mode after a restart (needs --stateFile)"),
        holder.requires(NEW).help("Name of the lease holder on whose behalf to act"),
    ])
}

fn ready() -> Command {
    let to = Arg::new(TO).long(TO).value_name("MODE").value_parser(parse_mode);
    verb(READY, "List what blocks the next mode, with the remedy for each blocker", "1: not ready, or refused").arg(
        to.help("The mode, in either spelling: disabled, allowSSL, preferSSL, requireSSL [default: the next step up]"),
    )
}

fn clients() -> Command {
    verb(CLIENTS, "List all clients seen, with and without TLS, by address, application and driver", "")
        .long_about(
            "List all clients seen, with and without TLS, by address, application and driver.\n\n\
             `accept` and `whois` take the number in the first column. It stays with that client, also over a restart \
             with --stateFile.",
        )
        .arg(switch(PLAINTEXT).help("Only clients without TLS"))
}

fn accept() -> Command {
    let client = Arg::new(CLIENT).value_name("NUMBER|KEY").required(true).value_parser(ClientTarget::parse);
    verb(
        ACCEPT,
        "Accept that a client will be refused: it no longer blocks requireSSL",
        "1: no such client, or refused; nothing was changed",
    )
    .arg(client.help(
        "The client: its number in `clients` and `ready`, or its key, IP/APPLICATION/DRIVER (`clients --wide` prints it)",
    ))
    .arg(switch(UNSEEN).help("Also accept a key that no client has had yet"))
    .arg(switch(REMOVE).help("Withdraw the acceptance"))
}

fn connections() -> Command {
    verb(CONNECTIONS, "Count the open connections by application and driver, or list them", "")
        .arg(switch(EACH).help("List each connection, with its address as mongod shows it"))
        .arg(switch(NON_CONFORMING).help("Only connections that the mode in force would not allow"))
}

fn whois() -> Command {
    let target = Arg::new(TARGET).value_name("IP:PORT|IP|NUMBER").required(true).value_parser(ConnectionTarget::parse);
    verb(
        WHOIS,
        "Find the client behind an address that mongod shows, or the reverse",
        "1: none found, or refused",
    )
    .long_about(
        "Find the client behind an address in mongod's log or currentOp; or, for a client, the addresses that mongod \
             shows. Open connections only: for closed ones, see peer and upstream_local in the proxy's log.",
    )
    .arg(target.help(
        "An address and port that mongod or the client shows, such as 127.0.0.1:40022; or an address, for all connections \
         of its clients; or the number of a client in `clients`",
    ))
}

fn recycle() -> Command {
    let seconds = |name: &'static str| Arg::new(name).long(name).value_name("SECONDS");
    let up_to = |most: Duration| value_parser!(u64).range(0..=most.as_secs());
    verb(
        RECYCLE,
        "Close connections that the mode in force would not allow, between two messages, so that clients reconnect",
        "1: some connections remain (waiting for a message boundary, or at risk and left open), or refused",
    )
    .args([
        switch(FORCE).help(
            "Also close connections whose clients may see an error: those to a server outside a replica set, without \
             MongoDB messages, or with TLS passed through",
        ),
        seconds(GRACE)
            .value_parser(up_to(RECYCLE_GRACE_MOST))
            .help("After SECONDS (0 to 86400), close the remaining connections even within a message [default: never]"),
        seconds(WAIT)
            .value_parser(up_to(RECYCLE_WAIT_MOST))
            .help(format!("Seconds to wait until they are closed, 0 to 600 [default: {}]", RECYCLE_WAIT.as_secs())),
    ])
}

/// A mode in either spelling; `disabled` is the same in both and counts as the older.
fn parse_mode(text: &str) -> Result<(Mode, Spelling), String> {
    let spellings = [Spelling::Ssl, Spelling::Tls];
    let found = spellings.into_iter().find_map(|spelling| Some((Mode::parse(text, spelling).ok()?, spelling)));
    found.ok_or_else(|| {
        let [ssl, tls] = spellings.map(Spelling::expected);
        format!("expected one of {ssl}; or {tls}")
    })
}

pub(super) const ADMIN: &str = "admin";
pub(super) const JSON: &str = "json";
pub(super) const WIDE: &str = "wide";
pub(super) const STATUS: &str = "status";
pub(super) const MODE: &str = "mode";
pub(super) const READY: &str = "ready";
pub(super) const CLIENTS: &str = "clients";
pub(super) const ACCEPT: &str = "accept";
pub(super) const CONNECTIONS: &str = "connections";
pub(super) const WHOIS: &str = "whois";
pub(super) const HISTORY: &str = "history";
pub(super) const DOCTOR: &str = "doctor";
pub(super) const ROTATE: &str = "rotate";
pub(super) const RECYCLE: &str = "recycle";
pub(super) const RELOAD: &str = "reload";
pub(super) const NEW: &str = "new";
pub(super) const FORCE: &str = "force";
pub(super) const GUARD: &str = "guard";
pub(super) const YES: &str = "yes";
pub(super) const PERSIST: &str = "persist";
pub(super) const HOLDER: &str = "holder";
pub(super) const TO: &str = "to";
pub(super) const PLAINTEXT: &str = "plaintext";
pub(super) const CLIENT: &str = "client";
pub(super) const UNSEEN: &str = "unseen";
pub(super) const REMOVE: &str = "remove";
pub(super) const NON_CONFORMING: &str = "non-conforming";
pub(super) const EACH: &str = "each";
pub(super) const TARGET: &str = "target";
pub(super) const GRACE: &str = "grace";
pub(super) const WAIT: &str = "wait";

const STATUS_ABOUT: &str = "Show the mode, the blockers of the next one, servers, certificates and warnings";

const LONG_ABOUT: &str = "Query and control a running proxy by its admin port. Without a command, show its status.\n\nA local admin port needs only its \
     address. A remote one requires TLS and a client certificate: --tls, --tlsCAFile and --tlsCertificateKeyFile, named as \
     in mongosh. Tables are for people and may change; scripts should use --json and the exit code. On a terminal, sentences \
     are wrapped and columns that do not fit are left out (--wide shows them); in a pipe, tables have all columns.";

const EXIT_CODES: &str = "Exit codes:\n  \
     0  done; ready: no blocker; recycle: no connection remains\n  \
     1  refused, or it failed: nothing was changed; not ready; doctor: a check failed; accept, whois: none found; \
     recycle: some connections remain\n  \
     2  usage: the command line, or a TLS file that it names\n  \
     3  mode: the step has blockers and was not confirmed: nothing was changed\n  \
     4  no tlsramp answers at the admin address\n\n\
     With --json, standard output is one JSON object, except for exit code 2: the admin port's answer (whois: the \
     matching rows of GET /connections), or {\"error\", \"code\"} if there was no answer. Messages go to standard \
     error.";

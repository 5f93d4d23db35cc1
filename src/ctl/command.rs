//! The command line of `tlsramp ctl`.

use std::net::SocketAddr;

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, Command, value_parser};

use crate::admin_client::{AdminAddress, with_tls_options};
use crate::limits::RECYCLE_WAIT_MOST;
use crate::policy::{Mode, Spelling};
use crate::telemetry::ClientIdentity;

/// The command line of `tlsramp ctl`.
#[must_use]
pub fn command() -> Command {
    let admin = Arg::new(ADMIN)
        .long(ADMIN)
        .value_name("HOST:PORT|unix:PATH")
        .env("TLSRAMP_ADMIN")
        .default_value(AdminAddress::DEFAULT)
        .value_parser(value_parser!(AdminAddress))
        .global(true)
        .help_heading("Admin port")
        .help("Where the proxy's admin port is (--adminBind there)");
    let json = switch(JSON).global(true).help("Print the admin port's JSON as it is: one object, errors too");
    let command = Command::new("ctl")
        .about("Ask a running proxy, and change it")
        .long_about(LONG_ABOUT)
        .after_long_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true);
    with_tls_options(command.args([json, admin])).subcommands([
        verb(STATUS, "What is running, and what an operator should look at", ""),
        mode(),
        ready(),
        clients(),
        accept(),
        connections(),
        whois(),
        verb(
            HISTORY,
            "List the last 200 changes, made or refused: what, when, by whom and by which door; newest last",
            "",
        ),
        verb(
            ROTATE,
            "Read key, certificate, CA and CRL files again: all of them, or none",
            "1: refused; the old ones stay",
        )
        .arg(read_again_by_force()),
        recycle(),
        verb(RELOAD, "Read the configuration again, as SIGHUP does", "1: refused; everything stays as it was")
            .arg(read_again_by_force()),
    ])
}

fn verb(name: &'static str, about: &'static str, no: &str) -> Command {
    let no = if no.is_empty() { "1: refused" } else { no };
    Command::new(name)
        .about(about)
        .after_help(format!("Exit code: 0: done. {no}. 2: usage. 3: no tlsramp answers at the admin address."))
}

fn switch(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

fn read_again_by_force() -> Arg {
    switch(FORCE).help(
        "Take TLS files too that are out of date (a certificate of the proxy's own, all CAs, a CRL that is needed) while those \
         in force are not",
    )
}

fn mode() -> Command {
    let to = Arg::new(NEW).value_name("MODE").value_parser(parse_mode).help("The mode to change to; none: only ask");
    let holder = Arg::new(HOLDER).long(HOLDER).value_name("NAME").value_parser(NonEmptyStringValueParser::new());
    verb(MODE, "Print the mode in force, or change it", "1: refused, with the reasons; the mode stays")
        .long_about(
            "Print the mode in force (one word, in the older spelling), or change it.\n\nThe modes, one step up at a \
             time: disabled, allowSSL, preferSSL, requireSSL; the newer spelling is taken too (allowTLS ...). Any other \
             change, such as the way back, needs --force. To ask for the mode in force is no error.",
        )
        .args([
            to,
            switch(FORCE).requires(NEW).help("To any mode that can be served: back, over a step, with servers cut off"),
            switch(GUARD).requires(NEW).help("Refuse where it would hurt someone: what `ready` lists"),
            switch(PERSIST).requires(NEW).help("Start in this mode after a restart too (needs --stateFile)"),
            holder.requires(NEW).help("In the name of the one who holds the lease"),
        ])
}

fn ready() -> Command {
    let to = Arg::new(TO).long(TO).value_name("MODE").required(true).value_parser(parse_mode);
    verb(READY, "Say what stands in the way of a mode: who, where, and what to do", "1: not ready, or refused")
        .arg(to.help("The mode, in either spelling: disabled, allowSSL, preferSSL, requireSSL"))
}

fn clients() -> Command {
    verb(CLIENTS, "List who has been seen: by address, application and driver, with TLS and without", "")
        .arg(switch(PLAINTEXT).help("Those without TLS alone"))
}

fn accept() -> Command {
    let key = Arg::new(KEY).value_name("KEY").required(true).value_parser(parse_key);
    verb(ACCEPT, "Accept that a client will be refused: it no longer stands in the way of requireSSL", "")
        .arg(key.help("The client, as `clients` and `ready` call it: IP/APPLICATION/DRIVER"))
        .arg(switch(REMOVE).help("Take it back"))
}

fn connections() -> Command {
    verb(CONNECTIONS, "List the open connections", "")
        .arg(switch(NON_CONFORMING).help("Those alone that today's policy would not make"))
}

fn whois() -> Command {
    let address = Arg::new(ADDRESS).value_name("IP:PORT").required(true).value_parser(value_parser!(SocketAddr));
    verb(
        WHOIS,
        "Find the client behind an address that mongod shows, or the other way about",
        "1: none found, or refused",
    )
    .long_about(
        "Find the true client behind an address in mongod's log or currentOp; or, for a client's address, what \
             mongod calls it. Open connections only: of those that are over, the proxy's log has peer and \
             upstream_local.",
    )
    .arg(address.help("The address, such as 127.0.0.1:40022"))
}

fn recycle() -> Command {
    let seconds = |name: &'static str| Arg::new(name).long(name).value_name("SECONDS");
    let wait = value_parser!(u64).range(0..=RECYCLE_WAIT_MOST.as_secs());
    verb(
        RECYCLE,
        "Move connections that today's policy would not make: each ends between two messages, and its client reconnects",
        "1: some are left: still waiting for a boundary, or at risk and left alone; or refused",
    )
    .args([
        switch(FORCE).help("Those too whose clients may see an error: no member of a set behind, or no MongoDB"),
        seconds(GRACE).value_parser(value_parser!(u64)).help("Then cut them wherever they are; without it, never"),
        seconds(WAIT).value_parser(wait).help("How long to wait for them to have moved [default: 6]"),
    ])
}

/// A mode in either spelling; `disabled`, which is in both, is taken for the older.
fn parse_mode(text: &str) -> Result<(Mode, Spelling), String> {
    let spellings = [Spelling::Ssl, Spelling::Tls];
    let found = spellings.into_iter().find_map(|spelling| Some((Mode::parse(text, spelling).ok()?, spelling)));
    found.ok_or_else(|| {
        let [ssl, tls] = spellings.map(Spelling::expected);
        format!("expected one of {ssl}; or {tls}")
    })
}

/// The key as it was typed, if it is one.
fn parse_key(text: &str) -> Result<String, String> {
    ClientIdentity::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

pub(super) const ADMIN: &str = "admin";
pub(super) const JSON: &str = "json";
pub(super) const STATUS: &str = "status";
pub(super) const MODE: &str = "mode";
pub(super) const READY: &str = "ready";
pub(super) const CLIENTS: &str = "clients";
pub(super) const ACCEPT: &str = "accept";
pub(super) const CONNECTIONS: &str = "connections";
pub(super) const WHOIS: &str = "whois";
pub(super) const HISTORY: &str = "history";
pub(super) const ROTATE: &str = "rotate";
pub(super) const RECYCLE: &str = "recycle";
pub(super) const RELOAD: &str = "reload";
pub(super) const NEW: &str = "new";
pub(super) const FORCE: &str = "force";
pub(super) const GUARD: &str = "guard";
pub(super) const PERSIST: &str = "persist";
pub(super) const HOLDER: &str = "holder";
pub(super) const TO: &str = "to";
pub(super) const PLAINTEXT: &str = "plaintext";
pub(super) const KEY: &str = "key";
pub(super) const REMOVE: &str = "remove";
pub(super) const NON_CONFORMING: &str = "non-conforming";
pub(super) const ADDRESS: &str = "address";
pub(super) const GRACE: &str = "grace";
pub(super) const WAIT: &str = "wait";

const LONG_ABOUT: &str = "Ask a running proxy at its admin port, and change it.\n\nA local admin port needs no more than \
     its address. A remote one wants TLS and a client certificate: --tls, --tlsCAFile and --tlsCertificateKeyFile, as \
     mongosh has them. Tables are for people, and may change; scripts use --json and the exit code.";

const EXIT_CODES: &str = "Exit codes:\n  \
     0  done; ready: nothing stands in the way; recycle: nothing is left to move\n  \
     1  refused, or it failed: nothing was changed; not ready; whois: none found; recycle: some are left\n  \
     2  usage: the command line, or a TLS file that it names\n  \
     3  no tlsramp answers at the admin address\n\n\
     With --json, standard output has one JSON object in all cases but 2: what the admin port answered (whois: what is \
     left of GET /connections), or, where it did not, {\"error\", \"code\"}. Messages go to standard error.";

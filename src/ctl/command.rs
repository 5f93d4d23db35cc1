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
        .help("Address of the proxy's admin port (its --adminBind)");
    let json = switch(JSON).global(true).help("Print the admin port's JSON unchanged: one object, also for errors");
    let command = Command::new("ctl")
        .about("Show and change a running proxy")
        .long_about(LONG_ABOUT)
        .after_long_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true);
    with_tls_options(command.args([json, admin])).subcommands([
        verb(STATUS, "Show what is running and what needs attention", ""),
        mode(),
        ready(),
        clients(),
        accept(),
        connections(),
        whois(),
        verb(HISTORY, "List the last 200 changes, made or refused, with time, user and protocol; newest last", ""),
        verb(
            ROTATE,
            "Read the key, certificate, CA and CRL files again, all or nothing",
            "1: refused; the old files stay in use",
        )
        .arg(read_again_by_force()),
        recycle(),
        verb(RELOAD, "Read the configuration again, as SIGHUP does", "1: refused; nothing was changed")
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
        "Accept expired TLS files (the proxy's own certificate, all CAs, a required CRL) although those in force \
         are valid",
    )
}

fn mode() -> Command {
    let to = Arg::new(NEW).value_name("MODE").value_parser(parse_mode).help(
        "The mode to change to; without it, \
         print the mode",
    );
    let holder = Arg::new(HOLDER).long(HOLDER).value_name("NAME").value_parser(NonEmptyStringValueParser::new());
    verb(MODE, "Print the mode in force, or change it", "1: refused, with the reasons; the mode stays")
        .long_about(
            "Print the mode in force (one word, in the older spelling), or change it.\n\nThe modes, in the order \
             of single steps: disabled, allowSSL, preferSSL, requireSSL; the newer spelling (allowTLS ...) is \
             accepted too. Any other change, such as going back, needs --force. Changing to the mode in force \
             succeeds.",
        )
        .args([
            to,
            switch(FORCE).requires(NEW).help("Allow going back, skipping a step, or cutting servers off"),
            switch(GUARD).requires(NEW).help("Refuse if there are blockers (see `ready`)"),
            switch(PERSIST).requires(NEW).help("Keep this mode after a restart (needs --stateFile)"),
            holder.requires(NEW).help("Name of the holder of the lease"),
        ])
}

fn ready() -> Command {
    let to = Arg::new(TO).long(TO).value_name("MODE").required(true).value_parser(parse_mode);
    verb(READY, "List the blockers of a mode change: client, address, remedy", "1: not ready, or refused")
        .arg(to.help("The mode, in either spelling: disabled, allowSSL, preferSSL, requireSSL"))
}

fn clients() -> Command {
    verb(CLIENTS, "List seen clients by address, application and driver, with TLS and without", "")
        .arg(switch(PLAINTEXT).help("Only clients without TLS"))
}

fn accept() -> Command {
    let key = Arg::new(KEY).value_name("KEY").required(true).value_parser(parse_key);
    verb(ACCEPT, "Accept that a client will be refused, so that it no longer blocks requireSSL", "")
        .arg(key.help("The client's key as printed by `clients` and `ready`: IP/APPLICATION/DRIVER"))
        .arg(switch(REMOVE).help("Withdraw the acceptance"))
}

fn connections() -> Command {
    verb(CONNECTIONS, "List the open connections", "").arg(switch(NON_CONFORMING).help(
        "Only non-conforming connections, which the policy in force would not \
             allow",
    ))
}

fn whois() -> Command {
    let address = Arg::new(ADDRESS).value_name("IP:PORT").required(true).value_parser(value_parser!(SocketAddr));
    verb(WHOIS, "Find the client behind an address that mongod shows, or the reverse", "1: none found, or refused")
        .long_about(
            "Find the client behind an address in mongod's log or currentOp; or, for a client's address, the address \
         that mongod shows. Only open connections are searched; for closed ones, the proxy's log has peer and \
         upstream_local.",
        )
        .arg(address.help("The address, such as 127.0.0.1:40022"))
}

fn recycle() -> Command {
    let seconds = |name: &'static str| Arg::new(name).long(name).value_name("SECONDS");
    let wait = value_parser!(u64).range(0..=RECYCLE_WAIT_MOST.as_secs());
    verb(
        RECYCLE,
        "Close non-conforming connections between two messages, so that their clients reconnect under the policy \
         in force",
        "1: some are left, waiting for a message boundary or at risk; or refused",
    )
    .args([
        switch(FORCE).help(
            "Include connections whose clients may see an error: the server is no set member, or \
             not MongoDB",
        ),
        seconds(GRACE).value_parser(value_parser!(u64)).help(
            "Close the rest after this time, also within a \
             message [default: never]",
        ),
        seconds(WAIT).value_parser(wait).help("How long to wait for them to close [default: 6]"),
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

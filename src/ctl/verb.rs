//! The parsed subcommand.

use clap::ArgMatches;

use super::command as name;
use super::guard::{GuardedChange, OnBlockers};
use super::target::{ClientTarget, ConnectionTarget};
use crate::admin::requests::ModeRequest;
use crate::admin::requests::RecycleParameters;
use crate::policy::{Mode, Spelling};

/// A subcommand with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verb {
    Status,
    Mode,
    ChangeMode(GuardedChange),
    /// Without a mode, the next step up.
    Ready(Option<(Mode, Spelling)>),
    Clients {
        plaintext: bool,
    },
    Accept {
        client: ClientTarget,
        accepted: bool,
        unseen: bool,
    },
    Connections {
        non_conforming: bool,
        each: bool,
    },
    Whois(ConnectionTarget),
    History,
    Doctor,
    Rotate {
        force: bool,
    },
    Recycle(RecycleParameters),
    Reload {
        force: bool,
    },
}

impl Verb {
    /// Reads the command line, which clap has checked. Without a subcommand, the result is `status`. `None` if the
    /// subcommand is unknown.
    pub(super) fn of(matches: &ArgMatches) -> Option<Verb> {
        let Some((verb, given)) = matches.subcommand() else { return Some(Verb::Status) };
        Some(match verb {
            name::STATUS => Verb::Status,
            name::MODE => match given.get_one(name::NEW) {
                None => Verb::Mode,
                Some((to, spelling)) => Verb::ChangeMode(change(given, *to, *spelling)),
            },
            name::READY => Verb::Ready(given.get_one(name::TO).copied()),
            name::CLIENTS => Verb::Clients { plaintext: given.get_flag(name::PLAINTEXT) },
            name::ACCEPT => Verb::Accept {
                client: given.get_one::<ClientTarget>(name::CLIENT)?.clone(),
                accepted: !given.get_flag(name::REMOVE),
                unseen: given.get_flag(name::UNSEEN),
            },
            name::CONNECTIONS => Verb::Connections {
                non_conforming: given.get_flag(name::NON_CONFORMING),
                each: given.get_flag(name::EACH),
            },
            name::WHOIS => Verb::Whois(*given.get_one(name::TARGET)?),
            name::HISTORY => Verb::History,
            name::DOCTOR => Verb::Doctor,
            name::ROTATE => Verb::Rotate { force: given.get_flag(name::FORCE) },
            name::RECYCLE => Verb::Recycle(RecycleParameters {
                force: given.get_flag(name::FORCE),
                grace_secs: given.get_one(name::GRACE).copied(),
                wait_secs: given.get_one(name::WAIT).copied(),
            }),
            name::RELOAD => Verb::Reload { force: given.get_flag(name::FORCE) },
            _ => return None,
        })
    }
}

fn change(given: &ArgMatches, to: Mode, spelling: Spelling) -> GuardedChange {
    let force = given.get_flag(name::FORCE);
    let on_blockers = if given.get_flag(name::GUARD) {
        OnBlockers::Refuse
    } else if force || given.get_flag(name::YES) {
        OnBlockers::Proceed
    } else if given.get_flag(name::JSON) {
        OnBlockers::Refuse
    } else {
        OnBlockers::Ask
    };
    let request = ModeRequest {
        mode: to.name(spelling).to_owned(),
        force,
        guard: on_blockers != OnBlockers::Proceed,
        persist: given.get_flag(name::PERSIST),
        holder: given.get_one(name::HOLDER).cloned(),
    };
    GuardedChange { request, on_blockers }
}

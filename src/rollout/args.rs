//! The parsed command line, with its options checked against each other.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;

use super::command::{ACCEPT, AUTO_ROLLBACK, DRY_RUN, FORCE, GRACE, LOG, NODE, NONE, PUBLIC, ROLLBACK, TO, WAIT};
use super::fleet::{NodeHandle, PublicAddress};
use super::limits::{self, NODES};
use crate::admin_client::{AdminAddress, AdminClient, ctl_command, tls_options};
use crate::policy::Mode;

#[derive(Debug)]
pub(super) struct RolloutArgs {
    pub(super) nodes: Vec<NodeHandle>,
    pub(super) target: RolloutTarget,
    pub(super) dry_run: bool,
    pub(super) auto_rollback: bool,
    pub(super) force: bool,
    pub(super) wait: Duration,
    /// Seconds after which old connections are cut; `None`: they are not cut.
    pub(super) grace: Option<u64>,
    /// Keys of clients that `requireSSL` may refuse.
    pub(super) accept: Vec<String>,
    /// The file of the log; `None`: no log.
    pub(super) log: Option<PathBuf>,
}

/// The target of a rollout, as requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RolloutTarget {
    Up(Mode),
    /// Down to this mode; `None`: each node to the mode that it had before the rollout.
    Back(Option<Mode>),
}

impl RolloutArgs {
    /// # Errors
    /// A description of options that exclude each other, or of a file that cannot be used.
    pub(super) fn of(matches: &ArgMatches) -> Result<RolloutArgs, String> {
        let to = matches.get_one::<Mode>(TO).copied();
        let target = match (matches.get_flag(ROLLBACK), to) {
            (true, to) => RolloutTarget::Back(to),
            (false, Some(to)) => RolloutTarget::Up(to),
            // clap requires one of the two.
            (false, None) => return Err(format!("--{TO} is missing")),
        };
        let log = matches.get_one::<String>(LOG).filter(|log| *log != NONE).map(PathBuf::from);
        if target == RolloutTarget::Back(None) && log.is_none() {
            return Err(format!(
                "--{ROLLBACK} reads from the log the modes that nodes had before: give the log with --{LOG}, or a mode \
                 with --{TO}"
            ));
        }
        Ok(RolloutArgs {
            nodes: nodes(matches)?,
            target,
            dry_run: matches.get_flag(DRY_RUN),
            auto_rollback: matches.get_flag(AUTO_ROLLBACK),
            force: matches.get_flag(FORCE),
            wait: matches.get_one(WAIT).copied().unwrap_or(limits::WAIT),
            grace: matches.get_one(GRACE).copied(),
            accept: matches.get_many(ACCEPT).unwrap_or_default().cloned().collect(),
            log,
        })
    }
}

fn nodes(matches: &ArgMatches) -> Result<Vec<NodeHandle>, String> {
    let addresses: Vec<_> = matches.get_many::<AdminAddress>(NODE).unwrap_or_default().collect();
    if addresses.len() > NODES {
        return Err(format!("--{NODE} is given {} times; at most {NODES} nodes are supported", addresses.len()));
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = addresses.iter().map(ToString::to_string).find(|name| !names.insert(name.clone())) {
        return Err(format!("--{NODE} {twice} is given twice"));
    }
    let publics = public_addresses(matches, &names)?;
    let options = tls_options(matches);
    // The TLS options apply to nodes that are reached by TCP. Nodes that are reached by a Unix socket need none.
    let any_tcp = addresses.iter().any(|address| !address.is_unix());
    let node = |address: &AdminAddress| {
        let name = address.to_string();
        let material = match any_tcp && address.is_unix() {
            true => None,
            false => options.load(address).map_err(|error| error.to_string())?,
        };
        let ctl = ctl_command(address, &options);
        let public = publics.iter().find(|(node, _)| *node == name);
        let public = public.map_or(PublicAddress::OwnName, |(_, public)| public.clone());
        Ok(NodeHandle { client: AdminClient::new(address.clone(), material), name, ctl, public })
    };
    addresses.into_iter().map(node).collect()
}

fn public_addresses(matches: &ArgMatches, names: &BTreeSet<String>) -> Result<Vec<(String, PublicAddress)>, String> {
    let mut publics = Vec::<(String, PublicAddress)>::new();
    for text in matches.get_many::<String>(PUBLIC).unwrap_or_default() {
        let wrong = |why: &str| format!("--{PUBLIC} {text}: {why}");
        let (node, address) = text.rsplit_once('=').ok_or_else(|| wrong("expected ADMIN_ADDR=HOST:PORT"))?;
        if !names.contains(node) {
            return Err(wrong(&format!("{node} is not one of the --{NODE} addresses")));
        }
        if publics.iter().any(|(known, _)| known == node) {
            return Err(wrong("an address of that node is already given"));
        }
        let public = match address {
            NONE => PublicAddress::None,
            address => PublicAddress::At(address.parse().map_err(|error| wrong(&format!("{address}: {error}")))?),
        };
        publics.push((node.to_owned(), public));
    }
    Ok(publics)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{RolloutArgs, RolloutTarget};
    use crate::policy::Mode;
    use crate::rollout::command::command;
    use crate::rollout::fleet::PublicAddress;

    fn read(line: &str) -> Result<RolloutArgs, String> {
        let words = ["rollout"].into_iter().chain(line.split_whitespace());
        let matches = command().try_get_matches_from(words).map_err(|error| error.to_string())?;
        RolloutArgs::of(&matches)
    }

    #[test]
    fn arguments_are_parsed() {
        let args =
            read("--to requireTLS --node a:1 --node unix:/b.sock --public unix:/b.sock=h:2 --public a:1=none").unwrap();
        assert_eq!((args.target, args.wait), (RolloutTarget::Up(Mode::Require), Duration::from_secs(600)));
        assert_eq!(args.nodes.iter().map(|node| &*node.name).collect::<Vec<_>>(), ["a:1", "unix:/b.sock"]);
        assert_eq!(args.nodes[0].public, PublicAddress::None);
        assert_eq!(args.nodes[1].public, PublicAddress::At("h:2".parse().unwrap()));
        assert!(args.log.is_some() && !args.dry_run && !args.auto_rollback && !args.force);
        let back = read("--rollback --node a:1 --wait 0 --log none --to disabled --force").unwrap();
        assert_eq!(
            (back.target, back.wait, back.log, back.force),
            (RolloutTarget::Back(Some(Mode::Disabled)), Duration::ZERO, None, true)
        );
        assert_eq!(read("--rollback --node a:1").unwrap().target, RolloutTarget::Back(None));
        let args = read("--to requireSSL --node a:1 --grace 30 --accept 1.1.1.1/a/- --accept 2.2.2.2/-/b").unwrap();
        assert_eq!((args.grace, &*args.accept), (Some(30), &["1.1.1.1/a/-".to_owned(), "2.2.2.2/-/b".to_owned()][..]));
        assert_eq!(args.nodes[0].ctl, "tlsramp ctl --admin a:1");
    }

    #[test]
    fn conflicting_arguments_are_refused() {
        for (line, part) in [
            ("--node a:1", "--to"),
            ("--to allowSSL", "--node"),
            ("--to nonsense --node a:1", "unknown mode 'nonsense': expected one of 'disabled'"),
            ("--to allowSSL --node a", "it has no port"),
            ("--to allowSSL --node a:1 --node a:1", "a:1 is given twice"),
            ("--to allowSSL --node a:1 --public b:1=c:1", "b:1 is not one of the --node addresses"),
            ("--to allowSSL --node a:1 --public a:1", "expected ADMIN_ADDR=HOST:PORT"),
            ("--to allowSSL --node a:1 --public a:1=c", "it has no port"),
            ("--to allowSSL --node a:1 --public a:1=c:1 --public a:1=d:1", "already given"),
            ("--to allowSSL --node a:1 --wait soon", "--wait"),
            ("--to allowSSL --node a:1 --tls", "--tls requires --tlsCAFile"),
            ("--to allowSSL --node unix:/a.sock --tls", "does not apply to the Unix socket"),
            ("--to allowSSL --node a:1 --accept reports", "is not the key of a client"),
            ("--rollback --node a:1 --accept 1.1.1.1/a/b", "cannot be used with"),
            ("--to allowSSL --node a:1 --grace soon", "--grace"),
            ("--rollback --node a:1 --log none", "--rollback reads from the log"),
            ("--rollback --autoRollback --node a:1", "cannot be used with"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}

//! One host: a namespace with one virtual cable, an address, and its own name resolution.

use std::{ffi::OsStr, fs, net::Ipv4Addr, process::Command};

use super::netns;
use crate::support::process;

/// A host of a [`Network`](super::network::Network). Clones refer to the same host.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(super) namespace: String,
    /// Its number, which is the last byte of its address: from 1 for members, [`APP`] for the application's host.
    pub(crate) number: u8,
}

/// The number of the application's host.
pub(crate) const APP: u8 = 100;

/// How `/etc/hosts` resolves the members' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// To the members' real addresses.
    Real,
    /// To one loopback address per member, on which the sidecar's outbound route listens. The sidecar reaches the
    /// members by `wire-` names.
    Loopback,
    /// As `Loopback`, but without the `wire-` names: the sidecar's DNS fails.
    LoopbackAlone,
    /// To no address.
    None,
}

impl Host {
    /// Its name, which the members use for each other.
    pub(crate) fn name(&self) -> String {
        format!("h{}.example", self.number)
    }

    /// Name and port of its mongod, as in the set's configuration.
    pub(crate) fn member(&self) -> String {
        format!("{}:27017", self.name())
    }

    /// Its address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, self.number)
    }

    /// The address on which the outbound route to it listens, on every host.
    pub(crate) fn loopback(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 1, self.number)
    }

    /// A name for it that only sidecars use.
    pub(crate) fn wire_name(&self) -> String {
        format!("wire-{}", self.name())
    }

    /// A command on this host that ends with the test process, for [`process::spawn`] and similar functions.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = process::tethered("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// As [`Host::command`], in a group of its own, which packet filters can match.
    pub(crate) fn command_in_group(&self, group: u32, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        // The kernel clears the parent-death signal when a process changes its group, so it is set after that.
        let group = group.to_string();
        let tied = ["setpriv", "--regid", &group, "--clear-groups", "--pdeathsig", "KILL", "--"];
        command.args(["netns", "exec", &self.namespace]).args(tied).arg(program);
        command
    }

    /// Sets how the names of `members` are resolved here. Takes effect at once, also for running processes.
    pub(crate) fn set_names(&self, names: Names, members: &[Host]) {
        let line = |member: &Host| match names {
            Names::Real => format!("{} {}\n", member.address(), member.name()),
            Names::Loopback => {
                let (loopback, address) = (member.loopback(), member.address());
                format!("{loopback} {}\n{address} {}\n", member.name(), member.wire_name())
            }
            Names::LoopbackAlone => format!("{} {}\n", member.loopback(), member.name()),
            Names::None => String::new(),
        };
        let members: String = members.iter().map(line).collect();
        // Written in place, because the file itself, not its name, is mounted over /etc/hosts.
        fs::write(netns::files(&self.namespace).join("hosts"), format!("127.0.0.1 localhost\n{members}"))
            .expect("a host has its hosts file");
    }
}

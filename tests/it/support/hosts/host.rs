//! One host: a namespace with one cable, an address, and its own idea of what names mean.

use std::{ffi::OsStr, fs, net::Ipv4Addr, process::Command};

use super::netns;
use crate::support::process;

/// A host of a [`Network`](super::network::Network). Clones are the same host.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(super) namespace: String,
    /// Its number, and the last byte of its address: from 1 for members, [`APP`] for the application's.
    pub(crate) number: u8,
}

/// The application's host.
pub(crate) const APP: u8 = 100;

/// What `/etc/hosts` says of the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// Where they are.
    Real,
    /// A loopback address each, where the outbound routes of the sidecar listen; the sidecar finds the members by
    /// `wire-` names.
    Loopback,
    /// As `Loopback`, without the names that the sidecar goes by: its DNS is dead.
    LoopbackAlone,
    /// Nothing.
    None,
}

impl Host {
    /// Its name, by which members know each other.
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

    /// Where the outbound route to it listens, on every host.
    pub(crate) fn loopback(&self) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 1, self.number)
    }

    /// A name for it that only sidecars go by.
    pub(crate) fn wire_name(&self) -> String {
        format!("wire-{}", self.name())
    }

    /// A tethered command on it, for [`process::spawn`] and its like.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = process::tethered("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// The same in a group of its own, which packet filters can tell from others.
    pub(crate) fn command_in_group(&self, group: u32, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        // The kernel forgets the tether where a process changes its group, so it is tied after that.
        let group = group.to_string();
        let tied = ["setpriv", "--regid", &group, "--clear-groups", "--pdeathsig", "KILL", "--"];
        command.args(["netns", "exec", &self.namespace]).args(tied).arg(program);
        command
    }

    /// Says what the names of `members` mean here, at once and for processes that run.
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
        // Written in place: what is laid over /etc/hosts is this very file, not its name.
        fs::write(netns::files(&self.namespace).join("hosts"), format!("127.0.0.1 localhost\n{members}"))
            .expect("a host has its hosts file");
    }
}

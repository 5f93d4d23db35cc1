//! The hosts' network: one virtual switch and a cable to each host. Simulates network faults.
//!
//! A cable is unplugged at the switch: the host keeps its link and its routes, so its packets are lost silently.
//! Packets between two hosts are dropped on arrival, at both hosts.

use std::fs;

use super::{host::APP, host::Host, netns};

/// Hosts and a switch, removed on drop. Processes on the hosts must end before.
#[derive(Debug)]
pub(crate) struct Network {
    switch: String,
    hosts: Vec<Host>,
}

impl Network {
    /// Creates `members` hosts, numbered from 1, and the application's host.
    pub(crate) fn new(members: u8) -> Result<Self, String> {
        netns::sweep();
        let name = netns::fresh_name();
        let switch = format!("{name}-switch");
        netns::add(&switch)?;
        let mut network = Self { switch, hosts: Vec::new() };
        netns::ip(&["-n", &network.switch, "link", "add", SWITCH, "type", "bridge"])?;
        netns::ip(&["-n", &network.switch, "link", "set", SWITCH, "up"])?;
        for number in (1..=members).chain([APP]) {
            let host = Host { namespace: format!("{name}-{number}"), number };
            netns::add(&host.namespace)?;
            // Registered from here on, so that it is removed even if a later step fails.
            network.hosts.push(host.clone());
            network.connect(&host)?;
        }
        Ok(network)
    }

    /// The members' hosts, in order.
    pub(crate) fn members(&self) -> &[Host] {
        &self.hosts[..self.hosts.len() - 1]
    }

    /// The application's host.
    pub(crate) fn app(&self) -> &Host {
        self.hosts.last().expect("a network has the application's host")
    }

    /// Unplugs a host's cable.
    pub(crate) fn cut(&self, host: &Host) {
        netns::ip(&["-n", &self.switch, "link", "set", &port(host), "nomaster"]).expect("a cable can be pulled");
    }

    /// Plugs the cable in again.
    pub(crate) fn mend(&self, host: &Host) {
        netns::ip(&["-n", &self.switch, "link", "set", &port(host), "master", SWITCH]).expect("and put back");
    }

    fn connect(&self, host: &Host) -> Result<(), String> {
        let (namespace, port) = (host.namespace.as_str(), port(host));
        let files = netns::files(namespace);
        fs::create_dir_all(&files).map_err(|error| format!("{}: {error}", files.display()))?;
        fs::write(files.join("hosts"), "127.0.0.1 localhost\n").map_err(|error| error.to_string())?;
        // No host answers or refuses at this address, so a query for a name that is not in the hosts file times out.
        fs::write(files.join("resolv.conf"), "nameserver 10.77.0.250\n").map_err(|error| error.to_string())?;
        let cable = ["type", "veth", "peer", "name", CABLE, "netns", namespace];
        netns::ip(&[&["-n", &self.switch, "link", "add", &port][..], &cable].concat())?;
        netns::ip(&["-n", &self.switch, "link", "set", &port, "master", SWITCH, "up"])?;
        netns::ip(&["-n", namespace, "address", "add", &format!("{}/24", host.address()), "dev", CABLE])?;
        netns::ip(&["-n", namespace, "link", "set", CABLE, "up"])?;
        netns::ip(&["-n", namespace, "link", "set", "lo", "up"])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            netns::delete(&host.namespace);
        }
        netns::delete(&self.switch);
    }
}

/// Silently drops every packet between two hosts, until [`let_pass`].
pub(crate) fn drop_between(one: &Host, other: &Host) {
    for (here, there) in [(one, other), (other, one)] {
        let table = format!("lost_{}", there.number);
        let chain = "type filter hook input priority -300; policy accept;";
        let rule = format!("ip saddr {} drop", there.address());
        netns::nft(&here.namespace, &format!("table inet {table} {{\nchain lost {{\n{chain}\n{rule}\n}}\n}}\n"))
            .expect("packets can be dropped");
    }
}

/// Ends the effect of [`drop_between`].
pub(crate) fn let_pass(one: &Host, other: &Host) {
    for (here, there) in [(one, other), (other, one)] {
        netns::nft(&here.namespace, &format!("delete table inet lost_{}\n", there.number)).expect("and let pass again");
    }
}

/// The switch's end of the cable.
fn port(host: &Host) -> String {
    format!("port-{}", host.number)
}

/// The name of the switch in its namespace.
const SWITCH: &str = "switch";
/// The name of each host's end of the cable.
pub(super) const CABLE: &str = "eth0";

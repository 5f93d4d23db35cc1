//! The hosts' network: one switch, a cable to each host. And what goes wrong with networks.
//!
//! A cable is pulled on the switch's side: the host still has its link and its routes, so that its packets vanish
//! without a word. Packets between two hosts are dropped where they arrive, at both.

use std::fs;

use super::{host::APP, host::Host, netns};

/// Hosts and a switch, gone on drop: whatever runs there must end before.
#[derive(Debug)]
pub(crate) struct Network {
    switch: String,
    hosts: Vec<Host>,
}

impl Network {
    /// `members` hosts, from number 1, and the application's.
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
            // Known from here on, so that it is removed whatever happens next.
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

    /// Pulls the cable of a host.
    pub(crate) fn cut(&self, host: &Host) {
        netns::ip(&["-n", &self.switch, "link", "set", &port(host), "nomaster"]).expect("a cable can be pulled");
    }

    /// Puts the cable back.
    pub(crate) fn mend(&self, host: &Host) {
        netns::ip(&["-n", &self.switch, "link", "set", &port(host), "master", SWITCH]).expect("and put back");
    }

    fn connect(&self, host: &Host) -> Result<(), String> {
        let (namespace, port) = (host.namespace.as_str(), port(host));
        let files = netns::files(namespace);
        fs::create_dir_all(&files).map_err(|error| format!("{}: {error}", files.display()))?;
        fs::write(files.join("hosts"), "127.0.0.1 localhost\n").map_err(|error| error.to_string())?;
        // Nobody answers there, and nobody refuses: a name that the hosts file lacks is waited for in vain.
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

/// Drops every packet between two hosts, without a word, until [`let_pass`].
pub(crate) fn drop_between(one: &Host, other: &Host) {
    for (here, there) in [(one, other), (other, one)] {
        let table = format!("lost_{}", there.number);
        let chain = "type filter hook input priority -300; policy accept;";
        let rule = format!("ip saddr {} drop", there.address());
        netns::nft(&here.namespace, &format!("table inet {table} {{\nchain lost {{\n{chain}\n{rule}\n}}\n}}\n"))
            .expect("packets can be dropped");
    }
}

/// Ends what [`drop_between`] began.
pub(crate) fn let_pass(one: &Host, other: &Host) {
    for (here, there) in [(one, other), (other, one)] {
        netns::nft(&here.namespace, &format!("delete table inet lost_{}\n", there.number)).expect("and let pass again");
    }
}

/// The cable's end at the switch.
fn port(host: &Host) -> String {
    format!("port-{}", host.number)
}

/// The switch's name in its namespace.
const SWITCH: &str = "switch";
/// The cable's end on every host.
pub(super) const CABLE: &str = "eth0";

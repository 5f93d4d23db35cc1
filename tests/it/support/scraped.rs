//! The metrics of a proxy that has served a plaintext and a TLS connection: families, labels and values.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Shutdown, TcpStream},
};

use super::{
    Proxy, ReservedPort, admin, cert,
    service::{Upstream, echoes, read_to_end, tls_client},
    wait,
};

/// Metric families, by their names in the text format.
#[derive(Debug)]
pub(crate) struct Families(BTreeMap<String, Family>);

/// A metric family.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    /// The values of each label; of histograms, without `le`.
    pub(crate) labels: BTreeMap<String, BTreeSet<String>>,
}

impl Families {
    /// Starts a proxy, makes a plaintext and a TLS connection, and scrapes it.
    pub(crate) fn scrape() -> Families {
        let service = Upstream::start();
        let (port, upstream, other) = (ReservedPort::new(), service.address.to_string(), Upstream::start());
        let outbound = format!("127.0.0.1:0={}", other.address);
        let mut flags = vec!["--port", "0", "--upstream", &upstream, "--upstreamTLS", "never", "--upstreamProbe", "on"];
        let transparent = port.port().to_string();
        let files = ["server.pem", "ca.pem", "member.pem", "crl-empty.pem"].map(cert);
        flags.extend(["--outbound", &outbound, "--outboundTransparent", &transparent, "--sslMode", "allowSSL"]);
        flags.extend(["--sslPEMKeyFile", &files[0], "--sslCAFile", &files[1], "--sslClusterFile", &files[2]]);
        flags.extend(["--sslCRLFile", &files[3], "--sslClusterCAFile", &files[1]]);
        flags.extend(["--sslAllowConnectionsWithoutCertificates"]);
        let proxy = Proxy::start(flags);
        let mut plain = TcpStream::connect(proxy.address("inbound")).unwrap();
        echoes(&mut plain, b"plaintext");
        plain.shutdown(Shutdown::Write).unwrap();
        read_to_end(&mut plain);
        let folder = std::path::PathBuf::from(&files[1]);
        let mut tls = tls_client(proxy.address("inbound"), folder.parent().unwrap(), None);
        echoes(&mut tls, b"TLS");
        drop(tls);
        let page = || admin::of(&proxy).request("GET", "/metrics", None).body;
        let parts = ["kind=\"tls\",tls_version", "upstream_up{", "outbound_link_up{", "redirect_rules "];
        wait("every series is exposed", || {
            let page = page();
            parts.iter().all(|part| page.contains(part))
        });
        Families::parse(&page())
    }

    /// Parses a page in the text format.
    pub(crate) fn parse(page: &str) -> Families {
        let mut families = BTreeMap::<String, Family>::new();
        for line in page.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|line| line.split_once(' ')) {
                families.entry(name.to_owned()).or_default().help = help.to_owned();
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
                families.entry(name.to_owned()).or_default().kind = kind.to_owned();
            } else if let Some((name, labels)) = line.split_once('{') {
                let name = family_of(name, |name| families.contains_key(name));
                let family = families.get_mut(&name).unwrap_or_else(|| panic!("no family of {line}"));
                // A label's value ends at the first quote that is followed by a comma or by the closing brace.
                for pair in labels.rsplit_once('}').unwrap().0.trim_end_matches('"').split("\",") {
                    let (label, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
                    if label != "le" {
                        family.labels.entry(label.to_owned()).or_default().insert(value.to_owned());
                    }
                }
            }
        }
        Families(families)
    }

    /// The families' names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The families, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Family)> {
        self.0.iter().map(|(name, family)| (name.as_str(), family))
    }

    /// The labels of a metric. `metric` may be the name of a series of a histogram.
    pub(crate) fn labels(&self, metric: &str) -> Option<&BTreeMap<String, BTreeSet<String>>> {
        Some(&self.0.get(&family_of(metric, |name| self.0.contains_key(name)))?.labels)
    }
}

/// The family of a series. The series of a histogram have suffixes.
fn family_of(series: &str, is_family: impl Fn(&str) -> bool) -> String {
    let suffixes = ["_bucket", "_count", "_sum"];
    let of_histogram = suffixes.iter().find_map(|suffix| series.strip_suffix(suffix).filter(|name| is_family(name)));
    of_histogram.unwrap_or(series).to_owned()
}

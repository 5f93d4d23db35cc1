//! The table of options: the one place where an option's names, kind, default and help are written.
//!
//! Names are mongod's where mongod has the thing. Bounds named in the help are [`crate::limits`]'; a test holds
//! the two together.

use super::options::Change::{Reload, Restart};
use super::options::Key;
use super::options::Kind::{List, Secret, Switch, Value};
use super::options::Opt;

const LISTENING: &str = "Listening";
const UPSTREAM: &str = "Upstream";
const TLS: &str = "TLS";
const LIMITS: &str = "Limits";
const LOGS: &str = "Logs";
const CONTROL: &str = "Control";

/// Every option that is also a configuration key, in the order of the help.
pub(super) static TABLE: &[Opt] = &[
    Opt {
        key: Key::Port,
        flags: &["port"],
        yaml: &["net.port"],
        kind: Value("PORT"),
        heading: LISTENING,
        default: "27017",
        help: "Port of the inbound route, 0 to 65535; with 0 the kernel chooses one.",
        change: Restart,
    },
    Opt {
        key: Key::BindIp,
        flags: &["bind_ip"],
        yaml: &["net.bindIp"],
        kind: Value("ADDRESS,..."),
        heading: LISTENING,
        default: "127.0.0.1",
        help: "Addresses of the inbound route: a comma list of IP addresses and names, which are resolved once, at \
               start. 0.0.0.0 is every IPv4 address, :: every IPv6 address.",
        change: Restart,
    },
    Opt {
        key: Key::InboundTransparent,
        flags: &["inboundTransparent"],
        yaml: &["proxy.inboundTransparent"],
        kind: Switch,
        heading: LISTENING,
        default: "false",
        help: "Set IP_TRANSPARENT on the listening sockets of the inbound route, so that the TPROXY rules of tlsramp \
               netfilter can hand over connections to the server's own address. Needs CAP_NET_RAW, or sockets of a \
               socket unit with Transparent=yes; every capability is dropped before the first connection is accepted. \
               Connections that other hosts make to the listener's own address are refused (not_intercepted).",
        change: Restart,
    },
    Opt {
        key: Key::InboundTls,
        flags: &["inboundTLS"],
        yaml: &["proxy.inboundTLS"],
        kind: Value("terminate|passthrough"),
        heading: LISTENING,
        default: "terminate",
        help: "What becomes of an admitted TLS connection: it ends here, or it is relayed untouched to an upstream \
               that speaks TLS itself (which needs no certificate here and keeps MONGODB-X509 working).",
        change: Restart,
    },
    Opt {
        key: Key::Upstream,
        flags: &["upstream"],
        yaml: &["proxy.upstream"],
        kind: Value("HOST:PORT|unix:PATH"),
        heading: UPSTREAM,
        default: "",
        help: "The server that the inbound route leads to. Without it there is no inbound route.",
        change: Restart,
    },
    Opt {
        key: Key::UpstreamTls,
        flags: &["upstreamTLS"],
        yaml: &["proxy.upstreamTLS"],
        kind: Value("policy|never|always"),
        heading: UPSTREAM,
        default: "policy",
        help: "Whether the link to the upstream is TLS: as the mode says for connections to other servers, never (the \
               hop to a server on this host), or in every mode.",
        change: Restart,
    },
    Opt {
        key: Key::UpstreamBind,
        flags: &["upstreamBind"],
        yaml: &["proxy.upstreamBind"],
        kind: Value("IP"),
        heading: UPSTREAM,
        default: "",
        help: "Source address of the link to the upstream, of the upstream's address family. One that is not \
               loopback keeps remote clients from looking local to mongod.",
        change: Restart,
    },
    Opt {
        key: Key::UpstreamProbe,
        flags: &["upstreamProbe"],
        yaml: &["proxy.upstreamProbe"],
        kind: Value("on|off"),
        heading: UPSTREAM,
        default: "on",
        help: "Whether one connection to each server behind says hello every 10 s, to know whether it is up and what it \
               is. Off for servers that are not MongoDB; before a change, their TLS is tried all the same.",
        change: Reload,
    },
    Opt {
        key: Key::Outbound,
        flags: &["outbound"],
        yaml: &["proxy.outbound"],
        kind: List("LISTEN=HOST:PORT[,name=NAME]"),
        heading: UPSTREAM,
        default: "",
        help: "A route to another server, TLS by the mode: plaintext connections to LISTEN, a loopback IP:PORT (port 0: \
               the kernel chooses), go to HOST:PORT, whose certificate must be for NAME, else for HOST. Repeatable, \
               at most 256; those given as flags replace those of the file.",
        change: Reload,
    },
    Opt {
        key: Key::Transparent,
        flags: &["outboundTransparent"],
        yaml: &["proxy.outboundTransparent"],
        kind: Value("PORT"),
        heading: UPSTREAM,
        default: "",
        help: "A route to whatever server the kernel has redirected a connection from (tlsramp netfilter makes the \
               rules), TLS by the mode: listens on PORT of 127.0.0.1 and ::1 and asks for SO_ORIGINAL_DST. The \
               certificate must be for the --member of that address, else for the IP address itself.",
        change: Restart,
    },
    Opt {
        key: Key::Member,
        flags: &["member"],
        yaml: &["proxy.member"],
        kind: List("NAME:PORT[=IP]"),
        heading: UPSTREAM,
        default: "",
        help: "A member of the set by its name in the set's configuration, and its address where NAME does not resolve \
               to it from here: its certificate is verified for NAME. Adds to the names that the server's own hello and \
               rollouts give; give one for a hidden member, which no hello names. Repeatable, at most 256; those given \
               as flags replace those of the file.",
        change: Reload,
    },
    Opt {
        key: Key::Mode,
        flags: &["sslMode", "tlsMode"],
        yaml: &["net.ssl.mode", "net.tls.mode"],
        kind: Value("MODE"),
        heading: TLS,
        default: "disabled",
        help: "The policy at start: disabled, allowSSL, preferSSL or requireSSL; under the newer name, disabled, \
               allowTLS, preferTLS or requireTLS. Can be changed while running.",
        change: Reload,
    },
    Opt {
        key: Key::Certificate,
        flags: &["sslPEMKeyFile", "tlsCertificateKeyFile"],
        yaml: &["net.ssl.PEMKeyFile", "net.tls.certificateKeyFile"],
        kind: Value("FILE"),
        heading: TLS,
        default: "",
        help: "PEM file with the certificate, its chain and its private key: shown to clients, and to other servers \
               where no cluster file is given.",
        change: Reload,
    },
    Opt {
        key: Key::CertificatePassword,
        flags: &["sslPEMKeyPassword", "tlsCertificateKeyFilePassword"],
        yaml: &["net.ssl.PEMKeyPassword", "net.tls.certificateKeyFilePassword"],
        kind: Secret("PASSWORD"),
        heading: TLS,
        default: "",
        help: "Password of the private key, if it is encrypted (PKCS#8). Every user of the host can read a command \
               line: a password file, or the environment variable TLSRAMP_PEM_KEY_PASSWORD, is the better place.",
        change: Reload,
    },
    Opt {
        key: Key::CertificatePasswordFile,
        flags: &["sslPEMKeyPasswordFile", "tlsCertificateKeyFilePasswordFile"],
        yaml: &["net.ssl.PEMKeyPasswordFile", "net.tls.certificateKeyFilePasswordFile"],
        kind: Value("FILE"),
        heading: TLS,
        default: "",
        help: "File whose first line is the password of the private key. It is read again whenever the key is.",
        change: Reload,
    },
    Opt {
        key: Key::Cluster,
        flags: &["sslClusterFile", "tlsClusterFile"],
        yaml: &["net.ssl.clusterFile", "net.tls.clusterFile"],
        kind: Value("FILE"),
        heading: TLS,
        default: "",
        help: "PEM file with the certificate, its chain and its private key that are shown to other servers.",
        change: Reload,
    },
    Opt {
        key: Key::ClusterPassword,
        flags: &["sslClusterPassword", "tlsClusterPassword"],
        yaml: &["net.ssl.clusterPassword", "net.tls.clusterPassword"],
        kind: Secret("PASSWORD"),
        heading: TLS,
        default: "",
        help: "Password of the cluster file's private key. The environment variable is TLSRAMP_CLUSTER_PASSWORD.",
        change: Reload,
    },
    Opt {
        key: Key::ClusterPasswordFile,
        flags: &["sslClusterPasswordFile", "tlsClusterPasswordFile"],
        yaml: &["net.ssl.clusterPasswordFile", "net.tls.clusterPasswordFile"],
        kind: Value("FILE"),
        heading: TLS,
        default: "",
        help: "File whose first line is the password of the cluster file's private key.",
        change: Reload,
    },
    Opt {
        key: Key::Ca,
        flags: &["sslCAFile", "tlsCAFile"],
        yaml: &["net.ssl.CAFile", "net.tls.CAFile"],
        kind: Value("FILE"),
        heading: TLS,
        default: "",
        help: "PEM file with the root certificates that verify other servers, and clients where no cluster CA file is \
               given. With it, clients must show a certificate.",
        change: Reload,
    },
    Opt {
        key: Key::ClusterCa,
        flags: &["sslClusterCAFile", "tlsClusterCAFile"],
        yaml: &["net.ssl.clusterCAFile", "net.tls.clusterCAFile"],
        kind: Value("FILE"),
        heading: TLS,
        default: "",
        help: "PEM file with the root certificates that verify clients, instead of the CA file.",
        change: Reload,
    },
    Opt {
        key: Key::Crl,
        flags: &["sslCRLFile", "tlsCRLFile"],
        yaml: &["net.ssl.CRLFile", "net.tls.CRLFile"],
        kind: Value("FILE"),
        heading: TLS,
        default: "",
        help: "PEM file with revocation lists. Only the peer's own certificate is looked up; an expired list refuses \
               everyone.",
        change: Reload,
    },
    Opt {
        key: Key::WithoutCertificates,
        flags: &[
            "sslAllowConnectionsWithoutCertificates",
            "tlsAllowConnectionsWithoutCertificates",
            "sslWeakCertificateValidation",
            "tlsWeakCertificateValidation",
        ],
        yaml: &[
            "net.ssl.allowConnectionsWithoutCertificates",
            "net.tls.allowConnectionsWithoutCertificates",
            "net.ssl.weakCertificateValidation",
            "net.tls.weakCertificateValidation",
        ],
        kind: Switch,
        heading: TLS,
        default: "false",
        help: "Clients may come without a certificate; one that they do show must still verify.",
        change: Reload,
    },
    Opt {
        key: Key::InvalidCertificates,
        flags: &["sslAllowInvalidCertificates", "tlsAllowInvalidCertificates"],
        yaml: &["net.ssl.allowInvalidCertificates", "net.tls.allowInvalidCertificates"],
        kind: Switch,
        heading: TLS,
        default: "false",
        help: "Certificates of clients and servers need not verify. For tests: anyone can pose as a server.",
        change: Reload,
    },
    Opt {
        key: Key::InvalidHostnames,
        flags: &["sslAllowInvalidHostnames", "tlsAllowInvalidHostnames"],
        yaml: &["net.ssl.allowInvalidHostnames", "net.tls.allowInvalidHostnames"],
        kind: Switch,
        heading: TLS,
        default: "false",
        help: "Servers' certificates need not bear the name that is dialled.",
        change: Reload,
    },
    Opt {
        key: Key::DisabledProtocols,
        flags: &["sslDisabledProtocols", "tlsDisabledProtocols"],
        yaml: &["net.ssl.disabledProtocols", "net.tls.disabledProtocols"],
        kind: Value("PROTOCOL,..."),
        heading: TLS,
        default: "TLS1_0,TLS1_1",
        help: "Comma list of protocol versions that are off, of TLS1_0, TLS1_1, TLS1_2 and TLS1_3 (also noTLS1_0 and so \
               on), or none. TLS 1.0 and 1.1 are always off.",
        change: Reload,
    },
    Opt {
        key: Key::MaxIncoming,
        flags: &["maxIncomingConnections"],
        yaml: &["net.maxIncomingConnections"],
        kind: Value("COUNT"),
        heading: LIMITS,
        default: "(80 % of what the descriptor limit carries, less the waiting room)",
        help: "Most connections of the inbound route at a time, 1 to 1000000, silent ones included. Further ones, \
               up to 1024, wait for a slot. When one waits, the address with the most silent connections gives up its \
               oldest that has been silent for over 10 s; never its last one, nor one of a member.",
        change: Reload,
    },
    Opt {
        key: Key::MaxPerIp,
        flags: &["maxConnectionsPerIp"],
        yaml: &["proxy.maxConnectionsPerIp"],
        kind: Value("COUNT"),
        heading: LIMITS,
        default: "(no limit)",
        help: "Most connections of the inbound route from one IP address at a time, 1 to 1000000, waiting ones included. \
               Further ones are closed at once. Members of the set are exempt. Clients behind one NAT are one address.",
        change: Reload,
    },
    Opt {
        key: Key::MemberReserve,
        flags: &["memberReserve"],
        yaml: &["proxy.memberReserve"],
        kind: Value("COUNT"),
        heading: LIMITS,
        default: "64",
        help: "How many of those are kept for members of the set, so that a storm of clients does not starve \
               heartbeats: 0 to 1000000, at most half of them. Members are known by the addresses of --member, \
               --outbound and of what the server's hello names; where none is, none are kept.",
        change: Reload,
    },
    Opt {
        key: Key::Workers,
        flags: &["workers"],
        yaml: &["proxy.workers"],
        kind: Value("COUNT"),
        heading: LIMITS,
        default: "(one for each core)",
        help: "Threads that move data, 1 to 256.",
        change: Restart,
    },
    Opt {
        key: Key::SniffTimeout,
        flags: &["sniffTimeout"],
        yaml: &["proxy.sniffTimeout"],
        kind: Value("TIME"),
        heading: LIMITS,
        default: "10s",
        help: "From a connection's first byte until it is told TLS from plaintext: 1ms to 86400s, as 10s, 500ms, 2m, 1h \
               or a number of seconds. What is not told by then is closed.",
        change: Reload,
    },
    Opt {
        key: Key::HandshakeTimeout,
        flags: &["handshakeTimeout"],
        yaml: &["proxy.handshakeTimeout"],
        kind: Value("TIME"),
        heading: LIMITS,
        default: "10s",
        help: "Longest TLS handshake, with a client or with a server, 1ms to 86400s.",
        change: Reload,
    },
    Opt {
        key: Key::ConnectTimeout,
        flags: &["connectTimeout"],
        yaml: &["proxy.connectTimeout"],
        kind: Value("TIME"),
        heading: LIMITS,
        default: "5s",
        help: "Longest name resolution and TCP connect to a server, 1ms to 86400s.",
        change: Reload,
    },
    Opt {
        key: Key::DrainTimeout,
        flags: &["drainTimeout"],
        yaml: &["proxy.drainTimeout"],
        kind: Value("TIME"),
        heading: LIMITS,
        default: "60s",
        help: "How long a stop waits for open connections, inbound and then outbound, before it cuts them, up to 86400s; \
               0 waits for as long as it takes.",
        change: Reload,
    },
    Opt {
        key: Key::OnSilence,
        flags: &["onSilence"],
        yaml: &["proxy.onSilence"],
        kind: Value("wait|close"),
        heading: LIMITS,
        default: "wait",
        help: "What becomes of a client that connects and says nothing: it waits, as with mongod, or is closed when the \
               sniff's time, counted from the accept, is over.",
        change: Reload,
    },
    Opt {
        key: Key::Refusal,
        flags: &["refusal"],
        yaml: &["proxy.refusal"],
        kind: Value("reply|close"),
        heading: LIMITS,
        default: "reply",
        help: "What a refused client gets: an error or alert that it can read, or mongod's silence.",
        change: Reload,
    },
    Opt {
        key: Key::LogFormat,
        flags: &["logFormat"],
        yaml: &["proxy.logFormat"],
        kind: Value("text|json"),
        heading: LOGS,
        default: "text",
        help: "Log lines for people or for programs.",
        change: Restart,
    },
    Opt {
        key: Key::LogLevel,
        flags: &["logLevel"],
        yaml: &["proxy.logLevel"],
        kind: Value("error|warn|info|debug|trace"),
        heading: LOGS,
        default: "info",
        help: "Least level that is logged.",
        change: Reload,
    },
    Opt {
        key: Key::AdminBind,
        flags: &["adminBind"],
        yaml: &["admin.bind"],
        kind: List("IP:PORT|unix:PATH.sock|none"),
        heading: CONTROL,
        default: "(127.0.0.1 and the port plus 1000)",
        help: "Where the admin port listens, for mongosh, HTTP and tlsramp ctl: loopback, which every user of the host \
               can reach; a unix socket, which only this user can; or, with TLS and --adminAllow, any address. \
               Repeatable, at most 16; none: nowhere.",
        change: Restart,
    },
    Opt {
        key: Key::AdminAllow,
        flags: &["adminAllow"],
        yaml: &["admin.allow"],
        kind: List("PATTERN"),
        heading: CONTROL,
        default: "",
        help: "Who may come to the admin port by TLS: a certificate of the clients' CA whose subject (CN=ops,O=Example) or, \
               with DNS:, IP:, email: or URI: before it, alternative name is like the pattern; * is any run of \
               characters, ? is one, and ,* at the end of a subject no further part too (CN=ops,* takes CN=ops). DNS names \
               are compared without case. Repeatable, at most 64.",
        change: Reload,
    },
    Opt {
        key: Key::AdminReadOnly,
        flags: &["adminReadOnly"],
        yaml: &["admin.readOnly"],
        kind: Switch,
        heading: CONTROL,
        default: "false",
        help: "The admin port takes no changes by TCP; a unix socket still does.",
        change: Reload,
    },
    Opt {
        key: Key::AdminHost,
        flags: &["adminHost"],
        yaml: &["admin.host"],
        kind: List("NAME"),
        heading: CONTROL,
        default: "",
        help: "A name that HTTP requests to the admin port may be for, beside its addresses, localhost and, by TLS, the \
               names of the certificate that it shows: any other is a web page that wants in. Repeatable, at most 64.",
        change: Reload,
    },
    Opt {
        key: Key::ProbeBind,
        flags: &["probeBind"],
        yaml: &["admin.probeBind"],
        kind: List("IP:PORT"),
        heading: CONTROL,
        default: "",
        help: "Where /livez, /readyz and /metrics, and nothing else, are served in plaintext, for kubelet and Prometheus. \
               Repeatable, at most 16.",
        change: Restart,
    },
    Opt {
        key: Key::GuardWindow,
        flags: &["guardWindow"],
        yaml: &["admin.guardWindow"],
        kind: Value("TIME"),
        heading: CONTROL,
        default: "24h",
        help: "How long a plaintext client that has left still stands in the way of requireSSL, up to 30 days (720h): as \
               long as the rarest job pauses. 0 counts open connections only.",
        change: Reload,
    },
    Opt {
        key: Key::StateFile,
        flags: &["stateFile"],
        yaml: &["admin.stateFile"],
        kind: Value("FILE"),
        heading: CONTROL,
        default: "",
        help: "What outlives a restart: a mode that was changed with persist, and which clients were seen. Without it, \
               nothing does.",
        change: Restart,
    },
    Opt {
        key: Key::Watch,
        flags: &["watch"],
        yaml: &["admin.watch"],
        kind: Value("certs|all|off"),
        heading: CONTROL,
        default: "certs",
        help: "Files that are read again when they change: those of TLS, the configuration too, or none.",
        change: Restart,
    },
];

#[cfg(test)]
mod tests {
    use super::TABLE;
    use crate::config::options::{Form, Key, Kind, Opt};
    use crate::limits::{
        GUARD_WINDOW_MOST, LONGEST_TIMEOUT_SECS, MOST_ADMIN_BINDS, MOST_CONNECTIONS, MOST_OUTBOUND, MOST_PATTERNS,
        MOST_WORKERS,
    };

    #[test]
    fn every_option_is_complete_and_has_one_row() {
        for opt in TABLE {
            assert!(std::ptr::eq(Opt::of(opt.key), opt), "{:?} has two rows", opt.key);
            assert!(opt.help.ends_with('.') && !opt.help.contains("  "), "{:?}: {}", opt.key, opt.help);
            assert_eq!(
                opt.flags.len(),
                opt.yaml.len(),
                "{:?} has a name in one form that it lacks in another",
                opt.key
            );
            assert!(matches!(opt.flags.len(), 1 | 2 | 4), "{:?}: spellings come in pairs", opt.key);
            assert!(opt.kind != Kind::Switch || opt.default == "false");
            for (at, name) in opt.flags.iter().enumerate() {
                assert_eq!(Opt::find(Form::Flag, name).map(|found| (found.0.key, found.1)), Some((opt.key, at)));
                let prefix = if opt.flags.len() == 1 { "" } else { ["ssl", "tls"][at % 2] };
                assert!(name.starts_with(prefix), "{name}: ssl first, then tls");
            }
            for (at, name) in opt.yaml.iter().enumerate() {
                assert_eq!(Opt::find(Form::Yaml, name).map(|found| (found.0.key, found.1)), Some((opt.key, at)));
                assert!(["net.", "proxy.", "admin."].iter().any(|place| name.starts_with(place)), "{name}");
            }
        }
        assert_eq!(TABLE.last().map(|opt| opt.key as usize + 1), Some(TABLE.len()), "a key without a row");
    }

    /// The help and the bounds are written in two places.
    #[test]
    fn the_help_names_the_bounds_in_force() {
        let rows = [
            (Key::MaxIncoming, MOST_CONNECTIONS.to_string()),
            (Key::Workers, MOST_WORKERS.to_string()),
            (Key::Outbound, MOST_OUTBOUND.to_string()),
            (Key::SniffTimeout, format!("{LONGEST_TIMEOUT_SECS}s")),
            (Key::DrainTimeout, format!("{LONGEST_TIMEOUT_SECS}s")),
            (Key::AdminBind, MOST_ADMIN_BINDS.to_string()),
            (Key::AdminAllow, MOST_PATTERNS.to_string()),
            (Key::GuardWindow, format!("{}h", GUARD_WINDOW_MOST.as_secs() / 3600)),
        ];
        for (key, bound) in rows {
            assert!(Opt::of(key).help.contains(&bound), "{key:?} should name {bound}");
        }
    }
}

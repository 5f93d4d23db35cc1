//! The table of options: the names, kind, default and help of each.
//!
//! Names are mongod's if mongod has the option. The defaults are also constants in the code, and the help states bounds
//! of [`crate::limits`]; tests compare them.

use super::options::ValueKind::{List, Secret, Switch, Value};
use super::options::{Form, OptionKey as Key, OptionSpec, reloadable, restart_only};

const LISTENING: &str = "Listening";
const UPSTREAM: &str = "Upstream";
const TLS: &str = "TLS";
const LIMITS: &str = "Limits";
const LOGS: &str = "Logs";
const CONTROL: &str = "Control";

/// The option of a key. Every key has exactly one option, which a test checks.
pub(super) fn option(key: Key) -> &'static OptionSpec {
    TABLE.iter().find(|option| option.key == key).unwrap_or(&TABLE[0])
}

/// The option with this name in a syntax, and the index of the name.
pub(super) fn find(form: Form, name: &str) -> Option<(&'static OptionSpec, usize)> {
    TABLE.iter().find_map(|option| Some((option, option.names(form).iter().position(|known| *known == name)?)))
}

/// Every option that is also a configuration key, in the order of the help.
pub(super) static TABLE: &[OptionSpec] = &[
    restart_only(Key::Port, LISTENING, &["port"], &["net.port"], Value("PORT"))
        .default("27017")
        .help("Port of the inbound route, 0 to 65535; with 0 the kernel chooses one."),
    restart_only(Key::BindIp, LISTENING, &["bind_ip"], &["net.bindIp"], Value("ADDRESS,..."))
        .default("127.0.0.1")
        .help(
            "Addresses of the inbound route: a comma list of IP addresses and names, which are resolved once, \
             at start. 0.0.0.0 is every IPv4 address, :: every IPv6 address.",
        ),
    restart_only(Key::InboundTransparent, LISTENING, &["inboundTransparent"], &["proxy.inboundTransparent"], Switch)
        .help(
            "Set IP_TRANSPARENT on the listening sockets of the inbound route, so that they accept \
             connections made to the server's own address, which the TPROXY rules of tlsramp netfilter lead \
             here. Needs CAP_NET_RAW, or sockets of a socket unit with Transparent=yes; every capability is \
             dropped before the first connection is accepted. Connections that other hosts make to the \
             listener's own address are refused (not_intercepted).",
        ),
    restart_only(Key::InboundTls, LISTENING, &["inboundTLS"], &["proxy.inboundTLS"], Value("terminate|passthrough"))
        .default("terminate")
        .help(
            "How admitted TLS connections are handled. terminate: decrypt them here. passthrough: relay them \
             unchanged to an upstream that speaks TLS itself. This needs no certificate here, and \
             MONGODB-X509 keeps working.",
        ),
    restart_only(Key::Upstream, UPSTREAM, &["upstream"], &["proxy.upstream"], Value("HOST:PORT|unix:PATH"))
        .help("The server that the inbound route connects to. Without it there is no inbound route."),
    restart_only(Key::UpstreamTls, UPSTREAM, &["upstreamTLS"], &["proxy.upstreamTLS"], Value("policy|never|always"))
        .default("policy")
        .help(
            "Whether connections to the upstream use TLS. policy: as the mode says for connections to other \
             servers. never: always plaintext, for a server on this host. always: TLS in every mode.",
        ),
    restart_only(Key::UpstreamBind, UPSTREAM, &["upstreamBind"], &["proxy.upstreamBind"], Value("IP")).help(
        "Source address of connections to the upstream, in the upstream's address family. An address \
             other than loopback keeps mongod from treating remote clients as local.",
    ),
    reloadable(Key::UpstreamProbe, UPSTREAM, &["upstreamProbe"], &["proxy.upstreamProbe"], Value("on|off"))
        .default("on")
        .help(
            "Whether to send hello to each upstream every 10 s, to learn its state. Use off for servers that \
             are not MongoDB; their TLS is still tried before a mode change.",
        ),
    reloadable(Key::Outbound, UPSTREAM, &["outbound"], &["proxy.outbound"], List("LISTEN=HOST:PORT[,name=NAME]")).help(
        "A route to another server: plaintext connections to LISTEN, a loopback IP:PORT (port 0: the \
             kernel chooses), are relayed to HOST:PORT, over TLS if the mode says so. The server's \
             certificate must be for NAME, which defaults to HOST. Repeatable, at most 256; flags replace the \
             file's list.",
    ),
    restart_only(Key::Transparent, UPSTREAM, &["outboundTransparent"], &["proxy.outboundTransparent"], Value("PORT"))
        .help(
            "A route for connections that the kernel redirects here (see tlsramp netfilter): listens on PORT \
             of 127.0.0.1 and ::1 and connects to the original destination (SO_ORIGINAL_DST), over TLS if the \
             mode says so. The server's certificate must be for the member at that address (see --member), \
             else for the IP address.",
        ),
    reloadable(Key::Member, UPSTREAM, &["member"], &["proxy.member"], List("NAME:PORT[=IP]")).help(
        "A replica set member, by its name in the set's configuration; its certificate is verified for \
             NAME. Add =IP if NAME does not resolve to the member from here. Members named by the server's \
             hello or by a rollout are known without this option; a hello does not name hidden members. \
             Repeatable, at most 256; flags replace the file's list.",
    ),
    reloadable(Key::Mode, TLS, &["sslMode", "tlsMode"], &["net.ssl.mode", "net.tls.mode"], Value("MODE"))
        .default("disabled")
        .help(
            "The policy at start: disabled, allowSSL, preferSSL or requireSSL; for --tlsMode: disabled, \
             allowTLS, preferTLS or requireTLS. Can be changed while running.",
        ),
    reloadable(
        Key::Certificate,
        TLS,
        &["sslPEMKeyFile", "tlsCertificateKeyFile"],
        &["net.ssl.PEMKeyFile", "net.tls.certificateKeyFile"],
        Value("FILE"),
    )
    .help(
        "PEM file with the certificate, its chain and its private key, presented to clients, and to other \
             servers if there is no cluster file.",
    ),
    reloadable(
        Key::CertificatePassword,
        TLS,
        &["sslPEMKeyPassword", "tlsCertificateKeyFilePassword"],
        &["net.ssl.PEMKeyPassword", "net.tls.certificateKeyFilePassword"],
        Secret("PASSWORD"),
    )
    .help(
        "Password of the private key, if it is encrypted (PKCS#8). Every user of the host can read the \
             command line: prefer a password file or the environment variable TLSRAMP_PEM_KEY_PASSWORD.",
    ),
    reloadable(
        Key::CertificatePasswordFile,
        TLS,
        &["sslPEMKeyPasswordFile", "tlsCertificateKeyFilePasswordFile"],
        &["net.ssl.PEMKeyPasswordFile", "net.tls.certificateKeyFilePasswordFile"],
        Value("FILE"),
    )
    .help("File whose first line is the password of the private key. It is read again whenever the key is."),
    reloadable(
        Key::Cluster,
        TLS,
        &["sslClusterFile", "tlsClusterFile"],
        &["net.ssl.clusterFile", "net.tls.clusterFile"],
        Value("FILE"),
    )
    .help("PEM file with the certificate, its chain and its private key, presented to other servers."),
    reloadable(
        Key::ClusterPassword,
        TLS,
        &["sslClusterPassword", "tlsClusterPassword"],
        &["net.ssl.clusterPassword", "net.tls.clusterPassword"],
        Secret("PASSWORD"),
    )
    .help(
        "Password of the cluster file's private key. The environment variable is \
             TLSRAMP_CLUSTER_PASSWORD.",
    ),
    reloadable(
        Key::ClusterPasswordFile,
        TLS,
        &["sslClusterPasswordFile", "tlsClusterPasswordFile"],
        &["net.ssl.clusterPasswordFile", "net.tls.clusterPasswordFile"],
        Value("FILE"),
    )
    .help("File whose first line is the password of the cluster file's private key."),
    reloadable(Key::Ca, TLS, &["sslCAFile", "tlsCAFile"], &["net.ssl.CAFile", "net.tls.CAFile"], Value("FILE")).help(
        "PEM file with the root certificates that verify other servers, and clients if there is no \
             cluster CA file. If this file is given, clients must present a certificate.",
    ),
    reloadable(
        Key::ClusterCa,
        TLS,
        &["sslClusterCAFile", "tlsClusterCAFile"],
        &["net.ssl.clusterCAFile", "net.tls.clusterCAFile"],
        Value("FILE"),
    )
    .help("PEM file with the root certificates that verify clients, instead of the CA file."),
    reloadable(Key::Crl, TLS, &["sslCRLFile", "tlsCRLFile"], &["net.ssl.CRLFile", "net.tls.CRLFile"], Value("FILE"))
        .help(
            "PEM file with certificate revocation lists (CRLs). Only the peer's own certificate is checked; \
             once the CRL of a CA has expired, every certificate of that CA is refused.",
        ),
    reloadable(
        Key::WithoutCertificates,
        TLS,
        &[
            "sslAllowConnectionsWithoutCertificates",
            "tlsAllowConnectionsWithoutCertificates",
            "sslWeakCertificateValidation",
            "tlsWeakCertificateValidation",
        ],
        &[
            "net.ssl.allowConnectionsWithoutCertificates",
            "net.tls.allowConnectionsWithoutCertificates",
            "net.ssl.weakCertificateValidation",
            "net.tls.weakCertificateValidation",
        ],
        Switch,
    )
    .help("Accept clients without a certificate. A certificate that is presented must still verify."),
    reloadable(
        Key::InvalidCertificates,
        TLS,
        &["sslAllowInvalidCertificates", "tlsAllowInvalidCertificates"],
        &["net.ssl.allowInvalidCertificates", "net.tls.allowInvalidCertificates"],
        Switch,
    )
    .help(
        "Accept certificates of clients and servers that do not verify. For tests only: anyone can pose \
             as a server.",
    ),
    reloadable(
        Key::InvalidHostnames,
        TLS,
        &["sslAllowInvalidHostnames", "tlsAllowInvalidHostnames"],
        &["net.ssl.allowInvalidHostnames", "net.tls.allowInvalidHostnames"],
        Switch,
    )
    .help("Accept servers' certificates that are for another name than the one dialled."),
    reloadable(
        Key::DisabledProtocols,
        TLS,
        &["sslDisabledProtocols", "tlsDisabledProtocols"],
        &["net.ssl.disabledProtocols", "net.tls.disabledProtocols"],
        Value("PROTOCOL,..."),
    )
    .default("TLS1_0,TLS1_1")
    .help(
        "Comma list of disabled protocol versions: TLS1_0, TLS1_1, TLS1_2, TLS1_3 (also noTLS1_0 and so \
             on), or none. TLS 1.0 and 1.1 are always disabled.",
    ),
    reloadable(Key::MaxIncoming, LIMITS, &["maxIncomingConnections"], &["net.maxIncomingConnections"], Value("COUNT"))
        .default("(80 % of the connections that the descriptor limit allows, less one for every two that may wait)")
        .help(
            "Maximum number of open inbound connections, 1 to 1000000, silent ones included. Up to 1024 \
             further connections wait for a slot. If a member waits, or a client that has sent something, \
             tlsramp may close a silent connection for it: the oldest one of the address (for IPv6: the /64 network) with \
             the most silent connections, if it has been silent for over 10 s. The last silent connection of an \
             address or network and the connections of members are never closed for this.",
        ),
    reloadable(Key::MaxPerIp, LIMITS, &["maxConnectionsPerIp"], &["proxy.maxConnectionsPerIp"], Value("COUNT"))
        .default("(no limit)")
        .help(
            "Maximum number of inbound connections from one IP address, 1 to 1000000, waiting ones included. \
             Further connections are closed at once. Members of the set are exempt. Clients behind one NAT \
             share one address.",
        ),
    reloadable(Key::MemberReserve, LIMITS, &["memberReserve"], &["proxy.memberReserve"], Value("COUNT"))
        .default("64")
        .help(
            "Number of inbound connections reserved for members of the set, so that a storm of clients does \
             not starve heartbeats: 0 to 1000000, at most half of the maximum. Members are known by the \
             addresses of --member, of --outbound, of the server's hello and of a rollout; if only one member \
             is known, or none, nothing is reserved.",
        ),
    restart_only(Key::Workers, LIMITS, &["workers"], &["proxy.workers"], Value("COUNT"))
        .default("(one for each core)")
        .help("Number of threads that relay data, 1 to 256."),
    reloadable(Key::SniffTimeout, LIMITS, &["sniffTimeout"], &["proxy.sniffTimeout"], Value("TIME"))
        .default("10s")
        .help(
            "Time limit from a connection's first byte until TLS and plaintext can be told apart, 1ms to \
             86400s, written as 10s, 500ms, 2m, 1h or a number of seconds. The connection is closed when it \
             expires.",
        ),
    reloadable(Key::HandshakeTimeout, LIMITS, &["handshakeTimeout"], &["proxy.handshakeTimeout"], Value("TIME"))
        .default("10s")
        .help("Time limit of a TLS handshake, with a client or with a server, 1ms to 86400s."),
    reloadable(Key::ConnectTimeout, LIMITS, &["connectTimeout"], &["proxy.connectTimeout"], Value("TIME"))
        .default("5s")
        .help("Time limit of name resolution and TCP connect to a server, 1ms to 86400s."),
    reloadable(Key::DrainTimeout, LIMITS, &["drainTimeout"], &["proxy.drainTimeout"], Value("TIME"))
        .default("60s")
        .help(
            "How long a stop waits for open connections, inbound first, then outbound, before it cuts them off, \
             up to 86400s; 0 means no limit. Connections that have been idle for a second are closed at once; busy \
             ones at the end of their request or transaction if their server is a member of a replica set, and \
             otherwise once they are idle.",
        ),
    reloadable(Key::OnSilence, LIMITS, &["onSilence"], &["proxy.onSilence"], Value("wait|close")).default("wait").help(
        "How to handle clients that connect and send nothing. wait: keep them, as mongod does. close: \
             close them after the sniff timeout, counted from the accept.",
    ),
    reloadable(Key::Refusal, LIMITS, &["refusal"], &["proxy.refusal"], Value("reply|close")).default("reply").help(
        "How to refuse clients. reply: send an error or a TLS alert. close: close without an answer, as \
             mongod does.",
    ),
    restart_only(Key::LogFormat, LOGS, &["logFormat"], &["proxy.logFormat"], Value("text|json"))
        .default("text")
        .help("Format of log lines."),
    reloadable(Key::LogLevel, LOGS, &["logLevel"], &["proxy.logLevel"], Value("error|warn|info|debug|trace"))
        .default("info")
        .help("Lowest level that is logged."),
    restart_only(Key::AdminBind, CONTROL, &["adminBind"], &["admin.bind"], List("IP:PORT|unix:PATH.sock|none"))
        .default("(127.0.0.1 and the port plus 1000)")
        .help(
            "Address of the admin port, for mongosh, HTTP and tlsramp ctl: a loopback address, which every \
             user of the host can reach; a unix socket, which only tlsramp's own user can reach; or, with TLS \
             and --adminAllow, any address. Repeatable, at most 16. none: no admin port.",
        ),
    reloadable(Key::AdminAllow, CONTROL, &["adminAllow"], &["admin.allow"], List("PATTERN")).help(
        "Client certificates that may use the admin port over TLS: a pattern for the subject \
             (CN=ops,O=Example) or, with the prefix DNS:, IP:, email: or URI:, for a subject alternative \
             name. * matches any characters, ? matches one, and ,* at the end of a subject matches any \
             number of further parts, even none (CN=ops,* matches CN=ops). DNS names are compared without \
             case. Repeatable, at most 64.",
    ),
    reloadable(Key::AdminReadOnly, CONTROL, &["adminReadOnly"], &["admin.readOnly"], Switch)
        .help("Refuse changes over TCP on the admin port; a unix socket still accepts them."),
    reloadable(Key::AdminHost, CONTROL, &["adminHost"], &["admin.host"], List("NAME")).help(
        "A further name to accept in the Host header of HTTP requests to the admin port, beside its \
             addresses, localhost and, over TLS, the names of its certificate. Other names are refused, \
             against DNS rebinding. Repeatable, at most 64.",
    ),
    reloadable(Key::AdminLink, CONTROL, &["adminLink"], &["admin.link"], List("URL")).help(
        "Page of another node, such as https://db2.example.net:28017/, to which the page of this admin port \
             links. Repeatable, at most 64.",
    ),
    restart_only(Key::ProbeBind, CONTROL, &["probeBind"], &["admin.probeBind"], List("IP:PORT")).help(
        "Address that serves /livez, /readyz and /metrics, and nothing else, in plaintext, for kubelet \
             and Prometheus. Repeatable, at most 16.",
    ),
    reloadable(Key::GuardWindow, CONTROL, &["guardWindow"], &["admin.guardWindow"], Value("TIME")).default("24h").help(
        "How long a plaintext client that has disconnected still blocks the change to requireSSL, up to \
             30 days (720h). Choose it longer than the pauses of the rarest job. 0: only open connections \
             block.",
    ),
    restart_only(Key::StateFile, CONTROL, &["stateFile"], &["admin.stateFile"], Value("FILE")).help(
        "File that keeps persisted mode changes and the list of seen clients over a restart. Without it \
             they are lost.",
    ),
    restart_only(Key::Takeover, CONTROL, &["takeover"], &["admin.takeover"], Value("PATH.sock")).help(
        "Unix socket by which a new tlsramp replaces a running one of the same user, without refusing a \
             connection. At start, if a tlsramp listens on this path, the new process takes over its listening \
             sockets, mode, list of seen clients, history and lease; the old process then closes its connections \
             as after SIGTERM. The new process listens on the path in turn. SIGUSR2 makes a running tlsramp start \
             its successor. Choose a folder to which no other user can write, such as /run/tlsramp.",
    ),
    restart_only(Key::Watch, CONTROL, &["watch"], &["admin.watch"], Value("certs|all|off")).default("certs").help(
        "Files that are read again when they change. certs: the TLS files. all: the configuration file \
             too. off: none.",
    ),
];

//! Checks `deploy/`: units, manifests and the image's recipe pass the tools that exist for them, and all options in
//! them exist.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tlsramp::testing::HANDSHAKES_HELD;

use crate::support::{Scratch, cert, certs, parts, process, require, require::root, require_command, run_to_end};

/// Uses a copy that names the built binary, because systemd checks whether the program of a unit exists.
#[test]
fn systemd_takes_the_units_and_finds_them_locked_down() {
    let analyze = require_command!("systemd-analyze");
    let version = systemd_version(&analyze);
    let folder = Scratch::new("units");
    let units = ["tlsramp.service", "tlsramp.socket", "tlsramp-netfilter.service"];
    for unit in units {
        let text = read(&format!("systemd/{unit}"));
        fs::write(folder.join(unit), text.replace("/usr/bin/tlsramp", env!("CARGO_BIN_EXE_tlsramp"))).unwrap();
    }
    if version >= 253 {
        fs::create_dir(folder.join("tlsramp.service.d")).unwrap();
        let drop_in = "tlsramp.service.d/notify-reload.conf";
        fs::write(folder.join(drop_in), read(&format!("systemd/{drop_in}"))).unwrap();
    }
    // The unit with the drop-in for replacements, under a name of its own.
    let replaced = folder.join("replaced.service.d");
    fs::create_dir(&replaced).unwrap();
    fs::copy(folder.join(units[0]), folder.join("replaced.service")).unwrap();
    fs::write(replaced.join("reload-replaces.conf"), read("systemd/tlsramp.service.d/reload-replaces.conf")).unwrap();
    let units = [&units[..], &["replaced.service"]].concat();
    for unit in &units {
        let mut verify = process::tethered(&analyze);
        verify.args(["verify", "--man=no", "--recursive-errors=one"]).arg(folder.join(unit));
        let output = process::output(verify, LIMIT).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.trim().is_empty(), "{unit}: {said}");
    }
    // Exposure levels, in tenths (of 10.0 at most). The unit for the rules may use the privileges that it needs.
    for (unit, threshold) in [("tlsramp.service", "17"), ("tlsramp-netfilter.service", "45")] {
        let mut security = process::tethered(&analyze);
        security.args(["security", "--offline=yes", "--no-pager", "--threshold", threshold]).arg(folder.join(unit));
        process::succeed(security, LIMIT).unwrap_or_else(|why| panic!("{unit}: {why}"));
    }
}

/// Values that occur twice agree: a stop may take longer than a drain, and a socket's addresses are those of the
/// options.
#[test]
fn the_units_go_with_the_configuration() {
    let service = read("systemd/tlsramp.service");
    let config = Config::of(&read("systemd/tlsramp.conf"));
    let drain = seconds(&config.value("proxy.drainTimeout"));
    assert!(seconds(setting(&service, "TimeoutStopSec")) > drain, "systemd would kill a drain");
    let state = config.value("admin.stateFile");
    assert!(state.starts_with(&format!("/var/lib/{}/", setting(&service, "StateDirectory"))), "{state}");
    let admin = config.value("admin.bind");
    assert!(admin.starts_with(&format!("unix:/run/{}/", setting(&service, "RuntimeDirectory"))), "{admin}");

    // Replacements go by the runtime directory, and the process that systemd supervises names the next one.
    let takeover = config.value("admin.takeover");
    assert!(takeover.starts_with(&format!("/run/{}/", setting(&service, "RuntimeDirectory"))), "{takeover}");
    assert_eq!((setting(&service, "Type"), setting(&service, "NotifyAccess")), ("notify", "main"));

    let socket = read("systemd/tlsramp.socket");
    let listens: Vec<_> = socket.lines().filter_map(|line| line.strip_prefix("ListenStream=")).collect();
    let port = config.value("net.port");
    assert_eq!(config.value("net.bindIp"), "::,0.0.0.0");
    assert_eq!(listens, [format!("[::]:{port}"), format!("0.0.0.0:{port}")]);

    let rules = read("systemd/tlsramp-netfilter.service");
    let group = setting(&service, "Group");
    let transparent = config.value("proxy.outboundTransparent");
    let wanted = format!("--port {port} --outboundTransparent {transparent} --exemptGroup {group} --keep");
    let joined = rules.replace(" \\\n   ", "");
    assert!(setting(&joined, "ExecStart").ends_with(&wanted), "{joined}");
    // If a stop removed the rules, plaintext would be let in.
    assert!(!rules.contains("\nExecStop"), "{rules}");
    // Both ways to a transparent socket (the capability and the socket unit), and the system call that drops it.
    assert!(config.0["proxy"]["inboundTransparent"] == true, "the rules hand over to a transparent listener");
    for capabilities in ["CapabilityBoundingSet", "AmbientCapabilities"] {
        assert_eq!(setting(&service, capabilities), "CAP_NET_RAW");
    }
    assert!(service.contains("\nSystemCallFilter=~@privileged\n") && service.contains("\nSystemCallFilter=capset\n"));
    assert_eq!(setting(&socket, "Transparent"), "yes");
}

#[test]
fn kubernetes_takes_the_manifests() {
    let python = require!(parts::checkers());
    for manifest in MANIFESTS {
        // The first version with native sidecars enabled by default, and the newest one known.
        for version in [&["-k", "1.29"][..], &[]] {
            let mut validate = process::tethered(python);
            validate.args(["-m", "kubernetes_validate", "--strict"]).args(version).arg(path(manifest));
            process::succeed(validate, LIMIT).unwrap_or_else(|why| panic!("{why}"));
        }
    }
}

/// As many connections as the configuration allows, with their handshakes, fit into the container's memory limit.
#[test]
fn the_memory_of_the_pods_carries_their_connections() {
    for manifest in MANIFESTS {
        let documents = documents(&read(manifest));
        let config = documents.iter().find_map(|document| document["data"]["tlsramp.conf"].as_str()).unwrap();
        let connections: usize = Config::of(config).value("net.maxIncomingConnections").parse().unwrap();
        let memory = container(&documents, "tlsramp")["resources"]["limits"]["memory"].as_str().unwrap();
        let memory = memory.strip_suffix("Mi").unwrap().parse::<usize>().unwrap() * MEBIBYTE;
        let needed = 32 * MEBIBYTE + 2 * HANDSHAKES_HELD + connections * CONNECTION_BYTES;
        // The other half is for data in transit on established connections and for the kernel's buffers.
        assert!(needed <= memory / 2, "{manifest}: {needed} of {memory} bytes for {connections} connections");
    }
}

#[test]
fn hadolint_takes_the_dockerfile() {
    let python = require!(parts::checkers());
    let mut hadolint = process::tethered(python.with_file_name("hadolint"));
    hadolint.arg(path("Dockerfile"));
    process::succeed(hadolint, LIMIT).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn tlsramp_takes_the_configuration_of_a_host() {
    check("tlsramp.conf", &read("systemd/tlsramp.conf"), &[]);
}

/// Checks the sidecar's arguments and ConfigMap as the container would receive them.
#[test]
fn tlsramp_takes_the_configuration_of_the_pods() {
    for manifest in MANIFESTS {
        let documents = documents(&read(manifest));
        let config = documents.iter().find_map(|document| document["data"]["tlsramp.conf"].as_str());
        let args = container_args(&documents, "tlsramp");
        let own: Vec<_> = args.iter().skip(1).filter(|arg| !arg.starts_with("--config=")).cloned().collect();
        assert_eq!(args[0], "run", "{manifest}");
        let own: Vec<_> = own.iter().map(|arg| arg.replace("$(POD_IP)", POD_IP)).collect();
        check(manifest, config.unwrap_or_else(|| panic!("{manifest}: a configuration")), &own);
    }
}

/// The rules are printed, not applied. A group of this host replaces the one that sysusers.d creates.
#[test]
fn tlsramp_makes_rules_of_the_arguments() {
    let rules = read("systemd/tlsramp-netfilter.service").replace(" \\\n   ", "");
    let unit: Vec<_> = setting(&rules, "ExecStart").split(' ').skip(1).map(str::to_owned).collect();
    let pod = container_args(&documents(&read(MANIFESTS[0])), "rules");
    for args in [unit, pod] {
        let verbs = ["--apply", "--keep"];
        let args = args.iter().filter(|arg| !verbs.contains(&&***arg)).map(|arg| arg.replace("tlsramp", "65534"));
        let output = run_to_end(args);
        let (script, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && script.contains("27117") && script.contains("27217"), "{script}{said}");
    }
}

/// Properties that the manifests' comments promise and no schema checks.
#[test]
fn the_manifests_have_what_a_sidecar_needs() {
    for manifest in MANIFESTS {
        let documents = documents(&read(manifest));
        let of_kind = |kind: &str| documents.iter().find(|document| document["kind"] == kind).expect(kind);
        let (service, set) = (of_kind("Service"), of_kind("StatefulSet"));
        assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
        assert_eq!(service["spec"]["clusterIP"], "None");
        let pod = &set["spec"]["template"]["spec"];
        let sidecar = container(&documents, "tlsramp");
        assert_eq!(sidecar["restartPolicy"], "Always", "a native sidecar outlives the mongod");
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            assert_eq!(sidecar[probe]["httpGet"]["port"], "probes", "{probe}");
        }
        let config = documents.iter().find_map(|document| document["data"]["tlsramp.conf"].as_str()).unwrap();
        let drain = seconds(&Config::of(config).value("proxy.drainTimeout"));
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= drain + 30, "kubelet would kill a drain");
        let mongod: Vec<_> = pod["containers"][0]["args"].as_array().unwrap().iter().collect();
        assert!(mongod.iter().any(|arg| *arg == "--setParameter=enableLocalhostAuthBypass=0"));

        let rules = pod["initContainers"].as_array().unwrap().iter().find(|container| container["name"] == "rules");
        assert_eq!(rules.is_some(), manifest.contains("transparent"), "{manifest}");
        assert_eq!(read(manifest).contains("add: [NET_ADMIN"), rules.is_some(), "{manifest}");
        if let Some(rules) = rules {
            let exempt = rules["args"].as_array().unwrap().iter().any(|arg| *arg == "--exemptGroup=65532");
            assert!(
                exempt
                    && sidecar["securityContext"]["runAsGroup"] == 65532
                    && pod["securityContext"]["fsGroup"] != 65532
            );
        }
    }
}

/// Runs `tlsramp check` with the certificates of the tests.
fn check(what: &str, config: &str, args: &[String]) {
    let folder = Scratch::new("deploy");
    let file = folder.join("tlsramp.conf");
    fs::write(&file, usable(config, &folder)).unwrap();
    let file = file.to_string_lossy().into_owned();
    let wanted = ["check", "--config", &file].map(str::to_owned);
    let output = run_to_end(wanted.iter().chain(args));
    let said = String::from_utf8_lossy(&output.stderr);
    // The pod's address does not belong to this host.
    let mut mistakes = said.lines().filter(|line| !line.starts_with("  ") && !line.starts_with("tlsramp: "));
    let only_the_pod = output.status.code() == Some(1) && mistakes.all(|line| line.contains(&format!("'{POD_IP}:")));
    assert!(output.status.success() || only_the_pod, "{what}: {said}");
}

/// The configuration with the certificates of the tests, and a folder for its state file and its socket.
fn usable(config: &str, folder: &Scratch) -> String {
    let folder_of_ours = folder.path().to_string_lossy();
    let mut usable = config.replace("/var/lib/tlsramp", &folder_of_ours).replace("/run/tlsramp", &folder_of_ours);
    if root().is_err() {
        // This option needs a capability; `tproxy.rs` tests it.
        usable = usable.replace("inboundTransparent: true", "inboundTransparent: false");
    }
    for (file, there) in [("server.pem", "member.pem"), ("ca.pem", "ca.pem")] {
        for folder in ["/etc/tlsramp/tls/", "/etc/tlsramp/"] {
            usable = usable.replace(&format!("{folder}{file}"), &cert(there));
        }
    }
    assert!(usable.contains(&*certs::shared().to_string_lossy()), "the certificates are where they are");
    usable
}

/// A configuration as keys and values.
struct Config(Value);

impl Config {
    fn of(text: &str) -> Config {
        Config(serde_saphyr::from_str(text).expect("YAML"))
    }

    /// A text or a number, as text.
    fn value(&self, key: &str) -> String {
        let found = key.split('.').fold(&self.0, |value, part| &value[part]);
        assert!(found.is_string() || found.is_number(), "nothing at {key}: {found}");
        found.as_str().map_or_else(|| found.to_string(), str::to_owned)
    }
}

fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|one| serde_saphyr::from_str(one).expect("YAML")).collect()
}

fn container<'a>(documents: &'a [Value], name: &str) -> &'a Value {
    let set = documents.iter().find(|document| document["kind"] == "StatefulSet").expect("a StatefulSet");
    let pod = &set["spec"]["template"]["spec"];
    let all = ["initContainers", "containers"].into_iter().filter_map(|list| pod[list].as_array()).flatten();
    all.into_iter().find(|container| container["name"] == name).unwrap_or_else(|| panic!("no container {name}"))
}

fn container_args(documents: &[Value], name: &str) -> Vec<String> {
    let args = container(documents, name)["args"].as_array().expect("arguments");
    args.iter().map(|arg| arg.as_str().expect("text").to_owned()).collect()
}

/// The value of a setting in a unit. The setting must occur exactly once.
fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    let mut values = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = values.next().unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(values.next(), None, "{name} twice");
    value
}

fn seconds(text: &str) -> u64 {
    text.trim_end_matches('s').parse().unwrap_or_else(|_| panic!("no seconds: {text}"))
}

fn systemd_version(analyze: &Path) -> u32 {
    let mut command = process::tethered(analyze);
    command.arg("--version");
    let said = String::from_utf8(process::succeed(command, LIMIT).unwrap().stdout).unwrap();
    said.split_whitespace().nth(1).and_then(|version| version.parse().ok()).unwrap_or_default()
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

const MEBIBYTE: usize = 1024 * 1024;
/// Memory of a connection without data in transit, rounded up: 8 KiB during its handshake, 6 KiB afterwards.
const CONNECTION_BYTES: usize = 16 * 1024;
const MANIFESTS: [&str; 2] = ["kubernetes/transparent.yaml", "kubernetes/explicit.yaml"];
/// Reading the schemas of Kubernetes takes a while.
const LIMIT: Duration = Duration::from_secs(300);

/// An address of TEST-NET-1 (RFC 5737).
const POD_IP: &str = "192.0.2.1";

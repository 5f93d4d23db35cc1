//! `check` gives the same verdict as `run`, with the same text and exit code, for everything that `run` examines before
//! it serves. Neither leaves anything behind.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
    process::Command,
};

use crate::support::service::SOON;
use crate::support::{Proxy, ReservedPort, Scratch, process, require, require_root, run_to_end};

/// A valid route.
const FRONT: [&str; 6] = ["--port", "0", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never"];

/// Exit code and standard error of a command that is started by a shell after `setup`.
fn verdict(setup: &str, command: &str, args: &[String]) -> (Option<i32>, String) {
    let mut shell = process::tethered("sh");
    shell.args(["-c", &format!("{setup} \"$@\""), "sh", env!("CARGO_BIN_EXE_tlsramp"), command]).args(args);
    let output = process::output(shell, SOON).unwrap_or_else(|why| panic!("{args:?} is not refused: {why}"));
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Refused by both, with the same text, which contains `part`.
#[track_caller]
fn refused_after(setup: &str, args: &[&str], code: i32, part: &str) {
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let check = verdict(setup, "check", &args);
    assert!(check.0 == Some(code) && check.1.contains(part), "check {args:?}: {check:?}");
    assert_eq!(check, verdict(setup, "run", &args), "check and run differ on {args:?}");
}

#[track_caller]
fn refused(args: &[&str], code: i32, part: &str) {
    refused_after("exec", args, code, part);
}

fn front(more: &[&str]) -> Vec<String> {
    FRONT.iter().chain(more).map(ToString::to_string).collect()
}

/// Accepted by both.
#[track_caller]
fn accepted(args: &[String]) {
    let check = verdict("exec", "check", args);
    assert_eq!(check.0, Some(0), "{args:?}: {check:?}");
    drop(Proxy::start(args));
}

#[test]
fn addresses() {
    // 192.0.2.1 belongs to TEST-NET-1, and fd98 is not a network of this host; but such addresses may be added later.
    for (address, code, part) in [
        ("192.0.2.1", 1, "Cannot assign requested address"),
        ("fd98::9", 1, "annot"),
        ("::ffff:127.0.0.1", 2, "write 127.0.0.1"),
        ("::ffff:0.0.0.0", 2, "write 0.0.0.0"),
        ("fe80::1", 2, "link-local"),
        ("224.0.0.1", 2, "multicast"),
        ("ff02::1", 2, "multicast"),
        ("255.255.255.255", 2, "broadcast"),
    ] {
        let of_port = if address.contains(':') { format!("[{address}]:0") } else { format!("{address}:0") };
        refused(&["--port", "0", "--bind_ip", address, "--upstream", "127.0.0.1:9"], code, part);
        refused(&[&FRONT[..], &["--probeBind", &of_port]].concat(), code, part);
    }
    refused(&["--port", "0", "--bind_ip", "192.0.2.1,224.0.0.1", "--upstream", "127.0.0.1:9"], 2, "multicast");
    refused(&["--port", "0", "--bind_ip", "not-there.invalid", "--upstream", "127.0.0.1:9"], 1, "so try again later");
}

#[test]
fn own_listeners_in_each_others_way() {
    let upstream = ["--upstream", "127.0.0.1:9", "--upstreamTLS", "never"];
    for listeners in [
        ["--port", "27998", "--adminBind", "127.0.0.1:27998"],
        ["--bind_ip=0.0.0.0", "--port=27998", "--probeBind", "127.0.0.1:27998"],
        ["--port=0", "--outboundTransparent=28999", "--adminBind", "127.0.0.1:28999"],
        ["--port=0", "--outboundTransparent=28999", "--probeBind", "[::]:28999"],
        // The default address of the admin port.
        ["--port", "27999", "--outboundTransparent", "28999"],
        ["--port=0", "--adminBind=127.0.0.1:28999", "--probeBind", "127.0.0.1:28999"],
        ["--port=27998", "--adminBind=none", "--outbound", "127.0.0.1:27998=db.invalid:1"],
    ] {
        refused(&[&listeners[..], &upstream].concat(), 2, "listens there too");
    }
}

#[test]
fn admin_sockets() {
    let folder = Scratch::new("check");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let bind = |name: &str| format!("unix:{}", path(name));
    fs::write(path("file.sock"), "precious").unwrap();
    fs::create_dir(path("real")).unwrap();
    symlink("real", folder.join("link")).unwrap();
    symlink("none", folder.join("broken")).unwrap();
    drop(UnixListener::bind(path("left.sock")).unwrap());
    let before = names(folder.path());
    for (name, part) in [
        ("none/a.sock", "No such file or directory"),
        ("broken/a.sock", "No such file or directory"),
        ("file.sock", "not a socket of this user"),
        ("real/../file.sock", "not a socket of this user"),
        ("file.sock/a.sock", "Not a directory"),
        (&format!("{}.sock", "l".repeat(120)), "SUN_LEN"),
    ] {
        refused(&[&FRONT[..], &["--adminBind", &bind(name)]].concat(), 2, part);
    }
    refused(&[&FRONT[..], &["--adminBind", "unix:/proc/a.sock"]].concat(), 2, "cannot listen");
    for (one, other) in [("a.sock", "a.sock"), ("a.sock", "real/../a.sock"), ("real/a.sock", "link/a.sock")] {
        refused(&[&FRONT[..], &["--adminBind", &bind(one), "--adminBind", &bind(other)]].concat(), 2, "given twice");
    }
    let state = path("real/../a.sock");
    refused(&[&FRONT[..], &["--adminBind", &bind("a.sock"), "--stateFile", &state]].concat(), 2, "is the path of");
    let upstream = ["--port", "0", "--upstream", &bind("m.sock"), "--upstreamTLS", "never"];
    refused(&[&upstream[..], &["--adminBind", &bind("m.sock")]].concat(), 2, "is also the socket of the upstream");
    assert_eq!(names(folder.path()), before);
    assert_eq!(fs::read(path("file.sock")).unwrap(), b"precious");
    for name in ["a.sock", "left.sock"] {
        accepted(&front(&["--adminBind", &bind(name), "--adminBind", "127.0.0.1:0"]));
    }
}

#[test]
fn folders_that_cannot_be_written_to() {
    let folder = Scratch::new("check");
    let closed = folder.join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("state"), "{}").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    let path = |name: &str| closed.join(name).to_string_lossy().into_owned();
    // Root can write everywhere, unless that capability is dropped.
    let setup = if require::root().is_ok() { "exec setpriv --bounding-set -dac_override" } else { "exec" };
    let bind = format!("unix:{}", path("a.sock"));
    refused_after(setup, &[&FRONT[..], &["--adminBind", &bind]].concat(), 2, "Permission denied");
    for name in ["new", "state"] {
        let file = path(name);
        let args = [&FRONT[..], &["--stateFile", &file]].concat();
        refused_after(setup, &args, 2, "cannot write the file: Permission denied");
    }
}

#[test]
fn state_files() {
    let folder = Scratch::new("check");
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    for name in ["shared", "dir"] {
        fs::create_dir(path(name)).unwrap();
    }
    fs::set_permissions(path("shared"), fs::Permissions::from_mode(0o1777)).unwrap();
    symlink("nowhere/state", folder.join("dangling")).unwrap();
    symlink("loop", folder.join("loop")).unwrap();
    symlink("later/", folder.join("to-later")).unwrap();
    symlink("dir", folder.join("to-dir")).unwrap();
    symlink("shared/new", folder.join("to-shared")).unwrap();
    symlink("dir/new", folder.join("to-new")).unwrap();
    fs::write(path("cut"), "{\"mode\":").unwrap();
    let before = names(folder.path());
    for (file, part) in [
        (path("shared/new"), "every user can write to its folder"),
        (path("to-shared"), "every user can write to its folder"),
        (path("dangling"), "No such file or directory"),
        (path("loop"), "symbolic links"),
        (path("later/"), "is a directory"),
        (path("later/."), "is a directory"),
        (path("to-later"), "is a directory"),
        (path("to-dir"), "expected the path of a file"),
        (path("dir"), "expected the path of a file"),
        (path("none/state"), "does not exist; create it as root"),
        (path("cut"), "is not a state file"),
        ("/proc/self/x".to_owned(), "cannot write the file"),
        ("/dev/null".to_owned(), "--stateFile"),
    ] {
        refused(&[&FRONT[..], &["--stateFile", &file]].concat(), 2, part);
    }
    assert_eq!(names(folder.path()), before);
    for name in ["new", "to-new"] {
        let args = front(&["--stateFile", &path(name)]);
        let check = verdict("exec", "check", &args);
        assert!(check.0 == Some(0) && !Path::new(&path(name)).exists(), "{check:?}");
        accepted(&args);
    }
}

#[test]
fn descriptors_and_sockets_that_were_passed_on() {
    let args = [&FRONT[..], &["--workers", "32"]].concat();
    refused_after("ulimit -n 64; exec", &args, 2, "the limit is 64");
    let setup = "exec 3</dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec";
    refused_after(setup, &FRONT, 2, "LISTEN_FDS");

    // Sockets of `[::]` that also accept IPv4, or two sockets of one address.
    let reserved = ReservedPort::new();
    let port = reserved.port().to_string();
    let args = ["--bind_ip", "::", "--port", &port, "--upstream", "127.0.0.1:9", "--upstreamTLS", "never"];
    let args = [&args[..], &["--adminBind", "none"]].concat();
    for (v6_only, count, part) in
        [(0, 1, "the socket also accepts IPv4 clients"), (1, 2, "two sockets with this address")]
    {
        let script = format!(
            "import os, socket, sys\n\
             os.closerange(3, 20)\n\
             kept = [socket.socket(socket.AF_INET6) for _ in range({count})]\n\
             for one in kept:\n\
             \x20   one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, {v6_only})\n\
             \x20   one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
             \x20   one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n\
             \x20   one.bind((\"::\", {port}))\n\
             \x20   one.listen()\n\
             \x20   one.set_inheritable(True)\n\
             os.environ.update(LISTEN_FDS=\"{count}\", LISTEN_PID=str(os.getpid()))\n\
             os.execv(sys.argv[1], sys.argv[1:])"
        );
        refused_after(&format!("exec python3 -c '{script}'"), &args, 2, part);
    }
}

/// If the system refuses to start threads, that is an error and not a panic.
#[test]
fn workers_that_the_system_refuses() {
    require_root!();
    let args = front(&["--workers", "60"]);
    let setup = "exec prlimit --nproc=20 setpriv --reuid 65534 --regid 65534 --clear-groups";
    let (code, said) = verdict(setup, "run", &args);
    assert!(code == Some(1) && said.contains("cannot start the workers") && said.contains("--workers"), "{said}");
}

#[test]
fn ports_without_the_right_to_them() {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first.trim().parse::<u16>().unwrap() <= 81 {
        return require::skipped("check_as_run", &"this host lets every user bind port 81");
    }
    let setup = if require::root().is_ok() { "exec setpriv --bounding-set -net_bind_service" } else { "exec" };
    let args = ["--port", "81", "--upstream", "127.0.0.1:9", "--upstreamTLS", "never"];
    refused_after(setup, &args, 2, "CAP_NET_BIND_SERVICE");
    refused_after(setup, &[&FRONT[..], &["--probeBind", "[::1]:81"]].concat(), 2, "CAP_NET_BIND_SERVICE");
}

/// A running instance does not prevent a check of its next configuration.
#[test]
fn check_passes_beside_the_instance_to_be_replaced() {
    let folder = Scratch::new("check");
    let bind = format!("unix:{}", folder.join("a.sock").display());
    let reserved = [(); 3].map(|()| ReservedPort::new());
    let [inbound, outbound, probes] = &reserved;
    let (port, out) = (inbound.port().to_string(), format!("{}=db.invalid:1", outbound.address()));
    let probes = probes.address().to_string();
    let args = ["--upstream", "127.0.0.1:9", "--upstreamTLS", "never", "--port", &port, "--adminBind", &bind];
    let args = [&args[..], &["--outbound", &out, "--probeBind", &probes]].concat();
    let _running = Proxy::start(&args);
    let output = run_to_end([&["check"], &args[..]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("the address is in use")).count(), 4, "{text}");
    assert!(folder.join("a.sock").exists());
    let run = run_to_end([&["run"], &args[..]].concat());
    let text = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{text}");
    assert_eq!(text.matches("another process listens there").count(), 4, "{text}");
}

/// The names of files in a folder and its subfolders.
fn names(folder: &Path) -> Vec<String> {
    let mut command = Command::new("find");
    command.arg(folder);
    let found = process::succeed(command, SOON).unwrap_or_else(|why| panic!("{why}"));
    let mut names: Vec<_> = String::from_utf8(found.stdout).unwrap().lines().map(str::to_owned).collect();
    names.sort();
    names
}

//! The service manager: notifications to it (sd_notify), and sockets that it passes on (socket activation).

use std::{
    fs::Permissions,
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::{
            fs::PermissionsExt as _,
            net::{UnixDatagram, UnixListener, UnixStream},
        },
    },
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::Instant,
};

use rustix::process::{Pid, kill_process};

use crate::support::{
    Mark, Proxy, ProxyBuilder, ReservedPort, Scratch, process, proxy::Signal, require_command, service::*,
};

/// The order of notifications: ready, reloading and ready again, stopping; a correct status line, and a watchdog.
#[test]
fn the_manager_is_told_of_every_turn() {
    let (upstream, manager) = (Upstream::start(), Manager::start());
    let mut launcher = manager.launcher();
    launcher.env("WATCHDOG_USEC", "400000");
    let mut proxy = ProxyBuilder::new(in_front_of(&upstream)).through(launcher).launch();
    let told = manager.wait("READY=1");
    assert!(told.contains("\nSTATUS=disabled, 0 connections open\n"), "{told}");
    proxy.wait_ready();
    let mut open = connect(&proxy);
    echoes(&mut open, b"before");
    manager.wait("STATUS=disabled, 1 connection open");
    for _ in 0..3 {
        manager.wait("WATCHDOG=1");
    }

    proxy.signal(Signal::HUP);
    let told = manager.wait("RELOADING=1");
    let since = told.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("since when");
    assert!(since.parse::<u64>().unwrap() > 0);
    manager.wait("READY=1");

    proxy.signal(Signal::TERM);
    let told = manager.wait("STOPPING=1");
    assert!(told.contains("STATUS=stopping, disabled, 1 connection open"), "{told}");
    // The watchdog is notified as before while the service drains.
    for _ in 0..3 {
        manager.wait("WATCHDOG=1");
    }
    drop(open);
    assert_eq!(proxy.wait_exit(SOON).unwrap().code(), Some(0));
}

/// Without a notification, the manager would not learn that a refused reload is over.
#[test]
fn a_refused_reload_is_over_too_and_the_status_says_so() {
    let (upstream, manager, folder) = (Upstream::start(), Manager::start(), Scratch::new("reload"));
    let file = folder.join("tlsramp.conf");
    std::fs::write(&file, format!("net: {{port: 0}}\n{}", yaml(&upstream))).unwrap();
    let config = ["--config", &*file.to_string_lossy()].map(str::to_owned);
    let proxy = ProxyBuilder::new(config).through(manager.launcher()).launch();
    manager.wait("READY=1");
    std::fs::write(&file, "nonsense: true\n").unwrap();
    proxy.signal(Signal::HUP);
    manager.wait("RELOADING=1");
    let told = manager.wait("READY=1");
    assert!(told.contains("the last reload by SIGHUP was refused"), "{told}");
}

/// SIGUSR2 starts the next process from the program's file, and the manager learns which process to supervise.
#[test]
fn the_manager_follows_to_the_next_process() {
    let (upstream, manager, folder) = (Upstream::start(), Manager::start(), Scratch::new("next"));
    let (inbound, admin) = (ReservedPort::new(), ReservedPort::new());
    let takeover = folder.join("takeover.sock").to_string_lossy().into_owned();
    let flags = ["--takeover", &takeover, "--adminBind", &admin.address().to_string()];
    let mut proxy = ProxyBuilder::new(
        wanting(&upstream, inbound.address(), &flags[..2])
            .into_iter()
            .map(|word| if word == "127.0.0.1:0" { flags[3].to_owned() } else { word }),
    )
    .through(manager.launcher())
    .launch();
    manager.wait("READY=1");
    proxy.wait_ready();
    proxy.signal(Signal::USR2);
    manager.wait("RELOADING=1");
    let started = proxy.wait_log(|line| line["message"] == "started a new process to replace this one", SOON);
    let pid = started["pid"].as_u64().unwrap();
    // systemd does not wait for a main process that is another process's child.
    let parent = procfs::process::Process::new(i32::try_from(pid).unwrap()).unwrap().stat().unwrap().ppid;
    assert_ne!(u64::try_from(parent).unwrap(), u64::from(proxy.pid()));
    manager.wait(&format!("MAINPID={pid}"));
    let told = manager.wait("READY=1");
    assert!(told.contains("STATUS=disabled, 0 connections open"), "{told}");
    assert_eq!(proxy.wait_exit(SOON).expect("it was replaced").code(), Some(0));
    let mut client = TcpStream::connect(inbound.address()).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    echoes(&mut client, b"by the next process");
    drop(client);
    let next = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(next, Signal::TERM).unwrap();
    manager.wait("STOPPING=1");
}

/// A manager that never reads does not block the service.
#[test]
fn a_manager_that_does_not_read_is_given_up_on() {
    let (upstream, folder) = (Upstream::start(), Scratch::new("manager"));
    let path = folder.join("notify");
    let _unread = UnixDatagram::bind(&path).unwrap();
    let stuffing = UnixDatagram::unbound().unwrap();
    stuffing.set_nonblocking(true).unwrap();
    while stuffing.send_to(b"x", &path).is_ok() {}
    let mut proxy = ProxyBuilder::new(in_front_of(&upstream)).through(notifying(&path)).launch();
    proxy.wait_ready();
    exchange(&proxy);
    proxy.wait_log(
        |line| line["message"] == "the service manager did not read a notification in time; it was dropped",
        SOON,
    );
    assert_eq!(proxy.terminate().code(), Some(0));
}

/// The socket belongs to the manager and exists between two runs: clients that connect in between are served by the
/// next run.
#[test]
fn a_restart_by_a_passed_socket_loses_nobody_in_the_queue() {
    let (upstream, listener) = (Upstream::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    let mut first = passed(&upstream, &listener, address, "inbound", &["--workers", "3"]);
    first.wait_ready();
    assert_eq!(first.address("inbound"), address);
    for _ in 0..20 {
        exchange(&first);
    }
    assert_eq!(first.terminate().code(), Some(0));

    let mut waiting: Vec<_> = (0..20).map(|_| TcpStream::connect(address).expect("the queue is there")).collect();
    for client in &mut waiting {
        client.write_all(b"said into the queue").unwrap();
    }
    let mut second = passed(&upstream, &listener, address, "tlsramp.socket", &["--workers", "2"]);
    second.wait_ready();
    for client in &mut waiting {
        client.set_read_timeout(Some(SOON)).unwrap();
        echoes_back(client, b"said into the queue");
    }
    drop(waiting);
    assert_eq!(second.terminate().code(), Some(0));
}

#[test]
fn a_socket_that_no_option_wants_is_a_mistake() {
    let (upstream, listener) = (Upstream::start(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    let other = ReservedPort::new();
    for (wanted, name, said) in [
        (
            other.address(),
            "inbound",
            format!("LISTEN_FDS '{address}': the service manager passed on this socket (inbound), but no"),
        ),
        (
            address,
            "admin",
            format!("LISTEN_FDS '{address}': the service manager named this socket admin, but its address"),
        ),
    ] {
        let mut proxy = passed(&upstream, &listener, wanted, name, &[]);
        assert_eq!(proxy.wait_exit(SOON).expect("it does not start").code(), Some(2));
        let _ = proxy.log().wait(Mark::START, SOON, |_| false);
        let log = proxy.log().lines(Mark::START).join("\n");
        assert!(log.contains(&said) && log.contains("ListenStream="), "{log}");
    }
}

/// A socket of the service manager has clients whether or not tlsramp accepts from it. So neither a reload nor a process
/// that replaces this one may leave it out.
#[test]
fn a_passed_socket_goes_over_and_is_not_left_out_later() {
    let (upstream, peer, folder) = (Upstream::start(), Upstream::start(), Scratch::new("passed"));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, inbound, admin) = (listener.local_addr().unwrap(), ReservedPort::new(), ReservedPort::new());
    let (file, takeover) = (folder.join("tlsramp.yaml"), folder.join("takeover.sock"));
    let configure = |outbound: &[String]| {
        let text = format!("{}  outbound: {outbound:?}\n", yaml(&upstream));
        std::fs::write(&file, text).unwrap();
    };
    let (with, without) = ([format!("{address}={}", peer.address)], []);
    let args = [
        ["--config", &file.to_string_lossy()],
        ["--port", &inbound.port().to_string()],
        ["--adminBind", &admin.address().to_string()],
        ["--takeover", &takeover.to_string_lossy()],
    ];
    let args = || args.into_iter().flatten();
    configure(&with);
    let socket = OwnedFd::from(listener.try_clone().unwrap());
    let mut old = ProxyBuilder::new(args()).through(handing_on("outbound")).stdin(socket.into()).launch();
    old.wait_ready();
    let served = || {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        echoes(&mut client, b"served");
    };
    served();
    let why = format!("LISTEN_FDS '{address}': the service manager passed on this socket (outbound), but no option");

    for _ in 0..2 {
        configure(&without);
        let mark = old.log().mark();
        old.signal(Signal::HUP);
        old.wait_log_since(mark, |line| line.to_string().contains(&why), SOON);
        served();

        let mut refused = ProxyBuilder::new(args()).launch();
        assert_eq!(refused.wait_exit(SOON).expect("it does not start").code(), Some(2));
        let _ = refused.log().wait(Mark::START, SOON, |_| false);
        let log = refused.log().lines(Mark::START).join("\n");
        assert!(log.contains(&why) && log.contains("stop the socket unit and the service"), "{log}");
        served();

        configure(&with);
        let mut new = ProxyBuilder::new(args()).launch();
        new.wait_ready();
        assert_eq!(old.wait_exit(SOON).expect("it was replaced").code(), Some(0));
        served();
        old = new;
    }
    assert_eq!(old.terminate().code(), Some(0));
}

#[test]
fn the_admin_socket_may_be_passed_on_if_it_is_not_open_to_all() {
    let (upstream, folder) = (Upstream::start(), Scratch::new("admin"));
    let path = folder.join("admin.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let bind = format!("unix:{}", path.display());
    let flags = || [in_front_of(&upstream), vec!["--adminBind".to_owned(), bind.clone()]].concat();
    let start = || {
        let socket = OwnedFd::from(listener.try_clone().unwrap());
        ProxyBuilder::new(flags()).through(handing_on("admin")).stdin(socket.into()).launch()
    };

    std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let mut open = start();
    assert_eq!(open.wait_exit(SOON).expect("it does not start").code(), Some(2));
    let _ = open.log().wait(Mark::START, SOON, |_| false);
    let log = open.log().lines(Mark::START).join("\n");
    assert!(log.contains("the socket's mode is 0666") && log.contains("SocketMode=0600"), "{log}");

    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let mut proxy = start();
    proxy.wait_ready();
    let mut asks = UnixStream::connect(&path).unwrap();
    asks.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut asks, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(proxy.terminate().code(), Some(0));
    assert!(path.exists(), "the socket is its maker's to remove");
}

/// systemd's own tool starts the program when the first client connects, and passes on the socket.
#[test]
fn systemd_passes_on_a_socket() {
    let activate = require_command!("systemd-socket-activate");
    let upstream = Upstream::start();
    // The tool does not report which port it has chosen.
    let reserved = ReservedPort::new();
    let address = reserved.address();
    let mut launcher = process::tethered(activate);
    launcher.args(["--fdname=inbound", "-l", &address.to_string()]);
    let mut proxy = ProxyBuilder::new(wanting(&upstream, address, &[])).through(launcher).launch();
    let began = Instant::now();
    let mut client = loop {
        match TcpStream::connect(address) {
            Ok(client) => break client,
            Err(error) => assert!(began.elapsed() < SOON, "nobody listens: {error}"),
        }
        std::thread::yield_now();
    };
    client.set_read_timeout(Some(SOON)).unwrap();
    echoes(&mut client, b"the one it was started for");
    proxy.wait_ready();
    drop(client);
    assert_eq!(proxy.terminate().code(), Some(0));
}

/// A proxy to which one socket is passed, and which is told to listen on an address.
fn passed(upstream: &Upstream, socket: &TcpListener, wanted: SocketAddr, name: &str, flags: &[&str]) -> Proxy {
    let socket: OwnedFd = socket.try_clone().unwrap().into();
    ProxyBuilder::new(wanting(upstream, wanted, flags)).through(handing_on(name)).stdin(socket.into()).launch()
}

fn wanting(upstream: &Upstream, address: SocketAddr, flags: &[&str]) -> Vec<String> {
    let (port, server) = (address.port().to_string(), upstream.address.to_string());
    let own = ["--port", &port, "--upstream", &server, "--upstreamTLS", "never", "--adminBind", "127.0.0.1:0"];
    own.iter().chain(flags).map(|&flag| flag.to_owned()).collect()
}

/// A command that turns its standard input into the first descriptor of sd_listen_fds(3), then executes the program.
fn handing_on(name: &str) -> Command {
    let mut command = process::tethered("sh");
    let script = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"";
    command.env("LISTEN_FDNAMES", name).args(["-c", script, "sh"]);
    command
}

/// The service manager's end of the notification socket.
struct Manager {
    /// What was received. It is read at once: the queue of the socket takes ten messages, and further ones are lost.
    told: mpsc::Receiver<String>,
    /// Kept because it contains the socket.
    _folder: Scratch,
    path: std::path::PathBuf,
}

impl Manager {
    fn start() -> Manager {
        let folder = Scratch::new("manager");
        let path = folder.join("notify");
        let (socket, (tell, told)) = (UnixDatagram::bind(&path).unwrap(), mpsc::channel());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = socket.recv(&mut bytes)
                && tell.send(String::from_utf8_lossy(&bytes[..count]).into_owned()).is_ok()
            {}
        });
        Manager { told, _folder: folder, path }
    }

    fn launcher(&self) -> Command {
        notifying(&self.path)
    }

    /// Waits for the next message with this line; other messages are ignored.
    #[track_caller]
    fn wait(&self, wanted: &str) -> String {
        loop {
            let told = self.told.recv_timeout(SOON).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            if told.lines().any(|line| line == wanted) {
                return told;
            }
        }
    }
}

/// A command that executes the program with this notification socket.
fn notifying(path: &Path) -> Command {
    let mut command = process::tethered("env");
    command.arg(format!("NOTIFY_SOCKET={}", path.display()));
    command
}

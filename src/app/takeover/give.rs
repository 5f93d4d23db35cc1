//! The running process's side of a takeover.

use std::future::pending;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::geteuid;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use super::channel::{receive_within, send_within};
use super::{PROTOCOL, SocketName, TakeoverAnswer, TakeoverRequest};
use crate::app::service_manager::{ProxyStatus, ServiceManager};
use crate::app::start::App;
use crate::control::FreezeError;
use crate::limits::{ACCEPT_BACKOFF_MOST, TAKEOVER_ANSWER, TAKEOVER_PREPARE, TAKEOVER_READY};
use crate::net::{PASSED_AT_ONCE, pass};

/// The reason why a new process does not replace this one.
#[derive(Debug, thiserror::Error)]
enum GiveError {
    /// The connection was closed without a request, as by a process that only looks whether another one listens.
    #[error("no request")]
    Nothing,
    #[error("the connection to the new process broke: {0}; see its error output")]
    Broken(#[from] io::Error),
    #[error("{0}")]
    Refused(String),
    #[error("cannot freeze: {0}")]
    Frozen(#[from] FreezeError),
    #[error("the new process sent another request than the expected one")]
    Unexpected,
}

/// Returns once a new process has replaced this one. Never returns without `--takeover`.
pub(crate) async fn replaced(app: &App, manager: &ServiceManager, proxy: &ProxyStatus) {
    let Some(socket) = &app.takeover else { return pending().await };
    let listener = match socket.listener.try_clone().and_then(UnixListener::from_std) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "cannot listen on the takeover socket, so no new process can replace this one");
            return pending().await;
        }
    };
    loop {
        let Ok((channel, _)) = listener.accept().await else {
            // The process is out of descriptors or memory.
            sleep(ACCEPT_BACKOFF_MOST).await;
            continue;
        };
        match give(channel, app, manager, proxy).await {
            Ok(()) => return,
            Err(GiveError::Nothing) => {}
            Err(error) => tracing::warn!(%error, "not replaced: this process serves on"),
        }
    }
}

/// Hands over to the process at the other end of the channel.
async fn give(
    mut channel: UnixStream,
    app: &App,
    manager: &ServiceManager,
    proxy: &ProxyStatus,
) -> Result<(), GiveError> {
    let peer = channel.peer_cred()?;
    let request = match receive_within(TAKEOVER_ANSWER, &mut channel).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(GiveError::Nothing),
        request => request?,
    };
    let TakeoverRequest::Begin { protocol, version } = request else { return Err(GiveError::Unexpected) };
    if let Some(reason) = refusal(peer.uid(), protocol) {
        return Err(refuse(&mut channel, reason).await);
    }
    let pid = peer.pid().unwrap_or_default();
    tracing::info!(pid, version = %crate::text::printable(&version), "a new process prepares to replace this one");
    let sockets = match app.sockets() {
        Ok(sockets) => sockets,
        Err(error) => {
            let remedy = "raise the descriptor limit (ulimit -n, LimitNOFILE=), or restart it instead";
            let reason = format!("the running tlsramp cannot copy its listening sockets: {error}; {remedy}");
            return Err(refuse(&mut channel, reason).await);
        }
    };
    send_sockets(&mut channel, sockets).await?;
    let TakeoverRequest::Freeze = receive_within(TAKEOVER_PREPARE, &mut channel).await? else {
        return Err(GiveError::Unexpected);
    };
    manager.reloading().await;
    let given = give_state(&mut channel, app, manager, pid).await;
    match &given {
        Ok(()) => tracing::info!(pid, "replaced: the new process accepts connections; closing open ones"),
        // `give_state` has dropped its `Frozen`, so the controller has thawed.
        Err(_) => manager.kept(proxy).await,
    }
    given
}

/// Freezes this process, and hands over its state. On an error, this process has thawed.
async fn give_state(channel: &mut UnixStream, app: &App, manager: &ServiceManager, pid: i32) -> Result<(), GiveError> {
    let frozen = match app.controller.freeze().await {
        Ok(frozen) => frozen,
        Err(error) => {
            let answer = TakeoverAnswer::Refused { reason: error.to_string() };
            send_within(TAKEOVER_ANSWER, channel, &answer).await?;
            return Err(error.into());
        }
    };
    send_within(TAKEOVER_ANSWER, channel, &TakeoverAnswer::State(Box::new(frozen.handover()))).await?;
    let TakeoverRequest::Ready = receive_within(TAKEOVER_READY, channel).await? else {
        return Err(GiveError::Unexpected);
    };
    // Sent before the answer: after the answer, the new process notifies the service manager, which accepts
    // notifications only from the main process.
    manager.replaced_by(pid).await;
    send_within(TAKEOVER_ANSWER, channel, &TakeoverAnswer::Replaced).await?;
    frozen.replaced();
    Ok(())
}

/// Tells the new process why it does not replace this one.
async fn refuse(channel: &mut UnixStream, reason: String) -> GiveError {
    let answer = TakeoverAnswer::Refused { reason: reason.clone() };
    match send_within(TAKEOVER_ANSWER, channel, &answer).await {
        Ok(()) => GiveError::Refused(reason),
        Err(error) => GiveError::Broken(error),
    }
}

fn refusal(uid: u32, protocol: u32) -> Option<String> {
    let ours = geteuid().as_raw();
    if uid != ours {
        return Some(format!("the new process has user ID {uid}, the running one {ours}; run both as the same user"));
    }
    (protocol != PROTOCOL).then(|| {
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "the new process uses version {protocol} of the takeover protocol, but the running tlsramp {version} uses \
             version {PROTOCOL}; restart instead (systemctl restart)"
        )
    })
}

/// A copy of a listening socket.
struct Given {
    name: SocketName,
    /// The name given by the service manager, if it has passed the socket on.
    passed: Option<String>,
    socket: OwnedFd,
}

impl Given {
    fn own(name: SocketName, socket: OwnedFd) -> Given {
        Given { name, passed: None, socket }
    }
}

async fn send_sockets(channel: &mut UnixStream, given: Vec<Given>) -> io::Result<()> {
    let (mut names, mut passed, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
    for one in given {
        names.push(one.name);
        passed.push(one.passed);
        sockets.push(one.socket);
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    send_within(TAKEOVER_ANSWER, channel, &TakeoverAnswer::Sockets { version, sockets: names, passed }).await?;
    let passed = async {
        for batch in sockets.chunks(PASSED_AT_ONCE) {
            let batch: Vec<BorrowedFd<'_>> = batch.iter().map(AsFd::as_fd).collect();
            channel.async_io(Interest::WRITABLE, || pass(&*channel, &batch)).await?;
        }
        Ok(())
    };
    tokio::time::timeout(TAKEOVER_ANSWER, passed).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

impl App {
    /// Copies of all listening sockets. A socket of the service manager is copied once, whoever listens on it.
    fn sockets(&self) -> io::Result<Vec<Given>> {
        let inherited = &self.listeners.inherited;
        let mut given = Vec::new();
        for (passed, socket) in inherited.tcp_copies()? {
            given.push(Given { name: SocketName::Tcp(passed.address), passed: Some(passed.name.clone()), socket });
        }
        for (passed, socket) in inherited.unix_copies()? {
            let name = SocketName::Unix { path: passed.address.clone(), made: false };
            given.push(Given { name, passed: Some(passed.name.clone()), socket });
        }
        let tcp = self.listeners.sockets()?.into_iter().chain(self.admin.tcp_copies()?);
        let tcp = tcp.filter(|(address, _)| inherited.listener(*address).is_none());
        given.extend(tcp.map(|(address, socket)| Given::own(SocketName::Tcp(address), socket)));
        for copy in self.admin.unix_copies()? {
            if inherited.unix().all(|passed| passed.address != copy.path) {
                given.push(Given::own(SocketName::Unix { path: copy.path, made: copy.made }, copy.socket));
            }
        }
        let admin = self.controller.view().settings().admin;
        if let Some((path, socket)) = admin.takeover.zip(self.takeover.as_ref()) {
            let name = SocketName::Unix { path, made: socket.file.is_some() };
            given.push(Given::own(name, socket.listener.try_clone()?.into()));
        }
        Ok(given)
    }
}

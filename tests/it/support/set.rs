//! A simulated replica set: a small server for each member, which answers `hello` as the test specifies, behind a real
//! tlsramp. For tests of rollouts, which depend on the members' `hello` and not on their data.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use bson::{Bson, Document, RawDocumentBuf, doc};
use tlsramp::testing::Request;

use super::{Proxy, Scratch, admin, cert, wait};

/// A member: its tlsramp and the server behind it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) proxy: Proxy,
    pub(crate) server: Hello,
    /// The folder of its state file.
    folder: Scratch,
}

/// The server's answer to `hello`. There is no answer until one is set.
#[derive(Debug, Clone)]
pub(crate) struct Hello {
    port: u16,
    says: Arc<(Mutex<Option<Document>>, Condvar)>,
}

impl Hello {
    pub(crate) fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// Starts the server on a given listener.
    pub(crate) fn on(listener: TcpListener) -> Self {
        let server = Self { port: listener.local_addr().unwrap().port(), says: Arc::default() };
        let answering = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = answering.clone();
                thread::spawn(move || server.serve(stream));
            }
        });
        server
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Stops answering, like a server that hangs.
    pub(crate) fn hush(&self) {
        *self.says.0.lock().unwrap() = None;
    }

    /// Sets the answer from now on.
    pub(crate) fn say(&self, document: Document) {
        *self.says.0.lock().unwrap() = Some(document);
        self.says.1.notify_all();
    }

    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        loop {
            let mut message = vec![0; 4];
            stream.read_exact(&mut message).ok()?;
            // A TLS ClientHello is not a message.
            let length = usize::try_from(u32::from_le_bytes(message[..].try_into().ok()?)).ok()?;
            (5..1 << 16).contains(&length).then_some(())?;
            message.resize(length, 0);
            stream.read_exact(&mut message[4..]).ok()?;
            let request = Request::parse(&message).ok()?;
            let said = self.says.1.wait_while(self.says.0.lock().unwrap(), |says| says.is_none()).unwrap().clone()?;
            let mut answer = doc! { "ok": 1.0, "maxWireVersion": 17, "minWireVersion": 0 };
            answer.extend(said);
            let answer = RawDocumentBuf::try_from(&answer).ok()?;
            stream.write_all(&request.reply(1, &answer)).ok()?;
        }
    }
}

impl Member {
    /// Starts a member in mode `disabled` that can serve all modes, with additional flags. Its configuration file names
    /// the mode, see [`Member::configure`].
    pub(crate) fn start(more: &[String]) -> Self {
        let (server, folder) = (Hello::start(), Scratch::new("member"));
        let (certificate, member, ca) = (cert("server.pem"), cert("member.pem"), cert("ca.pem"));
        let state = folder.join("state.json").to_string_lossy().into_owned();
        let upstream = server.address();
        let flags = [
            ["--port", "0"],
            ["--upstream", &upstream],
            ["--upstreamTLS", "never"],
            ["--upstreamProbe", "on"],
            ["--sslPEMKeyFile", &certificate],
            ["--sslClusterFile", &member],
            ["--sslCAFile", &ca],
            ["--stateFile", &state],
            // Clients that have disconnected must not count as blockers.
            ["--guardWindow", "0"],
        ];
        let flags = flags.as_flattened().iter().map(|flag| (*flag).to_owned()).chain(more.iter().cloned());
        let proxy = Proxy::start_with_config(&text("disabled"), flags);
        Self { proxy, server, folder }
    }

    /// Changes the mode in its configuration file, which is read when its status is requested.
    pub(crate) fn configure(&self, mode: &str) {
        std::fs::write(self.proxy.config_file(), text(mode)).unwrap();
    }

    /// Its admin address in the form of `--node`.
    pub(crate) fn node(&self) -> String {
        self.proxy.address("admin").to_string()
    }

    /// Its name in the set: the address at which its tlsramp accepts clients.
    pub(crate) fn me(&self) -> String {
        self.proxy.address("inbound").to_string()
    }

    /// Its mode.
    pub(crate) fn mode(&self) -> String {
        admin::of(&self.proxy).get("/status")["sslMode"].as_str().unwrap().to_owned()
    }
}

/// A tlsramp beside an application, with an outbound route to each of these servers in their order and no inbound
/// route.
pub(crate) fn beside_an_application(servers: &[String], folder: &Scratch) -> Proxy {
    let (certificate, ca) = (cert("member.pem"), cert("ca.pem"));
    let state = folder.join("state.json").to_string_lossy().into_owned();
    let mut flags =
        ["--sslClusterFile", &certificate, "--sslCAFile", &ca, "--stateFile", &state].map(String::from).to_vec();
    flags.extend(["--upstreamProbe", "on", "--guardWindow", "0"].map(String::from));
    flags.extend(servers.iter().flat_map(|server| ["--outbound".to_owned(), format!("127.0.0.1:0={server}")]));
    Proxy::start(flags)
}

/// Makes the members report that they form a set, with the first one as primary and further members `others`. Waits
/// until their probes have read this.
pub(crate) fn form(members: &[Member], others: &[String]) {
    form_set("rs", members, &[], others);
}

/// As [`form`], for a set with another name and with members that no `hello` names.
pub(crate) fn form_set(name: &str, members: &[Member], hidden: &[Member], others: &[String]) {
    let hosts: Vec<_> = members.iter().map(Member::me).chain(others.iter().cloned()).collect();
    for (place, member) in members.iter().chain(hidden).enumerate() {
        member.server.say(doc! {
            "setName": name,
            "me": member.me(),
            "hosts": hosts.iter().cloned().map(Bson::from).collect::<Vec<_>>(),
            "isWritablePrimary": place == 0,
            "secondary": place != 0,
        });
    }
    for member in members.iter().chain(hidden) {
        let admin = admin::of(&member.proxy);
        let knows = || admin.get("/status")["upstreams"][0]["hosts"].as_array().unwrap().len() == hosts.len();
        wait("the probe knows the set", knows);
    }
}

fn text(mode: &str) -> String {
    format!("sslMode = {mode}\n")
}

//! A client of a proxy's admin port, which uses HTTP like a script: one request per connection, JSON in both
//! directions.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;

use super::Proxy;

/// An admin port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admin {
    address: SocketAddr,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Everything before the body, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// The admin port of a proxy.
pub(crate) fn of(proxy: &Proxy) -> Admin {
    Admin { address: proxy.address("admin") }
}

/// Any HTTP server, at this address.
pub(crate) fn at(address: SocketAddr) -> Admin {
    Admin { address }
}

impl Admin {
    /// Sends a `GET`, which must succeed. Returns the JSON.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.request("GET", path, None).json(200)
    }

    /// Sends a `PUT`, which must succeed.
    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &Value) -> Value {
        self.request("PUT", path, Some(body)).json(200)
    }

    /// Sends a `POST`, which must succeed.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        self.request("POST", path, Some(body)).json(200)
    }

    /// Sends any request.
    pub(crate) fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.raw(&format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        ))
    }

    /// Sends bytes unchanged, and returns the whole answer.
    pub(crate) fn raw(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).expect("the admin port takes connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(request.as_bytes()).expect("the admin port takes the request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the admin port answers and closes");
        Answer::parse(&String::from_utf8(answer).expect("text"))
    }
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Self { status: status.expect("a status"), head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// The body as JSON. The answer must have this status.
    #[track_caller]
    pub(crate) fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.body))
    }
}

/// A recycle may wait for its connections; all other requests are answered at once.
const PATIENCE: Duration = Duration::from_secs(90);

//! The requests to an admin port.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::address::AdminAddress;
use super::answer::{Answer, Clients, Connections, LeaseReply, parse};
use super::connect::connect;
use super::error::ANSWER;
use super::error::ClientError;
use super::exchange::{AdminRequest, ask};
use crate::admin::replies::{
    AcceptReply, DoctorReply, ErrorReply, HistoryReply, MembersReply, ModeReply, Ready, RecycleReply, RotateReply,
    Status,
};
use crate::admin::requests::RecycleParameters;
use crate::admin::requests::{AcceptRequest, LeaseRequest, MembersRequest, ModeRequest, Nothing, ReadAgainRequest};
use crate::limits::{CLIENT_ANSWER, CLIENT_FOREIGN_CHARS, CLIENT_REPLACED_PAUSE, CLIENT_REPLACED_TRIES, RECYCLE_WAIT};
use crate::policy::{Mode, Spelling};
use crate::text::printable;
use crate::tls::Material;

/// A client of one admin port. Each request uses a new connection and is sent only once.
#[derive(Debug, Clone)]
pub struct AdminClient {
    address: AdminAddress,
    tls: Option<Arc<Material>>,
}

impl AdminClient {
    /// Creates a client of this admin port, which uses TLS if `tls` is given.
    pub fn new(address: AdminAddress, tls: Option<Arc<Material>>) -> AdminClient {
        AdminClient { address, tls }
    }

    /// The address of the admin port.
    pub fn address(&self) -> &AdminAddress {
        &self.address
    }

    /// Requests mode, listeners, servers, certificates and warnings.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn status(&self) -> Result<Answer<Status>, ClientError> {
        self.get("/status", &["sslMode", "generation"]).await
    }

    /// Requests the clients that were seen, or only those without TLS.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn clients(&self, plaintext_only: bool) -> Result<Answer<Clients>, ClientError> {
        self.get(if plaintext_only { "/clients?plaintext" } else { "/clients" }, &["clients"]).await
    }

    /// Requests the open and waiting connections, or only the open ones that the mode in force would not allow.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn connections(&self, non_conforming_only: bool) -> Result<Answer<Connections>, ClientError> {
        let path = if non_conforming_only { "/connections?nonConforming" } else { "/connections" };
        self.get(path, &["connections"]).await
    }

    /// Requests the last changes, made or refused, oldest first.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn history(&self) -> Result<Answer<HistoryReply>, ClientError> {
        self.get("/history", &["history"]).await
    }

    /// Requests the findings of the checks that the proxy makes of itself and of the servers around it.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn doctor(&self) -> Result<Answer<DoctorReply>, ClientError> {
        self.get("/doctor", &["mode", "checks"]).await
    }

    /// Requests the blockers of a change to this mode.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn ready(&self, to: Mode, spelling: Spelling) -> Result<Answer<Ready>, ClientError> {
        self.get(&format!("/ready?to={}", to.name(spelling)), &["ready", "blockers"]).await
    }

    /// Changes the mode.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn set_mode(&self, request: &ModeRequest) -> Result<Answer<ModeReply>, ClientError> {
        self.change(Method::PUT, "/mode", request, Duration::ZERO, &["was", "mode"]).await
    }

    /// Accepts that a client will be refused, or withdraws the acceptance.
    ///
    /// # Errors
    /// [`ClientError`], also the refusal for a client that was never seen, unless `unseen` is true.
    pub async fn accept(&self, key: &str, accepted: bool, unseen: bool) -> Result<Answer<AcceptReply>, ClientError> {
        let request = AcceptRequest { key: key.to_owned(), accepted, unseen };
        self.post("/accept", &request, &["key", "accepted"]).await
    }

    /// Reloads the TLS files; with `force`, also expired ones.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn rotate(&self, force: bool) -> Result<Answer<RotateReply>, ClientError> {
        self.post("/rotate", &ReadAgainRequest { force }, &["generation", "certificates"]).await
    }

    /// Reloads the configuration; with `force`, also with expired TLS files.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn reload(&self, force: bool) -> Result<Answer<ModeReply>, ClientError> {
        self.post("/reload", &ReadAgainRequest { force }, &["was", "mode"]).await
    }

    /// Recycles connections that the mode in force would not allow. The time limit for the answer is the usual one plus
    /// the wait of the request.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn recycle(&self, recycle: &RecycleParameters) -> Result<Answer<RecycleReply>, ClientError> {
        let wait = recycle.wait_secs.map_or(RECYCLE_WAIT, Duration::from_secs);
        self.change(Method::POST, "/recycle", recycle, wait, &["moved", "waiting"]).await
    }

    /// Acquires or renews the lease; with a `ttl` of zero, releases it.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn lease(&self, holder: &str, ttl: Duration, force: bool) -> Result<Answer<LeaseReply>, ClientError> {
        let request = LeaseRequest { holder: holder.to_owned(), ttl_secs: ttl.as_secs(), force };
        self.post("/lease", &request, &["lease"]).await
    }

    /// Replaces the member names of these replica sets; other sets are unchanged. `holder` is the holder of the lease,
    /// if there is one.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn set_members(
        &self,
        sets: &BTreeMap<String, Vec<String>>,
        holder: Option<&str>,
    ) -> Result<Answer<MembersReply>, ClientError> {
        let request = MembersRequest { sets: sets.clone(), force: false, holder: holder.map(str::to_owned) };
        self.post("/members", &request, &["members"]).await
    }

    /// Asks the proxy to stop.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn quit(&self) -> Result<Answer<Value>, ClientError> {
        self.post("/quit", &Nothing {}, &["quitting"]).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, keys: &[&str]) -> Result<Answer<T>, ClientError> {
        let question = AdminRequest { method: Method::GET, path: path.to_owned(), body: String::new() };
        self.ask(question, Duration::ZERO, keys).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        keys: &[&str],
    ) -> Result<Answer<T>, ClientError> {
        self.change(Method::POST, path, body, Duration::ZERO, keys).await
    }

    async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + Sync),
        wait: Duration,
        keys: &[&str],
    ) -> Result<Answer<T>, ClientError> {
        // Serializing a request type does not fail.
        let body = serde_json::to_string(body).unwrap_or_default();
        let question = AdminRequest { method, path: path.to_owned(), body };
        for _ in 0..CLIENT_REPLACED_TRIES {
            match self.ask(question.clone(), wait, keys).await {
                // The change was not made, and the new process answers on the same socket.
                Err(ClientError::Refused { reply, .. }) if reply.code == "Replaced" => {
                    sleep(CLIENT_REPLACED_PAUSE).await
                }
                decided => return decided,
            }
        }
        self.ask(question, wait, keys).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        question: AdminRequest,
        wait: Duration,
        keys: &[&str],
    ) -> Result<Answer<T>, ClientError> {
        let stream = connect(&self.address, self.tls.as_deref()).await?;
        let limit = CLIENT_ANSWER.saturating_add(wait);
        let answer = timeout(limit, ask(stream, &self.address, question)).await;
        let (status, body) =
            answer.map_err(|_| ClientError::TimedOut { address: self.address.to_string(), what: ANSWER, limit })??;
        self.read(status, &body, keys)
    }

    fn read<T: DeserializeOwned>(
        &self,
        status: StatusCode,
        body: &Bytes,
        keys: &[&str],
    ) -> Result<Answer<T>, ClientError> {
        let json = String::from_utf8_lossy(body);
        if status.is_success() {
            if let Some(value) = parse(&json, keys) {
                return Ok(Answer { value, json: json.into_owned() });
            }
        } else if let Some(reply) = parse::<ErrorReply>(&json, &["error", "code"]) {
            let (reply, json) = (Box::new(reply), json.into_owned());
            return Err(ClientError::Refused { status: status.as_u16(), reply, json });
        }
        let start: String = json.trim().chars().take(CLIENT_FOREIGN_CHARS).collect();
        let found = format!("its answer has status {} and begins with \"{}\"", status.as_u16(), printable(&start));
        Err(ClientError::NotTlsramp { address: self.address.to_string(), found })
    }
}

//! Session resumption that ends when the identity of the peer expires. A ticket or stored session contains the time at
//! which the verified certificates and CRLs expire. From then on, it is not resumed, and a full handshake takes place
//! instead.
//!
//! rustls calls verifiers, ticketers and session stores without telling them the connection. Each [`step`] of a
//! connection therefore stores the expiry time of its peer's identity in a thread local while rustls runs. Outside of a
//! step, no session is stored and no ticket is issued.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};

use crate::limits::{CLIENT_SESSIONS, CLIENT_TICKETS, SERVER_SESSIONS};

/// Expiry time of an identity if nothing was verified.
pub(crate) const NEVER: i64 = i64::MAX;

thread_local! {
    /// Expiry time of the peer's identity in the current step, in seconds since 1970; `None` outside of a step.
    static END: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Runs one step of a connection. `end` is the time at which the peer's identity expires; it is updated if the step
/// verifies the peer or resumes a session.
pub(crate) fn step<T>(end: &mut i64, work: impl FnOnce() -> T) -> T {
    let outer = END.replace(Some(*end));
    let result = work();
    if let Some(noted) = END.replace(outer) {
        *end = noted;
    }
    result
}

/// Sets the expiry time of the identity that was just verified: the first second at which it is no longer valid.
pub(crate) fn note(end: i64) {
    if END.get().is_some() {
        END.set(Some(end));
    }
}

/// The current time in seconds since 1970.
pub(crate) fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}

/// Expiry time of the identity in the current step; `None` if it has passed.
fn future_end() -> Option<i64> {
    END.get().filter(|end| now() < *end)
}

fn stamped(session: &[u8]) -> Option<Vec<u8>> {
    Some([&future_end()?.to_be_bytes(), session].concat())
}

/// Returns the session without its expiry time; `None` if it has expired. The current step adopts the expiry time.
fn unstamped(stamped: &[u8]) -> Option<Vec<u8>> {
    let (end, session) = stamped.split_first_chunk()?;
    let end = i64::from_be_bytes(*end);
    (now() < end).then(|| {
        note(end);
        session.to_vec()
    })
}

/// Issues tickets to clients. The ticket of a resumed session expires at the same time as the previous ticket.
#[derive(Debug)]
pub(crate) struct ExpiringTicketer(pub(crate) Arc<dyn ProducesTickets>);

impl ProducesTickets for ExpiringTicketer {
    fn enabled(&self) -> bool {
        self.0.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.0.encrypt(&stamped(session)?)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        unstamped(&self.0.decrypt(ticket)?)
    }
}

/// TLS 1.2 sessions of clients that do not support tickets.
#[derive(Debug)]
pub(crate) struct ServerSessionCache(Arc<ServerSessionMemoryCache>);

impl Default for ServerSessionCache {
    fn default() -> ServerSessionCache {
        ServerSessionCache(ServerSessionMemoryCache::new(SERVER_SESSIONS))
    }
}

impl StoresServerSessions for ServerSessionCache {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        stamped(&session).is_some_and(|stamped| self.0.put(id, stamped))
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        unstamped(&self.0.get(id)?)
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        unstamped(&self.0.take(id)?)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// Sessions with servers, by server name. Holds at most [`CLIENT_SESSIONS`] servers; a new one evicts the oldest.
#[derive(Default)]
pub(crate) struct ClientSessionCache(Mutex<SessionTable>);

#[derive(Default)]
struct SessionTable {
    known: HashMap<ServerName<'static>, StoredSessions>,
    oldest_first: VecDeque<ServerName<'static>>,
}

#[derive(Default)]
struct StoredSessions {
    kx_hint: Option<NamedGroup>,
    tls12: Option<ExpiringSession<Tls12ClientSessionValue>>,
    tls13: VecDeque<ExpiringSession<Tls13ClientSessionValue>>,
}

struct ExpiringSession<T> {
    end: i64,
    session: T,
}

impl<T> ExpiringSession<T> {
    fn new(session: T) -> Option<ExpiringSession<T>> {
        future_end().map(|end| ExpiringSession { end, session })
    }

    /// Returns the session; `None` if it has expired. The current step adopts its expiry time.
    fn resumed(self) -> Option<T> {
        (now() < self.end).then(|| {
            note(self.end);
            self.session
        })
    }
}

impl ClientSessionCache {
    fn servers(&self) -> MutexGuard<'_, SessionTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionTable {
    fn at(&mut self, name: ServerName<'static>) -> &mut StoredSessions {
        if !self.known.contains_key(&name) {
            if self.known.len() >= CLIENT_SESSIONS
                && let Some(oldest) = self.oldest_first.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.oldest_first.push_back(name.clone());
        }
        self.known.entry(name).or_default()
    }
}

impl fmt::Debug for ClientSessionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSessionCache").finish_non_exhaustive()
    }
}

impl ClientSessionStore for ClientSessionCache {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.servers().at(name).kx_hint = Some(group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.servers().known.get(name)?.kx_hint
    }

    fn set_tls12_session(&self, name: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.servers().at(name).tls12 = ExpiringSession::new(session);
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        let servers = self.servers();
        let ExpiringSession { end, session } = servers.known.get(name)?.tls12.as_ref()?;
        ExpiringSession { end: *end, session: session.clone() }.resumed()
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        if let Some(server) = self.servers().known.get_mut(name) {
            server.tls12 = None;
        }
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, session: Tls13ClientSessionValue) {
        let Some(ending) = ExpiringSession::new(session) else { return };
        let mut servers = self.servers();
        let tickets = &mut servers.at(name).tls13;
        if tickets.len() >= CLIENT_TICKETS {
            tickets.pop_front();
        }
        tickets.push_back(ending);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut servers = self.servers();
        let tickets = &mut servers.known.get_mut(name)?.tls13;
        while let Some(ticket) = tickets.pop_back() {
            if let Some(session) = ticket.resumed() {
                return Some(session);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{ExpiringTicketer, NEVER, ServerSessionCache, note, now, step};
    use rustls::server::{ProducesTickets, StoresServerSessions};

    fn tickets() -> ExpiringTicketer {
        ExpiringTicketer(rustls::crypto::aws_lc_rs::Ticketer::new().unwrap())
    }

    #[test]
    fn a_ticket_is_good_until_its_end_and_hands_it_on() {
        let tickets = tickets();
        for (end, good) in [(now() - 1, false), (now(), false), (now() + 60, true), (NEVER, true)] {
            let mut full = NEVER;
            let ticket = step(&mut full, || {
                note(end);
                tickets.encrypt(b"session")
            });
            assert_eq!((ticket.is_some(), full), (good, end));
            let Some(ticket) = ticket else { continue };
            let mut resumed = NEVER;
            assert_eq!(step(&mut resumed, || tickets.decrypt(&ticket)).unwrap(), b"session");
            assert_eq!(resumed, end, "the next ticket ends with this one");
        }
    }

    #[test]
    fn what_has_ended_since_is_not_resumed() {
        let tickets = tickets();
        let over = [&now().to_be_bytes()[..], b"session"].concat();
        let ticket = tickets.0.encrypt(&over).unwrap();
        let mut end = NEVER;
        assert_eq!(step(&mut end, || tickets.decrypt(&ticket)), None);
        assert_eq!(end, NEVER, "it counts as not shown");
        let sessions = ServerSessionCache::default();
        sessions.0.put(b"id".to_vec(), over);
        assert_eq!(sessions.get(b"id"), None);
    }

    #[test]
    fn nothing_is_made_outside_of_a_step() {
        assert_eq!(tickets().encrypt(b"session"), None);
        assert!(!ServerSessionCache::default().put(b"id".to_vec(), b"session".to_vec()));
        note(1);
        let mut end = NEVER;
        step(&mut end, || ());
        assert_eq!(end, NEVER);
    }
}

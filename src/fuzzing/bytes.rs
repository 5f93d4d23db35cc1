//! Pure functions over bytes: the opening of a connection, and MongoDB's messages.

use std::io::Read;

use rustls::server::Acceptor;

use crate::mongo::refusal::refusal;
use crate::mongo::{FirstMessage, Follower, Greeting, Reply, Request, TrailingRequests, Transaction};
use crate::policy::Opening;
use crate::sniff::{Class, ClientHello, classify};

/// The classification of the first bytes, and what a ClientHello says.
///
/// A decision is final: a prefix is undecided or gets the same answer. If both `ClientHello` and rustls find a server
/// name, the names are equal. In a hello with a damaged extension, rustls may find a name where `ClientHello` finds
/// none.
pub fn client_hello(data: &[u8]) {
    let whole = classify(data);
    for end in 0..data.len().min(20) {
        let class = classify(&data[..end]);
        assert!(class == Class::NeedMore || class == whole, "{class:?} after {end} bytes, then {whole:?}");
    }
    let hello = ClientHello::read(data);
    let _ = (hello.is_too_old(), hello.versions.to_string());
    let mut acceptor = Acceptor::default();
    if acceptor.read_tls(&mut data.take(u64::MAX)).is_err() {
        return;
    }
    if let Ok(Some(accepted)) = acceptor.accept() {
        // rustls accepts any minor version in a record; TLS defines none above 4.
        if data[2] <= 4 {
            assert_eq!(whole, Class::Is(Opening::Tls), "rustls reads a ClientHello");
        }
        if let Some(name) = accepted.client_hello().server_name() {
            let normal = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
            if let Some(sni) = &hello.sni {
                assert_eq!(normal(sni), normal(name));
            }
        }
    }
}

/// The first message of a connection, and the messages that are read whole.
///
/// The answer does not depend on how the message is cut.
pub fn first_message(data: &[u8]) {
    let answers = |size: usize| -> Vec<Greeting> {
        let mut first = FirstMessage::default();
        data.chunks(size).filter_map(|chunk| first.take(chunk)).collect()
    };
    let whole = answers(data.len().max(1));
    assert!(whole.len() <= 1);
    for size in [1, 7, 16, 17] {
        assert_eq!(answers(size), whole, "in pieces of {size}");
    }
    let _ = (Request::parse(data), Reply::parse(data));
    let _ = refusal(data, 141, "SSLHandshakeFailed", "refused");
    let (mut once, mut piecewise) = (TrailingRequests::default(), TrailingRequests::default());
    let sorted = once.take(data);
    let mut passed = Vec::new();
    let mut refused = false;
    for chunk in data.chunks(5) {
        let sorted = piecewise.take(chunk);
        passed.extend(sorted.unanswered);
        refused |= sorted.refused;
        if refused {
            break;
        }
    }
    assert_eq!((passed, refused), (sorted.unanswered, sorted.refused));
}

/// The message follower, over both directions of a connection.
///
/// The input is a script. Each step has a byte for the direction (bit 0) and for whether bodies are inspected from then
/// on (bit 1), two bytes for a length, and that many bytes of the connection.
///
/// What is known at a boundary does not depend on how the bytes are cut, nor on whether bodies are skipped. Inputs with
/// an OP_COMPRESSED message are excepted: the kind that is read from a damaged message depends on how much of the
/// message had arrived when it was decompressed.
pub fn follower(data: &[u8]) {
    let mut followers = [Follower::default(), Follower::default(), Follower::default()];
    let compressed = data.windows(OP_COMPRESSED.len()).any(|bytes| bytes == OP_COMPRESSED);
    let mut script = data;
    while let Some(([flags, low, high], rest)) = script.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (bytes, rest) = rest.split_at(length);
        script = rest;
        if flags & 2 != 0 {
            followers.iter_mut().for_each(Follower::watch);
        }
        let [whole, piecewise, skipping] = &mut followers;
        if flags & 1 == 0 {
            whole.sent(bytes);
            bytes.chunks(3).for_each(|chunk| piecewise.sent(chunk));
            skip(skipping, bytes, Follower::unseen_up, Follower::passed_up, Follower::sent);
        } else {
            whole.received(bytes);
            bytes.chunks(3).for_each(|chunk| piecewise.received(chunk));
            skip(skipping, bytes, Follower::unseen_down, Follower::passed_down, Follower::received);
        }
        if compressed {
            assert_eq!(whole.speaks_mongodb(), piecewise.speaks_mongodb());
            assert_eq!(whole.speaks_mongodb(), skipping.speaks_mongodb());
            continue;
        }
        let expected = known(whole);
        assert_eq!(known(piecewise), expected, "in pieces");
        assert_eq!(known(skipping), expected, "with bodies skipped");
    }
}

/// Takes bytes as the relay does: the parts of a body that the follower need not see are only counted.
fn skip(
    follower: &mut Follower,
    mut bytes: &[u8],
    unseen: fn(&Follower) -> usize,
    passed: fn(&mut Follower, usize),
    take: fn(&mut Follower, &[u8]),
) {
    while !bytes.is_empty() {
        let count = unseen(follower).min(bytes.len());
        passed(follower, count);
        let (next, rest) = bytes[count..].split_at((bytes.len() - count).min(50));
        take(follower, next);
        bytes = rest;
    }
}

/// The state of a follower's requests, once it is at a boundary.
#[derive(Debug, PartialEq)]
struct KnownRequests {
    monitor: bool,
    unanswered: bool,
    transaction: Transaction,
    cursor: bool,
    sends_unanswered: bool,
}

/// Whether the bytes are MongoDB's, and what is known at a boundary; `None` elsewhere, since a request that has arrived
/// in part may not say its kind yet.
fn known(follower: &Follower) -> (bool, Option<KnownRequests>) {
    let requests = follower.at_boundary().then(|| KnownRequests {
        monitor: follower.is_monitor(),
        unanswered: follower.has_unanswered(),
        transaction: follower.transaction(),
        cursor: follower.has_cursor(),
        sends_unanswered: follower.sends_unanswered(),
    });
    (follower.speaks_mongodb(), requests)
}

const OP_COMPRESSED: [u8; 4] = 2012_u32.to_le_bytes();

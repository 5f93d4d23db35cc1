//! Boundaries, however the bytes are cut; requests that want no answer; transactions; nonsense.

use bson::raw::RawDocumentBuf;
use bson::rawdoc;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{Follower, Transaction};
use crate::mongo::header::OpCode;
use crate::mongo::request::{msg_command, query_command};

/// A message of any operation.
fn message(op_code: i32, request_id: i32, response_to: i32, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(16 + body.len()).unwrap();
    let header = [length, request_id, response_to, op_code].map(i32::to_le_bytes);
    [header.as_flattened(), body].concat()
}

fn msg(flags: u32, request_id: i32, response_to: i32, document: &RawDocumentBuf) -> Vec<u8> {
    message(2013, request_id, response_to, &[&flags.to_le_bytes()[..], &[0], document.as_bytes()].concat())
}

fn reply(request_id: i32, response_to: i32) -> Vec<u8> {
    msg(0, request_id, response_to, &rawdoc! { "ok": 1 })
}

fn compressed(request_id: i32, compressor: u8, original: &[u8]) -> Vec<u8> {
    let plain = &original[16..];
    let payload = match compressor {
        0 => plain.to_vec(),
        1 => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
        2 => {
            let mut encoder = flate2::read::ZlibEncoder::new(plain, flate2::Compression::default());
            let mut payload = Vec::new();
            std::io::Read::read_to_end(&mut encoder, &mut payload).unwrap();
            payload
        }
        _ => ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest),
    };
    let size = i32::try_from(plain.len()).unwrap().to_le_bytes();
    message(2012, request_id, 0, &[&original[12..16], &size[..], &[compressor], &payload].concat())
}

#[test]
fn a_boundary_is_after_the_answer_and_nowhere_else() {
    let mut follower = Follower::default();
    assert!(follower.at_boundary(), "nothing has happened");
    let request = msg_command(7, "admin", &rawdoc! { "ping": 1 });
    for byte in &request {
        follower.sent(std::slice::from_ref(byte));
        assert!(!follower.at_boundary());
    }
    let answer = reply(100, 7);
    for byte in &answer {
        assert!(!follower.at_boundary());
        follower.received(std::slice::from_ref(byte));
    }
    assert!(follower.at_boundary());
    follower.sent(&query_command(8, "admin", &rawdoc! { "isMaster": 1 }));
    follower.received(&reply(101, 7));
    assert!(!follower.at_boundary(), "that was the answer to another");
    follower.received(&message(1, 102, 8, &[0; 20]));
    assert!(follower.at_boundary());
}

#[test]
fn requests_one_after_another_are_settled_by_the_last_answer() {
    let mut follower = Follower::default();
    let ping = rawdoc! { "ping": 1 };
    follower.sent(&[msg_command(1, "a", &ping), msg_command(2, "a", &ping)].concat());
    follower.received(&reply(9, 1));
    assert!(!follower.at_boundary());
    follower.received(&reply(10, 2));
    assert!(follower.at_boundary());
}

#[test]
fn some_requests_want_no_answer() {
    let more_to_come = msg(2, 5, 0, &rawdoc! { "insert": "c", "$db": "d" });
    for quiet in
        [more_to_come, message(2002, 5, 0, &[0; 30]), message(2007, 5, 0, &[0; 16]), message(2001, 5, 0, &[0; 9])]
    {
        let mut follower = Follower::default();
        follower.sent(&quiet);
        assert!(follower.at_boundary(), "{quiet:?}");
        follower.sent(&msg_command(6, "a", &rawdoc! { "ping": 1 }));
        follower.sent(&quiet);
        assert!(!follower.at_boundary(), "the one before still does");
        follower.received(&reply(1, 6));
        assert!(follower.at_boundary());
    }
}

#[test]
fn an_answer_may_come_while_the_next_request_is_under_way() {
    let mut follower = Follower::default();
    follower.sent(&msg_command(1, "a", &rawdoc! { "ping": 1 }));
    let quiet = msg(2, 2, 0, &rawdoc! { "insert": "c", "$db": "d" });
    follower.sent(&quiet[..30]);
    follower.received(&reply(9, 1));
    assert!(!follower.at_boundary());
    follower.sent(&quiet[30..]);
    assert!(follower.at_boundary());
}

#[test]
fn a_stream_of_answers_has_a_boundary_after_each() {
    let mut follower = Follower::default();
    follower.sent(&msg(1 << 16, 1, 0, &rawdoc! { "hello": 1, "$db": "admin" }));
    follower.received(&msg(2, 50, 1, &rawdoc! { "ok": 1 }));
    assert!(follower.at_boundary());
    let next = msg(2, 51, 50, &rawdoc! { "ok": 1 });
    follower.received(&next[..20]);
    assert!(!follower.at_boundary());
    follower.received(&next[20..]);
    assert!(follower.at_boundary());
}

#[test]
fn inside_a_compressed_request() {
    let quiet = msg(2, 5, 0, &rawdoc! { "insert": "c", "$db": "d", "x": "x".repeat(3000) });
    for compressor in 0..4 {
        let request = compressed(5, compressor, &quiet);
        let mut follower = Follower::default();
        follower.sent(&request);
        assert!(!follower.at_boundary(), "not looked into: an answer may come");
        let mut follower = Follower::default();
        follower.watch();
        request.chunks(100).for_each(|chunk| follower.sent(chunk));
        assert!(follower.at_boundary(), "compressor {compressor}");
        follower.sent(&compressed(6, compressor, &msg(0, 6, 0, &rawdoc! { "ping": 1, "$db": "d" })));
        assert!(!follower.at_boundary());
        follower.received(&message(2012, 77, 6, &[0; 30]));
        assert!(follower.at_boundary());
    }
}

#[test]
fn transactions_are_known_while_watched() {
    let open = rawdoc! { "insert": "c", "$db": "d", "txnNumber": 1_i64, "autocommit": false };
    let commit = rawdoc! { "commitTransaction": 1, "$db": "admin", "autocommit": false };
    let mut follower = Follower::default();
    follower.sent(&msg(0, 1, 0, &open));
    follower.received(&reply(9, 1));
    follower.watch();
    assert_eq!(follower.transaction(), Transaction::Unknown);
    for compressor in [None, Some(1), Some(2), Some(3)] {
        for (document, expected) in [(&open, Transaction::Open), (&commit, Transaction::None)] {
            let plain = msg(0, 2, 0, document);
            follower.sent(&compressor.map_or(plain.clone(), |compressor| compressed(2, compressor, &plain)));
            follower.received(&reply(10, 2));
            assert_eq!(follower.transaction(), expected, "{compressor:?}");
        }
    }
}

/// What need not be looked at is all of a body but its first bytes and its last one; not looking changes nothing.
#[test]
fn a_body_may_pass_unseen() {
    let large = rawdoc! { "insert": "c", "filling": "x".repeat(100_000) };
    let (request, answer) = (msg(0, 7, 0, &large), msg(0, 100, 7, &large));
    let mut follower = Follower::default();
    assert_eq!((follower.unseen_up(), follower.unseen_down()), (0, 0));
    follower.sent(&request[..18]);
    assert_eq!(follower.unseen_up(), 0, "its flags are to come");
    follower.sent(&request[18..40]);
    assert_eq!(follower.unseen_up(), request.len() - 40 - 1);
    follower.passed_up(1000);
    follower.passed_up(follower.unseen_up());
    assert!(!follower.at_boundary() && follower.unseen_up() == 0);
    follower.sent(&request[request.len() - 1..]);
    follower.received(&answer[..100]);
    follower.passed_down(follower.unseen_down());
    assert!(!follower.at_boundary());
    follower.received(&answer[answer.len() - 1..]);
    assert!(follower.at_boundary());
    // A watched request is read, and what is not MongoDB is nobody's to read.
    follower.watch();
    follower.sent(&request[..40]);
    assert_eq!(follower.unseen_up(), 0);
    let mut other = Follower::default();
    other.sent(&[7; 40]);
    assert_eq!((other.unseen_up(), other.unseen_down()), (usize::MAX, usize::MAX));
    other.passed_up(1 << 40);
}

#[test]
fn what_is_not_mongodb_has_no_boundary() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 40],
        &message(2003, 1, 0, &[]),
        &[15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let mut follower = Follower::default();
        follower.sent(bytes);
        assert!(!follower.at_boundary() && !follower.speaks_mongodb());
    }
}

proptest! {
    /// However a conversation is cut, the boundaries are where they are when it is not.
    #[test]
    fn cuts_do_not_matter(kinds in proptest::collection::vec(0_u8..4, 1..20), cuts in proptest::collection::vec(1_usize..90, 1..20), watched in any::<bool>()) {
        let (mut whole, mut cut) = (Follower::default(), Follower::default());
        if watched {
            whole.watch();
            cut.watch();
        }
        let mut cuts = cuts.into_iter().cycle();
        for (id, kind) in (1..).zip(kinds) {
            let (request, answers) = match kind {
                0 => (msg_command(id, "d", &rawdoc! { "ping": 1 }), vec![reply(500, id)]),
                1 => (msg(2, id, 0, &rawdoc! { "insert": "c", "$db": "d" }), vec![]),
                2 => (query_command(id, "d", &rawdoc! { "isMaster": 1 }), vec![message(1, 500, id, &[0; 25])]),
                _ => (msg(1 << 16, id, 0, &rawdoc! { "hello": 1, "$db": "d" }), vec![msg(2, 900, id, &rawdoc! {}), msg(0, 901, 900, &rawdoc! {})]),
            };
            let mut feed = |bytes: &[u8], up: bool| {
                let take = |follower: &mut Follower, part: &[u8]| if up { follower.sent(part) } else { follower.received(part) };
                take(&mut whole, bytes);
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (part, after) = rest.split_at(cuts.next().unwrap().min(rest.len()));
                    take(&mut cut, part);
                    rest = after;
                }
                (whole.at_boundary(), cut.at_boundary())
            };
            let (whole_at, cut_at) = feed(&request, true);
            prop_assert_eq!(whole_at, cut_at);
            prop_assert_eq!(whole_at, kind == 1);
            for answer in answers {
                prop_assert_eq!(feed(&answer, false), (true, true));
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(up in proptest::collection::vec(any::<u8>(), 0..400), down in proptest::collection::vec(any::<u8>(), 0..400), op in 0_usize..11) {
        let op_code = OpCode::ALL[op].number();
        let mut follower = Follower::default();
        follower.watch();
        follower.sent(&message(op_code, 1, 0, &up));
        follower.received(&message(op_code, 1, 0, &down));
        follower.sent(&up);
        follower.received(&down);
        prop_assert!(!follower.at_boundary() || follower.speaks_mongodb());
    }
}

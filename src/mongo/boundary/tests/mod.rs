//! Tests of boundaries, independent of cuts; of requests that expect no reply; of transactions; and of invalid bytes.

mod properties;

use bson::raw::RawDocumentBuf;
use bson::rawdoc;

use super::{Follower, Transaction};
use crate::mongo::request::{msg_command, query_command};

/// A message with any operation.
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

/// As [`compressed`], with the request IDs of the original message.
fn compressed_as(compressor: u8, original: &[u8]) -> Vec<u8> {
    let mut message = compressed(0, compressor, original);
    message[4..12].copy_from_slice(&original[4..12]);
    message
}

/// Text that compresses moderately.
fn noise(length: usize) -> String {
    (0..length).map(|at| char::from(b'a' + ((at * at) >> 5).to_le_bytes()[0] % 20)).collect()
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

/// Mirrored reads of mongod from 4.4 on, and unacknowledged writes: recognised without inspection, however they are
/// cut, at any size, and without keeping more bytes than necessary.
#[test]
fn inside_a_compressed_request() {
    for filling in [0, 3000, 60_000] {
        let quiet = msg(2, 5, 0, &rawdoc! { "insert": "c", "$db": "d", "x": noise(filling) });
        for compressor in 0..4 {
            let request = compressed(5, compressor, &quiet);
            for watched in [false, true] {
                for size in [1, 7, 100, request.len()] {
                    let mut follower = Follower::default();
                    if watched {
                        follower.watch();
                    }
                    request.chunks(size).for_each(|chunk| follower.sent(chunk));
                    assert!(follower.at_boundary(), "compressor {compressor}, chunks of {size}");
                    assert!(follower.has_unanswered() && follower.head.is_none());
                    follower.sent(&compressed(6, compressor, &msg(0, 6, 0, &rawdoc! { "ping": 1, "$db": "d" })));
                    assert!(!follower.at_boundary());
                    follower.received(&message(2012, 77, 6, &[0; 30]));
                    assert!(follower.at_boundary());
                }
            }
        }
    }
}

/// mongod and drivers use other encoders than these tests: a stored block of zlib, every element of snappy, all blocks
/// of zstd.
#[test]
fn the_first_bytes_of_any_encoding() {
    let size = 40_u32.to_le_bytes();
    let head = |compressor: u8, payload: &[u8]| {
        crate::mongo::compressed::head(&[&2013_u32.to_le_bytes()[..], &size, &[compressor], payload].concat(), 16)
    };
    let plain: Vec<u8> = [2, 0, 0, 0, 0].into_iter().chain(20..55).collect();
    let stored = [&[0x78, 1, 1, 40, 0, 215, 255][..], &plain].concat();
    assert_eq!(head(2, &stored).unwrap(), plain[..16]);
    // A literal of one byte and a copy that overlaps its source; the long forms of both.
    let zeros = [40, 0, 0, 1 | 7 << 2, 1, 2 | 20 << 2, 1, 0];
    assert_eq!(head(1, &zeros).unwrap(), [0; 16]);
    let long = [&[40, 60 << 2, 3, 2, 0, 0, 0, 3 | 30 << 2, 4, 0, 0, 0][..]].concat();
    assert_eq!(head(1, &long).unwrap(), [2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(head(1, &long[..4]).unwrap(), [2], "as much as is there");
    assert_eq!(head(1, &[40, 1, 9]), None, "a copy of nothing");
    assert_eq!(head(1, &[0xff; 20]), None, "a length without an end");
    let frame = |descriptor: &[u8], block: u32, content: &[u8]| {
        [&[0x28, 0xb5, 0x2f, 0xfd][..], descriptor, &block.to_le_bytes()[..3], content].concat()
    };
    assert_eq!(head(3, &frame(&[0x20, 40], 40 << 3 | 1, &plain)).unwrap(), plain[..16], "one segment, a raw block");
    assert_eq!(head(3, &frame(&[0x80, 0x58, 40, 0, 0, 0], 40 << 3, &plain)).unwrap(), plain[..16], "a window, a size");
    assert_eq!(
        head(3, &frame(&[0, 0xff], 40 << 3 | 2 | 1, &[7])).unwrap(),
        [7; 16],
        "a run, and a window that nobody reserves"
    );
    assert_eq!(head(3, &frame(&[1, 0, 0], 40 << 3, &plain)), None, "a dictionary");
    assert_eq!(head(3, b"no zstd at all"), None);
    assert_eq!(head(3, &frame(&[0x20, 40], (200_000 << 3) | 4, &plain)), None, "longer than a block may be");
    assert_eq!(head(9, &plain), None);
}

/// A request that cannot be read is assumed to expect a reply: the next reply settles it.
#[test]
fn a_head_that_cannot_be_read_is_taken_to_want_an_answer() {
    for compressor in [1, 2, 3, 9] {
        let mut follower = Follower::default();
        let body = [&2013_u32.to_le_bytes()[..], &99_u32.to_le_bytes(), &[compressor], &[0xff; 300]].concat();
        follower.sent(&message(2012, 5, 0, &body));
        assert!(!follower.at_boundary() && follower.speaks_mongodb() && follower.head.is_none());
        follower.sent(&msg_command(6, "a", &rawdoc! { "ping": 1 }));
        follower.received(&reply(9, 6));
        assert!(follower.at_boundary(), "compressor {compressor}");
    }
    // Of a request whose kind stays unknown, only a bounded part is kept, and the rest is skipped.
    let mut follower = Follower::default();
    let body = [
        &2013_u32.to_le_bytes()[..],
        &900_000_u32.to_le_bytes(),
        &[2],
        &[0x78, 1],
        &[0, 0, 0, 255, 255].repeat(80_000)[..],
    ]
    .concat();
    let request = message(2012, 5, 0, &body);
    for chunk in request[..200_000].chunks(1000) {
        follower.sent(chunk);
        assert!(follower.head.as_ref().is_none_or(|head| head.bytes.len() <= crate::limits::FOLLOWED_HEAD_BYTES));
    }
    assert!(follower.head.is_none() && follower.unseen_up() > 100_000);
}

#[test]
fn a_monitor_is_known_by_its_hello() {
    for (document, monitors) in [
        (rawdoc! { "hello": 1, "$db": "admin" }, true),
        (rawdoc! { "isMaster": 1, "$db": "admin" }, true),
        (rawdoc! { "ismaster": 1, "$db": "admin" }, true),
        (rawdoc! { "find": "c", "$db": "admin" }, false),
    ] {
        let request = msg(1 << 16, 1, 0, &document);
        for size in [1, 20, request.len()] {
            let mut follower = Follower::default();
            request.chunks(size).for_each(|chunk| follower.sent(chunk));
            assert_eq!(follower.is_monitor(), monitors, "{document:?}");
            assert!(!follower.at_boundary());
            let answer = msg(2, 9, 1, &rawdoc! { "ok": 1 });
            follower.received(&answer[..30]);
            assert!(!follower.is_monitor(), "within an answer");
            follower.received(&answer[30..]);
            assert_eq!(follower.is_monitor(), monitors, "{document:?}");
            follower.sent(&msg(0, 2, 0, &document));
            assert!(!follower.is_monitor());
        }
    }
}

#[test]
fn cursors_are_known_while_watched() {
    let long = "x".repeat(40_000);
    let batch = |id: i64, filling: &str| rawdoc! { "cursor": { "nextBatch": [{ "x": filling, "id": 9_i64 }], "id": id, "ns": "d.c" }, "ok": 1.0 };
    let empty = rawdoc! { "cursor": { "nextBatch": [], "id": 5_i64, "ns": "d.c" }, "ok": 1.0 };
    let stream = rawdoc! { "cursor": { "nextBatch": [{ "x": 1 }], "postBatchResumeToken": {}, "id": 5_i64, "ns": "d.c" }, "ok": 1.0 };
    let get_more = rawdoc! { "getMore": 5_i64, "collection": "c", "$db": "d" };
    let mut follower = Follower::default();
    follower.watch();
    for compressor in [None, Some(1), Some(2), Some(3)] {
        for (document, expected) in [
            (batch(5, "x"), true),
            (rawdoc! { "ok": 1 }, true),
            (batch(0, "x"), false),
            (batch(5, &long), true),
            (stream.clone(), false),
            (batch(5, &long), true),
            (empty.clone(), false),
            (batch(5, "y"), true),
            // A compressed reply of this length is not inspected to its end.
            (batch(0, &long), compressor.is_some()),
            (batch(0, "x"), false),
        ] {
            follower.sent(&msg(0, 2, 0, &get_more));
            let answer = msg(0, 9, 2, &document);
            let answer = match compressor {
                None => answer,
                Some(compressor) => {
                    let mut answer = compressed(9, compressor, &answer);
                    answer[8..12].copy_from_slice(&2_i32.to_le_bytes());
                    answer
                }
            };
            answer.chunks(999).for_each(|chunk| follower.received(chunk));
            assert!(follower.at_boundary());
            assert_eq!(follower.has_cursor(), expected, "{compressor:?}, {} bytes", answer.len());
        }
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

/// The follower may skip all of a body except its first bytes and its last byte, with the same result.
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
    // A request under inspection must be read; bytes that are not MongoDB need not be.
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

//! Boundaries do not depend on how the bytes are cut, and no bytes cause a panic.

use bson::rawdoc;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{compressed_as, message, msg, noise, reply};
use crate::mongo::boundary::Follower;
use crate::mongo::header::OpCode;
use crate::mongo::request::{msg_command, query_command};

proptest! {
    /// The boundaries of a conversation do not depend on how its bytes are cut.
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

    /// Streams of all kinds of messages, cut anywhere, with skipped bodies: the boundaries are those that a reader of
    /// whole messages finds.
    #[test]
    fn boundaries_are_where_an_oracle_says(
        script in proptest::collection::vec((0_usize..10, 0_u8..5, 0_usize..40_000), 1..12),
        cuts in proptest::collection::vec(1_usize..5000, 1..20),
        watched in any::<bool>(),
    ) {
        let mut follower = Follower::default();
        if watched {
            follower.watch();
        }
        let (mut cuts, mut asked, mut streamed) = (cuts.into_iter().cycle(), Vec::new(), 0);
        for (id, (kind, compressor, filling)) in (1..).zip(script) {
            let document = rawdoc! { "find": "c", "$db": "d", "x": noise(filling) };
            let pack = |plain: Vec<u8>| if compressor == 4 { plain } else { compressed_as(compressor, &plain) };
            // The message, its direction, and whether it expects a reply or is a reply.
            let (bytes, up) = match kind {
                0 | 1 => { asked.push(id); (pack(msg(0, id, 0, &document)), true) }
                2 => (pack(msg(2, id, 0, &document)), true),
                3 => (pack(msg(2 | 1 << 16, id, 0, &document)), true),
                4 => (message(2002, id, 0, &vec![1; filling]), true),
                5 => { asked.push(id); (msg(1 << 16, id, 0, &document), true) }
                6 => (pack(message(2007, id, 0, &[0; 20])), true),
                // Replies, each to the last request, which settles all earlier ones; the replies of a stream have no
                // request of their own.
                7 | 8 if !asked.is_empty() => {
                    streamed = id;
                    (pack(msg(if kind == 8 { 2 } else { 0 }, id, asked.pop().unwrap(), &document)), false)
                }
                _ => { let to = streamed; streamed = id; (pack(msg(2, id, to, &document)), false) }
            };
            if !up && matches!(kind, 7 | 8) {
                asked.clear();
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let unseen = if up { follower.unseen_up() } else { follower.unseen_down() };
                let take = cuts.next().unwrap().min(rest.len());
                let (part, after) = rest.split_at(if unseen > 0 { take.min(unseen) } else { take });
                match (up, unseen > 0) {
                    (true, true) => follower.passed_up(part.len()),
                    (false, true) => follower.passed_down(part.len()),
                    (true, false) => follower.sent(part),
                    (false, false) => follower.received(part),
                }
                rest = after;
                prop_assert!(rest.is_empty() || !follower.at_boundary(), "within a message");
            }
            prop_assert_eq!(follower.at_boundary(), asked.is_empty(), "message {} of kind {}, compressor {}", id, kind, compressor);
            prop_assert!(follower.head.is_none());
        }
    }

    /// Bytes that are compressed, or are declared as compressed.
    #[test]
    fn no_compressed_bytes_make_it_panic(compressor in 0_u8..5, filling in 0_usize..3000, at in any::<usize>(), byte in any::<u8>(), cut in 1_usize..900) {
        let mut request = compressed_as(compressor.min(3), &msg(2, 5, 0, &rawdoc! { "insert": "c", "x": noise(filling) }));
        let at = 16 + at % (request.len() - 16);
        request[at] = byte;
        let mut follower = Follower::default();
        request.chunks(cut).for_each(|chunk| follower.sent(chunk));
        prop_assert!(follower.speaks_mongodb() && follower.head.is_none());
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

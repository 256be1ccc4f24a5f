//! Frames: the promises of each splitter once. The Python property tests cut streams everywhere.

use tidegate_codec::Kind;
use tidegate_codec::coding::{compress, inflate};
use tidegate_codec::http::{ChunkDecoder, parse_request_head, parse_response_head};
use tidegate_codec::lines::LineSplitter;
use tidegate_codec::msgpack::{MsgpackSplitter, json_to_msgpack, msgpack_to_json};
use tidegate_codec::sse::{SseDecoder, encode_sse};

#[test]
fn lines_are_cut_and_overlong_ones_told() {
    let mut splitter = LineSplitter::new(3);
    let mut lines = Vec::new();
    for piece in ["ab", "c\r", "\nabcd", "ef\n \n", "x"] {
        splitter.feed(piece.as_bytes(), |line| {
            lines.push(line.map(<[u8]>::to_vec));
        });
    }
    assert_eq!(lines, [Some(b"abc".to_vec()), None]);
    assert_eq!(splitter.eof(), b"x");
}

/// A stream of single bytes must cost no more than the same stream at once, give or take the calls.
#[test]
fn pending_bytes_are_not_looked_at_again() {
    let line = vec![b'a'; 2_000_000];
    let mut splitter = LineSplitter::new(usize::MAX);
    let mut decoder = SseDecoder::new(usize::MAX);
    for byte in &line {
        splitter.feed(&[*byte], |_| unreachable!());
        decoder.feed(&[*byte], |_| unreachable!()).unwrap();
    }
    assert_eq!(splitter.pending(), line.len());
}

#[test]
fn events_are_read_as_written() {
    let written = encode_sse(b"a\nb", Some("e"), Some("7"), Some(5)).unwrap();
    let mut events = Vec::new();
    SseDecoder::new(100)
        .feed(&written, |event| events.push(event))
        .unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].data.as_slice(), events[0].retry_ms),
        (&b"a\nb"[..], Some(5))
    );
    assert_eq!(
        encode_sse(b"", Some("e\n"), None, None).unwrap_err().kind,
        Kind::Value
    );
}

#[test]
fn heads_are_read_and_ambiguous_ones_refused() {
    let head = parse_request_head(
        b"POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        100,
    )
    .unwrap()
    .unwrap();
    assert_eq!(
        (head.method, head.target, head.fields.content_length),
        ("POST", "/mcp", Some(5))
    );
    assert_eq!(
        parse_request_head(b"POST /mcp HTTP/1.1\r\nHost: a\r\n", 100),
        Ok(None)
    );
    assert_eq!(
        parse_request_head(&b"X".repeat(100), 100).unwrap_err().kind,
        Kind::HeadTooLarge
    );
    let both =
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(
        parse_request_head(both, 100).unwrap_err().kind,
        Kind::BadHttp
    );
    let head = parse_response_head(b"HTTP/1.0 204\r\n\r\n", 100)
        .unwrap()
        .unwrap();
    assert_eq!(
        (head.status, head.reason, head.fields.keep_alive),
        (204, &b""[..], false)
    );
}

#[test]
fn chunks_are_joined_and_bounded() {
    let mut decoder = ChunkDecoder::new(10);
    assert_eq!(
        decoder.feed(b"5\r\nhello\r\n0\r\nX: y\r\n\r\nGET").unwrap(),
        b"hello"
    );
    assert!(decoder.done());
    assert_eq!(decoder.rest(), b"GET");
    assert_eq!(
        ChunkDecoder::new(10).feed(b"b\r\n").unwrap_err().kind,
        Kind::TooLarge
    );
    assert_eq!(
        ChunkDecoder::new(10).feed(b"5\n").unwrap_err().kind,
        Kind::BadHttp
    );
}

#[test]
fn messages_survive_message_pack() {
    let json = br#"{"a":[1,1.0,1.50,-0,18446744073709551616,"\ud800"],"a":null}"#;
    let packed = json_to_msgpack(json).unwrap();
    assert_eq!(msgpack_to_json(&packed).unwrap(), json);
    let mut messages = Vec::new();
    let mut splitter = MsgpackSplitter::new(100, 8);
    for byte in packed.iter().chain(&packed) {
        splitter
            .feed(&[*byte], |message| messages.push(message))
            .unwrap();
    }
    assert_eq!(messages, [Some(json.to_vec()), Some(json.to_vec())]);
    assert_eq!(
        splitter.feed(b"\xc1", |_| ()).unwrap_err().kind,
        Kind::Parse
    );
    assert_eq!(
        splitter.feed(b"\x80", |_| ()).unwrap_err().kind,
        Kind::Parse
    );
}

#[test]
fn codings_are_undone_within_bounds() {
    for coding in ["gzip", "zstd"] {
        let packed = compress(coding, &[7; 1000], 3).unwrap();
        assert_eq!(inflate(coding, &packed, 1000).unwrap(), [7; 1000]);
        assert_eq!(
            inflate(coding, &packed, 999).unwrap_err().kind,
            Kind::TooLarge
        );
        assert_eq!(
            inflate(coding, &packed[..packed.len() - 1], 1000)
                .unwrap_err()
                .kind,
            Kind::BadEncoding
        );
    }
}

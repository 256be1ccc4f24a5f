//! One request after another like it: is the second what the first was, whatever its bytes are?

use super::asks::{BODY_BYTES, DEPTH};
use super::framing::{self, whole_request};
use super::idle::Idle;
use tidegate_codec::{http, json};
use tidegate_relay as core;

/// Small, so that heads come near it.
const HEADER_BYTES: usize = 400;
/// Up to the digits of the length, and from there on.
const HEADS: [(&str, &str); 6] = [
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: ",
        "\r\n\r\n",
    ),
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\ncontent-length:",
        "\r\nAuthorization: Bearer t\r\nAccept: */*\r\n\r\n",
    ),
    (
        "\r\nPOST http://a/mcp HTTP/1.1\r\ncOnTeNt-lEnGtH: \t ",
        " \t\r\nHost: a\r\nX: 12\r\n\r\n",
    ),
    (
        "POST /mcp?71=1 HTTP/1.1\r\nHost: a\r\nX-Content-Length: 71\r\nContent-Length: ",
        "\r\nX: 71\r\n\r\n",
    ),
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: ",
        "\r\nX: \u{e9}\r\n\r\n",
    ),
    // With two digits as long as a head may be.
    (
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: ",
        "\r\nX: LONG\r\n\r\n",
    ),
];
const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#;

/// A relay that knows a request with one of the heads, and its server.
fn taught(first: &[u8], body: &[u8]) -> Option<(core::Relay, usize)> {
    let limits = core::Limits {
        in_flight: 10,
        header_bytes: HEADER_BYTES,
        body_bytes: BODY_BYTES,
        result_bytes: 256 * 1024,
        depth: DEPTH,
    };
    let mut relay = core::Relay::new(limits, &[1.0]);
    let upstream = relay.add_upstream(None);
    let teacher = relay.add_http();
    assert_eq!(relay.http(teacher, first, 0.0, &Idle), core::Asked::Slow);
    if !relay.has_candidate() {
        return None;
    }
    let decision = core::Decision {
        tag: 0,
        upstream,
        request_head: None,
        repeatable: false,
        name: None,
        reply_head: (*b"HTTP/1.1 200 OK\r\n").into(),
        coding: core::Coding::None,
        compressed_bytes: (0, 0),
        meta: core::Meta::default(),
        answers: core::Answers {
            untyped: core::Edit::Pass,
            complete: core::Edit::Pass,
        },
        in_turn: false,
        odd_words: [].into(),
        max_in_flight: 10,
        bucket: None,
        scope: None,
    };
    assert!(relay.install(body, decision));
    Some((relay, upstream))
}

/// `data`: which head was learnt, and then what a client sends.
///
/// # Panics
/// Where the relay passes on what it should have left alone.
pub fn frame(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let (before, after) = HEADS[usize::from(choice) % HEADS.len()];
    let after = &after.replace("LONG", &"x".repeat(HEADER_BYTES - 56));
    let known = |body: &str| format!("{before}{}{after}{body}", body.len()).into_bytes();
    let (mut relay, upstream) = taught(&known(BODY), BODY.as_bytes()).expect("a head to learn");

    // Two clients: one is new, one has used the flow before.
    let fresh = relay.add_http();
    let used = relay.add_http();
    assert_eq!(
        relay.http(used, &known(BODY), 0.0, &Idle),
        core::Asked::Relayed
    );
    let call = relay.calls_of(used)[0];
    relay.take(call);
    let asked = relay.http(fresh, data, 0.0, &Idle);
    let outputs = (relay.pieces.clone(), relay.scratch.len());
    for call in relay.calls_of(fresh) {
        let taken = relay.take(call).unwrap();
        assert_eq!(taken.request, data);
    }
    assert_eq!(relay.http(used, data, 0.0, &Idle), asked);
    match asked {
        core::Asked::Relayed => {
            assert_eq!((relay.pieces.clone(), relay.scratch.len()), outputs);
            assert_eq!(relay.to, core::To::Upstream(upstream));
            let body = is_whole(data);
            assert!(data.starts_with(before.as_bytes()));
            let head = &data[before.len()..data.len() - body.len()];
            assert_eq!(head, format!("{}{after}", body.len()).as_bytes());
        }
        core::Asked::Slow if relay.has_candidate() => {
            // It could be learnt too: then it is as plain as those that are known.
            let body = is_whole(data);
            let (mut relay, _) = taught(data, body).expect("learnt once more");
            let client = relay.add_http();
            let asked = relay.http(client, data, 0.0, &Idle);
            // What is no line is left alone even then.
            let line = !body.contains(&b'\n') && !body.contains(&b'\r');
            assert_eq!(asked == core::Asked::Relayed, line);
        }
        core::Asked::Part(whole) => framing::begun_request(data, whole),
        _ => {}
    }
}

/// The body of the one request in `data`, as two independent readers see it.
fn is_whole(data: &[u8]) -> &[u8] {
    let strict = http::parse_request_head(data, HEADER_BYTES)
        .expect("a strict head")
        .expect("a whole head");
    let fields = &strict.fields;
    let (lines, start) = whole_request(data).expect("one whole request");
    assert_eq!(start, fields.head_len);
    assert_eq!(lines.len(), fields.headers.len() + 1);
    assert_eq!(lines[0], format!("POST {} HTTP/1.1", strict.target));
    assert!(fields.keep_alive && !fields.chunked && !fields.expect_continue);
    let body = &data[start..];
    assert_eq!(fields.content_length, Some(body.len() as u64));
    json::scan(body, DEPTH).expect("a message");
    body
}

//! HTTP framing and JSON read a second time, by the plainest means.

use serde_json::Value;
use tidegate_codec::{coding, http};
use tidegate_relay as core;

/// The fields of a head, in order, and where the body begins; `None` unless `data` is one request, all of it and
/// nothing else, in the one way of writing that no two readers frame differently.
pub fn whole_request(data: &[u8]) -> Option<(Vec<String>, usize)> {
    let skipped = if data.starts_with(b"\r\n") { 2 } else { 0 };
    let rest = &data[skipped..];
    let end = rest.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = &rest[..end];
    // Latin-1: each byte is one character.
    let head: String = head.iter().map(|&byte| char::from(byte)).collect();
    let lines: Vec<String> = head.split("\r\n").map(str::to_owned).collect();
    if lines.iter().any(|line| {
        line.contains(['\r', '\n', '\0']) || line.starts_with([' ', '\t']) || line.is_empty()
    }) {
        return None;
    }
    let mut lengths = Vec::new();
    for line in &lines[1..] {
        let (name, value) = line.split_once(':')?;
        if name.is_empty() || name.contains([' ', '\t']) {
            return None;
        }
        let value = value.trim_matches([' ', '\t']);
        match name.to_ascii_lowercase().as_str() {
            "content-length" => lengths.push(value.to_owned()),
            "transfer-encoding" | "content-encoding" | "upgrade" | "expect" => return None,
            "connection" => {
                let options = value
                    .split(',')
                    .map(|option| option.trim_matches([' ', '\t']));
                if options
                    .into_iter()
                    .any(|option| option.eq_ignore_ascii_case("close"))
                {
                    return None;
                }
            }
            _ => {}
        }
    }
    let [length] = lengths.as_slice() else {
        return None;
    };
    let start = skipped + end + 4;
    let plain = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let whole = plain && *length == (data.len() - start).to_string();
    let request: Vec<_> = lines[0].split(' ').collect();
    (whole && request.len() == 3 && request[0] == "POST" && request[2] == "HTTP/1.1")
        .then_some((lines, start))
}

/// The beginning of one request of so many bytes.
///
/// # Panics
/// When it is not.
pub fn begun_request(data: &[u8], whole: usize) {
    assert!(data.len() < whole);
    let mut request = data.to_vec();
    request.resize(whole, b'x');
    let (_, start) = whole_request(&request).expect("a request to come");
    assert!(start <= data.len(), "no whole head");
}

/// What the relay writes now, when this was its input.
pub fn written(relay: &core::Relay, input: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    for piece in &relay.pieces {
        written.extend_from_slice(match piece {
            core::Piece::Input(range) => &input[range.clone()],
            core::Piece::Scratch(range) => &relay.scratch[range.clone()],
            core::Piece::Gathered(range) => &relay.gathered[range.clone()],
        });
    }
    written
}

/// The response with this head and this body, compressed or not, and nothing behind it.
///
/// # Panics
/// When it is not.
pub fn is_reply(
    written: &[u8],
    reply_head: &str,
    body: &[u8],
    coding: Option<&str>,
    (least, most): (usize, usize),
) {
    assert!(written.starts_with(reply_head.as_bytes()));
    let head = http::parse_response_head(written, usize::MAX)
        .expect("a strict head")
        .expect("a whole head");
    let field = |wanted: &str| {
        let values: Vec<_> = head
            .fields
            .headers
            .iter()
            .filter(|(name, _)| name == wanted)
            .map(|(_, value)| *value)
            .collect();
        assert!(values.len() <= 1, "{wanted} twice");
        values.first().copied()
    };
    assert!(head.fields.keep_alive && !head.fields.chunked);
    assert!(field("content-length").is_some());
    let rest = &written[head.fields.head_len..];
    assert_eq!(head.fields.content_length, Some(rest.len() as u64));
    let coded = coding.filter(|_| (least..=most).contains(&body.len()));
    assert_eq!(field("content-encoding"), coded.map(str::as_bytes));
    assert_eq!(field("vary").is_some(), coded.is_some());
    match coded {
        None => assert_eq!(rest, body),
        Some(coding) => assert_eq!(coding::inflate(coding, rest, body.len()).unwrap(), body),
    }
}

/// As far as another reader of JSON understands them at all.
///
/// # Panics
/// When they differ in anything else.
pub fn same_but_for_id_and_name(asked: &[u8], written: &[u8], id: u64, name: Option<&str>) {
    let Ok(mut asked) = serde_json::from_slice::<Value>(asked) else {
        return;
    };
    let written: Value = serde_json::from_slice(written).expect("as good as what was asked");
    asked["id"] = id.into();
    if let Some(name) = name {
        let key = if asked["params"]["name"].is_string() {
            "name"
        } else {
            "uri"
        };
        asked["params"][key] = serde_json::from_str(name).unwrap();
    }
    assert_eq!(asked, written);
}

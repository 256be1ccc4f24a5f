//! Heads: once there is an outcome, more bytes do not change it; and none is ambiguous.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_codec::http::{Fields, parse_request_head, parse_response_head};

const MAX_BYTES: usize = 4096;

fn check(fields: &Fields<'_>, whole: usize) {
    assert!(fields.head_len <= whole.min(MAX_BYTES));
    assert!(!(fields.chunked && fields.content_length.is_some()));
    for (name, value) in &fields.headers {
        assert!(
            !name.is_empty()
                && !name.contains(|c: char| c.is_ascii_uppercase() || c.is_whitespace())
        );
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        assert_eq!(value.trim_ascii(), *value);
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((stream, [part, _])) = tidegate_fuzz::cut(data) else {
        return;
    };
    let request = parse_request_head(stream, MAX_BYTES);
    let early = parse_request_head(part, MAX_BYTES);
    assert!(early == Ok(None) || early == request);
    if let Ok(Some(head)) = request {
        check(&head.fields, stream.len());
        assert!(head.target.bytes().all(|byte| byte.is_ascii_graphic()));
        let hosts = head
            .fields
            .headers
            .iter()
            .filter(|(name, _)| name == "host")
            .count();
        assert!(hosts == 1 || (hosts == 0 && head.fields.minor == 0));
    }
    let response = parse_response_head(stream, MAX_BYTES);
    let early = parse_response_head(part, MAX_BYTES);
    assert!(early == Ok(None) || early == response);
    if let Ok(Some(head)) = response {
        check(&head.fields, stream.len());
        assert!((100..1000).contains(&head.status));
    }
});

//! JSON in place: what the Python twins cannot reach comfortably, and the promises of each function once.

use tidegate_codec::json::{
    MessageKind, array_spans, decode_string, find_member, member_spans, patch_object, scan,
    scan_knowing, splice, unescape,
};
use tidegate_codec::{Kind, Span};

fn whole(buf: &[u8]) -> Span {
    Span::new(0, buf.len())
}

fn refusal(buf: &[u8], max_depth: usize) -> Kind {
    scan(buf, max_depth)
        .map(|envelope| envelope.kind)
        .unwrap_err()
        .kind
}

#[test]
fn a_call_is_found_as_spans() {
    let buf = br#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"\u0078","arguments":{}}}"#;
    let envelope = scan(buf, 64).unwrap();
    assert_eq!(envelope.kind, MessageKind::Request);
    assert_eq!(envelope.id.unwrap().of(buf), b"\"a\"");
    assert_eq!(envelope.method_text.as_deref(), Some("tools/call"));
    assert_eq!(envelope.name_text.as_deref(), Some("x"));
    assert_eq!(envelope.arguments.unwrap().of(buf), b"{}");
}

/// The stack of open containers is words of 64 bits: each side of every word boundary must remember.
#[test]
fn mixed_nesting_is_remembered_beyond_a_word() {
    for depth in [1, 2, 63, 64, 65, 127, 128, 129, 192, 193, 1000] {
        let is_object = |level: usize| level.is_multiple_of(3) || level % 7 == 2;
        let mut text = String::new();
        for level in 0..depth {
            text.push_str(if is_object(level) { r#"{"k":"# } else { "[" });
        }
        text.push('1');
        for level in (0..depth).rev() {
            text.push(if is_object(level) { '}' } else { ']' });
        }
        let inside = format!("[{text}]");
        assert_eq!(
            array_spans(inside.as_bytes(), whole(inside.as_bytes())).map(|spans| spans.len()),
            Ok(1)
        );
        for at in depth + 1..text.len() {
            // One closing bracket of the wrong kind, wherever it stands.
            if let Some(closing @ ('}' | ']')) = text[at..].chars().next() {
                let wrong = format!(
                    "[{}{}{}]",
                    &text[..at],
                    if closing == '}' { ']' } else { '}' },
                    &text[at + 1..]
                );
                assert!(
                    array_spans(wrong.as_bytes(), whole(wrong.as_bytes())).is_err(),
                    "{depth} {at}"
                );
            }
        }
    }
}

#[test]
fn depth_is_bounded_exactly() {
    let nested = |levels: usize| [b"[".repeat(levels), b"]".repeat(levels)].concat();
    for limit in [1, 2, 63, 64, 65, 200] {
        assert_eq!(
            scan(&nested(limit), limit).unwrap().kind,
            MessageKind::Batch
        );
        assert_eq!(refusal(&nested(limit + 1), limit), Kind::DepthExceeded);
    }
    assert_eq!(refusal(b"[]", 0), Kind::DepthExceeded);
    assert_eq!(refusal(b"1", 0), Kind::InvalidRequest);
}

#[test]
fn duplicates_are_found_before_and_after_the_set_is_made() {
    for count in [2, 15, 16, 17, 18, 40, 5000] {
        let members: Vec<_> = (0..count).map(|n| format!(r#""k{n}":0"#)).collect();
        let message = |extra: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{{}{extra}}}}}"#,
                members.join(",")
            )
        };
        assert!(scan(message("").as_bytes(), 64).is_ok());
        for repeated in [0, count / 2, count - 1] {
            let plain = message(&format!(r#","k{repeated}":0"#));
            let escaped = message(&format!(r#","\u006b{repeated}":0"#));
            assert_eq!(refusal(plain.as_bytes(), 64), Kind::DuplicateKey);
            assert_eq!(refusal(escaped.as_bytes(), 64), Kind::DuplicateKey);
        }
    }
}

#[test]
fn keys_with_different_lone_surrogates_are_different() {
    assert!(
        scan(
            br#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"\ud800":0,"\ud801":0}}"#,
            64
        )
        .is_ok()
    );
    assert_eq!(
        refusal(
            br#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"\ud800":0,"\uD800":0}}"#,
            64
        ),
        Kind::DuplicateKey
    );
}

#[test]
fn escapes_become_characters() {
    assert_eq!(
        &*unescape(br#"\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00"#),
        "\"\\/\u{8}\u{c}\n\r\tAé€😀".as_bytes()
    );
    assert_eq!(&*unescape(br"\ud83d\u0041"), b"\xed\xa0\xbdA");
    assert_eq!(
        &*unescape(br"\ud83d\ud83d\ude00"),
        b"\xed\xa0\xbd\xf0\x9f\x98\x80"
    );
    let lone = r#""\ude00""#;
    assert_eq!(
        decode_string(lone, whole(lone.as_bytes()))
            .unwrap_err()
            .kind,
        Kind::Parse
    );
}

#[test]
fn spans_count_from_the_start_of_the_buffer() {
    let buf = br#"xx{"a":[1, 2],"b\n":{}}yy"#;
    let range = Span::new(2, buf.len() - 2);
    let members = member_spans(buf, range).unwrap();
    assert_eq!(members[0], ("a".into(), Span::new(7, 13)));
    assert_eq!(members[1].0, "b\n");
    assert_eq!(
        array_spans(buf, members[0].1),
        Ok(vec![Span::new(8, 9), Span::new(11, 12)])
    );
    assert_eq!(find_member(buf, "b\n", range), Ok(Some(members[1].1)));
    assert_eq!(find_member(buf, "c", range), Ok(None));
    assert_eq!(
        find_member(buf, "a", Span::new(2, 99)).unwrap_err().kind,
        Kind::Value
    );
    assert_eq!(
        find_member(buf, "a", Span::new(5, 4)).unwrap_err().kind,
        Kind::Value
    );
}

#[test]
fn edits_leave_the_rest() {
    assert_eq!(
        splice(
            b"abcdef",
            &[
                (Span::new(0, 1), b"X"),
                (Span::new(3, 3), b"-"),
                (Span::new(5, 6), b"")
            ]
        )
        .unwrap(),
        b"Xbc-de"
    );
    assert_eq!(
        splice(b"abc", &[(Span::new(2, 3), b""), (Span::new(1, 2), b"")])
            .unwrap_err()
            .kind,
        Kind::Value
    );
    let patched = patch_object(
        br#"{ "a" : 1.0, "b":2 }"#,
        &[("b", None), ("a", Some(b"[]")), ("c", Some(b"3"))],
    );
    assert_eq!(patched.unwrap(), br#"{ "a" : [],"c":3 }"#);
}

#[test]
fn a_meta_that_is_known_is_not_looked_at_again() {
    let known = br#"{"a":[1]}"#;
    let message = |meta: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"_meta": {meta} ,"name":"n"}}}}"#
        )
    };
    for meta in [
        r#"{"a":[1]}"#,
        r#"{"a":[1] }"#,
        r#"{"a":[1]}1"#,
        r#"{"a":[1]},"_meta":{"a":[1]}"#,
        r#"{"progressToken":1}"#,
        "{}",
    ] {
        let message = message(meta);
        let found = scan_knowing(message.as_bytes(), 64, known);
        assert_eq!(found, scan(message.as_bytes(), 64), "{message}");
    }
    // It is taken at its word.
    let odd = message("{odd}");
    assert!(scan(odd.as_bytes(), 64).is_err());
    assert!(scan_knowing(odd.as_bytes(), 64, b"{odd}").is_ok());
}

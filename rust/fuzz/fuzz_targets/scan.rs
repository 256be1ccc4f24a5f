//! The envelope scan, against a JSON reader that is not ours.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tidegate_codec::json::{MessageKind, scan, scan_knowing};
use tidegate_codec::{Kind, Span};

/// `_meta` objects as they have been scanned before, none with a `progressToken`.
const KNOWN: [&str; 4] = [
    "{}",
    r#"{"a":1}"#,
    r#"{"a":{"progressToken":1},"b":[[]]}"#,
    r#"{"io.modelcontextprotocol/protocolVersion":"1"}"#,
];

fuzz_target!(|data: &[u8]| {
    let scanned = scan(data, 64);
    for known in KNOWN {
        assert_eq!(scan_knowing(data, 64, known.as_bytes()), scanned);
    }
    if let Ok(envelope) = &scanned
        && envelope.kind == MessageKind::Request
        && envelope.progress_token.is_none()
        && let Some(meta) = envelope.meta
        && data[meta.start] == b'{'
    {
        assert_eq!(scan_knowing(data, 64, meta.of(data)), scanned);
    }
    let theirs = std::str::from_utf8(data).map(|text| {
        let mut reader = serde_json::Deserializer::from_str(text);
        reader.disable_recursion_limit();
        let found = <serde::de::IgnoredAny as serde::Deserialize>::deserialize(&mut reader);
        found.is_ok() && reader.end().is_ok()
    });
    match scanned {
        Ok(envelope) => {
            assert_eq!(theirs, Ok(true));
            let value = |span: Option<Span>| {
                span.map(|span| serde_json::from_slice::<Value>(span.of(data)))
            };
            for span in [
                envelope.id,
                envelope.params,
                envelope.meta,
                envelope.arguments,
                envelope.error,
            ] {
                assert!(span.is_none_or(|span| data.get(span.start..span.end).is_some()));
            }
            if let (Some(Ok(Value::String(text))), Some(ours)) =
                (value(envelope.method), &envelope.method_text)
            {
                assert_eq!(&text, ours);
            }
            if let (Some(Ok(Value::String(text))), Some(ours)) =
                (value(envelope.name), &envelope.name_text)
            {
                assert_eq!(&text, ours);
            }
            if envelope.kind != MessageKind::Batch
                && let Ok(whole) = serde_json::from_slice::<Value>(data)
            {
                let expect = |ours: Option<Span>, path: &str| {
                    if let Some(Ok(ours)) = value(ours) {
                        assert_eq!(whole.pointer(path), Some(&ours), "{path}");
                    }
                };
                expect(envelope.id, "/id");
                expect(envelope.method, "/method");
                expect(envelope.params, "/params");
                expect(envelope.arguments, "/params/arguments");
                expect(envelope.result, "/result");
                expect(envelope.result_type, "/result/resultType");
            }
        }
        Err(error) => match error.kind {
            Kind::InvalidUtf8 => assert!(theirs.is_err()),
            Kind::Parse => assert!(theirs == Ok(false) || error.message.contains("surrogate")),
            Kind::DuplicateKey | Kind::InvalidRequest => assert_eq!(theirs, Ok(true)),
            Kind::DepthExceeded => assert!(theirs.is_ok()),
            other => panic!("{other:?} is no outcome of a scan"),
        },
    }
});

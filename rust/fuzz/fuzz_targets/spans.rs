//! Members and elements: each span holds a value, and the spans in order are the whole container.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_codec::Span;
use tidegate_codec::json::{array_spans, find_member, member_spans};

fuzz_target!(|data: &[u8]| {
    let whole = Span::new(0, data.len());
    let is_value = |span: Span| {
        array_spans(
            &[b"[", span.of(data), b"]"].concat(),
            Span::new(0, span.end - span.start + 2),
        )
    };
    if let Ok(spans) = array_spans(data, whole) {
        let mut at = 0;
        for span in spans {
            assert!(at < span.start && span.start < span.end);
            assert_eq!(is_value(span).map(|inner| inner.len()), Ok(1));
            at = span.end;
        }
    }
    if let Ok(members) = member_spans(data, whole) {
        for (key, span) in &members {
            assert_eq!(is_value(*span).map(|inner| inner.len()), Ok(1));
            let same = members.iter().filter(|(other, _)| other == key).count();
            match find_member(data, key, whole) {
                Ok(found) => assert_eq!((found, same), (Some(*span), 1)),
                Err(_) => assert!(same > 1),
            }
        }
    }
});

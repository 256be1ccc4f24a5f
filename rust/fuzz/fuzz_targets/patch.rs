//! Patching an object: what is set is there, what is removed is gone, everything else is as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_codec::Span;
use tidegate_codec::json::{member_spans, patch_object};

/// Members as text.
fn members(buf: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let found = member_spans(buf, Span::new(0, buf.len())).ok()?;
    Some(
        found
            .iter()
            .map(|(key, span)| (key.to_string(), span.of(buf).to_vec()))
            .collect(),
    )
}

fuzz_target!(|data: &[u8]| {
    let changes: [(&str, Option<&[u8]>); 3] =
        [("a", Some(b"[1]")), ("b", None), ("\n", Some(b"{}"))];
    let Some(before) = members(data) else { return };
    let Ok(patched) = patch_object(data, &changes) else {
        let twice = |wanted: &str| before.iter().filter(|(key, _)| key == wanted).count() > 1;
        assert!(twice("a") || twice("\n"));
        return;
    };
    let mut expected: Vec<_> = before.into_iter().filter(|(key, _)| key != "b").collect();
    for (key, value) in changes {
        let Some(value) = value else { continue };
        match expected.iter_mut().find(|(other, _)| other == key) {
            Some(member) => member.1 = value.to_vec(),
            None => expected.push((key.to_owned(), value.to_vec())),
        }
    }
    assert_eq!(members(&patched), Some(expected));
});

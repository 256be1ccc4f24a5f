//! Server-sent events: the same events wherever the stream is cut, and back again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_codec::sse::{Event, SseDecoder, encode_sse};

fn run(pieces: &[&[u8]], max_bytes: usize) -> (Vec<Event>, bool) {
    let mut decoder = SseDecoder::new(max_bytes);
    let mut events = Vec::new();
    let fine = pieces
        .iter()
        .all(|piece| decoder.feed(piece, |event| events.push(event)).is_ok());
    (events, fine)
}

fuzz_target!(|data: &[u8]| {
    let Some((stream, pieces)) = tidegate_fuzz::cut(data) else {
        return;
    };
    for max_bytes in [20, 1000] {
        let whole = run(&[stream], max_bytes);
        assert_eq!(whole, run(&pieces, max_bytes));
        for event in whole.0 {
            assert!(event.data.len() <= max_bytes);
            let (name, id) = (event.event.as_deref(), event.id.as_deref());
            // A name or id with a NUL cannot be written.
            if let Ok(written) = encode_sse(&event.data, name, id, event.retry_ms) {
                assert_eq!(run(&[&written], 10_000).0, [event]);
            }
        }
    }
});

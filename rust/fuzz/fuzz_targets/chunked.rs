//! The chunked coding: the same payload wherever the stream is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_codec::Kind;
use tidegate_codec::http::ChunkDecoder;

fn run(pieces: &[&[u8]], max_bytes: usize) -> (Result<Vec<u8>, Kind>, bool, Vec<u8>) {
    let mut decoder = ChunkDecoder::new(max_bytes);
    let mut payload = Vec::new();
    for piece in pieces {
        match decoder.feed(piece) {
            Ok(more) => payload.extend(more),
            Err(error) => return (Err(error.kind), false, Vec::new()),
        }
    }
    assert!(payload.len() <= max_bytes);
    (Ok(payload), decoder.done(), decoder.rest().to_vec())
}

fuzz_target!(|data: &[u8]| {
    let Some((stream, pieces)) = tidegate_fuzz::cut(data) else {
        return;
    };
    for max_bytes in [10, 1000] {
        assert_eq!(run(&[stream], max_bytes), run(&pieces, max_bytes));
    }
});

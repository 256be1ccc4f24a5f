//! `MessagePack` framing: the same messages wherever the stream is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_codec::Kind;
use tidegate_codec::msgpack::MsgpackSplitter;

fn run(pieces: &[&[u8]], max_bytes: usize) -> (Vec<Option<Vec<u8>>>, Option<Kind>) {
    let mut splitter = MsgpackSplitter::new(max_bytes, 8);
    let mut messages = Vec::new();
    for piece in pieces {
        if let Err(error) = splitter.feed(piece, |message| messages.push(message)) {
            return (messages, Some(error.kind));
        }
    }
    (messages, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((stream, pieces)) = tidegate_fuzz::cut(data) else {
        return;
    };
    for max_bytes in [10, 1000] {
        let whole = run(&[stream], max_bytes);
        assert_eq!(whole, run(&pieces, max_bytes));
        assert!(whole.0.iter().flatten().all(|json| json.len() <= max_bytes));
    }
});

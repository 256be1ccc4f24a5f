//! Line framing: the same lines wherever the stream is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_codec::lines::LineSplitter;

fn run(pieces: &[&[u8]], max_bytes: usize) -> (Vec<Option<Vec<u8>>>, Vec<u8>) {
    let mut splitter = LineSplitter::new(max_bytes);
    let mut lines = Vec::new();
    for piece in pieces {
        splitter.feed(piece, |line| lines.push(line.map(<[u8]>::to_vec)));
        assert!(splitter.pending() <= max_bytes + 1);
    }
    (lines, splitter.eof())
}

fuzz_target!(|data: &[u8]| {
    let Some((stream, pieces)) = tidegate_fuzz::cut(data) else {
        return;
    };
    for max_bytes in [0, 7, 1000] {
        let whole = run(&[stream], max_bytes);
        assert_eq!(whole, run(&pieces, max_bytes));
        assert!(
            whole
                .0
                .iter()
                .flatten()
                .all(|line| line.len() <= max_bytes && !line.contains(&b'\n'))
        );
    }
});

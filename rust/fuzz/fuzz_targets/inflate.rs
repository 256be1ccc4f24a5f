//! Content codings: never more than allowed, and what is compressed comes back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_codec::coding::{compress, inflate};

fuzz_target!(|data: &[u8]| {
    for coding in ["gzip", "deflate", "zstd"] {
        if let Ok(out) = inflate(coding, data, 5000) {
            assert!(out.len() <= 5000);
        }
    }
    for coding in ["gzip", "zstd"] {
        let packed = compress(coding, data, 1).expect("a known coding");
        assert_eq!(inflate(coding, &packed, data.len()).as_deref(), Ok(data));
    }
});

//! Seals: arbitrary bytes never verify, what is sealed comes back, and no changed bit goes unnoticed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_fuzz::cut;
use tidegate_seal::{KEY_BYTES, Key, NONCE_BYTES, TAG_BYTES, seal, unseal};

/// What the corpus has of it is sealed with an `aad` nobody kept. No seed may be a seal with a flipped or missing bit: a
/// mutation would mend it.
const KEY: Key = [7; KEY_BYTES];

fuzz_target!(|data: &[u8]| {
    assert_eq!(unseal(&KEY, data, b""), None);
    let Some((_, [aad, plaintext])) = cut(data) else {
        return;
    };
    assert_eq!(unseal(&KEY, plaintext, aad), None);
    let mut sealed = seal(&KEY, plaintext, aad).expect("randomness");
    assert_eq!(sealed.len(), NONCE_BYTES + plaintext.len() + TAG_BYTES);
    assert_eq!(unseal(&KEY, &sealed, aad).as_deref(), Some(plaintext));
    let bit = usize::from(data[0]) % (8 * sealed.len());
    sealed[bit / 8] ^= 1 << (bit % 8);
    assert_eq!(unseal(&KEY, &sealed, aad), None);
});

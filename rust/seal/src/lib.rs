//! Bytes that others keep for us and give back: nobody else can read them, change them or make them up.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03, section 2) with a random nonce of 192 bits, long enough to be drawn
//! at random for every seal under one key. A seal is `nonce || ciphertext || tag`. What it does not do: a seal
//! can be given back twice and never ages; that is for the sealed bytes to say.
//!
//! No Python, no clock, no `unsafe`; the only thing asked of the system is randomness. `rust/pybind` is the only
//! caller.

use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of the nonce, in front.
pub const NONCE_BYTES: usize = 24;
/// Bytes of the tag, at the end.
pub const TAG_BYTES: usize = 16;

/// A secret key.
pub type Key = [u8; KEY_BYTES];

/// Why nothing was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The system gave no randomness.
    NoRandomness,
    /// The plaintext is longer than one nonce can cover (256 GiB).
    TooLong,
}

/// `nonce || ciphertext || tag` under a fresh nonce from the system. `aad` is not in it, but has to be the same
/// for [`unseal`].
///
/// # Errors
/// [`Error`]; nothing was sealed then.
pub fn seal(key: &Key, plaintext: &[u8], aad: &[u8]) -> Result<Vec<u8>, Error> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|_| Error::NoRandomness)?;
    seal_with(key, nonce, plaintext, aad)
}

/// Private, as two seals under one nonce give both away.
fn seal_with(
    key: &Key,
    nonce: [u8; NONCE_BYTES],
    plaintext: &[u8],
    aad: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut sealed = Vec::with_capacity(NONCE_BYTES + plaintext.len() + TAG_BYTES);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plaintext);
    let body = &mut sealed[NONCE_BYTES..];
    let tag = XChaCha20Poly1305::new(&(*key).into())
        .encrypt_inout_detached(&nonce.into(), aad, body.into())
        .map_err(|_| Error::TooLong)?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

/// The plaintext of a seal made with this key and `aad`; nothing for any other bytes, whatever is wrong with them.
#[must_use]
pub fn unseal(key: &Key, sealed: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
    let mut plaintext = ciphertext.to_vec();
    XChaCha20Poly1305::new(&(*key).into())
        .decrypt_inout_detached(
            &XNonce::from(*nonce),
            aad,
            plaintext.as_mut_slice().into(),
            &Tag::from(*tag),
        )
        .ok()?;
    Some(plaintext)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// draft-irtf-cfrg-xchacha-03, A.3.1: the key counts up from 0x80, the nonce from 0x40.
    const PLAINTEXT: &[u8] =
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for \
        the future, sunscreen would be it.";
    const AAD: &[u8] = b"PQRS\xc0\xc1\xc2\xc3\xc4\xc5\xc6\xc7";
    const CIPHERTEXT: &str = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb\
        731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452\
        2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
        21f9664c97637da9768812f615c68b13b52e";
    const TAG: &str = "c0875924c1c7987947deafd8780acf49";

    fn counting<const N: usize>(first: u8) -> [u8; N] {
        let mut next = first;
        [0; N].map(|_: u8| {
            next += 1;
            next - 1
        })
    }

    fn hex(text: &str) -> Vec<u8> {
        let digit = |byte: &u8| u8::try_from(char::from(*byte).to_digit(16).unwrap()).unwrap();
        text.as_bytes()
            .chunks(2)
            .map(|pair| digit(&pair[0]) << 4 | digit(&pair[1]))
            .collect()
    }

    #[test]
    fn the_vector_of_the_draft_comes_out_and_goes_back() {
        let (key, nonce) = (counting(0x80), counting(0x40));
        let sealed = seal_with(&key, nonce, PLAINTEXT, AAD).unwrap();
        assert_eq!(sealed, [&nonce[..], &hex(CIPHERTEXT), &hex(TAG)].concat());
        assert_eq!(unseal(&key, &sealed, AAD).as_deref(), Some(PLAINTEXT));
    }

    #[test]
    fn a_seal_is_as_long_as_it_has_to_be_and_every_shorter_one_is_refused() {
        let key = counting(0);
        let sealed = seal(&key, b"", b"").unwrap();
        assert_eq!(sealed.len(), NONCE_BYTES + TAG_BYTES);
        assert_eq!(unseal(&key, &sealed, b""), Some(Vec::new()));
        for end in 0..sealed.len() {
            assert_eq!(unseal(&key, &sealed[..end], b""), None);
        }
    }

    #[test]
    fn every_seal_has_a_nonce_of_its_own() {
        let key = counting(0);
        let nonces: std::collections::HashSet<_> = (0..1000)
            .map(|_| seal(&key, b"", b"").unwrap()[..NONCE_BYTES].to_vec())
            .collect();
        assert_eq!(nonces.len(), 1000);
    }
}

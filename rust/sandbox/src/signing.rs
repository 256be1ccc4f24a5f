//! Signatures under precompiled plugins, so that one made on a bigger box is known for what it is.
//!
//! Ed25519 (RFC 8032), verified strictly: a key of small order or a malleable signature is no signature. Keys and
//! signatures are plain bytes; where they are kept is for the caller to say. What is signed is the caller's, too: it
//! names its purpose in front, so that a signature made for one thing is none for another.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

/// Bytes of a key, secret or public.
pub const KEY_BYTES: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// Either half of a pair.
pub type Key = [u8; KEY_BYTES];

/// A new secret key; nothing when the system gives no randomness.
#[must_use]
pub fn new_key() -> Option<Key> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).ok()?;
    Some(key)
}

/// The half that others may know.
#[must_use]
pub fn public_key(secret: &Key) -> Key {
    SigningKey::from_bytes(secret).verifying_key().to_bytes()
}

/// The signature of `message`, always the same one for the same key. Goes through `message` twice.
#[must_use]
pub fn sign(secret: &Key, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
    SigningKey::from_bytes(secret).sign(message).to_bytes()
}

/// Whether whoever has the secret to `public` signed `message`. No for bytes that are no key or no signature.
#[must_use]
pub fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let Ok(public) = public.try_into() else {
        return false;
    };
    let (Ok(key), Ok(signature)) = (
        VerifyingKey::from_bytes(public),
        Signature::from_slice(signature),
    ) else {
        return false;
    };
    key.verify_strict(message, &signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, 7.1, test 3: secret, public, message, signature.
    const VECTOR: [&str; 4] = [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
        18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ];
    /// The order of the group, little-endian (RFC 8032, 5.1).
    const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

    fn hex(text: &str) -> Vec<u8> {
        let digit = |byte: &u8| u8::try_from(char::from(*byte).to_digit(16).unwrap()).unwrap();
        text.as_bytes()
            .chunks(2)
            .map(|pair| digit(&pair[0]) << 4 | digit(&pair[1]))
            .collect()
    }

    #[test]
    fn the_vector_of_the_rfc_comes_out() {
        let [secret, public, message, signature] = VECTOR.map(hex);
        let secret: Key = secret.try_into().unwrap();
        assert_eq!(public_key(&secret).as_slice(), public);
        assert_eq!(sign(&secret, &message).as_slice(), signature);
        assert!(verify(&public, &message, &signature));
    }

    #[test]
    fn no_changed_bit_and_no_other_length_is_taken() {
        let secret = new_key().unwrap();
        let (public, message) = (public_key(&secret), *b"a plugin");
        let signature = sign(&secret, &message);
        assert!(verify(&public, &message, &signature));
        for at in 0..SIGNATURE_BYTES {
            let mut other = signature;
            other[at] ^= 1 << (at % 8);
            assert!(!verify(&public, &message, &other));
        }
        for at in 0..KEY_BYTES {
            let mut other = public;
            other[at] ^= 1 << (at % 8);
            assert!(!verify(&other, &message, &signature));
        }
        for at in 0..message.len() {
            let mut other = message;
            other[at] ^= 1 << (at % 8);
            assert!(!verify(&public, &other, &signature));
        }
        for end in 0..SIGNATURE_BYTES {
            assert!(!verify(&public, &message, &signature[..end]));
        }
        for end in 0..KEY_BYTES {
            assert!(!verify(&public[..end], &message, &signature));
        }
        assert!(!verify(&public, &message, &[&signature[..], &[0]].concat()));
    }

    #[test]
    fn a_signature_that_was_made_another_one_is_refused() {
        let [_, public, message, mut signature] = VECTOR.map(hex);
        let mut carry = 0;
        for (byte, order) in signature[32..].iter_mut().zip(hex(ORDER)) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = u8::try_from(sum & 0xff).unwrap();
            carry = sum >> 8;
        }
        assert!(!verify(&public, &message, &signature));
    }

    #[test]
    fn a_key_that_would_take_any_message_is_refused() {
        // The neutral element as key and as the point of the signature, zero as its number.
        let mut neutral = [0; KEY_BYTES];
        neutral[0] = 1;
        let mut signature = [0; SIGNATURE_BYTES];
        signature[0] = 1;
        assert!(!verify(&neutral, b"anything", &signature));
    }

    #[test]
    fn every_key_is_another() {
        assert_ne!(new_key().unwrap(), new_key().unwrap());
    }
}

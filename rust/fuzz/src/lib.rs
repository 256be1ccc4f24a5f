//! What the targets share: feeding a stream whole and in two pieces, and the relay's twin, which its tests have too.

#[path = "../../relay/tests/twin/mod.rs"]
pub mod twin;

/// The first byte says where the rest is cut: both readings must come to the same.
#[must_use]
pub fn cut(data: &[u8]) -> Option<(&[u8], [&[u8]; 2])> {
    let (&place, stream) = data.split_first()?;
    let at = usize::from(place).min(stream.len());
    let (one, two) = stream.split_at(at);
    Some((stream, [one, two]))
}

//! The marker byte of `MessagePack` (format specification, "Formats"), as far as JSON has a use for it.

/// What the number in or after a marker counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Bytes that follow.
    Bytes,
    /// Items that follow.
    Items,
    /// Keys with their values.
    Pairs,
}

/// How an item goes on after its marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of the big-endian number after the marker; 0 when the marker says all.
    pub number_bytes: usize,
    /// What is added to that number.
    pub base: u64,
    /// What it counts.
    pub part: Part,
}

/// The layout of an item; `None` for markers that are reserved or have no JSON.
#[must_use]
pub const fn layout(marker: u8) -> Option<Layout> {
    let (number_bytes, base, part) = match marker {
        0x00..=0x7f | 0xe0.. | 0xc0 | 0xc2 | 0xc3 => (0, 0, Part::Bytes),
        0x80..=0x8f => (0, marker & 0x0f, Part::Pairs),
        0x90..=0x9f => (0, marker & 0x0f, Part::Items),
        0xa0..=0xbf => (0, marker & 0x1f, Part::Bytes),
        0xc1 | 0xc4..=0xc6 => return None,
        // Extensions: the type is one byte more.
        0xc7..=0xc9 => (1 << (marker - 0xc7), 1, Part::Bytes),
        0xca => (0, 4, Part::Bytes),
        0xcb => (0, 8, Part::Bytes),
        0xcc..=0xcf => (0, 1 << (marker - 0xcc), Part::Bytes),
        0xd0..=0xd3 => (0, 1 << (marker - 0xd0), Part::Bytes),
        0xd4..=0xd8 => (0, 1 + (1 << (marker - 0xd4)), Part::Bytes),
        0xd9..=0xdb => (1 << (marker - 0xd9), 0, Part::Bytes),
        0xdc | 0xdd => (2 << (marker - 0xdc), 0, Part::Items),
        0xde | 0xdf => (2 << (marker - 0xde), 0, Part::Pairs),
    };
    Some(Layout {
        number_bytes,
        base: base as u64,
        part,
    })
}

//! The two loops that most bytes of a message go through: the inside of a string, and indentation.
//!
//! They look at several bytes at once, in safe code. Eight fit a word, whose bytes are compared with a few
//! arithmetic operations; a long string goes on in blocks that the compiler turns into vector instructions.
//! `tests` below hold each against the loop over single bytes.

/// Bytes compared at once in a long string. Twice this is slower on short ones, half of it on long ones.
const BLOCK: usize = 32;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES << 7;

/// The first byte from `pos` on that is a quote, a backslash or a control character; else the end.
#[inline]
pub fn plain_end(buf: &[u8], mut pos: usize) -> usize {
    // Most strings are keys and names: a few words decide them.
    for _ in 0..BLOCK / 8 {
        match word(buf, pos).map(special) {
            Some(0) => pos += 8,
            Some(found) => return pos + first(found),
            None => return tail(buf, pos),
        }
    }
    long_plain_end(buf, pos)
}

fn long_plain_end(buf: &[u8], mut pos: usize) -> usize {
    while let Some(block) = buf.get(pos..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        // No early exit: that is what lets the compiler use vectors.
        if block
            .iter()
            .fold(false, |any, &byte| any | is_special(byte))
        {
            break;
        }
        pos += BLOCK;
    }
    while let Some(found) = word(buf, pos).map(special) {
        if found != 0 {
            return pos + first(found);
        }
        pos += 8;
    }
    tail(buf, pos)
}

fn tail(buf: &[u8], pos: usize) -> usize {
    let rest = buf.get(pos..).unwrap_or_default();
    pos + rest
        .iter()
        .position(|&byte| is_special(byte))
        .unwrap_or(rest.len())
}

/// The first byte from `pos` on that is no white space; else the end.
#[inline(never)]
pub fn space_end(buf: &[u8], mut pos: usize) -> usize {
    while word(buf, pos) == Some(ONES * u64::from(b' ')) {
        pos += 8;
    }
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = buf.get(pos) {
        pos += 1;
    }
    pos
}

const fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// Eight bytes, the first one lowest.
#[inline]
fn word(buf: &[u8], pos: usize) -> Option<u64> {
    buf.get(pos..)?
        .first_chunk()
        .map(|bytes| u64::from_le_bytes(*bytes))
}

/// The high bit of each byte that is special; bits above the lowest one set may be wrong, since a borrow
/// runs upwards only.
#[inline]
const fn special(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    (control | quote | backslash) & !word & HIGHS
}

/// Index of the byte that the lowest bit is in.
#[inline]
const fn first(found: u64) -> usize {
    found.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte value at every place around the widths of word and block.
    #[test]
    fn each_special_byte_is_found_wherever_it_stands() {
        for length in (0..20).chain([31, 32, 33, 40, 63, 64, 65, 71, 72, 73]) {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    for filler in [b'a', 0x7f, 0x80, 0xff, b'!', b' ', b'#', b'[', b']'] {
                        let mut buf = vec![filler; length];
                        buf[at] = byte;
                        let expected = if is_special(byte) { at } else { length };
                        assert_eq!(
                            plain_end(&buf, 0),
                            expected,
                            "{byte:#x} at {at} of {length}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn of_several_the_first_is_found() {
        for at in 0..80 {
            for next in at..90 {
                let mut buf = vec![b'!'; 90];
                buf[next] = 0x1f;
                buf[at] = b'"';
                assert_eq!(plain_end(&buf, 0), at);
            }
        }
    }

    #[test]
    fn white_space_ends_where_it_ends() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut buf = vec![b' '; length];
                    buf[at] = byte;
                    let is_space = matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
                    assert_eq!(space_end(&buf, 0), if is_space { length } else { at });
                }
            }
        }
    }

    #[test]
    fn nothing_is_read_beyond_the_end() {
        assert_eq!(plain_end(b"abc", 3), 3);
        assert_eq!(space_end(b"   ", 3), 3);
    }
}

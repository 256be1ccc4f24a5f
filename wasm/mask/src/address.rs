//! Addresses: of people (e-mail) and of machines (IP).
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::from_utf8;

use crate::find::Scan;

const LONGEST_NAME: usize = 64;
const LONGEST_DOMAIN: usize = 255;
/// As `Ipv6Addr` reads it, with an embedded IPv4 address.
const LONGEST_IP: usize = 45;

/// Around an `@`.
pub fn email(scan: &Scan<'_>, at: usize) -> Option<(usize, usize)> {
    let in_name =
        |byte: u8| Scan::in_word(byte) || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'');
    let farthest = at.saturating_sub(LONGEST_NAME).max(scan.masked_to);
    let start = (farthest..at)
        .rev()
        .find(|place| !in_name(scan.text[*place]))
        .map_or(farthest, |place| place + 1);
    let name = start
        + scan.text[start..at]
            .iter()
            .position(|byte| Scan::in_word(*byte) || *byte == b'_')?;
    // The middle of a character that is cut off by the limit is no start.
    let name = name
        + scan.text[name..at]
            .iter()
            .take_while(|byte| (0x80..0xC0).contains(*byte))
            .count();
    if name >= at || scan.text[at - 1] == b'.' {
        return None;
    }
    let stretch = &scan.text[at + 1..scan.text.len().min(at + 1 + LONGEST_DOMAIN)];
    let stretch = &stretch[..stretch
        .iter()
        .position(|byte| !(Scan::in_word(*byte) || matches!(byte, b'.' | b'-')))
        .unwrap_or(stretch.len())];
    let mut end = None;
    let mut from = 0;
    for (place, label) in stretch.split(|byte| *byte == b'.').enumerate() {
        if label.is_empty() || label.starts_with(b"-") {
            break;
        }
        let letters = label
            .iter()
            .filter(|byte| byte.is_ascii_alphabetic() || **byte >= 0x80)
            .count();
        let label_end = label.len() - label.iter().rev().take_while(|byte| **byte == b'-').count();
        if place > 0 && letters >= 2 {
            end = Some(at + 1 + from + label_end);
        }
        from += label.len() + 1;
    }
    end.map(|end| (name, whole_characters(scan, end)))
}

/// The domain may have been cut off within a character.
fn whole_characters(scan: &Scan<'_>, end: usize) -> usize {
    end + scan.text[end..]
        .iter()
        .take_while(|byte| (0x80..0xC0).contains(*byte))
        .count()
}

pub fn ip(scan: &Scan<'_>, at: usize) -> Option<(usize, usize)> {
    if matches!(scan.before(at), b'.' | b':') {
        return None;
    }
    let stretch = &scan.text[at..scan.text.len().min(at + LONGEST_IP)];
    let bytes = stretch
        .iter()
        .position(|byte| !(byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':')));
    let run = at + bytes.unwrap_or(stretch.len());
    let mut end = run;
    // A sentence may end behind it, and a port may follow an IPv4 address.
    while end > at && matches!(scan.text[end - 1], b'.' | b':') && scan.text[at..end] != *b"::" {
        end -= 1;
    }
    let text = from_utf8(&scan.text[at..end]).ok()?;
    if Scan::in_word(scan.byte(run)) {
        return None;
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((at, end));
    }
    let first = text.split(':').next()?;
    first
        .parse::<Ipv4Addr>()
        .ok()
        .map(|_| (at, at + first.len()))
}

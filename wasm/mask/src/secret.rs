//! Tokens and keys, known by how their issuers start them or, where the settings ask for it, by being long and without sense.
use crate::find::Scan;

/// How it starts, and how many bytes must follow.
const PREFIXES: [(&str, usize); 26] = [
    ("sk-", 16),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("whsec_", 16),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghu_", 30),
    ("ghs_", 30),
    ("ghr_", 30),
    ("github_pat_", 30),
    ("glpat-", 16),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("xoxa-", 16),
    ("xoxr-", 16),
    ("xoxs-", 16),
    ("xapp-", 16),
    ("npm_", 30),
    ("hf_", 30),
    ("pypi-", 30),
    ("AIza", 30),
    ("ya29.", 16),
    ("SG.", 30),
    ("dop_v1_", 30),
    ("AGE-SECRET-KEY-", 30),
];
const SHORTEST_BEARER: usize = 16;
const SHORTEST_HEX: usize = 32;
const SHORTEST_BASE64: usize = 40;
const BEGIN: &str = "-----BEGIN ";
const PRIVATE: &[u8] = b"PRIVATE KEY";

fn in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

pub fn token(scan: &Scan<'_>, at: usize) -> Option<(usize, usize)> {
    if scan.byte(at) == b'-' {
        return private_key(scan, at);
    }
    if scan.before(at) == b'-' {
        return None;
    }
    web_token(scan, at)
        .or_else(|| issued(scan, at))
        .or_else(|| bearer(scan, at))
}

/// A JWT: three pieces of base64 with dots between them, of which the first two are objects.
fn web_token(scan: &Scan<'_>, at: usize) -> Option<(usize, usize)> {
    if !scan.starts(at, "eyJ") {
        return None;
    }
    let head = scan.run(at, in_token);
    let body = scan.byte(head) == b'.' && scan.starts(head + 1, "eyJ");
    let end = if body {
        scan.run(head + 1, in_token)
    } else {
        return None;
    };
    let end = if scan.byte(end) == b'.' {
        scan.run(end + 1, in_token)
    } else {
        return None;
    };
    (head - at >= 10).then_some((at, end))
}

fn issued(scan: &Scan<'_>, at: usize) -> Option<(usize, usize)> {
    if scan.starts(at, "AKIA") || scan.starts(at, "ASIA") {
        let end = scan.run(at, |byte| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit()
        });
        return (end - at == 20 && !Scan::in_word(scan.byte(end))).then_some((at, end));
    }
    let (prefix, least) = PREFIXES
        .iter()
        .find(|(prefix, _)| prefix.as_bytes()[0] == scan.byte(at) && scan.starts(at, prefix))?;
    let dotted = prefix.ends_with('.');
    let end = scan.run(at + prefix.len(), |byte| {
        in_token(byte) || (dotted && byte == b'.')
    });
    let rest = &scan.text[at + prefix.len()..end];
    (rest.len() >= *least && rest.iter().any(u8::is_ascii_digit)).then_some((at, end))
}

/// What stands behind the word: the word itself stays.
fn bearer(scan: &Scan<'_>, at: usize) -> Option<(usize, usize)> {
    let word = scan
        .text
        .get(at..at + 7)
        .filter(|word| matches!(word[0], b'B' | b'b'))?;
    if !word.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    let start = at + 7;
    let end = scan.run(start, |byte| {
        in_token(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'=')
    });
    let token = &scan.text[start..end];
    (token.len() >= SHORTEST_BEARER && token.iter().any(u8::is_ascii_digit)).then_some((start, end))
}

fn private_key(scan: &Scan<'_>, at: usize) -> Option<(usize, usize)> {
    if !scan.starts(at, BEGIN) {
        return None;
    }
    let label = at + BEGIN.len();
    let label_end = scan.run(label, |byte| byte.is_ascii_uppercase() || byte == b' ');
    if !scan.text[label..label_end].ends_with(PRIVATE) || !scan.starts(label_end, "-----") {
        return None;
    }
    // Cut off before its end, it is a key all the same.
    let ending = scan.text[label_end..]
        .windows(9)
        .position(|window| window == b"-----END ")
        .map_or(scan.text.len(), |bytes| label_end + bytes + 9);
    let rest = scan.run(ending, |byte| byte.is_ascii_uppercase() || byte == b' ');
    Some((at, scan.run(rest, |byte| byte == b'-')))
}

pub fn long(scan: &Scan<'_>, at: usize) -> Option<(usize, usize)> {
    let in_base64 = |byte: u8| in_token(byte) || matches!(byte, b'+' | b'/' | b'=');
    if in_base64(scan.before(at)) {
        return None;
    }
    let end = scan.run(at, in_base64);
    let run = &scan.text[at..end];
    let has = |belongs: fn(&u8) -> bool| run.iter().any(belongs);
    let hex = run.len() >= SHORTEST_HEX && run.iter().all(u8::is_ascii_hexdigit);
    let base64 =
        run.len() >= SHORTEST_BASE64 && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    ((hex || base64) && has(u8::is_ascii_digit)).then_some((at, end))
}

//! Finds what is to be masked in a text, from left to right, in time linear in its length.
use alloc::vec::Vec;

use crate::settings::{Kind, Settings};
use crate::{account, address, phone, secret};

#[derive(Debug, PartialEq)]
pub struct Found {
    pub start: usize,
    pub end: usize,
    pub kind: Kind,
}

/// A text, and how far what comes before is already masked.
pub struct Scan<'t> {
    pub text: &'t [u8],
    pub masked_to: usize,
}

impl Scan<'_> {
    pub fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    /// 0 at the start of the text, and behind what is masked.
    pub fn before(&self, at: usize) -> u8 {
        if at > self.masked_to {
            self.text[at - 1]
        } else {
            0
        }
    }

    /// A letter or digit, or a byte of one that is not ASCII.
    pub fn in_word(byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || byte >= 0x80
    }

    /// Whether a number that ends here would go on: as a word, a decimal, a date, a time or the name before an `@`.
    pub fn goes_on(&self, end: usize) -> bool {
        let next = self.byte(end);
        Scan::in_word(next)
            || matches!(next, b'_' | b'@')
            || (matches!(next, b'.' | b',' | b':' | b'-' | b'/')
                && self.byte(end + 1).is_ascii_digit())
    }

    pub fn starts(&self, at: usize, prefix: &str) -> bool {
        self.text[at..].starts_with(prefix.as_bytes())
    }

    /// Where a run of such bytes ends.
    pub fn run(&self, at: usize, belongs: impl Fn(u8) -> bool) -> usize {
        self.text[at..]
            .iter()
            .position(|byte| !belongs(*byte))
            .map_or(self.text.len(), |bytes| at + bytes)
    }
}

pub fn find(text: &str, settings: &Settings) -> Vec<Found> {
    let mut scan = Scan {
        text: text.as_bytes(),
        masked_to: 0,
    };
    let in_words: [bool; 256] = core::array::from_fn(|byte| {
        u8::try_from(byte).is_ok_and(|byte| Scan::in_word(byte) || byte == b'_')
    });
    let mut found = Vec::new();
    let mut at = 0;
    while at < scan.text.len() {
        // Most bytes are blanks or within a word, where nothing starts.
        let byte = scan.text[at];
        let may_start = (Scan::in_word(byte) || matches!(byte, b'+' | b'(' | b'-' | b':'))
            && !in_words[usize::from(scan.before(at))];
        match (may_start || byte == b'@')
            .then(|| first(&scan, at, settings))
            .flatten()
        {
            Some(here) => {
                at = here.end;
                scan.masked_to = here.end;
                found.push(here);
            }
            None => at += 1,
        }
    }
    found
}

/// What is found where this byte says that something may be.
fn first(scan: &Scan<'_>, at: usize, settings: &Settings) -> Option<Found> {
    let byte = scan.text[at];
    let starts_word = byte != b'@';
    let asked =
        |kind, span: Option<(usize, usize)>| span.map(|(start, end)| Found { start, end, kind });
    let mut found = None;
    let mut try_for =
        |kind, looks: bool, finder: fn(&Scan<'_>, usize) -> Option<(usize, usize)>| {
            if found.is_none() && looks && settings.masks(kind) {
                found = asked(kind, finder(scan, at));
            }
        };
    try_for(Kind::Email, byte == b'@', address::email);
    try_for(
        Kind::Token,
        starts_word && (byte.is_ascii_alphabetic() || byte == b'-'),
        secret::token,
    );
    try_for(
        Kind::Iban,
        starts_word && byte.is_ascii_alphabetic(),
        account::iban,
    );
    try_for(
        Kind::Card,
        starts_word && byte.is_ascii_digit(),
        account::card,
    );
    try_for(
        Kind::Ip,
        starts_word && (byte.is_ascii_hexdigit() || byte == b':'),
        address::ip,
    );
    try_for(
        Kind::Phone,
        starts_word && (byte.is_ascii_digit() || matches!(byte, b'+' | b'(')),
        phone::phone,
    );
    try_for(
        Kind::Secret,
        starts_word && byte.is_ascii_alphanumeric(),
        secret::long,
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> std::string::String {
        let settings =
            Settings::parse(r#"{"kinds":["email","phone","card","iban","token","ip","secret"]}"#)
                .unwrap();
        let mut out = std::string::String::new();
        let mut from = 0;
        for found in find(text, &settings) {
            out.push_str(&text[from..found.start]);
            std::fmt::Write::write_fmt(&mut out, format_args!("<{:?}>", found.kind)).unwrap();
            from = found.end;
        }
        out + &text[from..]
    }

    #[test]
    fn what_is_personal_is_found() {
        for (text, expected) in [
            (
                "Write to Jane.Doe+x@mail.example.co.uk, please",
                "Write to <Email>, please",
            ),
            ("<a@b.io>(c_d@e-f.org).", "<<Email>>(<Email>)."),
            ("mailto:jörg@müller.de", "mailto:<Email>"),
            ("call +49 (0)30 123 456-78 now", "call <Phone> now"),
            (
                "+442071838750, +1-202-555-0143; 0049 171 1234567",
                "<Phone>, <Phone>; <Phone>",
            ),
            (
                "(202) 555-0143 or 202-555-0143 or 202.555.0143 or 1-202-555-0143",
                "<Phone> or <Phone> or <Phone> or <Phone>",
            ),
            (
                "030 1234567, 0171/1234567, 06 12 34 56 78, 06.12.34.56.78, (030) 1234567",
                "<Phone>, <Phone>, <Phone>, <Phone>, <Phone>",
            ),
            ("mobile 07911123456.", "mobile <Phone>."),
            ("030 1234567 040 7654321", "<Phone> <Phone>"),
            (
                "card 4111 1111 1111 1111, 4111-1111-1111-1111 4111111111111111 378282246310005",
                "card <Card>, <Card> <Card> <Card>",
            ),
            ("amex 3782 822463 10005", "amex <Card>"),
            (
                "DE89 3704 0044 0532 0130 00 and GB82WEST12345698765432.",
                "<Iban> and <Iban>.",
            ),
            (
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U!",
                "<Token>!",
            ),
            (
                "key=sk-proj-abcdEFGH1234567890ijkl ghp_16C7e42F292c6912E7710c838347Ae178B4a",
                "key=<Token> <Token>",
            ),
            ("AKIAIOSFODNN7EXAMPLE", "<Token>"),
            (
                "Authorization: Bearer abc123.def456-ghi789_jk",
                "Authorization: Bearer <Token>",
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nrest",
                "<Token>\nrest",
            ),
            (
                "from 192.168.1.17:80 or [2001:db8::1]/64, ::1",
                "from <Ip>:80 or [<Ip>]/64, <Ip>",
            ),
            ("sha d41d8cd98f00b204e9800998ecf8427e", "sha <Secret>"),
        ] {
            assert_eq!(masked(text), expected, "{text}");
        }
    }

    #[test]
    fn what_only_looks_alike_stays() {
        for text in [
            "2024-01-31 10:30:00",
            "31.12.2024",
            "01.02.2024 10:30",
            "01/02/2024",
            "2024-01-31T10:30:00.123456+01:00",
            "20240131103000",
            "1732200000",
            "1732200000000",
            "3.14159265358979",
            "0.1234567890",
            "1,234,567.89",
            "-12345678.5",
            "+52.520008, +13.404954",
            "1e10",
            "0x1234567890",
            "12345678901",
            "version 1.22.333",
            "10:20:30",
            "00:1b:44:11:3a:b7",
            "1234567890",
            "room 101-202",
            "4111 1111 1111 1112",
            "4111111111111111.5",
            "DE89370400440532013001",
            "@home",
            "a@b",
            "user@",
            "x @ y.com",
            "bearer responsibilities",
            "the token bearer",
            "skip-ahead",
            "sk-short",
            "AKIA-town",
            "3+4912345678",
            "id_0123456789",
            "part 0123456789abc",
            "a 100-200-300",
            "$1000000000",
            "550e8400-e29b-41d4-a716-446655440000",
            "01-02-2024 10",
            "internationalisation-and-localisation-of-everything",
            "https://example.com/2024/01/31/page",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn long_and_hostile_texts_take_no_longer() {
        for piece in [
            "@",
            "a@",
            "eyJ-",
            "Bearer ",
            "+1",
            "1-",
            "-----BEGIN X PRIVATE KEY",
            "AA00",
            "::",
            "4111 ",
            "(0",
            "sk-",
            "aaaa.bbbb@",
            "eyJaaaaaaaaaaaa.",
        ] {
            masked(&piece.repeat(100_000));
        }
    }
}

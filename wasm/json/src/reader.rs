use alloc::borrow::Cow;
use alloc::string::String;
use core::ops::Range;

use crate::MAX_DEPTH;

/// No JSON, or deeper than `MAX_DEPTH`: at this byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid(pub usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

/// A place in a JSON text, moved on value by value.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Reader {
            text,
            at: 0,
            depth: 0,
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn invalid<T>(&self) -> Result<T, Invalid> {
        Err(Invalid(self.at))
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Invalid> {
        self.blanks();
        if self.byte() != Some(wanted) {
            return self.invalid();
        }
        self.at += 1;
        Ok(())
    }

    /// What stands next.
    pub fn kind(&mut self) -> Result<Kind, Invalid> {
        self.blanks();
        match self.byte() {
            Some(b'n') => Ok(Kind::Null),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b'"') => Ok(Kind::String),
            Some(b'[') => Ok(Kind::Array),
            Some(b'{') => Ok(Kind::Object),
            _ => self.invalid(),
        }
    }

    /// Nothing but blanks follows.
    pub fn end(&mut self) -> Result<(), Invalid> {
        self.blanks();
        if self.at == self.text.len() {
            Ok(())
        } else {
            self.invalid()
        }
    }

    pub fn literal(&mut self, word: &str) -> Result<(), Invalid> {
        self.blanks();
        if !self.text[self.at..].starts_with(word) {
            return self.invalid();
        }
        self.at += word.len();
        Ok(())
    }

    /// The number as it is spelt.
    pub fn number(&mut self) -> Result<&'a str, Invalid> {
        self.blanks();
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return self.invalid(),
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), Invalid> {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if start == self.at {
            self.invalid()
        } else {
            Ok(())
        }
    }

    /// Where the string's inside lies, without the quotes.
    pub fn string_span(&mut self) -> Result<Range<usize>, Invalid> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(start..self.at - 1);
                }
                Some(b'\\') => self.escape().map(|_| ())?,
                Some(0x20..) => self.at += 1,
                _ => return self.invalid(),
            }
        }
    }

    /// The place is at a backslash; it ends behind the escape.
    fn escape(&mut self) -> Result<char, Invalid> {
        let meant = match self.text.as_bytes().get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex(self.at + 2)?;
                self.at += 6;
                if !(0xD800..0xDC00).contains(&first) {
                    // A lone low surrogate stands for nothing.
                    return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                if self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\\u") {
                    let second = self.hex(self.at + 2)?;
                    if (0xDC00..0xE000).contains(&second) {
                        self.at += 6;
                        let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                        return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                }
                return Ok(char::REPLACEMENT_CHARACTER);
            }
            _ => return self.invalid(),
        };
        self.at += 2;
        Ok(meant)
    }

    fn hex(&self, at: usize) -> Result<u32, Invalid> {
        let digits = self.text.as_bytes().get(at..at + 4).ok_or(Invalid(at))?;
        digits
            .iter()
            .try_fold(0, |code, digit| {
                Some(code * 16 + char::from(*digit).to_digit(16)?)
            })
            .ok_or(Invalid(at))
    }

    /// The string's inside, as it is meant.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Invalid> {
        let span = self.string_span()?;
        let raw = &self.text[span];
        Ok(if raw.contains('\\') {
            Cow::Owned(unescaped(raw, |_, _| {}))
        } else {
            Cow::Borrowed(raw)
        })
    }

    /// Calls `each` for every member, which reads the value.
    pub fn object<E: From<Invalid>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.nested(b'{', b'}', |reader| {
            let key = reader.string()?;
            reader.expect(b':')?;
            each(reader, key)
        })
    }

    /// Calls `each` for every element, which reads it.
    pub fn array<E: From<Invalid>>(
        &mut self,
        each: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.nested(b'[', b']', each)
    }

    fn nested<E: From<Invalid>>(
        &mut self,
        open: u8,
        close: u8,
        mut each: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.expect(open)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.invalid().map_err(E::from);
        }
        self.blanks();
        if self.byte() == Some(close) {
            self.at += 1;
        } else {
            loop {
                each(self)?;
                self.blanks();
                match self.byte() {
                    Some(b',') => self.at += 1,
                    Some(byte) if byte == close => {
                        self.at += 1;
                        break;
                    }
                    _ => return self.invalid().map_err(E::from),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Passes over one value, and gives the text of it.
    pub fn skip(&mut self) -> Result<&'a str, Invalid> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            Kind::Null => self.literal("null")?,
            Kind::Bool => self.bool().map(|_| ())?,
            Kind::Number => self.number().map(|_| ())?,
            Kind::String => self.string_span().map(|_| ())?,
            Kind::Array => self.array(|reader| reader.skip().map(|_| ()))?,
            Kind::Object => self.object(|reader, _| reader.skip().map(|_| ()))?,
        }
        Ok(&self.text[start..self.at])
    }

    pub fn bool(&mut self) -> Result<bool, Invalid> {
        self.blanks();
        if self.byte() == Some(b't') {
            self.literal("true").map(|()| true)
        } else {
            self.literal("false").map(|()| false)
        }
    }
}

/// The inside of a valid string as it is meant. `each` is told, for every piece, how many bytes it has raw and meant.
pub(crate) fn unescaped(raw: &str, mut each: impl FnMut(usize, usize)) -> String {
    let mut meant = String::with_capacity(raw.len());
    let mut reader = Reader::new(raw);
    while reader.at < raw.len() {
        let start = reader.at;
        let before = meant.len();
        if reader.byte() == Some(b'\\') {
            // The reader that found the string has seen that its escapes are whole.
            let Ok(char) = reader.escape() else { break };
            meant.push(char);
        } else {
            let run = raw[start..].find('\\').unwrap_or(raw.len() - start);
            meant.push_str(&raw[start..start + run]);
            reader.at += run;
        }
        each(reader.at - start, meant.len() - before);
    }
    meant
}

/// A string both raw and as it is meant, with the way from the one to the other.
impl Reader<'_> {
    /// The inside as it is meant, and for every byte of it, and its end, where that stands in `raw`.
    #[must_use]
    pub fn mapped(raw: &str) -> (String, alloc::vec::Vec<usize>) {
        let mut places = alloc::vec::Vec::with_capacity(raw.len() + 1);
        let mut at = 0;
        let meant = unescaped(raw, |raw_bytes, meant_bytes| {
            let one_to_one = raw_bytes == meant_bytes;
            places.extend((0..meant_bytes).map(|byte| if one_to_one { at + byte } else { at }));
            at += raw_bytes;
        });
        places.push(at);
        (meant, places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(text: &str) -> bool {
        let mut reader = Reader::new(text);
        reader.skip().and_then(|_| reader.end()).is_ok()
    }

    #[test]
    fn what_is_json_is_read_to_its_end() {
        for text in [
            "null",
            " [1, -0.5e+3, \"a\\u00e9\\n\"] ",
            "{\"a\": {}, \"b\": []}",
            "\"\"",
            "0",
        ] {
            assert!(valid(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "[1,]",
            "{\"a\"}",
            "01",
            "1.",
            "+1",
            "NaN",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\n\"",
            "[",
            "nul",
            "1 2",
            "{a:1}",
            "\"\\ud8",
            "'a'",
            "-",
        ] {
            assert!(!valid(text), "{text}");
        }
    }

    #[test]
    fn what_is_too_deep_is_refused() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(valid(&nested(MAX_DEPTH)));
        assert!(!valid(&nested(MAX_DEPTH + 1)));
        assert!(!valid(&"[".repeat(1_000_000)));
    }

    #[test]
    fn escapes_mean_what_the_standard_says() {
        assert_eq!(
            Reader::new(r#""\u0041\ud83d\ude00\/\ud800x""#)
                .string()
                .unwrap(),
            "A😀/\u{fffd}x"
        );
    }

    #[test]
    fn a_byte_of_the_meaning_is_found_in_the_spelling() {
        let raw = r"a\u0040b\n.é";
        let (meant, places) = Reader::mapped(raw);
        assert_eq!(meant, "a@b\n.é");
        assert_eq!(places, [0, 1, 7, 8, 10, 11, 12, 13]);
        assert_eq!(places[meant.len()], raw.len());
    }
}

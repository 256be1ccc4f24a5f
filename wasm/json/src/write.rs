use alloc::string::String;

/// Adds the string with its quotes.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    quote_inner(text, out);
    out.push('"');
}

/// Adds the string as it stands between quotes.
pub fn quote_inner(text: &str, out: &mut String) {
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        plain = at + 1;
        if short.is_empty() {
            out.push_str("\\u00");
            out.push(char::from(b'0' + (byte >> 4)));
            out.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
        } else {
            out.push_str(short);
        }
    }
    out.push_str(&text[plain..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_string_reads_back_as_itself() {
        let text: String = ('\0'..'\u{80}').chain("é😀".chars()).collect();
        let mut quoted = String::new();
        quote(&text, &mut quoted);
        assert_eq!(crate::Reader::new(&quoted).string().unwrap(), text);
    }
}

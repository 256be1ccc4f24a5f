//! Request and response heads.
//!
//! Refused, because proxies have been smuggled past with it: a line that does not end in CRLF, white space
//! before a colon, folded fields, control characters, `Content-Length` beside `Transfer-Encoding` or in two
//! values, any transfer coding but `chunked`, and an HTTP/1.1 request without exactly one `Host`.

use crate::error::{Error, Kind, Result};

/// What the fields of a head say about the body and the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields<'a> {
    /// In order. Names lower-cased, values without white space around them.
    pub headers: Vec<(String, &'a [u8])>,
    /// `Content-Length`.
    pub content_length: Option<u64>,
    /// `Transfer-Encoding: chunked`.
    pub chunked: bool,
    /// The connection may be used again, as far as the version and `Connection` go.
    pub keep_alive: bool,
    /// `Expect: 100-continue` on HTTP/1.1.
    pub expect_continue: bool,
    /// Bytes of the head, blank line included.
    pub head_len: usize,
    /// The 0 or 1 of `HTTP/1.0` and `HTTP/1.1`.
    pub minor: u8,
}

/// A request head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// Method token.
    pub method: &'a str,
    /// Request target as sent.
    pub target: &'a str,
    /// The rest.
    pub fields: Fields<'a>,
}

/// A response head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// Three digits, 100 to 999.
    pub status: u16,
    /// Reason phrase, ISO 8859-1.
    pub reason: &'a [u8],
    /// The rest.
    pub fields: Fields<'a>,
}

#[cold]
fn bad<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(Kind::BadHttp, message))
}

/// The request head at the start of `buf`; `None` while it is incomplete.
///
/// One empty line before it is stepped over, as RFC 9112 section 2.2 asks of servers.
///
/// # Errors
/// `BadHttp`; `HeadTooLarge` when the head is or will be longer than `max_bytes`.
pub fn parse_request_head(buf: &[u8], max_bytes: usize) -> Result<Option<RequestHead<'_>>> {
    let skipped = if buf.starts_with(b"\r\n") { 2 } else { 0 };
    let Some(head_len) = head_end(buf, skipped, max_bytes, is_token_byte)? else {
        return Ok(None);
    };
    let mut lines = Lines(&buf[skipped..head_len - 2]);
    let line = lines.next().unwrap_or_default();
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return bad("the request line is not `METHOD target HTTP/1.1`");
    };
    if method.is_empty() || !method.iter().all(|&byte| is_token_byte(byte)) {
        return bad("the request method is not a token");
    }
    if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return bad("the request target has a character that must be percent-encoded");
    }
    let minor = minor_version(version)?;
    let fields = fields(lines, minor, head_len, true)?;
    Ok(Some(RequestHead {
        method: ascii(method)?,
        target: ascii(target)?,
        fields,
    }))
}

/// The response head at the start of `buf`; `None` while it is incomplete.
///
/// # Errors
/// `BadHttp`; `HeadTooLarge` when the head is or will be longer than `max_bytes`.
pub fn parse_response_head(buf: &[u8], max_bytes: usize) -> Result<Option<ResponseHead<'_>>> {
    let Some(head_len) = head_end(buf, 0, max_bytes, |byte| byte == b'H')? else {
        return Ok(None);
    };
    let mut lines = Lines(&buf[..head_len - 2]);
    let line = lines.next().unwrap_or_default();
    let Some((version, rest)) = line
        .split_at_checked(9)
        .filter(|(version, _)| version[8] == b' ')
    else {
        return bad("the status line is not `HTTP/1.1 status reason`");
    };
    let minor = minor_version(&version[..8])?;
    let (status, reason) = match rest {
        [
            a @ b'1'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            reason @ ..,
        ] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            (digit(a) * 100 + digit(b) * 10 + digit(c), reason)
        }
        _ => return bad("the status is not three digits"),
    };
    // Some servers leave out the space when they have no reason.
    let reason = match reason {
        [] => reason,
        [b' ', reason @ ..] if reason.iter().all(|&byte| is_value_byte(byte)) => reason,
        _ => return bad("the reason phrase has a control character"),
    };
    let fields = fields(lines, minor, head_len, false)?;
    Ok(Some(ResponseHead {
        status,
        reason,
        fields,
    }))
}

/// Where the head ends, blank line included.
fn head_end(
    buf: &[u8],
    start: usize,
    max_bytes: usize,
    may_start: impl Fn(u8) -> bool,
) -> Result<Option<usize>> {
    let window = &buf[..buf.len().min(max_bytes)];
    // Another protocol on this port is found out by its first byte, not by a timeout.
    if let Some(&first) = window.get(start)
        && !may_start(first)
        && !(start == 0 && window == b"\r")
    {
        return bad("this is not HTTP/1.1");
    }
    let mut line = start.min(window.len());
    while let Some(length) = memchr::memchr(b'\n', &window[line..]) {
        let end = line + length;
        if length == 0 || window[end - 1] != b'\r' {
            return bad("a line of the head does not end in CRLF");
        }
        if length == 1 {
            return Ok(Some(end + 1));
        }
        line = end + 1;
    }
    if buf.len() >= max_bytes {
        return Err(Error::new(
            Kind::HeadTooLarge,
            format!("the HTTP head is over the limit of {max_bytes} bytes"),
        ));
    }
    Ok(None)
}

/// The lines of a head whose every line is known to end in CRLF.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr::memchr(b'\n', self.0)?;
        let line = &self.0[..end - 1];
        self.0 = &self.0[end + 1..];
        Some(line)
    }
}

fn fields(lines: Lines<'_>, minor: u8, head_len: usize, request: bool) -> Result<Fields<'_>> {
    let mut found = Fields {
        headers: Vec::with_capacity(16),
        content_length: None,
        chunked: false,
        keep_alive: minor == 1,
        expect_continue: false,
        head_len,
        minor,
    };
    let (mut hosts, mut codings) = (0, 0);
    let (mut close, mut keep) = (false, false);
    for line in lines {
        if let Some(b' ' | b'\t') = line.first() {
            return bad("a header field is folded over two lines");
        }
        let Some(colon) = memchr::memchr(b':', line) else {
            return bad("a header field has no colon");
        };
        let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
        if name.is_empty() || !name.iter().all(|&byte| is_token_byte(byte)) {
            return bad("a header name is not a token");
        }
        let name = ascii(name)?.to_ascii_lowercase();
        if !value.iter().all(|&byte| is_value_byte(byte)) {
            return bad(format!("the header `{name}` has a control character"));
        }
        match name.as_str() {
            "content-length" => {
                let length = content_length(value)?;
                if found
                    .content_length
                    .replace(length)
                    .is_some_and(|other| other != length)
                {
                    return bad("`Content-Length` is there with different values");
                }
            }
            "transfer-encoding" => {
                codings += 1;
                if codings > 1 || !value.eq_ignore_ascii_case(b"chunked") {
                    return bad("`Transfer-Encoding` must be exactly `chunked`");
                }
                found.chunked = true;
            }
            "host" => {
                hosts += 1;
                if !value.iter().all(|&byte| is_host_byte(byte)) {
                    return bad("`Host` is not a host and port");
                }
            }
            "connection" => {
                for option in value.split(|&byte| byte == b',').map(trim) {
                    close |= option.eq_ignore_ascii_case(b"close");
                    keep |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            "expect" => {
                found.expect_continue |= minor == 1 && value.eq_ignore_ascii_case(b"100-continue");
            }
            _ => {}
        }
        found.headers.push((name, value));
    }
    if found.chunked && (found.content_length.is_some() || minor == 0) {
        return bad("`Transfer-Encoding` stands beside `Content-Length` or in HTTP/1.0");
    }
    if request && (hosts > 1 || (hosts == 0 && minor == 1)) {
        return bad("an HTTP/1.1 request has exactly one `Host`");
    }
    found.keep_alive = !close && (minor == 1 || keep);
    Ok(found)
}

fn minor_version(version: &[u8]) -> Result<u8> {
    match version {
        b"HTTP/1.1" => Ok(1),
        b"HTTP/1.0" => Ok(0),
        _ => bad("the version is not HTTP/1.0 or HTTP/1.1"),
    }
}

/// Digits only: a sign, a list or white space inside is read differently by different readers.
fn content_length(value: &[u8]) -> Result<u64> {
    let digits = std::str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse::<u64>().ok()) {
        Some(length) if i64::try_from(length).is_ok() => Ok(length),
        _ => bad("`Content-Length` is not a number of bytes"),
    }
}

fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value
        .iter()
        .position(|byte| !is_space(byte))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !is_space(byte))
        .map_or(start, |last| last + 1);
    &value[start..end]
}

fn ascii(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).or_else(|_| bad("a character outside ASCII"))
}

/// `tchar` of RFC 9110.
pub(super) const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
        | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// Visible characters, space, tab and `obs-text`.
pub(super) const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// What `uri-host [":" port]` may hold; no list, no userinfo, no path.
const fn is_host_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
        | b'-' | b'.' | b'_' | b'~' | b':' | b'[' | b']' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=')
}

//! Server-sent events (WHATWG HTML, "Server-sent events"), read and written.

use crate::error::{Error, Kind, Result};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Its type; `None` is `message`.
    pub event: Option<String>,
    /// The `data` lines, joined by a line feed.
    pub data: Vec<u8>,
    /// The `id` line of this event, not of an earlier one. Empty clears the last event id.
    pub id: Option<String>,
    /// The `retry` line, milliseconds.
    pub retry_ms: Option<u64>,
}

/// Cuts a stream of bytes into events. Bytes of a line that has not ended are not looked at again.
#[derive(Debug)]
pub struct SseDecoder {
    max_bytes: usize,
    line: Vec<u8>,
    event: Event,
    /// `data` has had a line: the next one needs a line feed before it.
    has_data: bool,
    /// The last byte was a carriage return: a line feed now belongs to it.
    after_cr: bool,
    /// Bytes of the byte order mark that the stream may start with, seen so far; none once it has started.
    bom: Option<usize>,
    failed: bool,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl SseDecoder {
    /// `max_bytes` bounds one event: its data and its line in progress.
    #[must_use]
    pub fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            line: Vec::new(),
            event: Event::default(),
            has_data: false,
            after_cr: false,
            bom: Some(0),
            failed: false,
        }
    }

    /// Calls `on` with each event that ends in `data`: those with `data`, `id` or `retry`.
    ///
    /// # Errors
    /// `TooLarge`, then and from then on.
    pub fn feed(&mut self, mut data: &[u8], mut on: impl FnMut(Event)) -> Result<()> {
        if self.failed {
            return Err(self.too_large());
        }
        data = self.skip_bom(data);
        while !data.is_empty() {
            if std::mem::take(&mut self.after_cr) && data[0] == b'\n' {
                data = &data[1..];
                continue;
            }
            let end = memchr::memchr2(b'\n', b'\r', data);
            let part = &data[..end.unwrap_or(data.len())];
            if self.event.data.len() + self.line.len() + part.len() > self.max_bytes {
                return Err(self.too_large());
            }
            let Some(end) = end else {
                self.line.extend_from_slice(part);
                break;
            };
            self.after_cr = data[end] == b'\r';
            data = &data[end + 1..];
            if self.line.is_empty() {
                self.end_line(part, &mut on);
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(part);
                self.end_line(&line, &mut on);
            }
        }
        Ok(())
    }

    /// Bytes held of an event that has not ended.
    #[must_use]
    pub fn held(&self) -> usize {
        self.event.data.len() + self.line.len()
    }

    fn skip_bom<'a>(&mut self, mut data: &'a [u8]) -> &'a [u8] {
        while let (Some(seen), [first, rest @ ..]) = (self.bom, data) {
            if *first == BOM[seen] {
                data = rest;
                self.bom = (seen + 1 < BOM.len()).then_some(seen + 1);
            } else {
                // It was no mark: what looked like one belongs to the first line.
                self.line.extend_from_slice(&BOM[..seen]);
                self.bom = None;
            }
        }
        data
    }

    #[cold]
    fn too_large(&mut self) -> Error {
        self.failed = true;
        self.line = Vec::new();
        self.event = Event::default();
        Error::new(
            Kind::TooLarge,
            format!(
                "an event of the stream is over the limit of {} bytes",
                self.max_bytes
            ),
        )
    }

    fn end_line(&mut self, line: &[u8], on: &mut impl FnMut(Event)) {
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) || event.id.is_some() || event.retry_ms.is_some()
            {
                on(event);
            }
            return;
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(colon) => {
                let value = &line[colon + 1..];
                (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        match field {
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push(b'\n');
                }
                self.event.data.extend_from_slice(value);
            }
            b"event" => {
                self.event.event =
                    (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned());
            }
            b"id" if !value.contains(&0) => {
                self.event.id = Some(String::from_utf8_lossy(value).into_owned());
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                let number = std::str::from_utf8(value)
                    .ok()
                    .and_then(|digits| digits.parse().ok());
                self.event.retry_ms = number.or(self.event.retry_ms);
            }
            // Comments (no field name) and fields this standard does not know.
            _ => {}
        }
    }
}

/// Writes one event; `data` gets one line for each of its own.
///
/// # Errors
/// `Value` when `event` or `id` cannot stand on one line.
pub fn encode_sse(
    data: &[u8],
    event: Option<&str>,
    id: Option<&str>,
    retry_ms: Option<u64>,
) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(data.len() + 64);
    for (field, value) in [("event", event), ("id", id)] {
        let Some(value) = value else { continue };
        if value.bytes().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
            return Err(Error::new(
                Kind::Value,
                format!("`{field}` of an event must be one line"),
            ));
        }
        out.extend_from_slice(field.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    }
    if let Some(retry_ms) = retry_ms {
        out.extend_from_slice(format!("retry: {retry_ms}\n").as_bytes());
    }
    let mut rest = data;
    loop {
        out.extend_from_slice(b"data: ");
        let end = memchr::memchr2(b'\n', b'\r', rest);
        out.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
        out.push(b'\n');
        let Some(end) = end else { break };
        let crlf = rest[end] == b'\r' && rest.get(end + 1) == Some(&b'\n');
        rest = &rest[end + 1 + usize::from(crlf)..];
    }
    out.push(b'\n');
    Ok(out)
}

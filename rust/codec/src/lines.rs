//! Newline-delimited messages, the framing of the stdio binding.

/// Cuts a stream of bytes into lines. A line is never looked at twice, however it arrives.
#[derive(Debug)]
pub struct LineSplitter {
    max_bytes: usize,
    pending: Vec<u8>,
    /// The present line is over the limit and thrown away up to its newline.
    discarding: bool,
}

/// A pending buffer larger than this is given back after its line.
const KEEP_BYTES: usize = 64 * 1024;

impl LineSplitter {
    /// `max_bytes` bounds a line without its line end.
    #[must_use]
    pub const fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            pending: Vec::new(),
            discarding: false,
        }
    }

    /// Calls `on` with each line that ends in `data`, without its `\n` or `\r\n`; with `None` once for each line
    /// over the limit, as soon as it is. Lines of nothing but white space are dropped.
    pub fn feed(&mut self, mut data: &[u8], mut on: impl FnMut(Option<&[u8]>)) {
        while let Some(end) = memchr::memchr(b'\n', data) {
            let (part, rest) = (&data[..end], &data[end + 1..]);
            data = rest;
            if std::mem::take(&mut self.discarding) {
                continue;
            }
            if self.pending.is_empty() {
                self.line(part, &mut on);
            } else {
                let mut line = std::mem::take(&mut self.pending);
                if line.len() + part.len() <= self.held_bytes() {
                    line.extend_from_slice(part);
                    self.line(&line, &mut on);
                } else {
                    on(None);
                }
                if line.capacity() <= KEEP_BYTES {
                    line.clear();
                    self.pending = line;
                }
            }
        }
        if self.discarding {
            return;
        }
        let length = self.pending.len() + data.len();
        let last = data.last().or(self.pending.last());
        if length > self.held_bytes() || (length > self.max_bytes && last != Some(&b'\r')) {
            self.discarding = true;
            self.pending = Vec::new();
            on(None);
        } else {
            self.pending.extend_from_slice(data);
        }
    }

    /// A line may be held one byte beyond the limit: that byte may turn out to be the `\r` of its end.
    const fn held_bytes(&self) -> usize {
        self.max_bytes.saturating_add(1)
    }

    fn line(&self, line: &[u8], on: &mut impl FnMut(Option<&[u8]>)) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > self.max_bytes {
            on(None);
        } else if !line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
            on(Some(line));
        }
    }

    /// Bytes held of a line that has not ended.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The stream has ended: the bytes of its last, unterminated line.
    pub fn eof(&mut self) -> Vec<u8> {
        self.discarding = false;
        std::mem::take(&mut self.pending)
    }
}

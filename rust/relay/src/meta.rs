//! What `params._meta` says of the client, as far as a decision can depend on it.
//!
//! Two `_meta` objects are of one class when the entries that tidegate reads are the same bytes in both. All others
//! (trace context, a client's own) pass through and may differ from call to call.

use std::borrow::Cow;
use std::collections::HashMap;
use tidegate_codec::{Span, json};

/// The entries that decisions depend on.
const READ: [&str; 4] = [
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
];
/// A text that has this in it anywhere is taken for a stateless client's.
const VERSION: &[u8] = b"io.modelcontextprotocol/protocolVersion";
/// Wherever this stands, the slow lane may have to take a token out.
const TOKEN: &[u8] = b"dev.tidegate/token";
/// Longer ones are not remembered.
const MAX_BYTES: usize = 4096;

/// The class of no `_meta` at all, and of one without any entry that matters.
pub(crate) const NONE: u32 = 0;

/// The one that was seen last: clients repeat themselves.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    raw: Vec<u8>,
    class: u32,
    generation: u64,
}

/// Numbers for classes.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    known: HashMap<Box<[u8]>, u32>,
    /// Bytes held.
    pub(crate) bytes: usize,
}

/// What a class is known by. `None` where no flow may be.
pub(crate) fn words(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.len() > MAX_BYTES || memchr::memmem::find(raw, TOKEN).is_some() {
        return None;
    }
    let mut words = Vec::new();
    let mut versioned = false;
    for (key, value) in json::member_spans(raw, Span::new(0, raw.len())).ok()? {
        let read = READ.iter().position(|&read| read == key);
        // The slow lane looks for some of these as they are mostly spelled.
        if (read.is_some() && matches!(key, Cow::Owned(_))) || key.as_bytes() == TOKEN {
            return None;
        }
        if let Some(number) = read {
            versioned = versioned || number == 0;
            words.push(u8::try_from(number).ok()?);
            words.extend_from_slice(&u32::try_from(value.end - value.start).ok()?.to_le_bytes());
            words.extend_from_slice(value.of(raw));
        }
    }
    if !versioned && memchr::memmem::find(raw, VERSION).is_some() {
        return None;
    }
    Some(words)
}

impl Classes {
    /// The class of what has these words, if it was noted.
    pub(crate) fn get(&self, words: &[u8]) -> Option<u32> {
        if words.is_empty() {
            Some(NONE)
        } else {
            self.known.get(words).copied()
        }
    }

    /// The same, noting it.
    pub(crate) fn note(&mut self, words: &[u8]) -> u32 {
        if let Some(class) = self.get(words) {
            return class;
        }
        let class = u32::try_from(self.known.len() + 1).unwrap_or(u32::MAX);
        self.bytes += words.len() + 64;
        self.known.insert(words.into(), class);
        class
    }

    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.bytes = 0;
    }
}

impl Memo {
    /// The bytes that came last, whole and understood; none if that was before something changed.
    pub(crate) fn known(&self, generation: u64) -> &[u8] {
        if self.generation == generation {
            &self.raw
        } else {
            b""
        }
    }

    /// The class of `raw`, from memory if it is what came last.
    pub(crate) fn class(&mut self, raw: &[u8], classes: &Classes, generation: u64) -> Option<u32> {
        if self.generation == generation && self.raw == raw {
            return Some(self.class);
        }
        let class = classes.get(&words(raw)?)?;
        self.raw.clear();
        self.raw.extend_from_slice(raw);
        self.class = class;
        self.generation = generation;
        Some(class)
    }
}

//! Which keys an object has had so far.
//!
//! Objects are small, so the first keys are compared one by one; an object with many goes over to a hash
//! set seeded per process, so that nobody can make the check quadratic.

use crate::json::{Key, unescape};
use std::borrow::Cow;
use std::collections::HashSet;

/// Keys compared one by one before the set is made.
const FEW: usize = 16;

/// Keys seen, compared by their characters: `"\u0069d"` is `"id"`.
pub struct KeySet<'a> {
    few: [&'a [u8]; FEW],
    len: usize,
    many: Option<HashSet<Cow<'a, [u8]>>>,
}

impl<'a> KeySet<'a> {
    pub const fn new() -> Self {
        Self {
            few: [b""; FEW],
            len: 0,
            many: None,
        }
    }

    /// True when the key is new.
    #[inline]
    pub fn insert(&mut self, buf: &'a [u8], key: Key) -> bool {
        let inner = key.inner(buf);
        if !key.escaped && self.many.is_none() && self.len < FEW {
            if self.few[..self.len].contains(&inner) {
                return false;
            }
            self.few[self.len] = inner;
            self.len += 1;
            return true;
        }
        self.insert_many(inner)
    }

    #[cold]
    fn insert_many(&mut self, inner: &'a [u8]) -> bool {
        let few = &self.few[..self.len];
        self.many
            .get_or_insert_with(|| few.iter().map(|&key| Cow::Borrowed(key)).collect())
            .insert(unescape(inner))
    }
}

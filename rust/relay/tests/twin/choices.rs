//! Arbitrary bytes, read as choices: what a fuzzer changes is what happens, not whether it can be read.

pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn done(&self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    /// Below `many`, which is at most 256.
    pub fn below(&mut self, many: usize) -> usize {
        usize::from(self.byte()) % many.max(1)
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub fn one_of<'b, T>(&mut self, things: &'b [T]) -> &'b T {
        &things[self.below(things.len())]
    }

    /// At most 255 of what follows.
    pub fn bytes(&mut self) -> &'a [u8] {
        let many = self.below(256).min(self.0.len());
        let (some, rest) = self.0.split_at(many);
        self.0 = rest;
        some
    }
}

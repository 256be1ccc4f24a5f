//! The calls on one conversation, by their ids.

use std::collections::VecDeque;

/// Ids are given in ascending order, and mostly end in it: a few steps for each, and nothing to hash.
#[derive(Debug, Default)]
pub(crate) struct Ids(VecDeque<(u64, usize)>);

impl Ids {
    fn place(&self, id: u64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |&(id, _)| id)
    }

    pub(crate) fn insert(&mut self, id: u64, call: usize) {
        match self.place(id) {
            Ok(at) => self.0[at].1 = call,
            Err(at) => self.0.insert(at, (id, call)),
        }
    }

    pub(crate) fn get(&self, id: u64) -> Option<usize> {
        self.place(id).ok().map(|at| self.0[at].1)
    }

    pub(crate) fn remove(&mut self, id: u64) {
        if let Ok(at) = self.place(id) {
            self.0.remove(at);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// In the order of their ids.
    pub(crate) fn calls(&self) -> Vec<usize> {
        self.0.iter().map(|&(_, call)| call).collect()
    }
}

//! A decision as Python says it, read once: when it is installed.

use super::place_at;
use super::{Bucket, Relay, Scope, Upstream};
use pyo3::prelude::*;
use std::rc::Rc;
use tidegate_relay as core;

/// What a decision is made of, as Python says it.
#[derive(FromPyObject)]
struct SaidDecision {
    name: Option<Vec<u8>>,
    reply_head: Vec<u8>,
    coding: String,
    compress_min_bytes: usize,
    compress_max_bytes: usize,
    meta_changes: Changes,
    untyped: Option<SaidEdit>,
    complete: Option<SaidEdit>,
    odd_words: Vec<Vec<u8>>,
    balance: String,
    max_in_flight: usize,
    upstream: Py<Upstream>,
    request_head: Option<Vec<u8>>,
    repeatable: bool,
    bucket: Option<Py<Bucket>>,
    scope: Option<Py<Scope>>,
}

type Changes = Vec<(String, Option<Vec<u8>>)>;

/// `Fitting` of Python, or members that are set.
#[derive(FromPyObject)]
enum SaidEdit {
    Fit {
        members: Vec<String>,
        entries: Vec<String>,
        structured: Option<Vec<u8>>,
        place: String,
        words: Vec<String>,
    },
    Set(Changes),
}

fn changes(said: Changes) -> Box<[core::Change]> {
    said.into_iter()
        .map(|(key, value)| (key.into(), value.map(Vec::into_boxed_slice)))
        .collect()
}

fn edit(said: Option<SaidEdit>) -> core::Edit {
    match said {
        None => core::Edit::Pass,
        Some(SaidEdit::Set(said)) => core::Edit::Set(changes(said)),
        Some(SaidEdit::Fit {
            members,
            entries,
            structured,
            place,
            words,
        }) => core::Edit::Fit(Rc::new(core::Fitting {
            members: core::Words::new(members),
            entries: core::Words::new(entries),
            structured: structured.map(Vec::into_boxed_slice),
            place: place.into(),
            words: core::Words::new(words),
        })),
    }
}

impl SaidDecision {
    fn decision(self, py: Python<'_>, tag: usize) -> core::Decision {
        let coding = match self.coding.as_str() {
            "gzip" => core::Coding::Gzip,
            "zstd" => core::Coding::Zstd,
            _ => core::Coding::None,
        };
        core::Decision {
            tag,
            upstream: self.upstream.borrow(py).number(),
            request_head: self.request_head.map(Vec::into_boxed_slice),
            repeatable: self.repeatable,
            name: self.name.map(Vec::into_boxed_slice),
            reply_head: self.reply_head.into_boxed_slice(),
            coding,
            compressed_bytes: (self.compress_min_bytes, self.compress_max_bytes),
            meta: core::Meta::new(changes(self.meta_changes)),
            answers: core::Answers {
                untyped: edit(self.untyped),
                complete: edit(self.complete),
            },
            odd_words: self
                .odd_words
                .iter()
                .map(|word| core::finder(word))
                .collect(),
            in_turn: self.balance == "round_robin",
            max_in_flight: self.max_in_flight,
            bucket: self.bucket.map(|bucket| bucket.borrow(py).0.clone()),
            scope: self.scope.map(|scope| scope.borrow(py).scope.clone()),
        }
    }
}

impl Relay {
    /// Has `noted` by the core what Python says.
    pub(super) fn note(
        &self,
        py: Python<'_>,
        decision: Bound<'_, PyAny>,
        noted: impl FnOnce(&mut core::Relay, core::Decision) -> bool,
    ) -> PyResult<bool> {
        let said: SaidDecision = decision.extract()?;
        self.free_places();
        let mut core = self.core.borrow_mut();
        let mut ports = self.ports.borrow_mut();
        let tag = ports.free.pop().unwrap_or(ports.decisions.len());
        place_at(&mut ports.decisions, tag, decision.unbind());
        let installed = noted(&mut core, said.decision(py, tag));
        if !installed {
            ports.decisions[tag] = None;
            ports.free.push(tag);
        }
        Ok(installed)
    }
}

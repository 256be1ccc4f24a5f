//! What servers say in lines, what clients hear of it, what is counted.

use super::super::answers::{self, ANSWERS, Says};
use super::super::asks::DEPTH;
use super::super::framing;
use super::super::model::{Call, Decided};
use super::{BOUNDS_S, REPLY_HEAD, Scenario};
use tidegate_codec::{Span, json};
use tidegate_relay as core;

fn contains(text: &[u8], word: &str) -> bool {
    text.windows(word.len()).any(|part| part == word.as_bytes())
}

/// A result as the slow lane would put it.
fn fitted(result: &[u8], decided: &Decided, typed: bool) -> Vec<u8> {
    let change: (&str, Option<&[u8]>) = match (decided.complete, typed) {
        (true, false) => ("resultType", Some(b"\"complete\"")),
        (false, _)
            if contains(result, "\"resultType\"") && (typed || decided.foreign.is_some()) =>
        {
            ("resultType", None)
        }
        _ => return result.to_vec(),
    };
    let fitted = json::patch_object(result, &[change]).unwrap();
    if let (false, Some(word)) = (decided.complete, decided.foreign) {
        let whole = Span::new(0, fitted.len());
        let links = json::find_member(&fitted, "links", whole).unwrap();
        let quoted = format!("\"{word}\"");
        assert!(links.is_none_or(|links| !contains(links.of(&fitted), &quoted)));
    }
    fitted
}

impl Scenario<'_> {
    pub(super) fn answer(&mut self) {
        let Some(upstream) = self.upstream() else {
            return;
        };
        if self.model.upstreams[&upstream].pool.is_some() {
            return self.hear();
        }
        let waiting: Vec<Call> = self.model.calls_at(upstream).into_iter().cloned().collect();
        let asked = (!waiting.is_empty()).then(|| self.choices.one_of(&waiting).clone());
        let (id, whose) = match self.choices.below(16) {
            0 => ("77777".to_owned(), None),
            1 => ("\"1\"".to_owned(), None),
            2 => ("18446744073709551617".to_owned(), None),
            _ => match asked {
                Some(call) => (call.upstream_id.to_string(), Some(call)),
                None => ("99999".to_owned(), None),
            },
        };
        let number = self.choices.below(ANSWERS.len());
        let message = answers::text(number, &id).into_bytes();
        let now_s = self.now_s();
        let answer = self.relay.answer(upstream, &message, now_s);
        self.note(&format!("{answer:?} "), &message);
        let Some(call) = whose.filter(|_| ANSWERS[number].1 != Says::Other) else {
            if ANSWERS[number].1 == Says::Other {
                assert_eq!(answer, core::Answer::Other);
                self.take_all(self.relay.calls_at(upstream));
            } else {
                assert_eq!(answer, core::Answer::Foreign);
            }
            return;
        };
        let decided = self.model.decided[call.tag].clone();
        if !answers::passes(number, &decided, call.over_http) {
            let core::Answer::Promote(given) = answer else {
                panic!("not promoted: {answer:?}");
            };
            let place = self
                .model
                .calls_at(upstream)
                .iter()
                .position(|other| other.upstream_id == call.upstream_id);
            assert_eq!(self.relay.calls_at(upstream)[place.unwrap()], given);
            self.take_all(vec![given]);
            return;
        }
        assert_eq!(answer, core::Answer::Relayed);
        self.passed_on(&call, number, &message);
        // Once and not again.
        assert_eq!(
            self.relay.answer(upstream, &message, now_s),
            core::Answer::Foreign
        );
    }

    /// The client is told, and the call is over.
    pub(super) fn passed_on(&mut self, call: &Call, number: usize, input: &[u8]) {
        let decided = self.model.decided[call.tag].clone();
        let own = answers::passed_on(number, &decided, &call.own_id).into_bytes();
        self.passed_on_as(call, &own, answers::failed(number, &decided), input);
    }

    fn passed_on_as(&mut self, call: &Call, own: &[u8], failed: bool, input: &[u8]) {
        let decided = self.model.decided[call.tag].clone();
        assert_eq!(self.relay.to, core::To::Client(call.client));
        let written = self.written(input);
        if call.over_http {
            let (coding, range) = (decided.coding, decided.compressed);
            framing::is_reply(&written, REPLY_HEAD, own, coding, range);
        } else {
            assert_eq!(written, [own, b"\n"].concat());
            assert!(!own.contains(&b'\n'));
        }
        let this = (call.upstream, call.upstream_id);
        self.model
            .calls
            .retain(|other| (other.upstream, other.upstream_id) != this);
        let counts = self.model.counts.entry(call.tag).or_default();
        if failed {
            counts.1 += 1;
        } else {
            counts.0 += 1;
        }
        self.relayed += 1;
    }

    /// Nobody knows what it means: if it is passed on, then by the rules.
    pub(super) fn answer_something_else(&mut self) {
        let Some(upstream) = self.upstream() else {
            return;
        };
        let waiting: Vec<Call> = self.model.calls_at(upstream).into_iter().cloned().collect();
        if waiting.is_empty() || self.model.upstreams[&upstream].pool.is_some() {
            return;
        }
        let id = self.choices.one_of(&waiting).upstream_id.to_string();
        let number = self.choices.below(ANSWERS.len());
        let mut message = answers::text(number, &id).into_bytes();
        self.mutate(&mut message);
        let answer = self.relay.answer(upstream, &message, self.now_s());
        self.note(&format!("{answer:?} "), &message);
        match answer {
            core::Answer::Foreign => {}
            core::Answer::Other => {
                self.take_all(self.relay.calls_at(upstream));
            }
            core::Answer::Promote(call) => {
                self.take_all(vec![call]);
            }
            core::Answer::Relayed => {
                let found = json::scan(&message, DEPTH).expect("a message");
                let (id, result) = (found.id.unwrap(), found.result.expect("a result"));
                let said = id.of(&message);
                let is_it = |call: &&Call| call.upstream_id.to_string().as_bytes() == said;
                let call = waiting.iter().find(is_it).expect("a call").clone();
                let decided = self.model.decided[call.tag].clone();
                let typed = found.result_type.is_some();
                let shaped = fitted(result.of(&message), &decided, typed);
                let mut edits = [(id, call.own_id.as_bytes()), (result, &*shaped)];
                edits.sort_by_key(|(span, _)| span.start);
                let own = json::splice(&message, &edits).unwrap();
                let error = json::find_member(&message, "isError", result).unwrap();
                let failed = decided.is_tool
                    && contains(&message, "\"isError\"")
                    && error.is_some_and(|span| span.of(&message) == b"true");
                self.passed_on_as(&call, &own, failed, &message);
            }
        }
    }

    pub(super) fn count(&mut self) {
        let expected = std::mem::take(&mut self.model.counts);
        let mut counted = self.relay.counted();
        counted.sort_by_key(|count| count.tag);
        for count in &counted {
            assert_eq!(count.counts.len(), BOUNDS_S.len() + 1);
            assert_eq!(
                count.counts.iter().sum::<u64>(),
                count.ok + count.tool_error
            );
            assert!(count.sum_s >= 0.0);
        }
        let counted: Vec<_> = counted
            .iter()
            .map(|count| (count.tag, (count.ok, count.tool_error)))
            .collect();
        assert_eq!(counted, expected.into_iter().collect::<Vec<_>>());
    }
}

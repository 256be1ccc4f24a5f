//! What the slow lane decides in scenarios.

use super::super::asks::Ask;
use super::super::model::{Bucket, Call, Choice, Decided, Key, Kind, Use};
use super::oddities::changes;
use super::{REPLY_HEAD, REQUEST_HEAD, Scenario};
use std::cell::RefCell;
use std::rc::Rc;
use tidegate_relay as core;

impl Scenario<'_> {
    /// The slow lane has decided, or not.
    pub(super) fn decide(
        &mut self,
        client: usize,
        ask: &Ask,
        start: usize,
        data: &[u8],
        key: Option<Key>,
    ) {
        let message = &data[start..];
        let what = self.choices.below(8);
        let (Some(upstream), 0..=5) = (self.upstream(), what) else {
            self.relay.drop_candidate();
            return;
        };
        let tag = self.model.decided.len();
        let is_tool = key.as_ref().is_some_and(|key| key.2 == 1);
        let decided = self.decision(upstream, is_tool);
        let in_turn = self.choices.flag();
        let mut decision = self.as_core(tag, &decided);
        decision.in_turn = in_turn;
        let installed = match what {
            0 => {
                // Something may have changed while it was decided.
                self.void();
                self.relay.install(message, decision)
            }
            1 => self.relay.install(&message[1..], decision),
            _ => self.relay.install(message, decision),
        };
        assert_eq!(installed, what > 1 && key.is_some());
        assert!(!self.relay.has_candidate());
        self.model.decided.push(decided);
        if let (true, Some(key)) = (installed, key) {
            let choice = Choice {
                tags: vec![tag],
                turn: 1,
                in_turn,
            };
            self.model.flows.insert(key.clone(), choice);
            if what == 4 {
                self.share(&key, is_tool);
            }
            if what == 5 {
                self.adopt(client, ask, start, data, tag);
            }
        }
        self.relay.drop_candidate();
        assert!(!self.relay.adopt(1, 0.0, None));
    }

    /// Other servers may have the like of it, too.
    pub(super) fn share(&mut self, key: &Key, is_tool: bool) {
        for _ in 0..=self.choices.below(2) {
            let upstream = self.upstream().unwrap();
            let tag = self.model.decided.len();
            let decided = self.decision(upstream, is_tool);
            assert!(self.relay.share(self.as_core(tag, &decided)));
            self.model.decided.push(decided);
            self.model.flows.get_mut(key).unwrap().tags.push(tag);
        }
    }

    /// The slow lane has sent it, and leaves the rest to the relay.
    pub(super) fn adopt(
        &mut self,
        client: usize,
        ask: &Ask,
        start: usize,
        data: &[u8],
        tag: usize,
    ) {
        if self.choices.flag() {
            self.void();
        }
        let upstream = self.model.decided[tag].upstream;
        let pool = self.model.upstreams[&upstream].pool;
        let free = self
            .model
            .channels
            .iter()
            .find(|(_, channel)| Some(channel.pool) == pool && channel.use_ == Use::Slow);
        let channel = free.map(|(&number, _)| number);
        if pool.is_some() && channel.is_none() {
            return;
        }
        let upstream_id = self.next_id(upstream);
        assert_eq!(self.relay.next_id(upstream), upstream_id);
        assert!(self.relay.adopt(upstream_id, self.now_s(), channel));
        if let Some(channel) = channel {
            self.model.put(channel, Use::Call(upstream, upstream_id));
        }
        self.model.calls.push(Call {
            channel,
            client,
            upstream,
            upstream_id,
            own_id: ask.id(),
            request: data.to_vec(),
            start,
            over_http: self.model.clients[&client].kind == Kind::Http,
            tag,
            began: self.model.now,
        });
    }

    pub(super) fn decision(&mut self, upstream: usize, is_tool: bool) -> Decided {
        let different = self.choices.below(64);
        let mut decided = Decided {
            upstream,
            name: None,
            complete: different & 1 != 0,
            foreign: None,
            coding: None,
            compressed: (0, 0),
            told: (different & 0b110 == 0b110).then_some("[ 1 ]"),
            may_task: different & 2 != 0,
            most: 100,
            bucket: None,
            scope: None,
            is_tool,
        };
        if different & 4 != 0 {
            decided.name = Some("\"its own \\\"name\\\"\"");
            decided.foreign = Some("foreign");
        }
        if different & 8 != 0 {
            decided.coding = *self.choices.one_of(&[Some("gzip"), Some("zstd")]);
            decided.compressed = *self.choices.one_of(&[(0, 10_000), (1000, 5000), (0, 60)]);
        }
        if different & 16 != 0 {
            decided.most = self.choices.below(4);
            decided.bucket = Some(self.bucket());
        }
        if different & 32 != 0 {
            decided.scope = Some(self.scope());
        }
        decided
    }

    pub(super) fn as_core(&self, tag: usize, decided: &Decided) -> core::Decision {
        let typed = ("resultType".into(), Some(b"\"complete\"".as_slice().into()));
        let words = |words: &[&str]| core::Words::new(words.iter().map(ToString::to_string));
        let fitting = Rc::new(core::Fitting {
            members: words(&["resultType"]),
            place: "links".into(),
            words: words(decided.foreign.as_slice()),
            ..core::Fitting::default()
        });
        core::Decision {
            tag,
            upstream: decided.upstream,
            request_head: self.model.upstreams[&decided.upstream]
                .pool
                .map(|_| REQUEST_HEAD.as_bytes().into()),
            repeatable: decided.complete,
            name: decided.name.map(|name| name.as_bytes().into()),
            reply_head: REPLY_HEAD.as_bytes().into(),
            coding: match decided.coding {
                Some("gzip") => core::Coding::Gzip,
                Some(_) => core::Coding::Zstd,
                None => core::Coding::None,
            },
            compressed_bytes: decided.compressed,
            meta: match decided.told {
                None => core::Meta::default(),
                Some(word) => core::Meta::new(
                    changes(word)
                        .into_iter()
                        .map(|(key, value)| (key.into(), value.map(Into::into)))
                        .collect(),
                ),
            },
            answers: if decided.complete {
                core::Answers {
                    untyped: core::Edit::Set([typed].into()),
                    complete: core::Edit::Pass,
                }
            } else {
                core::Answers {
                    untyped: match decided.foreign {
                        None => core::Edit::Pass,
                        Some(_) => core::Edit::Fit(fitting.clone()),
                    },
                    complete: core::Edit::Fit(fitting),
                }
            },
            in_turn: false,
            odd_words: decided
                .may_task
                .then(|| core::finder(b"\"task\""))
                .into_iter()
                .collect(),
            max_in_flight: decided.most,
            bucket: decided.bucket.map(|bucket| self.buckets[bucket].clone()),
            scope: decided.scope.map(|scope| self.scopes[scope].clone()),
        }
    }

    pub(super) fn bucket(&mut self) -> usize {
        let number = self.choices.below(3);
        if number >= self.buckets.len() {
            let (rate_per_s, burst) = *self.choices.one_of(&[(1, 1), (2, 3), (0, 1), (5, 2)]);
            self.model.buckets.push(Bucket {
                rate_per_s,
                burst,
                quarters: burst * 4,
                seen: self.model.now,
            });
            let real = |whole: u64| f64::from(u32::try_from(whole).unwrap());
            let bucket = core::Bucket::new(real(rate_per_s), real(burst), self.now_s());
            self.buckets.push(Rc::new(RefCell::new(bucket)));
        }
        number.min(self.buckets.len() - 1)
    }

    pub(super) fn scope(&mut self) -> usize {
        let number = self.choices.below(4);
        if number >= self.scopes.len() {
            self.model.scopes.push(false);
            self.scopes.push(core::Scope::new(self.scopes.len()));
        }
        number.min(self.scopes.len() - 1)
    }
}

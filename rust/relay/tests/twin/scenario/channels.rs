//! Connections to servers over HTTP, in scenarios: lent, used, heard on, taken back.

use super::super::answers::{self, ANSWERS};
use super::super::model::{Channel, Part, Use};
use super::Scenario;
use tidegate_relay::Heard;

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: ";
const MOST_CHANNELS: usize = 4;

fn sized(body: &str) -> String {
    format!(
        "{HEAD}application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn chunk(data: &str) -> String {
    let event = format!("data: {}\n\n", data.replace('\n', "\ndata: "));
    format!("{:x}\r\n{event}\r\n", event.len())
}

impl Scenario<'_> {
    pub(super) fn channel(&mut self) -> Option<usize> {
        let all: Vec<_> = self.model.channels.keys().copied().collect();
        (!all.is_empty()).then(|| *self.choices.one_of(&all))
    }

    /// Between slow lane and relay.
    pub(super) fn lend(&mut self) {
        let now_s = self.now_s();
        let before = self.model.now.saturating_sub(self.choices.below(8) as u64);
        let before_s = f64::from(u32::try_from(before).unwrap()) / 4.0;
        match self.choices.below(6) {
            0 => {
                if self.pools.len() < 2 {
                    self.pools.push(self.relay.add_pool());
                }
            }
            1 => {
                if self.model.channels.len() < MOST_CHANNELS {
                    let pool = *self.choices.one_of(&self.pools);
                    self.add_channel(pool);
                }
            }
            2 => {
                if let Some(number) = self.channel() {
                    self.take_all(self.relay.call_on(number).into_iter().collect());
                    self.relay.remove_channel(number);
                    self.model.put(number, Use::Slow);
                    self.model.channels.remove(&number);
                }
            }
            3 => {
                if let Some(number) = self.channel() {
                    self.relay.give(number, now_s);
                    let use_ = self.model.channels[&number].use_;
                    if matches!(use_, Use::Slow | Use::End(..)) {
                        self.model.put(number, Use::Idle(self.model.now));
                    }
                }
            }
            4 => {
                let pool = *self.choices.one_of(&self.pools);
                let last = self
                    .model
                    .idle
                    .get(&pool)
                    .and_then(|idle| idle.last())
                    .copied();
                let fresh = last.filter(|last| {
                    matches!(self.model.channels[last].use_, Use::Idle(since) if since >= before)
                });
                assert_eq!(self.relay.take_back(pool, before_s), fresh);
                if let Some(number) = fresh {
                    self.model.put(number, Use::Slow);
                }
            }
            _ => {
                let unused = self.old(|use_| matches!(use_, Use::Idle(since) if since < before));
                assert_eq!(self.relay.take_unused(before_s), unused);
                let unended = self.old(|use_| matches!(use_, Use::End(since, _) if since < before));
                assert_eq!(self.relay.take_unended(before_s), unended);
                for number in unused.into_iter().chain(unended) {
                    self.model.put(number, Use::Slow);
                    self.relay.take_raw(number);
                }
            }
        }
    }

    pub(super) fn old(&self, is: impl Fn(Use) -> bool) -> Vec<usize> {
        let channels = self.model.channels.iter();
        channels
            .filter(|(_, channel)| is(channel.use_))
            .map(|(&number, _)| number)
            .collect()
    }

    pub(super) fn add_channel(&mut self, pool: usize) {
        let number = self.relay.add_channel(pool);
        let channel = Channel {
            pool,
            use_: Use::Slow,
            raw: Vec::new(),
            rest: Vec::new(),
        };
        assert!(self.model.channels.insert(number, channel).is_none());
        self.relay.give(number, self.now_s());
        self.model.put(number, Use::Idle(self.model.now));
    }

    /// A server says something on one of them.
    pub(super) fn hear(&mut self) {
        let Some(number) = self.channel() else {
            return;
        };
        let now_s = self.now_s();
        let use_ = self.model.channels[&number].use_;
        if let Use::Slow | Use::Idle(_) = use_ {
            assert_eq!(self.relay.response(number, b"HTTP/1.1", now_s), Heard::Slow);
            self.model.put(number, Use::Slow);
            return;
        }
        if let Use::Call(_, id) = use_
            && self.model.channels[&number].raw.is_empty()
        {
            self.model.channels.get_mut(&number).unwrap().rest = self.said(id);
        }
        let channel = self.model.channels.get_mut(&number).unwrap();
        let (piece, part) = channel.rest.remove(0);
        channel.raw.extend_from_slice(&piece);
        let heard = self.relay.response(number, &piece, now_s);
        self.note(&format!("{heard:?} "), &piece);
        match (part, use_) {
            (Part::Nothing, _) => assert_eq!(heard, Heard::More),
            (Part::Answer(answer, ended), Use::Call(upstream, id)) => {
                self.answered_on(number, (upstream, id), heard, answer, ended, &piece);
            }
            (Part::Late, Use::End(_, upstream)) => {
                let free = false;
                assert_eq!(heard, Heard::Late { free, upstream });
                assert_eq!(self.relay.gathered, b"{}");
            }
            (Part::End, Use::End(..)) => {
                assert_eq!(heard, Heard::Ended);
                self.model.put(number, Use::Idle(self.model.now));
            }
            _ => {
                assert!(part == Part::Odd);
                self.is_odd(number, heard);
            }
        }
    }

    pub(super) fn is_odd(&mut self, number: usize, heard: Heard) {
        let call = self.relay.call_on(number);
        assert!(call.is_some());
        assert_eq!(heard, Heard::Odd(call));
        self.take_all(call.into_iter().collect());
    }

    pub(super) fn answered_on(
        &mut self,
        number: usize,
        this: (usize, u64),
        heard: Heard,
        answer: usize,
        ended: bool,
        piece: &[u8],
    ) {
        let mut calls = self.model.calls.iter();
        let call = calls
            .find(|call| (call.upstream, call.upstream_id) == this)
            .unwrap()
            .clone();
        let decided = &self.model.decided[call.tag];
        if !answers::passes(answer, decided, call.over_http) {
            self.is_odd(number, heard);
            return;
        }
        assert_eq!(heard, Heard::Relayed { free: ended });
        assert_eq!(self.relay.answered_by, call.upstream);
        self.passed_on(&call, answer, piece);
        let now = self.model.now;
        self.model.put(
            number,
            if ended {
                Use::Idle(now)
            } else {
                Use::End(now, call.upstream)
            },
        );
    }

    /// A response in pieces.
    pub(super) fn said(&mut self, id: u64) -> Vec<(Vec<u8>, Part)> {
        // The last one is empty, which no response may be.
        let answer = self.choices.below(ANSWERS.len() - 1);
        let text = answers::text(answer, &id.to_string());
        let stream = format!("{HEAD}text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        let events = stream + &chunk(&text);
        let parts: Vec<(String, Part)> = match self.choices.below(6) {
            0 => vec![(sized(&text), Part::Answer(answer, true))],
            1 => {
                let whole = sized(&text);
                let at = 1 + self.choices.below(256) % (whole.len() - 1);
                let (one, two) = whole.split_at(at.min(whole.len() - text.len()));
                vec![
                    (one.to_owned(), Part::Nothing),
                    (two.to_owned(), Part::Answer(answer, true)),
                ]
            }
            2 => vec![
                (events, Part::Answer(answer, false)),
                ("0\r\n\r\n".to_owned(), Part::End),
            ],
            3 => vec![
                (events, Part::Answer(answer, false)),
                (chunk("{}"), Part::Late),
                ("0\r\n\r\n".to_owned(), Part::End),
            ],
            4 => vec![(events + "0\r\n\r\n", Part::Answer(answer, true))],
            _ => vec![(sized(&text).replace("200", "404"), Part::Odd)],
        };
        let bytes = |(text, part): (String, Part)| (text.into_bytes(), part);
        parts.into_iter().map(bytes).collect()
    }

    pub(super) fn compare_channels(&self) {
        let mut held = 0;
        for (&number, channel) in &self.model.channels {
            let called = matches!(channel.use_, Use::Call(..));
            assert_eq!(self.relay.call_on(number).is_some(), called);
            held += usize::from(channel.use_ != Use::Slow);
        }
        assert_eq!(self.relay.channels_held(), held);
        for &pool in &self.pools {
            let idle = self.model.idle.get(&pool).map_or(0, Vec::len);
            assert_eq!(self.relay.idle(pool), idle);
        }
    }
}

//! A relay with one server that speaks in lines, one client over HTTP and one on a stream.

use std::cell::Cell;
use tidegate_relay::{
    Answer, Answers, Asked, Coding, Decision, Edit, Limits, Meta, Piece, Relay, SlowLane, Taken,
};

pub const HEAD: &str = "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: ";
pub const REPLY_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// Says what it is told to say.
pub struct Scripted {
    pub in_flight: Cell<usize>,
    pub room: Cell<bool>,
    pub used: Cell<Option<(usize, &'static str)>>,
}

impl SlowLane for Scripted {
    fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    fn load(&self, _: usize) -> usize {
        0
    }

    fn has_room(&self, _: usize, relayed: usize, most: usize) -> bool {
        self.room.get() && relayed < most
    }

    fn uses(&self, scope: usize, id: &[u8]) -> bool {
        self.used
            .get()
            .is_some_and(|(other, used)| other == scope && used.as_bytes() == id)
    }
}

pub struct Scene {
    pub relay: Relay,
    pub slow: Scripted,
    pub upstream: usize,
    pub http: usize,
    pub stream: usize,
    pub now_s: f64,
    tags: usize,
}

pub fn call(id: &str, name: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}","arguments":{{}}}}}}"#
    )
}

/// `rest`: of the members of `params`, behind the name.
pub fn call_with(rest: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo",{rest}}}}}"#)
}

pub fn post(head: &str, body: &str) -> String {
    format!("{head}{}\r\n\r\n{body}", body.len())
}

pub fn result(id: u64, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

impl Scene {
    pub fn new() -> Self {
        let limits = Limits {
            in_flight: 8,
            header_bytes: 4000,
            body_bytes: 4000,
            result_bytes: 100_000,
            depth: 16,
        };
        let mut relay = Relay::new(limits, &[0.5, 2.0]);
        Self {
            upstream: relay.add_upstream(None),
            http: relay.add_http(),
            stream: relay.add_stream(),
            relay,
            slow: Scripted {
                in_flight: Cell::new(0),
                room: Cell::new(true),
                used: Cell::new(None),
            },
            now_s: 0.0,
            tags: 0,
        }
    }

    pub fn decision(&self) -> Decision {
        Decision {
            tag: self.tags,
            upstream: self.upstream,
            request_head: None,
            repeatable: false,
            name: None,
            reply_head: REPLY_HEAD.as_bytes().into(),
            coding: Coding::None,
            compressed_bytes: (0, 0),
            meta: Meta::default(),
            answers: Answers {
                untyped: Edit::Pass,
                complete: Edit::Pass,
            },
            in_turn: false,
            odd_words: [].into(),
            max_in_flight: 100,
            bucket: None,
            scope: None,
        }
    }

    pub fn asked_over_http(&mut self, client: usize, data: &str) -> Asked {
        self.relay
            .http(client, data.as_bytes(), self.now_s, &self.slow)
    }

    pub fn asked(&mut self, client: usize, message: &str) -> Asked {
        self.relay
            .message(client, message.as_bytes(), self.now_s, &self.slow)
    }

    /// The slow lane decides what it was shown just now.
    pub fn decide(&mut self, message: &str, change: impl FnOnce(&mut Decision)) {
        let mut decision = self.decision();
        change(&mut decision);
        assert!(self.relay.has_candidate(), "{message}");
        assert!(self.relay.install(message.as_bytes(), decision));
        self.relay.drop_candidate();
        self.tags += 1;
    }

    /// Learns a message of the client on the stream.
    pub fn learn(&mut self, message: &str) {
        self.learn_as(message, |_| ());
    }

    pub fn learn_as(&mut self, message: &str, change: impl FnOnce(&mut Decision)) {
        let stream = self.stream;
        assert_eq!(self.asked(stream, message), Asked::Slow);
        self.decide(message, change);
    }

    /// Learns a message of the client over HTTP, behind `HEAD`.
    pub fn learn_over_http(&mut self, message: &str, change: impl FnOnce(&mut Decision)) {
        let http = self.http;
        assert_eq!(
            self.asked_over_http(http, &post(HEAD, message)),
            Asked::Slow
        );
        self.decide(message, change);
    }

    /// Relays a message of the client on the stream; what the server is told.
    pub fn sent(&mut self, message: &str) -> String {
        let stream = self.stream;
        assert_eq!(self.asked(stream, message), Asked::Relayed, "{message}");
        self.written(message)
    }

    pub fn sent_over_http(&mut self, data: &str) -> String {
        let http = self.http;
        assert_eq!(self.asked_over_http(http, data), Asked::Relayed, "{data}");
        self.written(data)
    }

    /// Whether a message of the client on the stream is relayed; it is not in flight afterwards.
    pub fn relays(&mut self, message: &str) -> bool {
        let stream = self.stream;
        let asked = self.asked(stream, message);
        self.take_all();
        asked == Asked::Relayed
    }

    pub fn answered(&mut self, message: &str) -> Answer {
        self.relay
            .answer(self.upstream, message.as_bytes(), self.now_s)
    }

    /// What the client is told of this.
    pub fn replied(&mut self, message: &str) -> String {
        assert_eq!(self.answered(message), Answer::Relayed, "{message}");
        self.written(message)
    }

    pub fn written(&self, input: &str) -> String {
        String::from_utf8(self.written_bytes(input)).unwrap()
    }

    pub fn written_bytes(&self, input: &str) -> Vec<u8> {
        let mut written = Vec::new();
        for piece in &self.relay.pieces {
            written.extend_from_slice(match piece {
                Piece::Input(range) => &input.as_bytes()[range.clone()],
                Piece::Scratch(range) => &self.relay.scratch[range.clone()],
                Piece::Gathered(range) => &self.relay.gathered[range.clone()],
            });
        }
        written
    }

    pub fn take_all(&mut self) -> Vec<Taken> {
        let calls = self.relay.calls_before(f64::INFINITY);
        calls
            .into_iter()
            .filter_map(|call| self.relay.take(call))
            .collect()
    }
}

//! A server's responses over HTTP, in pieces: what comes of each piece is what a reading of all of them so far says.

use super::asks::{BODY_BYTES, DEPTH, HEADER_BYTES};
use super::framing;
use super::idle::Idle;
use tidegate_codec::http::{self, ChunkDecoder};
use tidegate_codec::json::{self, MessageKind};
use tidegate_codec::sse::SseDecoder;
use tidegate_relay as core;

/// Of one message: little, so that some are longer.
const RESULT_BYTES: usize = 300;
/// As in the relay: chunks and events that say nothing.
const FRAMING_BYTES: usize = 64 * 1024;
const REQUEST_HEAD: &str = "POST /mcp HTTP/1.1\r\nhost: b\r\ncontent-length: ";
const REPLY_HEAD: &str = "HTTP/1.1 200 OK\r\n";
const ASKED: &str =
    r#"{"jsonrpc":"2.0","id":"own","method":"tools/call","params":{"name":"echo"}}"#;
/// Between pieces: in nothing that is valid.
const CUT: u8 = 0xff;

/// Shorter and longer ones are not compressed.
const COMPRESSED_BYTES: (usize, usize) = (60, 250);

/// What a response says so far.
struct Read {
    /// Messages, in order.
    messages: Vec<Vec<u8>>,
    /// It is complete.
    ended: bool,
}

/// All of it that is here, read from its beginning; `None` for what is not for the relay.
fn read(raw: &[u8]) -> Option<Read> {
    let nothing = Read {
        messages: Vec::new(),
        ended: false,
    };
    if raw.len() > 2 * RESULT_BYTES + FRAMING_BYTES {
        return None;
    }
    let Some(head) = http::parse_response_head(raw, 64 * 1024).ok()? else {
        return Some(nothing);
    };
    let fields = &head.fields;
    let all = |wanted: &str| -> Vec<String> {
        fields
            .headers
            .iter()
            .filter(|(name, _)| name == wanted)
            .map(|(_, value)| String::from_utf8_lossy(value).to_lowercase())
            .collect()
    };
    let kinds = all("content-type");
    let [kind] = kinds.as_slice() else {
        return None;
    };
    let events = kind.starts_with("text/event-stream");
    if head.status != 200
        || fields.minor != 1
        || !fields.keep_alive
        || !all("content-encoding").is_empty()
        || all("content-length").len() > 1
        || !(events || kind.starts_with("application/json"))
    {
        return None;
    }
    let rest = &raw[fields.head_len..];
    let (payload, ended) = if fields.chunked {
        let mut decoder = ChunkDecoder::new(RESULT_BYTES);
        let payload = decoder.feed(rest).ok()?;
        if !decoder.rest().is_empty() {
            return None;
        }
        (payload, decoder.done())
    } else {
        let length = usize::try_from(fields.content_length?).ok()?;
        if length == 0 || length > RESULT_BYTES || rest.len() > length {
            return None;
        }
        (rest.to_vec(), rest.len() == length)
    };
    if !events {
        let messages = if ended { vec![payload] } else { Vec::new() };
        return Some(Read { messages, ended });
    }
    // One of a known length is looked at when it is here.
    if !fields.chunked && !ended {
        return Some(nothing);
    }
    let mut messages = Vec::new();
    SseDecoder::new(RESULT_BYTES)
        .feed(&payload, |event| messages.push(event.data))
        .ok()?;
    messages.retain(|data| !data.is_empty());
    Some(Read { messages, ended })
}

/// The answer as the client is to have it; `None` unless it may simply be passed on.
fn passed(message: &[u8], upstream_id: u64, over_http: bool) -> Option<Vec<u8>> {
    let found = json::scan(message, DEPTH).ok()?;
    let plain = found.kind == MessageKind::Result
        && found.id?.of(message) == upstream_id.to_string().as_bytes()
        && found.result?.of(message).starts_with(b"{")
        && found.result_type.is_none()
        && (over_http || !message.iter().any(|byte| matches!(byte, b'\r' | b'\n')));
    plain.then(|| json::splice(message, &[(found.id.unwrap(), b"\"own\"")]).unwrap())
}

struct Exchange {
    relay: core::Relay,
    pool: usize,
    channel: usize,
    upstream: usize,
    client: usize,
    over_http: bool,
    coding: Option<&'static str>,
    /// Of the call in flight, or of the last one.
    upstream_id: u64,
    call: Option<usize>,
    /// Of the present response.
    raw: Vec<u8>,
    told: usize,
}

/// `data`: two bytes of choices, then what the server says, cut at each `CUT`. A call is sent whenever the connection is
/// free.
///
/// # Panics
/// Where relay and twin part.
pub fn respond(data: &[u8]) {
    let [how, taken_at, data @ ..] = data else {
        return;
    };
    let mut exchange = Exchange::new(how & 1 == 0, (how & 2 != 0).then_some("gzip"));
    for (number, piece) in data.split(|&byte| byte == CUT).enumerate() {
        if exchange.relay.idle(exchange.pool) == 1 {
            exchange.ask();
        }
        if number == usize::from(*taken_at) {
            exchange.take();
        }
        if !piece.is_empty() && !exchange.hear(piece) {
            break;
        }
    }
}

impl Exchange {
    fn new(over_http: bool, coding: Option<&'static str>) -> Self {
        let limits = core::Limits {
            in_flight: 10,
            header_bytes: HEADER_BYTES,
            body_bytes: BODY_BYTES,
            result_bytes: RESULT_BYTES,
            depth: DEPTH,
        };
        let mut relay = core::Relay::new(limits, &[1.0]);
        let pool = relay.add_pool();
        let channel = relay.add_channel(pool);
        assert_eq!(relay.response(channel, b"x", 0.0), core::Heard::Slow);
        relay.give(channel, 0.0);
        let upstream = relay.add_upstream(Some(pool));
        let client = if over_http {
            relay.add_http()
        } else {
            relay.add_stream()
        };
        let mut exchange = Self {
            relay,
            pool,
            channel,
            upstream,
            client,
            over_http,
            coding,
            upstream_id: 0,
            call: None,
            raw: Vec::new(),
            told: 0,
        };
        assert_eq!(exchange.send(), core::Asked::Slow);
        let decision = exchange.decision();
        assert!(exchange.relay.install(ASKED.as_bytes(), decision));
        exchange
    }

    fn decision(&self) -> core::Decision {
        core::Decision {
            tag: 7,
            upstream: self.upstream,
            request_head: Some(REQUEST_HEAD.as_bytes().into()),
            repeatable: false,
            name: None,
            reply_head: REPLY_HEAD.as_bytes().into(),
            coding: if self.coding.is_some() {
                core::Coding::Gzip
            } else {
                core::Coding::None
            },
            compressed_bytes: COMPRESSED_BYTES,
            meta: core::Meta::default(),
            answers: core::Answers {
                untyped: core::Edit::Pass,
                complete: core::Edit::Pass,
            },
            in_turn: false,
            odd_words: [].into(),
            max_in_flight: 10,
            bucket: None,
            scope: None,
        }
    }

    fn data(&self) -> Vec<u8> {
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            ASKED.len()
        );
        if self.over_http {
            (head + ASKED).into_bytes()
        } else {
            ASKED.as_bytes().to_vec()
        }
    }

    fn send(&mut self) -> core::Asked {
        let data = self.data();
        if self.over_http {
            self.relay.http(self.client, &data, 0.0, &Idle)
        } else {
            self.relay.message(self.client, &data, 0.0, &Idle)
        }
    }

    fn written(&self, input: &[u8]) -> Vec<u8> {
        framing::written(&self.relay, input)
    }

    fn ask(&mut self) {
        assert_eq!(self.send(), core::Asked::Relayed);
        assert_eq!(self.relay.to, core::To::Channel(self.channel));
        self.upstream_id += 1;
        let body = ASKED.replace("\"own\"", &self.upstream_id.to_string());
        let request = format!("{REQUEST_HEAD}{}\r\n\r\n{body}", body.len());
        assert_eq!(self.written(&self.data()), request.as_bytes());
        self.call = Some(self.relay.calls_of(self.client)[0]);
        assert_eq!(self.relay.call_on(self.channel), self.call);
        assert_eq!(self.relay.idle(self.pool), 0);
        self.raw.clear();
        self.told = 0;
    }

    /// The slow lane goes on with the call, and has all that came of its response.
    fn take(&mut self) {
        let Some(call) = self.call.take() else {
            return;
        };
        let taken = self.relay.take(call).expect("a call");
        assert_eq!(taken.request, self.data());
        assert_eq!(taken.channel, Some(self.channel));
        assert_eq!(taken.raw, self.raw);
        assert_eq!(taken.upstream_id, self.upstream_id);
        assert_eq!(self.relay.in_flight(), 0);
    }

    /// False once the connection is the slow lane's.
    fn hear(&mut self, piece: &[u8]) -> bool {
        let busy = self.call.is_some() || self.relay.channels_held() == 1;
        let heard = self.relay.response(self.channel, piece, 0.0);
        if !busy {
            assert_eq!(heard, core::Heard::Slow);
            return false;
        }
        self.raw.extend_from_slice(piece);
        let said = read(&self.raw);
        let news = said
            .as_ref()
            .map(|said| (said.messages[self.told..].to_vec(), said.ended));
        match (news, self.call) {
            (Some((messages, ended)), Some(call)) if messages.len() == 1 => {
                let Some(own) = passed(&messages[0], self.upstream_id, self.over_http) else {
                    self.is_odd(heard, Some(call));
                    return false;
                };
                assert_eq!(heard, core::Heard::Relayed { free: ended });
                assert_eq!(self.relay.to, core::To::Client(self.client));
                let written = self.written(piece);
                if self.over_http {
                    framing::is_reply(&written, REPLY_HEAD, &own, self.coding, COMPRESSED_BYTES);
                } else {
                    assert_eq!(written, [&*own, b"\n"].concat());
                }
                self.told += 1;
                self.call = None;
                assert_eq!(self.relay.take(call), None);
                assert_eq!(self.relay.idle(self.pool), usize::from(ended));
            }
            (Some((messages, ended)), None) if messages.len() == 1 => {
                let upstream = self.upstream;
                let free = ended;
                assert_eq!(heard, core::Heard::Late { free, upstream });
                assert_eq!(self.relay.gathered, messages[0]);
                self.told += 1;
            }
            (Some((messages, false)), _) if messages.is_empty() => {
                assert_eq!(heard, core::Heard::More);
            }
            (Some((messages, true)), None) if messages.is_empty() => {
                assert_eq!(heard, core::Heard::Ended);
                assert_eq!(self.relay.idle(self.pool), 1);
            }
            (_, call) => {
                self.is_odd(heard, call);
                return false;
            }
        }
        true
    }

    fn is_odd(&mut self, heard: core::Heard, call: Option<usize>) {
        assert_eq!(heard, core::Heard::Odd(call));
        if call.is_some() {
            self.take();
        } else {
            assert_eq!(self.relay.take_raw(self.channel), self.raw);
        }
        assert_eq!(self.relay.channels_held(), 0);
        assert_eq!(
            self.relay.response(self.channel, b"x", 0.0),
            core::Heard::Slow
        );
    }
}

//! Requests that nobody knows the meaning of, and what any request becomes, by the plainest means.

use super::super::asks::{DEPTH, HttpAsk};
use super::super::framing;
use super::super::model::{Kind, Use, Way};
use super::{REQUEST_HEAD, Scenario, Slow};
use tidegate_codec::json;
use tidegate_relay as core;

/// Of `_meta`, on the way to a server of another era.
pub(super) fn changes(word: &str) -> [(&str, Option<&[u8]>); 2] {
    [("v", Some(word.as_bytes())), ("traceparent", None)]
}

/// As the slow lane does it, from the beginning.
pub(super) fn shaped(message: &[u8], told: Option<&str>) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let Some(word) = told else {
        return text(message);
    };
    let found = json::scan(message, DEPTH + 1).unwrap();
    let changes = changes(word);
    let edit = if let Some(meta) = found.meta {
        (
            meta,
            json::patch_object(meta.of(message), &changes).unwrap(),
        )
    } else {
        let entries = json::patch_object(b"{}", &changes).unwrap();
        let params = found.params.unwrap();
        let added = [("_meta", Some(&*entries))];
        let patched = json::patch_object(params.of(message), &added);
        (params, patched.unwrap())
    };
    text(&json::splice(message, &[(edit.0, &edit.1)]).unwrap())
}

impl Scenario<'_> {
    /// A few bytes here and there.
    pub(super) fn mutate(&mut self, data: &mut Vec<u8>) {
        for _ in 0..=self.choices.below(3) {
            let at = (self.choices.below(256) * 256 + self.choices.below(256)) % (data.len() + 1);
            let until = (at + self.choices.below(4)).min(data.len());
            let with = self.choices.bytes();
            data.splice(at..until, with[..with.len().min(40)].iter().copied());
        }
    }

    /// Nobody knows what it means: if it is relayed, then by the rules.
    pub(super) fn ask_something_else(&mut self) {
        if self
            .model
            .flows
            .values()
            .any(|choice| choice.tags.len() > 1)
        {
            // Whose turn it is afterwards is not known either.
            return;
        }
        let over_http = self.choices.flag();
        let kind = if over_http { Kind::Http } else { Kind::Stream };
        let Some(client) = self.client(kind) else {
            return;
        };
        let ask = HttpAsk::chosen(&mut self.choices);
        let mut data = if over_http {
            ask.text().into_bytes()
        } else {
            ask.ask.text().as_bytes().to_vec()
        };
        self.mutate(&mut data);
        let now_s = self.now_s();
        let asked = if over_http {
            self.relay.http(client, &data, now_s, &Slow(&self.model))
        } else {
            self.relay.message(client, &data, now_s, &Slow(&self.model))
        };
        self.note(&format!("{asked:?} "), &data);
        self.relay.drop_candidate();
        match asked {
            core::Asked::Slow => {}
            core::Asked::Part(whole) => {
                framing::begun_request(&data, whole);
            }
            core::Asked::Busy => {
                self.take_all(self.relay.calls_of(client));
            }
            core::Asked::Relayed => self.relayed_unknown(client, over_http, &data),
        }
    }

    pub(super) fn relayed_unknown(&mut self, client: usize, over_http: bool, data: &[u8]) {
        let start = if over_http {
            framing::whole_request(data).expect("one whole request").1
        } else {
            0
        };
        let message = &data[start..];
        let found = json::scan(message, DEPTH).expect("a message");
        let line = self.written(data);
        let call = *self.relay.calls_of(client).last().unwrap();
        let taken = self.relay.take(call).unwrap();
        assert_eq!((&*taken.request, taken.message), (data, start));
        let decided = self.model.decided[taken.tag].clone();
        assert_eq!(taken.upstream_id, self.next_id(decided.upstream));
        if let Some(bucket) = decided.bucket {
            assert!(self.model.buckets[bucket].take(self.model.now));
        }
        if let Some(channel) = taken.channel {
            assert_eq!(self.model.way(&decided), Way::On(channel));
            self.model.put(channel, Use::Slow);
        }
        let id = taken.upstream_id.to_string();
        let mut edits = vec![(found.id.unwrap(), id.as_bytes())];
        edits.extend(Some(found.name.unwrap()).zip(decided.name.map(str::as_bytes)));
        edits.sort_by_key(|(span, _)| span.start);
        let plain = json::splice(message, &edits).unwrap();
        let expected = shaped(&plain, decided.told).into_bytes();
        if taken.channel.is_some() {
            let head = format!("{REQUEST_HEAD}{}\r\n\r\n", expected.len());
            assert_eq!(line, [head.as_bytes(), &expected].concat());
        } else {
            assert_eq!(line, [&*expected, b"\n"].concat());
        }
        framing::same_but_for_id_and_name(message, &plain, taken.upstream_id, decided.name);
    }
}

//! Connections to servers over HTTP, which slow lane and relay lend each other.

use crate::scene::{Scene, call, result};
use tidegate_relay::{Asked, Heard, To};

const REQUEST_HEAD: &str = "POST /mcp HTTP/1.1\r\nhost: b\r\ncontent-length: ";
const EVENTS: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// One server over HTTP, and what it is asked.
struct Http {
    scene: Scene,
    pool: usize,
    upstream: usize,
}

impl Http {
    fn new(repeatable: bool) -> Self {
        let mut scene = Scene::new();
        let pool = scene.relay.add_pool();
        let upstream = scene.relay.add_upstream(Some(pool));
        scene.learn_as(&call("1", "echo"), |decision| {
            decision.upstream = upstream;
            decision.request_head = Some(REQUEST_HEAD.as_bytes().into());
            decision.repeatable = repeatable;
        });
        Self {
            scene,
            pool,
            upstream,
        }
    }

    fn lent(&mut self) -> usize {
        let channel = self.scene.relay.add_channel(self.pool);
        let now_s = self.scene.now_s;
        self.scene.relay.give(channel, now_s);
        channel
    }

    fn asked(&mut self) -> Asked {
        let stream = self.scene.stream;
        self.scene.asked(stream, &call("7", "echo"))
    }

    fn heard(&mut self, channel: usize, data: &str) -> Heard {
        let now_s = self.scene.now_s;
        self.scene.relay.response(channel, data.as_bytes(), now_s)
    }
}

fn json(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn chunk(message: &str) -> String {
    format!("{:x}\r\ndata: {message}\n\n\r\n", message.len() + 8)
}

#[test]
fn a_call_goes_on_the_connection_that_was_used_last() {
    let mut http = Http::new(false);
    assert_eq!(http.asked(), Asked::Slow);
    let first = http.lent();
    let last = http.lent();
    let body = call("1", "echo");
    let sent = http.scene.sent(&call("7", "echo"));
    assert_eq!(sent, format!("{REQUEST_HEAD}{}\r\n\r\n{body}", body.len()));
    assert_eq!(http.scene.relay.to, To::Channel(last));
    http.scene.sent(&call("8", "echo"));
    assert_eq!(http.scene.relay.to, To::Channel(first));
    assert_eq!(http.asked(), Asked::Slow);
    let answer = json(&result(2, "{}"));
    assert_eq!(http.heard(first, &answer), Heard::Relayed { free: true });
    assert_eq!(http.scene.written(&answer), result(8, "{}") + "\n");
    assert_eq!(http.scene.relay.idle(http.pool), 1);
    http.scene.sent(&call("9", "echo"));
    assert_eq!(http.scene.relay.to, To::Channel(first));
}

#[test]
fn what_must_not_be_asked_twice_goes_on_fresh_connections_only() {
    for (repeatable, asked) in [(false, Asked::Slow), (true, Asked::Relayed)] {
        let mut http = Http::new(repeatable);
        http.lent();
        http.scene.now_s = 1.5;
        assert_eq!(http.asked(), Asked::Relayed);
        http.scene.take_all();
        http.scene.now_s = 2.0;
        http.lent();
        http.scene.now_s = 3.75;
        assert_eq!(http.asked(), asked);
    }
}

#[test]
fn what_the_slow_lane_takes_back_is_not_used() {
    let mut http = Http::new(true);
    let channel = http.lent();
    http.scene.now_s = 5.0;
    assert_eq!(http.scene.relay.take_back(http.pool, 1.0), None);
    assert_eq!(http.scene.relay.take_unused(0.0), [0; 0]);
    assert_eq!(http.scene.relay.take_unused(1.0), [channel]);
    assert_eq!(http.asked(), Asked::Slow);
    let other = http.lent();
    assert_eq!(http.scene.relay.take_back(http.pool, 1.0), Some(other));
    assert_eq!(http.asked(), Asked::Slow);
    assert_eq!(http.heard(other, "x"), Heard::Slow);
    // Nobody asked it for anything.
    let last = http.lent();
    assert_eq!(http.heard(last, "x"), Heard::Slow);
    assert_eq!(http.asked(), Asked::Slow);
    assert_eq!(http.scene.relay.channels_held(), 0);
}

#[test]
fn a_response_in_pieces_is_handed_over_with_all_of_them() {
    let mut http = Http::new(false);
    let channel = http.lent();
    let answer = json(&result(1, "{}"));
    http.scene.sent(&call("7", "echo"));
    assert_eq!(http.heard(channel, &answer[..50]), Heard::More);
    assert_eq!(http.heard(channel, &answer[50..90]), Heard::More);
    assert_eq!(http.scene.relay.held_on(channel), 90);
    let taken = http.scene.take_all().remove(0);
    assert_eq!(
        (taken.channel, &*taken.raw),
        (Some(channel), &answer.as_bytes()[..90])
    );
    assert_eq!(http.heard(channel, &answer[90..]), Heard::Slow);
}

#[test]
fn what_comes_behind_an_answer_is_told_apart() {
    let mut http = Http::new(false);
    let channel = http.lent();
    let upstream = http.upstream;
    http.scene.sent(&call("7", "echo"));
    let first = EVENTS.to_owned() + &chunk(&result(1, "{}"));
    assert_eq!(http.heard(channel, &first), Heard::Relayed { free: false });
    assert_eq!(http.scene.written(&first), result(7, "{}") + "\n");
    assert_eq!(http.asked(), Asked::Slow);
    let free = false;
    assert_eq!(
        http.heard(channel, &chunk("{}")),
        Heard::Late { free, upstream }
    );
    assert_eq!(http.scene.relay.gathered, b"{}");
    assert_eq!(http.scene.relay.take_unended(0.0), [0; 0]);
    assert_eq!(http.heard(channel, "0\r\n\r\n"), Heard::Ended);
    assert_eq!(http.asked(), Asked::Relayed);
}

#[test]
fn what_a_server_that_is_gone_says_is_not_the_next_ones() {
    let mut http = Http::new(false);
    let channel = http.lent();
    http.scene.sent(&call("7", "echo"));
    let first = EVENTS.to_owned() + &chunk(&result(1, "{}"));
    http.heard(channel, &first);
    http.scene.relay.remove_upstream(http.upstream);
    assert_eq!(
        http.scene.relay.add_upstream(Some(http.pool)),
        http.upstream
    );
    let Heard::Late { upstream, .. } = http.heard(channel, &chunk("{}")) else {
        panic!("nothing late");
    };
    assert_ne!(upstream, http.upstream);
}

#[test]
fn a_connection_of_a_pool_that_is_gone_is_not_the_next_ones() {
    for in_use in [false, true] {
        let mut http = Http::new(false);
        let channel = http.lent();
        if in_use {
            http.scene.sent(&call("7", "echo"));
        }
        http.scene.relay.remove_pool(http.pool);
        assert_eq!(http.scene.relay.add_pool(), http.pool);
        http.scene.take_all();
        http.scene.relay.give(channel, 0.0);
        assert_eq!(http.scene.relay.idle(http.pool), 0);
        assert_eq!(http.asked(), Asked::Slow);
    }
}

#[test]
fn the_answer_to_another_call_is_none() {
    let mut http = Http::new(false);
    let channel = http.lent();
    http.scene.sent(&call("7", "echo"));
    let waiting = http.scene.relay.call_on(channel);
    assert_eq!(
        http.heard(channel, &json(&result(2, "{}"))),
        Heard::Odd(waiting)
    );
    assert_eq!(http.scene.take_all().len(), 1);
}

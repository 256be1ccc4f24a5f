//! Requests over HTTP of which a part is here.

use crate::scene::{HEAD, Scene, call, post};
use tidegate_relay::{Asked, Limits};

#[test]
fn the_body_of_a_plain_head_is_awaited_whoever_sends_it() {
    let mut scene = Scene::new();
    let data = post(HEAD, &call("1", "echo"));
    let head = data.find('{').unwrap();
    let part = Asked::Part(data.len());
    let http = scene.http;
    let each_part_is_awaited = |scene: &mut Scene| {
        for cut in head..data.len() {
            assert_eq!(scene.asked_over_http(http, &data[..cut]), part);
            assert!(!scene.relay.has_candidate());
        }
    };
    each_part_is_awaited(&mut scene);
    scene.learn_over_http(&call("1", "echo"), |_| ());
    // The head is known, but not as this client's.
    each_part_is_awaited(&mut scene);
    for _ in 0..2 {
        scene.sent_over_http(&data);
        scene.take_all();
        each_part_is_awaited(&mut scene);
    }
}

#[test]
fn a_head_that_is_not_whole_is_the_slow_lanes() {
    let mut scene = Scene::new();
    scene.learn_over_http(&call("1", "echo"), |_| ());
    let (http, data) = (scene.http, post(HEAD, &call("1", "echo")));
    for cut in 0..data.find('{').unwrap() {
        assert_eq!(scene.asked_over_http(http, &data[..cut]), Asked::Slow);
    }
}

#[test]
fn the_body_of_any_other_request_is_the_slow_lanes() {
    let mut scene = Scene::new();
    let http = scene.http;
    for (from, to) in [
        ("POST", "PUT"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("Host: a", "Host: a\r\nConnection: close"),
        ("Host: a", "Host: a\r\nExpect: 100-continue"),
        ("Host: a", "Host: a\r\nUpgrade: h2c"),
        ("Host: a", "Host: a\r\nContent-Encoding: gzip"),
        ("Host: a", "Host: a\r\nContent-Length: 7"),
        ("Content-Length: 7", "Transfer-Encoding: chunked"),
        ("Length: 7", "Length: 07"),
        ("Length: 7", "Length: 0"),
        ("Length: 7", "Length: 1000000000"),
    ] {
        let head = format!("{HEAD}7\r\n\r\n");
        assert_eq!(
            scene.asked_over_http(http, &head),
            Asked::Part(head.len() + 7)
        );
        let head = head.replace(from, to);
        assert_eq!(scene.asked_over_http(http, &head), Asked::Slow, "{head}");
    }
}

#[test]
fn a_client_whose_call_is_in_flight_is_busy() {
    let mut scene = Scene::new();
    scene.learn_over_http(&call("1", "echo"), |_| ());
    let (http, data) = (scene.http, post(HEAD, &call("1", "echo")));
    scene.sent_over_http(&data);
    let part = &data[..data.len() - 1];
    assert_eq!(scene.asked_over_http(http, part), Asked::Busy);
}

#[test]
fn long_requests_are_awaited_by_the_slow_lane() {
    let mut scene = Scene::new();
    let (http, most) = (scene.http, 64 * 1024);
    let mut asked = |body_bytes: usize, length: usize| {
        scene.relay.take_up(Limits {
            in_flight: 8,
            header_bytes: 4000,
            body_bytes,
            result_bytes: 100_000,
            depth: 16,
        });
        scene.asked_over_http(http, &format!("{HEAD}{length}\r\n\r\n"))
    };
    let head = format!("{HEAD}65536\r\n\r\n").len();
    assert_eq!(asked(most, most - head), Asked::Part(most));
    assert_eq!(asked(most, most - head + 1), Asked::Slow);
    assert_eq!(asked(most - head - 1, most - head), Asked::Slow);
    assert_eq!(asked(usize::MAX, 999_999_999), Asked::Slow);
}

//! A flow is used only while everything that changes from call to call allows it.

use crate::scene::{HEAD, Scene, call, call_with, post};
use std::cell::RefCell;
use std::rc::Rc;
use tidegate_relay::{Asked, Bucket, Scope, finder};

#[test]
fn no_more_calls_than_the_gateway_and_the_server_may_have() {
    let mut scene = Scene::new();
    scene.learn_as(&call("1", "echo"), |decision| decision.max_in_flight = 2);
    scene.slow.in_flight.set(8);
    assert!(!scene.relays(&call("1", "echo")));
    scene.slow.in_flight.set(7);
    scene.sent(&call("1", "echo"));
    let stream = scene.stream;
    assert_eq!(scene.asked(stream, &call("2", "echo")), Asked::Slow);
    scene.slow.in_flight.set(0);
    scene.sent(&call("2", "echo"));
    assert_eq!(scene.asked(stream, &call("3", "echo")), Asked::Slow);
    assert_eq!(scene.relay.in_flight_at(scene.upstream), 2);
    scene.take_all();
    scene.slow.room.set(false);
    assert!(!scene.relays(&call("1", "echo")));
    // Refused is not forgotten.
    scene.slow.room.set(true);
    assert!(scene.relays(&call("1", "echo")));
}

#[test]
fn callers_spend_their_tokens_whoever_relays_for_them() {
    let mut scene = Scene::new();
    let bucket = Rc::new(RefCell::new(Bucket::new(1.0, 2.0, 0.0)));
    for name in ["echo", "add"] {
        scene.learn_as(&call("1", name), |decision| {
            decision.bucket = Some(bucket.clone());
        });
    }
    assert!(scene.relays(&call("1", "echo")));
    assert!(bucket.borrow_mut().take(0.0));
    assert!(!scene.relays(&call("1", "add")));
    scene.now_s = 1.0;
    // One that is refused for another reason costs nothing.
    scene.slow.room.set(false);
    assert!(!scene.relays(&call("1", "add")));
    scene.slow.room.set(true);
    assert!(scene.relays(&call("1", "add")));
    assert!(!scene.relays(&call("1", "add")));
}

#[test]
fn an_id_in_use_is_not_used_again_in_its_scope() {
    let mut scene = Scene::new();
    let scope = Scope::new(3);
    scene.learn_as(&call("1", "echo"), |decision| {
        decision.scope = Some(scope.clone());
    });
    scene.sent(&call("7", "echo"));
    let stream = scene.stream;
    assert_eq!(scene.asked(stream, &call("7", "echo")), Asked::Slow);
    scene.sent(&call("\"7\"", "echo"));
    scene.slow.used.set(Some((3, "9")));
    assert_eq!(scene.asked(stream, &call("9", "echo")), Asked::Slow);
    scene.slow.used.set(Some((4, "9")));
    scene.sent(&call("9", "echo"));
    assert_eq!(scene.relay.calls_in(&scope).len(), 3);
    scene.take_all();
    assert!(scene.relay.calls_in(&scope).is_empty());
    scene.sent(&call("7", "echo"));
}

#[test]
fn without_a_scope_ids_are_the_clients_own_affair() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    scene.sent(&call("7", "echo"));
    scene.sent(&call("7", "echo"));
    assert_eq!(scene.relay.in_flight(), 2);
}

#[test]
fn calls_with_an_odd_word_are_the_slow_lanes() {
    let mut scene = Scene::new();
    scene.learn_as(&call("1", "echo"), |decision| {
        decision.odd_words = [finder(b"\"task\"")].into();
    });
    assert!(!scene.relays(&call_with(r#""task":{}"#)));
    assert!(scene.relays(&call_with(r#""arguments":{"tasks":1}"#)));
    scene.learn(&call("1", "add"));
    assert!(scene.relays(&call_with(r#""task":{}"#).replace("echo", "add")));
}

#[test]
fn what_is_no_line_is_not_sent_in_lines() {
    let mut scene = Scene::new();
    scene.learn_over_http(&call("1", "echo"), |_| ());
    let http = scene.http;
    for white in ["\n", "\r"] {
        let broken = call("1", "echo").replace("{}", &format!("{{{white}}}"));
        assert_eq!(
            scene.asked_over_http(http, &post(HEAD, &broken)),
            Asked::Slow
        );
    }
}

#[test]
fn a_client_over_http_has_one_call_at_a_time() {
    let mut scene = Scene::new();
    let message = call("1", "echo");
    scene.learn_over_http(&message, |_| ());
    let (http, data) = (scene.http, post(HEAD, &message));
    scene.sent_over_http(&data);
    assert_eq!(scene.asked_over_http(http, &data), Asked::Busy);
    assert_eq!(scene.asked_over_http(http, "x"), Asked::Busy);
    assert_eq!(scene.relay.calls_of(http).len(), 1);
}

#[test]
fn bodies_and_heads_are_as_long_as_they_may_be() {
    let mut scene = Scene::new();
    let message = call("1", "echo");
    scene.learn_over_http(&message, |_| ());
    let http = scene.http;
    let filled = |bytes: usize| message.replace("{}", &format!("{{{}}}", " ".repeat(bytes)));
    let most = 4000 - message.len();
    assert_eq!(
        scene.asked_over_http(http, &post(HEAD, &filled(most))),
        Asked::Relayed
    );
    scene.take_all();
    assert_eq!(
        scene.asked_over_http(http, &post(HEAD, &filled(most + 1))),
        Asked::Slow
    );

    // With two digits the head is as long as may be, with three it is too long.
    let short = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#;
    let longer = short.replace("\"echo\"", &format!("\"echo\"{}", " ".repeat(40)));
    let field = format!(
        "X: {}\r\nContent-Length: ",
        "x".repeat(4000 - HEAD.len() - 2 - 4 - 5)
    );
    let head = HEAD.replace("Content-Length: ", &field);
    assert_eq!(post(&head, short).len() - short.len(), 4000);
    assert_eq!(
        scene.asked_over_http(http, &post(&head, short)),
        Asked::Slow
    );
    scene.decide(short, |_| ());
    assert_eq!(
        scene.asked_over_http(http, &post(&head, short)),
        Asked::Relayed
    );
    scene.take_all();
    assert_eq!(
        scene.asked_over_http(http, &post(&head, &longer)),
        Asked::Slow
    );
}

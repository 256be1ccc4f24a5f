//! What is remembered is bounded, and nothing of one call is left for the next.

use crate::scene::{HEAD, Scene, call, call_with, post, result};
use tidegate_relay::{Asked, Scope};

/// More than the relay remembers, whatever it is: after so much of it, less is there than was learnt.
const MANY: usize = 12_000;

#[test]
fn names_without_end_are_forgotten_all_at_once() {
    let mut scene = Scene::new();
    let mut most = 0;
    for number in 0..MANY {
        scene.learn(&call("1", &format!("tool{number}")));
        if number % 100 == 0 {
            most = most.max(scene.relay.flows());
        }
    }
    assert!(scene.relay.voided > 0);
    // 16 MiB, at a few thousand bytes each.
    assert!((3_000..6_000).contains(&most), "{most}");
    assert!(scene.relays(&call("1", &format!("tool{}", MANY - 1))));
}

fn head(number: usize) -> String {
    HEAD.replace(
        "Host: a",
        &format!("Host: a\r\nX: {number}{}", "x".repeat(3000)),
    )
}

#[test]
fn heads_without_end_are_forgotten_all_at_once() {
    let mut scene = Scene::new();
    let (http, message) = (scene.http, call("1", "echo"));
    let mut most = 0;
    for number in 0..3_000 {
        let request = post(&head(number), &message);
        assert_eq!(scene.asked_over_http(http, &request), Asked::Slow);
        if !scene.relay.has_candidate() {
            assert_eq!(scene.asked_over_http(http, &request), Asked::Slow);
        }
        scene.decide(&message, |_| ());
        most = most.max(scene.relay.flows());
    }
    assert!(scene.relay.voided > 0);
    assert!((900..2_500).contains(&most), "{most}");
}

#[test]
fn heads_that_never_come_again_do_not_push_out_the_others() {
    let mut scene = Scene::new();
    let (http, message) = (scene.http, call("1", "echo"));
    scene.learn(&message);
    for number in 0..1_500 {
        let request = post(&head(number), &message);
        assert_eq!(scene.asked_over_http(http, &request), Asked::Slow);
        if scene.relay.has_candidate() {
            scene.decide(&message, |_| ());
        }
    }
    assert_eq!(scene.relay.voided, 0);
    assert_eq!(scene.relay.flows(), 257);
    assert!(scene.relays(&message));
    // One of them does, after all.
    let again = post(&head(6_000), &message);
    assert_eq!(scene.asked_over_http(http, &again), Asked::Slow);
    assert_eq!(scene.asked_over_http(http, &again), Asked::Slow);
    scene.decide(&message, |_| ());
    scene.sent_over_http(&again);
}

#[test]
fn decisions_of_scopes_that_are_closed_are_let_go() {
    let mut scene = Scene::new();
    let mut freed = 0;
    for number in 0..1_000 {
        let scope = Scope::new(number);
        let message = call("1", &format!("tool{number}"));
        scene.learn_as(&message, |decision| decision.scope = Some(scope.clone()));
        scope.close();
        freed += scene.relay.freed().len();
    }
    assert!(freed > 900, "{freed}");
    assert_eq!(scene.relay.flows(), 0);
    assert_eq!(scene.relay.voided, 0);
}

#[test]
fn a_decision_is_not_let_go_while_a_call_or_a_count_is_by_it() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    let tag = scene.relay.tags()[0];
    scene.sent(&call("2", "echo"));
    scene.relay.void();
    scene.learn(&call("1", "other"));
    assert_eq!(scene.relay.freed(), []);
    scene.replied(&result(1, "{}"));
    assert_eq!(scene.relay.freed(), []);
    assert_eq!(scene.relay.counted()[0].tag, tag);
    // What the client used last is at hand until it uses something else.
    assert!(scene.relays(&call("1", "other")));
    assert_eq!(scene.relay.freed(), [tag]);
}

#[test]
fn clients_without_end_are_forgotten_all_at_once() {
    let mut scene = Scene::new();
    let client = |number: usize| {
        let info = format!(
            "\"io.modelcontextprotocol/clientInfo\":{{\"name\":\"{number}{}\"}}",
            "x".repeat(3000)
        );
        call_with(&format!("\"_meta\":{{{info}}}"))
    };
    let mut most = 0;
    for number in 0..4_000 {
        scene.learn(&client(number));
        most = most.max(scene.relay.flows());
    }
    assert!(scene.relay.voided > 0);
    assert!((1_000..4_000).contains(&most), "{most}");
    assert!(scene.relays(&client(3_999)));
}

#[test]
fn a_buffer_that_is_used_again_has_nothing_of_what_was_in_it() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    let long = call_with(&format!(
        "\"arguments\":{{\"x\":\"{}\"}}",
        "secret".repeat(400)
    ));
    scene.sent(&long);
    scene.replied(&result(1, "{}"));
    scene.sent(&call("1", "echo"));
    assert_eq!(scene.take_all()[0].request, call("1", "echo").as_bytes());
    // However many are in flight at once.
    for round in 0..3 {
        for number in 0..8 {
            scene.sent(&call(&format!("\"{round} {number}\""), "echo"));
        }
        let first = scene.relay.ids_given(scene.upstream) - 7;
        for number in (0..8).rev() {
            let own = format!("\"id\":\"{round} {number}\"");
            let answer = result(first + number, "{}");
            assert!(scene.replied(&answer).contains(&own));
        }
    }
}

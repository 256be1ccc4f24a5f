//! Calls in flight that the slow lane goes on with.

use crate::scene::{HEAD, Scene, call, post, result};
use tidegate_relay::{Answer, Asked, Scope};

#[test]
fn a_call_is_handed_over_as_it_came() {
    let mut scene = Scene::new();
    let edited =
        |decision: &mut tidegate_relay::Decision| decision.name = Some((*b"\"its\"").into());
    scene.learn_as(&call("1", "echo"), edited);
    scene.learn_over_http(&call("1", "echo"), edited);
    let message = call("\"\\u0031\"", "\\u0065cho");
    scene.now_s = 3.5;
    scene.sent(&message);
    scene.sent_over_http(&post(HEAD, &message));
    let taken = scene.take_all();
    let data = post(HEAD, &message);
    for (taken, (client, request, tag)) in taken
        .iter()
        .zip([(scene.stream, &message, 0), (scene.http, &data, 1)])
    {
        assert_eq!(taken.request, request.as_bytes());
        assert_eq!(&taken.request[taken.message..], message.as_bytes());
        assert_eq!(
            (taken.client, taken.tag, taken.upstream),
            (client, tag, scene.upstream)
        );
        assert_eq!((taken.upstream_id, taken.began_s), (tag as u64 + 1, 3.5));
    }
    assert_eq!(taken.len(), 2);
    assert_eq!(scene.relay.in_flight(), 0);
    assert_eq!(scene.answered(&result(1, "{}")), Answer::Foreign);
    assert!(scene.relay.calls_of(scene.http).is_empty());
    assert!(scene.relay.counted().is_empty());
}

#[test]
fn it_is_handed_over_once() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    scene.sent(&call("1", "echo"));
    let calls = scene.relay.calls_of(scene.stream);
    assert!(scene.relay.take(calls[0]).is_some());
    assert!(scene.relay.take(calls[0]).is_none());
    assert!(scene.relay.take(77).is_none());
}

#[test]
fn calls_go_on_without_their_flow() {
    let mut scene = Scene::new();
    let scope = Scope::new(0);
    scene.learn_as(&call("1", "echo"), |decision| {
        decision.scope = Some(scope.clone());
    });
    scene.sent(&call("1", "echo"));
    scene.sent(&call("2", "echo"));
    scene.relay.void();
    scope.close();
    scene.relay.close_upstream(scene.upstream);
    assert_eq!(scene.replied(&result(1, "{}")), result(1, "{}") + "\n");
    assert_eq!(scene.take_all().len(), 1);
}

#[test]
fn calls_are_found_by_client_server_scope_and_age_in_the_order_in_which_they_came() {
    let mut scene = Scene::new();
    let scope = Scope::new(0);
    let other = scene.relay.add_upstream(None);
    scene.learn(&call("1", "echo"));
    scene.learn_as(&call("1", "elsewhere"), |decision| {
        decision.upstream = other;
        decision.scope = Some(scope.clone());
    });
    scene.learn_over_http(&call("1", "echo"), |_| ());
    scene.sent(&call("1", "echo"));
    scene.now_s = 1.0;
    scene.sent(&call("2", "elsewhere"));
    scene.sent_over_http(&post(HEAD, &call("3", "echo")));
    scene.now_s = 2.0;
    scene.sent(&call("4", "echo"));
    let ids = |scene: &mut Scene, calls: Vec<usize>| -> Vec<String> {
        // Looked at in a copy of the scene's order: taking changes it.
        calls
            .into_iter()
            .map(|call| scene.relay.take(call).unwrap())
            .map(|taken| String::from_utf8(taken.request[taken.message..].to_vec()).unwrap())
            .map(|message| message.split("\"id\":").nth(1).unwrap()[..1].to_owned())
            .collect()
    };
    let (at, of) = (
        scene.relay.calls_at(scene.upstream),
        scene.relay.calls_of(scene.stream),
    );
    assert_eq!((at.len(), of.len()), (3, 3));
    assert_eq!(scene.relay.calls_at(other), scene.relay.calls_in(&scope));
    assert_eq!(scene.relay.calls_before(0.0), [0; 0]);
    assert_eq!(scene.relay.calls_before(1.0).len(), 1);
    let calls = scene.relay.calls_before(2.0);
    assert_eq!(ids(&mut scene, calls), ["1", "3", "2"]);
    assert_eq!(
        scene.relay.calls_of(scene.stream),
        scene.relay.calls_at(scene.upstream)
    );
}

#[test]
fn the_slow_lane_may_have_first_calls_go_the_relays_way_too() {
    let mut scene = Scene::new();
    let (stream, message) = (scene.stream, call("\"own\"", "echo"));
    assert_eq!(scene.asked(stream, &message), Asked::Slow);
    let decision = scene.decision();
    assert!(scene.relay.install(message.as_bytes(), decision));
    let number = scene.relay.next_id(scene.upstream);
    assert!(scene.relay.adopt(number, 0.0, None));
    assert!(!scene.relay.adopt(number, 0.0, None));
    assert_eq!(
        scene.replied(&result(number, "{}")),
        result(1, "{}").replace("\"id\":1", "\"id\":\"own\"") + "\n"
    );
    // Only at once.
    scene.relay.void();
    scene.learn(&message);
    assert!(!scene.relay.adopt(9, 0.0, None));
}

//! Which answers are passed on, to whom, in which form.

use crate::scene::{HEAD, REPLY_HEAD, Scene, call, post, result};
use std::rc::Rc;
use tidegate_codec::coding::inflate;
use tidegate_codec::http::parse_response_head;
use tidegate_relay::{Answer, Coding, Edit, Fitting, To, Words};

#[test]
fn the_one_who_asked_is_answered_once_under_its_own_id() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    scene.sent(&call("\"\\u0061\"", "echo"));
    scene.sent(&call("5", "echo"));
    assert_eq!(
        scene.replied(&result(1, "{}")),
        "{\"jsonrpc\":\"2.0\",\"id\":\"\\u0061\",\"result\":{}}\n"
    );
    assert_eq!(scene.relay.to, To::Client(scene.stream));
    assert_eq!(scene.answered(&result(1, "{}")), Answer::Foreign);
    assert_eq!(scene.replied(&result(2, "{}")), result(5, "{}") + "\n");
    assert_eq!((scene.relay.in_flight(), scene.relay.relayed), (0, 2));
}

#[test]
fn over_http_it_is_one_response() {
    let mut scene = Scene::new();
    scene.learn_over_http(&call("1", "echo"), |_| ());
    scene.sent_over_http(&post(HEAD, &call("\"own\"", "echo")));
    let body = result(1, "{\"content\":[]}");
    let expected = body.replace("\"id\":1", "\"id\":\"own\"");
    assert_eq!(
        scene.replied(&body),
        format!(
            "{REPLY_HEAD}content-length: {}\r\n\r\n{expected}",
            expected.len()
        )
    );
    assert_eq!(scene.relay.to, To::Client(scene.http));
}

#[test]
fn compressed_where_the_client_takes_it_and_it_is_worth_it() {
    for (coding, name) in [(Coding::Gzip, "gzip"), (Coding::Zstd, "zstd")] {
        let mut scene = Scene::new();
        scene.learn_over_http(&call("1", "echo"), |decision| {
            decision.coding = coding;
            decision.compressed_bytes = (100, 2000);
        });
        for (bytes, coded) in [(10, false), (500, true), (3000, false)] {
            scene.sent_over_http(&post(HEAD, &call("\"own\"", "echo")));
            let number = scene.relay.ids_given(scene.upstream);
            let body = result(number, &format!("{{\"x\":\"{}\"}}", "y".repeat(bytes)));
            assert_eq!(scene.answered(&body), Answer::Relayed);
            let reply = scene.written_bytes(&body);
            let head = parse_response_head(&reply, 1000).unwrap().unwrap();
            let sent = &reply[head.fields.head_len..];
            assert_eq!(head.fields.content_length, Some(sent.len() as u64));
            let said = |wanted: &str| head.fields.headers.iter().any(|(field, _)| field == wanted);
            assert_eq!((said("content-encoding"), said("vary")), (coded, coded));
            let expected = body.replace(&format!("\"id\":{number}"), "\"id\":\"own\"");
            let read = if coded {
                inflate(name, sent, 5000).unwrap()
            } else {
                sent.to_vec()
            };
            assert_eq!(read, expected.as_bytes());
        }
    }
}

/// Content in `x` may not say `new`.
fn without_new_content() -> Edit {
    Edit::Fit(Rc::new(Fitting {
        place: "x".into(),
        words: Words::new(["new".to_owned()]),
        ..Fitting::default()
    }))
}

#[test]
fn anything_but_a_plain_result_is_the_slow_lanes() {
    let cases = [
        r#"{"jsonrpc":"2.0","id":@,"error":{"code":1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","id":@,"result":{"resultType":"input_required"}}"#,
        r#"{"jsonrpc":"2.0","id":@,"result":{"x":["new"]}}"#,
        "{\"jsonrpc\":\"2.0\",\"id\":@,\r\"result\":{}}",
    ];
    for (number, case) in (1..).zip(cases) {
        let mut scene = Scene::new();
        scene.learn_as(&call("1", "echo"), |decision| {
            decision.answers.untyped = without_new_content();
            decision.answers.complete = without_new_content();
        });
        scene.sent(&call("1", "echo"));
        let waiting = scene.relay.calls_at(scene.upstream)[0];
        let message = case.replace('@', "1");
        assert_eq!(
            scene.answered(&message),
            Answer::Promote(waiting),
            "{number}: {message}"
        );
        // It stays in flight until it is taken.
        assert_eq!(scene.relay.in_flight(), 1);
        assert!(scene.relay.take(waiting).is_some());
        assert_eq!(scene.answered(&message), Answer::Foreign);
    }
}

#[test]
fn all_else_that_a_server_says_is_told_apart() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    scene.sent(&call("1", "echo"));
    for foreign in ["2", "\"1\"", "0", "-1", "18446744073709551617"] {
        let message = result(1, "{}").replace("\"id\":1", &format!("\"id\":{foreign}"));
        assert_eq!(scene.answered(&message), Answer::Foreign, "{message}");
    }
    for other in [
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"no"}}"#,
        r#"[{"jsonrpc":"2.0","id":1,"result":{}}]"#,
        r#"{"jsonrpc":"2.0","id":1.0,"result":{}}"#,
        "garbage",
        "",
    ] {
        assert_eq!(scene.answered(other), Answer::Other, "{other}");
    }
    assert_eq!(scene.relay.in_flight(), 1);
}

#[test]
fn answers_are_looked_for_where_they_were_asked_for() {
    let mut scene = Scene::new();
    let other = scene.relay.add_upstream(None);
    scene.learn(&call("1", "echo"));
    scene.sent(&call("1", "echo"));
    let message = result(1, "{}");
    assert_eq!(
        scene.relay.answer(other, message.as_bytes(), 0.0),
        Answer::Foreign
    );
    assert_eq!(scene.answered(&message), Answer::Relayed);
}

#[test]
fn what_happened_is_counted_by_flow_outcome_and_duration() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    let prompt = call("1", "echo").replace("tools/call", "prompts/get");
    scene.learn(&prompt);
    let failed = r#"{"content":[],"isError":true}"#;
    let long = format!("{{\"isError\":true,\"x\":\"{}\"}}", "y".repeat(65 * 1024));
    for (message, answer, later_s) in [
        (&call("1", "echo"), "{}", 0.5),
        (&call("1", "echo"), failed, 0.75),
        (&call("1", "echo"), r#"{"isError":false}"#, 2.25),
        (&call("1", "echo"), r#"{"x":{"isError":true}}"#, 0.0),
        // Not looked at: too long.
        (&call("1", "echo"), &long, 0.0),
        // No tool, which could fail.
        (&prompt, failed, 0.0),
    ] {
        scene.sent(message);
        scene.now_s += later_s;
        let number = scene.relay.ids_given(scene.upstream);
        scene.replied(&result(number, answer));
    }
    scene.sent(&call("1", "echo"));
    let mut counted = scene.relay.counted();
    counted.sort_by_key(|count| count.tag);
    let seen: Vec<_> = counted
        .iter()
        .map(|count| {
            (
                count.tag,
                count.ok,
                count.tool_error,
                count.counts.clone(),
                count.sum_s,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [(0, 4, 1, vec![3, 1, 1], 3.5), (1, 1, 0, vec![1, 0, 0], 0.0)]
    );
    assert!(scene.relay.counted().is_empty());
    assert_eq!(scene.relay.relayed, 6);
}

#[test]
fn counts_outlive_their_flow() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    scene.sent(&call("1", "echo"));
    scene.relay.void();
    assert_eq!(scene.relay.tags(), [0]);
    scene.replied(&result(1, "{}"));
    assert_eq!(scene.relay.tags(), [0]);
    assert_eq!(scene.relay.counted().len(), 1);
    assert!(scene.relay.tags().is_empty());
}

//! What is changed on the way from one era, or revision, to another.

use crate::scene::{Scene, call, result};
use std::rc::Rc;
use tidegate_relay::{Answer, Answers, Change, Edit, Fitting, Meta, Words};

fn set(key: &str, value: &str) -> Change {
    (key.into(), Some(value.as_bytes().into()))
}

fn words(words: &[&str]) -> Words {
    Words::new(words.iter().map(ToString::to_string))
}

/// A server without sessions is told `v`, and not `old`.
fn telling() -> Scene {
    let mut scene = Scene::new();
    scene.learn_as(&call("1", "echo"), |decision| {
        decision.meta = Meta::new([set("v", "1"), ("old".into(), None)].into());
    });
    scene
}

fn asked(scene: &mut Scene, params: &str) -> String {
    let message =
        format!(r#"{{"jsonrpc":"2.0","method":"tools/call","params":{params},"id":"x"}}"#);
    scene.sent(&message)
}

#[test]
fn what_the_server_is_told_comes_behind_all_else() {
    let mut scene = telling();
    for (number, (params, shaped)) in (1..).zip([
        (r#"{"name":"echo"}"#, r#"{"name":"echo","_meta":{"v":1}}"#),
        (
            "{\"name\":\"echo\", \"arguments\":{\"_meta\":{}}\t }",
            "{\"name\":\"echo\", \"arguments\":{\"_meta\":{}},\"_meta\":{\"v\":1}\t }",
        ),
        (
            r#"{"_meta":{"own":[ 1 ],"old":2},"name":"echo"}"#,
            r#"{"_meta":{"own":[ 1 ],"v":1},"name":"echo"}"#,
        ),
        (
            r#"{"_meta":{"v":null,"ol\u0064":2},"name":"echo"}"#,
            r#"{"_meta":{"v":1},"name":"echo"}"#,
        ),
    ]) {
        let expected =
            format!(r#"{{"jsonrpc":"2.0","method":"tools/call","params":{shaped},"id":{number}}}"#);
        assert_eq!(asked(&mut scene, params), expected + "\n");
    }
}

#[test]
fn a_meta_that_is_no_object_is_the_slow_lanes() {
    let mut scene = telling();
    for params in [
        r#"{"name":"echo","_meta":null}"#,
        r#"{"name":"echo","\u005fmeta":null}"#,
    ] {
        let message =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        assert!(!scene.relays(&message), "{params}");
    }
}

#[test]
fn a_result_is_given_what_it_lacks() {
    let mut scene = Scene::new();
    scene.learn_as(&call("1", "echo"), |decision| {
        decision.answers = Answers {
            untyped: Edit::Set([set("resultType", "\"complete\"")].into()),
            complete: Edit::Pass,
        };
    });
    for (number, (said, heard)) in (1..).zip([
        ("{}", r#"{"resultType":"complete"}"#),
        ("{\"a\":1 }", "{\"a\":1,\"resultType\":\"complete\" }"),
        (
            r#"{"resultType":"complete"}"#,
            r#"{"resultType":"complete"}"#,
        ),
        (r#"{"resultType":5}"#, r#"{"resultType":"complete"}"#),
    ]) {
        scene.sent(&call("7", "echo"));
        assert_eq!(
            scene.replied(&result(number, said)),
            result(7, heard) + "\n"
        );
    }
}

#[test]
fn a_result_is_rid_of_what_a_revision_lacks() {
    let fitting = Edit::Fit(Rc::new(Fitting {
        members: words(&["resultType", "ttlMs"]),
        entries: words(&["hop"]),
        structured: Some((*b"{").into()),
        place: "content".into(),
        words: words(&["icons"]),
    }));
    let mut scene = Scene::new();
    scene.learn_as(&call("1", "echo"), |decision| {
        decision.answers = Answers {
            untyped: fitting.clone(),
            complete: fitting,
        };
    });
    let mut number = 0;
    let mut ask = |scene: &mut Scene| {
        scene.sent(&call("7", "echo"));
        number += 1;
        number
    };
    for (said, heard) in [
        (r#"{"resultType":"complete","a":1}"#, r#"{"a":1}"#),
        (
            r#"{"a":1, "ttlMs":2 , "resultType":"complete" }"#,
            r#"{"a":1 }"#,
        ),
        (r#"{"_meta":{"hop":1},"a":[]}"#, r#"{"a":[]}"#),
        (
            r#"{"a":[],"_meta":{"hop":1, "own":"hop"}}"#,
            r#"{"a":[],"_meta":{"own":"hop"}}"#,
        ),
        (r#"{"_meta":null,"a":"hop"}"#, r#"{"_meta":null,"a":"hop"}"#),
        (
            r#"{"structuredContent":{"icons":1},"content":[]}"#,
            r#"{"structuredContent":{"icons":1},"content":[]}"#,
        ),
        (
            r#"{"other":"structuredContent"}"#,
            r#"{"other":"structuredContent"}"#,
        ),
    ] {
        let id = ask(&mut scene);
        assert_eq!(scene.replied(&result(id, said)), result(7, heard) + "\n");
    }
    for said in [
        r#"{"resultType":"task"}"#,
        r#"{"structuredContent":[]}"#,
        r#"{"content":[{"icons":[]}]}"#,
        r#"{"\u005fmeta":{"hop":1}}"#,
    ] {
        let id = ask(&mut scene);
        let answer = scene.answered(&result(id, said));
        assert!(matches!(answer, Answer::Promote(_)), "{said}");
    }
}

//! What a flow is known by, and when it is none any more.

use crate::scene::{HEAD, Scene, call, call_with, post};
use tidegate_relay::{Asked, Scope, To};

#[test]
fn what_was_decided_once_is_repeated() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    assert_eq!(scene.sent(&call("\"x\"", "echo")), call("1", "echo") + "\n");
    assert_eq!(scene.relay.to, To::Upstream(scene.upstream));
    assert_eq!((scene.relay.flows(), scene.relay.installed), (1, 1));
}

#[test]
fn what_was_not_decided_is_not_repeated() {
    let mut scene = Scene::new();
    let (stream, message) = (scene.stream, call("1", "echo"));
    assert_eq!(scene.asked(stream, &message), Asked::Slow);
    assert!(scene.relay.has_candidate());
    scene.relay.drop_candidate();
    let decision = scene.decision();
    assert!(!scene.relay.install(message.as_bytes(), decision));
    assert!(!scene.relays(&message));
}

#[test]
fn a_decision_about_another_message_is_no_flow() {
    let mut scene = Scene::new();
    let stream = scene.stream;
    scene.asked(stream, &call("1", "echo"));
    let decision = scene.decision();
    assert!(!scene.relay.install(call("2", "echo").as_bytes(), decision));
    assert_eq!(scene.relay.flows(), 0);
}

#[test]
fn another_name_method_or_client_is_another_flow() {
    let mut scene = Scene::new();
    let message = call("1", "echo");
    scene.learn(&message);
    assert!(!scene.relays(&call("1", "add")));
    assert!(!scene.relays(&message.replace("tools/call", "prompts/get")));
    let other = scene.relay.add_stream();
    assert_eq!(scene.asked(other, &message), Asked::Slow);
    let http = scene.http;
    assert_eq!(
        scene.asked_over_http(http, &post(HEAD, &message)),
        Asked::Slow
    );
    assert!(scene.relays(&message));
}

#[test]
fn names_are_compared_as_they_are_read() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    assert!(scene.relays(&call("1", "\\u0065cho")));
    assert!(!scene.relays(&call("1", "ECHO")));
    assert!(!scene.relays(&call("1", "echo ")));
}

#[test]
fn a_resource_is_named_by_its_uri() {
    let mut scene = Scene::new();
    let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///a"}}"#;
    scene.learn_as(read, |decision| {
        decision.name = Some((*b"\"file:///b\"").into());
    });
    assert_eq!(scene.sent(read), read.replace("///a", "///b") + "\n");
}

#[test]
fn heads_may_differ_in_the_length_alone() {
    let mut scene = Scene::new();
    let message = call("1", "echo");
    scene.learn_over_http(&message, |_| ());
    let other = scene.relay.add_http();
    let mut is_relayed = |head: &str, message: &str| {
        let asked = scene.asked_over_http(other, &post(head, message));
        scene.take_all();
        asked == Asked::Relayed
    };
    assert!(is_relayed(HEAD, &call("\"a much longer id\"", "echo")));
    assert!(is_relayed(HEAD, &message));
    for head in [
        HEAD.replace("/mcp", "/other"),
        HEAD.replace("Host: a", "Host: b"),
        HEAD.replace("Host: a", "host: a"),
        HEAD.replace("Host: a", "Host: a\r\nAuthorization: Bearer x"),
        HEAD.replace("Host: a", "Host: a\r\nMcp-Session-Id: 1"),
        format!("{HEAD} "),
        format!("\r\n{HEAD}"),
    ] {
        assert!(!is_relayed(&head, &message), "{head}");
    }
}

#[test]
fn only_one_whole_request_is_a_request() {
    let mut scene = Scene::new();
    let message = call("1", "echo");
    scene.learn_over_http(&message, |_| ());
    let (http, data) = (scene.http, post(HEAD, &message));
    for data in [
        &(data.clone() + "\r\n"),
        &(data.clone() + &data),
        &data.replace("Length: ", "Length: 0"),
        &data.replace("Length: ", "Length: +"),
        &data.replace("\r\n", "\n"),
    ] {
        assert_eq!(scene.asked_over_http(http, data), Asked::Slow, "{data}");
    }
    scene.sent_over_http(&data);
}

#[test]
fn what_meta_says_of_the_client_tells_flows_apart_and_all_else_in_it_does_not() {
    let version = r#""io.modelcontextprotocol/protocolVersion":"A""#;
    let mut scene = Scene::new();
    let meta = |entries: &str| call_with(&format!("\"_meta\":{{{entries}}}"));
    scene.learn(&meta(version));
    assert!(scene.relays(&meta(version)));
    assert!(scene.relays(&meta(&format!("\"traceparent\":\"1\",{version}"))));
    assert!(scene.relays(&meta(&format!("{version},\"traceparent\":\"2\""))));
    assert!(!scene.relays(&meta(&version.replace('A', "B"))));
    assert!(!scene.relays(&meta("")));
    assert!(!scene.relays(&call("1", "echo")));
    for entry in ["clientInfo", "clientCapabilities", "logLevel"] {
        let entry = format!("{version},\"io.modelcontextprotocol/{entry}\":{{}}");
        assert!(!scene.relays(&meta(&entry)), "{entry}");
    }
}

#[test]
fn meta_without_anything_that_matters_is_as_good_as_none() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    assert!(scene.relays(&call_with(r#""_meta":{}"#)));
    assert!(scene.relays(&call_with(r#""_meta":{"traceparent":"1"}"#)));
}

#[test]
fn tokens_progress_and_odd_spellings_are_the_slow_lanes() {
    let version = r#""io.modelcontextprotocol/protocolVersion":"A""#;
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    scene.learn(&call_with(&format!("\"_meta\":{{{version}}}")));
    let stream = scene.stream;
    for meta in [
        r#"{"progressToken":1}"#,
        r#"{"dev.tidegate/token":"t"}"#,
        r#"{"dev.tidegate\/token":"t"}"#,
        &format!(r#"{{{version},"dev.tidegate/token":"t"}}"#),
        &format!(r#"{{{version},"dev.tidegate\u002ftoken":"t"}}"#),
        &format!("{{{}}}", version.replace('/', "\\/")),
        &format!(r#"{{"x":{{{version}}}}}"#),
        r"[]",
    ] {
        let message = call_with(&format!("\"_meta\":{meta}"));
        assert_eq!(scene.asked(stream, &message), Asked::Slow, "{message}");
        assert!(!scene.relay.has_candidate(), "{message}");
    }
}

#[test]
fn other_messages_are_the_slow_lanes() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    let (stream, long) = (scene.stream, "x".repeat(300));
    for message in [
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}]"#,
        &call("null", "echo"),
        &call(&format!("\"{long}\""), "echo"),
        &call("1", &long.repeat(4)),
        &call("1", "echo").replace("{}", &format!("{}{}", "[".repeat(20), "]".repeat(20))),
        &call("1", "echo").replace("\"2.0\"", "\"1.0\""),
        &call("1", "echo")[1..],
        "",
    ] {
        assert_eq!(scene.asked(stream, message), Asked::Slow, "{message}");
        assert!(!scene.relay.has_candidate(), "{message}");
    }
}

#[test]
fn id_and_name_are_replaced_wherever_they_stand_and_nothing_else() {
    let mut scene = Scene::new();
    scene.learn_as(&call("1", "echo"), |decision| {
        decision.name = Some((*b"\"its \\\"echo\\\"\"").into());
    });
    for (number, (asked, told)) in [
        (
            r#"{"jsonrpc":"2.0","id":"id","method":"tools/call","params":{"name":"echo"}}"#,
            r#"{"jsonrpc":"2.0","id":@,"method":"tools/call","params":{"name":"its \"echo\""}}"#,
        ),
        (
            r#"{"params":{"x":{"id":1},"name":"\u0065cho"} , "id" : -12 ,"method":"tools/call","jsonrpc":"2.0"}"#,
            r#"{"params":{"x":{"id":1},"name":"its \"echo\""} , "id" : @ ,"method":"tools/call","jsonrpc":"2.0"}"#,
        ),
        (
            r#"{"id":"\"id\":2","method":"tools/call","x":1.50,"params":{"name":"echo","n":1e400},"jsonrpc":"2.0"}"#,
            r#"{"id":@,"method":"tools/call","x":1.50,"params":{"name":"its \"echo\"","n":1e400},"jsonrpc":"2.0"}"#,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let told = told.replace('@', &(number + 1).to_string());
        assert_eq!(scene.sent(asked), told + "\n");
    }
}

#[test]
fn ids_are_never_given_twice_to_one_server() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    let given = |line: String| {
        line.split("\"id\":")
            .nth(1)
            .unwrap()
            .split(',')
            .next()
            .unwrap()
            .to_owned()
    };
    let mut ids = vec![given(scene.sent(&call("1", "echo")))];
    scene.take_all();
    ids.push(scene.relay.next_id(scene.upstream).to_string());
    scene.relay.void();
    scene.learn(&call("1", "echo"));
    ids.push(given(scene.sent(&call("1", "echo"))));
    assert_eq!(ids, ["1", "2", "3"]);
    assert_eq!(scene.relay.ids_given(scene.upstream), 3);
}

#[test]
fn nothing_is_repeated_after_void() {
    let mut scene = Scene::new();
    let message = call("1", "echo");
    scene.learn(&message);
    scene.learn_over_http(&message, |_| ());
    scene.sent_over_http(&post(HEAD, &message));
    scene.take_all();
    scene.relay.void();
    let http = scene.http;
    assert_eq!((scene.relay.flows(), scene.relay.voided), (0, 1));
    assert!(!scene.relays(&message));
    // The client's connection remembers its head, but not for this.
    assert_eq!(
        scene.asked_over_http(http, &post(HEAD, &message)),
        Asked::Slow
    );
}

#[test]
fn what_is_voided_while_it_is_decided_is_no_flow() {
    let mut scene = Scene::new();
    let (stream, message) = (scene.stream, call("1", "echo"));
    scene.asked(stream, &message);
    scene.relay.void();
    let decision = scene.decision();
    assert!(!scene.relay.install(message.as_bytes(), decision));
}

#[test]
fn a_closed_scope_or_server_ends_its_flows_and_no_others() {
    let mut scene = Scene::new();
    let scope = Scope::new(0);
    let other = scene.relay.add_upstream(None);
    scene.learn_as(&call("1", "scoped"), |decision| {
        decision.scope = Some(scope.clone());
    });
    scene.learn_as(&call("1", "elsewhere"), |decision| {
        decision.upstream = other;
    });
    scene.learn(&call("1", "echo"));
    scope.close();
    assert!(!scene.relays(&call("1", "scoped")));
    assert!(scene.relays(&call("1", "elsewhere")));
    scene.relay.close_upstream(other);
    assert!(!scene.relays(&call("1", "elsewhere")));
    assert!(scene.relays(&call("1", "echo")));
    assert_eq!(scene.relay.flows(), 1);
}

#[test]
fn a_new_server_has_nothing_of_the_one_whose_number_it_gets() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    scene.relay.remove_upstream(scene.upstream);
    assert_eq!(scene.relay.add_upstream(None), scene.upstream);
    assert!(!scene.relays(&call("1", "echo")));
    assert_eq!(scene.relay.ids_given(scene.upstream), 0);
}

#[test]
fn nor_does_what_was_used_last_lead_there() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    assert!(scene.relays(&call("1", "echo")));
    scene.relay.close_upstream(scene.upstream);
    // Come upon, the flow is forgotten, so that there is none left to void.
    assert!(!scene.relays(&call("1", "echo")));
    scene.relay.remove_upstream(scene.upstream);
    assert_eq!(scene.relay.add_upstream(None), scene.upstream);
    assert!(!scene.relays(&call("1", "echo")));
}

#[test]
fn a_new_client_has_nothing_of_the_one_whose_number_it_gets() {
    let mut scene = Scene::new();
    scene.learn(&call("1", "echo"));
    scene.relay.remove_client(scene.stream);
    assert_eq!(scene.relay.add_stream(), scene.stream);
    assert!(!scene.relays(&call("1", "echo")));
}

#[test]
fn bounds_that_changed_hold_for_what_is_remembered() {
    let mut scene = Scene::new();
    let deep = call_with(&format!(
        "\"_meta\":{{\"x\":{}{}}}",
        "[".repeat(10),
        "]".repeat(10)
    ));
    scene.learn(&call("1", "echo"));
    assert!(scene.relays(&deep));
    for depth in [16, 8] {
        // With no flows, too: there is nothing to void then.
        scene.relay.take_up(tidegate_relay::Limits {
            in_flight: 8,
            header_bytes: 4000,
            body_bytes: 4000,
            result_bytes: 100_000,
            depth,
        });
        assert!(!scene.relays(&deep));
    }
    scene.learn(&call("1", "echo"));
    assert!(!scene.relays(&deep));
}

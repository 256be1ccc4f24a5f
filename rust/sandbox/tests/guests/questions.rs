//! What guests ask the gateway: answers that come, come late, come for something else, or never come.

use std::time::Duration;

use tidegate_sandbox::{Bounds, Failure, Grants, Plugin, Question};

use crate::house::{Given, House, bounds, data, doing, module, result_of};

const SEND: &str = r#"(import "tidegate" "http_send" (func $send (param i32 i32) (result i64)))"#;
const CALL: &str =
    r#"(import "tidegate" "tools_call" (func $tool (param i32 i32 i32 i32) (result i64)))"#;
const ARM: &str = r#"(import "tidegate" "tools_arm" (func $arm (param i32 i32 i32 i32 i32 i32 i32) (result i32)))"#;
const DISARM: &str = r#"(import "tidegate" "tools_disarm" (func $disarm (param i32 i32)))"#;

fn granted(house: &House, text: &str, bounds: Bounds) -> Plugin {
    let given = Given {
        grants: Grants {
            http: true,
            call: true,
            ..Grants::default()
        },
        bounds,
        ..Given::default()
    };
    house.load(text, given).unwrap()
}

/// Asks so many times, and answers `{"result":` what it was told at last `}`.
fn asking(times: u32) -> String {
    module(
        SEND,
        &format!(
            r"(local $got i64) (local $n i32) (local $i i32)
           (loop $again
             (local.set $got (call $send (i32.const 512) (i32.const 7)))
             (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {times}))))
           (local.set $n (i32.wrap_i64 (local.get $got)))
           (memory.copy (i32.const 10010) (i32.wrap_i64 (i64.shr_u (local.get $got) (i64.const 32))) (local.get $n))
           (i32.store8 (i32.add (i32.const 10010) (local.get $n)) (i32.const 125))
           (i64.or (i64.const 42949672960000) (i64.extend_i32_u (i32.add (local.get $n) (i32.const 11))))"
        ),
        &format!(
            "{} {}",
            data(512, "{\"a\":1}"),
            data(10_000, r#"{"result":"#)
        ),
    )
}

#[test]
fn an_answer_reaches_the_guest_and_an_error_as_words() {
    let house = House::new();
    let plugin = granted(&house, &asking(1), bounds());
    let token = house.start(&plugin, "x");
    let (number, question) = house.asked(token);
    assert_eq!(question, Question::Http(r#"{"a":1}"#.into()));
    house
        .sandbox
        .answer(token, number, Ok(r#"{"status":200}"#.into()));
    assert_eq!(result_of(house.end_of(token)), r#"{"ok":{"status":200}}"#);

    let token = house.start(&plugin, "x");
    let (number, _) = house.asked(token);
    house
        .sandbox
        .answer(token, number, Err("no \"host\"\n}".into()));
    assert_eq!(
        result_of(house.end_of(token)),
        r#"{"error":"no \"host\"\n}"}"#
    );
}

#[test]
fn every_question_carries_what_it_asks() {
    let house = House::new();
    let more = format!(
        "{} {} {}",
        data(512, "key"),
        data(520, "arm__move"),
        data(540, "{\"x\":1}")
    );
    let body = "(drop (call $tool (i32.const 520) (i32.const 9) (i32.const 540) (i32.const 7)))
      (drop (call $arm (i32.const 512) (i32.const 3) (i32.const -1) (i32.const 520) (i32.const 9) (i32.const 540) (i32.const 7)))
      (call $disarm (i32.const 512) (i32.const 3))";
    let plugin = granted(
        &house,
        &doing(&format!("{CALL} {ARM} {DISARM}"), body, &more),
        bounds(),
    );
    let token = house.start(&plugin, "x");
    let (tool, arguments) = ("arm__move".to_owned(), r#"{"x":1}"#.to_owned());
    for wanted in [
        Question::CallTool(tool.clone(), arguments.clone()),
        Question::Arm("key".into(), u32::MAX, tool, arguments),
        Question::Disarm("key".into()),
    ] {
        let (number, question) = house.asked(token);
        assert_eq!(question, wanted);
        house.sandbox.answer(token, number, Ok("null".into()));
    }
    assert_eq!(result_of(house.end_of(token)), "{}");
}

#[test]
fn an_answer_to_another_question_is_dropped() {
    let house = House::new();
    let plugin = granted(&house, &asking(2), bounds());
    let token = house.start(&plugin, "x");
    let (first, _) = house.asked(token);
    for wrong in [0, first + 1, u32::MAX] {
        house.sandbox.answer(token, wrong, Ok("\"wrong\"".into()));
    }
    house.sandbox.answer(token, first, Ok("1".into()));
    let (second, _) = house.asked(token);
    assert_ne!(first, second);
    // Told again, and too late.
    house.sandbox.answer(token, first, Ok("\"late\"".into()));
    house.sandbox.answer(token, second, Ok("2".into()));
    house.sandbox.answer(token, second, Ok("\"twice\"".into()));
    assert_eq!(result_of(house.end_of(token)), r#"{"ok":2}"#);
    house.sandbox.answer(token, second, Ok("\"over\"".into()));
    assert_eq!(house.calls(), 0);
}

#[test]
fn a_guest_that_is_never_answered_ends_at_its_deadline() {
    let house = House::new();
    let short = Bounds {
        deadline: Duration::from_millis(30),
        ..bounds()
    };
    let plugin = granted(&house, &asking(1), short);
    let token = house.start(&plugin, "x");
    let (number, _) = house.asked(token);
    assert!(matches!(house.end_of(token), Err(Failure::Deadline)));
    house.sandbox.answer(token, number, Ok("{}".into()));
    assert_eq!(house.calls(), 0);
}

#[test]
fn a_guest_that_waits_for_an_answer_can_be_cancelled() {
    let house = House::new();
    let plugin = granted(&house, &asking(1), bounds());
    for _ in 0..50 {
        let token = house.start(&plugin, "x");
        let (number, _) = house.asked(token);
        house.sandbox.cancel(token);
        house.sandbox.answer(token, number, Ok("{}".into()));
        assert!(matches!(house.end_of(token), Err(Failure::Cancelled)));
    }
}

#[test]
fn an_answer_that_has_no_room_in_the_guest_costs_the_guest_alone() {
    let house = House::new();
    let plugin = granted(&house, &asking(1), bounds());
    let token = house.start(&plugin, "x");
    let (number, _) = house.asked(token);
    house
        .sandbox
        .answer(token, number, Ok(format!("\"{}\"", "x".repeat(100_000))));
    // Its allocator does not look how much memory there is.
    assert!(matches!(house.end_of(token), Err(Failure::Garbage(_))));
}

#[test]
fn a_question_that_is_too_large_is_answered_without_the_gateway_being_asked() {
    let house = House::new();
    let body = "(drop (memory.grow (i32.const 100)))
      (drop (call $send (i32.const 0) (i32.const 4194305)))";
    let more = "(data (i32.const 0) \" \")";
    let plugin = granted(&house, &doing(SEND, body, more), bounds());
    assert_eq!(result_of(house.call(&plugin, "x")), "{}");
    assert!(house.sandbox.take().is_empty());
}

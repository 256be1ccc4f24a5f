//! Calls that wait for their turn, and the threads that serve them.

use std::time::Duration;

use tidegate_sandbox::{Bounds, Failure, Grants, Plugin, Wire};

use crate::house::{Given, House, LOOP, answering, apart, bounds, doing, result_of, until};

const FINE: &str = r#"{"result":{}}"#;
const ASK: &str = r#"(import "tidegate" "http_send" (func $send (param i32 i32) (result i64)))"#;

fn limited(house: &House, text: &str, concurrency: usize, queued: usize) -> Plugin {
    named(house, "", text, concurrency, queued)
}

fn named(
    house: &House,
    name: &'static str,
    text: &str,
    concurrency: usize,
    queued: usize,
) -> Plugin {
    let given = Given {
        name,
        bounds: Bounds {
            concurrency,
            queued,
            ..bounds()
        },
        grants: Grants {
            http: true,
            ..Grants::default()
        },
        ..Given::default()
    };
    house.load(text, given).unwrap()
}

/// Ends when its question is answered.
fn asking() -> String {
    doing(ASK, "(drop (call $send (i32.const 0) (i32.const 1)))", "")
}

#[test]
fn calls_of_a_plugin_that_has_one_at_a_time_are_served_in_order() {
    let house = House::new();
    let plugin = limited(&house, &answering(FINE), 1, 256);
    let tokens: Vec<u64> = (0..100).map(|_| house.start(&plugin, "x")).collect();
    assert_eq!(house.order_of(100), tokens);
}

#[test]
fn a_plugin_that_was_loaded_again_waits_for_calls_of_the_one_before() {
    let house = House::new();
    let before = named(&house, "same", &asking(), 1, 8);
    let now = named(&house, "same", &answering(FINE), 1, 8);
    let first = house.start(&before, "x");
    let (number, _) = house.asked(first);
    let second = house.start(&now, "x");
    drop(before);
    house.sandbox.answer(first, number, Ok("{}".into()));
    assert_eq!(house.order_of(2), [first, second]);
}

#[test]
fn guests_share_the_memory_that_all_of_them_may_have_and_give_it_back() {
    // Each has a page of 64 KiB.
    let house = House::with(4, 2 << 16);
    let plugin = limited(&house, &asking(), 4, 8);
    let fine = limited(&house, &answering(FINE), 4, 8);
    let held: Vec<_> = (0..2)
        .map(|_| {
            let token = house.start(&plugin, "x");
            (token, house.asked(token).0)
        })
        .collect();
    assert!(matches!(house.call(&fine, "x"), Err(Failure::OutOfMemory)));
    for (token, number) in held {
        house.sandbox.answer(token, number, Ok("{}".into()));
        assert_eq!(result_of(house.end_of(token)), "{}");
    }
    until("it is given back", || house.call(&fine, "x").is_ok());
}

#[test]
fn one_call_too_many_is_told_that_it_is_busy_and_the_others_are_served() {
    let house = House::new();
    let plugin = limited(&house, &asking(), 1, 2);
    let tokens: Vec<u64> = (0..3).map(|_| house.start(&plugin, "x")).collect();
    let refused = house.start(&plugin, "x");
    assert!(matches!(house.end_of(refused), Err(Failure::Busy)));
    for token in tokens {
        let (number, _) = house.asked(token);
        house.sandbox.answer(token, number, Ok("{}".into()));
        assert_eq!(result_of(house.end_of(token)), "{}");
    }
    assert_eq!(house.calls(), 0);
}

#[test]
fn a_call_whose_time_went_by_in_the_line_is_busy_and_was_not_run() {
    let house = House::new();
    let plugin = limited(&house, &asking(), 1, 8);
    let first = house.start(&plugin, "x");
    let late = house.start_within(&plugin, "x", Duration::ZERO);
    let (number, _) = house.asked(first);
    house.sandbox.answer(first, number, Ok("{}".into()));
    assert_eq!(house.order_of(2), [first, late]);
    assert_eq!(house.calls(), 0);
}

#[test]
fn a_call_that_is_cancelled_in_the_line_ends_in_its_turn_and_the_next_is_served() {
    let house = House::new();
    let plugin = limited(&house, &asking(), 1, 8);
    let tokens: Vec<u64> = (0..3).map(|_| house.start(&plugin, "x")).collect();
    house.sandbox.cancel(tokens[1]);
    let (number, _) = house.asked(tokens[0]);
    house.sandbox.answer(tokens[0], number, Ok("{}".into()));
    let (number, _) = house.asked(tokens[2]);
    house.sandbox.answer(tokens[2], number, Ok("{}".into()));
    assert!(matches!(house.end_of(tokens[1]), Err(Failure::Cancelled)));
    assert_eq!(result_of(house.end_of(tokens[2])), "{}");
}

#[test]
fn no_plugin_has_more_calls_at_once_than_it_may() {
    let house = House::with_threads(8);
    let plugin = limited(&house, &asking(), 3, 256);
    let tokens: Vec<u64> = (0..9).map(|_| house.start(&plugin, "x")).collect();
    for _ in 0..3 {
        // Three ask, and no fourth until one of them is answered.
        let asked: Vec<(u64, u32)> = (0..3).map(|_| house.anyone_asks()).collect();
        assert!(house.sandbox.take().is_empty());
        for (token, number) in asked {
            house.sandbox.answer(token, number, Ok("{}".into()));
        }
    }
    for token in tokens {
        assert_eq!(result_of(house.end_of(token)), "{}");
    }
}

#[test]
fn guests_that_compute_have_as_many_threads_as_were_set_or_one_each() {
    let house = House::with_threads(2);
    let plugins: Vec<_> = (0..3)
        .map(|_| limited(&house, &doing("", LOOP, ""), 4, 256))
        .collect();
    let tokens: Vec<u64> = (0..12)
        .map(|at| house.start(&plugins[at % 3], "x"))
        .collect();
    until("one of each runs", || house.threads() == 3);
    for token in &tokens {
        house.sandbox.cancel(*token);
        assert_eq!(house.threads(), 3);
    }
    for token in tokens {
        assert!(matches!(house.end_of(token), Err(Failure::Cancelled)));
    }
}

#[test]
#[ignore = "started by the next test, apart"]
fn as_many_guests_as_there_may_be() {
    let house = House::with_threads(1);
    let waiting: Vec<_> = (0..4)
        .map(|_| limited(&house, &asking(), 16, 256))
        .collect();
    let fine = house.tool(&answering(FINE));
    let begin = |at: usize| house.start(&waiting[at % 4], "x");
    let mut tokens: Vec<u64> = (0..40).map(begin).collect();
    let mut asked: Vec<(u64, u32)> = (0..40).map(|_| house.anyone_asks()).collect();
    // All of them wait, and still somebody else is served.
    assert_eq!(result_of(house.call(&fine, "x")), "{}");
    // Twenty more, and there is no room.
    tokens.extend((40..60).map(begin));
    asked.extend((40..60).map(|_| house.anyone_asks()));
    assert!(matches!(house.call(&fine, "x"), Err(Failure::Busy)));
    assert!(house.threads() <= 62);
    for (token, number) in asked {
        house.sandbox.answer(token, number, Ok("{}".into()));
    }
    for token in tokens {
        assert_eq!(result_of(house.end_of(token)), "{}");
    }
    assert_eq!(house.calls(), 0);
    assert_eq!(result_of(house.call(&fine, "x")), "{}");
}

#[test]
fn guests_that_wait_leave_their_threads_place_to_others_up_to_a_bound() {
    apart("line::as_many_guests_as_there_may_be");
}

#[test]
fn one_plugin_that_loops_does_not_stop_another_when_there_are_two_threads() {
    let house = House::with_threads(2);
    let looping = limited(&house, &doing("", LOOP, ""), 1, 256);
    let fine = house.tool(&answering(FINE));
    let endless: Vec<u64> = (0..4).map(|_| house.start(&looping, "x")).collect();
    for _ in 0..20 {
        assert_eq!(result_of(house.call(&fine, "x")), "{}");
    }
    for token in endless {
        house.sandbox.cancel(token);
        assert!(matches!(house.end_of(token), Err(Failure::Cancelled)));
    }
}

#[test]
fn over_a_wire_one_call_too_many_is_answered_that_it_is_busy() {
    let house = House::new();
    let plugin = limited(&house, &asking(), 1, 1);
    let wire = Wire::new(plugin, "guest", 64, 1 << 20, Duration::from_secs(20));
    let request = |id: u32| {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"x","arguments":{{}}}}}}"#
        );
        wire.send(text.as_bytes()).unwrap()
    };
    let tokens = [request(1), request(2)];
    let refused = request(3);
    let (line, outcome) = house.line_of(refused);
    assert!(
        line.contains(r#""id":3,"error""#) && line.contains("plugin_busy"),
        "{line}"
    );
    assert_eq!(outcome, Err(Failure::Busy));
    for token in tokens {
        let (number, _) = house.asked(token);
        house.sandbox.answer(token, number, Ok("{}".into()));
        // What it answered is no result of MCP: it has no content.
        assert!(house.line_of(token).0.contains("plugin_garbage"));
    }
    assert_eq!((house.calls(), wire.open()), (0, 0));
}

#[test]
fn an_answer_that_makes_a_longer_line_than_its_reader_takes_is_too_large() {
    let house = House::new();
    // As text within text, each quote has two bytes more.
    let list = vec!["\"\""; 1000].join(",");
    let answer = format!(r#"{{"result":{{"structuredContent":{{"a":[{list}]}}}}}}"#);
    let plugin = house.tool(&answering(&answer));
    let request = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}"#;
    let call = |most: usize| {
        let wire = Wire::new(plugin.clone(), "guest", 64, most, Duration::from_secs(20));
        house.line_of(wire.send(request).unwrap())
    };
    let (line, outcome) = call(1 << 20);
    assert_eq!(outcome, Ok(()));
    let (refused, outcome) = call(line.len() - 1000);
    assert!(
        matches!(outcome, Err(Failure::OutputTooLarge(_))),
        "{outcome:?}"
    );
    assert!(refused.contains("plugin_output_too_large"), "{refused}");
}

//! How calls end that nobody waits for any more, and how the sandbox itself does.

use std::time::Duration;

use tidegate_sandbox::{Bounds, Failure, Grants};

use crate::house::{Given, House, LOOP, answering, apart, bounds, doing, result_of, until};

const FINE: &str = r#"{"result":{}}"#;

#[test]
fn a_call_that_is_cancelled_while_it_runs_ends_as_cancelled() {
    let house = House::new();
    let plugin = house.tool(&doing("", LOOP, ""));
    let token = house.start(&plugin, "x");
    until("it runs", || house.threads() == 1);
    house.sandbox.cancel(token);
    assert!(matches!(house.end_of(token), Err(Failure::Cancelled)));
    assert_eq!(house.calls(), 0);
}

#[test]
fn a_call_that_is_cancelled_before_it_runs_never_does() {
    let house = House::new();
    let one_at_a_time = Given {
        bounds: Bounds {
            concurrency: 1,
            ..bounds()
        },
        ..Given::default()
    };
    let endless = house.load(&doing("", LOOP, ""), one_at_a_time).unwrap();
    let first = house.start(&endless, "x");
    let second = house.start(&endless, "x");
    house.sandbox.cancel(second);
    house.sandbox.cancel(first);
    assert_eq!(house.order_of(2), [first, second]);
    assert_eq!(house.calls(), 0);
}

#[test]
fn cancelling_what_is_over_or_never_was_does_nothing() {
    let house = House::new();
    let plugin = house.tool(&answering(FINE));
    let token = house.start(&plugin, "x");
    assert_eq!(result_of(house.end_of(token)), "{}");
    for token in [token, token + 1, 0, u64::MAX] {
        house.sandbox.cancel(token);
        house.sandbox.answer(token, 1, Ok("{}".into()));
    }
    assert_eq!(result_of(house.call(&plugin, "x")), "{}");
}

#[test]
fn whatever_moment_a_call_is_cancelled_in_it_ends_once_and_the_next_is_served() {
    let house = House::new();
    let busy = "(local $i i32) (loop $on (br_if $on (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20000))))";
    let plugin = house.tool(&doing("", busy, ""));
    for wait in 0..200 {
        let token = house.start(&plugin, "x");
        std::thread::sleep(Duration::from_micros(wait));
        house.sandbox.cancel(token);
        match house.end_of(token) {
            Err(Failure::Cancelled) => {}
            outcome => assert_eq!(result_of(outcome), "{}"),
        }
        assert_eq!(house.calls(), 0);
    }
    assert_eq!(result_of(house.call(&plugin, "x")), "{}");
    assert!(house.sandbox.take().is_empty());
}

#[test]
fn closing_ends_what_runs_what_waits_for_its_turn_and_what_waits_for_an_answer() {
    let house = House::with_threads(2);
    let looping = house
        .load(
            &doing("", LOOP, ""),
            Given {
                bounds: tidegate_sandbox::Bounds {
                    concurrency: 1,
                    ..bounds()
                },
                ..Given::default()
            },
        )
        .unwrap();
    let import = r#"(import "tidegate" "http_send" (func $send (param i32 i32) (result i64)))"#;
    let asking = house
        .load(
            &doing(
                import,
                "(drop (call $send (i32.const 0) (i32.const 1)))",
                "",
            ),
            Given {
                grants: Grants {
                    http: true,
                    ..Grants::default()
                },
                ..Given::default()
            },
        )
        .unwrap();
    let tokens = [
        house.start(&looping, "x"),
        house.start(&looping, "x"),
        house.start(&asking, "x"),
    ];
    house.asked(tokens[2]);
    house.sandbox.close();
    for token in tokens {
        assert!(matches!(house.end_of(token), Err(Failure::Cancelled)));
    }
    until("all threads have ended", || house.threads() == 0);
    assert_eq!(house.calls(), 0);
}

#[test]
#[ignore = "started by the next test, apart"]
fn threads_of_a_sandbox_that_is_dropped() {
    let house = House::with_threads(2);
    let plugin = house.tool(&doing("", LOOP, ""));
    for _ in 0..3 {
        house.start(&plugin, "x");
    }
    until("they run", || guests_threads() == 2);
    drop(plugin);
    drop(house);
    until("its threads have ended", || guests_threads() == 0);
}

#[test]
fn a_sandbox_that_is_dropped_takes_its_looping_guests_with_it() {
    apart("ends::threads_of_a_sandbox_that_is_dropped");
}

fn guests_threads() -> usize {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("tidegate-plugin"))
        .count()
}

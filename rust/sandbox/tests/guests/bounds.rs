//! Memory, tables, stack, time and output: what passes a bound has the bound's name, and what copes with it may go on.

use std::time::Duration;

use tidegate_sandbox::{Bounds, Done, Failure, Plugin};

use crate::house::{Given, House, LOOP, answering, apart, bounds, doing, result_of, until};

fn bounded(house: &House, text: &str, bounds: Bounds) -> Plugin {
    let given = Given {
        bounds,
        ..Given::default()
    };
    house.load(text, given).unwrap()
}

fn outcome_of(text: &str, bounds: Bounds) -> Result<Done, Failure> {
    let house = House::new();
    let plugin = bounded(&house, text, bounds);
    house.call(&plugin, "x")
}

fn memory(bytes: usize) -> Bounds {
    Bounds {
        memory_bytes: bytes,
        ..bounds()
    }
}

#[test]
fn a_guest_that_allocates_without_end_and_then_traps_was_out_of_memory() {
    // Grows by a page until it cannot, and gives up.
    let greedy = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";
    let outcome = outcome_of(&doing("", greedy, ""), memory(4 << 20));
    assert!(matches!(outcome, Err(Failure::OutOfMemory)), "{outcome:?}");
}

#[test]
fn a_guest_that_is_refused_memory_and_copes_is_served() {
    let greedy = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
      (if (i32.ne (memory.size) (i32.const 64)) (then unreachable))";
    let outcome = outcome_of(&doing("", greedy, ""), memory(4 << 20));
    assert_eq!(result_of(outcome), "{}");
}

#[test]
fn a_bound_holds_for_what_a_memory_begins_with_too() {
    let outcome = outcome_of(&answering("{}"), memory(65_535));
    assert!(matches!(outcome, Err(Failure::OutOfMemory)), "{outcome:?}");
    let large = doing("", "", "").replace("\"memory\") 1)", "\"memory\") 61)");
    let outcome = outcome_of(&large, memory(61 * 65_536 - 1));
    assert!(matches!(outcome, Err(Failure::OutOfMemory)), "{outcome:?}");
    assert_eq!(result_of(outcome_of(&large, memory(61 * 65_536))), "{}");
}

#[test]
fn tables_are_bounded_as_memory_is() {
    for text in [
        doing(
            "",
            "(loop $more (br_if $more (i32.ne (table.grow $t (ref.null func) (i32.const 300)) (i32.const -1)))) unreachable",
            "(table $t 1 funcref)",
        ),
        doing(
            "",
            "(if (i32.eq (table.grow $t (ref.null func) (i32.const 1000000)) (i32.const -1)) (then unreachable))",
            "(table $t 1 funcref)",
        ),
    ] {
        let outcome = outcome_of(&text, bounds());
        assert!(matches!(outcome, Err(Failure::OutOfMemory)), "{outcome:?}");
    }
    // What no instance could ever have is not loaded.
    for more in [
        "(table 9000000 funcref)",
        "(table 1 funcref) (table 1 funcref)",
        "(memory 1)",
    ] {
        let refused = House::new().load(&doing("", "", more), Given::default());
        assert!(matches!(refused.err(), Some(Failure::Refused(_))), "{more}");
    }
}

#[test]
fn a_guest_that_calls_itself_for_ever_exhausts_its_stack_and_no_other() {
    let house = House::new();
    let text = doing(
        "",
        "(call $deep (i32.const 0))",
        "(func $deep (param i32) (call $deep (i32.const 1)))",
    );
    let plugin = house.tool(&text);
    for _ in 0..20 {
        let outcome = house.call(&plugin, "x");
        assert!(
            matches!(outcome, Err(Failure::StackExhausted)),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_frame_as_large_as_it_gets_exhausts_the_stack_and_does_not_leave_it() {
    // Fifty thousand locals, all alive at a call: hundreds of kilobytes a frame.
    let locals = "(local i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)".repeat(4_000);
    let sums: String = (1..40_000)
        .step_by(7)
        .map(|at| format!("(local.set {at} (i64.load (i32.const {})))", at % 4096))
        .collect();
    let uses: String = (1..40_000)
        .step_by(7)
        .map(|at| format!("(i64.store (i32.const {}) (local.get {at}))", at % 4096))
        .collect();
    let more =
        format!("(func $deep (param i32) {locals} {sums} (call $deep (i32.const 1)) {uses})");
    let outcome = outcome_of(&doing("", "(call $deep (i32.const 0))", &more), bounds());
    assert!(
        matches!(outcome, Err(Failure::StackExhausted)),
        "{outcome:?}"
    );
}

#[test]
fn a_guest_that_loops_for_ever_ends_at_its_deadline() {
    let short = || Bounds {
        deadline: Duration::from_millis(30),
        ..bounds()
    };
    for body in [
        LOOP,
        // Without a loop: doubles the work at each level, some 2⁶⁰ calls.
        "(call $twice (i32.const 60))",
        // In long instructions.
        "(loop $fill (memory.fill (i32.const 2048) (i32.const 7) (i32.const 60000)) (br $fill))",
    ] {
        let more = "(func $twice (param i32) (if (local.get 0) (then
          (call $twice (i32.sub (local.get 0) (i32.const 1))) (call $twice (i32.sub (local.get 0) (i32.const 1))))))";
        let outcome = outcome_of(&doing("", body, more), short());
        assert!(matches!(outcome, Err(Failure::Deadline)), "{outcome:?}");
    }
}

#[test]
fn what_a_caller_waits_no_longer_for_ends_before_the_plugins_own_deadline() {
    let house = House::new();
    let plugin = house.tool(&doing("", LOOP, ""));
    let token = house.start_within(&plugin, "x", Duration::from_millis(30));
    assert!(matches!(house.end_of(token), Err(Failure::Deadline)));
}

#[test]
fn an_answer_may_have_as_many_bytes_as_it_may_and_no_more() {
    let bounds = |bytes| Bounds {
        output_bytes: bytes,
        ..bounds()
    };
    let text = r#"{"result":{"a":"0123456789"}}"#;
    assert_eq!(
        result_of(outcome_of(&answering(text), bounds(text.len()))),
        r#"{"a":"0123456789"}"#
    );
    let outcome = outcome_of(&answering(text), bounds(text.len() - 1));
    assert!(
        matches!(outcome, Err(Failure::OutputTooLarge(bytes)) if bytes == text.len()),
        "{outcome:?}"
    );
}

#[test]
fn traps_say_which() {
    for (body, word) in [
        ("unreachable", "unreachable"),
        (
            "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
            "divide by zero",
        ),
        ("(drop (i32.load (i32.const -8)))", "out of bounds"),
        ("(call_indirect (i32.const 3))", "undefined element"),
        ("(drop (i32.trunc_f64_s (f64.const nan)))", "integer"),
    ] {
        let outcome = outcome_of(&doing("", body, "(table 1 funcref)"), bounds());
        assert!(
            matches!(&outcome, Err(Failure::Trapped(why)) if why.contains(word)),
            "{outcome:?}"
        );
    }
}

/// Is served when its memory is as it came, all of it: first and grown pages, and a table; leaves all of it changed.
fn nosy() -> String {
    let body = r"(local $i i32)
      (if (global.get $calls) (then unreachable))
      (global.set $calls (i32.const 1))
      (if (i32.eq (memory.grow (i32.const 15)) (i32.const -1)) (then unreachable))
      (local.set $i (i32.const 8192))
      (loop $next
        (if (i64.ne (i64.load (local.get $i)) (i64.const 0)) (then unreachable))
        (i64.store (local.get $i) (i64.const -1))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 1048576))))
      (if (i32.eqz (ref.is_null (table.get $t (i32.const 5)))) (then unreachable))
      (table.set $t (i32.const 5) (ref.func $f))";
    doing(
        "",
        body,
        "(global $calls (mut i32) (i32.const 0)) (table $t 10 funcref) (func $f) (elem declare func $f)",
    )
}

#[test]
fn no_call_finds_what_another_left_in_memory_tables_or_globals() {
    let house = House::with_threads(2);
    let (one, other) = (house.tool(&nosy()), house.tool(&nosy()));
    let tokens: Vec<u64> = (0..60)
        .map(|at| house.start(if at % 2 == 0 { &one } else { &other }, "x"))
        .collect();
    for token in tokens {
        assert_eq!(result_of(house.end_of(token)), "{}");
    }
}

#[test]
#[ignore = "started by the next test, apart"]
fn memory_of_calls_that_ended_in_every_way() {
    let house = House::with_threads(2);
    let touch = "(drop (memory.grow (i32.const 511)))
      (memory.fill (i32.const 8192) (i32.const 1) (i32.const 33000000))";
    let bounds = || Bounds {
        memory_bytes: 64 << 20,
        deadline: Duration::from_millis(50),
        ..bounds()
    };
    let plugins: Vec<_> = ["", "unreachable", LOOP]
        .iter()
        .map(|end| bounded(&house, &doing("", &format!("{touch} {end}"), ""), bounds()))
        .collect();
    let before = resident_kib();
    for _ in 0..12 {
        for plugin in &plugins {
            let _ = house.call(plugin, "x");
        }
    }
    // A caller has its answer before the memory is given back.
    until("thirty-six times 32 MiB are given back", || {
        resident_kib() < before + 16 * 1024
    });
}

#[test]
fn memory_is_given_back_whatever_a_call_came_to() {
    apart("bounds::memory_of_calls_that_ended_in_every_way");
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

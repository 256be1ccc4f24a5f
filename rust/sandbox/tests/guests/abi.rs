//! ABI 1: nothing that a module says of its memory is believed, and nothing that it does not say is guessed.

use tidegate_sandbox::{Done, Failure, Grants, Verdict, World};

use crate::house::{Given, House, LOOP, answering, bounds, data, doing, module, packed, result_of};

fn garbage(outcome: Result<Done, Failure>) -> String {
    match outcome {
        Err(Failure::Garbage(why)) => why,
        other => panic!("not garbage: {other:?}"),
    }
}

#[test]
fn an_answer_that_is_not_in_its_memory_is_garbage_or_too_large_and_never_read() {
    let house = House::new();
    let most = bounds().output_bytes;
    for (at, len) in [
        (65_536, 1),
        (65_535, 2),
        (u32::MAX as usize, 1),
        (u32::MAX as usize, most),
        (0, most),
    ] {
        let plugin = house.tool(&module("", &packed(at, len), ""));
        let why = garbage(house.call(&plugin, "x"));
        assert!(why.contains("not in its memory"), "{at} {len}: {why}");
    }
    for (at, len) in [
        (0, most + 1),
        (0, u32::MAX as usize),
        (u32::MAX as usize, u32::MAX as usize),
    ] {
        let plugin = house.tool(&module("", &packed(at, len), ""));
        let outcome = house.call(&plugin, "x");
        assert!(
            matches!(outcome, Err(Failure::OutputTooLarge(bytes)) if bytes == len),
            "{outcome:?}"
        );
    }
}

#[test]
fn an_answer_at_the_very_end_of_its_memory_is_read() {
    let house = House::new();
    let text = r#"{"result":{"a":1}}"#;
    let at = 65_536 - text.len();
    let plugin = house.tool(&module("", &packed(at, text.len()), &data(at, text)));
    assert_eq!(result_of(house.call(&plugin, "x")), r#"{"a":1}"#);
}

#[test]
fn what_is_no_answer_is_garbage() {
    let house = House::new();
    for text in [
        "",
        "null",
        "[]",
        "{}",
        "{",
        r#"{"result":{}"#,
        r#"{"result":{}} x"#,
        r#"{"result":{},"error":"x"}"#,
        r#"{"result":{},"x":1}"#,
        r#"{"result":{"content":[]},"result":{"content":[1]}}"#,
        r#"{"error":"a","err\u006fr":"b"}"#,
        r#"{"error":1}"#,
        r#"{"error":"\ud800"}"#,
        r#"{"pass":true}"#,
        r#"{"result":}"#,
        "{\"result\":\"\u{0}\"}",
    ] {
        let plugin = house.tool(&answering(text));
        let outcome = house.call(&plugin, "x");
        assert!(
            matches!(outcome, Err(Failure::Garbage(_))),
            "{text}: {outcome:?}"
        );
    }
    let plugin = house.tool(&module(
        "",
        &packed(1024, 2),
        "(data (i32.const 1024) \"\\ff\\fe\")",
    ));
    assert_eq!(garbage(house.call(&plugin, "x")), "it is not in UTF-8");
}

#[test]
fn a_tools_own_error_is_passed_on_decoded() {
    let house = House::new();
    let plugin = house.tool(&answering(r#"{"error":"no \u00e9 \"here\""}"#));
    let outcome = house.call(&plugin, "x");
    assert!(
        matches!(&outcome, Ok(Done::Error(text)) if text == "no é \"here\""),
        "{outcome:?}"
    );
}

#[test]
fn a_filter_says_one_of_four_things() {
    let house = House::new();
    let filter = |text: &str| {
        let given = Given {
            world: World::Filter,
            ..Given::default()
        };
        house.inspect(&house.load(&answering(text), given).unwrap())
    };
    assert_eq!(filter(r#"{"pass":true}"#), Ok(Verdict::Pass));
    assert_eq!(
        filter(r#"{"change":{"a":1}}"#),
        Ok(Verdict::Change(r#"{"a":1}"#.into()))
    );
    assert_eq!(
        filter(r#"{"refuse":"no"}"#),
        Ok(Verdict::Refuse("no".into()))
    );
    assert_eq!(
        filter(r#"{"ask":"sure?"}"#),
        Ok(Verdict::Ask("sure?".into()))
    );
    for text in [
        r#"{"pass":false}"#,
        r#"{"pass":1}"#,
        r#"{"refuse":{}}"#,
        r#"{"ask":null}"#,
        r#"{"result":{}}"#,
        r#"{"pass":true,"change":{}}"#,
        "true",
    ] {
        let verdict = filter(text);
        assert!(
            matches!(verdict, Err(Failure::Garbage(_))),
            "{text}: {verdict:?}"
        );
    }
}

#[test]
fn a_name_that_looks_like_json_stays_a_name() {
    let house = House::new();
    // Answers what it was asked, as a tool's error would be: the request's bytes are a JSON object.
    let echo = module(
        "",
        r"(memory.copy (i32.const 10010) (local.get $at) (local.get $len))
          (i32.store8 (i32.add (i32.const 10010) (local.get $len)) (i32.const 125))
          (i64.or (i64.const 42949672960000) (i64.extend_i32_u (i32.add (local.get $len) (i32.const 11))))",
        &data(10_000, r#"{"result":"#),
    );
    let plugin = house.tool(&echo);
    let request = result_of(house.call(&plugin, "a\",\"arguments\":{\"b\":1},\"c\":\"\u{1}"));
    assert_eq!(
        request,
        "{\"call\":\"a\\\",\\\"arguments\\\":{\\\"b\\\":1},\\\"c\\\":\\\"\\u0001\",\"arguments\":{}}"
    );
}

/// A module whose `tidegate_alloc` does this; the rest is as it should be.
fn allocating(imports: &str, body: &str) -> String {
    let text = r#"{"result":{}}"#;
    format!(
        r#"(module {imports} (memory (export "memory") 1)
  (func $alloc (export "tidegate_alloc") (param $len i32) (result i32) {body})
  (func (export "tidegate_call") (param i32 i32) (result i64) {})
  {})"#,
        packed(1024, text.len()),
        data(1024, text)
    )
}

#[test]
fn an_alloc_that_lies_is_found_out() {
    let house = House::new();
    assert!(matches!(
        house.call(&house.tool(&allocating("", "(i32.const 0)")), "x"),
        Err(Failure::OutOfMemory)
    ));
    for at in ["65535", "65536", "-1", "-5"] {
        let plugin = house.tool(&allocating("", &format!("(i32.const {at})")));
        let why = garbage(house.call(&plugin, "x"));
        assert!(why.contains("has no room"), "{why}");
    }
    // Over its own answer: the host has copied nothing twice, and the guest harms itself alone.
    let plugin = house.tool(&allocating("", "(i32.const 1024)"));
    assert!(matches!(
        house.call(&plugin, "x"),
        Err(Failure::Garbage(_)) | Ok(_)
    ));
}

const SETTINGS: &str = r#"(import "tidegate" "settings" (func $settings (result i64)))"#;

#[test]
fn an_alloc_that_asks_for_what_is_allocated_for_ends_in_an_exhausted_stack() {
    let house = House::new();
    let plugin = house.tool(&allocating(
        SETTINGS,
        "(drop (call $settings)) (i32.const 4096)",
    ));
    for _ in 0..3 {
        let outcome = house.call(&plugin, "x");
        assert!(
            matches!(outcome, Err(Failure::StackExhausted)),
            "{outcome:?}"
        );
    }
    assert_eq!(
        result_of(house.call(&house.tool(&answering(r#"{"result":{}}"#)), "x")),
        "{}"
    );
}

#[test]
fn an_alloc_may_call_the_host_that_calls_it_again_as_deep_as_it_likes() {
    let house = House::new();
    // Asks for the settings within an allocation for settings, a hundred deep.
    let body = r"
      (if (i32.lt_u (global.get $depth) (i32.const 100)) (then
        (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
        (drop (call $settings))))
      (i32.const 4096)";
    let text = allocating(
        &format!("{SETTINGS} (global $depth (mut i32) (i32.const 0))"),
        body,
    );
    assert_eq!(result_of(house.call(&house.tool(&text), "x")), "{}");
}

#[test]
fn settings_come_as_they_were_written() {
    let house = House::new();
    let text = module(
        SETTINGS,
        r"(local $got i64) (local $n i32)
           (local.set $got (call $settings))
           (local.set $n (i32.wrap_i64 (local.get $got)))
           (memory.copy (i32.const 10010) (i32.wrap_i64 (i64.shr_u (local.get $got) (i64.const 32))) (local.get $n))
           (i32.store8 (i32.add (i32.const 10010) (local.get $n)) (i32.const 125))
           (i64.or (i64.const 42949672960000) (i64.extend_i32_u (i32.add (local.get $n) (i32.const 11))))",
        &data(10_000, r#"{"result":"#),
    );
    let given = Given {
        settings: r#"{"limit":1.50,"é":[]}"#,
        ..Given::default()
    };
    let plugin = house.load(&text, given).unwrap();
    assert_eq!(
        result_of(house.call(&plugin, "x")),
        r#"{"limit":1.50,"é":[]}"#
    );
}

#[test]
fn exports_that_are_missing_or_of_other_types_are_refused_when_it_is_loaded() {
    let house = House::new();
    for text in [
        r#"(module (memory (export "memory") 1) (func (export "tidegate_alloc") (param i32) (result i32) (i32.const 64)))"#,
        r#"(module (func (export "tidegate_alloc") (param i32) (result i32) (i32.const 64))
             (func (export "tidegate_call") (param i32 i32) (result i64) (i64.const 0)))"#,
        "(module)",
    ] {
        let refused = house.load(text, Given::default()).err().unwrap();
        assert!(
            matches!(&refused, Failure::Refused(why) if why.contains("does not export")),
            "{refused:?}"
        );
    }
    for (memory, alloc, call) in [
        (
            "memory",
            "(param i32) (result i64) (i64.const 64)",
            "(param i32 i32) (result i64) (i64.const 0)",
        ),
        (
            "memory",
            "(param i32) (result i32) (i32.const 64)",
            "(param i32) (result i64) (i64.const 0)",
        ),
        (
            "memory",
            "(param i32) (result i32) (i32.const 64)",
            "(param i32 i32)",
        ),
        (
            "func",
            "(param i32) (result i32) (i32.const 64)",
            "(param i32 i32) (result i64) (i64.const 0)",
        ),
    ] {
        let memory = if memory == "func" {
            r#"(func (export "memory"))"#
        } else {
            r#"(memory (export "memory") 1)"#
        };
        let text = format!(
            r#"(module {memory} (func (export "tidegate_alloc") {alloc}) (func (export "tidegate_call") {call}))"#
        );
        let refused = house.load(&text, Given::default()).err();
        assert!(matches!(refused, Some(Failure::Refused(_))), "{refused:?}");
    }
}

#[test]
fn a_start_function_is_bounded_as_a_call_is() {
    let house = House::new();
    let with_start = |body: &str| {
        let more = format!("(func $begin {body}) (start $begin)");
        let given = Given {
            bounds: tidegate_sandbox::Bounds {
                deadline: std::time::Duration::from_millis(50),
                ..bounds()
            },
            ..Given::default()
        };
        let plugin = house.load(&doing("", "", &more), given).unwrap();
        house.call(&plugin, "x")
    };
    assert!(matches!(with_start(LOOP), Err(Failure::Deadline)));
    assert!(matches!(
        with_start("unreachable"),
        Err(Failure::Trapped(_))
    ));
    assert!(matches!(
        with_start("(call $begin)"),
        Err(Failure::StackExhausted)
    ));
}

#[test]
fn wasi_of_the_first_preview_answers_that_it_is_not_there_and_an_exit_is_a_trap() {
    let house = House::new();
    let imports = r#"
      (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
      (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "no_such_function" (func $none (param i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;
    let all = r"
      (if (i32.ne (i32.const 52) (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0)
        (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 0))) (then unreachable))
      (if (i32.ne (i32.const 52) (call $clock (i32.const 0) (i64.const 0) (i32.const 0))) (then unreachable))
      (if (i32.ne (i32.const 52) (call $random (i32.const 0) (i32.const 8))) (then unreachable))
      (if (i32.ne (i32.const 52) (call $none (i32.const 0))) (then unreachable))";
    assert_eq!(
        result_of(house.call(&house.tool(&doing(imports, all, "")), "x")),
        "{}"
    );
    let outcome = house.call(
        &house.tool(&doing(imports, "(call $exit (i32.const 0))", "")),
        "x",
    );
    assert!(
        matches!(&outcome, Err(Failure::Trapped(why)) if why.contains("proc_exit")),
        "{outcome:?}"
    );
}

#[test]
fn an_import_that_nobody_offers_is_refused_when_it_is_loaded() {
    let house = House::new();
    for import in [
        r#"(import "env" "system" (func (param i32) (result i32)))"#,
        r#"(import "tidegate" "no_such" (func))"#,
        r#"(import "tidegate" "settings" (func (result i32)))"#,
        r#"(import "tidegate" "memory" (memory 1))"#,
        r#"(import "wasi_snapshot_preview1" "memory" (global i32))"#,
        r#"(import "wasi_snapshot_preview1" "fd_write" (func (result i64)))"#,
    ] {
        // With a memory of its own only where none comes in.
        let text = format!(
            r#"(module {import} {}
             (func (export "tidegate_alloc") (param i32) (result i32) (i32.const 64))
             (func (export "tidegate_call") (param i32 i32) (result i64) (i64.const 0)))"#,
            if import.contains("(memory 1)") {
                "(export \"memory\" (memory 0))"
            } else {
                r#"(memory (export "memory") 1)"#
            }
        );
        let refused = house.load(&text, Given::default()).err();
        assert!(
            matches!(refused, Some(Failure::Refused(_))),
            "{import}: {refused:?}"
        );
    }
}

const SERVICES: [(&str, &str, &str); 10] = [
    (
        "log",
        "(param i32 i32 i32)",
        "(call $it (i32.const 1) (i32.const 0) (i32.const 0))",
    ),
    ("now_ms", "(result i64)", "(drop (call $it))"),
    ("monotonic_ms", "(result i64)", "(drop (call $it))"),
    (
        "store_get",
        "(param i32 i32) (result i64)",
        "(drop (call $it (i32.const 0) (i32.const 1)))",
    ),
    (
        "store_set",
        "(param i32 i32 i32 i32) (result i32)",
        "(drop (call $it (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)))",
    ),
    (
        "store_delete",
        "(param i32 i32) (result i32)",
        "(drop (call $it (i32.const 0) (i32.const 1)))",
    ),
    (
        "http_send",
        "(param i32 i32) (result i64)",
        "(drop (call $it (i32.const 0) (i32.const 1)))",
    ),
    (
        "tools_call",
        "(param i32 i32 i32 i32) (result i64)",
        "(drop (call $it (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)))",
    ),
    (
        "tools_arm",
        "(param i32 i32 i32 i32 i32 i32 i32) (result i32)",
        "(drop (call $it (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)))",
    ),
    (
        "tools_disarm",
        "(param i32 i32)",
        "(call $it (i32.const 0) (i32.const 1))",
    ),
];

#[test]
fn what_was_not_granted_ends_the_call_by_its_name() {
    let house = House::new();
    for (name, kind, call) in SERVICES {
        let import = format!(r#"(import "tidegate" "{name}" (func $it {kind}))"#);
        let outcome = house.call(&house.tool(&doing(&import, call, "")), "x");
        let what = match name {
            "log" => "log",
            "now_ms" | "monotonic_ms" => "time",
            "http_send" => "http",
            name if name.starts_with("store") => "store",
            _ => "call",
        };
        assert!(
            matches!(outcome, Err(Failure::NotGranted(of)) if of == what),
            "{name}: {outcome:?}"
        );
    }
}

#[test]
fn a_text_for_the_host_that_is_not_in_memory_or_no_text_is_a_trap() {
    let house = House::new();
    let import = r#"(import "tidegate" "log" (func $log (param i32 i32 i32)))"#;
    let more = "(data (i32.const 512) \"\\ff\\ff\\ff\\ff\")";
    for (at, len) in [
        (65_536, 1),
        (65_535, 2),
        (-1, 1),
        (0, -1),
        (-1, -1),
        (512, 4),
    ] {
        let call = format!("(call $log (i32.const 1) (i32.const {at}) (i32.const {len}))");
        let given = Given {
            grants: Grants {
                log: true,
                ..Grants::default()
            },
            ..Given::default()
        };
        let plugin = house.load(&doing(import, &call, more), given).unwrap();
        let outcome = house.call(&plugin, "x");
        assert!(
            matches!(outcome, Err(Failure::Trapped(_))),
            "{at} {len}: {outcome:?}"
        );
    }
    assert!(house.said().is_empty());
}

#[test]
fn a_log_that_is_flooded_is_cut_to_so_many_lines_of_so_many_bytes() {
    let house = House::new();
    let import = r#"(import "tidegate" "log" (func $log (param i32 i32 i32)))"#;
    // Letters of two bytes, and one byte before them: the cut falls within a letter.
    let text = format!("a{}", "é".repeat(5000));
    let call = format!(
        "(local $i i32) (loop $next (call $log (i32.const 99) (i32.const 20000) (i32.const {}))
           (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))",
        text.len()
    );
    let given = Given {
        grants: Grants {
            log: true,
            ..Grants::default()
        },
        ..Given::default()
    };
    let plugin = house
        .load(&doing(import, &call, &data(20_000, &text)), given)
        .unwrap();
    for _ in 0..2 {
        house.call(&plugin, "x").unwrap();
    }
    let said = house.said();
    assert_eq!(said.len(), 2 * 64);
    assert!(
        said[..63]
            .iter()
            .all(|(level, line)| *level == 3 && line.len() == 2047)
    );
    assert!(said[63].1.contains("not written"));
}

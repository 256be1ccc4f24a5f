//! `cargo bench -p tidegate-codec [-- INPUT]`: the envelope scan beside a plain JSON validator on the same bytes.
//!
//! Each line is the best of many rounds, in MB/s (and ns for small inputs); the ratio is what counts, since
//! both engines meet the same machine in the same run.

use serde::de::IgnoredAny;
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};
use tidegate_codec::json;

/// Wall time spent on one engine and one input.
const BUDGET: Duration = Duration::from_millis(700);

fn inputs() -> Vec<(&'static str, String)> {
    let call = r#"{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"host__disks","arguments":{"path":"/","n":[1,2.5e3,null]},"_meta":{"progressToken":"t1"}}}"#;
    let tool = |n: usize| {
        format!(
            r#"{{"name":"files__read_{n}","title":"Read {n}","description":"Reads a file and returns its content as text. Paths are relative to the root; a missing file is an error.","inputSchema":{{"type":"object","properties":{{"path":{{"type":"string","description":"Path of the file"}},"head":{{"type":"integer","minimum":0,"maximum":65536}},"tail":{{"type":["integer","null"]}}}},"required":["path"],"additionalProperties":false}},"annotations":{{"readOnlyHint":true,"openWorldHint":false}}}}"#
        )
    };
    let tools: Vec<_> = (0..1000).map(tool).collect();
    let list = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#,
        tools.join(",")
    );
    let pretty = pretty(&list);
    let text = |body: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":[{{"type":"text","text":"{body}"}}]}}}}"#
        )
    };
    let log = r#"2026-07-28T12:00:00Z INFO  one line of a log as tools return it, path=\"/var/log\" took=12ms\n"#.repeat(11_000);
    let base64 = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9w".repeat(19_000);
    let script = "Прилив и отлив сменяют друг друга. 潮の満ち引き。 ".repeat(15_000);
    let mut numbers = String::new();
    for n in 0..90_000 {
        let _ = write!(
            numbers,
            "{}{}.{:03}",
            if n > 0 { "," } else { "" },
            n * 7919 % 100_003,
            n % 1000
        );
    }
    let numbers =
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"structuredContent":[{numbers}]}}}}"#);
    vec![
        ("small call", call.to_owned()),
        ("1,000 tools", list),
        ("1,000 tools, indented", pretty),
        ("1 MB log text", text(&log)),
        ("1 MB base64", text(&base64)),
        ("1 MB Cyrillic and kana", text(&script)),
        ("1 MB numbers", numbers),
    ]
}

/// Two spaces a level, one member a line.
fn pretty(compact: &str) -> String {
    let mut out = String::new();
    let (mut depth, mut in_string) = (0, false);
    for character in compact.chars() {
        match character {
            '"' => in_string = !in_string,
            '{' | '[' if !in_string => depth += 1,
            '}' | ']' if !in_string => depth -= 1,
            _ => {}
        }
        let closes = !in_string && matches!(character, '}' | ']');
        if closes {
            let _ = write!(out, "\n{:1$}", "", depth * 2);
        }
        out.push(character);
        if !in_string && matches!(character, '{' | '[' | ',') {
            let _ = write!(out, "\n{:1$}", "", depth * 2);
        }
        if !in_string && character == ':' {
            out.push(' ');
        }
    }
    out
}

/// Best time of one run.
fn best(mut run: impl FnMut()) -> Duration {
    let end = Instant::now() + BUDGET;
    let mut best = Duration::MAX;
    while Instant::now() < end {
        // Small inputs are run in a batch, or the clock would be most of it.
        let start = Instant::now();
        run();
        let once = start.elapsed();
        let batch = if once < Duration::from_micros(50) {
            200
        } else {
            1
        };
        let start = Instant::now();
        for _ in 0..batch {
            run();
        }
        best = best.min(start.elapsed() / batch);
    }
    best
}

#[allow(clippy::cast_precision_loss)]
fn main() {
    println!(
        "| input | bytes | scan ns | scan MB/s | serde_json MB/s | ratio | UTF-8 check alone MB/s |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    // An argument picks the inputs that contain it.
    let wanted = std::env::args()
        .nth(1)
        .filter(|argument| !argument.starts_with('-'))
        .unwrap_or_default();
    for (name, text) in inputs()
        .into_iter()
        .filter(|(name, _)| name.contains(&wanted))
    {
        let buf = text.as_bytes();
        let scan = best(|| {
            black_box(json::scan(black_box(buf), 64).is_ok());
        });
        let serde = best(|| {
            black_box(serde_json::from_slice::<IgnoredAny>(black_box(buf)).is_ok());
        });
        let utf8 = best(|| {
            black_box(simdutf8::basic::from_utf8(black_box(buf)).is_ok());
        });
        let rate = |time: Duration| buf.len() as f64 / time.as_secs_f64() / 1e6;
        println!(
            "| {name} | {} | {} | {:.0} | {:.0} | {:.2} | {:.0} |",
            buf.len(),
            scan.as_nanos(),
            rate(scan),
            rate(serde),
            serde.as_secs_f64() / scan.as_secs_f64(),
            rate(utf8),
        );
    }
}

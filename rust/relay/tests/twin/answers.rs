//! What servers say, made of parts.

use super::model::Decided;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// A result: its `resultType`, whether the tool failed, whether it is a line.
    Result(Option<&'static str>, bool, bool),
    /// An answer, but no plain result.
    Answer,
    /// Anything else.
    Other,
}

/// `@` stands for the id.
pub const ANSWERS: [(&str, Says); 18] = [
    (
        r#"{"jsonrpc":"2.0","id":@,"result":{"content":[]}}"#,
        Says::Result(None, false, true),
    ),
    (
        r#" { "result" : {"content":[{"id":1}]} , "jsonrpc":"2.0", "id" : @ } "#,
        Says::Result(None, false, true),
    ),
    (
        r#"{"jsonrpc":"2.0","id":@,"result":{"isError":true}}"#,
        Says::Result(None, true, true),
    ),
    (
        r#"{"jsonrpc":"2.0","id":@,"result":{"isError":false}}"#,
        Says::Result(None, false, true),
    ),
    (
        r#"{"jsonrpc":"2.0","id":@,"result":{"content":[{"isError":true}]}}"#,
        Says::Result(None, false, true),
    ),
    (
        r#"{"jsonrpc":"2.0","id":@,"result":{"resultType":"complete"}}"#,
        Says::Result(Some("complete"), false, true),
    ),
    (
        r#"{"jsonrpc":"2.0","id":@,"result":{"resultType":"complete","isError":true}}"#,
        Says::Result(Some("complete"), true, true),
    ),
    (
        r#"{"jsonrpc":"2.0","id":@,"result":{"resultType":"input_required"}}"#,
        Says::Result(Some("input_required"), false, true),
    ),
    (
        "{\"jsonrpc\":\"2.0\",\"id\":@,\"result\":{\"text\":\"BIG\"}}",
        Says::Result(None, false, true),
    ),
    (
        "{\"jsonrpc\":\"2.0\",\"id\":@,\n\"result\":{}}",
        Says::Result(None, false, false),
    ),
    (
        r#"{"jsonrpc":"2.0","id":@,"result":{"links":[{"foreign":"foreign"}]}}"#,
        Says::Result(None, false, true),
    ),
    (
        r#"{"jsonrpc":"2.0","id":@,"error":{"code":1,"message":"no"}}"#,
        Says::Answer,
    ),
    (
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"id":@}}"#,
        Says::Other,
    ),
    (r#"{"jsonrpc":"2.0","id":@,"method":"ping"}"#, Says::Other),
    (r#"{"jsonrpc":"2.0","id":@,"result":{}"#, Says::Other),
    (r#"[{"jsonrpc":"2.0","id":@,"result":{}}]"#, Says::Other),
    (r#"{"id":@,"result":{}}"#, Says::Other),
    ("", Says::Other),
];

pub fn text(answer: usize, id: &str) -> String {
    ANSWERS[answer]
        .0
        .replace('@', id)
        .replace("BIG", &"big ".repeat(400))
}

/// Whether it is passed on; else the slow lane has to have it.
pub fn passes(answer: usize, decided: &Decided, over_http: bool) -> bool {
    let Says::Result(kind, _, line) = ANSWERS[answer].1 else {
        return false;
    };
    matches!(kind, None | Some("complete"))
        && (line || over_http)
        && (decided.complete
            || decided
                .foreign
                .is_none_or(|word| !ANSWERS[answer].0.contains(&format!("\"{word}\""))))
}

/// As the client has it.
pub fn passed_on(answer: usize, decided: &Decided, id: &str) -> String {
    let said = text(answer, id);
    let typed = matches!(ANSWERS[answer].1, Says::Result(Some(_), ..));
    match (decided.complete, typed) {
        (true, false) => {
            let start = said.find("\"result\"").unwrap();
            let start = start + said[start..].find('{').unwrap();
            let mut open = 0;
            let ends = |mark| {
                open += i32::from(mark == '{') - i32::from(mark == '}');
                open == 0
            };
            let end = start + said[start..].find(ends).unwrap();
            let comma = if end == start + 1 { "" } else { "," };
            format!("{}{comma}{TYPE}{}", &said[..end], &said[end..])
        }
        (false, true) => said.replace(&format!("{TYPE},"), "").replace(TYPE, ""),
        _ => said,
    }
}

const TYPE: &str = r#""resultType":"complete""#;

pub fn failed(answer: usize, decided: &Decided) -> bool {
    decided.is_tool && matches!(ANSWERS[answer].1, Says::Result(_, true, _))
}

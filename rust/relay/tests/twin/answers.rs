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
    let kind = if decided.complete {
        kind == Some("complete")
    } else {
        kind.is_none()
    };
    kind && (line || over_http)
        && decided
            .foreign
            .is_none_or(|word| !ANSWERS[answer].0.contains(word))
}

pub fn failed(answer: usize, decided: &Decided) -> bool {
    decided.is_tool && matches!(ANSWERS[answer].1, Says::Result(_, true, _))
}

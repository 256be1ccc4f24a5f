//! The backend of the benchmarks: an MCP server that does as little as a server can.
//!
//! `echo_server stdio|http|tcp|http-session TOOLS [BYTES]`: newline-delimited on stdin and stdout, or a loopback port of its own whose number is
//! the first line on stdout. Of revision 2026-07-28; `http-session` is of 2025-11-25, and all its sessions have one name.
//! Tools: `echo` answers a few bytes, or so many of text, `big` one megabyte of text, and as many idle ones as it takes to make TOOLS. Standard library alone (`rustc -O`), a thread a connection. It trusts its input; nothing but the benchmarks may talk to it.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

struct Answers {
    session: bool,
    greeting: String,
    tools: String,
    echo: String,
    big: String,
}

impl Answers {
    fn new(tools: usize, session: bool, bytes: usize) -> Self {
        let mut list = String::from("{\"tools\":[");
        for index in 0..tools.max(2) {
            let name = match index {
                0 => "echo".to_owned(),
                1 => "big".to_owned(),
                _ => format!("tool_{index:04}"),
            };
            if index > 0 {
                list.push(',');
            }
            write!(
                list,
                "{{\"name\":\"{name}\",\"description\":\"Reads a file and returns its content as text. Paths are relative to the root.\",\
                 \"inputSchema\":{{\"type\":\"object\",\"properties\":{{\"path\":{{\"type\":\"string\"}},\
                 \"head\":{{\"type\":\"integer\",\"minimum\":0}}}}}}}}"
            )
            .expect("a string takes everything");
        }
        let (complete, cached) =
            if session { ("", "") } else { ("\"resultType\":\"complete\",", ",\"ttlMs\":600000,\"cacheScope\":\"public\"") };
        write!(list, "]{cached}}}").expect("a string takes everything");
        list.insert_str(1, complete);
        let text = |body: &str| {
            format!("{{{complete}\"content\":[{{\"type\":\"text\",\"text\":\"{body}\"}}],\"isError\":false}}")
        };
        let line = "2026-11-21 06:20:49 a line of a log as a server would return it, about eighty bytes\\n";
        let own = "\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"bench\",\"version\":\"1\"}";
        Self {
            session,
            greeting: if session {
                format!("{{\"protocolVersion\":\"2025-11-25\",{own}}}")
            } else {
                format!("{{{complete}\"supportedVersions\":[\"2026-07-28\"],{own}{cached}}}")
            },
            tools: list,
            echo: text(&format!("{:<bytes$}", "hello from the bench")),
            big: text(&line.repeat(1_000_000 / line.len())),
        }
    }

    /// Appends the answer to `message`; nothing for a notification.
    fn answer(&self, message: &[u8], out: &mut Vec<u8>) {
        let Some(id) = token(message, b"\"id\"") else { return };
        let known = match token(message, b"\"method\"").unwrap_or(b"") {
            b"\"server/discover\"" if !self.session => Some(&self.greeting),
            b"\"initialize\"" if self.session => Some(&self.greeting),
            b"\"tools/list\"" => Some(&self.tools),
            b"\"tools/call\"" if token(message, b"\"name\"") == Some(b"\"big\"") => Some(&self.big),
            b"\"tools/call\"" => Some(&self.echo),
            _ => None,
        };
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        out.extend_from_slice(id);
        match known {
            Some(result) => {
                out.extend_from_slice(b",\"result\":");
                out.extend_from_slice(result.as_bytes());
                out.push(b'}');
            }
            None => out.extend_from_slice(b",\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}"),
        }
    }
}

/// The number or string behind the first `key` in `message`.
fn token<'a>(message: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut rest = &message[find(message, key)? + key.len()..];
    while let [b' ' | b':', tail @ ..] = rest {
        rest = tail;
    }
    let end = if rest.first() == Some(&b'"') {
        rest[1..].iter().position(|&byte| byte == b'"')? + 2
    } else {
        rest.iter().position(|&byte| matches!(byte, b',' | b'}' | b' '))?
    };
    Some(&rest[..end])
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn serve_lines(answers: &Answers, input: impl Read, mut output: impl Write) -> std::io::Result<()> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let (mut line, mut out) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let before = out.len();
        answers.answer(&line, &mut out);
        if out.len() > before {
            out.push(b'\n');
        }
        // Answers leave together when further lines are already here.
        if !out.is_empty() && (out.len() > 1 << 16 || !input.buffer().contains(&b'\n')) {
            output.write_all(&out)?;
            output.flush()?;
            out.clear();
        }
    }
}

fn serve_http(answers: &Answers, input: impl Read, mut output: impl Write) -> std::io::Result<()> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let (mut head, mut body, mut json, mut out) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    loop {
        let (mut length, mut verb) = (0, None);
        loop {
            head.clear();
            if input.read_until(b'\n', &mut head)? == 0 {
                return Ok(());
            }
            if head.len() <= 2 {
                break;
            }
            verb.get_or_insert(head.starts_with(b"POST"));
            if head.len() > 15 && head[..15].eq_ignore_ascii_case(b"content-length:") {
                length = String::from_utf8_lossy(&head[15..]).trim().parse().unwrap_or(0);
            }
        }
        body.resize(length, 0);
        input.read_exact(&mut body)?;
        json.clear();
        if verb == Some(true) {
            answers.answer(&body, &mut json);
        }
        out.clear();
        if verb != Some(true) {
            out.extend_from_slice(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
        } else if json.is_empty() {
            out.extend_from_slice(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
        } else {
            let session =
                if answers.session && find(&body, b"\"initialize\"").is_some() { "Mcp-Session-Id: one\r\n" } else { "" };
            write!(
                out,
                "HTTP/1.1 200 OK\r\n{session}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                json.len()
            )?;
            out.extend_from_slice(&json);
        }
        output.write_all(&out)?;
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    let tools = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(2);
    let bytes = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let answers = Arc::new(Answers::new(tools, mode == "http-session", bytes));
    if mode == "stdio" {
        let _ = serve_lines(&answers, std::io::stdin().lock(), std::io::stdout().lock());
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    println!("{}", listener.local_addr().expect("bound").port());
    for connection in listener.incoming().flatten() {
        let answers = Arc::clone(&answers);
        let lines = mode == "tcp";
        let _ = connection.set_nodelay(true);
        std::thread::spawn(move || {
            let Ok(output) = connection.try_clone() else { return };
            let _ = if lines { serve_lines(&answers, connection, output) } else { serve_http(&answers, connection, output) };
        });
    }
}

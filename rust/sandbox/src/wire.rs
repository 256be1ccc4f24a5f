//! A plugin as a server that speaks JSON-RPC in lines, as far as `tools/call` goes: a request in, its answer out.
//!
//! So whoever writes lines to servers, the relay among them, can write to a plugin. What the guest says becomes a result
//! of MCP on the guest's thread, checked whole; the event loop only passes it on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_codec::Span;
use tidegate_codec::json::{find_member, patch_object, scan, write_string};

use crate::call::Work;
use crate::failure::Failure;
use crate::outbox::Done;
use crate::plugin::Plugin;

/// What an internal error is in JSON-RPC.
const INTERNAL_ERROR: i32 = -32603;
/// Levels that the gateway may have added to what a client sent.
const OWN_DEPTH: usize = 8;
/// Bytes of a line beside its id and its result, about.
const AROUND: usize = 48;
const SERVED_WITH: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":0,\"result\":";

/// Calls by the ids of their requests.
#[derive(Default)]
pub(crate) struct Open(Mutex<HashMap<Box<[u8]>, u64>>);

impl Open {
    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<Box<[u8]>, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the answer to a call goes, when it goes out as a line.
pub(crate) struct ReplyTo {
    open: Arc<Open>,
    id: Box<[u8]>,
    plugin: Arc<str>,
    depth: usize,
    most: usize,
}

/// The conversation with one plugin.
pub struct Wire {
    plugin: Plugin,
    open: Arc<Open>,
    name: Arc<str>,
    depth: usize,
    most: usize,
    timeout: Duration,
}

impl Wire {
    /// `name`: of the plugin, for people. `depth`: how deeply an answer may be nested. `most`: bytes of a line, which can
    /// have more than the guest's own answer. `timeout`: of a call, with what it waits for its turn.
    #[must_use]
    pub fn new(plugin: Plugin, name: &str, depth: usize, most: usize, timeout: Duration) -> Self {
        Self {
            plugin,
            open: Arc::default(),
            name: name.into(),
            depth,
            most,
            timeout,
        }
    }

    /// Starts what one line asks for: the token of the call. Nothing for what is no `tools/call`.
    pub fn send(&self, line: &[u8]) -> Option<u64> {
        let envelope = scan(line, self.depth + OWN_DEPTH).ok()?;
        if envelope.method_text.as_deref() != Some("tools/call") {
            return None;
        }
        let id: Box<[u8]> = envelope.id?.of(line).into();
        let arguments = envelope.arguments.map_or(&b"{}"[..], |span| span.of(line));
        let arguments = if arguments.starts_with(b"{") {
            arguments
        } else {
            b"{}"
        };
        let work = Work::CallTool(
            envelope.name_text.map(String::from).unwrap_or_default(),
            String::from_utf8(arguments.to_vec()).ok()?,
        );
        let reply_to = ReplyTo {
            open: Arc::clone(&self.open),
            id: id.clone(),
            plugin: Arc::clone(&self.name),
            depth: self.depth,
            most: self.most,
        };
        let token = self.plugin.token();
        // Before it can be over, which it may be at once.
        self.open.table().insert(id, token);
        self.plugin.start_for(token, work, self.timeout, reply_to);
        Some(token)
    }

    /// Nobody waits for the answer to the request with this id any more.
    pub fn cancel(&self, id: &[u8]) {
        let token = self.open.table().get(id).copied();
        if let Some(token) = token {
            self.plugin.cancel(token);
        }
    }

    /// Calls whose answers are not there yet.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.table().len()
    }
}

impl ReplyTo {
    /// The line that answers the request, newline included. What is not right in a guest's answer is an error, too.
    pub(crate) fn line(&self, outcome: Result<Done, Failure>) -> (Vec<u8>, Result<(), Failure>) {
        self.open.table().remove(&self.id);
        let (member, value, outcome) = match outcome.and_then(|done| self.result(&done)) {
            Ok(result) => (&b",\"result\":"[..], result, Ok(())),
            Err(failure) => (&b",\"error\":"[..], self.error(&failure), Err(failure)),
        };
        let mut line = Vec::with_capacity(value.len() + self.id.len() + AROUND);
        for part in [
            b"{\"jsonrpc\":\"2.0\",\"id\":",
            &*self.id,
            member,
            &value,
            b"}\n",
        ] {
            line.extend_from_slice(part);
        }
        (line, outcome)
    }

    fn error(&self, failure: &Failure) -> Vec<u8> {
        let mut error = format!("{{\"code\":{INTERNAL_ERROR},\"message\":").into_bytes();
        write_string(
            &mut error,
            &format!("plugin `{}` failed: {failure}", self.plugin),
        );
        error.extend_from_slice(b",\"data\":{\"reason\":");
        write_string(&mut error, failure.slug());
        error.extend_from_slice(b"}}");
        error
    }

    fn result(&self, done: &Done) -> Result<Vec<u8>, Failure> {
        let result = match done {
            Done::Result(json) => {
                self.checked(json.trim_matches([' ', '\t', '\r', '\n']).as_bytes())?
            }
            Done::Error(text) => {
                let mut result = b"{\"content\":[{\"type\":\"text\",\"text\":".to_vec();
                write_string(&mut result, text);
                result.extend_from_slice(b"}],\"isError\":true,\"resultType\":\"complete\"}");
                result
            }
            Done::Verdict(_) => return Err(garbage("it is a verdict")),
        };
        // Who reads the line throws away one that is longer, and its caller would wait for ever.
        if result.len() + self.id.len() + AROUND > self.most {
            return Err(Failure::OutputTooLarge(result.len()));
        }
        Ok(result)
    }

    /// A guest's JSON as a result of MCP: one object, complete, on one line.
    fn checked(&self, json: &[u8]) -> Result<Vec<u8>, Failure> {
        let whole = [SERVED_WITH, json, b"}"].concat();
        let span = scan(&whole, self.depth)
            .map_err(|error| garbage(&error.to_string()))?
            .result;
        // More than one value would have become members of the message.
        let alone = Span {
            start: SERVED_WITH.len(),
            end: whole.len() - 1,
        };
        if span != Some(alone) || !json.starts_with(b"{") {
            return Err(garbage("it is not one JSON object"));
        }
        let member = |name: &str| -> Result<Option<&[u8]>, Failure> {
            let span =
                find_member(&whole, name, alone).map_err(|error| garbage(&error.to_string()))?;
            Ok(span.map(|span| span.of(&whole)))
        };
        let structured = member("structuredContent")?;
        if structured.is_some_and(|value| !value.starts_with(b"{")) {
            return Err(garbage("`structuredContent` is no object"));
        }
        let mut content = Vec::new();
        match (member("content")?, structured) {
            (Some(value), _) if value.starts_with(b"[") => {}
            (Some(_), _) => return Err(garbage("`content` is no array")),
            (None, Some(value)) => {
                let text = std::str::from_utf8(value).map_err(|_| garbage("it is not in UTF-8"))?;
                content.extend_from_slice(b"[{\"type\":\"text\",\"text\":");
                write_string(&mut content, text);
                content.extend_from_slice(b"}]");
            }
            (None, None) => {
                return Err(garbage("it has neither `content` nor `structuredContent`"));
            }
        }
        let mut changes: Vec<(&str, Option<&[u8]>)> = vec![("resultType", Some(b"\"complete\""))];
        if !content.is_empty() {
            changes.push(("content", Some(&content)));
        }
        let mut result =
            patch_object(json, &changes).map_err(|error| garbage(&error.to_string()))?;
        for byte in &mut result {
            // Between values; within strings JSON has them escaped.
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        Ok(result)
    }
}

fn garbage(why: &str) -> Failure {
    Failure::Garbage(why.to_owned())
}

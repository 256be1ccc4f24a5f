//! The requests that flows are for.

use std::borrow::Cow;
use tidegate_codec::{Span, json};

/// Methods whose decision depends on the name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Method {
    ToolsCall = 1,
    PromptsGet = 2,
    ResourcesRead = 3,
}

/// Longer ids belong to nobody who means well.
const MAX_ID_BYTES: usize = 256;
const MAX_NAME_BYTES: usize = 1024;

/// One request, as offsets into its bytes.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) id: Span,
    /// The token.
    pub(crate) name: Span,
    pub(crate) name_text: Cow<'a, str>,
    pub(crate) params: Span,
    pub(crate) meta: Option<Span>,
}

/// `None` for all else, faulty messages among them: the slow lane says what is wrong with them. `known`: the `_meta` that is
/// expected, as of `scan_knowing`.
pub(crate) fn read<'a>(message: &'a [u8], depth: usize, known: &[u8]) -> Option<Request<'a>> {
    let found = json::scan_knowing(message, depth, known).ok()?;
    if found.kind != json::MessageKind::Request || found.progress_token.is_some() {
        return None;
    }
    let method = match found.method_text.as_deref()? {
        "tools/call" => Method::ToolsCall,
        "prompts/get" => Method::PromptsGet,
        "resources/read" => Method::ResourcesRead,
        _ => return None,
    };
    let id = found.id?;
    let name = found.name?;
    let short = id.end - id.start <= MAX_ID_BYTES && name.end - name.start <= MAX_NAME_BYTES;
    short.then_some(Request {
        method,
        id,
        name,
        name_text: found.name_text?,
        params: found.params?,
        meta: found.meta,
    })
}

//! Envelope scan, spans and edits.

use crate::error::{raise, raise_with_id};
use crate::room::{count, room};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use tidegate_codec::{Span, json};

/// `(start, end)`, or `None`.
type Pair = Option<(usize, usize)>;

/// Of a list of spans that grows by doubling: the old one, the new one.
const ELEMENT_BYTES: usize = 16 * 3;
/// The same of members, and what they become.
const MEMBER_BYTES: usize = 64 * 3;

fn pair(span: Option<Span>) -> Pair {
    span.map(|span| (span.start, span.end))
}

/// One JSON-RPC message as spans.
#[pyclass(frozen, module = "tidegate._native")]
pub struct Envelope {
    #[pyo3(get)]
    kind: u8,
    #[pyo3(get)]
    id: Option<Py<PyBytes>>,
    #[pyo3(get)]
    method: Option<Py<PyString>>,
    #[pyo3(get)]
    name: Option<Py<PyString>>,
    #[pyo3(get)]
    progress_token: Option<Py<PyBytes>>,
    #[pyo3(get)]
    result_type: Option<Py<PyString>>,
    #[pyo3(get)]
    id_span: Pair,
    #[pyo3(get)]
    method_span: Pair,
    #[pyo3(get)]
    params_span: Pair,
    #[pyo3(get)]
    name_span: Pair,
    #[pyo3(get)]
    meta_span: Pair,
    #[pyo3(get)]
    arguments_span: Pair,
    #[pyo3(get)]
    result_span: Pair,
    #[pyo3(get)]
    error_span: Pair,
    #[pyo3(get)]
    progress_token_span: Pair,
    #[pyo3(get)]
    result_type_span: Pair,
}

#[pymethods]
impl Envelope {
    fn __repr__(&self, py: Python<'_>) -> String {
        let id = self
            .id
            .as_ref()
            .map(|id| String::from_utf8_lossy(id.as_bytes(py)).into_owned());
        let method = self.method.as_ref().map(ToString::to_string);
        format!("<Envelope kind={} id={id:?} method={method:?}>", self.kind)
    }
}

#[pyfunction]
#[pyo3(signature = (buf, max_depth = 64))]
pub fn scan(py: Python<'_>, buf: &[u8], max_depth: usize) -> PyResult<Envelope> {
    // A name that is all escapes, decoded, and as a string of Python's.
    room(buf.len() * 2)?;
    let found = json::scan(buf, max_depth).map_err(|error| raise_with_id(py, buf, error))?;
    let raw = |span: Option<Span>| span.map(|span| PyBytes::new(py, span.of(buf)).unbind());
    let text = |text: Option<&str>| text.map(|text| PyString::new(py, text).unbind());
    Ok(Envelope {
        kind: found.kind as u8,
        id: raw(found.id),
        method: text(found.method_text.as_deref()),
        name: text(found.name_text.as_deref()),
        progress_token: raw(found.progress_token),
        result_type: text(found.result_type_text.as_deref()),
        id_span: pair(found.id),
        method_span: pair(found.method),
        params_span: pair(found.params),
        name_span: pair(found.name),
        meta_span: pair(found.meta),
        arguments_span: pair(found.arguments),
        result_span: pair(found.result),
        error_span: pair(found.error),
        progress_token_span: pair(found.progress_token),
        result_type_span: pair(found.result_type),
    })
}

/// `end` of -1 is the end of the buffer.
fn range(buf: &[u8], start: usize, end: isize) -> PyResult<Span> {
    let end = match end {
        -1 => buf.len(),
        _ => usize::try_from(end)
            .map_err(|_| PyValueError::new_err("`end` is negative and not -1"))?,
    };
    Ok(Span::new(start, end))
}

#[pyfunction]
#[pyo3(signature = (buf, start = 0, end = -1), text_signature = "(buf, start=0, end=-1)")]
pub fn array_spans(buf: &[u8], start: usize, end: isize) -> PyResult<Vec<(usize, usize)>> {
    room(count(buf, b',', b',') * ELEMENT_BYTES)?;
    let spans = json::array_spans(buf, range(buf, start, end)?).map_err(raise)?;
    Ok(spans
        .into_iter()
        .map(|span| (span.start, span.end))
        .collect())
}

#[pyfunction]
#[pyo3(signature = (buf, start = 0, end = -1), text_signature = "(buf, start=0, end=-1)")]
pub fn member_spans<'py>(
    py: Python<'py>,
    buf: &[u8],
    start: usize,
    end: isize,
) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    room(buf.len() + count(buf, b',', b',') * MEMBER_BYTES)?;
    json::member_spans(buf, range(buf, start, end)?)
        .map_err(raise)?
        .into_iter()
        .map(|(key, value)| (key.as_ref(), value.start, value.end).into_pyobject(py))
        .collect()
}

#[pyfunction]
#[pyo3(signature = (buf, key, start = 0, end = -1), text_signature = "(buf, key, start=0, end=-1)")]
pub fn find_member(buf: &[u8], key: &str, start: usize, end: isize) -> PyResult<Pair> {
    room(buf.len())?;
    json::find_member(buf, key, range(buf, start, end)?)
        .map(pair)
        .map_err(raise)
}

#[pyfunction]
pub fn splice<'py>(
    py: Python<'py>,
    buf: &[u8],
    edits: Vec<(usize, usize, Bound<'py, PyBytes>)>,
) -> PyResult<Bound<'py, PyBytes>> {
    let edits: Vec<_> = edits
        .iter()
        .map(|(start, end, with)| (Span::new(*start, *end), with.as_bytes()))
        .collect();
    let added: usize = edits.iter().map(|(_, with)| with.len()).sum();
    room((buf.len() + added) * 2)?;
    let out = json::splice(buf, &edits).map_err(raise)?;
    Ok(PyBytes::new(py, &out))
}

#[pyfunction]
pub fn patch_object<'py>(
    py: Python<'py>,
    buf: &[u8],
    changes: Vec<(Bound<'py, PyString>, Option<Bound<'py, PyBytes>>)>,
) -> PyResult<Bound<'py, PyBytes>> {
    let keys: Vec<_> = changes
        .iter()
        .map(|(key, _)| key.to_cow())
        .collect::<PyResult<_>>()?;
    let changes: Vec<_> = keys
        .iter()
        .zip(&changes)
        .map(|(key, (_, value))| {
            (
                key.as_ref(),
                value.as_ref().map(pyo3::types::PyBytesMethods::as_bytes),
            )
        })
        .collect();
    let added: usize = changes
        .iter()
        .map(|(_, value)| value.map_or(0, <[u8]>::len))
        .sum();
    room((buf.len() + added) * 2 + count(buf, b',', b',') * MEMBER_BYTES)?;
    let out = json::patch_object(buf, &changes).map_err(raise)?;
    Ok(PyBytes::new(py, &out))
}

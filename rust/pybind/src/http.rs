//! HTTP/1.1 heads and chunks.

use crate::error::raise;
use crate::room::room;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString};
use tidegate_codec::http;

/// ISO 8859-1: each byte is the character of that number.
fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => PyString::new(py, text),
        _ => PyString::new(
            py,
            &bytes.iter().copied().map(char::from).collect::<String>(),
        ),
    }
}

fn header_list(py: Python<'_>, fields: &http::Fields<'_>) -> PyResult<Py<PyList>> {
    let pairs = fields
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), latin1(py, value)));
    PyList::new(py, pairs).map(Bound::unbind)
}

/// -1 for none.
fn content_length(fields: &http::Fields<'_>) -> i64 {
    fields
        .content_length
        .map_or(-1, |length| i64::try_from(length).unwrap_or(i64::MAX))
}

#[pyclass(frozen, get_all, module = "tidegate._native")]
pub struct RequestHead {
    method: Py<PyString>,
    target: Py<PyString>,
    minor: u8,
    headers: Py<PyList>,
    head_len: usize,
    content_length: i64,
    chunked: bool,
    keep_alive: bool,
    expect_continue: bool,
}

#[pyfunction]
pub fn parse_request_head(
    py: Python<'_>,
    buf: &[u8],
    max_bytes: usize,
) -> PyResult<Option<RequestHead>> {
    let Some(head) = http::parse_request_head(buf, max_bytes).map_err(raise)? else {
        return Ok(None);
    };
    let fields = &head.fields;
    Ok(Some(RequestHead {
        method: PyString::new(py, head.method).unbind(),
        target: PyString::new(py, head.target).unbind(),
        minor: fields.minor,
        headers: header_list(py, fields)?,
        head_len: fields.head_len,
        content_length: content_length(fields),
        chunked: fields.chunked,
        keep_alive: fields.keep_alive,
        expect_continue: fields.expect_continue,
    }))
}

#[pyclass(frozen, get_all, module = "tidegate._native")]
pub struct ResponseHead {
    status: u16,
    reason: Py<PyString>,
    minor: u8,
    headers: Py<PyList>,
    head_len: usize,
    content_length: i64,
    chunked: bool,
    keep_alive: bool,
    expect_continue: bool,
}

#[pyfunction]
pub fn parse_response_head(
    py: Python<'_>,
    buf: &[u8],
    max_bytes: usize,
) -> PyResult<Option<ResponseHead>> {
    let Some(head) = http::parse_response_head(buf, max_bytes).map_err(raise)? else {
        return Ok(None);
    };
    let fields = &head.fields;
    Ok(Some(ResponseHead {
        status: head.status,
        reason: latin1(py, head.reason).unbind(),
        minor: fields.minor,
        headers: header_list(py, fields)?,
        head_len: fields.head_len,
        content_length: content_length(fields),
        chunked: fields.chunked,
        keep_alive: fields.keep_alive,
        expect_continue: fields.expect_continue,
    }))
}

#[pyclass(module = "tidegate._native")]
pub struct ChunkDecoder(http::ChunkDecoder);

#[pymethods]
impl ChunkDecoder {
    #[new]
    fn new(max_bytes: usize) -> Self {
        Self(http::ChunkDecoder::new(max_bytes))
    }

    fn feed<'py>(&mut self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        room(data.len() * 3)?;
        self.0
            .feed(data)
            .map(|payload| PyBytes::new(py, &payload))
            .map_err(raise)
    }

    #[getter]
    fn done(&self) -> bool {
        self.0.done()
    }

    #[getter]
    fn rest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.rest())
    }
}

//! Server-sent events.

use crate::error::raise;
use crate::room::room;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use tidegate_codec::sse;

#[pyclass(frozen, get_all, module = "tidegate._native")]
pub struct SseEvent {
    event: Py<PyString>,
    data: Py<PyBytes>,
    id: Option<Py<PyString>>,
    retry_ms: Option<u64>,
}

#[pymethods]
impl SseEvent {
    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "<SseEvent event={:?} {} bytes>",
            self.event.to_string(),
            self.data.as_bytes(py).len()
        )
    }
}

impl SseEvent {
    fn new(py: Python<'_>, event: sse::Event) -> Self {
        let name = match event.event {
            Some(name) => PyString::new(py, &name),
            None => pyo3::intern!(py, "message").clone(),
        };
        Self {
            event: name.unbind(),
            data: PyBytes::new(py, &event.data).unbind(),
            id: event.id.map(|id| PyString::new(py, &id).unbind()),
            retry_ms: event.retry_ms,
        }
    }
}

#[pyclass(module = "tidegate._native")]
pub struct SseDecoder(sse::SseDecoder);

#[pymethods]
impl SseDecoder {
    #[new]
    fn new(max_bytes: usize) -> Self {
        Self(sse::SseDecoder::new(max_bytes))
    }

    fn feed(&mut self, py: Python<'_>, data: &[u8]) -> PyResult<Vec<SseEvent>> {
        // The buffers grow by doubling, and the event is copied out of them.
        room((self.0.held() + data.len()) * 4)?;
        let mut found = Vec::new();
        self.0
            .feed(data, |event| found.push(SseEvent::new(py, event)))
            .map_err(raise)?;
        Ok(found)
    }
}

#[pyfunction]
#[pyo3(signature = (data, event = None, id = None, retry_ms = None))]
pub fn encode_sse<'py>(
    py: Python<'py>,
    data: &[u8],
    event: Option<&str>,
    id: Option<&str>,
    retry_ms: Option<u64>,
) -> PyResult<Bound<'py, PyBytes>> {
    let lines = data
        .iter()
        .filter(|byte| matches!(byte, b'\n' | b'\r'))
        .count();
    room(data.len() * 3 + lines * 24)?;
    let out = sse::encode_sse(data, event, id, retry_ms).map_err(raise)?;
    Ok(PyBytes::new(py, &out))
}

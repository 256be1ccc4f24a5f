//! `MessagePack` framing and conversion.

use crate::error::raise;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use tidegate_codec::msgpack;

#[pyfunction]
pub fn json_to_msgpack<'py>(py: Python<'py>, buf: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let out = msgpack::json_to_msgpack(buf).map_err(raise)?;
    Ok(PyBytes::new(py, &out))
}

#[pyfunction]
pub fn msgpack_to_json<'py>(py: Python<'py>, buf: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let out = msgpack::msgpack_to_json(buf).map_err(raise)?;
    Ok(PyBytes::new(py, &out))
}

#[pyclass(module = "tidegate._native")]
pub struct MsgpackSplitter(msgpack::MsgpackSplitter);

#[pymethods]
impl MsgpackSplitter {
    #[new]
    fn new(max_bytes: usize, max_depth: usize) -> Self {
        Self(msgpack::MsgpackSplitter::new(max_bytes, max_depth))
    }

    fn feed<'py>(&mut self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyList>> {
        let mut found = Vec::new();
        self.0
            .feed(data, |json| {
                found.push(json.map(|json| PyBytes::new(py, &json)));
            })
            .map_err(raise)?;
        PyList::new(py, found)
    }
}

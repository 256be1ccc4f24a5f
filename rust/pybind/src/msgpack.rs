//! `MessagePack` framing and conversion.

use crate::error::raise;
use crate::room::{count, room};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use tidegate_codec::msgpack;

/// A byte of `MessagePack` can become six of JSON, in a buffer that grows by doubling and is copied at the end.
const UNPACKED: usize = 6 * 3;
/// Of a container's, in a list that grows by doubling.
const SIZE_BYTES: usize = 8 * 3 * 2;

#[pyfunction]
pub fn json_to_msgpack<'py>(py: Python<'py>, buf: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    // Out, as bytes of Python's too, and the size of each container.
    room(buf.len() * 8 + count(buf, b'{', b'[') * SIZE_BYTES)?;
    let out = msgpack::json_to_msgpack(buf).map_err(raise)?;
    Ok(PyBytes::new(py, &out))
}

#[pyfunction]
pub fn msgpack_to_json<'py>(py: Python<'py>, buf: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    room(buf.len() * UNPACKED)?;
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
        room((self.0.held() + data.len()) * UNPACKED)?;
        let mut found = Vec::new();
        self.0
            .feed(data, |json| {
                found.push(json.map(|json| PyBytes::new(py, &json)));
            })
            .map_err(raise)?;
        PyList::new(py, found)
    }
}

//! Content codings.

use crate::error::raise;
use crate::room::room;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidegate_codec::coding;

/// State of a coder.
const CODER_BYTES: usize = 1024 * 1024;
/// Bytes that one of deflate can become, at most.
const DEFLATED: usize = 1040;

#[pyfunction]
#[pyo3(signature = (coding, data, level = 3))]
pub fn compress<'py>(
    py: Python<'py>,
    coding: &str,
    data: &[u8],
    level: i32,
) -> PyResult<Bound<'py, PyBytes>> {
    room(data.len() * 2 + CODER_BYTES)?;
    let out = coding::compress(coding, data, level).map_err(raise)?;
    Ok(PyBytes::new(py, &out))
}

#[pyfunction]
pub fn inflate<'py>(
    py: Python<'py>,
    coding: &str,
    data: &[u8],
    max_bytes: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let most = if coding == "zstd" {
        max_bytes
    } else {
        max_bytes.min(data.len().saturating_mul(DEFLATED))
    };
    room(most.saturating_mul(3).saturating_add(CODER_BYTES))?;
    let out = coding::inflate(coding, data, max_bytes).map_err(raise)?;
    Ok(PyBytes::new(py, &out))
}

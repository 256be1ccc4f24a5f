//! Content codings.

use crate::error::raise;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidegate_codec::coding;

#[pyfunction]
#[pyo3(signature = (coding, data, level = 3))]
pub fn compress<'py>(
    py: Python<'py>,
    coding: &str,
    data: &[u8],
    level: i32,
) -> PyResult<Bound<'py, PyBytes>> {
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
    let out = coding::inflate(coding, data, max_bytes).map_err(raise)?;
    Ok(PyBytes::new(py, &out))
}

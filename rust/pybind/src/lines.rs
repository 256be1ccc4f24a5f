//! Line framing.

use crate::room::room;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use tidegate_codec::lines;

#[pyclass(module = "tidegate._native")]
pub struct LineSplitter(lines::LineSplitter);

#[pymethods]
impl LineSplitter {
    #[new]
    fn new(max_bytes: usize) -> Self {
        Self(lines::LineSplitter::new(max_bytes))
    }

    fn feed<'py>(&mut self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyList>> {
        // The buffer grows by doubling, and the line is copied out of it.
        room((self.0.pending() + data.len()) * 3)?;
        let mut found = Vec::new();
        self.0.feed(data, |line| {
            found.push(line.map(|line| PyBytes::new(py, line)));
        });
        PyList::new(py, found)
    }

    #[getter]
    fn pending(&self) -> usize {
        self.0.pending()
    }

    fn eof<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.eof())
    }
}

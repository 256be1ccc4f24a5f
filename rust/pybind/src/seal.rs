//! Sealed bytes.

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidegate_seal::{Error, KEY_BYTES, Key};

/// The key, if it is one. The message has its length only.
fn key_of(bytes: &[u8]) -> PyResult<&Key> {
    bytes.try_into().map_err(|_| {
        PyValueError::new_err(format!("a key has {KEY_BYTES} bytes, not {}", bytes.len()))
    })
}

#[pyfunction]
pub fn seal<'py>(
    py: Python<'py>,
    key: &[u8],
    plaintext: &[u8],
    aad: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    match tidegate_seal::seal(key_of(key)?, plaintext, aad) {
        Ok(sealed) => Ok(PyBytes::new(py, &sealed)),
        Err(Error::NoRandomness) => Err(PyOSError::new_err("the system gave no randomness")),
        Err(Error::TooLong) => Err(PyValueError::new_err("too long to be sealed")),
    }
}

#[pyfunction]
pub fn unseal<'py>(
    py: Python<'py>,
    key: &[u8],
    sealed: &[u8],
    aad: &[u8],
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let plaintext = tidegate_seal::unseal(key_of(key)?, sealed, aad);
    Ok(plaintext.map(|plaintext| PyBytes::new(py, &plaintext)))
}

//! The one place where a codec error becomes a Python exception. The classes are Python's.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tidegate_codec::{Error, Kind};

pyo3::import_exception!(tidegate.errors, ParseError);
pyo3::import_exception!(tidegate.errors, InvalidUtf8);
pyo3::import_exception!(tidegate.errors, DepthExceeded);
pyo3::import_exception!(tidegate.errors, DuplicateKey);
pyo3::import_exception!(tidegate.errors, InvalidRequest);
pyo3::import_exception!(tidegate.errors, TooLarge);
pyo3::import_exception!(tidegate.errors, BadHttp);
pyo3::import_exception!(tidegate.errors, BadEncoding);

/// HTTP status of a head over its bound; the class says 413, which is for bodies.
const HEAD_TOO_LARGE: u16 = 431;

/// The exception for a codec error.
#[cold]
pub fn raise(error: Error) -> PyErr {
    let message = error.message;
    match error.kind {
        Kind::Parse => ParseError::new_err(message),
        Kind::InvalidUtf8 => InvalidUtf8::new_err(message),
        Kind::DepthExceeded => DepthExceeded::new_err(message),
        Kind::DuplicateKey => DuplicateKey::new_err(message),
        Kind::InvalidRequest => InvalidRequest::new_err(message),
        Kind::TooLarge => TooLarge::new_err(message),
        Kind::BadHttp => BadHttp::new_err(message),
        Kind::BadEncoding => BadEncoding::new_err(message),
        Kind::Value => PyValueError::new_err(message),
        Kind::HeadTooLarge => {
            let exception = TooLarge::new_err(message);
            Python::attach(
                |py| match exception.value(py).setattr("status", HEAD_TOO_LARGE) {
                    Ok(()) => exception,
                    Err(other) => other,
                },
            )
        }
    }
}

/// The exception for a message that could not be scanned, with the attribute `id_raw`.
#[cold]
pub fn raise_with_id(py: Python<'_>, buf: &[u8], error: Error) -> PyErr {
    let id = error.id.map(|id| PyBytes::new(py, id.of(buf)));
    let exception = raise(error);
    match exception.value(py).setattr("id_raw", id) {
        Ok(()) => exception,
        Err(other) => other,
    }
}

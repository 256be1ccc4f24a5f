//! The token bucket, for Python.

use pyo3::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;
use tidegate_relay as core;

/// A token bucket that slow lane and relay share.
#[pyclass(unsendable, module = "tidegate._native")]
pub struct Bucket(pub(super) Rc<RefCell<core::Bucket>>);

#[pymethods]
impl Bucket {
    #[new]
    fn new(rate_per_s: f64, burst: f64, now_s: f64) -> Self {
        Self(Rc::new(RefCell::new(core::Bucket::new(
            rate_per_s, burst, now_s,
        ))))
    }

    fn take(&self, now_s: f64) -> bool {
        self.0.borrow_mut().take(now_s)
    }

    fn spend(&self, tokens: f64, now_s: f64) -> f64 {
        self.0.borrow_mut().spend(tokens, now_s)
    }

    fn wait_s(&self) -> f64 {
        self.0.borrow().wait_s()
    }
}

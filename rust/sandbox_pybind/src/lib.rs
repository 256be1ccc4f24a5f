//! `tidegate._sandbox`: the WASM sandbox as Python sees it. Conversions only; what the functions mean stands in
//! `python/tidegate/_sandbox.pyi`, what they do in `rust/sandbox`.
//!
//! A module of its own beside `tidegate._native`: a gateway without plugins never maps the WASM runtime.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use tidegate_sandbox as sandbox;
use tidegate_sandbox::{
    Bounds, Done, Event, Failure, Grants, Kind, Question, Verdict, Work, World,
};

/// Every name of the module, in one place.
#[pymodule]
mod _sandbox {
    #[pymodule_export]
    use super::{Plugin, Sandbox, compile, engine_key, examine, new_key, sign, verify};
    /// Compared with `tidegate.__version__`: a stale extension refuses to import.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}

fn refused(failure: Failure) -> PyErr {
    PyValueError::new_err(failure.to_string())
}

#[pyfunction]
#[pyo3(signature = (wasm, target=None))]
fn compile(py: Python<'_>, wasm: Vec<u8>, target: Option<String>) -> PyResult<Bound<'_, PyBytes>> {
    let code = py
        .detach(|| sandbox::compile(&wasm, target.as_deref()))
        .map_err(refused)?;
    Ok(PyBytes::new(py, &code))
}

#[pyfunction]
#[pyo3(signature = (target=None))]
fn engine_key(target: Option<&str>) -> PyResult<String> {
    sandbox::engine_key(target).map_err(refused)
}

#[pyfunction]
fn examine<'py>(py: Python<'py>, wasm: &[u8]) -> PyResult<Bound<'py, PyDict>> {
    let facts = sandbox::examine(wasm).map_err(refused)?;
    let found = PyDict::new(py);
    found.set_item(
        "kind",
        if facts.kind == Kind::Component {
            "component"
        } else {
            "module"
        },
    )?;
    found.set_item("imports", facts.imports)?;
    found.set_item("exports", facts.exports)?;
    Ok(found)
}

#[pyfunction]
fn new_key(py: Python<'_>) -> PyResult<(Bound<'_, PyBytes>, Bound<'_, PyBytes>)> {
    let secret =
        sandbox::new_key().ok_or_else(|| PyOSError::new_err("the system gives no randomness"))?;
    Ok((
        PyBytes::new(py, &secret),
        PyBytes::new(py, &sandbox::public_key(&secret)),
    ))
}

#[pyfunction]
fn sign<'py>(py: Python<'py>, secret: [u8; 32], message: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &sandbox::sign(&secret, message))
}

#[pyfunction]
fn verify(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    sandbox::verify(public, message, signature)
}

/// What an event is, for Python: the parts of a tuple.
type Told = (&'static str, u64, u64, String, String, String);

fn told(event: Event) -> Told {
    let none = String::new;
    match event {
        Event::Ended {
            token,
            outcome,
            cpu,
        } => {
            let nanos = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
            let (kind, first, second) = match outcome {
                Ok(Done::Result(json)) => ("result", json, none()),
                Ok(Done::Error(text)) => ("error", text, none()),
                Ok(Done::Verdict(Verdict::Pass)) => ("pass", none(), none()),
                Ok(Done::Verdict(Verdict::Change(json))) => ("change", json, none()),
                Ok(Done::Verdict(Verdict::Refuse(why))) => ("refuse", why, none()),
                Ok(Done::Verdict(Verdict::Ask(question))) => ("ask", question, none()),
                Err(failure) => ("failed", failure.slug().to_owned(), failure.to_string()),
            };
            (kind, token, nanos, first, second, none())
        }
        Event::Asked {
            token,
            number,
            question,
        } => {
            let number = u64::from(number);
            match question {
                Question::Http(request) => ("http", token, number, request, none(), none()),
                Question::CallTool(name, arguments) => {
                    ("call", token, number, name, arguments, none())
                }
                Question::Arm(key, after_ms, name, arguments) => (
                    "arm",
                    token,
                    number,
                    key,
                    format!("{after_ms} {name}"),
                    arguments,
                ),
                Question::Disarm(key) => ("disarm", token, number, key, none(), none()),
            }
        }
        Event::Said { token, level, text } => {
            ("log", token, u64::from(level), text, none(), none())
        }
    }
}

#[pyclass(frozen)]
struct Sandbox(sandbox::Sandbox);

#[pymethods]
impl Sandbox {
    #[new]
    #[pyo3(signature = (store, threads))]
    fn new(store: Option<PathBuf>, threads: usize) -> PyResult<Self> {
        let made = sandbox::Sandbox::new(store.as_deref(), threads);
        Ok(Self(
            made.map_err(|error| PyOSError::new_err(error.to_string()))?,
        ))
    }

    fn fileno(&self) -> i32 {
        self.0.descriptor()
    }

    fn take(&self) -> Vec<Told> {
        self.0.take().into_iter().map(told).collect()
    }

    #[pyo3(signature = (token, number, json, error=None))]
    fn answer(&self, token: u64, number: u32, json: String, error: Option<String>) {
        self.0.answer(token, number, error.map_or(Ok(json), Err));
    }

    fn cancel(&self, token: u64) {
        self.0.cancel(token);
    }

    fn counts(&self) -> (usize, usize) {
        self.0.counts()
    }

    fn stored(&self, name: &str) -> PyResult<u64> {
        self.0.stored(name).map_err(PyOSError::new_err)
    }

    fn forget(&self, name: &str) -> PyResult<()> {
        self.0.forget(name).map_err(PyOSError::new_err)
    }

    fn close(&self) {
        self.0.close();
    }

    #[pyo3(signature = (name, artefact, sha256, *, kind, world, settings, grants, bounds))]
    fn load(
        &self,
        py: Python<'_>,
        name: &str,
        artefact: PathBuf,
        sha256: [u8; 32],
        kind: &str,
        world: &str,
        settings: String,
        grants: &Bound<'_, PyDict>,
        bounds: &Bound<'_, PyDict>,
    ) -> PyResult<Plugin> {
        let kind = if kind == "component" {
            Kind::Component
        } else {
            Kind::Module
        };
        let world = if world == "filter" {
            World::Filter
        } else {
            World::Tool
        };
        let grants = granted(grants)?;
        let bounds = bounded(bounds)?;
        let loaded = py.detach(|| {
            self.0.load(
                name, &artefact, sha256, kind, world, grants, bounds, settings,
            )
        });
        Ok(Plugin(loaded.map_err(refused)?))
    }
}

/// Keys that are missing have their defaults; one that is unknown is a mistake of the caller's.
fn granted(given: &Bound<'_, PyDict>) -> PyResult<Grants> {
    let mut grants = Grants::default();
    for (key, value) in given {
        match key.extract::<String>()?.as_str() {
            "folders" => grants.folders = value.extract()?,
            "log" => grants.log = value.extract()?,
            "time" => grants.time = value.extract()?,
            "random" => grants.random = value.extract()?,
            "store_bytes" => grants.store_bytes = value.extract()?,
            "http" => grants.http = value.extract()?,
            "call" => grants.call = value.extract()?,
            other => return Err(PyRuntimeError::new_err(format!("unknown grant `{other}`"))),
        }
    }
    Ok(grants)
}

fn bounded(given: &Bound<'_, PyDict>) -> PyResult<Bounds> {
    let mut bounds = Bounds::default();
    for (key, value) in given {
        match key.extract::<String>()?.as_str() {
            "memory_bytes" => bounds.memory_bytes = value.extract()?,
            "deadline_ms" => bounds.deadline = Duration::from_millis(value.extract()?),
            "output_bytes" => bounds.output_bytes = value.extract()?,
            "concurrency" => bounds.concurrency = value.extract()?,
            "queued" => bounds.queued = value.extract()?,
            other => return Err(PyRuntimeError::new_err(format!("unknown bound `{other}`"))),
        }
    }
    Ok(bounds)
}

#[pyclass(frozen)]
struct Plugin(sandbox::Plugin);

impl Plugin {
    /// The token of the call; None where too many wait.
    fn start(&self, work: Work, timeout_s: f64) -> Option<u64> {
        let timeout = Duration::try_from_secs_f64(timeout_s.max(0.0)).unwrap_or(Duration::MAX / 4);
        self.0
            .start(work, timeout.min(Duration::from_hours(24)))
            .ok()
    }
}

#[pymethods]
impl Plugin {
    fn list_tools(&self, timeout_s: f64) -> Option<u64> {
        self.start(Work::ListTools, timeout_s)
    }

    fn call_tool(&self, name: String, arguments: String, timeout_s: f64) -> Option<u64> {
        self.start(Work::CallTool(name, arguments), timeout_s)
    }

    #[pyo3(signature = (call, result, timeout_s))]
    fn inspect(&self, call: String, result: Option<String>, timeout_s: f64) -> Option<u64> {
        let work = match result {
            Some(result) => Work::InspectResult(call, result),
            None => Work::InspectRequest(call),
        };
        self.start(work, timeout_s)
    }
}

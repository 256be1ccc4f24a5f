//! `tidegate._sandbox`: the WASM sandbox as Python sees it. Conversions only; what the functions mean stands in
//! `python/tidegate/_sandbox.pyi`, what they do in `rust/sandbox`.
//!
//! A module of its own beside `tidegate._native`: a gateway without plugins never maps the WASM runtime.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use tidegate_sandbox as sandbox;
use tidegate_sandbox::{
    Bounds, Done, Event, Failure, Grants, Kind, Question, Verdict, Work, World,
};

const DAY_S: f64 = 86_400.0;

/// Every name of the module, in one place.
#[pymodule]
mod _sandbox {
    #[pymodule_export]
    use super::{Plugin, Sandbox, Wire, compile, engine_key, examine, new_key, sign, verify};
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

/// What an event is, for Python: what, plugin, token, a number, and three texts, of which the first may be bytes.
type Told<'py> = (
    &'static str,
    u64,
    u64,
    u64,
    Bound<'py, PyAny>,
    String,
    String,
);

fn told(py: Python<'_>, event: Event) -> Told<'_> {
    let none = String::new;
    let text = |text: String| PyString::new(py, &text).into_any();
    let nanos = |cpu: Duration| u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
    match event {
        Event::Ended {
            plugin,
            token,
            outcome,
            cpu,
        } => {
            let (kind, first, second) = match outcome {
                Ok(Done::Result(json)) => ("result", json, none()),
                Ok(Done::Error(words)) => ("error", words, none()),
                Ok(Done::Verdict(Verdict::Pass)) => ("pass", none(), none()),
                Ok(Done::Verdict(Verdict::Change(json))) => ("change", json, none()),
                Ok(Done::Verdict(Verdict::Refuse(why))) => ("refuse", why, none()),
                Ok(Done::Verdict(Verdict::Ask(question))) => ("ask", question, none()),
                Err(failure) => ("failed", failure.slug().to_owned(), failure.to_string()),
            };
            (kind, plugin, token, nanos(cpu), text(first), second, none())
        }
        Event::Line {
            plugin,
            token,
            line,
            outcome,
            cpu,
        } => {
            let slug = outcome
                .err()
                .map_or_else(none, |failure| failure.slug().to_owned());
            let line = PyBytes::new(py, &line).into_any();
            ("line", plugin, token, nanos(cpu), line, slug, none())
        }
        Event::Asked {
            plugin,
            token,
            number,
            question,
        } => {
            let (kind, first, second, third) = match question {
                Question::Http(request) => ("http", request, none(), none()),
                Question::CallTool(name, arguments) => ("call", name, arguments, none()),
                Question::Arm(key, after_ms, name, arguments) => {
                    ("arm", key, format!("{after_ms} {name}"), arguments)
                }
                Question::Disarm(key) => ("disarm", key, none(), none()),
            };
            (
                kind,
                plugin,
                token,
                u64::from(number),
                text(first),
                second,
                third,
            )
        }
        Event::Said {
            plugin,
            token,
            level,
            text: line,
        } => (
            "log",
            plugin,
            token,
            u64::from(level),
            text(line),
            none(),
            none(),
        ),
    }
}

#[pyclass(frozen)]
struct Sandbox(sandbox::Sandbox);

#[pymethods]
impl Sandbox {
    #[new]
    #[pyo3(signature = (store, threads, memory_bytes))]
    fn new(store: Option<PathBuf>, threads: usize, memory_bytes: usize) -> PyResult<Self> {
        let made = sandbox::Sandbox::new(store.as_deref(), threads, memory_bytes);
        Ok(Self(
            made.map_err(|error| PyOSError::new_err(error.to_string()))?,
        ))
    }

    fn fileno(&self) -> i32 {
        self.0.descriptor()
    }

    fn take<'py>(&self, py: Python<'py>) -> Vec<Told<'py>> {
        let events = self.0.take();
        events.into_iter().map(|event| told(py, event)).collect()
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

fn seconds(timeout_s: f64) -> Duration {
    Duration::try_from_secs_f64(timeout_s.clamp(0.0, DAY_S)).unwrap_or_default()
}

#[pymethods]
impl Plugin {
    #[getter]
    fn number(&self) -> u64 {
        self.0.number()
    }

    fn list_tools(&self, timeout_s: f64) -> u64 {
        self.0.start(Work::ListTools, seconds(timeout_s))
    }

    #[pyo3(signature = (call, result, timeout_s))]
    fn inspect(&self, call: String, result: Option<String>, timeout_s: f64) -> u64 {
        let work = match result {
            Some(result) => Work::InspectResult(call, result),
            None => Work::InspectRequest(call),
        };
        self.0.start(work, seconds(timeout_s))
    }

    #[pyo3(signature = (name, depth, timeout_s, most_bytes=usize::MAX))]
    fn wire(&self, name: &str, depth: usize, timeout_s: f64, most_bytes: usize) -> Wire {
        let plugin = self.0.clone();
        Wire(sandbox::Wire::new(
            plugin,
            name,
            depth,
            most_bytes,
            seconds(timeout_s),
        ))
    }
}

#[pyclass(frozen)]
struct Wire(sandbox::Wire);

#[pymethods]
impl Wire {
    fn send(&self, line: &[u8]) -> Option<u64> {
        self.0.send(line)
    }

    /// As of a transport: what the relay has is one line, or several.
    fn write(&self, lines: &[u8]) {
        for line in lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            self.0.send(line);
        }
    }

    fn cancel(&self, id: &[u8]) {
        self.0.cancel(id);
    }

    #[getter]
    fn open(&self) -> usize {
        self.0.open()
    }
}

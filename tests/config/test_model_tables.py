"""Models, capabilities, power, sampling and `/v1` in a configuration, and what a worker is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tidegate.config.load import load
from tidegate.config.problems import problems_of
from tidegate.config.snapshot import Backend, Capability, Model, Power, Sampling, Snapshot
from tidegate.config.transfer import decode_snapshot, encode_snapshot
from tidegate.errors import ConfigError
from tidegate.pipeline.reload import Fate, plan

DIGEST = "sha256:" + "0" * 64
WHOLE = f"""
[backends.vision]
models = [{{ path = "ocr" }}, {{ path = "models/doctype", digest = "{DIGEST}" }}]
[backends.cloud]
openai = "https://api.example.com/v1"
headers = {{ Authorization = "Bearer abc" }}
chat_model = "large"
[capabilities.read]
order = ["vision__read", "cloud__ocr"]
stay = ["patient"]
[sampling]
tool = "chat"
[openai]
models = {{ "*" = "chat" }}
[power]
profile = "saver"
[models]
memory_bytes = 1000000000
"""


def snapshot_of(folder: Path, text: str) -> Snapshot:
    file = folder / "tidegate.toml"
    file.write_text(text)
    return load([str(file)], {}).snapshot


def refused(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        snapshot_of(folder, text)
    return [f"{problem.line}: {problem.key}: {problem.message}" for problem in problems_of(caught.value)]


def told(backend: Backend) -> dict[str, object]:
    found = json.loads(dict(backend.env)["TIDEGATE_MODELS"].reveal())
    assert isinstance(found, dict)
    return found


def test_a_whole_one_reaches_the_snapshot_and_the_daemon(tmp_path: Path) -> None:
    found = snapshot_of(tmp_path, WHOLE)
    vision, cloud, capabilities = found.backends
    assert vision.transport == "stdio"
    assert vision.models == (Model("ocr", shipped=True), Model(str(tmp_path / "models/doctype"), False, DIGEST))
    assert (cloud.transport, cloud.url, cloud.chat_model) == ("openai", "https://api.example.com/v1", "large")
    assert (capabilities.transport, capabilities.prefix) == ("capability", "")
    assert found.capabilities == (Capability("read", ("vision__read", "cloud__ocr"), stay=("patient",)),)
    assert (found.sampling, found.openai) == (Sampling("chat"), (("*", "chat"),))
    assert decode_snapshot(json.loads(json.dumps(encode_snapshot(found)))) == found


def test_a_worker_is_told_what_holds_for_all(tmp_path: Path) -> None:
    worker = snapshot_of(tmp_path, WHOLE).backends[0]
    found = told(worker)
    assert found["set"] == "vision"
    assert found["memory_bytes"] == worker.memory_bytes == 1_000_000_000
    assert found["power"] == {
        "profile": "saver", "hot_c": 80.0, "cool_c": 70.0, "low_battery_percent": 20.0, "sysfs": "/sys",
    }  # fmt: skip
    assert [model["path"] for model in found["models"]] == ["ocr", str(tmp_path / "models/doctype")]  # type: ignore[attr-defined]


def test_a_worker_that_starts_slowly_is_not_taken_for_an_old_server(tmp_path: Path) -> None:
    """It would be asked again in an era that it does not speak, and fail."""
    vision, cloud, _ = snapshot_of(tmp_path, WHOLE).backends
    assert vision.probe_timeout_s == vision.start_timeout_s > cloud.probe_timeout_s
    patient = WHOLE.replace("[backends.cloud]", "probe_timeout_s = 90\n[backends.cloud]", 1)
    assert snapshot_of(tmp_path, patient).backends[0].probe_timeout_s == 90


def test_a_worker_has_no_more_memory_than_all_have(tmp_path: Path) -> None:
    text = "[backends.a]\nmodels = [{ path = 'ocr' }]\nmemory_bytes = %d\n[models]\nmemory_bytes = 1000"
    assert snapshot_of(tmp_path, text % 10).backends[0].memory_bytes == 10
    assert snapshot_of(tmp_path, text % 10_000).backends[0].memory_bytes == 1000
    assert snapshot_of(tmp_path, "[backends.a]\nmodels = [{ path = 'ocr' }]").backends[0].memory_bytes > 1 << 20


def test_capabilities_stand_beside_the_backends_nobody_named(tmp_path: Path) -> None:
    names = [backend.name for backend in snapshot_of(tmp_path, "[capabilities.a]\norder = ['x']").backends]
    assert names[0] == "host"
    assert names[-1] == "capabilities"


def test_a_changed_capability_is_taken_up_and_nothing_else(tmp_path: Path) -> None:
    old = snapshot_of(tmp_path, WHOLE)
    new = snapshot_of(tmp_path, WHOLE.replace('stay = ["patient"]', 'stay = ["patient", "camera"]'))
    fates = {backend.name: fate for backend, fate in plan(old, new).backends}
    assert fates == {"vision": Fate.UNCHANGED, "cloud": Fate.UNCHANGED, "capabilities": Fate.REPLACED}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[backends.a]\nmodels = [{ path = './m' }]", "2: backends.a.models[0].path: expected `digest"),
        ("[backends.a]\nmodels = []", "2: backends.a.models: expected"),
        ("[backends.a]\nmodels = [{ path = 'ocr' }]\ncommand = 'x'", "expected one way to reach the server"),
        ("[backends.a]\nopenai = 'http://h/v1'", "2: backends.a.openai: expected `chat_model` or `embedding_model`"),
        ("[backends.a]\ncommand = 'x'\nchat_model = 'y'", "3: backends.a.chat_model: expected `openai` beside"),
        ("[capabilities.a]\norder = ['a']", "2: capabilities.a.order[0]: expected a tool of a backend"),
        ("[capabilities.a]\norder = ['x', 'x']", "2: capabilities.a.order[1]: expected each tool once"),
        ("[capabilities.a]\norder = []", "2: capabilities.a.order: expected"),
        (
            "[backends.capabilities]\ncommand = 'x'\n[capabilities.a]\norder = ['x']",
            "1: backends.capabilities: expected another name",
        ),
        ("[power]\nhot_c = 60", "2: power.hot_c: expected `cool_c` below `hot_c`"),
        ("[power]\nprofile = 'eco'", '2: power.profile: expected "auto"'),
        ("[sampling]\nwhen = 'never'", '2: sampling.when: expected "client_cannot"'),
    ],
)
def test_mistakes_are_told_by_line_and_key(tmp_path: Path, text: str, problem: str) -> None:
    assert any(problem in line for line in refused(tmp_path, text)), refused(tmp_path, text)


def test_defaults_are_those_of_the_schema() -> None:
    from tidegate.config.schema import CapabilityTable, ModelsTable, PowerTable

    assert PowerTable().model_dump() == {
        name: getattr(Power(), name) for name in ("profile", "hot_c", "cool_c", "low_battery_percent", "sysfs")
    }
    assert ModelsTable().unload_idle_s == 300
    table = CapabilityTable(order=["x"])
    assert (table.busy_ms, table.attempt_timeout_s) == (
        Capability("", ()).busy_ms,
        Capability("", ()).attempt_timeout_s,
    )

"""Each check of `tidegate doctor` finds its fault when the fault is really there, and only then.

A test is of a check by `@of_check(NAME)`; the last tests see to it that every check has one, and a page.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar

import pytest
from running_gateway import TIDEGATE, WORKSHOP, gateway, workshop_config
from small_model import MODEL, write_model
from small_plugin import write_plugin

from tidegate.cli import exit_codes, main
from tidegate.cli.doctor.case import Case, open_case
from tidegate.cli.doctor.checks import NAMES, load_checks
from tidegate.cli.doctor.examine import examine
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.doctor.sockets import Listener
from tidegate.cli.doctor.trial import Trial
from tidegate.clock import Clock, ManualClock
from tidegate.host.tree import Tree

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "operations" / "checks"
NOBODY = "127.0.0.1:1"
WAIT_S = 60.0
CANARY = "sk-c4nary0123456789abcdef"

TESTED: set[str] = set()
Test = TypeVar("Test", bound=Callable[..., object])


def of_check(name: str) -> Callable[[Test], Test]:
    def note(test: Test) -> Test:
        TESTED.add(name)
        return test

    return note


@pytest.fixture(autouse=True)
def _own_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No gateway, socket or state of whoever runs the tests."""
    for name in ("TIDEGATE_SOCKET", "XDG_RUNTIME_DIR", "STATE_DIRECTORY", "TIDEGATE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TIDEGATE_ADMIN", NOBODY)
    monkeypatch.setenv("TIDEGATE_STATE", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def opened_as(files: list[str], admin: str | None, instead: dict[str, object]) -> Case:
    """The case of these files, with other facts in the place of some."""
    opened = open_case(files, admin)
    for name, value in instead.items():
        setattr(opened, name, value)
    return opened


def found_by(name: str, config: str, *, admin: str | None = None, **case: object) -> list[Finding]:
    """The findings of one check on this `tidegate.toml`, which is private to its owner."""
    file = Path("tidegate.toml")
    if not file.exists() or file.read_text(encoding="utf-8") != config:
        file.write_text(config, encoding="utf-8")
        file.chmod(0o600)
    opened = opened_as([str(file)], admin, case)
    found = examine(opened, load_checks([name]), start=True, told=lambda *_: None)
    for finding in found:
        assert CANARY not in repr(finding)
        assert "the check" not in finding.what, finding
        assert finding.found
        assert finding.fix
    return found


def one(found: Sequence[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def stdio(*command: str, **more: object) -> str:
    lines = [f"command = {json.dumps(command)}", *(f"{key} = {json.dumps(value)}" for key, value in more.items())]
    return "[backends.srv]\n" + "\n".join(lines) + "\n"


def script(path: Path, text: str, mode: int = 0o755) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return str(path)


@of_check("configuration")
def test_a_mistake_in_the_file_is_told_with_its_line() -> None:
    found = found_by("configuration", "[limits]\ndepth = 'x'\n[backends.a]\ncommand = 3\n")
    assert [finding.found for finding in found] == ["tidegate.toml:2", "tidegate.toml:4"]
    assert "limits.depth: expected a whole number" in found[0].what
    assert found[0].paste == ("tidegate check tidegate.toml",)
    assert "not TOML" in one(found_by("configuration", "[")).what
    assert one(found_by("configuration", "[backends.a]\nurl = 'http://h/sse'\n")).severity == "note"
    assert found_by("configuration", "") == []


@of_check("environment")
def test_a_reference_that_leads_nowhere_is_told_with_how_to_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIDEGATE_TEST_UNSET", raising=False)
    config = stdio("true", env={"A": "${TIDEGATE_TEST_UNSET}", "B": "${file:/no/such/file}"})
    variable, file = found_by("environment", config.replace('{"A": ', "{A = ").replace(', "B": ', ", B = "))
    assert variable.what == "backends.srv.env.A needs `TIDEGATE_TEST_UNSET`, which is not set"
    assert "export TIDEGATE_TEST_UNSET=…" in variable.paste
    assert "/no/such/file" in file.what
    assert found_by("configuration", Path("tidegate.toml").read_text(encoding="utf-8")) == []
    monkeypatch.setenv("TIDEGATE_TEST_UNSET", CANARY)
    assert len(found_by("environment", Path("tidegate.toml").read_text(encoding="utf-8"))) == 1


@of_check("config_readable")
def test_a_file_with_a_secret_is_for_its_owner(tmp_path: Path) -> None:
    config = f'[backends.a]\nurl = "http://h/mcp"\nheaders = {{ Authorization = "Bearer {CANARY}" }}\n'
    assert found_by("config_readable", config) == []
    (tmp_path / "tidegate.toml").chmod(0o644)
    finding = one(found_by("config_readable", config))
    assert (finding.severity, finding.paste) == ("warning", ("chmod o-r tidegate.toml",))
    assert "backends.a.headers.Authorization" in finding.found
    (tmp_path / "tidegate.toml").chmod(0o602)
    assert one(found_by("config_readable", config)).severity == "error"
    harmless = '[backends.a]\nurl = "http://h/mcp"\n'
    (tmp_path / "tidegate.toml").write_text(harmless, encoding="utf-8")
    (tmp_path / "tidegate.toml").chmod(0o644)
    assert found_by("config_readable", harmless) == []


@of_check("commands")
def test_a_program_that_cannot_be_started_is_told_with_the_reason(tmp_path: Path) -> None:
    assert found_by("commands", stdio("sh", "-c", "exit")) == []
    missing = one(found_by("commands", stdio("no-such-program-here")))
    assert "its program `no-such-program-here` was not found" in missing.what
    assert missing.backend == "srv"
    assert "no shell replaces `~`" in one(found_by("commands", stdio("~/bin/x"))).fix
    assert one(found_by("commands", stdio("sh -c true"))).paste == ('command = ["sh", "-c", "true"]',)
    plain = script(tmp_path / "plain", "x", 0o644)
    assert one(found_by("commands", stdio(plain))).paste == (f"chmod +x {plain}",)
    moved = script(tmp_path / "venv/bin/server", "#!/gone/venv/bin/python\n")
    assert "needs `/gone/venv/bin/python`" in one(found_by("commands", stdio(moved))).what
    by_env = script(tmp_path / "by_env", "#!/usr/bin/env -S no-such-interpreter -x\n")
    assert "needs `no-such-interpreter`" in one(found_by("commands", stdio(by_env))).what
    assert "is no directory" in one(found_by("commands", stdio("sh", cwd="/no/such/place"))).what
    assert "only a shell understands" in one(found_by("commands", stdio("sh", "|", "sort"))).what


@of_check("node_version")
def test_an_old_node_and_a_missing_one_are_told(tmp_path: Path) -> None:
    bin_ = tmp_path / "bin"
    script(bin_ / "npx", "#!/bin/sh\n")
    config = stdio("npx", "-y", "server") + f'env = {{ PATH = "{bin_}" }}\n'
    assert "`node` is not" in one(found_by("node_version", config)).what
    script(bin_ / "node", "#!/bin/sh\necho v16.20.2\n")
    assert one(found_by("node_version", config)).what == "node v16.20.2 is too old"
    script(bin_ / "node", "#!/bin/sh\necho segfault >&2; exit 1\n")
    assert "does not tell its version" in one(found_by("node_version", config)).what
    script(bin_ / "node", "#!/bin/sh\necho v18.0.0\n")
    assert found_by("node_version", config) == []


@of_check("python_version")
def test_an_old_python_and_a_broken_uv_are_told(tmp_path: Path) -> None:
    old = script(tmp_path / "python3", "#!/bin/sh\necho Python 3.8.20\n")
    assert one(found_by("python_version", stdio(old, "-m", "server"))).what == "Python 3.8.20 is too old"
    broken = script(tmp_path / "uvx", "#!/bin/sh\nexit 1\n")
    assert "does not tell its version" in one(found_by("python_version", stdio(broken, "server"))).what
    assert found_by("python_version", stdio(sys.executable, "-m", "server")) == []


@of_check("exits_at_once")
def test_a_server_that_ends_is_told_with_its_last_words() -> None:
    said = one(found_by("exits_at_once", stdio("sh", "-c", f"echo {CANARY}: missing --root >&2; exit 3")))
    assert said.what == "it ends by itself with status 3 before it answers"
    assert "missing --root" in said.found
    silent = one(found_by("exits_at_once", stdio("sh", "-c", "kill -9 $$")))
    assert "by signal SIGKILL" in silent.what
    too_long = one(found_by("exits_at_once", stdio("sh", "-c", "true " + "x" * 200_000)))
    assert too_long.what == "the system does not start it"
    assert "arguments and environment are too long" in too_long.found
    assert found_by("exits_at_once", stdio(sys.executable, WORKSHOP)) == []


@of_check("stdout_noise")
def test_a_server_that_prints_is_told_with_the_line() -> None:
    talks = f"echo 'Server v1 ready, token {CANARY}'; exec {shlex.join([sys.executable, WORKSHOP])}"
    finding = one(found_by("stdout_noise", stdio("sh", "-c", talks)))
    assert finding.severity == "warning"
    assert finding.found == "line 1 of its stdout: Server v1 ready, token …"
    assert finding.paste == ("echo … >&2",)
    mute = one(found_by("stdout_noise", stdio("sh", "-c", "printf 'a\\nb\\nno newline'")))
    assert (mute.severity, mute.found) == ("error", "line 1 of its stdout: a, and 2 more such lines")
    assert found_by("stdout_noise", stdio(sys.executable, WORKSHOP)) == []


@of_check("slow_start")
def test_a_server_that_does_not_answer_in_time_is_told() -> None:
    config = stdio("sh", "-c", "echo still fetching >&2; exec sleep 60", start_timeout_s=0.5)
    finding = one(found_by("slow_start", config))
    assert finding.severity == "error"
    assert "still fetching" in finding.found
    assert "start_timeout_s = 60" in finding.paste
    assert found_by("slow_start", stdio(sys.executable, WORKSHOP, start_timeout_s=600)) == []


def test_a_server_that_needed_most_of_its_time_is_told_before_it_is_too_late() -> None:
    Path("tidegate.toml").write_text(stdio("true", start_timeout_s=30), encoding="utf-8")
    case = open_case(["tidegate.toml"])
    (check,) = load_checks(["slow_start"])
    for answered_s, severities in ((14.0, []), (16.0, ["warning"])):
        case.trials["srv"] = Trial(answered_s=answered_s, started=True)
        (examination,) = check.examinations(case)
        assert [finding.severity for finding in examination.look()] == severities


def test_a_server_is_started_as_the_gateway_starts_it_and_nothing_of_it_stays(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    leaves = (
        f"sleep 600 & echo $! > {marks}/child; echo $$ > {marks}/own; pwd > {marks}/cwd; env > {marks}/env; exec cat"
    )
    config = stdio("sh", "-c", leaves, cwd=str(marks), start_timeout_s=0.5) + f'env = {{ OWN = "{CANARY}" }}\n'
    os.environ["TIDEGATE_TEST_OTHERS"] = "1"
    try:
        found_by("slow_start", config)
    finally:
        del os.environ["TIDEGATE_TEST_OTHERS"]
    assert (marks / "cwd").read_text().strip() == str(marks)
    environ = (marks / "env").read_text()
    assert f"OWN={CANARY}" in environ
    assert "TIDEGATE_TEST_OTHERS" not in environ
    for name in ("child", "own"):
        pid = int((marks / name).read_text())
        until_s = time.monotonic() + WAIT_S
        while not gone(pid):  # killed, but perhaps not yet dead
            assert time.monotonic() < until_s, f"{name} still runs"


def gone(pid: int) -> bool:
    """Ended, or about to be collected by whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@of_check("name_resolution")
def test_a_name_without_an_address_is_told() -> None:
    finding = one(found_by("name_resolution", '[backends.srv]\nurl = "https://no-such-host.invalid/mcp"\n'))
    assert finding.what == "the name `no-such-host.invalid` has no address"
    assert found_by("name_resolution", '[backends.srv]\nurl = "http://127.0.0.1:1/mcp"\n') == []


@of_check("connection")
def test_an_address_where_nobody_answers_is_told(tmp_path: Path) -> None:
    for way in ('url = "http://127.0.0.1:1/mcp"', 'tcp = "127.0.0.1:1"'):
        finding = one(found_by("connection", f"[backends.srv]\n{way}\n"))
        assert finding.what == "nobody answers at `127.0.0.1:1`"
        assert "nothing listens" in finding.fix
    missing = tmp_path / "missing.sock"
    assert "No such file" in one(found_by("connection", f'[backends.srv]\nunix = "{missing}"\n')).found
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
        assert found_by("connection", f'[backends.srv]\ntcp = "127.0.0.1:{port}"\n') == []


class Endpoint(BaseHTTPRequestHandler):
    """Answers by path; what came is kept by the server."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.came.append((self.command, self.path, dict(self.headers), body))  # type: ignore[attr-defined]
        status, headers, text = self.server.answers.get(self.path, (404, {}, "nothing here"))  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in {"content-length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_DELETE = answer  # noqa: N815  names that http.server asks for

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def http_server(
    answers: dict[str, tuple[int, dict[str, str], str]], tls: ssl.SSLContext | None = None
) -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        server.daemon_threads = True
        server.answers, server.came = answers, []  # type: ignore[attr-defined]
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(WAIT_S)


JSON = {"content-type": "application/json"}
GOOD = (200, {**JSON, "mcp-session-id": "s1"}, '{"jsonrpc":"2.0","id":1,"result":{}}')


@of_check("certificate")
def test_a_certificate_nobody_vouches_for_is_told(tls_pair: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    with http_server({"/mcp": GOOD}, tls_pair[0]) as server:
        port = server.server_port
        config = (
            f'[backends.srv]\nurl = "https://localhost:{port}/mcp"\nheaders = {{ Authorization = "Bearer {CANARY}" }}\n'
        )
        finding = one(found_by("certificate", config))
        assert "self-signed" in finding.found
        assert "update-ca-certificates" in finding.paste
        assert server.came == []  # type: ignore[attr-defined]
    with http_server({"/mcp": GOOD}) as server:
        port = server.server_port
        plain = one(found_by("certificate", f'[backends.srv]\nurl = "https://127.0.0.1:{port}/mcp"\n'))
        assert plain.paste == (f'url = "http://127.0.0.1:{port}/mcp"',)


@of_check("http_answer")
@pytest.mark.parametrize(
    ("answers", "path", "severity", "words"),
    [
        ({"/mcp": (401, {}, "no token")}, "/mcp", "error", "the token is not accepted"),
        ({"/mcp": GOOD}, "/api", "error", "its endpoint is at another path: `/mcp`"),
        ({"/sse": (200, {"content-type": "text/event-stream"}, "")}, "/api", "error", "another path: `/sse`"),
        ({}, "/api", "error", "there is no MCP endpoint at `/api`"),
        ({"/mcp": (307, {"location": "/v2/mcp"}, "")}, "/mcp", "error", "it sends its callers elsewhere"),
        ({"/mcp": (503, {}, f"no {CANARY}")}, "/mcp", "error", "it fails by itself"),
        ({"/mcp": (200, {"content-type": "text/html"}, "<h1>Sign in")}, "/mcp", "error", "is no MCP server"),
        ({"/mcp": GOOD}, "/mcp", None, ""),
        ({"/mcp": (400, JSON, '{"jsonrpc":"2.0","id":null,"error":{}}')}, "/mcp", None, ""),
    ],
)
def test_an_answer_that_is_no_mcp_is_told_by_its_status(
    answers: dict[str, tuple[int, dict[str, str], str]], path: str, severity: str | None, words: str
) -> None:
    with http_server(answers) as server:
        url = f"http://127.0.0.1:{server.server_port}{path}"
        config = f'[backends.srv]\nurl = "{url}"\nheaders = {{ Authorization = "Bearer {CANARY}" }}\n'
        found = found_by("http_answer", config)
        came = server.came  # type: ignore[attr-defined]
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    assert all(words in finding.what for finding in found)
    assert came[0][2]["Authorization"] == f"Bearer {CANARY}"
    if severity is None and "mcp-session-id" in answers[path][1]:
        assert [(method, headers["mcp-session-id"]) for method, _, headers, _ in came[1:]] == [("DELETE", "s1")]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"/v1/models": (401, JSON, f'{{"error":{{"message":"bad {CANARY}"}}}}')}, "the token is not accepted"),
        ({"/v1/models": (308, {"location": "/v2/models"}, "")}, "it sends its callers elsewhere"),
        ({"/v1/models": (500, {}, "")}, "it fails by itself"),
        ({"/v1/models": (200, JSON, "{}")}, ""),
        ({}, ""),
    ],
)
def test_a_service_is_asked_for_its_models_and_nothing_else(
    answers: dict[str, tuple[int, dict[str, str], str]], words: str
) -> None:
    with http_server(answers) as server:
        url = f"http://127.0.0.1:{server.server_port}/v1"
        headers = f'headers = {{ Authorization = "Bearer {CANARY}" }}'
        found = found_by("http_answer", f'[backends.srv]\nopenai = "{url}"\nchat_model = "big"\n{headers}\n')
        came = server.came  # type: ignore[attr-defined]
    assert [(method, path) for method, path, _, _ in came] == [("GET", "/v1/models")]
    assert [finding.what for finding in found] == ([words] if words else [])
    assert CANARY not in repr(found)
    if "elsewhere" in words:
        assert found[0].paste[1].startswith('openai = "http://127.0.0.1:')
        assert found[0].paste[1].endswith('/v2"')


def test_what_speaks_no_http_is_told_as_that() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:

        def greet() -> None:
            with there.accept()[0] as client:
                client.sendall(b"SSH-2.0-x\r\n")

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        found = found_by("http_answer", f'[backends.srv]\nurl = "http://127.0.0.1:{there.getsockname()[1]}/mcp"\n')
        thread.join(WAIT_S)
    assert "does not speak HTTP" in one(found).what


@of_check("ports")
def test_a_port_that_is_taken_is_told_with_who_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finding = one(found_by("ports", f'[listen]\nhttp = "127.0.0.1:{port}"\nadmin = ""\n'))
        assert finding.what == f"`127.0.0.1:{port}` (`listen.http`) cannot be listened on"
        assert f"(pid {os.getpid()}, user " in finding.found
        assert f"ps -fp {os.getpid()}" in finding.paste
    assert found_by("ports", f'[listen]\nhttp = "127.0.0.1:{port}"\nadmin = ""\n') == []
    elsewhere = one(found_by("ports", '[listen]\nhttp = "192.0.2.77:8808"\nallow_public = true\nadmin = ""\n'))
    assert "ip -brief address" in elsewhere.paste


def test_a_port_that_systemd_holds_for_a_socket_unit_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only pid 1 can provoke it, so who holds the port is made up."""
    monkeypatch.setattr("tidegate.cli.doctor.checks.ports.listeners", lambda port: [Listener("root", 1, "systemd")])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        finding = one(found_by("ports", f'[listen]\nhttp = "{address}"\nadmin = ""\n'))
    assert (finding.severity, finding.paste) == ("note", ("systemctl list-sockets",))


def test_a_port_of_the_running_gateway_is_not_taken() -> None:
    with gateway("") as running:
        http = running.http.removeprefix("http://").removesuffix("/mcp")
        admin = running.admin.removeprefix("http://")
        assert found_by("ports", f'[listen]\nhttp = "{http}"\nadmin = "{admin}"\n', admin=running.admin) == []


@of_check("socket_directory")
def test_a_place_where_no_socket_can_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = '[listen]\nunix = "{}"\n'
    assert found_by("socket_directory", config.format(tmp_path / "later" / "s")) == []
    (tmp_path / "file").touch()
    assert "is no directory" in one(found_by("socket_directory", config.format(tmp_path / "file" / "s"))).found
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    finding = one(found_by("socket_directory", config.format(tmp_path / "open" / "s")))
    assert (finding.severity, finding.paste) == ("warning", (f"chmod o-w {tmp_path / 'open'}",))
    monkeypatch.setenv("TIDEGATE_SOCKET", f"/tmp/{'x' * 120}/s")
    assert "the system takes 107" in one(found_by("socket_directory", "")).found


@of_check("stale_socket")
def test_what_is_left_where_the_socket_should_be_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s"
    config = f'[listen]\nunix = "{path}"\n'

    def found() -> list[Finding]:
        """But for what lies in the usual places of this box."""
        return [finding for finding in found_by("stale_socket", config) if str(path) in finding.what]

    assert found() == []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert found() == []
    stale = one(found())
    assert (stale.severity, stale.paste) == ("note", ("tidegate serve", f"rm {path}"))
    path.unlink()
    path.touch()
    assert one(found()).severity == "error"


@of_check("plugin_files")
def test_a_plugin_that_would_not_run_is_told_with_the_reason(tmp_path: Path) -> None:
    file = write_plugin(tmp_path / "g.wasm")
    digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    good = f'[backends.g]\nwasm = "g.wasm"\ndigest = "{digest}"\n'
    assert found_by("plugin_files", good) == []
    assert found_by("plugin_files", good.replace(digest, f"sha256:{'0' * 64}") + "enabled = false\n") == []
    changed = one(found_by("plugin_files", good.replace(digest, f"sha256:{'0' * 64}")))
    assert (changed.severity, changed.backend) == ("error", "g")
    assert "`g` cannot be run: another file than was pinned" in changed.what
    assert changed.found.startswith("tidegate.toml:2: ")
    gone = one(found_by("plugin_files", good.replace("g.wasm", "gone.wasm").replace("backends", "filters")))
    assert "file is missing" in gone.what
    assert gone.why == "calls of the tools it filters are refused"
    lost = found_by("plugin_files", good + "grants.folders = { '/data' = 'nowhere' }\n")
    assert [finding.severity for finding in lost] == ["error", "note"]
    assert "granted a folder that is not there" in lost[0].what
    assert "granted what it does not ask for: folders" in lost[1].what


@of_check("model_files")
def test_a_model_that_would_not_be_loaded_is_told_with_the_reason(tmp_path: Path) -> None:
    folder, digest = write_model(tmp_path / "words")
    good = f'[backends.m]\nmodels = [{{ path = "./words", digest = "{digest}" }}]\n'
    assert found_by("model_files", good) == []
    changed = one(found_by("model_files", good.replace(digest, f"sha256:{'0' * 64}")))
    assert (changed.severity, changed.backend) == ("error", "m")
    assert "`m/words` cannot be loaded: another manifest than was pinned" in changed.what
    assert changed.found.startswith("tidegate.toml:2: ")
    assert f"tidegate model add {folder} --set m --replace" in changed.paste
    assert found_by("model_files", good.replace(digest, f"sha256:{'0' * 64}") + "enabled = false\n") == []
    unknown = one(found_by("model_files", '[backends.m]\nmodels = [{ path = "chta" }]\n'))
    assert "no model `chta` comes with tidegate (did you mean `chat`?)" in unknown.what
    assert "a folder as `./chta`" in unknown.fix
    (folder / "vectors.bin").write_bytes(b"others")
    changed = one(found_by("model_files", good))
    assert "has the SHA-256" in changed.what
    assert "put the new `sha256` into model.toml first" in changed.fix
    assert f"tidegate model add {folder} --set m --replace" in changed.paste
    (folder / "vectors.bin").unlink()
    assert "vectors.bin" in one(found_by("model_files", good)).what
    _, digest = write_model(tmp_path / "far", MODEL + 'install = ["package-that-is-nowhere"]\n')
    far = one(found_by("model_files", f'[backends.m]\nmodels = [{{ path = "./far", digest = "{digest}" }}]\n'))
    assert "needs package-that-is-nowhere" in far.what
    assert far.paste == (f"{sys.executable} -m pip install package-that-is-nowhere",)


@of_check("model_files")
def test_models_that_need_more_memory_than_they_may_have_are_told(tmp_path: Path) -> None:
    _, one_digest = write_model(tmp_path / "a", limits={"memory_bytes": 100 << 20})
    _, other_digest = write_model(tmp_path / "b", limits={"memory_bytes": 60 << 20})
    both = (
        f'[backends.m]\nmodels = [{{ path = "./a", digest = "{one_digest}" }}, '
        f'{{ path = "./b", digest = "{other_digest}" }}]\n[models]\nmemory_bytes = '
    )
    assert found_by("model_files", f"{both}{200 << 20}\n") == []
    turns = one(found_by("model_files", f"{both}{130 << 20}\n"))
    assert turns.severity == "note"
    assert "need 160.0 MiB of memory, and may have 130.0 MiB" in turns.what
    assert turns.paste == (f"[models]\nmemory_bytes = {184 << 20}",)
    never = one(found_by("model_files", f"{both}{90 << 20}\n"))
    assert (never.severity, never.why) == ("error", "it is never loaded")
    assert "`m/a` needs 100.0 MiB" in never.what
    assert never.paste == (f"[models]\nmemory_bytes = {125 << 20}",)


@of_check("model_files")
def test_a_bound_that_helps_is_proposed_whose_ever_it_is(tmp_path: Path) -> None:
    _, digest = write_model(tmp_path / "a", limits={"memory_bytes": 60 << 20})
    entry = f'[backends.m]\nmodels = [{{ path = "./a", digest = "{digest}" }}]\n'

    def pasted(own: int, together: int) -> tuple[str, ...]:
        config = f"{entry}memory_bytes = {own << 20}\n[models]\nmemory_bytes = {together << 20}\n"
        return one(found_by("model_files", config)).paste

    of_set, of_all = (f"[{table}]\nmemory_bytes = {84 << 20}" for table in ("backends.m", "models"))
    assert pasted(50, 1000) == (of_set,)
    assert pasted(1000, 50) == (of_all,)
    assert pasted(60, 50) == (of_set, of_all)
    # The worker itself takes some, too.
    assert pasted(70, 1000) == (of_set,)
    assert found_by("model_files", f"{entry}memory_bytes = {84 << 20}\n") == []


@of_check("state_directory")
def test_a_state_directory_that_cannot_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_STATE", str(tmp_path / "later"))
    assert found_by("state_directory", "") == []
    (tmp_path / "file").touch()
    monkeypatch.setenv("TIDEGATE_STATE", str(tmp_path / "file" / "state"))
    assert "nothing can be kept" in one(found_by("state_directory", "")).what
    monkeypatch.setenv("TIDEGATE_STATE", "")
    assert found_by("state_directory", "") == []


def doctor_in(words: str, name: str) -> list[dict[str, object]]:
    """Findings of one check when the doctor is started by `sh` behind these words."""
    command = f"{words}; exec {shlex.join([*TIDEGATE, 'doctor', '--only', name, '--json', 'tidegate.toml'])}"
    Path("tidegate.toml").touch(0o600)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=WAIT_S)
    assert done.stderr == ""
    found: list[dict[str, object]] = json.loads(done.stdout)["findings"]
    return found


@of_check("disk_space")
def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("TIDEGATE_STATE", str(state))
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*own, "true"], capture_output=True, timeout=WAIT_S).returncode:
        small = os.statvfs_result((4096, 4096, 256, 0, 0, 100, 50, 50, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda place: small)
        finding = one(found_by("disk_space", ""))
        assert finding.severity == "error"
        return
    inner = f"mount -t tmpfs -o size=1m tmpfs {shlex.quote(str(state))}"
    Path("tidegate.toml").touch(0o600)
    doctor = shlex.join([*TIDEGATE, "doctor", "--only", "disk_space", "--json", "tidegate.toml"])
    done = subprocess.run(
        [*own, "sh", "-c", f"{inner} && exec {doctor}"], capture_output=True, text=True, timeout=WAIT_S
    )
    found = [item for item in json.loads(done.stdout)["findings"] if str(state) in item["what"]]
    assert [(item["severity"], item["what"]) for item in found] == [
        ("error", f"1.0 MiB are left on the disk of `{state}`")
    ], done.stderr


@of_check("descriptors")
def test_too_few_descriptors_are_told() -> None:
    (finding,) = doctor_in("ulimit -n 256", "descriptors")
    assert finding["severity"] == "warning"
    assert "256 files may be open" in str(finding["what"])
    Path("tidegate.toml").write_text("[limits]\nconnections = 64\n", encoding="utf-8")
    assert doctor_in("ulimit -n 256", "descriptors") == []


@of_check("memory")
def test_servers_that_may_take_more_than_there_is_are_told(tmp_path: Path) -> None:
    assert found_by("memory", stdio("true", memory_bytes=1 << 20)) == []
    finding = one(found_by("memory", stdio("true", memory_bytes=1 << 50)))
    assert "may take 1.0 PiB" in finding.what
    assert finding.paste == (f"[backends.srv]\nmemory_bytes = {1 << 49}",)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 524288 kB\nMemAvailable: 10240 kB\n")
    assert "10.0 MiB of memory are left" in one(found_by("memory", "", tree=Tree(tmp_path))).what


@of_check("clock")
def test_a_clock_before_its_time_and_one_that_nobody_keeps_are_told(tmp_path: Path) -> None:
    finding = one(found_by("clock", "", clock=ManualClock(0.0)))
    assert "the clock says 1970-01-01 00:00 UTC" in finding.what
    (tmp_path / "run/systemd/timesync").mkdir(parents=True)
    loose = one(found_by("clock", "", tree=Tree(tmp_path)))
    assert (loose.severity, "systemd-timesyncd is running" in loose.found) == ("note", True)
    (tmp_path / "run/systemd/timesync/synchronized").touch()
    assert found_by("clock", "", tree=Tree(tmp_path)) == []


@of_check("another_gateway")
def test_a_gateway_that_was_not_meant_is_told() -> None:
    with gateway("") as running:
        pid = running.process.pid
        said = " ".join(finding.what for finding in found_by("another_gateway", "", admin=NOBODY))
        assert str(pid) in said
        known = found_by("another_gateway", "", admin=running.admin)
        assert all(f"pid {pid})" not in finding.what for finding in known)


@of_check("outdated_configuration")
def test_a_file_that_the_gateway_refused_or_has_not_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(Clock):
        def wall_s(self) -> float:
            return time.time() + 60

    with gateway("[limits]\ndepth = 32\n") as running:
        file = Path(running.config)

        def found(**case: object) -> list[Finding]:
            opened = opened_as([str(file)], running.admin, case)
            return examine(opened, load_checks(["outdated_configuration"]), start=False, told=lambda *_: None)

        assert found() == []
        assert main(["reload", "--admin", running.admin]) == exit_codes.OK
        os.utime(file, (time.time() + 40, time.time() + 40))
        late = one(found(clock=Later()))
        assert "was changed after the gateway" in late.what
        file.write_text("[limits]\ndepth = 'x'\n", encoding="utf-8")
        assert main(["reload", "--admin", running.admin]) == exit_codes.USAGE
        refused = one(found())
        assert refused.severity == "error"
        assert "limits.depth" in refused.found
        other = Path("other.toml")
        other.touch()
        case = open_case([str(other)], running.admin)
        notes = examine(case, load_checks(["outdated_configuration"]), start=False, told=lambda *_: None)
        assert "runs with other files" in notes[0].what


@of_check("backends_down")
def test_a_server_that_is_down_is_told_with_what_the_gateway_says() -> None:
    config = '[backends.srv]\ncommand = ["sh", "-c", "echo no disk >&2; exit 4"]\nstart = "at_once"\n'
    with gateway(config) as running:
        until_s = time.monotonic() + WAIT_S
        while not (found := found_by("backends_down", config, admin=running.admin)):
            assert time.monotonic() < until_s, "the gateway does not say that it is down"
    finding = one(found)
    assert finding.backend == "srv"
    assert "status 4" in finding.found
    assert "no disk" in finding.found


@of_check("backends_down")
def test_a_replica_that_is_down_is_told_while_the_others_work(tmp_path: Path) -> None:
    # Whoever is slow and started anew may have the lock again.
    command = ["flock", "-n", "-E", "4", f"{tmp_path}/lock", sys.executable, "-m", "tidegate.host"]
    config = f'[backends.srv]\ncommand = {json.dumps(command)}\nreplicas = 2\nstart = "at_once"\n'
    # On a busy machine it would be taken for a server with sessions, whose second process waits for a session.
    config += "probe_timeout_s = 60\n"
    with gateway(config) as running:
        until_s, found = time.monotonic() + WAIT_S, []
        # While the other one starts, the backend as a whole may be said to be down.
        while [finding.severity for finding in found] != ["warning"]:
            assert time.monotonic() < until_s, f"the gateway does not say that only one is down, but {found}"
            found = found_by("backends_down", config, admin=running.admin)
    what = one(found).what
    assert "replica 2" in what or "replica 1" in what


@of_check("missing_tools")
def test_a_tool_that_nothing_has_is_told_with_what_was_perhaps_meant() -> None:
    server = f"{workshop_config()}start = 'at_once'\n"
    never = server + '[capabilities.a]\norder = ["workshop__echo", "wrokshop__echo"]\n[sampling]\ntool = "nope"\n'
    slip, nothing = found_by("missing_tools", never)
    assert "did you mean `workshop__echo`?" in slip.what
    assert slip.found == "tidegate.toml:5: no backend of the configuration could have it"
    assert (slip.severity, slip.paste) == ("warning", ("tidegate tools",))
    assert nothing.what.startswith("sampling.tool: `nope` can be no tool")
    there = server + '[openai]\nmodels = { "*" = "workshop__echo", "gpt" = "workshop__ehco" }\n'
    assert found_by("missing_tools", there + "[capabilities.a]\norder = ['workshop__echo']\n") == []
    with gateway(there + "[capabilities.a]\norder = ['workshop__echo']\n") as running:
        assert main(["tools", "--unix", running.unix]) == exit_codes.OK  # so that all were heard
        case = open_case([running.config], running.admin)
        lost = one(examine(case, load_checks(["missing_tools"]), start=False, told=lambda *_: None))
    assert "openai.models.gpt: there is no tool `workshop__ehco`; did you mean `workshop__echo`?" in lost.what
    assert "and not this one" in lost.found


@of_check("open_doors")
def test_doors_that_stand_open_are_told(tmp_path: Path) -> None:
    config = f'[listen]\nunix = "{tmp_path}/s"\nunix_mode = "{{}}"\n'
    assert "every user of this box" in one(found_by("open_doors", config.format("0666"))).what
    assert found_by("open_doors", config.format("0660")) == []
    public = '[listen]\nhttp = "0.0.0.0:8808"\nallow_public = true\n'
    assert "whoever reaches `0.0.0.0:8808`" in one(found_by("open_doors", public)).what
    assert found_by("open_doors", f'{public}[clients.a]\ntoken_sha256 = "{"0" * 64}"\n') == []


@of_check("host_entries")
def test_a_host_that_would_start_what_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".cursor" / "mcp.json"
    program = script(tmp_path / "venv" / "bin" / "tidegate", "#!/bin/sh\n")
    file.parent.mkdir()
    file.write_text(json.dumps({"mcpServers": {"gate": {"command": program, "args": ["connect"]}}}), encoding="utf-8")
    assert found_by("host_entries", "") == []
    Path(program).unlink()
    finding = one(found_by("host_entries", ""))
    assert finding.what == f"Cursor would start `{program}`, which is not there"
    assert finding.paste == ("tidegate install cursor",)
    file.write_text("{", encoding="utf-8")
    assert found_by("host_entries", "") == []


def test_every_check_is_provoked_by_a_test() -> None:
    assert set(NAMES) - TESTED == set()


def test_every_check_has_a_page_of_its_own_with_symptom_cause_and_fix() -> None:
    pages = {page.stem for page in PAGES.glob("*.md")} - {"README"}
    assert pages == set(NAMES)
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    for name in NAMES:
        text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
        assert f"`{name}`" in text
        assert [part for part in ("## Symptom", "## Cause", "## Fix") if part not in text] == []
        assert f"[{name}]({name}.md)" in index


def test_every_check_is_a_file_and_every_file_a_check() -> None:
    folder = ROOT / "python" / "tidegate" / "cli" / "doctor" / "checks"
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(NAMES)
    assert [check.name for check in load_checks(NAMES)] == list(NAMES)

"""`tidegate doctor` as a command: words, JSON, exit codes, bounds; checks that hang or crash; no secret anywhere."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from running_gateway import TIDEGATE, WORKSHOP, gateway, read_until

from tidegate.cli import exit_codes, main
from tidegate.cli.doctor.case import open_case
from tidegate.cli.doctor.check import Examination
from tidegate.cli.doctor.checks import NAMES
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.doctor.report import as_text
from tidegate.cli.doctor.rounds import AT_ONCE, go_round
from tidegate.clock import Clock

SECRET = "c4nary-in-no-known-shape"
WAIT_S = 60.0

BROKEN = f"""\
[listen]
http = "127.0.0.1:0"
admin = ""
unix = "{{folder}}/s"

[backends.talks]
command = ["sh", "-c", "echo listening with {SECRET}; echo {SECRET} >&2; exit 1"]
env = {{{{ TOKEN = "{SECRET}" }}}}

[backends.far]
url = "http://127.0.0.1:1/mcp?token={SECRET}"
headers = {{{{ Authorization = "Bearer {SECRET}" }}}}
"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A configuration with faults and secrets."""
    monkeypatch.setenv("TIDEGATE_ADMIN", "127.0.0.1:1")
    monkeypatch.setenv("TIDEGATE_STATE", str(tmp_path))
    file = tmp_path / "tidegate.toml"
    file.write_text(BROKEN.format(folder=tmp_path), encoding="utf-8")
    file.chmod(0o644)
    return str(file)


def test_each_finding_says_what_how_why_and_what_to_do(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", broken]) == exit_codes.FAILED
    shown = capsys.readouterr().out
    assert shown.startswith(f"configuration  {broken}\ngateway        none answers\n")
    block = shown[shown.index("error    talks: it ends by itself with status 1") :].partition("\n\n")[0]
    for label in ("  found   started as the gateway does", "  why     ", "  fix     "):
        assert label in block
    assert block.endswith("  more    docs/operations/checks/exits_at_once.md")
    assert shown.index("error    ") < shown.index("warning  ")
    assert f"{len(NAMES)} checks: " in shown.splitlines()[-1]


@pytest.mark.parametrize("mode", [[], ["--json"]])
def test_no_secret_is_shown(broken: str, mode: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *mode, broken]) == exit_codes.FAILED
    said = capfd.readouterr()
    assert "stdout_noise" in said.out
    assert "http_answer" in said.out or "connection" in said.out
    assert SECRET not in said.out + said.err


def test_json_holds_the_same_for_programs(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", broken]) == exit_codes.FAILED
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert said.err == ""
    assert (answer["ok"], answer["files"], answer["checks"]) == (False, [broken], len(NAMES))
    assert answer["gateway"] == {"running": False, "pid": None}
    found = {item["check"]: item for item in answer["findings"]}
    assert found["connection"]["backend"] == "far"
    assert found["connection"]["page"] == "docs/operations/checks/connection.md"
    assert answer["counts"]["error"] == sum(item["severity"] == "error" for item in answer["findings"])


@pytest.mark.parametrize(
    ("config", "arguments", "code"),
    [
        ("", [], exit_codes.OK),
        ("nonsense = 1\n", [], exit_codes.USAGE),
        ('[backends.a]\ncommand = ["true"]\nenv = { A = "${TIDEGATE_TEST_UNSET}" }\n', [], exit_codes.USAGE),
        ('[backends.a]\ncommand = ["no-such-program"]\n', [], exit_codes.FAILED),
        ('[backends.a]\ncommand = ["sh", "|"]\n', [], exit_codes.OK),
        ('[backends.a]\ncommand = ["sh", "|"]\n', ["--strict"], exit_codes.FAILED),
    ],
)
def test_the_exit_code_says_how_bad_it_is(
    config: str, arguments: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_ADMIN", "127.0.0.1:1")
    file = tmp_path / "tidegate.toml"
    file.write_text(config, encoding="utf-8")
    only = [word for name in ("configuration", "environment", "commands") for word in ("--only", name)]
    assert main(["doctor", *only, *arguments, str(file)]) == code


def test_a_configuration_that_is_no_toml_does_not_keep_the_box_from_being_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_ADMIN", "127.0.0.1:1")
    (tmp_path / "file").touch()
    monkeypatch.setenv("TIDEGATE_STATE", str(tmp_path / "file" / "x"))
    file = tmp_path / "tidegate.toml"
    file.write_text("[", encoding="utf-8")
    assert main(["doctor", "--json", str(file)]) == exit_codes.USAGE
    found = {item["check"] for item in json.loads(capsys.readouterr().out)["findings"]}
    assert {"configuration", "state_directory"} <= found


def test_nothing_is_started_when_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_ADMIN", "127.0.0.1:1")
    file = tmp_path / "tidegate.toml"
    file.write_text(f'[backends.a]\ncommand = ["touch", "{tmp_path}/started"]\n', encoding="utf-8")
    main(["doctor", "--no-start", str(file)])
    assert not (tmp_path / "started").exists()
    main(["doctor", str(file)])
    assert (tmp_path / "started").exists()


def test_what_a_running_gateway_has_ready_is_started_only_when_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serves = f"echo started >> {tmp_path}/starts; echo noise; exec {shlex.join([sys.executable, WORKSHOP])}"
    with gateway(f"[backends.a]\ncommand = {json.dumps(['sh', '-c', serves])}\n") as running:
        monkeypatch.setenv("TIDEGATE_ADMIN", running.admin)
        assert main(["tools", "--http", running.http]) == exit_codes.OK
        capsys.readouterr()
        assert main(["doctor", "--only", "stdout_noise", running.config]) == exit_codes.OK
        assert "nothing found" in capsys.readouterr().out
        assert main(["doctor", "--only", "stdout_noise", "--start-all", running.config]) == exit_codes.OK
        assert "line 1 of its stdout: noise" in capsys.readouterr().out
    assert (tmp_path / "starts").read_text().count("started") == 2


def test_checks_can_be_listed_chosen_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--list", "--json"]) == exit_codes.OK
    assert [row["check"] for row in json.loads(capsys.readouterr().out)] == list(NAMES)
    assert main(["doctor", "--list", "--only", "clock", "--only", "ports", "--skip", "ports"]) == exit_codes.OK
    assert capsys.readouterr().out.startswith("clock  ")
    assert main(["doctor", "--only", "nothing"]) == exit_codes.USAGE
    assert main(["doctor", "--admin", "ftp://x"]) == exit_codes.USAGE


def test_progress_is_shown_on_a_terminal_and_leaves_no_trace(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text('[backends.a]\ncommand = ["sh", "-c", "exec sleep 60"]\nstart_timeout_s = 0.3\n', encoding="utf-8")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*TIDEGATE, "doctor", "--only", "slow_start", str(file)], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    ) as process:
        os.close(theirs)
        said = read_until(ours, b"start a", WAIT_S)
        while more := read_until(ours, b"\n", WAIT_S):
            said += more
        assert process.stdout is not None
        assert b"it does not answer within" in process.stdout.read()
    os.close(ours)
    assert b"0/1 start a" in said
    assert said.endswith(b"\r\x1b[K")


def note(what: str) -> Finding:
    return Finding("note", what, "looked", "", "nothing")


def quiet(*_: object) -> None:
    pass


def test_a_check_that_crashes_is_a_finding_without_what_it_held() -> None:
    def crash() -> Iterator[Finding]:
        yield note("seen before")
        raise ValueError(SECRET)

    found = go_round([Examination("bad", "srv", crash, 5.0)], Clock(), quiet)
    assert [(item.check, item.backend, item.severity) for item in found] == [("bad", "srv", "warning")]
    assert "ValueError" in found[0].found
    assert SECRET not in repr(found)


def test_a_check_that_hangs_costs_its_deadline_and_keeps_no_other_waiting() -> None:
    forever = threading.Event()

    def hang() -> Sequence[Finding]:
        forever.wait()
        return ()

    hanging = [Examination(f"hang{number}", "", hang, 0.2) for number in range(AT_ONCE)]
    fine = [Examination(f"fine{number}", "", lambda: [note("fine")], 60.0) for number in range(3)]
    found = go_round([*hanging, *fine], Clock(), quiet)
    forever.set()
    assert [item.what for item in found[AT_ONCE:]] == ["fine"] * 3
    assert all("did not come to an end" in item.what for item in found[:AT_ONCE])


def test_checks_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=WAIT_S)

    def meet() -> Sequence[Finding]:
        both.wait()
        return ()

    assert go_round([Examination(name, "", meet, WAIT_S) for name in "ab"], Clock(), quiet) == []


def test_words_of_others_are_made_safe_to_show(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text(f'[backends.a]\ncommand = ["x"]\nenv = {{ T = "{SECRET}" }}\n', encoding="utf-8")
    case = open_case([str(file)], "127.0.0.1:1")
    assert case.quote(f"a\x1b[2J b {SECRET}, 'sk-abcdefgh12345678'\nc") == "a\\x1b[2J b …, … c"
    assert len(case.quote("x y " * 1000)) <= 160


def test_without_a_file_the_running_gateways_own_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with gateway("[limits]\ndepth = 32\n") as running:
        monkeypatch.setenv("TIDEGATE_ADMIN", running.admin)
        monkeypatch.setenv("TIDEGATE_STATE", str(tmp_path))
        assert main(["doctor", "--json", "--only", "ports"]) == exit_codes.OK
        answer = json.loads(capsys.readouterr().out)
        assert answer["files"] == [running.config]
        assert answer["gateway"] == {"running": True, "pid": running.process.pid}


def test_lines_to_paste_are_indented_alike_and_one_check_is_no_checks(tmp_path: Path) -> None:
    finding = Finding("note", "small", "seen", "", "more", ("[models]\nmemory_bytes = 1",), check="model_files")
    shown = as_text(open_case([str(tmp_path / "none.toml")]), [finding], 1).splitlines()
    assert "          [models]" in shown
    assert "          memory_bytes = 1" in shown
    assert shown[-1] == "1 check: 1 note"

"""What is left when the daemon, a client or a socket file goes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from daemon_process import (
    END_S,
    INITIALIZE,
    READY_S,
    Process,
    alive,
    children,
    configuration,
    daemon,
    read_line,
    started,
    wait_gone,
)


def greeted(folder: Path) -> socket.socket:
    """A client that has been answered, so the daemon's children run."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(READY_S)
    client.connect(str(folder / "s"))
    client.sendall(json.dumps(INITIALIZE).encode() + b"\n")
    with client.makefile("rb") as lines:
        assert "result" in json.loads(lines.readline())
    return client


@pytest.mark.parametrize("words", [(), ("stubborn",)], ids=["polite", "stubborn"])
def test_sigterm_ends_the_daemon_with_every_child_and_grandchild(tmp_path: Path, words: tuple[str, ...]) -> None:
    config, pids = configuration(tmp_path, *words)
    with daemon(tmp_path, config) as process:
        with greeted(tmp_path):
            assert len(children(pids)) == 2
            process.popen.send_signal(signal.SIGTERM)
            assert process.popen.wait(END_S) == 0
        wait_gone(pids)
        assert not (tmp_path / "s").exists()


def test_sigterm_ends_the_daemon_with_a_call_in_flight_and_the_caller_hears(tmp_path: Path) -> None:
    config, pids = configuration(tmp_path)
    with daemon(tmp_path, config) as process, greeted(tmp_path) as client:
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "echo", "arguments": {}}}
        client.sendall(json.dumps(call).encode() + b"\n")
        ping = {"jsonrpc": "2.0", "id": 3, "method": "ping"}
        client.sendall(json.dumps(ping).encode() + b"\n")
        with client.makefile("rb") as lines:
            assert json.loads(lines.readline())["id"] == 3
            process.popen.send_signal(signal.SIGTERM)
            last = lines.readlines()
        assert process.popen.wait(END_S) == 0
        answers = [json.loads(line) for line in last]
        assert [answer["id"] for answer in answers if "error" in answer] == [2]
    wait_gone(pids)


def test_sigkill_of_the_daemon_leaves_no_child_and_no_grandchild(tmp_path: Path) -> None:
    config, pids = configuration(tmp_path, "stubborn")
    with daemon(tmp_path, config) as process, greeted(tmp_path):
        assert len(children(pids)) == 2
        process.popen.kill()
        process.popen.wait(END_S)
        wait_gone(pids)


def at_eof(process: Process) -> int:
    """Closes stdin; the exit code. The bound is far below any grace period."""
    assert process.popen.stdin is not None
    process.popen.stdin.close()
    return process.popen.wait(END_S)


def test_connect_through_a_daemon_exits_when_stdin_ends(tmp_path: Path) -> None:
    config, pids = configuration(tmp_path)
    with daemon(tmp_path, config) as running:
        with started("connect", "--unix", str(tmp_path / "s")) as joined:
            joined.say(INITIALIZE)
            assert "result" in read_line(joined.popen.stdout)
            known = children(pids)
            assert at_eof(joined) == 0
        assert running.popen.poll() is None
        assert children(pids) == known
        assert all(alive(pid) for pid in known)
        greeted(tmp_path).close()


def test_connect_says_when_a_configuration_is_not_used(tmp_path: Path) -> None:
    config, _ = configuration(tmp_path)
    with daemon(tmp_path, config), started("connect", "--unix", str(tmp_path / "s"), "--config", str(config)) as joined:
        joined.say(INITIALIZE)
        assert "result" in read_line(joined.popen.stdout)
        assert at_eof(joined) == 0
        assert joined.popen.stderr is not None
        assert b"--config is not used" in joined.popen.stderr.read()


@pytest.mark.parametrize("words", [(), ("stubborn",)], ids=["polite", "stubborn"])
def test_connect_on_its_own_exits_when_stdin_ends_and_leaves_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    config, pids = configuration(tmp_path, *words)
    with started("connect", "--standalone", "--config", str(config)) as alone:
        alone.say(INITIALIZE)
        assert "result" in read_line(alone.popen.stdout)
        assert len(children(pids)) == 2
        assert at_eof(alone) == 0
        wait_gone(pids)


def test_connect_falls_back_to_a_private_gateway_where_no_daemon_runs(tmp_path: Path) -> None:
    config, pids = configuration(tmp_path)
    with started("connect", "--unix", str(tmp_path / "nobody"), "--config", str(config)) as alone:
        alone.say(INITIALIZE)
        assert "result" in read_line(alone.popen.stdout)
        assert at_eof(alone) == 0
        wait_gone(pids)


def test_connect_exits_at_once_when_stdin_is_closed_before_anything_was_said(tmp_path: Path) -> None:
    config, pids = configuration(tmp_path)
    with started("connect", "--standalone", "--config", str(config), stdin=subprocess.DEVNULL) as alone:
        assert alone.popen.wait(END_S) == 0
    wait_gone(pids)


def test_connect_ends_with_the_daemon_it_joined(tmp_path: Path) -> None:
    with daemon(tmp_path) as running, started("connect", "--unix", str(tmp_path / "s")) as joined:
        joined.say(INITIALIZE)
        assert "result" in read_line(joined.popen.stdout)
        running.popen.send_signal(signal.SIGTERM)
        assert running.popen.wait(END_S) == 0
        assert joined.popen.wait(END_S) == 0


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(tmp_path / "s"))
    assert (tmp_path / "s").exists()
    with daemon(tmp_path):
        greeted(tmp_path).close()


def test_a_second_daemon_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with daemon(tmp_path):
        with started("serve", "--http", "127.0.0.1:0", "--admin", "", "--unix", str(tmp_path / "s")) as second:
            assert second.popen.wait(READY_S) == 2
            assert second.popen.stderr is not None
            said = second.popen.stderr.read().decode()
            assert str(tmp_path / "s") in said
            assert "Traceback" not in said
        greeted(tmp_path).close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine", encoding="utf-8")
    with started("serve", "--http", "127.0.0.1:0", "--admin", "", "--unix", str(tmp_path / "s")) as refused:
        assert refused.popen.wait(READY_S) == 2
    assert (tmp_path / "s").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("[backends.s]\ncommand = 5\n", "2", "command"),
        ("[limits]\nbody_bytes = -1\n", "2", "body_bytes"),
        ("[listen]\nhtpp = '127.0.0.1:1'\n", "2", "htpp"),
        ("[backends.s\n", "1", ""),
    ],
)
def test_a_bad_configuration_is_refused_with_file_line_and_key(tmp_path: Path, text: str, line: str, key: str) -> None:
    config = tmp_path / "bad.toml"
    config.write_text(text, encoding="utf-8")
    with daemon(tmp_path):
        with started("serve", "--config", str(config), "--http", "127.0.0.1:0", "--admin", "", "--unix", "") as refused:
            assert refused.popen.wait(READY_S) == 2
            assert refused.popen.stderr is not None
            said = refused.popen.stderr.read().decode()
        assert f"{config}:{line}" in said
        assert key in said
        assert "Traceback" not in said
        greeted(tmp_path).close()

"""Nothing a file system can hold makes a fact raise, hang, leave its root or break its own schema."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import jsonschema
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from recorded_box import TREE, copied_tree, recorded_server, write

from tidegate.clock import ManualClock
from tidegate.host.reading import fraction, natural, printable, whole
from tidegate.host.server import HostServer
from tidegate.host.tree import FILE_BYTES, Tree

PATHS = sorted(str(path.relative_to(TREE)) for path in TREE.rglob("*") if path.is_file() and not path.is_symlink())
VALIDATORS = {
    tool["name"]: jsonschema.Draft202012Validator(tool["outputSchema"])
    for tool in HostServer(ManualClock(), TREE).tools()
}

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(["9" * 400, "-1", "1e309", "nan", "inf", "0x10", "٣", "1_0", "", "-", "18446744073709551615"]),
)
GARBAGE = st.one_of(
    st.binary(max_size=200),
    NUMBERS.map(lambda text: text.encode() + b"\n"),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")),
)


def describe_everything(root: Path) -> None:
    """Calls every tool and reads every resource; each answer must fit its schema."""
    clock = ManualClock()
    server = recorded_server(root, clock)
    clock.advance(1.0)
    for name, validator in VALIDATORS.items():
        result = server.call(name, {})
        validator.validate(result["structuredContent"])
        json.dumps(result, ensure_ascii=False, allow_nan=False).encode("utf-8")
        server.read(f"host://{name}")


@st.composite
def damage(draw: st.DrawFn) -> dict[str, bytes]:
    """Some files of the recorded tree and what they hold instead: garbage, or numbers exchanged for odd ones."""
    changed: dict[str, bytes] = {}
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=12, unique=True)):
        words = (TREE / path).read_bytes().split(b" ")
        if draw(st.booleans()):
            changed[path] = draw(GARBAGE)
        else:
            for place in draw(st.lists(st.integers(0, len(words) - 1), max_size=4)):
                words[place] = draw(GARBAGE)
            changed[path] = b" ".join(words)
    return changed


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(damage())
@example({"proc/stat": b"cpu0\ncpu 1\ncpux 1 2 3 4\nbtime 99999999999999\n"})
@example({"usr/share/zoneinfo/Europe/Lisbon": b"TZif2" + b"\xff" * 60})
@example({"proc/self/mountinfo": b"1 1 0:1 / /../../etc rw - ext4 a rw\n2 1 0:2 / /\\000 rw - ext4 a rw\n"})
@example({"proc/412/stat": b"412 )(\n", "proc/900/stat": b"900 (" + b"\xff" * 99})
@example({"proc/net/if_inet6": b"g" * 32 + b" 01 80 10 80 lo\n", "proc/net/route": b"\n\n\nlo FFFFFFFFF 0 1 0 0 0 0\n"})
def test_a_damaged_box_is_described_as_far_as_it_can_be(changed: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as where:
        root = copied_tree(Path(where) / "box")
        for path, data in changed.items():
            write(root, path, data)
        describe_everything(root)


def test_an_empty_root_has_no_facts_and_no_errors(tmp_path: Path) -> None:
    describe_everything(tmp_path)
    load = recorded_server(tmp_path).call("load", {})["structuredContent"]
    assert load["load_1min"] is None
    assert load["cpus"] == []
    assert load["cpu_pressure"] is None


def test_a_root_that_does_not_exist_is_an_empty_one(tmp_path: Path) -> None:
    describe_everything(tmp_path / "missing")


@pytest.mark.parametrize("path", ["proc/stat", "proc/self/mountinfo", "sys/class/net/eth0/mtu", "sys/class/hwmon"])
def test_things_that_are_no_files_are_missing_ones(tmp_path: Path, path: str) -> None:
    root = copied_tree(tmp_path / "box")
    target = root / path
    if target.is_dir():
        target.rename(root / "away")
    else:
        target.unlink()
    os.mkfifo(target)
    describe_everything(root)
    target.unlink()
    target.symlink_to(target.name)
    describe_everything(root)
    target.unlink()
    target.mkdir()
    describe_everything(root)


def test_a_file_larger_than_the_bound_is_cut_at_a_whole_line(tmp_path: Path) -> None:
    write(tmp_path, "proc/huge", b"0123456789\n" * 100_000)
    text = Tree(tmp_path).text("proc/huge")
    assert text is not None
    assert FILE_BYTES - 11 <= len(text) <= FILE_BYTES
    assert set(text.split("\n")) == {"0123456789", ""}


def test_a_path_never_leaves_the_root(tmp_path: Path) -> None:
    root = tmp_path / "box"
    write(root, "inside", "1")
    write(tmp_path, "outside", "2")
    tree = Tree(root)
    assert tree.whole("inside") == tree.whole("/inside") == 1
    assert tree.whole("../outside") is None
    assert tree.locate(b"a/../../outside") is None
    assert tree.locate("a\0b") is None


def test_a_control_group_path_cannot_climb_out(tmp_path: Path) -> None:
    root = copied_tree(tmp_path / "box")
    write(root, "proc/self/cgroup", "0::/../../../../../outside\n")
    write(tmp_path, "outside/memory.max", "1\n")
    assert recorded_server(root).call("memory", {})["structuredContent"]["cgroup_limit_bytes"] is None


def test_hostile_names_lose_what_is_not_visible(tmp_path: Path) -> None:
    root = copied_tree(tmp_path / "box")
    write(root, "sys/class/hwmon/hwmon0/temp1_label", "a\x1b[31m\u202eb\x00c\n")
    text = recorded_server(root).call("temperatures", {})["content"][0]["text"]
    assert "\x1b" not in text
    assert "\u202e" not in text


@given(st.text())
def test_reading_text_never_raises(text: str) -> None:
    number = whole(text)
    assert number is None or 0 <= number < 2**63
    value = fraction(text)
    assert value is None or 0 <= value <= 1e15
    shown = printable(text)
    assert shown is None or (shown.isprintable() and len(shown) <= 200)
    natural(text)


@given(st.integers(0, 2**63 - 1))
def test_whole_reads_what_the_kernel_prints(number: int) -> None:
    assert whole(f"{number}\n") == number


def test_natural_order_counts() -> None:
    assert sorted(["a10", "a9", "b1", "10", "9"], key=natural) == ["9", "10", "a9", "a10", "b1"]

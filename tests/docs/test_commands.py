"""The documentation, run: README and docs say nothing that does not work.

Fenced blocks by their first line:

- ```` ```sh run ````: run by `sh -eu` in an empty directory, against a daemon on its embedded default;
- ```` ```sh make ````: targets of the Makefile, gone through by `make -n`;
- ```` ```toml ```` and ```` ```json ````: whole configurations, which `tidegate check` must accept;
- ```` ```text ````: illustration.

Any other block is refused, so that none is passed over silently. The default ports in blocks stand for those of the
test's daemon.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from select import select

import pytest

from tidegate.cli import exit_codes
from tidegate.cli.verbs import VERBS

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md")))
FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
START_S = 30.0
BLOCK_S = 120.0
README_LINES = 75
"""One screen of text and the table."""


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1].strip(), found[2])
        for found in FENCE.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def blocks(*kinds: str) -> list[Block]:
    return [block for block in BLOCKS if block.kind in kinds]


@contextmanager
def daemon(folder: Path) -> Iterator[dict[str, str]]:
    """The embedded default on free ports; yields the environment of a person beside it."""
    programs = folder / "bin"
    programs.mkdir()
    command = programs / "tidegate"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tidegate "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TIDEGATE_")}
    environment |= {"PATH": f"{programs}:{environment['PATH']}", "TIDEGATE_SOCKET": str(folder / "gate.sock")}
    listen = ["--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    with subprocess.Popen(
        [str(command), "serve", *listen], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            assert select([process.stdout], [], [], START_S)[0], "the daemon is not ready"
            ready = json.loads(process.stdout.readline())
            yield environment | {
                "TIDEGATE_ADMIN": ready["admin"],
                "AT_8808": ready["http"][0].removeprefix("http://").removesuffix("/mcp"),
                "AT_8809": ready["admin"].removeprefix("http://"),
                "AT_8810": ready["tcp"][0],
            }
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="module")
def beside() -> Iterator[dict[str, str]]:
    with tempfile.TemporaryDirectory(prefix="tg-") as folder, daemon(Path(folder)) as environment:
        yield environment


def placed(text: str, environment: dict[str, str]) -> str:
    """The block with the default ports replaced."""
    for port in ("8808", "8809", "8810"):
        text = text.replace(f"127.0.0.1:{port}", environment[f"AT_{port}"])
        host, _, number = environment[f"AT_{port}"].rpartition(":")
        text = text.replace(f'("127.0.0.1", {port})', f'("{host}", {number})')
    return text


@pytest.mark.parametrize("block", blocks("sh run"), ids=str)
def test_a_block_of_commands_does_what_it_says(block: Block, beside: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-eu", "-c", placed(block.text, beside)],
        cwd=tmp_path,
        env=beside,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BLOCK_S,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("block", blocks("sh make"), ids=str)
def test_the_makefile_has_the_targets_that_are_named(block: Block) -> None:
    for line in block.text.splitlines():
        words = shlex.split(line)
        assert words[0] == "make", f"{block}: `{line}` is no make command"
        done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=BLOCK_S)
        assert done.returncode == 0, f"{block}: {line}\n{done.stderr}"


@pytest.mark.parametrize("block", blocks("toml", "json"), ids=str)
def test_a_configuration_shown_is_accepted(block: Block, tmp_path: Path) -> None:
    file = tmp_path / f"shown.{block.kind}"
    file.write_text(block.text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tidegate", "check", "--without-secrets", str(file)],
        capture_output=True,
        text=True,
        timeout=BLOCK_S,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def test_no_block_is_passed_over_silently() -> None:
    known = ("sh run", "sh make", "toml", "json", "text")
    assert [f"{block}: `{block.kind}`" for block in BLOCKS if block.kind not in known] == []
    for page in PAGES:
        fences = re.findall(r"^\s*(?:```|~~~)", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(blocks_of(page)), f"{page.name} has a block that is not read"


def test_every_relative_link_leads_somewhere() -> None:
    dead = []
    for page in PAGES:
        for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
            path, _, anchor = target.partition("#")
            if "://" in target:
                continue
            found = page.parent / path if path else page
            if not found.exists() or (anchor and anchor not in anchors(found)):
                dead.append(f"{page.name}: {target}")
    assert dead == []


def anchors(page: Path) -> set[str]:
    """Of the headings, as they are made for Markdown on the web."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    named = re.findall(r'<a id="([\w-]+)"></a>', text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings} | set(named)


def test_every_file_that_is_named_exists() -> None:
    """Paths in backquotes that end like source files, from the root or from the package."""
    named = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|rs|pyi))`")
    package = ROOT / "python" / "tidegate"
    missing = [
        f"{page.name}: {path}"
        for page in PAGES
        for path in named.findall(page.read_text(encoding="utf-8"))
        if not any((place / path).exists() for place in (ROOT, package, package / "pipeline"))
    ]
    assert missing == []


def test_the_page_of_the_command_line_has_every_verb_and_exit_code() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [verb.name for verb in VERBS if f"| `{verb.name}` |" not in text] == []
    assert [code for code in exit_codes.MEANINGS if f"| {code} |" not in text] == []


def test_the_page_of_the_configuration_has_every_field_and_the_right_limits() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tidegate", "schema"], capture_output=True, text=True, timeout=BLOCK_S, check=True
    )
    tables = json.loads(done.stdout)["$defs"]
    fields = [key for table in tables.values() for key in table["properties"]]
    assert [key for key in fields if not re.search(rf"(?:`{key}`|^{key} = |\b{key}\b)", text, re.MULTILINE)] == []
    limits = tables["LimitsTable"]["properties"]
    assert [key for key, field in limits.items() if f"| `{key}` | {field['default']} |" not in text] == []
    backend = tables["BackendTable"]["properties"]
    for key, default in re.findall(r"^\| `(\w+)` \| (\S+) \|", text.partition("## Limits")[0], re.MULTILINE):
        assert key in backend, f"`{key}` is no field of a backend"
        assert json.loads(default) == backend[key]["default"], key


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES

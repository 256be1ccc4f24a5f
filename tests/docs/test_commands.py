"""The documentation, run: README and docs say nothing that does not work.

Fenced blocks by their first line:

- ```` ```sh run ````: run by `sh -eu` in an empty directory, against a daemon on its embedded default; a line that
  begins with `!` must fail;
- ```` ```sh make ````: targets of the Makefile, gone through by `make -n`;
- ```` ```toml ```` and ```` ```json ````: whole configurations, which `tidegate check` must accept;
- ```` ```toml served ````: the same, and what a gateway is run with beside the commands of its section, one after the
  other in one directory; a ```` ```python as FILE ```` of the section lies in it, and its conversations
  (`conversation.py`) are had with that gateway;
- ```` ```text ````: illustration.

Any other block is refused, so that none is passed over silently. The default ports in blocks stand for those of the
test's daemon, and 8811, in sections with a gateway, for a free one: a server of that section's own may be there. What
plugins are built with is where `make wasm` has put it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from select import select

import pytest
from played_conversation import have

from tidegate.cli import exit_codes
from tidegate.cli.verbs import VERBS
from tidegate.config.snapshot import Bounds, Grants
from tidegate.errors import CapabilityFailed, ModelFailed, PluginFailed
from tidegate.models.catalogue import TASKS
from tidegate.models.manifest import ModelLimits
from tidegate.pipeline.capabilities.decision import WHYS

ROOT = Path(__file__).resolve().parents[2]
WASM = ROOT / "wasm"
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("**/*.md")),
    WASM / "README.md",
    *sorted(path for path in WASM.glob("*/README.md") if path.parent.name != "node_modules"),
)
FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
AS_FILE = re.compile(r"python as ([\w.-]+)")
MUST_FAIL = re.compile(r"^! (.*?)(?: +#.*)?$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
START_S = 30.0
BLOCK_S = 120.0
ELSEWHERE = "8811"
"""Port of a server that a section has beside its gateway."""
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


@dataclass(frozen=True)
class Scene:
    """A section with a gateway of its own."""

    served: Block
    files: tuple[Block, ...]
    acts: tuple[Block, ...]

    def __str__(self) -> str:
        return str(self.served)


def scenes_of(page: Path) -> Iterator[Scene]:
    headings = [number for number, line in enumerate(page.read_text("utf-8").splitlines(), 1) if line.startswith("## ")]
    sections: dict[int, list[Block]] = {}
    for block in blocks_of(page):
        sections.setdefault(sum(number < block.line for number in headings), []).append(block)
    for section in sections.values():
        served = [block for block in section if block.kind == "toml served"]
        if served:
            assert len(served) == 1, f"{served[1]}: a section has one gateway"
            files = tuple(block for block in section if AS_FILE.fullmatch(block.kind))
            acts = tuple(block for block in section if block.kind in ("sh run", "text conversation"))
            yield Scene(served[0], files, acts)


SCENES = [scene for page in PAGES for scene in scenes_of(page)]
PLAYED = {act for scene in SCENES for act in scene.acts}


@contextmanager
def daemon(folder: Path, *options: str, cwd: Path | None = None) -> Iterator[dict[str, str]]:
    """A gateway on free ports, the embedded default without options; yields the environment of a person beside it."""
    programs = folder / "bin"
    programs.mkdir()
    command = programs / "tidegate"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tidegate "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TIDEGATE_")}
    environment |= {
        "PATH": f"{programs}:{environment['PATH']}:{WASM / '.venv/bin'}",
        "TIDEGATE_SOCKET": str(folder / "gate.sock"),
        "TIDEGATE_STATE": str(folder / "state"),
    }
    if (WASM / "target").is_dir():
        # Rust's library for WebAssembly is there already, which takes a minute to build.
        environment["CARGO_TARGET_DIR"] = str(WASM / "target")
    listen = ["--http", "127.0.0.1:0", "--tcp", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    with subprocess.Popen(
        [str(command), "serve", *listen, *options],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environment,
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
    for port in ("8808", "8809", "8810", ELSEWHERE):
        at = environment.get(f"AT_{port}")
        if at is not None:
            text = text.replace(f"127.0.0.1:{port}", at)
            host, _, number = at.rpartition(":")
            text = text.replace(f'("127.0.0.1", {port})', f'("{host}", {number})')
    return text


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


def run(block: Block, environment: dict[str, str], folder: Path) -> None:
    # A command after `!` never ends a script by itself, whatever becomes of it.
    text = MUST_FAIL.sub(r"if \1; then echo 'this did not fail: \1' >&2; exit 1; fi", block.text)
    done = subprocess.run(
        ["sh", "-eu", "-c", placed(text, environment)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BLOCK_S,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("block", [block for block in blocks("sh run") if block not in PLAYED], ids=str)
def test_a_block_of_commands_does_what_it_says(block: Block, beside: dict[str, str], tmp_path: Path) -> None:
    run(block, beside, tmp_path)


@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_a_section_with_a_gateway_of_its_own_does_what_it_says(scene: Scene) -> None:
    with tempfile.TemporaryDirectory(prefix="tg-") as name:
        folder = Path(name)
        elsewhere = {f"AT_{ELSEWHERE}": free_address()}
        (folder / "tidegate.toml").write_text(placed(scene.served.text, elsewhere), encoding="utf-8")
        for file in scene.files:
            (folder / file.kind.rpartition(" ")[2]).write_text(placed(file.text, elsewhere), encoding="utf-8")
        (folder / "run").mkdir()
        with daemon(folder / "run", "--config", "tidegate.toml", cwd=folder) as environment:
            for act in scene.acts:
                if act.kind == "sh run":
                    run(act, environment, folder)
                else:
                    have(act.text, ["tidegate", "connect"], environment)


def test_every_file_and_conversation_belongs_to_a_gateway() -> None:
    loose = [block for block in BLOCKS if AS_FILE.fullmatch(block.kind) or block.kind == "text conversation"]
    used = PLAYED | {file for scene in SCENES for file in scene.files}
    assert [str(block) for block in loose if block not in used] == []


@pytest.mark.parametrize("block", blocks("sh make"), ids=str)
def test_the_makefile_has_the_targets_that_are_named(block: Block) -> None:
    for line in block.text.splitlines():
        words = shlex.split(line)
        assert words[0] == "make", f"{block}: `{line}` is no make command"
        done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=BLOCK_S)
        assert done.returncode == 0, f"{block}: {line}\n{done.stderr}"


@pytest.mark.parametrize("block", blocks("toml", "toml served", "json"), ids=str)
def test_a_configuration_shown_is_accepted(block: Block, tmp_path: Path) -> None:
    file = tmp_path / f"shown.{block.kind.partition(' ')[0]}"
    file.write_text(block.text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tidegate", "check", "--without-secrets", str(file)],
        capture_output=True,
        text=True,
        timeout=BLOCK_S,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"


def test_no_block_is_passed_over_silently() -> None:
    known = ("sh run", "sh make", "toml", "toml served", "json", "text", "text conversation")
    unread = [block for block in BLOCKS if block.kind not in known and not AS_FILE.fullmatch(block.kind)]
    assert [f"{block}: `{block.kind}`" for block in unread] == []
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
    shown = {found[1] for block in BLOCKS if (found := AS_FILE.fullmatch(block.kind))}
    places = (ROOT, package, package / "pipeline", package / "plugins" / "templates" / "rust")
    missing = [
        f"{page.name}: {path}"
        for page in PAGES
        for path in named.findall(page.read_text(encoding="utf-8"))
        if path not in shown and not any((place / path).exists() for place in (*places, page.parent))
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


def test_the_page_of_plugins_has_every_grant_bound_error_and_import() -> None:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    module = (ROOT / "rust" / "sandbox" / "src" / "module.rs").read_text(encoding="utf-8")
    imports = re.findall(r'func_wrap\(\s*MODULE,\s*"(\w+)"', module)
    assert len(imports) > 5, "module.rs is read otherwise than it is written"
    names = [error.slug for error in PluginFailed.__subclasses__()] + imports
    names += [field.name for table in (Grants, Bounds) for field in fields(table)]
    assert [name for name in names if not any(row.startswith(f"| `{name}") for row in rows)] == []


def rows_of(page: str) -> str:
    """The tables of a page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if line.startswith("|"))


def test_the_page_of_models_has_every_task_setting_limit_error_and_model_that_comes() -> None:
    rows = rows_of("models.md")
    models = ROOT / "python" / "tidegate" / "models"
    read = re.compile(r"""settings\.(?:text|choice|flag|whole|number|numbers|texts|words)\(\s*"(\w+)""")
    settings = {name for source in models.glob("**/*.py") for name in read.findall(source.read_text(encoding="utf-8"))}
    assert len(settings) > 40, "the tasks are read otherwise than they are written"
    names = [*settings, *TASKS, *(error.slug for error in ModelFailed.__subclasses__()), ModelFailed.slug]
    names += [path.parent.name for path in models.glob("shipped/*/model.toml")]
    assert [name for name in names if f"`{name}`" not in rows] == []
    bounds = {field.name: field.default for field in fields(ModelLimits)}
    assert [name for name, default in bounds.items() if f"| `{name}` | {default}: " not in rows] == []


def test_the_page_of_fallback_has_every_reason_error_and_key_with_its_default() -> None:
    rows = rows_of("fallback.md")
    errors = [error.slug for error in CapabilityFailed.__subclasses__()] + [CapabilityFailed.slug]
    assert [name for name in (*WHYS, *errors) if not re.search(rf"^\| `{name}` \|", rows, re.MULTILINE)] == []
    done = subprocess.run(
        [sys.executable, "-m", "tidegate", "schema"], capture_output=True, text=True, timeout=BLOCK_S, check=True
    )
    keys = json.loads(done.stdout)["$defs"]["CapabilityTable"]["properties"]
    shown = dict(re.findall(r"^\| `(\w+)` \| ?(.*?) ?\|", rows, re.MULTILINE))
    assert {key: shown.get(key) for key in keys} == {
        key: json.dumps(field["default"]) if "default" in field else {"order": "", "stay": "[]"}[key]
        for key, field in keys.items()
    }


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES

"""Builds the hostile guests into build/: build.py WASM_TOOLS CLANG.

A `.wat` has only what its guest is about; what every guest needs beside that is added here. README.md lists them
all, with what their callers get, and is compared with what was built.
"""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from embed_manifest import embed, uleb128  # noqa: E402

OUT = HERE / "build"

MEMORY = '(memory (export "memory") 2)'
ALLOC = '(func (export "tidegate_alloc") (param i32) (result i32) (i32.const 1024))'
FINE = '{"result":{"content":[{"type":"text","text":"fine"}]}}'
REALLOC = '(func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))'
LIST_TOOLS = """(data (i32.const 4096) "\\08\\10\\00\\00\\02\\00\\00\\00[]")
(func (export "tidegate:plugin/tool@0.1.0#list-tools") (result i32) (i32.const 4096))"""

# Guests whose only fault is what they answer.
ANSWERS = {
    "answers-nothing": b"",
    "answers-no-json": b"hello",
    "answers-no-text": b'{"result":{"content":[{"type":"text","text":"\xff\xfe"}]}}',
    "answers-half-json": b'{"result":{"content":[{"type":"text","te',
    "answers-deeply": b'{"result":{"content":[],"structuredContent":{"a":' + b"[" * 20000 + b"]" * 20000 + b"}}}",
    "answers-wrong-shape": b'{"result":[1,2]}',
    "answers-wrong-content": b'{"result":{"content":"hello"}}',
    "answers-neither": b'{"answer":{}}',
    "answers-both": b'{"result":{"content":[]},"error":"no"}',
    "answers-twice": b'{"result":{"content":[]},"result":{"content":[1]}}',
    "answers-error-object": b'{"error":{"code":-32601}}',
    "answers-injected-members": b'{"result":{"content":[]},"id":7,"method":"evil"}',
    "answers-two-messages": b'{"result":{"content":[]}}\n{"jsonrpc":"2.0","method":"evil"}',
    # JSON may have line ends between its tokens; where messages are lines, they must not get through.
    "answers-in-lines": b'{\n"result":\r\n{"content"\n:[]}}\n',
    "answers-input-required": b'{"result":{"resultType":"input_required","inputRequests":{},"content":[]}}',
}

# What it would use, as the manifest asks for it; `takes-…` are not granted it.
ASKS = {
    "log": ("floods-log", "logs-outside", "forges-log", "takes-log"),
    "time": ("takes-time", "component-takes-time", "calls-from-realloc"),
    "store_bytes": ("floods-store", "stores-long-key", "stores-no-text", "takes-store"),
    "http": ("takes-http",),
    "call": ("takes-tools", "arms-without-end", "calls-itself"),
}
ASKED = {"log": "true", "time": "true", "store_bytes": "65536", "http": '["127.0.0.1:1"]', "call": '["*"]'}


def manifest(name: str) -> bytes:
    lines = [f'name = "{name[:32].rstrip("-")}"', 'version = "1.0.0"', 'description = "hostile"']
    if name.startswith("filter-"):
        lines += ['world = "filter"', 'inspects = ["request", "result"]']
    else:
        lines += ['world = "tool"', "[[tools]]", 'name = "go"', 'description = "does it"']
        lines += ['input_schema = { type = "object" }']
    lines += ["[asks]", *(f"{what} = {ASKED[what]}" for what, names in ASKS.items() if name in names)]
    lines += ["[limits]", "memory_bytes = 16777216", "deadline_ms = 300", "output_bytes = 1048576"]
    return "\n".join(lines).encode() + b"\n"


def data(at: int, content: bytes) -> str:
    return f'(data (i32.const {at}) "{"".join(f"{chr(92)}{byte:02x}" for byte in content)}")'


def call_answering(at: int, length: int) -> str:
    return f"(i64.const {at << 32 | length})"


def module(body: str) -> str:
    parts = [body]
    if "(memory (" not in body and '"memory" (memory' not in body:
        parts.append(MEMORY)
    if '"tidegate_alloc"' not in body:
        parts.append(ALLOC)
    if "call $fine" in body:
        parts += [data(512, FINE.encode()), f"(func $fine (result i64) {call_answering(512, len(FINE))})"]
    return f"(module {' '.join(parts)})"


def answering(answer: bytes) -> str:
    pages = (8192 + len(answer)) // 65536 + 1
    call = f'(func (export "tidegate_call") (param i32 i32) (result i64) {call_answering(8192, len(answer))})'
    return module(f'(memory (export "memory") {pages}) {data(8192, answer)} {call}')


def core(body: str) -> str:
    """Of a component."""
    parts = [body, MEMORY, "" if '"cabi_realloc"' in body else REALLOC, "" if "/filter@" in body else LIST_TOOLS]
    return f"(module {' '.join(parts)})"


def broken(good: bytes) -> dict[str, bytes]:
    """What is no WASM, or only begins as it."""
    header, component = b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"
    endless = uleb128(0xFFFFFFFF)
    return {
        "is-no-wasm": b"#!/bin/sh\nexit 0\n",
        "is-empty": b"",
        "is-only-header": header,
        "is-truncated": good[: len(good) // 2],
        "is-of-another-version": b"\0asm\x07\0\0\0" + good[8:],
        # A section of types says that four thousand million follow.
        "counts-too-many-types": header + b"\x01" + uleb128(5) + endless,
        "counts-too-many-functions": header + b"\x01\x04\x01\x60\0\0" + b"\x03" + uleb128(5) + endless,
        "section-longer-than-file": header + b"\x01" + endless + b"\x01",
        "number-without-end": header + b"\x01" + b"\x80" * 4096,
        # A component in a component in a component…
        "nests-components": nested(component, 3000),
        # 60,000 parameters of one function.
        "has-too-many-parameters": header + section(1, b"\x01\x60" + uleb128(60000) + b"\x7f" * 60000 + b"\0"),
        "has-too-many-locals": header
        + section(1, b"\x01\x60\0\0")
        + section(3, b"\x01\0")
        + section(10, b"\x01" + sized(b"\x01" + endless + b"\x7f" + b"\x0b")),
    }


def sized(content: bytes) -> bytes:
    return uleb128(len(content)) + content


def section(number: int, content: bytes) -> bytes:
    return bytes([number]) + sized(content)


def nested(header: bytes, depth: int) -> bytes:
    inside = header
    for _ in range(depth):
        inside = header + section(4, inside)
    return inside


def main() -> None:
    wasm_tools, clang = sys.argv[1:]
    OUT.mkdir(exist_ok=True)
    built: set[str] = set()

    def tools(*arguments: str | Path, stdin: bytes | None = None) -> bytes:
        command = [wasm_tools, *map(str, arguments)]
        return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout  # noqa: S603 -- the build's own

    def put(name: str, wasm: bytes, with_manifest: bool = True) -> None:
        (OUT / f"{name}.wasm").write_bytes(embed(wasm, manifest(name)) if with_manifest else wasm)
        if not with_manifest:
            # Beside it, so that its fault is what is refused.
            (OUT / f"{name}.toml").write_bytes(manifest(name))
        built.add(name)

    for source in sorted((HERE / "modules").glob("*.wat")):
        put(source.stem, tools("parse", "-", stdin=module(source.read_text()).encode()))
    for name, answer in ANSWERS.items():
        put(name, tools("parse", "-", stdin=answering(answer).encode()))
    for source in sorted((HERE / "components").glob("*.wat")):
        world = "filter-plugin" if source.stem.startswith("filter-") else "tool-plugin"
        wasm = tools("parse", "-", stdin=core(source.read_text()).encode())
        wasm = tools("component", "embed", HERE.parent / "wit", "--world", world, "-", stdin=wasm)
        put(source.stem, tools("component", "new", "-", stdin=wasm))
    target = ["--target=wasm32-wasi", "-O2", "-nostartfiles", "-Wl,--no-entry,--strip-all,-zstack-size=16384"]
    compiled = OUT / "calls-itself.core.wasm"
    command = [clang, *target, "-o", compiled, HERE / "calls-itself.c"]
    subprocess.run(command, check=True)  # noqa: S603 -- the build's own
    good = compiled.read_bytes()
    compiled.unlink()
    put("calls-itself", good)
    for name, wasm in broken(good).items():
        put(name, wasm, with_manifest=False)

    told = set(re.findall(r"^\| `([a-z0-9-]+)` \|", (HERE / "README.md").read_text(), re.MULTILINE))
    if told != built:
        sys.exit(f"README.md and what is built differ: {sorted(told ^ built)}")


if __name__ == "__main__":
    main()

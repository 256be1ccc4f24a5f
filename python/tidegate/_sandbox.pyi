"""The WASM sandbox (`rust/sandbox`), as Python sees it. Imported by `sandbox/` alone, and only for plugins."""

from typing import Literal, TypedDict, final

VERSION: str

class Facts(TypedDict):
    kind: Literal["component", "module"]
    imports: list[str]
    """`module.name` of a core module, names of interfaces of a component; at most 1,000, as are exports."""
    exports: list[str]

class Granted(TypedDict, total=False):
    folders: list[tuple[str, str, bool]]
    """Path in the guest, path on the box, whether it may write."""
    log: bool
    time: bool
    random: bool
    store_bytes: int
    http: bool
    call: bool

class Bounded(TypedDict, total=False):
    memory_bytes: int
    deadline_ms: int
    output_bytes: int
    concurrency: int
    queued: int

Event = tuple[str, int, int, int, str, str, str] | tuple[Literal["line"], int, int, int, bytes, str, str]
"""What, the number of the plugin, the token of its call, a number, and three texts:

- `result`, `error`, `pass`, `change`, `refuse`, `ask`: the call is over; processor time in nanoseconds, what was said;
- `failed`: it is over; processor time, the error's slug, and words;
- `line`: a call over a wire is over; processor time, the answer with its newline, and the slug of what went wrong or
  nothing;
- `http`, `call`, `arm`, `disarm`: it waits for an answer; the question's number, and what it is about. Of `arm` the
  second text is milliseconds, a blank, and the tool's name;
- `log`: the level, 0 to 3, and a line; plugin 0 is the sandbox itself.
"""

def compile(wasm: bytes, target: str | None = None) -> bytes:
    """Native code for this box, or for a triple. Takes long and much memory: for a process of its own.

    Raises: ValueError.
    """

def engine_key(target: str | None = None) -> str:
    """Names what code must have been compiled by and for. Usable as a file name. Raises: ValueError."""

def examine(wasm: bytes) -> Facts:
    """What the outermost module or component is; nothing is compiled. Raises: ValueError."""

def new_key() -> tuple[bytes, bytes]:
    """An Ed25519 key: secret and public, 32 bytes each. Raises: OSError."""

def sign(secret: bytes, message: bytes) -> bytes:
    """64 bytes."""

def verify(public: bytes, message: bytes, signature: bytes) -> bool: ...

@final
class Plugin:
    """One that is loaded. `list_tools` and `inspect` give the token of a call."""

    @property
    def number(self) -> int: ...
    def list_tools(self, timeout_s: float) -> int: ...
    def inspect(self, call: str, result: str | None, timeout_s: float) -> int: ...
    def wire(self, name: str, depth: int, timeout_s: float, most_bytes: int = ...) -> Wire:
        """`name`: for people. `depth`: how deeply an answer may be nested. `timeout_s`: of a call. `most_bytes`: of a
        line; an answer that would make a longer one is too large, whatever the guest's bound.
        """

@final
class Wire:
    """A plugin as a server that speaks in lines, as far as `tools/call` goes."""

    def send(self, line: bytes) -> int | None:
        """Starts a call: its token. None for what is no `tools/call`."""

    def write(self, lines: bytes) -> None:
        """As of a transport."""

    def cancel(self, id: bytes) -> None:
        """Nobody waits for the answer to the request with this raw id."""

    @property
    def open(self) -> int:
        """Calls whose answers are not there yet."""

@final
class Sandbox:
    def __init__(self, store: str | None, threads: int, memory_bytes: int) -> None:
        """`store`: the file that plugins keep things in; None for memory only. `threads`: guests that compute at once.
        `memory_bytes`: of all guests together. Raises: OSError.
        """

    def fileno(self) -> int:
        """Readable while `take` has something."""

    def take(self) -> list[Event]: ...
    def answer(self, token: int, number: int, json: str, error: str | None = None) -> None: ...
    def cancel(self, token: int) -> None:
        """It still ends, one way or the other."""

    def counts(self) -> tuple[int, int]:
        """Calls that run or wait, threads."""

    def load(
        self,
        name: str,
        artefact: str,
        sha256: bytes,
        *,
        kind: Literal["component", "module"],
        world: Literal["tool", "filter"],
        settings: str,
        grants: Granted,
        bounds: Bounded,
    ) -> Plugin:
        """Raises: ValueError."""

    def stored(self, name: str) -> int:
        """Bytes that a plugin keeps, as its quota counts them. Reads the disk. Raises: OSError."""

    def forget(self, name: str) -> None:
        """Removes what a plugin keeps. Raises: OSError."""

    def close(self) -> None: ...

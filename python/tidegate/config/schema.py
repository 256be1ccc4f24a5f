"""What a person may write in `tidegate.toml`, field by field with unit, default and reason.

Imported by short-lived processes only (the validating child, `tidegate check`, `tidegate schema`): it needs pydantic,
which the daemon must not carry. Defaults come from `snapshot.py` and `embedded.py`, so there is one of each. Rules
between fields stand in `rules.py`; references to secrets are replaced before this is applied.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from tidegate.config import snapshot
from tidegate.config.embedded import ADMIN_ADDRESS, HTTP_ADDRESS
from tidegate.config.field_types import (
    MAX_REPLICAS,
    Addresses,
    Argument,
    Command,
    Digest,
    EnvName,
    GuestPath,
    HeaderName,
    HeaderValue,
    Host,
    HostPath,
    Mode,
    ModelPath,
    Name,
    OptionalAddress,
    OptionalUnixPath,
    Origin,
    Pattern,
    PeerAddresses,
    Prefix,
    Settings,
    ShownName,
    TokenHash,
    TrustedKey,
    UnixPaths,
    Url,
    Urls,
    Wasm,
)
from tidegate.config.model_workers import MODEL_CALLS_IN_FLIGHT

_SNAPSHOT: Final = snapshot.Snapshot()
_LISTEN: Final = snapshot.Listen()
_LIMITS: Final = snapshot.Limits()
_BACKEND: Final = snapshot.Backend(name="", transport="stdio")
_GRANTS: Final = snapshot.Grants()
_BOUNDS: Final = snapshot.Bounds()
_FILTER: Final = snapshot.Filter(name="", plugin=snapshot.Plugin(file=""))
_MODELS: Final = snapshot.Models()
_POWER: Final = snapshot.Power()
_CAPABILITY: Final = snapshot.Capability(name="", order=())
_SAMPLING: Final = snapshot.Sampling()
_CLIENT: Final = snapshot.Client(name="", token_sha256="")

_MIB: Final = 1024 * 1024
_DAY_S: Final = 86400.0


def setting(default: Any, what: str, *, unit: str, why: str, shown: str | None = None, **bounds: Any) -> Any:
    """A field whose description always has the same four parts. `shown` words a default that is no plain value."""
    word = shown if shown is not None else _shown(default)
    description = f"{what} Unit: {unit}. Default: {word}. Why: {why}"
    if isinstance(default, list | dict):
        return Field(default_factory=default.copy, description=description, **bounds)
    return Field(default=default, description=description, **bounds)


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "true" if default else "false"
    if default is None:
        return "not set"
    if default in ("", [], {}):
        return "empty"
    return str(default)


class Table(BaseModel):
    """Unknown keys are refused, types are taken literally, and no message repeats a value."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        use_attribute_docstrings=False,
    )


class ListenTable(Table):
    """Where clients and operators come in."""

    http: Addresses = setting(
        [HTTP_ADDRESS],
        "Addresses of Streamable HTTP (`/mcp`) and HTTP+SSE (`/sse`).",
        unit="`host:port`, one or a list; port 0 picks a free one; empty list: not listening",
        why="every MCP client that speaks HTTP finds it, and only from this machine.",
    )
    tcp: Addresses = setting(
        [],
        "Addresses of newline-delimited JSON-RPC (or MessagePack) over TCP.",
        unit="`host:port`, one or a list",
        why="few clients speak it, and a port nobody uses is better closed.",
    )
    unix: OptionalUnixPath | None = setting(
        None,
        "Unix socket for `tidegate connect` and local clients.",
        unit="absolute path; empty: not listening",
        shown="`$TIDEGATE_SOCKET`, `$XDG_RUNTIME_DIR/tidegate.sock`, `/run/tidegate/tidegate.sock` or "
        "`/tmp/tidegate-UID/tidegate.sock`, the first that applies",
        why="host applications launch `tidegate connect`, which must find the daemon without configuration.",
    )
    unix_mode: Mode = setting(
        _LISTEN.unix_mode,
        "File mode of the unix socket.",
        unit="octal, as a string or 0o number",
        shown='"0600"',
        why="whoever may open the socket may call every tool.",
    )
    admin: OptionalAddress = setting(
        ADMIN_ADDRESS,
        "Address of `/health`, `/info` and `/metrics`.",
        unit="`host:port`; empty: not listening",
        why="probes and Prometheus want a port of their own; it asks for no token, so it stays on loopback.",
    )
    allow_public: bool = setting(
        _LISTEN.allow_public,
        "Bind addresses that other machines reach although nothing guards them.",
        unit="true or false",
        why="an open gateway hands every tool behind it to the network; that is to be said aloud.",
    )
    allowed_hosts: list[Host] = setting(
        [],
        "Further `Host` headers to accept, beside loopback names and the bound addresses.",
        unit="host names, with `:port` or without",
        why="a page in a browser must not reach the gateway under a name of its own (DNS rebinding).",
    )
    allowed_origins: list[Origin] = setting(
        [],
        "Further `Origin` headers to accept, beside those of loopback pages.",
        unit="`scheme://host[:port]`",
        why="only pages you name may call tools from a browser.",
    )


class LimitsTable(Table):
    """Bounds on everything that can grow."""

    body_bytes: int = setting(
        _LIMITS.body_bytes, "Largest body of an HTTP request, after decompression.", unit="bytes",
        why="tool arguments are small; 4 MiB leaves room for a picture.", ge=1024, le=1024 * _MIB,
    )  # fmt: skip
    line_bytes: int = setting(
        _LIMITS.line_bytes, "Longest message on a unix or TCP connection, or on stdin of `connect`.", unit="bytes",
        why="the same as an HTTP body: a message fits on every transport or on none.", ge=1024, le=1024 * _MIB,
    )  # fmt: skip
    result_bytes: int = setting(
        _LIMITS.result_bytes, "Largest single message from a backend.", unit="bytes",
        why="results carry files and pictures, so more than requests.", ge=1024, le=1024 * _MIB,
    )  # fmt: skip
    header_bytes: int = setting(
        _LIMITS.header_bytes, "Largest head of an HTTP message.", unit="bytes",
        why="cookies and tokens of real clients stay far below 16 KiB.", ge=1024, le=_MIB,
    )  # fmt: skip
    depth: int = setting(
        _LIMITS.depth, "Deepest nesting of arrays and objects in a message.", unit="levels",
        why="deeper JSON is an attack on parsers, not data.", ge=8, le=512,
    )  # fmt: skip
    connections: int = setting(
        _LIMITS.connections, "Client connections at once, over all listeners.", unit="connections",
        why="some tens of KiB each; below the usual bound on open files of a service.", ge=1, le=1_000_000,
    )  # fmt: skip
    sessions: int = setting(
        _LIMITS.sessions, "Sessions of stateful clients at once.", unit="sessions",
        why="a session outlives its connections, so there are more of them.", ge=1, le=1_000_000,
    )  # fmt: skip
    in_flight: int = setting(
        _LIMITS.in_flight, "Requests waiting for an answer, over all clients.", unit="requests",
        why="bounds memory when a backend hangs.", ge=1, le=1_000_000,
    )  # fmt: skip
    head_timeout_s: float = setting(
        _LIMITS.head_timeout_s, "Time for a client to send the head of a request.", unit="seconds",
        why="a slow-header attack holds a connection no longer than this.", gt=0, le=3600,
    )  # fmt: skip
    body_timeout_s: float = setting(
        _LIMITS.body_timeout_s, "Time for a client to send the body of a request.", unit="seconds",
        why="4 MiB over a bad radio link takes about that long.", gt=0, le=3600,
    )  # fmt: skip
    idle_timeout_s: float = setting(
        _LIMITS.idle_timeout_s, "How long an HTTP connection without a request is kept.", unit="seconds",
        why="longer than the pause between two turns of a conversation.", gt=0, le=_DAY_S,
    )  # fmt: skip
    session_idle_s: float = setting(
        _LIMITS.session_idle_s, "How long a session without any message is kept.", unit="seconds",
        why="clients rarely end their sessions; an hour survives a lunch break.", gt=0, le=30 * _DAY_S,
    )  # fmt: skip
    write_buffer_bytes: int = setting(
        _LIMITS.write_buffer_bytes, "Unsent bytes a slow reader may pile up before it is disconnected.", unit="bytes",
        why="half of the largest result; memory is worth more than a stuck client.", ge=65536, le=1024 * _MIB,
    )  # fmt: skip
    replay_events: int = setting(
        _LIMITS.replay_events, "Events kept for each resumable stream.", unit="events",
        why="covers a reconnect, not an absence.", ge=0, le=1_000_000,
    )  # fmt: skip
    replay_bytes: int = setting(
        _LIMITS.replay_bytes, "Bytes of events kept for each resumable stream.", unit="bytes",
        why="events differ in size; this is what memory is bounded by.", ge=0, le=1024 * _MIB,
    )  # fmt: skip
    catalog_entries: int = setting(
        _LIMITS.catalog_entries, "Tools, prompts, resources and templates taken from one backend.", unit="entries",
        why="a server that lists without end must not fill the memory.", ge=1, le=1_000_000,
    )  # fmt: skip
    rate_per_s: float = setting(
        _LIMITS.rate_per_s, "Requests one client may make, on average.", unit="requests per second; 0 for no limit",
        why="far above any model, below what drowns a small box.", ge=0, le=1_000_000,
    )  # fmt: skip
    burst: int = setting(
        _LIMITS.burst, "Requests one client may make at once before `rate_per_s` counts.", unit="requests",
        why="a client that starts asks for many lists together.", ge=1, le=1_000_000,
    )  # fmt: skip
    drain_s: float = setting(
        _LIMITS.drain_s, "Time for running requests to finish when the gateway stops.", unit="seconds",
        why="service managers kill after 90 s by default; people wait less.", ge=0, le=600,
    )  # fmt: skip
    suspended: int = setting(
        _LIMITS.suspended, "Calls that wait, all together, for clients of 2026-07-28 to answer what a server asked.",
        unit="calls", why="each keeps a request open at a server.", ge=0, le=100_000,
    )  # fmt: skip
    suspended_per_client: int = setting(
        _LIMITS.suspended_per_client, "Calls that wait for answers of one client.", unit="calls",
        why="a client that never answers must not take the room of the others.", ge=0, le=100_000,
    )  # fmt: skip
    suspended_s: float = setting(
        _LIMITS.suspended_s, "How long a call waits for its client to answer what the server asked.", unit="seconds",
        why="a person has to read and to type; after that the server's call is cancelled.", gt=0, le=_DAY_S,
    )  # fmt: skip


class GrantsTable(Table):
    """What a plugin may use. What its manifest does not ask for is of no use to it."""

    folders: dict[GuestPath, HostPath] = setting(
        {}, "Folders it may read.", unit="path as the plugin sees it = path on this box, relative to this file",
        why="a plugin sees no file at all, otherwise.",
    )  # fmt: skip
    writable: dict[GuestPath, HostPath] = setting(
        {}, "Folders it may read and write.", unit="path as the plugin sees it = path on this box, relative to this "
        "file", why="what may be written is worth a key of its own.",
    )  # fmt: skip
    http: list[Host] = setting(
        [], "Hosts it may send HTTP requests to.", unit="host names, with `:port` or without (then `https` on 443)",
        why="it reaches nothing else, this box included.",
    )  # fmt: skip
    store_bytes: int = setting(
        _GRANTS.store_bytes, "Room for keys and values that outlive a call.", unit="bytes; 0: no store",
        why="a plugin forgets everything after each call.", ge=0, le=1024 * _MIB,
    )  # fmt: skip
    log: bool = setting(
        _GRANTS.log, "Whether it may write to the gateway's log.", unit="true or false",
        why="what it logs may repeat what was said to it.",
    )  # fmt: skip
    time: bool = setting(
        _GRANTS.time, "Whether it may know the time.", unit="true or false",
        why="without it, the same call has the same answer; and a clock is good for spying.",
    )  # fmt: skip
    random: bool = setting(
        _GRANTS.random, "Whether it may have random numbers.", unit="true or false",
        why="without them, the same call has the same answer.",
    )  # fmt: skip
    call: list[Pattern] = setting(
        [], "Tools it may call, with the rights of whoever called it.",
        unit="glob patterns over the names in the catalogue",
        why="a plugin that combines tools needs some, hardly all.",
    )  # fmt: skip


class BoundsTable(Table):
    """Bounds of one plugin. They win over what its manifest asks for."""

    memory_bytes: int = setting(
        _BOUNDS.memory_bytes, "Memory of one running call.", unit="bytes; 0: as its manifest says, or 64 MiB",
        why="a plugin that allocates without end must not take the box with it.", ge=0, le=4096 * _MIB,
    )  # fmt: skip
    deadline_ms: int = setting(
        _BOUNDS.deadline_ms, "Time for one call.", unit="milliseconds; 0: as its manifest says, or 1000",
        why="a plugin that never ends is stopped.", ge=0, le=3_600_000,
    )  # fmt: skip
    output_bytes: int = setting(
        _BOUNDS.output_bytes, "Size of one answer.", unit="bytes; 0: as its manifest says, or 1 MiB",
        why="an answer has to fit beside those of others.", ge=0, le=1024 * _MIB,
    )  # fmt: skip
    concurrency: int = setting(
        _BOUNDS.concurrency, "Calls at once; further ones wait.", unit="calls; 0: as its manifest says, or 4",
        why="each has memory of its own.", ge=0, le=256,
    )  # fmt: skip


def _digest() -> Any:
    return setting(
        None, "What the file of `wasm` must be.", unit='"sha256:" and 64 hexadecimal digits',
        shown="none; a file needs one, a plugin that comes with tidegate does not",
        why="what is granted is granted to these bytes; `tidegate plugin add` writes it.",
    )  # fmt: skip


def _grants() -> Any:
    return Field(
        default_factory=GrantsTable,
        description="What the plugin may use. Unit: table. Default: nothing. Why: it can do nothing it was not given.",
    )


def _settings() -> Any:
    return setting(
        {}, "What the plugin is told.", unit="table of anything; `${NAME}` and `${file:/path}` are replaced",
        why="the plugin's own documentation says what it takes.",
    )  # fmt: skip


def _bounds() -> Any:
    return Field(
        default_factory=BoundsTable,
        description="Bounds of the plugin. Unit: table. Default: those its manifest asks for, within the gateway's "
        "own. Why: the box is yours.",
    )


class ModelTable(Table):
    """A model: a folder with `model.toml` and the files it names."""

    path: ModelPath = Field(
        description="Which. Unit: a folder, relative to this file; or the name of a model that comes with tidegate. "
        "Default: none, it must be given. Why: nothing is fetched from anywhere."
    )
    digest: Digest | None = setting(
        None, "What its `model.toml` must be, which in turn says what its files must be.",
        unit='"sha256:" and 64 hexadecimal digits',
        shown="none; a folder needs one, a model that comes with tidegate does not",
        why="a model file is code of a kind, and runs only if it is what was added; "
        "`tidegate model add` writes it.",
    )  # fmt: skip


class BackendTable(Table):
    """One MCP server. Exactly one of `command`, `url`, `tcp`, `unix`, `builtin`, `wasm`, `models` and `openai` says how
    it is reached.
    """

    transport: Literal["stdio", "http", "sse", "tcp", "unix", "builtin", "wasm", "openai"] | None = setting(
        None,
        "How to talk to it.",
        unit='"stdio", "http", "sse", "tcp", "unix", "builtin", "wasm" or "openai"',
        shown="stdio for `command` and `models`, http for `url`, otherwise the key itself",
        why='only `transport = "sse"`, the HTTP+SSE of 2024-11-05, has to be said.',
    )
    command: Command | None = setting(
        None, "Program to start; it speaks MCP on its stdin and stdout.",
        unit="program with arguments as a list, or the program alone",
        why="the most common kind of server. No shell is involved.",
    )  # fmt: skip
    args: list[Argument] = setting(
        [], "Arguments after `command`.", unit="strings",
        why="desktop hosts write program and arguments apart.",
    )  # fmt: skip
    env: dict[EnvName, Argument] = setting(
        {}, "Environment variables for the program.", unit="strings; `${NAME}` and `${file:/path}` are replaced",
        why="keys and tokens belong in the environment, and only that server sees them.",
    )  # fmt: skip
    cwd: Argument | None = setting(
        None, "Working directory of the program.", unit="path", shown="that of the gateway",
        why="some servers serve the directory they start in.",
    )  # fmt: skip
    url: Urls | None = setting(
        None, "Endpoint of a server that speaks HTTP; several are replicas of one server, which share its requests.",
        unit="URL, one or a list; `${NAME}` is replaced", why="servers that run elsewhere.",
    )  # fmt: skip
    headers: dict[HeaderName, HeaderValue] = setting(
        {}, "Headers sent with every request to `url`.", unit="strings; `${NAME}` and `${file:/path}` are replaced",
        why="tokens for that server.",
    )  # fmt: skip
    tcp: PeerAddresses | None = setting(
        None, "Server that speaks newline-delimited JSON-RPC over TCP; several are replicas of one server.",
        unit="`host:port`, one or a list",
        why="another gateway, or a server on a device.",
    )  # fmt: skip
    unix: UnixPaths | None = setting(
        None, "Server that speaks newline-delimited JSON-RPC over a unix socket; several are replicas of one server.",
        unit="absolute path, one or a list",
        why="a server with a life of its own on the same box.",
    )  # fmt: skip
    builtin: Literal["host"] | None = setting(
        None, "Server that is part of the gateway.", unit='"host": facts of the box, read only',
        why="something useful without installing anything.",
    )  # fmt: skip
    wasm: Wasm | None = setting(
        None, "Plugin that runs inside the gateway, with no more than it is granted.",
        unit="path of a `.wasm` file, relative to this one; or the name of a plugin that comes with tidegate",
        why="tools of its own where installing a server is not wanted.",
    )  # fmt: skip
    models: list[ModelTable] | None = setting(
        None, "Models that one worker process runs; each has tools.", unit="list of tables with `path` and `digest`",
        why="a model is used like a server; those that belong together share a process.", min_length=1, max_length=32,
    )  # fmt: skip
    openai: Url | None = setting(
        None, "Service that speaks the OpenAI API.", unit="URL up to and with `/v1`; `${NAME}` is replaced",
        why="a cloud that chats or embeds is used like a server; `headers` holds its key.",
    )  # fmt: skip
    chat_model: Argument | None = setting(
        None, "By which model of `openai` the tool `chat` answers.", unit="name as the service has it",
        shown="none: no such tool", why="services have many.",
    )  # fmt: skip
    embedding_model: Argument | None = setting(
        None, "By which model of `openai` the tool `embed` answers.", unit="name as the service has it",
        shown="none: no such tool", why="services have many.",
    )  # fmt: skip
    remote: bool | None = setting(
        None, "Whether what it is sent leaves the box.", unit="true or false",
        shown="true for addresses that are not loopback",
        why="capabilities keep data of some classes here; a `command` may be no more than a way out.",
    )  # fmt: skip
    digest: Digest | None = _digest()
    grants: GrantsTable = _grants()
    settings: Settings = _settings()
    bounds: BoundsTable = _bounds()
    replicas: int = setting(
        _BACKEND.replicas, "How many of the same `command` share the requests.", unit="processes",
        why="a server that works on one thing after the other uses one core; for other servers, several addresses say "
        "the same.", ge=1, le=MAX_REPLICAS,
    )  # fmt: skip
    balance: Literal["least_loaded", "round_robin"] = setting(
        _BACKEND.balance, "Which replica gets a request: the one with the fewest in flight, or each in its turn.",
        unit='"least_loaded" or "round_robin"', why="calls differ in length; what is slow gets less to do.",
    )  # fmt: skip
    enabled: bool = setting(
        _BACKEND.enabled, "Whether it is used.", unit="true or false",
        why="switch a server off without losing its table.",
    )  # fmt: skip
    prefix: Prefix | None = setting(
        None, "What stands before the names of its tools and prompts.", unit="string; empty for none",
        shown="`NAME__` as soon as there are two backends, none before",
        why="two servers may both have a `search`; with one, the gateway is transparent.",
    )  # fmt: skip
    aliases: dict[Pattern, ShownName] = setting(
        {}, "Names of tools and prompts as clients see them, instead of the prefixed ones.",
        unit="server's name = shown name",
        why="short names for what is used most. Unique over all backends.",
    )  # fmt: skip
    include: list[Pattern] = setting(
        [], "Tools and prompts (by the server's names) and resources (by URI) to offer.",
        unit="glob patterns; empty: all",
        why="fewer tools make a better model.",
    )  # fmt: skip
    exclude: list[Pattern] = setting(
        [], "What not to offer, after `include`.", unit="glob patterns",
        why="keep `delete_*` out of reach.",
    )  # fmt: skip
    descriptions: dict[Pattern, str] = setting(
        {}, "Descriptions of tools to show instead of the server's own.", unit="server's name = text",
        why="models choose tools by them.",
    )  # fmt: skip
    isolation: Literal["auto", "shared", "session"] = setting(
        _BACKEND.isolation, "Whether clients share one connection to the server.", unit='"auto", "shared" or "session"',
        why="shared costs one process for everybody; session is for servers that keep state per client.",
    )  # fmt: skip
    start: Literal["when_needed", "at_once"] = setting(
        _BACKEND.start, "When it is started or connected to. One that starts at once is not stopped when it idles.",
        unit='"when_needed" or "at_once"', why="a server that nobody uses costs nothing; a slow one is kept warm.",
    )  # fmt: skip
    idle_stop_s: float = setting(
        _BACKEND.idle_stop_s, "How long a `command` that nobody uses goes on running. It starts again when needed.",
        unit="seconds; 0 for ever",
        why="most servers keep nothing between two calls; those with a connection for each session "
        '(`isolation = "session"`) are left alone.', ge=0, le=30 * _DAY_S,
    )  # fmt: skip
    call_timeout_s: float = setting(
        _BACKEND.call_timeout_s, "Time for one request to be answered.", unit="seconds",
        why="tools that build or crawl take minutes; nothing takes for ever.", gt=0, le=_DAY_S,
    )  # fmt: skip
    start_timeout_s: float = setting(
        _BACKEND.start_timeout_s, "Time for the server to start and answer its first request.", unit="seconds",
        why="a package runner may have to download first.", gt=0, le=3600,
    )  # fmt: skip
    probe_timeout_s: float = setting(
        _BACKEND.probe_timeout_s, "Time for the question which protocol era it speaks.", unit="seconds",
        why="some old servers do not answer what they do not know.", gt=0, le=600,
    )  # fmt: skip
    max_in_flight: int = setting(
        _BACKEND.max_in_flight, "Requests the server is given at once; further ones wait.", unit="requests",
        shown=f"{_BACKEND.max_in_flight}; {MODEL_CALLS_IN_FLIGHT} for `models`",
        why="most servers work on one thing after the other.", ge=1, le=100_000,
    )  # fmt: skip
    max_queued: int = setting(
        _BACKEND.max_queued, "Requests that may wait while the server has `max_in_flight`; further ones are refused.",
        unit="requests; 0: none waits", why="covers a burst; what is behind a longer queue comes too late.",
        ge=0, le=100_000,
    )  # fmt: skip
    queue_timeout_s: float = setting(
        _BACKEND.queue_timeout_s, "How long a request waits, at most `call_timeout_s`, of which it is part.",
        unit="seconds", why="a server that gets nothing done says so in half a minute.", gt=0, le=_DAY_S,
    )  # fmt: skip
    max_connections: int = setting(
        _BACKEND.max_connections, "Connections to it that serve single clients, such as those it may ask something.",
        unit="connections; of a `command`, processes",
        why="clients must not be able to start processes without end.", ge=1, le=100_000,
    )  # fmt: skip
    memory_bytes: int = setting(
        _BACKEND.memory_bytes, "Memory that each process of a `command` may use with all that it started; one that "
        "uses more is ended.", unit="bytes; 0 for no limit",
        why="a server that leaks must not take the box with it.", ge=0, le=1 << 50,
    )  # fmt: skip
    cpu_percent: float = setting(
        _BACKEND.cpu_percent, "CPU time that each process of a `command` may use with all that it started; one that "
        "uses more is stopped for moments.", unit="percent of one core; 0 for no limit",
        why="a busy server must leave time to the others.", ge=0, le=100_000,
    )  # fmt: skip


class FilterTable(Table):
    """A plugin that sees the calls of chosen tools on their way, and their results on the way back."""

    wasm: Wasm = Field(
        description="The plugin. Unit: path of a `.wasm` file, relative to this one; or the name of a plugin that "
        "comes with tidegate. Default: none, it must be given. Why: it runs inside the gateway, with no more than it "
        "is granted."
    )
    digest: Digest | None = _digest()
    grants: GrantsTable = _grants()
    settings: Settings = _settings()
    bounds: BoundsTable = _bounds()
    tools: list[Pattern] = setting(
        list(_FILTER.tools), "Tools whose calls it sees.", unit="glob patterns over the names in the catalogue",
        shown='["*"], all', why="each filter costs time; most are about a few tools.", min_length=1,
    )  # fmt: skip
    on_failure: Literal["refuse", "pass"] = setting(
        _FILTER.on_failure, "What becomes of a call, or its result, when the filter fails.",
        unit='"refuse" or "pass", which lets it through unseen',
        why="a guard that is gone guards nothing, so nothing passes.",
    )  # fmt: skip


class PluginsTable(Table):
    """What holds for all plugins."""

    trusted_keys: list[TrustedKey] = setting(
        [], "Whose signature makes a precompiled plugin acceptable, beside those compiled on this box.",
        unit='"ed25519:" and a public key in Base64, as `tidegate plugin compile` prints it',
        why="a precompiled file is machine code, and runs with the gateway's rights if it is not what it says.",
        max_length=64,
    )  # fmt: skip


class ModelsTable(Table):
    """What holds for all models."""

    memory_bytes: int = setting(
        _MODELS.memory_bytes, "Memory of all workers together. To stay below, the model that was used least recently "
        "is unloaded.", unit="bytes; 0: half of what the box has",
        why="models are the largest thing on a small box.", ge=0, le=1 << 50,
    )  # fmt: skip
    unload_idle_s: float = setting(
        _MODELS.unload_idle_s, "How long a model that nobody uses stays loaded.", unit="seconds; 0 for ever",
        why="loading takes a moment, staying loaded takes memory.", ge=0, le=30 * _DAY_S,
    )  # fmt: skip


class PowerTable(Table):
    """How hard the box may work for its models."""

    profile: Literal["auto", "performance", "balanced", "saver"] = setting(
        _POWER.profile, "Threads, patience for batches, and whether the cloud is asked first.",
        unit='"auto", "performance", "balanced" or "saver"',
        why="auto goes by heat, battery and mains, as far as the box tells them.",
    )  # fmt: skip
    hot_c: float = setting(
        _POWER.hot_c, "From which temperature on the box is too hot for models.", unit="degrees Celsius",
        why="boards slow down or switch off at about 85.", ge=20, le=150,
    )  # fmt: skip
    cool_c: float = setting(
        _POWER.cool_c, "At which temperature it no longer is.", unit="degrees Celsius, below `hot_c`",
        why="a box at its limit would change its mind all the time.", ge=10, le=150,
    )  # fmt: skip
    low_battery_percent: float = setting(
        _POWER.low_battery_percent, "Below which charge a box on its battery saves it.", unit="percent",
        why="what is left is for what only this box can do.", ge=0, le=100,
    )  # fmt: skip
    sysfs: Argument = setting(
        _POWER.sysfs, "Where temperatures and batteries are read.", unit="absolute path",
        why="for boxes that keep them elsewhere, and for trying rules out.",
    )  # fmt: skip


class CapabilityTable(Table):
    """A tool made of several tools that can do the same, here and in the cloud."""

    order: list[Pattern] = Field(
        description="The tools, the preferred one first. Unit: names in the catalogue. Default: none, it must be "
        "given. Why: what one cannot do now, the next one is asked.", min_length=1, max_length=16,
    )  # fmt: skip
    description: str = setting(
        _CAPABILITY.description, "What clients read about it.", unit="text",
        shown="that of the first tool that is there", why="models choose tools by it.",
    )  # fmt: skip
    min_confidence: float = setting(
        _CAPABILITY.min_confidence, "How sure a local answer must be not to be asked for elsewhere.",
        unit="0 to 1; 0: any is good", why="a small model knows when it does not know.", ge=0, le=1,
    )  # fmt: skip
    confidence: str = setting(
        _CAPABILITY.confidence, "Where in `structuredContent` an answer says how sure it is.",
        unit="member; dots go deeper", why="servers of others name it otherwise.", min_length=1, max_length=256,
    )  # fmt: skip
    busy_ms: int = setting(
        _CAPABILITY.busy_ms, "How long a tool may keep a call waiting for its turn, or for its start.",
        unit="milliseconds", why="then somebody else is asked.", ge=0, le=3_600_000,
    )  # fmt: skip
    attempt_timeout_s: float = setting(
        _CAPABILITY.attempt_timeout_s, "How long one tool may take.", unit="seconds",
        why="a slow link must leave time for the model on the box.", gt=0, le=_DAY_S,
    )  # fmt: skip
    data_class: str = setting(
        _CAPABILITY.data_class, "What class of data a call has that names none.", unit="name",
        why='callers say it in `_meta["io.tidegate/data-class"]`; most say nothing.', max_length=64,
    )  # fmt: skip
    stay: list[Pattern] = setting(
        [], "Classes of data that never leave the box.", unit="glob patterns over classes",
        why="what cameras see and patients say is nobody else's business.", max_length=64,
    )  # fmt: skip


class SamplingTable(Table):
    """Who answers servers that ask for a model (`sampling/createMessage`)."""

    tool: str = setting(
        _SAMPLING.tool, "A tool or capability that chats.", unit="name in the catalogue; empty: nobody but the client",
        why="most clients have no model to lend, and a server that asks for one would fail.", max_length=256,
    )  # fmt: skip
    when: Literal["client_cannot", "always"] = setting(
        _SAMPLING.when, "When it is asked instead of the client.", unit='"client_cannot" or "always"',
        why="a client that has a model has the better one, most of the time.",
    )  # fmt: skip


class OpenAiTable(Table):
    """For local programs that speak the OpenAI API: `/v1` on the HTTP listeners."""

    models: dict[Pattern, Pattern] = setting(
        {}, "Which tool or capability stands behind which model name.",
        unit="glob pattern over the names that programs send = name in the catalogue; the first that fits",
        shown="empty: there is no `/v1`", why="programs have a model's name built in.",
    )  # fmt: skip


class ClientTable(Table):
    """A client with a bearer token, and what it may use. With no client at all, nobody is asked for a token."""

    token_sha256: TokenHash = Field(
        description="SHA-256 of the client's token. Unit: 64 hexadecimal digits. Default: none, it must be given. "
        "Why: whoever reads this file cannot use it; `tidegate token new` makes both."
    )
    tools: list[Pattern] = setting(
        list(_CLIENT.tools), "Tools it may see and call.",
        unit="glob patterns over the names in the catalogue; empty: none",
        shown='["*"], all', why="a tool out of reach looks unknown.",
    )  # fmt: skip
    resources: list[Pattern] = setting(
        list(_CLIENT.resources), "Resources it may see and read.", unit="glob patterns over URIs; empty: none",
        shown='["*"], all', why="as for tools.",
    )  # fmt: skip
    prompts: list[Pattern] = setting(
        list(_CLIENT.prompts), "Prompts it may see and get.",
        unit="glob patterns over the names in the catalogue; empty: none",
        shown='["*"], all', why="as for tools.",
    )  # fmt: skip
    rate_per_s: float | None = setting(
        None, "Requests it may make, on average.",
        unit="requests per second; 0 for no limit", shown="`limits.rate_per_s`",
        why="some clients deserve more, some less.", ge=0, le=1_000_000,
    )  # fmt: skip
    burst: int | None = setting(
        None, "Requests it may make at once before `rate_per_s` counts.", unit="requests", shown="`limits.burst`",
        why="goes with `rate_per_s`.", ge=1, le=1_000_000,
    )  # fmt: skip


class Configuration(Table):
    """A whole `tidegate.toml`."""

    relay: bool = setting(
        _SNAPSHOT.relay,
        "Whether what was decided once is repeated in native code for the next call like it.", unit="boolean",
        why="it changes nothing but the cost; off is for finding out whether that is so.",
    )  # fmt: skip
    access_log: bool = setting(
        _SNAPSHOT.access_log,
        "Whether each request that ends is a line on stderr: what it was, whose, how it ended, how long it took.",
        unit="boolean", why="off costs nothing; a line for each of many calls a second costs more than the calls.",
    )  # fmt: skip
    listen: ListenTable = Field(
        default_factory=ListenTable,
        description="Where clients and operators come in. Unit: table. Default: loopback HTTP, the unix socket and the "
        "admin port. Why: useful at once, and reachable from this machine only.",
    )
    limits: LimitsTable = Field(
        default_factory=LimitsTable,
        description="Bounds on everything that can grow. Unit: table. Default: what a small box survives. "
        "Why: no client and no backend can take the box down.",
    )
    backends: dict[Name, BackendTable] = setting(
        {}, "The MCP servers behind the gateway.", unit="one table each, `[backends.NAME]`",
        shown="the built-in `host`, when no file names any", why="something useful without configuration.",
    )  # fmt: skip
    clients: dict[Name, ClientTable] = setting(
        {}, "Who may come in, and what for.", unit="one table each, `[clients.NAME]`",
        why="on loopback the box itself is the guard; a public address needs clients.",
    )  # fmt: skip
    filters: dict[Name, FilterTable] = setting(
        {}, "Plugins that calls pass on their way to a server, in this order; results pass them in reverse.",
        unit="one table each, `[filters.NAME]`", why="what is to hold for tools of many servers stands in one place.",
    )  # fmt: skip
    models: ModelsTable = Field(
        default_factory=ModelsTable,
        description="What holds for all models. Unit: table. Default: half of the box's memory, unloaded after five "
        "minutes. Why: models come second to what the box is for.",
    )
    power: PowerTable = Field(
        default_factory=PowerTable,
        description="How hard the box may work for its models. Unit: table. Default: by heat, battery and mains. "
        "Why: a fanless box on a battery is no server.",
    )
    capabilities: dict[Name, CapabilityTable] = setting(
        {}, "What the box or the cloud can do, whichever can now. Each is a tool of that name.",
        unit="one table each, `[capabilities.NAME]`", why="a client need not know where its answer comes from.",
    )  # fmt: skip
    sampling: SamplingTable = Field(
        default_factory=SamplingTable,
        description="Who answers servers that ask for a model. Unit: table. Default: the client. "
        "Why: it is the client's model that they ask for.",
    )
    openai: OpenAiTable = Field(
        default_factory=OpenAiTable,
        description="For local programs that speak the OpenAI API. Unit: table. Default: off. Why: a door that nobody "
        "uses is better closed.",
    )
    plugins: PluginsTable = Field(
        default_factory=PluginsTable,
        description="What holds for all plugins. Unit: table. Default: nobody's signature is trusted. Why: what is "
        "compiled on this box needs none.",
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `tidegate.toml`, for editors and for `tidegate schema`."""
    schema = Configuration.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "tidegate.toml"}

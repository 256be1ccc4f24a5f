"""The configuration as the daemon holds it: frozen, validated, with secrets resolved.

`schema.py` (pydantic) is what a person writes and what is validated; `load.py` turns it into this. The
daemon imports only this module, so that an idle gateway does not carry the validator. Field meanings,
units and reasons stand in `schema.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

Transport = Literal["stdio", "http", "sse", "tcp", "unix", "builtin", "wasm", "openai", "capability"]
Start = Literal["when_needed", "at_once"]
Isolation = Literal["auto", "shared", "session"]
Balance = Literal["least_loaded", "round_robin"]
OnFailure = Literal["refuse", "pass"]
Profile = Literal["auto", "performance", "balanced", "saver"]
When = Literal["client_cannot", "always"]


class Secret:
    """A string that never prints itself."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret('…')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class Grants:
    """What a plugin may use of what it asks for: nothing, unless it stands here."""

    folders: tuple[tuple[str, str], ...] = ()
    """(path in the plugin, absolute path of the box), read only."""
    writable: tuple[tuple[str, str], ...] = ()
    """The same, to read and to write."""
    http: tuple[str, ...] = ()
    """`host` or `host:port`, in lower case."""
    store_bytes: int = 0
    log: bool = False
    time: bool = False
    random: bool = False
    call: tuple[str, ...] = ()
    """Glob patterns over names as the catalogue shows them."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The operator's bounds on one plugin. 0: what its manifest asks for, or the sandbox's own."""

    memory_bytes: int = 0
    deadline_ms: int = 0
    output_bytes: int = 0
    concurrency: int = 0


@dataclass(frozen=True, slots=True)
class Plugin:
    """A WASM file, what it may do and what it is told."""

    file: str
    """An absolute path, or the name of one that comes with tidegate."""
    shipped: bool = False
    digest: str = ""
    """`sha256:` and 64 lower-case hexadecimal digits; only a shipped one may have none."""
    grants: Grants = field(default_factory=Grants)
    settings: str = field(default="{}", repr=False)
    """A JSON object. May hold secrets."""
    secrets: tuple[Secret, ...] = ()
    """What of the settings came from references, or looks like a secret: for those who must not show it."""
    bounds: Bounds = field(default_factory=Bounds)


@dataclass(frozen=True, slots=True)
class Filter:
    """A plugin that sees the calls of chosen tools, and their results."""

    name: str
    plugin: Plugin
    tools: tuple[str, ...] = ("*",)
    """Glob patterns over names as the catalogue shows them."""
    on_failure: OnFailure = "refuse"
    """What becomes of a call when the plugin fails."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a worker."""

    path: str
    """An absolute path of a folder with `model.toml`, or the name of one that comes with tidegate."""
    shipped: bool = False
    digest: str = ""
    """Of `model.toml`: `sha256:` and 64 lower-case hexadecimal digits; only a shipped one may have none."""


@dataclass(frozen=True, slots=True)
class Models:
    """What holds for all models."""

    memory_bytes: int = 0
    """Of all workers together; 0: half of what the box has."""
    unload_idle_s: float = 300.0
    """A model that nobody used for so long is unloaded; 0 for never."""


@dataclass(frozen=True, slots=True)
class Power:
    """How hard the box may work for its models."""

    profile: Profile = "auto"
    hot_c: float = 80.0
    """From here on the box is too hot for models …"""
    cool_c: float = 70.0
    """… until it is as cool as this."""
    low_battery_percent: float = 20.0
    sysfs: str = "/sys"
    """Where temperatures and batteries are read."""


@dataclass(frozen=True, slots=True)
class Capability:
    """Something that several tools can do, and which of them does it when."""

    name: str
    order: tuple[str, ...]
    """Tools by their names in the catalogue, the preferred one first."""
    description: str = ""
    min_confidence: float = 0.0
    """An answer of a local tool below it is asked for elsewhere."""
    confidence: str = "confidence"
    """Where an answer's `structuredContent` has it; dots go deeper."""
    busy_ms: int = 2000
    """How long an attempt may wait for its turn."""
    attempt_timeout_s: float = 60.0
    data_class: str = ""
    """Of calls that name none."""
    stay: tuple[str, ...] = ()
    """Classes of data that never leave the box."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Who answers the servers' `sampling/createMessage`."""

    tool: str = ""
    """A tool like `chat`, by its name in the catalogue; empty: nobody but the client."""
    when: When = "client_cannot"


@dataclass(frozen=True, slots=True)
class Backend:
    """One MCP server behind the gateway."""

    name: str
    transport: Transport
    command: tuple[str, ...] = field(default=(), repr=False)
    """May hold secrets, as may `url`; neither is ever printed."""
    env: tuple[tuple[str, Secret], ...] = ()
    cwd: str | None = None
    url: str = field(default="", repr=False)
    headers: tuple[tuple[str, Secret], ...] = ()
    address: str = ""
    """`host:port` for tcp, a path for unix."""
    replicas: int = 1
    """How many of the same server share its requests."""
    endpoints: tuple[str, ...] = field(default=(), repr=False)
    """What `url` or `address` is for each replica, when there are several; the first stands there, too."""
    balance: Balance = "least_loaded"
    prefix: str | None = None
    """None: automatic (`name__` as soon as there are two backends); "" for none."""
    aliases: tuple[tuple[str, str], ...] = ()
    """(upstream name, name shown to clients)."""
    include: tuple[str, ...] = ()
    """Glob patterns over upstream tool/prompt names and resource URIs; empty is everything."""
    exclude: tuple[str, ...] = ()
    descriptions: tuple[tuple[str, str], ...] = ()
    """(upstream tool name, description shown instead)."""
    isolation: Isolation = "auto"
    enabled: bool = True
    start: Start = "when_needed"
    idle_stop_s: float = 900.0
    """A child that nobody used for so long is stopped; 0 for never."""
    call_timeout_s: float = 300.0
    start_timeout_s: float = 30.0
    probe_timeout_s: float = 5.0
    max_in_flight: int = 64
    max_queued: int = 256
    queue_timeout_s: float = 30.0
    max_connections: int = 16
    memory_bytes: int = 0
    """Of a child with all that it started; 0 for no limit."""
    cpu_percent: float = 0.0
    """100 is one core; 0 for no limit."""
    plugin: Plugin | None = None
    """For wasm, and for nothing else."""
    models: tuple[Model, ...] = ()
    """What a child that runs models runs; `command` and `env` start it."""
    chat_model: str = ""
    """What the service behind `openai` is to chat by; empty: it has no such tool."""
    embedding_model: str = ""
    remote: bool | None = None
    """Whether what it is sent leaves the box. None: by its address."""
    capabilities: tuple[Capability, ...] = ()
    """For the one backend that serves them, whose transport is `capability`."""

    def at(self, replica: int) -> Backend:
        """As one of its replicas is reached, numbered from 0."""
        if not self.endpoints:
            return self
        endpoint = self.endpoints[replica]
        return replace(self, address=endpoint) if self.address else replace(self, url=endpoint)


@dataclass(frozen=True, slots=True)
class Client:
    """A bearer token's owner and what it may use."""

    name: str
    token_sha256: str
    """Lower-case hex of SHA-256 of the token; the token itself is never stored."""
    tools: tuple[str, ...] = ("*",)
    """Glob patterns over names as the catalogue shows them."""
    resources: tuple[str, ...] = ("*",)
    prompts: tuple[str, ...] = ("*",)
    rate_per_s: float | None = None
    burst: int | None = None


@dataclass(frozen=True, slots=True)
class Listen:
    """Where clients and operators come in. Empty string: not listening there."""

    http: tuple[str, ...] = ()
    tcp: tuple[str, ...] = ()
    unix: str = ""
    unix_mode: int = 0o600
    admin: str = ""
    allow_public: bool = False
    """Bind a non-loopback address although no client has a token."""
    allowed_hosts: tuple[str, ...] = ()
    """Extra `Host` values accepted, beside loopback names and the bound address."""
    allowed_origins: tuple[str, ...] = ()
    """Extra `Origin` values accepted, beside loopback ones."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that a small box survives."""

    body_bytes: int = 4 * 1024 * 1024
    line_bytes: int = 4 * 1024 * 1024
    result_bytes: int = 16 * 1024 * 1024
    """One message from a backend."""
    header_bytes: int = 16 * 1024
    depth: int = 64
    connections: int = 2048
    sessions: int = 4096
    in_flight: int = 1024
    head_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    idle_timeout_s: float = 120.0
    """A keep-alive HTTP connection with no request."""
    session_idle_s: float = 3600.0
    write_buffer_bytes: int = 8 * 1024 * 1024
    """Unsent bytes a slow reader may pile up before its connection is closed."""
    replay_events: int = 256
    """Events kept per resumable SSE stream."""
    replay_bytes: int = 1024 * 1024
    catalog_entries: int = 10_000
    rate_per_s: float = 1000.0
    """Requests per principal; 0 for no limit."""
    burst: int = 2000
    drain_s: float = 5.0
    suspended: int = 256
    """Calls of session servers that wait for answers of stateless clients."""
    suspended_per_client: int = 8
    suspended_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole configuration."""

    listen: Listen = field(default_factory=Listen)
    limits: Limits = field(default_factory=Limits)
    backends: tuple[Backend, ...] = ()
    clients: tuple[Client, ...] = ()
    filters: tuple[Filter, ...] = ()
    """In the order in which requests pass them; results pass them in reverse."""
    trusted_keys: tuple[str, ...] = ()
    """`ed25519:BASE64`: whose precompiled plugins are taken, beside those compiled here."""
    models: Models = field(default_factory=Models)
    power: Power = field(default_factory=Power)
    sampling: Sampling = field(default_factory=Sampling)
    openai: tuple[tuple[str, str], ...] = ()
    """(glob pattern over the model names that local programs send, tool in the catalogue); none: no `/v1`."""
    relay: bool = True
    """Decisions are repeated in native code."""
    access_log: bool = False
    """A line for each request."""
    generation: int = 0
    sources: tuple[str, ...] = ()
    """The files it was read from."""

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        return next((backend.capabilities for backend in self.backends if backend.capabilities), ())

"""The kinds of value a configuration field can be, each with its check and its shape in the JSON Schema.

Every check raises ValueError with what was expected. Those for values that may hold a secret (URLs, commands,
headers) never repeat the value.
"""

from __future__ import annotations

import base64
import math
import re
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from tidegate.config.address import format_host_port, parse_host_port
from tidegate.config.document import names_file
from tidegate.config.guest_path import is_guest_path
from tidegate.config.name_rule import check_name
from tidegate.config.shipped import may_be_shipped

MAX_UNIX_PATH_BYTES: Final = 107
"""`sun_path` of Linux without its closing NUL."""

MAX_REPLICAS: Final = 64
"""More than a small box has use for; a mistake of a digit starts no thousand processes."""

_MAX_SETTINGS_DEPTH: Final = 32

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS: Final = frozenset(
    {
        "accept",
        "connection",
        "content-length",
        "content-type",
        "last-event-id",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
        "mcp-session-id",
        "transfer-encoding",
    }
)
"""Headers the gateway writes itself; a second copy would contradict it."""

_ORIGIN: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#\s@]+")


def _listen_address(text: str) -> str:
    return format_host_port(*parse_host_port(text))


def _optional_address(text: str) -> str:
    return _listen_address(text) if text else ""


def _peer_address(text: str) -> str:
    host, port = parse_host_port(text)
    if port == 0:
        raise ValueError(f"expected the port the server listens on, got `{text}`")
    return format_host_port(host, port)


def _unix_path(text: str) -> str:
    if not text.startswith("/") or "\0" in text:
        raise ValueError("expected an absolute path such as `/run/tidegate/tidegate.sock`")
    if len(text.encode()) > MAX_UNIX_PATH_BYTES:
        raise ValueError(f"expected a path of at most {MAX_UNIX_PATH_BYTES} bytes, the bound of unix sockets")
    return text


def _optional_unix_path(text: str) -> str:
    return _unix_path(text) if text else ""


def _url(text: str) -> str:
    expected = "expected `http://` or `https://` with a host, such as `https://mcp.example.org/mcp`"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or re.search(r"[\x00-\x20\x7f]", text):
        raise ValueError(expected)
    if parts.fragment:
        raise ValueError("expected a URL without `#...`; a fragment is never sent")
    return text


def _env_name(text: str) -> str:
    if not text or "=" in text or "\0" in text:
        raise ValueError("expected the name of an environment variable, without `=`")
    return text


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("expected a string without NUL; a process cannot receive one")
    return text


def _header_name(text: str) -> str:
    if _HEADER_NAME.fullmatch(text) is None:
        raise ValueError("expected the name of an HTTP header, such as `Authorization`")
    if text.lower() in _OURS:
        raise ValueError("expected a header that the gateway does not write itself")
    return text


def _header_value(text: str) -> str:
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text) or any(ord(char) > 255 for char in text):
        raise ValueError("expected one line of Latin-1 text; is there a line break in it?")
    return text


def _shown_name(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_./-]{1,128}", text) is None:
        raise ValueError("expected a name of 1 to 128 letters, digits, `_`, `-`, `.` and `/`")
    return text


def _prefix(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_.-]{0,64}", text) is None:
        raise ValueError('expected at most 64 letters, digits, `_`, `-` and `.`, or `""` for no prefix')
    return text


def _host(text: str) -> str:
    if re.fullmatch(r"\[[0-9A-Fa-f:.]+\](:\d{1,5})?|[A-Za-z0-9._-]+(:\d{1,5})?", text) is None:
        raise ValueError(f"expected a host name, with `:port` or without, and no `http://`, got `{text}`")
    return text.lower()


def _origin(text: str) -> str:
    if _ORIGIN.fullmatch(text) is None:
        raise ValueError(f"expected `scheme://host` or `scheme://host:port` and nothing after it, got `{text}`")
    return text.lower()


def _token_hash(text: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{64}", text) is None:
        hint = "; this looks like a token itself, which does not belong in a file" if text.startswith("tg_") else ""
        raise ValueError(f"expected 64 hexadecimal digits, as `tidegate token new` prints them{hint}")
    return text.lower()


def _wasm(text: str) -> str:
    if "\0" in text or not (names_file(text) or may_be_shipped(text)):
        raise ValueError("expected the path of a `.wasm` file, or the name of a plugin that comes with tidegate")
    return text


def _model_path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("expected a folder with `model.toml`, or the name of a model that comes with tidegate")
    return text


def _digest(text: str) -> str:
    if re.fullmatch(r"sha256:[0-9a-fA-F]{64}", text) is None:
        raise ValueError("expected `sha256:` and 64 hexadecimal digits, which `sha256sum FILE` prints")
    return text.lower()


def _guest_path(text: str) -> str:
    if not is_guest_path(text):
        raise ValueError("expected an absolute path as the plugin sees it, such as `/data`")
    return text


def _host_path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("expected the path of a folder on this box")
    return text


def _trusted_key(text: str) -> str:
    kind, _, coded = text.partition(":")
    try:
        usable = kind == "ed25519" and len(base64.b64decode(coded, validate=True)) == 32
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("expected `ed25519:` and a public key of 32 bytes in Base64")
    return text


def _json_object(value: Any) -> Any:
    """TOML has values that JSON has not, and nests further than a plugin should have to."""

    def check(item: object, depth: int) -> None:
        if depth > _MAX_SETTINGS_DEPTH:
            raise ValueError(f"expected at most {_MAX_SETTINGS_DEPTH} levels of tables and lists")
        if isinstance(item, dict):
            for inner in item.values():
                check(inner, depth + 1)
        elif isinstance(item, list):
            for inner in item:
                check(inner, depth + 1)
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValueError("expected numbers that JSON has, so neither `inf` nor `nan`")
        elif not isinstance(item, str | int | float):
            raise ValueError("expected values that JSON has; write a date or time as a string")

    if isinstance(value, dict):
        check(value, 0)
    return value


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_list(value: Any) -> Any:
    """A mistake in a single value is told of that value."""
    return value if isinstance(value, list) else [value]


def _each_once(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise ValueError("expected each replica once; two of these are the same")
    return values


def _mode(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"(0o)?[0-7]{3,4}", value):
        return int(value, 8)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 0o777:
        raise ValueError('expected a file mode in octal, such as "0660" or 0o660')
    return value


Name = Annotated[str, AfterValidator(check_name)]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Argument = Annotated[str, AfterValidator(_no_nul)]
Addresses = Annotated[
    list[Annotated[str, AfterValidator(_listen_address)]],
    BeforeValidator(_one_or_many),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}),
]
OptionalAddress = Annotated[str, AfterValidator(_optional_address)]
PeerAddress = Annotated[str, AfterValidator(_peer_address)]
UnixPath = Annotated[str, AfterValidator(_unix_path)]
OptionalUnixPath = Annotated[str, AfterValidator(_optional_unix_path)]
Mode = Annotated[
    int,
    BeforeValidator(_mode),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": "^(0o)?[0-7]{3,4}$"}, {"type": "integer", "maximum": 0o777}]}
    ),
]
Command = Annotated[
    list[Argument],
    BeforeValidator(_one_or_many),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}, "minItems": 1}, {"type": "string"}]}),
]
Url = Annotated[
    str, AfterValidator(_url), WithJsonSchema({"type": "string", "examples": ["https://mcp.example.org/mcp"]})
]
_ONE_OR_MANY: Final = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
)
_REPLICAS: Final = Field(min_length=1, max_length=MAX_REPLICAS)
PeerAddresses = Annotated[
    list[PeerAddress], BeforeValidator(_as_list), _REPLICAS, AfterValidator(_each_once), _ONE_OR_MANY
]
UnixPaths = Annotated[list[UnixPath], BeforeValidator(_as_list), _REPLICAS, AfterValidator(_each_once), _ONE_OR_MANY]
Urls = Annotated[list[Url], BeforeValidator(_as_list), _REPLICAS, AfterValidator(_each_once), _ONE_OR_MANY]
EnvName = Annotated[str, AfterValidator(_env_name)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
ShownName = Annotated[str, AfterValidator(_shown_name)]
Prefix = Annotated[str, AfterValidator(_prefix)]
Host = Annotated[str, AfterValidator(_host)]
Origin = Annotated[str, AfterValidator(_origin)]
TokenHash = Annotated[
    str, AfterValidator(_token_hash), WithJsonSchema({"type": "string", "pattern": "^[0-9a-fA-F]{64}$"})
]
Wasm = Annotated[str, AfterValidator(_wasm)]
Digest = Annotated[
    str, AfterValidator(_digest), WithJsonSchema({"type": "string", "pattern": "^sha256:[0-9a-fA-F]{64}$"})
]
ModelPath = Annotated[str, AfterValidator(_model_path)]
GuestPath = Annotated[str, AfterValidator(_guest_path)]
HostPath = Annotated[str, AfterValidator(_host_path)]
TrustedKey = Annotated[
    str, AfterValidator(_trusted_key), WithJsonSchema({"type": "string", "pattern": "^ed25519:[A-Za-z0-9+/]{43}=$"})
]
Settings = Annotated[dict[str, Any], BeforeValidator(_json_object)]

"""What a backend offered when it was last heard: served while it is not connected, and after a restart.

By what it was heard for: everybody who can be asked nothing, or clients of certain abilities, since a server may
offer them more. Kept on disk for everybody only. The file is read when it is first needed, and believed only in the
shape that is written here; every entry goes through the same reading as one from the server.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from typing import Any, Final

from tidegate import __version__
from tidegate.config.snapshot import Backend, Transport
from tidegate.errors import TidegateError
from tidegate.pipeline.codec import scan
from tidegate.pipeline.upstream.listing import KEY_MEMBER, Entry, Kind, Listing, read_entry
from tidegate.pipeline.upstream.offer import Offer
from tidegate.storage.documents import Documents

EVERYBODY: Final = b"{}"
"""The abilities of who can be asked nothing."""
_FORMAT: Final = 1
_BEFORE: Final = b'{"jsonrpc":"2.0","id":1,"result":'
_MAX_ABILITIES: Final = 4
"""Sets of abilities that are remembered; the one heard longest ago goes first."""
_TRANSPORTS: Final = {"http": ("http", "sse")}
"""How a server that is configured so may turn out to be reached."""


class Remembered:
    """The memory of one backend."""

    def __init__(self, config: Backend, documents: Documents | None, max_entries: int) -> None:
        self._config = config
        self._documents = documents
        self._max_entries = max_entries
        self._offers: OrderedDict[bytes, Offer] = OrderedDict()
        self._read = documents is None
        self.transport: Transport = config.transport
        """By which the server was reached."""
        self.stateless: bool | None = None
        """Whether it answered without a session."""
        self.keeps_session: bool | None = None
        """Whether it could be greeted by `initialize`."""

    def offer(self, abilities: bytes) -> Offer | None:
        """`abilities`: raw JSON object, as in `ClientView`."""
        if not self._read:
            self._read = True
            self._load()
        return self._offers.get(abilities)

    @property
    def knows(self) -> bool:
        """Whether anything is remembered; what was not needed yet may still be on the disk."""
        return bool(self._offers)

    def keep(self, abilities: bytes, offer: Offer) -> bool:
        """Whether the file must be written again."""
        news = self._offers.get(abilities) != offer
        self._offers[abilities] = offer
        self._offers.move_to_end(abilities)
        while len(self._offers) > _MAX_ABILITIES:
            self._offers.popitem(last=False)
        return news and abilities == EVERYBODY and self._documents is not None

    def write(self, transport: Transport, stateless: bool | None, keeps_session: bool | None) -> None:
        """Blocks: to be called in a worker thread."""
        offer = self._offers.get(EVERYBODY)
        if offer is not None and self._documents is not None:
            reached: dict[str, object] = {
                "digest": _digest(self._config),
                "transport": transport,
                "stateless": stateless,
                "keeps_session": keeps_session,
            }
            self._documents.write(self._name, _written(offer, reached))

    @property
    def _name(self) -> str:
        return f"{self._config.name}.json"

    def _load(self) -> None:
        assert self._documents is not None
        text = self._documents.read(self._name)
        if text is None:
            return
        try:
            kept = json.loads(text)
            if kept["format"] != _FORMAT or kept["digest"] != _digest(self._config):
                return
            offer = _read(kept, self._max_entries)
            transport = kept["transport"]
            stateless, keeps_session = _optional(kept["stateless"], bool), _optional(kept["keeps_session"], bool)
        except (TidegateError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            # Another version wrote it, or nobody we know.
            return
        if transport == self._config.transport or transport in _TRANSPORTS.get(self._config.transport, ()):
            self._offers[EVERYBODY] = offer
            self.transport = transport
            self.stateless = stateless
            self.keeps_session = keeps_session


def _digest(config: Backend) -> str:
    """Names the server that is meant. Of secrets only the names: a digest of a short one would give it away."""
    plugin = config.plugin
    meant = (
        config.transport,
        config.command,
        config.cwd,
        config.url,
        config.address,
        [name for name, _ in config.env],
        [name for name, _ in config.headers],
        # A file of another digest has other tools, or asks for other arguments; what comes with tidegate goes by that.
        (plugin.file, plugin.digest or __version__) if plugin is not None else None,
        [(model.path, model.digest or __version__) for model in config.models],
    )
    return hashlib.sha256(json.dumps(meant).encode()).hexdigest()


def _written(offer: Offer, reached: dict[str, object]) -> bytes:
    kept = {
        "format": _FORMAT,
        **reached,
        "heard_in_session": offer.keeps_session,
        "capabilities": offer.capabilities,
        "server_info": _text(offer.server_info),
        "instructions": offer.instructions,
        "kinds": {
            kind: {
                "ttl_ms": found.ttl_ms,
                "scope": found.scope,
                "entries": [_text(entry.raw) for entry in found.entries],
            }
            for kind, found in offer.listing.kinds.items()
        },
    }
    return json.dumps(kept).encode()


def _text(raw: bytes | None) -> str | None:
    return raw.decode() if raw is not None else None


def _read(kept: dict[str, Any], max_entries: int) -> Offer:
    """Raises: TidegateError, ValueError, KeyError, TypeError, AttributeError: it is none of ours."""
    kinds: dict[str, Kind] = {}
    for kind, found in kept["kinds"].items():
        entries: list[Entry] = []
        if kind not in KEY_MEMBER or len(found["entries"]) > max_entries:
            raise ValueError
        for text in found["entries"]:
            raw = text.encode()
            _check_object(raw)
            entries.append(read_entry(kind, raw))
        kinds[kind] = Kind(tuple(entries), _optional(found["ttl_ms"], int), _optional(found["scope"], str))
    info = kept["server_info"]
    if info is not None:
        _check_object(info.encode())
    return Offer(
        Listing(kinds),
        _exactly(kept["capabilities"], dict),
        info.encode() if info is not None else None,
        _optional(kept["instructions"], str),
        _exactly(kept["heard_in_session"], bool),
    )


def _check_object(raw: bytes) -> None:
    """Raises: TidegateError, for what is not one JSON object and nothing else."""
    span = scan(_BEFORE + raw + b"}").result_span
    if raw[:1] != b"{" or span != (len(_BEFORE), len(_BEFORE) + len(raw)):
        raise ValueError


def _exactly(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError
    return value


def _optional(value: Any, kind: type) -> Any:
    return None if value is None else _exactly(value, kind)

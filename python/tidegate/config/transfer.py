"""A snapshot as JSON and back: how the validating child hands it to the daemon.

The text holds secrets in the clear. It goes through a pipe between the two and nowhere else.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from tidegate.config.snapshot import (
    Backend,
    Bounds,
    Capability,
    Client,
    Filter,
    Grants,
    Limits,
    Listen,
    Model,
    Models,
    Plugin,
    Power,
    Sampling,
    Secret,
    Snapshot,
)


def encode_snapshot(snapshot: Snapshot) -> dict[str, Any]:
    """JSON values only; secrets revealed."""
    encoded = _plain(snapshot)
    assert isinstance(encoded, dict)
    return encoded


def decode_snapshot(values: dict[str, Any]) -> Snapshot:
    """The inverse of `encode_snapshot`. Trusts its input: it was validated on the other side."""
    return Snapshot(
        listen=Listen(**_frozen(values["listen"])),
        limits=Limits(**_frozen(values["limits"])),
        backends=tuple(_backend(item) for item in values["backends"]),
        clients=tuple(Client(**_frozen(item)) for item in values["clients"]),
        filters=tuple(_filter(item) for item in values["filters"]),
        trusted_keys=tuple(values["trusted_keys"]),
        models=Models(**values["models"]),
        power=Power(**values["power"]),
        sampling=Sampling(**values["sampling"]),
        openai=_tuples(values["openai"]),
        relay=values["relay"],
        access_log=values["access_log"],
        generation=values["generation"],
        sources=tuple(values["sources"]),
    )


def _backend(values: dict[str, Any]) -> Backend:
    frozen = _frozen(values)
    for key in ("env", "headers"):
        frozen[key] = tuple((name, Secret(value)) for name, value in frozen[key])
    frozen["plugin"] = _plugin(values["plugin"])
    frozen["models"] = tuple(Model(**item) for item in values["models"])
    frozen["capabilities"] = tuple(Capability(**_frozen(item)) for item in values["capabilities"])
    return Backend(**frozen)


def _filter(values: dict[str, Any]) -> Filter:
    return Filter(**(_frozen(values) | {"plugin": _plugin(values["plugin"])}))


def _plugin(values: dict[str, Any] | None) -> Plugin | None:
    if values is None:
        return None
    return Plugin(
        **values
        | {
            "grants": Grants(**_frozen(values["grants"])),
            "bounds": Bounds(**values["bounds"]),
            "secrets": tuple(map(Secret, values["secrets"])),
        }
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _frozen(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _tuples(value) for key, value in values.items()}


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value

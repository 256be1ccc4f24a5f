"""The models of a running gateway, as a table of `tidegate status`.

The gateway says which folders its workers have; what stands in their manifests is read here, if they are on this box.
"""

from __future__ import annotations

from typing import Final

from tidegate.cli.colours import Line, Span
from tidegate.cli.gateway_facts import Backend, Gateway
from tidegate.cli.gateway_facts import Model as Seen
from tidegate.cli.layout import Column, table
from tidegate.cli.model.configured import read_or_none
from tidegate.cli.status_tables import MAX_NAME_COLUMNS, STATE_STYLE
from tidegate.config.snapshot import Model
from tidegate.host.phrase import size

_COLUMNS: Final = (
    Column("MODEL", 0, least=12),
    Column("SET", 0, least=8),
    Column("TASK", 1),
    Column("NEEDS", 2, right=True),
    Column("STATE"),
)


def models(gateway: Gateway, room: int | None) -> list[Line]:
    """What the workers of models run, by their manifests where those are on this box."""
    rows = [_model_row(backend, model) for backend in gateway.backends for model in backend.models]
    return table(_COLUMNS, rows, room) if rows else []


def _model_row(backend: Backend, model: Seen) -> list[Span]:
    manifest = read_or_none(Model(model.path, model.shipped))
    name = model.name if manifest is None else manifest.name
    return [
        Span(name[:MAX_NAME_COLUMNS]),
        Span(backend.name[:MAX_NAME_COLUMNS]),
        Span("-" if manifest is None else manifest.task),
        Span("-" if manifest is None else size(manifest.limits.memory_bytes)),
        Span(backend.model_state(name), STATE_STYLE[backend.state]),
    ]

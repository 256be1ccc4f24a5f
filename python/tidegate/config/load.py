"""Configuration files to a validated snapshot: read, merge, replace references, validate, or say all that is wrong.

For short-lived processes; the daemon uses `read.py`. Nothing is started, bound or connected to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from tidegate.config import rules
from tidegate.config.document import OPENAI_KEYS, PLUGIN_KEYS, REACH_KEYS, Document, merge, names_file, read_document
from tidegate.config.embedded import default_backends
from tidegate.config.explain import explain, key_path
from tidegate.config.locate import KeyPath
from tidegate.config.model_workers import MODEL_CALLS_IN_FLIGHT, capabilities_backend, names_model_folder, with_workers
from tidegate.config.paths import default_unix_path
from tidegate.config.problems import Problem, config_error
from tidegate.config.schema import BackendTable, ClientTable, Configuration, FilterTable, ListenTable
from tidegate.config.secret_shape import looks_secret
from tidegate.config.secrets import resolve
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
    Transport,
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that can be used."""

    snapshot: Snapshot
    document: Document
    """As written, references in place: the form that may be shown."""
    notes: tuple[Problem, ...]
    """Not wrong, but perhaps not meant."""


def load(files: Sequence[str], environ: Mapping[str, str] | None = None, *, resolve_references: bool = True) -> Loaded:
    """Reads `files`, later ones winning key by key.

    With `resolve_references` false, `${...}` stays as written and nothing of the environment is needed; a URL or header
    made of references is then not checked further.

    Raises: ConfigError listing every problem in every file.
    """
    environ = os.environ if environ is None else environ
    document = merge(read_document(file) for file in files)
    problems: dict[KeyPath, Problem] = {}
    tree = document.tree
    if resolve_references:
        tree, problems = resolve(document, environ)
    configuration, refused = _validated(tree, document, problems, lenient=not resolve_references)
    listed = [*document.problems, *problems.values(), *refused]
    listed += rules.reach_problems(document)
    listed += rules.plugin_problems(document)
    listed += rules.model_problems(document)
    listed += rules.capability_problems(document)
    listed += rules.alias_problems(document)
    listed += rules.token_problems(document)
    listed += _listen_problems(document, environ)
    if listed or configuration is None:
        raise config_error(listed)
    snapshot = _snapshot(configuration, document, environ, tuple(files))
    return Loaded(snapshot, document, (*document.notes, *rules.notes(document)))


def _validated(
    tree: dict[str, Any], document: Document, known: Mapping[KeyPath, Problem], *, lenient: bool
) -> tuple[Configuration | None, list[Problem]]:
    """The typed tables, or what is wrong with single values; a key in `known` is not blamed twice."""
    if lenient:
        tree = _without_references(tree)
    try:
        return Configuration.model_validate(tree), []
    except ValidationError as error:
        found: dict[KeyPath, Problem] = {}
        for details in error.errors(include_url=False):
            path = key_path(details)
            # One of a list that may be written as one.
            if path not in known and path[:-1] not in known:
                found.setdefault(path, document.place(path).problem(explain(details)))
        return None, list(found.values())


def _without_references(tree: dict[str, Any]) -> dict[str, Any]:
    """Stands in for what cannot be known: a URL that holds a reference becomes one that passes."""
    shown = dict(tree)
    if isinstance(tree.get("backends"), dict):
        shown["backends"] = {
            name: {**table, "url": _passing(table["url"])} if isinstance(table, dict) and "url" in table else table
            for name, table in tree["backends"].items()
        }
    return shown


def _passing(url: object) -> object:
    """What is written as `url`, one or a list, with nothing that has a reference in it."""
    if isinstance(url, list):
        return [f"http://reference-{at}.invalid/" if "${" in str(one) else one for at, one in enumerate(url)]
    return "http://reference.invalid/" if isinstance(url, str) and "${" in url else url


def _listen_problems(document: Document, environ: Mapping[str, str]) -> list[Problem]:
    """Judged on its own, so that a mistake in a backend does not hide an open door."""
    try:
        table = ListenTable.model_validate(document.tree.get("listen", {}))
    except ValidationError:
        return []
    clients = document.tree.get("clients")
    return list(rules.listen_problems(document, _listen(table, environ), bool(clients)))


def _snapshot(
    configuration: Configuration, document: Document, environ: Mapping[str, str], files: tuple[str, ...]
) -> Snapshot:
    backends = tuple(_backend(name, table, document) for name, table in configuration.backends.items())
    if "backends" not in document.tree:
        backends = default_backends()
    if configuration.capabilities:
        listed = [Capability(name=name, **_plain(table)) for name, table in configuration.capabilities.items()]
        backends += (capabilities_backend(listed),)
    snapshot = Snapshot(
        listen=_listen(configuration.listen, environ),
        limits=Limits(**_plain(configuration.limits)),
        relay=configuration.relay,
        access_log=configuration.access_log,
        backends=backends,
        clients=tuple(_client(name, table) for name, table in configuration.clients.items()),
        filters=tuple(_filter(name, table, document) for name, table in configuration.filters.items()),
        trusted_keys=tuple(configuration.plugins.trusted_keys),
        models=Models(**_plain(configuration.models)),
        power=Power(**_plain(configuration.power)),
        sampling=Sampling(**_plain(configuration.sampling)),
        openai=tuple(configuration.openai.models.items()),
        sources=files,
    )
    return with_workers(snapshot)


def _listen(table: ListenTable, environ: Mapping[str, str]) -> Listen:
    unix = default_unix_path(environ) if table.unix is None else table.unix
    return Listen(**{**_plain(table), "unix": unix})


def _backend(name: str, table: BackendTable, document: Document) -> Backend:
    command = tuple(table.command or ()) + tuple(table.args)
    shared = _plain(table)
    for key in (*REACH_KEYS, *PLUGIN_KEYS, *OPENAI_KEYS, "transport", "args", "env", "headers"):
        del shared[key]
    if table.models is not None and "max_in_flight" not in table.model_fields_set:
        shared["max_in_flight"] = MODEL_CALLS_IN_FLIGHT
    endpoints = tuple(table.url or table.tcp or table.unix or ())
    if len(endpoints) > 1:
        shared |= {"replicas": len(endpoints), "endpoints": endpoints}
    return Backend(
        name=name,
        transport=table.transport or _transport(table),
        command=command,
        env=tuple((key, Secret(value)) for key, value in table.env.items()),
        url=table.url[0] if table.url else table.openai or "",
        headers=tuple((key, Secret(value)) for key, value in table.headers.items()),
        address=(table.tcp or table.unix or [table.builtin or ""])[0],
        plugin=_plugin(table.wasm, table, ("backends", name), document) if table.wasm is not None else None,
        models=_models(name, table, document),
        chat_model=table.chat_model or "",
        embedding_model=table.embedding_model or "",
        **shared,
    )


def _models(backend: str, table: BackendTable, document: Document) -> tuple[Model, ...]:
    """Paths count from the file they stand in, whoever reads it from where."""
    found = []
    for index, model in enumerate(table.models or ()):
        shipped = not names_model_folder(model.path)
        path = model.path
        if not shipped:
            place = Path(document.place(("backends", backend, "models", index, "path")).file)
            path = os.path.normpath(place.absolute().parent / model.path)
        found.append(Model(path=path, shipped=shipped, digest=model.digest or ""))
    return tuple(found)


def _transport(table: BackendTable) -> Transport:
    if table.command is not None or table.models is not None:
        return "stdio"
    if table.openai is not None:
        return "openai"
    if table.url is not None:
        return "http"
    if table.tcp is not None:
        return "tcp"
    if table.unix is not None:
        return "unix"
    return "wasm" if table.wasm is not None else "builtin"


def _filter(name: str, table: FilterTable, document: Document) -> Filter:
    plugin = _plugin(table.wasm, table, ("filters", name), document)
    return Filter(name=name, plugin=plugin, tools=tuple(table.tools), on_failure=table.on_failure)


def _plugin(wasm: str, table: BackendTable | FilterTable, path: tuple[str, str], document: Document) -> Plugin:
    """Paths count from the file they stand in, whoever reads it from where."""

    def absolute(text: str, *key: str) -> str:
        return os.path.normpath(Path(document.place((*path, *key)).file).absolute().parent / text)

    section, name = path
    written = document.tree[section][name].get("settings")
    grants = _plain(table.grants)
    for key in ("folders", "writable"):
        grants[key] = tuple((inside, absolute(outside, "grants", key, inside)) for inside, outside in grants[key])
    return Plugin(
        file=absolute(wasm, "wasm") if names_file(wasm) else wasm,
        shipped=not names_file(wasm),
        digest=table.digest or "",
        grants=Grants(**grants),
        settings=json.dumps(table.settings, ensure_ascii=False, separators=(",", ":")),
        secrets=tuple(map(Secret, dict.fromkeys(_secrets("", table.settings, written)))),
        bounds=Bounds(**_plain(table.bounds)),
    )


def _secrets(key: str, value: Any, written: Any) -> Iterator[str]:
    """Texts that came from a reference, or look like a secret. `written`: the same with references in place."""
    if isinstance(value, dict):
        for inner, item in value.items():
            yield from _secrets(inner, item, written[inner])
    elif isinstance(value, list):
        for item, text in zip(value, written, strict=True):
            yield from _secrets(key, item, text)
    elif isinstance(value, str) and (value != written or looks_secret(key, value)):
        yield value


def _client(name: str, table: ClientTable) -> Client:
    return Client(name=name, **_plain(table))


def _plain(table: BaseModel) -> dict[str, Any]:
    """Field values in the snapshot's shapes: lists as tuples, tables as tuples of pairs."""
    values: dict[str, Any] = {}
    for name in type(table).model_fields:
        value = getattr(table, name)
        if isinstance(value, list):
            value = tuple(value)
        elif isinstance(value, dict):
            value = tuple(value.items())
        values[name] = value
    return values

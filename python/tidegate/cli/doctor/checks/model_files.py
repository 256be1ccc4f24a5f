"""A model is not what was pinned, its package is not installed, or it needs more memory than models may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.model.configured import Configured, models_of
from tidegate.cli.model.installing import install_command
from tidegate.cli.model.opened import NEW_SHA256
from tidegate.cli.model.state import State, state_of
from tidegate.host.phrase import size

_WORKER_BYTES: Final = 24 << 20
"""What a worker takes without any model: 20 to 24 MiB, measured. It refuses a model that has no room beside that."""


def _look(case: Case) -> Iterator[Finding]:
    if case.snapshot is None:
        return
    needed: dict[str, int] = {}
    sets: set[str] = set()
    for one in models_of(case.snapshot):
        if not one.backend.enabled:
            continue
        state = state_of(one, thorough=True)
        if not state.usable:
            yield _unusable(case, one, state)
        elif state.opened is not None:
            needs = state.opened.manifest.limits.memory_bytes
            needed[one.full_name] = needs
            sets.add(one.set)
            bound = one.backend.memory_bytes
            if bound and needs + _WORKER_BYTES > bound:
                yield _too_large(case, one, needs, bound)
    budget = case.snapshot.models.memory_bytes
    together = sum(needed.values()) + len(sets) * _WORKER_BYTES
    if len(needed) > 1 and budget and together > budget >= max(needed.values()) + _WORKER_BYTES:
        yield Finding(
            "note",
            f"the models together need {size(sum(needed.values()))} of memory, and may have {size(budget)}",
            ", ".join(f"{case.quote(name)} {size(needs)}" for name, needs in needed.items()),
            "they take turns: the one that was not used for longest is unloaded, and loaded again when it is called",
            "give them more, if the box has it, or leave it so",
            (f"[models]\nmemory_bytes = {together}",),
        )


def _unusable(case: Case, one: Configured, state: State) -> Finding:
    remedy, paste = "put the file back that was added", [f"tidegate model inspect {one.full_name}"]
    if state.trouble == "unknown":
        remedy = f"write a name that there is, or a folder as `./{case.quote(one.model.path)}`; or take the model out"
        paste = ["tidegate model list", f"tidegate model remove {one.full_name}"]
    elif state.trouble == "package" and state.opened is not None:
        remedy = "install it"
        command = install_command(state.opened)
        paste = [f"tidegate model add {state.opened.shipped} --install", command] if state.opened.shipped else [command]
    elif state.trouble in ("pin", "file") and not one.model.shipped:
        remedy += "; or look at the new one, and pin that"
        if state.trouble == "file":
            # The configuration pins model.toml, which has the file's digest.
            remedy = f"put the file back that was added; or, if it is meant to be so, {NEW_SHA256}, then pin that"
        paste += [f"tidegate model add {one.model.path} --set {one.set} --replace"]
    else:
        remedy += "; or take the model out"
        paste += [f"tidegate model remove {one.full_name}"]
    return Finding(
        "error",
        f"the model `{case.quote(one.full_name)}` cannot be loaded: {case.quote(state.words)}",
        f"{case.place(one.set, 'models')}: `{case.quote(one.model.path)}`",
        "calls of its tools are answered with an error, or go to the cloud where a capability says so",
        remedy,
        tuple(map(case.quote, paste)),
        one.set,
    )


def _too_large(case: Case, one: Configured, needs: int, bound: int) -> Finding:
    enough = max(needs * 5 // 4, needs + _WORKER_BYTES)
    paste = tuple(f"[{table}]\nmemory_bytes = {enough}" for table in _bounds_below(case, one, enough))
    whose = "this set" if paste and not paste[0].startswith("[models]") else "models"
    return Finding(
        "error",
        f"the model `{case.quote(one.full_name)}` needs {size(needs)} of memory beside the {size(_WORKER_BYTES)} or so "
        f"of its worker itself, which may have {size(bound)}",
        f"{case.place(one.set, 'models')}: `limits.memory_bytes` of its model.toml",
        "it is never loaded",
        f"give {whose} more, if the box has it, or take a smaller one",
        paste,
        one.set,
    )


def _bounds_below(case: Case, one: Configured, enough: int) -> Iterator[str]:
    """The tables whose `memory_bytes` keep it out: of the set, of all models, or of both."""
    own = case.document.tree.get("backends", {}).get(one.set, {}).get("memory_bytes")
    if own and own < enough:
        yield f"backends.{one.set}"
    if case.snapshot is not None and case.snapshot.models.memory_bytes < enough:
        yield "models"


CHECK = BoxCheck("model_files", "models are the files that were pinned, with packages and memory for them", _look)

"""A model is not what was pinned, its package is not installed, or it needs more memory than models may have."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.cli.model.configured import Configured, models_of
from tidegate.cli.model.installing import install_command
from tidegate.cli.model.state import State, state_of
from tidegate.host.phrase import size


def _look(case: Case) -> Iterator[Finding]:
    if case.snapshot is None:
        return
    needed: dict[str, int] = {}
    for one in models_of(case.snapshot):
        if not one.backend.enabled:
            continue
        state = state_of(one, thorough=True)
        if not state.usable:
            yield _unusable(case, one, state)
        elif state.opened is not None:
            needs = state.opened.manifest.limits.memory_bytes
            needed[one.full_name] = needs
            bound = one.backend.memory_bytes
            if bound and needs > bound:
                yield _too_large(case, one, needs, bound)
    budget = case.snapshot.models.memory_bytes
    if len(needed) > 1 and budget and sum(needed.values()) > budget >= max(needed.values()):
        yield Finding(
            "note",
            f"the models together need {size(sum(needed.values()))} of memory, and may have {size(budget)}",
            ", ".join(f"{case.quote(name)} {size(needs)}" for name, needs in needed.items()),
            "they take turns: the one that was not used for longest is unloaded, and loaded again when it is called",
            "give them more, if the box has it, or leave it so",
            (f"[models]\nmemory_bytes = {sum(needed.values())}",),
        )


def _unusable(case: Case, one: Configured, state: State) -> Finding:
    remedy, paste = "put the file back that was added", [f"tidegate model inspect {one.full_name}"]
    if state.trouble == "package" and state.opened is not None:
        remedy = "install it"
        command = install_command(state.opened)
        paste = [f"tidegate model add {state.opened.shipped} --install", command] if state.opened.shipped else [command]
    elif state.trouble == "digest" and not one.model.shipped:
        remedy += "; or look at the new one, and pin that"
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
    return Finding(
        "error",
        f"the model `{case.quote(one.full_name)}` needs {size(needs)} of memory, and its worker may have {size(bound)}",
        f"{case.place(one.set, 'models')}: `limits.memory_bytes` of its model.toml",
        "it is never loaded",
        "give models more, if the box has it, or take a smaller one",
        (f"[models]\nmemory_bytes = {needs * 5 // 4}",),
        one.set,
    )


CHECK = BoxCheck("model_files", "models are the files that were pinned, with packages and memory for them", _look)

"""Takes the secrets out of backend tables: each becomes a `${NAME}` reference, and the name is noted.

Works on tables as `document.py` makes them. The values themselves are dropped here and appear nowhere after.
"""

from __future__ import annotations

import re
from typing import Final

from tidegate.config.document import Tree
from tidegate.config.locate import KeyPath
from tidegate.config.secret_shape import looks_secret, secret_url_spans, value_looks_secret

_EDITOR_REFERENCE: Final = re.compile(r"\$\{(input|env):([^{}:]+)\}|\$\{(userHome)\}")
_FLAG: Final = re.compile(r"--?([A-Za-z][\w-]*)")
_FLAG_VALUE: Final = re.compile(r"(--?[A-Za-z][\w-]*=|[A-Za-z_]\w*=|[A-Za-z][\w-]*:\s*)(.+)", re.DOTALL)
"""`--api-key=...`, `NAME=...` (for `docker run -e`) and `Header: ...` (for `--header`)."""


Changes = dict[KeyPath, list[str]]
"""For each key that changed, relative to its table: the variables that have to be set."""


class Withheld:
    """Names given to secrets so far. One value has one name, over all backends."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()
        self.variables: list[str] = []
        """Names of the variables that stand for values, in order."""

    def table(self, backend: str, table: Tree) -> tuple[Tree, Changes]:
        """A copy of the table with references in place of what looks secret, and what changed."""
        changed: Changes = {}
        copy = dict(table)
        for section in ("env", "headers"):
            if isinstance(values := table.get(section), dict):
                copy[section] = {}
                for name, value in values.items():
                    wanted = name if section == "env" else f"{backend}_{name}"
                    copy[section][name] = self._named(name, value, wanted, (section, name), backend, changed)
        if isinstance(args := table.get("args"), list):
            copy["args"] = self._arguments(args, ("args",), backend, changed)
        if isinstance(command := table.get("command"), list):
            copy["command"] = self._arguments(command, ("command",), backend, changed)
        if isinstance(url := table.get("openai"), str):
            copy["openai"] = self._url(url, ("openai",), backend, changed)
        if isinstance(url := table.get("url"), str):
            copy["url"] = self._url(url, ("url",), backend, changed)
        elif isinstance(url, list):
            copy["url"] = [
                self._url(one, ("url", index), backend, changed) if isinstance(one, str) else one
                for index, one in enumerate(url)
            ]
        return copy, changed

    def _named(self, name: str, value: object, wanted: str, path: KeyPath, backend: str, changed: Changes) -> object:
        if not isinstance(value, str):
            return value
        if looks_secret(name, value):
            scheme = re.match(r"(?i:bearer|basic|token)\s+", value)
            start = scheme.end() if scheme else 0
            variable = self._variable(value[start:], wanted, backend, changed.setdefault(path, []))
            return f"{value[:start]}${{{variable}}}"
        return self._translate(value, path, changed)

    def _arguments(self, args: list[object], path: KeyPath, backend: str, changed: Changes) -> list[object]:
        result: list[object] = []
        before = ""
        for index, argument in enumerate(args):
            here: KeyPath = (*path, index)
            if not isinstance(argument, str):
                result.append(argument)
                continue
            pair = _FLAG_VALUE.fullmatch(argument)
            flag = _FLAG.fullmatch(before)
            if "://" in argument:
                result.append(self._url(argument, here, backend, changed))
            elif pair and looks_secret(pair[1], pair[2]):
                name = pair[1].strip("-=: ")
                wanted = name if argument[0] != "-" and "=" in pair[1] else f"{backend}_{name}"
                result.append(pair[1] + str(self._named(name, pair[2], wanted, here, backend, changed)))
            elif flag and not argument.startswith("-") and looks_secret(flag[1], argument):
                result.append(self._named(flag[1], argument, f"{backend}_{flag[1]}", here, backend, changed))
            elif value_looks_secret(argument):
                result.append(self._named("secret", argument, f"{backend}_SECRET", here, backend, changed))
            else:
                result.append(self._translate(argument, here, changed))
            before = argument
        return result

    def _url(self, url: str, path: KeyPath, backend: str, changed: Changes) -> str:
        pieces = []
        end = 0
        for start, stop in secret_url_spans(url):
            variable = self._variable(url[start:stop], f"{backend}_URL_SECRET", backend, changed.setdefault(path, []))
            pieces += [url[end:start], f"${{{variable}}}"]
            end = stop
        url = "".join([*pieces, url[end:]])
        return self._translate(url, path, changed)

    def _translate(self, value: str, path: KeyPath, changed: Changes) -> str:
        """References as editors spell them become ours; what an editor asks a person for becomes a variable."""

        def ours(match: re.Match[str]) -> str:
            kind, name, home = match.groups()
            if home:
                return "${HOME}"
            if kind == "env":
                return f"${{{name}}}"
            variable = _as_variable(name)
            self._taken.add(variable)
            self._note(variable, changed.setdefault(path, []))
            return f"${{{variable}}}"

        return _EDITOR_REFERENCE.sub(ours, value)

    def _variable(self, value: str, wanted: str, backend: str, changed: list[str]) -> str:
        name = self._names.get(value, "")
        if not name:
            name = plain = _as_variable(wanted)
            if name in self._taken and not name.startswith(_as_variable(backend)):
                name = plain = _as_variable(f"{backend}_{wanted}")
            number = 2
            while name in self._taken:
                name = f"{plain}_{number}"
                number += 1
            self._taken.add(name)
            self._names[value] = name
        self._note(name, changed)
        return name

    def _note(self, variable: str, changed: list[str]) -> None:
        if variable not in changed:
            changed.append(variable)
        if variable not in self.variables:
            self.variables.append(variable)


def _as_variable(text: str) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").upper() or "SECRET"
    return name if not name[0].isdigit() else f"_{name}"

"""A `${NAME}` or `${file:PATH}` in the configuration leads nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BoxCheck
from tidegate.cli.doctor.finding import Finding


def _look(case: Case) -> Iterator[Finding]:
    for problem in case.unresolved.values():
        variable = re.search(r"environment variable `(\w+)` is not set", problem.message)
        place = f"{problem.file}:{problem.line}"
        if variable is None:
            yield Finding(
                "error",
                f"{problem.key}: {problem.message}",
                f"{place}, with the rights of this user",
                "the gateway does not start without it",
                "make the file, readable for the user the gateway runs as; or write another reference",
            )
            continue
        name = variable[1]
        yield Finding(
            "error",
            f"{problem.key} needs `{name}`, which is not set",
            f"{place} refers to it; it is not in the environment of this command",
            "the gateway does not start without it. What is set in a shell is not set for a service",
            "set it where the gateway is started: in the shell before `tidegate serve`, or for the service",
            (
                f"export {name}=…",
                "# or, after `systemctl edit tidegate`:",
                "[Service]",
                f"Environment={name}=…",
            ),
        )


CHECK = BoxCheck("environment", "every `${NAME}` and `${file:PATH}` of the configuration leads somewhere", _look)

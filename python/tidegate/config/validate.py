"""`python -m tidegate.config.validate FILE...`: the validating child of `read.py`, and nothing else's business.

Prints one JSON object on stdout: `{"snapshot": ...}` with exit 0, secrets included (stdout is a pipe to the daemon), or
`{"problems": [...]}` with exit 2. Either also has `secret_files`: a reload must follow those, too.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidegate.config.document import merge, read_document
from tidegate.config.problems import Problem, problems_of
from tidegate.config.secrets import secret_files
from tidegate.config.transfer import encode_snapshot
from tidegate.errors import ConfigError


def main(argv: Sequence[str]) -> int:
    files = [argument for index, argument in enumerate(argv) if (index, argument) != (0, "--")]
    answer, status = _answer(files)
    json.dump(answer, sys.stdout)
    sys.stdout.flush()
    return status


def _answer(files: Sequence[str]) -> tuple[dict[str, Any], int]:
    try:
        from tidegate.config.load import load

        loaded = load(files)
        named = secret_files(loaded.document, os.environ)
        return {"snapshot": encode_snapshot(loaded.snapshot), "secret_files": named}, 0
    except ConfigError as error:
        # Creating the secret that is missing is how a person mends it.
        named = secret_files(merge(map(read_document, files)), os.environ)
        return {"problems": [_values(problem) for problem in problems_of(error)], "secret_files": named}, 2
    except Exception as error:  # a defect of ours: the daemon hears where, but no value from the message
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        message = f"the validator failed with {type(error).__name__} at {where}"
        return {"problems": [_values(Problem("", 0, "", message))], "secret_files": []}, 2


def _values(problem: Problem) -> dict[str, Any]:
    return {"file": problem.file, "line": problem.line, "key": problem.key, "message": problem.message}


if __name__ == "__main__":
    # Skips the interpreter's tear-down: the daemon is waiting for end-of-file.
    os._exit(main(sys.argv[1:]))

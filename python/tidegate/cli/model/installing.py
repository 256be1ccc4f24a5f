"""The Python packages that a model needs: installed by this Python's own pip, or the command for it in words.

For a model that comes with tidegate, versions and digests are pinned in its `requirements.txt`, and nothing else is
installed. What a model of somebody else wants is only named: which version to trust is the operator's to say.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path

from tidegate.cli.model.opened import Opened
from tidegate.cli.refused import Refused
from tidegate.cli.terminal import is_person, say
from tidegate.config.shipped_models import REQUIREMENTS

_WHY_LINES = 4


def install_command(opened: Opened) -> str:
    """To be pasted."""
    return shlex.join(_command(opened))


def advice(opened: Opened, missing: tuple[str, ...]) -> str:
    """A sentence that says what to do about it."""
    packages = f"it needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
    if not opened.shipped:
        return f"{packages}: `{install_command(opened)}`"
    return f"{packages}: `tidegate model add {opened.shipped} --install`, which runs `{install_command(opened)}`"


def install(opened: Opened, missing: tuple[str, ...]) -> None:
    """Raises: Refused, and then nothing was installed."""
    command = install_command(opened)
    if not opened.shipped:
        raise Refused(
            f"`--install` is for models that come with tidegate, whose packages are pinned; install those of "
            f"`{opened.manifest.name}` by hand: `{command}`"
        )
    if not (opened.folder / REQUIREMENTS).is_file():
        raise Refused(f"this build does not say which packages `{opened.shipped}` is pinned to")
    if find_spec("pip") is None:
        raise Refused(
            f"this Python ({sys.executable}) has no pip; install it (Debian: package `python3-pip`, or "
            f"`{shlex.quote(sys.executable)} -m ensurepip`), then `{command}`"
        )
    if is_externally_managed():
        raise Refused(
            f"this Python ({sys.executable}) belongs to the system's package manager, and pip must not write into it; "
            f"run tidegate from a virtual environment, or, if you take the risk, "
            f"`{command} --break-system-packages`"
        )
    say(f"installing {', '.join(missing)}: {command}")
    heard = not is_person(sys.stderr)  # a person sees what pip says while it says it
    # What lies in the directory that a person happens to be in is not imported.
    environ = {**os.environ, "PYTHONSAFEPATH": "1"}
    done = subprocess.run(  # noqa: S603 (our own file)
        _command(opened),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if heard else sys.stderr,
        stderr=subprocess.PIPE if heard else None,
        text=True,
        check=False,
        env=environ,
    )
    if done.returncode != 0:
        why = "\n".join((done.stderr or "").strip().splitlines()[-_WHY_LINES:])
        said = f". It said:\n{why}" if why else ""
        raise Refused(f"pip ended with {done.returncode}; nothing was added{said}")
    invalidate_caches()
    if left := opened.missing():
        raise Refused(f"pip is done, and {', '.join(left)} cannot be found all the same; nothing was added")


def is_externally_managed() -> bool:
    """PEP 668: the system's package manager owns this Python, and no virtual environment stands before it."""
    if sys.prefix != sys.base_prefix:
        return False
    return (Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED").exists()


def _command(opened: Opened) -> list[str]:
    pip = [sys.executable, "-m", "pip", "install"]
    if opened.shipped:
        return [*pip, "--no-deps", "--require-hashes", "-r", str(opened.folder / REQUIREMENTS)]
    return [*pip, *opened.manifest.install]

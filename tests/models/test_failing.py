"""What callers of a model are told when a library of it fails."""

from __future__ import annotations

from tidegate.errors import ModelMissing
from tidegate.models.worker.failing import as_failure


def test_a_library_that_the_system_lacks_is_named_with_its_package() -> None:
    said = "libstdc++.so.6: cannot open shared object file: No such file or directory"
    found = as_failure("voice", ImportError(said, name="numpy._core._multiarray_umath"))
    assert isinstance(found, ModelMissing)
    assert str(found) == (
        "model `voice`: the package `numpy` cannot be used: this system has no `libstdc++.so.6`, which no Python "
        "package brings: apt-get install libstdc++6"
    )


def test_an_import_that_fails_otherwise_says_what_to_do() -> None:
    found = as_failure("voice", ModuleNotFoundError("No module named 'numpy'", name="numpy"))
    assert isinstance(found, ModelMissing)
    assert "`numpy` cannot be used: No module named 'numpy'; install what it needs again" in str(found)

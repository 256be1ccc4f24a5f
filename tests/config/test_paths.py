"""Where the unix socket is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tidegate.config.paths import default_unix_path, prepare_unix_directory, unix_path_candidates
from tidegate.errors import ConfigError


def test_an_explicit_socket_wins_over_every_other_place() -> None:
    environ = {"TIDEGATE_SOCKET": "/a/b.sock", "XDG_RUNTIME_DIR": "/run/user/7"}
    assert default_unix_path(environ) == "/a/b.sock"
    assert unix_path_candidates(environ) == ("/a/b.sock",)


def test_a_users_daemon_lives_in_the_runtime_directory() -> None:
    assert default_unix_path({"XDG_RUNTIME_DIR": "/run/user/7"}) == "/run/user/7/tidegate.sock"


def test_a_client_looks_for_its_own_daemon_before_the_system_one() -> None:
    candidates = unix_path_candidates({"XDG_RUNTIME_DIR": "/run/user/7"})
    assert candidates == (
        "/run/user/7/tidegate.sock",
        "/run/tidegate/tidegate.sock",
        f"/tmp/tidegate-{os.getuid()}/tidegate.sock",
    )


def test_what_the_daemon_binds_by_default_is_where_a_client_looks() -> None:
    for environ in ({}, {"XDG_RUNTIME_DIR": "/run/user/7"}, {"TIDEGATE_SOCKET": "/x.sock"}):
        assert default_unix_path(environ) in unix_path_candidates(environ)


def test_a_missing_socket_directory_is_made_for_the_owner_only(tmp_path: Path) -> None:
    prepare_unix_directory(str(tmp_path / "deep" / "tidegate.sock"))
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700


def test_a_socket_directory_that_cannot_be_made_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"listen\.unix"):
        prepare_unix_directory(str(tmp_path / "file" / "tidegate.sock"))

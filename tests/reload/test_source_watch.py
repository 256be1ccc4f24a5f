"""Files that change, in all the ways in which editors and deployments change them."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from heard import within

from tidegate.config import source_watch
from tidegate.config.inotify import Inotify
from tidegate.config.source_watch import SourceWatch, marks_of, watch_points

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_watch, "SETTLE_S", 0.05)


class Watched:
    """What a watch has said so far."""

    def __init__(self) -> None:
        self.times = 0
        self._said = asyncio.Event()

    def changed(self) -> None:
        self.times += 1
        self._said.set()

    async def heard(self) -> None:
        await within(self._said.wait())
        self._said.clear()


@asynccontextmanager
async def watching(*files: Path) -> AsyncIterator[Watched]:
    watched = Watched()
    watch = SourceWatch(watched.changed)
    watch.watch(map(str, files))
    try:
        yield watched
    finally:
        watch.close()


def written_in_place(path: Path) -> None:
    path.write_text("two\n", encoding="utf-8")


def renamed_over(path: Path) -> None:
    """As most editors save."""
    beside = path.with_name(".swap")
    beside.write_text("two\n", encoding="utf-8")
    beside.replace(path)


def moved_away_and_written_anew(path: Path) -> None:
    """As vim saves with a backup."""
    path.rename(path.with_name("old~"))
    path.write_text("two\n", encoding="utf-8")
    path.with_name("old~").unlink()


def removed(path: Path) -> None:
    path.unlink()


def linked(path: Path) -> None:
    """A hard link in its place, which nobody writes to."""
    other = path.with_name("other")
    other.write_text("two\n", encoding="utf-8")
    path.unlink()
    path.hardlink_to(other)


def made_unreadable(path: Path) -> None:
    path.chmod(0)


@pytest.mark.parametrize(
    "change", [written_in_place, renamed_over, moved_away_and_written_anew, removed, linked, made_unreadable]
)
async def test_a_file_is_another_one_whichever_way_that_was_done(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "tidegate.toml"
    path.write_text("one\n", encoding="utf-8")
    async with watching(path) as watched:
        change(path)
        await watched.heard()
        assert watched.times == 1


async def test_what_happens_in_a_row_is_one_change(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.toml"
    path.write_text("one", encoding="utf-8")
    async with watching(path) as watched:
        for number in range(20):
            path.write_text(f"{number}", encoding="utf-8")
        await watched.heard()
        assert watched.times == 1


def mounted(folder: Path) -> Path:
    """As volumes of cluster managers look: file → ..data/file, ..data → a folder of the day."""
    (folder / "..one").mkdir()
    (folder / "..one" / "tidegate.toml").write_text("one", encoding="utf-8")
    (folder / "..data").symlink_to("..one")
    (folder / "tidegate.toml").symlink_to("..data/tidegate.toml")
    return folder / "tidegate.toml"


async def test_a_link_swapped_on_the_way_is_a_change(tmp_path: Path) -> None:
    path = mounted(tmp_path)
    async with watching(path) as watched:
        for name in ("..two", "..three"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "tidegate.toml").write_text(name, encoding="utf-8")
            (tmp_path / "..next").symlink_to(name)
            (tmp_path / "..next").replace(tmp_path / "..data")
            await watched.heard()
        (tmp_path / "..three" / "tidegate.toml").write_text("four", encoding="utf-8")
        await watched.heard()
        assert watched.times == 3


async def test_a_folder_that_goes_and_comes_back_is_followed(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    path = folder / "tidegate.toml"
    path.write_text("one", encoding="utf-8")
    async with watching(path) as watched:
        folder.rename(tmp_path / "gone")
        await watched.heard()
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "tidegate.toml").write_text("two", encoding="utf-8")
        (tmp_path / "new").rename(folder)
        await watched.heard()
        renamed_over(path)
        await watched.heard()


async def test_a_neighbour_is_no_news(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.toml"
    path.write_text("one", encoding="utf-8")
    async with watching(path) as watched:
        (tmp_path / "notes").write_text("x", encoding="utf-8")
        # The same content and the same time: nobody could tell it from before.
        path.write_text("two", encoding="utf-8")
        await watched.heard()
        assert watched.times == 1


async def test_a_change_between_reading_and_watching_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.toml"
    path.write_text("one", encoding="utf-8")
    marks = marks_of([str(path)])
    path.write_text("another one", encoding="utf-8")
    watched = Watched()
    watch = SourceWatch(watched.changed)
    try:
        watch.watch([str(path)], marks)
        await watched.heard()
    finally:
        watch.close()


async def test_a_file_that_is_still_missing_is_waited_for_where_it_will_be(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "token"
    async with watching(path) as watched:
        path.parent.mkdir()
        path.write_text("s3cret", encoding="utf-8")
        await watched.heard()


def test_every_link_on_the_way_and_the_file_at_its_end_are_watched(tmp_path: Path) -> None:
    path = mounted(tmp_path)
    assert watch_points(str(path)) == {
        (str(tmp_path), "tidegate.toml"),
        (str(tmp_path), "..data"),
        (str(tmp_path / "..one"), "tidegate.toml"),
    }
    (tmp_path / "round").symlink_to("round")
    assert watch_points(str(tmp_path / "round")) == {(str(tmp_path), "round")}


async def test_what_cannot_be_watched_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tidegate.toml"
    path.write_text("one", encoding="utf-8")
    watch = SourceWatch(lambda: None)
    try:
        watch.watch([str(path)])
        assert watch.complete

        def none_left(self: Inotify, directory: str, mask: int) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Inotify, "add", none_left)
        watch.watch([str(path)])
        assert not watch.complete
        assert f"not_watched directory={tmp_path}" in caplog.text
    finally:
        watch.close()


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_no_descriptor_is_left(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.toml"
    path.write_text("one", encoding="utf-8")
    before = descriptors()
    async with watching(path):
        assert descriptors() == before + 1
    assert descriptors() == before

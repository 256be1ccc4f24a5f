"""Collisions are told once, however often the catalogue is made anew."""

from __future__ import annotations

from tidegate.pipeline.route.collisions import Collisions


def test_a_collision_is_told_when_it_is_new_and_not_again() -> None:
    collisions = Collisions()
    assert collisions.untold(["a", "b"]) == ["a", "b"]
    assert collisions.untold(["a", "b"]) == []
    assert collisions.untold(["a", "c", "b"]) == ["c"]


def test_a_collision_that_comes_and_goes_is_not_told_each_time() -> None:
    collisions = Collisions()
    collisions.untold(["a"])
    assert collisions.untold([]) == []
    assert collisions.untold(["a"]) == []


def test_one_catalogue_tells_so_many_at_once_and_the_rest_later() -> None:
    collisions = Collisions()
    found = [str(number) for number in range(50)]
    told = [collisions.untold(found) for _ in range(4)]
    assert [len(each) for each in told] == [20, 20, 10, 0]
    assert [text for each in told for text in each] == found


def test_what_servers_write_cannot_fill_the_memory() -> None:
    collisions = Collisions()
    for number in range(2000):
        (text,) = collisions.untold([f"{number} " + "x" * 100_000])
        assert len(text) == 400
    assert len(collisions._told) == 1000
    assert len(collisions.untold(["0 " + "x" * 100_000])) == 1, "forgotten, so told again"
    assert collisions.untold(["1999 " + "x" * 100_000]) == []

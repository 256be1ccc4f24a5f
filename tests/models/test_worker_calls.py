"""What becomes of calls: queued, joined, computed together, given up, out of time."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy_model import WAIT_S, Bench, Toy, write_model

from tidegate.models.worker.worker import STUCK

Make = Callable[..., Bench]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Bench] = []

    def bench(limits: dict[str, Any] | None = None, **more: Any) -> Bench:
        made.append(Bench([write_model(tmp_path / f"m{len(made)}", limits=limits or {})], **more))
        return made[-1]

    yield bench
    for one in made:
        one.close()


def occupied(bench: Bench) -> tuple[Toy, Any]:
    """The toy, at a call that ends when its gate is opened, and the call's id."""
    toy = bench.toys["toy"]
    for _ in range(20):
        request_id = bench.call("first", wait=True)
        if toy.begun.acquire(timeout=1.0):
            return toy, request_id
        # On a busy machine its time may be up before it is begun.
        assert reason(bench.answers(request_id)[0]) == "model_deadline"
    raise AssertionError("it is never begun")


def said(message: Any) -> str:
    return str(message["result"]["structuredContent"]["said"])


def reason(message: Any) -> str:
    return str(message["error"]["data"]["reason"])


def test_calls_that_come_while_it_computes_are_computed_together(make: Make) -> None:
    bench = make()
    toy, first = occupied(bench)
    ids = [bench.call(f"t{number}") for number in range(5)]
    bench.ask("ping")  # so all of them are there
    toy.gate.set()
    answers = bench.answers(first, *ids)
    assert [said(answer) for answer in answers] == ["first", "t0", "t1", "t2", "t3", "t4"]
    assert toy.batches == [["first"], ["t0", "t1", "t2", "t3", "t4"]]
    assert len(toy.threads) == 1


def test_a_batch_is_no_heavier_than_it_may_be(make: Make) -> None:
    bench = make({"batch": 4})
    toy, first = occupied(bench)
    ids = [bench.call(f"t{number}", weight=weight) for number, weight in enumerate([1, 2, 2, 1, 9, 1])]
    bench.ask("ping")
    toy.gate.set()
    bench.answers(first, *ids)
    assert toy.batches[1:] == [["t0", "t1", "t3"], ["t2", "t5"], ["t4"]]


def test_only_calls_of_one_kind_are_computed_together_and_all_in_their_turn(make: Make) -> None:
    bench = make()
    toy, first = occupied(bench)
    ids = [bench.call(f"t{number}", group=number % 2) for number in range(6)]
    ids.append(bench.call("alone", alone=True))
    bench.ask("ping")
    toy.gate.set()
    bench.answers(first, *ids)
    assert toy.batches[1:] == [["t0", "t2", "t4"], ["t1", "t3", "t5"], ["alone"]]


def test_equal_calls_at_once_are_computed_once(make: Make) -> None:
    bench = make()
    toy, first = occupied(bench)
    ids = [bench.call("same") for _ in range(4)]
    like_first = bench.call("first", wait=True)
    bench.ask("ping")
    toy.gate.set()
    answers = bench.answers(first, like_first, *ids)
    assert [said(answer) for answer in answers] == ["first", "first", *["same"] * 4]
    assert toy.batches == [["first"], ["same"]]


def test_what_is_equal_to_python_only_is_computed_for_each(make: Make) -> None:
    bench = make()
    toy, first = occupied(bench)
    ids = [bench.call("same", extra=[{"a": extra}]) for extra in (1, 1.0, True, 0.0, -0.0, 0, False, "1", [1], None, 1)]
    bench.ask("ping")
    toy.gate.set()
    bench.answers(first, *ids)
    assert sum(len(batch) for batch in toy.batches[1:]) == 10


def test_calls_whose_answer_is_chance_are_computed_for_each(make: Make) -> None:
    bench = make()
    toy, first = occupied(bench)
    ids = [bench.call("same", dice=True, alone=True) for _ in range(3)]
    bench.ask("ping")
    toy.gate.set()
    answers = bench.answers(first, *ids)
    assert toy.batches[1:] == [["same"]] * 3
    assert len({answer["result"]["structuredContent"]["number"] for answer in answers[1:]}) == 3


def test_the_second_of_two_equal_calls_is_answered_when_the_first_is_given_up(make: Make) -> None:
    bench = make()
    toy, first = occupied(bench)
    one, two = bench.call("same"), bench.call("same")
    bench.cancel(one)
    bench.ask("ping")
    toy.gate.set()
    assert said(bench.answers(first, two)[1]) == "same"
    assert toy.batches[1:] == [["same"]]


def test_a_call_given_up_before_it_is_begun_never_is(make: Make) -> None:
    bench = make()
    toy, first = occupied(bench)
    gone, stays = bench.call("gone"), bench.call("stays")
    bench.cancel(gone)
    bench.ask("ping")
    toy.gate.set()
    bench.answers(first, stays)
    assert toy.batches[1:] == [["stays"]]


def test_a_call_given_up_while_it_is_computed_is_told_so_and_not_answered(make: Make) -> None:
    bench = make()
    request_id = bench.call("long", until_gone=True)
    assert bench.toys["toy"].begun.acquire(timeout=WAIT_S)
    bench.cancel(request_id)
    next_one = bench.call("next")
    assert bench.hear()["id"] == next_one


def test_more_calls_than_may_wait_are_refused_at_once(make: Make) -> None:
    bench = make({"queue": 3})
    toy, first = occupied(bench)
    ids = [bench.call(f"t{number}") for number in range(3)]
    refused = bench.answers(bench.call("one too many"))[0]
    assert reason(refused) == "model_busy"
    assert "`toy`" in refused["error"]["message"]
    bench.cancel(ids[0])
    fits = bench.call("fits again")
    bench.ask("ping")
    toy.gate.set()
    assert said(bench.answers(first, *ids[1:], fits)[-1]) == "fits again"


def test_of_those_that_spoil_a_batch_only_they_fail(make: Make) -> None:
    bench = make()
    toy, first = occupied(bench)
    good, native, memory, own, bad = (
        bench.call("good"),
        bench.call("native", **{"raise": "native"}),
        bench.call("memory", **{"raise": "memory"}),
        bench.call("own", outcome=True),
        bench.call(5),
    )
    bench.ask("ping")
    toy.gate.set()
    answers = bench.answers(first, good, native, memory, own, bad)
    assert all("model `toy`" in answer["error"]["message"] for answer in answers[2:5])
    assert said(answers[1]) == "good"
    assert [reason(answer) for answer in answers[2:5]] == ["model_failed", "model_out_of_memory", "model_failed"]
    assert "as asked for" in answers[2]["error"]["message"]
    assert answers[5]["result"]["isError"] is True
    assert said(bench.echo("still there")) == "still there"


@pytest.mark.parametrize(
    ("how", "reason_"),
    [
        ({"raise": "named"}, "model_failed"),
        ({"raise": "native", "words": "std::bad_alloc"}, "model_out_of_memory"),
        ({"cannot_prepare": True}, "model_failed"),
    ],
)
def test_whatever_is_raised_gets_its_name(make: Make, how: dict[str, Any], reason_: str) -> None:
    bench = make()
    assert reason(bench.echo("x", **how)) == reason_
    assert said(bench.echo("y")) == "y"


def test_time_that_is_up_is_said_at_once_whatever_the_model_does(make: Make) -> None:
    bench = make({"deadline_ms": 50})
    toy, first = occupied(bench)
    waiting = bench.call("waits behind it")
    answers = bench.answers(first, waiting)
    assert [reason(answer) for answer in answers] == ["model_deadline"] * 2
    assert "0.05 s" in answers[0]["error"]["message"]
    toy.gate.set()
    patient = bench.echo("next")
    assert "error" in patient or said(patient) == "next"
    assert ["waits behind it"] not in toy.batches


def test_a_model_that_does_not_return_takes_the_worker_with_it(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    bench = make({"deadline_ms": 20}, stuck_s=0.02)
    toy, first = occupied(bench)
    assert reason(bench.answers(first)[0]) == "model_deadline"
    assert bench.has_left.wait(WAIT_S)
    assert bench.left == [STUCK]
    toy.gate.set()
    bench.close_input()
    bench.thread.join(WAIT_S)
    assert "model_stuck model=toy" in capfd.readouterr().err


def test_a_model_that_returns_late_does_not(make: Make) -> None:
    bench = make({"deadline_ms": 20}, stuck_s=0.3)
    toy, first = occupied(bench)
    bench.answers(first)
    toy.gate.set()
    passed, turns = threading.Event(), bench.worker._turns

    def look_later() -> None:
        turns.at(turns.now_s() + 0.5, passed.set)

    turns.soon(look_later)
    assert passed.wait(WAIT_S)
    assert bench.left == []


def test_a_model_that_is_slow_to_load_is_loaded_all_the_same(tmp_path: Path) -> None:
    limits = {"deadline_ms": 30}
    bench = Bench([write_model(tmp_path, settings={"slow_to_load": True}, limits=limits)], stuck_s=0.02)
    toy = bench.toys["toy"]
    while not toy.begun.acquire(blocking=False):
        assert reason(bench.echo("x")) == "model_deadline"
    lane, passed, turns = bench.worker._lanes["toy"], threading.Event(), bench.worker._turns
    turns.soon(lambda: bench.worker._calls._look(lane, lane.run))
    turns.soon(passed.set)
    assert passed.wait(WAIT_S)
    assert bench.left == []
    toy.gate.set()
    while "error" in (answer := bench.echo("y")):
        assert reason(answer) == "model_deadline"
    assert said(answer) == "y"
    assert len(toy.loads) == 1
    bench.close()


class TestProgress:
    def test_pieces_of_text_come_whole_and_before_the_answer(self, make: Make) -> None:
        bench = make()
        pieces = [f"{number} " for number in range(50)]
        request_id = bench.call("x", token="t", pieces=pieces)
        heard: list[Any] = []
        while "id" not in (message := bench.hear()):
            assert message["method"] == "notifications/progress"
            assert message["params"]["progressToken"] == "t"
            heard.append(message["params"])
        assert message["id"] == request_id
        assert "".join(params.get("message", "") for params in heard) == "".join(pieces)
        assert [params["progress"] for params in heard] == sorted({params["progress"] for params in heard})

    def test_it_is_told_when_the_model_begins(self, make: Make) -> None:
        bench = make()
        request_id = bench.call("x", token=7, wait=True)
        assert bench.hear()["params"] == {"progressToken": 7, "progress": 0.0}
        bench.toys["toy"].gate.set()
        assert said(bench.answers(request_id)[0]) == "x"

    def test_who_joins_a_call_that_has_begun_is_told_so(self, make: Make) -> None:
        bench = make()
        toy, first = occupied(bench)
        joined = bench.call("first", token=7, wait=True)
        assert bench.hear()["params"] == {"progressToken": 7, "progress": 0.0}
        toy.gate.set()
        bench.answers(first, joined)
        assert toy.batches == [["first"]]

    def test_who_comes_after_the_first_word_is_told_all_of_them_by_a_call_of_its_own(self, make: Make) -> None:
        bench = make()
        toy = bench.toys["toy"]
        first = bench.call("x", token=1, pieces=["a"], wait=True)
        while bench.hear()["params"].get("message") != "a":
            pass
        second, third = bench.call("x", token=2, pieces=["a"], wait=True), bench.call("x", pieces=["a"], wait=True)
        bench.ask("ping")
        toy.gate.set()
        bench.answers(first, second, third)
        assert toy.batches == [["x"], ["x"]]

    def test_nobody_is_told_who_did_not_ask(self, make: Make) -> None:
        bench = make()
        request_id = bench.call("x", pieces=["a", "b"])
        assert bench.hear()["id"] == request_id

    def test_counting_is_told_now_and_then_and_its_end_always(self, make: Make) -> None:
        bench = make()
        request_id = bench.call("x", token=7, steps=10_000)
        heard: list[Any] = []
        while "id" not in (message := bench.hear()):
            heard.append(message["params"])
        assert message["id"] == request_id
        assert heard[-1] == {"progressToken": 7, "progress": 10_000, "total": 10_000}
        assert len(heard) < 100

    def test_a_call_that_is_joined_has_all_of_it(self, make: Make) -> None:
        bench = make()
        toy, first = occupied(bench)
        one = bench.call("x", token="one", pieces=["a", "b"])
        two = bench.call("x", token="two", pieces=["a", "b"])
        bench.ask("ping")
        toy.gate.set()
        heard = {"one": "", "two": ""}
        left = {first, one, two}
        while left:
            message = bench.hear()
            left.discard(message.get("id"))
            if "method" in message:
                heard[message["params"]["progressToken"]] += message["params"].get("message", "")
        assert heard == {"one": "ab", "two": "ab"}
        assert toy.batches[1:] == [["x"]]


class TestMemory:
    def test_a_model_that_nobody_calls_is_unloaded_and_comes_back(self, make: Make) -> None:
        bench = make(unload_idle_s=0.02)
        assert said(bench.echo("a")) == "a"
        toy = bench.toys["toy"]
        deadline = threading.Event()
        for _ in range(1000):
            if toy.unloads:
                break
            deadline.wait(0.01)
        assert toy.unloads == 1
        assert said(bench.echo("b")) == "b"
        assert len(toy.loads) == 2

    def test_the_one_not_used_for_longest_makes_room(self, tmp_path: Path) -> None:
        limits = {"memory_bytes": 1 << 33}
        entries = [write_model(tmp_path / name, name, limits=limits) for name in "abc"]
        bench = Bench(entries, memory_bytes=(2 << 33) + (1 << 32))
        for tool in ("echo", "b_echo", "echo", "c_echo", "echo"):
            assert said(bench.echo("x", tool=tool)) == "x"
        assert {name: (len(toy.loads), toy.unloads) for name, toy in bench.toys.items()} == {
            "a": (1, 0),
            "b": (1, 1),
            "c": (1, 0),
        }
        bench.close()

    def test_a_model_at_work_is_not_unloaded_and_the_other_waits_for_it(self, tmp_path: Path) -> None:
        entries = [write_model(tmp_path / name, name, limits={"memory_bytes": 1 << 33}) for name in "ab"]
        bench = Bench(entries, memory_bytes=(1 << 33) + (1 << 32))
        first = bench.call("x", wait=True)
        assert bench.toys["a"].begun.acquire(timeout=WAIT_S)
        second = bench.call("y", tool="b_echo")
        bench.ask("ping")
        assert bench.toys["a"].unloads == 0
        bench.toys["a"].gate.set()
        assert [said(answer) for answer in bench.answers(first, second)] == ["x", "y"]
        assert bench.toys["a"].unloads == 1
        bench.close()

    def test_a_model_with_a_long_queue_makes_room_in_between(self, tmp_path: Path) -> None:
        entries = [write_model(tmp_path / name, name, limits={"memory_bytes": 1 << 33}) for name in "ab"]
        bench = Bench(entries, memory_bytes=(1 << 33) + (1 << 32))
        first = bench.call("x", wait=True)
        assert bench.toys["a"].begun.acquire(timeout=WAIT_S)
        ids = [bench.call(f"t{number}", alone=True) for number in range(50)]
        other = bench.call("y", tool="b_echo")
        for _ in range(2000):
            if bench.worker._lanes["a"]._to_unload:
                break
            threading.Event().wait(0.01)
        bench.toys["a"].gate.set()
        order = [bench.hear()["id"] for _ in range(52)]
        assert order[:2] == [first, other]
        assert order[2:] == ids
        bench.close()

    def test_who_gives_up_waiting_for_room_loads_nothing(self, tmp_path: Path) -> None:
        limits = {"memory_bytes": 1 << 33}
        entries = [
            write_model(tmp_path / "a", "a", limits=limits),
            write_model(tmp_path / "b", "b", limits={**limits, "deadline_ms": 100}),
        ]
        bench = Bench(entries, memory_bytes=(1 << 33) + (1 << 32))
        first = bench.call("x", wait=True)
        assert bench.toys["a"].begun.acquire(timeout=WAIT_S)
        assert reason(bench.echo("y", tool="b_echo")) == "model_deadline"
        bench.toys["a"].gate.set()
        bench.answers(first)
        assert bench.toys["b"].loads == []
        bench.close()

    def test_a_model_larger_than_the_budget_is_refused_by_name_and_the_others_served(self, tmp_path: Path) -> None:
        entries = [
            write_model(tmp_path / "large", "large", limits={"memory_bytes": 1 << 34}),
            write_model(tmp_path / "small", "small", limits={"memory_bytes": 1 << 20}),
        ]
        bench = Bench(entries, memory_bytes=1 << 33)
        refused = bench.echo("x")
        assert reason(refused) == "model_out_of_memory"
        assert "`large`" in refused["error"]["message"]
        assert said(bench.echo("x", tool="small_echo")) == "x"
        bench.close()


class TestFiles:
    def test_a_file_that_is_missing_or_another_is_named_with_each_call(self, tmp_path: Path) -> None:
        (tmp_path / "a.bin").write_bytes(b"other bytes")
        file = {"path": "a.bin", "sha256": "0" * 64}
        entry = write_model(tmp_path, settings={"roles": ["model"]}, files={"model": file}, install=["toy-package"])
        bench = Bench([entry])
        assert [tool["name"] for tool in bench.ask("tools/list")["result"]["tools"]] == ["echo"]
        ids = [bench.call("x"), bench.call("y")]
        for answer in bench.answers(*ids):
            assert reason(answer) == "model_refused"
            assert "SHA-256" in answer["error"]["message"]
        (tmp_path / "a.bin").unlink()
        missing = bench.echo("x")
        assert reason(missing) == "model_missing"
        assert "toy-package" in missing["error"]["message"]
        assert "tidegate model add toy --install" in missing["error"]["message"]
        bench.close()


def test_a_reader_that_does_not_read_stops_the_work_and_loses_nothing(make: Make) -> None:
    bench = make()
    # Each answer is larger than the pipe; nobody reads while these are sent.
    ids = [bench.call(f"t{number}", bytes=700_000, alone=True) for number in range(12)]
    for answer in bench.answers(*ids):
        assert len(said(answer)) == 700_000
    bench.ask("ping")
    assert len(bench.worker._output._waiting) <= 1


def test_calls_in_flight_may_finish_when_the_input_ends_but_not_for_long(make: Make) -> None:
    bench = make(linger_s=WAIT_S)
    toy, first = occupied(bench)
    bench.close_input()
    toy.gate.set()
    assert said(bench.answers(first)[0]) == "first"
    assert bench.hear() is None
    hasty = make(linger_s=0.05)
    occupied(hasty)
    hasty.close_input()
    assert hasty.hear() is None


def test_what_was_answered_before_the_end_of_input_is_still_delivered(make: Make) -> None:
    bench = make(linger_s=WAIT_S)
    ids = [bench.call(f"t{number}", bytes=700_000, alone=True) for number in range(6)]
    bench.close_input()
    assert [len(said(answer)) for answer in bench.answers(*ids)] == [700_000] * 6
    assert bench.hear() is None


def test_a_model_gets_the_threads_of_the_profile_and_others_when_that_changes(make: Make) -> None:
    profile = {"profile": "saver"}
    bench = make(power=profile)
    bench.echo("a")
    bench.echo("b")
    toy = bench.toys["toy"]
    assert toy.loads == [1]
    lane = bench.worker._lanes["toy"]
    lane._power = lambda: SimpleNamespace(threads=3, batch_wait_factor=1.0)  # type: ignore[assignment,return-value]
    bench.echo("c")
    bench.echo("d")
    assert toy.loads == [1, 3]
    assert toy.unloads == 1


def test_memory_that_ran_out_is_given_back(make: Make) -> None:
    bench = make()
    assert reason(bench.echo("a", **{"raise": "memory"})) == "model_out_of_memory"
    assert said(bench.echo("b")) == "b"
    assert len(bench.toys["toy"].loads) == 2


def test_an_answer_too_deep_to_be_written_harms_nobody(make: Make) -> None:
    bench = make()
    assert reason(bench.echo("a", deep=True)) == "model_failed"
    assert said(bench.echo("b")) == "b"


def test_the_first_of_a_batch_waits_for_those_about_to_come(make: Make) -> None:
    bench = make()
    bench.echo("so there is a lane")
    bench.worker._lanes["toy"]._pace.wait_s = lambda gathered, waited_s: WAIT_S if gathered < 3 else 0.0  # type: ignore[method-assign]
    ids = [bench.call(text) for text in "abc"]
    bench.answers(*ids)
    assert bench.toys["toy"].batches[1:] == [["a", "b", "c"]]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_each_call_is_answered_once_and_nothing_stays(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    limits = {"memory_bytes": 1 << 33, "queue": 40, "batch": 4}
    entries = [write_model(tmp_path / name, name, limits=limits) for name in "abc"]
    bench = Bench(entries, memory_bytes=(2 << 33) + (1 << 32), unload_idle_s=0.01)
    ways: list[dict[str, Any]] = [
        {},
        {"alone": True},
        {"dice": True},
        {"group": 1},
        {"weight": 3},
        {"raise": "native"},
        {"raise": "memory"},
        {"outcome": True},
        {"cannot_prepare": True},
        {"pieces": ["a", "b"]},
        {"bytes": 2_000},
    ]
    asked, given_up = [], set()
    for number in range(300):
        tool = chance.choice(["echo", "b_echo", "c_echo"])
        token = chance.choice([None, number])
        text: Any = chance.choice(["x", "y", f"t{number}", 5])
        asked.append(bench.call(text, tool=tool, token=token, **chance.choice(ways)))
        if chance.random() < 0.2:
            given_up.add(gone := chance.choice(asked))
            bench.cancel(gone)
    asked.append(end := bench.send("ping"))
    answered: dict[Any, int] = {}
    while end not in answered or set(asked) - given_up - set(answered):
        message = bench.hear()
        if "id" in message:
            answered[message["id"]] = answered.get(message["id"], 0) + 1
    assert set(answered.values()) == {1}
    for _ in range(1000):
        if all(lane.idle for lane in bench.worker._lanes.values()):
            break
        threading.Event().wait(0.01)
    for lane in bench.worker._lanes.values():
        assert (lane._open, len(lane._waiting), len(lane._ready), lane._waiting_bytes) == ([], 0, 0, 0)
    assert bench.worker._calls.in_flight == 0
    assert all(len(toy.threads) >= 1 for toy in bench.toys.values())
    bench.close()

"""A gateway's state in sentences and tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from gateway_states import CONDITIONS, DOWN, ESCAPE, PARKED, WIDE, backend, odd_statistics, slot, statistics
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_model import write_model

from tidegate.cli.colours import painted
from tidegate.cli.gateway_facts import read
from tidegate.cli.status import picture
from tidegate.cli.status_words import Sentence, sentences
from tidegate.cli.stretch import stretch
from tidegate.cli.terminal import clean, width


def said(condition: str) -> list[Sentence]:
    return sentences(read(CONDITIONS[condition]))


def shown(condition: str, room: int) -> list[str]:
    found = CONDITIONS[condition]
    return [painted(line, None, colours=False) for line in picture(found, read(found), room)]


def test_what_is_well_needs_one_sentence() -> None:
    assert said("well") == [Sentence("good", "tidegate has been up for 4 d 1 h. 2 servers: 2 ready.")]


def test_a_filter_that_cannot_be_used_is_told_with_what_that_means() -> None:
    row = {
        "filter": "mask",
        "tools": ["mail__*"],
        "state": "failed",
        "reason": "plugin `mask` cannot be read: No such file or directory: /m.wasm",
        "on_failure": "refuse",
    }
    found = read({**CONDITIONS["well"], "filters": [row, {**row, "filter": "other", "state": "ready", "reason": ""}]})
    assert sentences(found)[1:] == [
        Sentence(
            "bad",
            "The filter `mask` cannot be used: it cannot be read: No such file or directory: /m.wasm. So calls of "
            "`mail__*` are refused.",
            "`tidegate plugin inspect mask` shows what is known of it",
        )
    ]
    goes_on = read({**CONDITIONS["well"], "filters": [{**row, "on_failure": "pass"}]})
    assert "go on without it" in sentences(goes_on)[1].text
    lines = [painted(line, None, colours=False) for line in picture(CONDITIONS["well"], found, 100)]
    assert any(line.startswith("filters ") and line.endswith("mask (failed), other (ready)") for line in lines)


def test_what_capabilities_did_not_reach_is_said_though_its_backend_is_ready() -> None:
    held = {"unreached_s": {"cloud": 12.3, "hall__read": 4.0, "odd": "x"}, "no_memory_s": {}}
    assert sentences(read({**CONDITIONS["well"], "capabilities": held}))[1:] == [
        Sentence(
            "note",
            "What capabilities asked and did not reach: `cloud`, `hall__read`. "
            "Others are asked first, for 12 s at most.",
            "`tidegate doctor` looks for the causes",
        )
    ]
    assert sentences(read({**CONDITIONS["well"], "capabilities": {"unreached_s": {}}}))[1:] == []


def test_what_is_down_is_said_with_since_when_why_what_is_done_and_what_to_do() -> None:
    first, web = said("one down")
    assert first == Sentence("bad", "tidegate has been up for 4 d 1 h. 2 servers: 1 ready, 1 out of order (`web`).")
    assert web == Sentence(
        "bad",
        "`web` has been down for 2 min 5 s: connection refused. tidegate tries it again in 12 s, 2 restarts so far. "
        "Its tools are missing meanwhile.",
        "`tidegate doctor` looks for the cause; `tidegate logs --backend web` has its last lines",
    )


def test_what_is_parked_is_tried_again_for_ever() -> None:
    (_, mail) = said("one parked")
    assert mail.text == (
        "`mail` failed too often and has been parked for 2 min 5 s: exited with status 3. tidegate tries it again in "
        "9 min, and on for ever, 5 restarts so far. Its tools are still listed, as it last had them; calls to them are "
        "answered with an error."
    )


def test_a_replica_that_is_out_of_order_is_named() -> None:
    rows = [{"replica": 1}, {"replica": 2}]
    pair = backend("web", slot(replica=1), DOWN | {"replica": 2}, replicas=rows)
    texts = [sentence.text for sentence in sentences(read(statistics(pair)))]
    assert texts[1].startswith("`web` works, but 1 of its 2 connections (to replica 2) is out of order: connection")


def test_when_nothing_can_be_used_that_is_the_first_sentence() -> None:
    assert said("all down")[0].text == (
        "tidegate has been up for 4 d 1 h, but of 2 servers none of them can be used: `web`, `mail`."
    )


def test_what_to_do_about_several_is_said_once() -> None:
    advice = [sentence.advice for sentence in said("all down") if sentence.advice]
    assert advice == [
        "`tidegate doctor` looks for the causes; `tidegate logs --backend NAME` has the last lines of one"
    ]


def test_servers_of_which_the_same_is_to_be_said_share_a_table() -> None:
    text = "\n".join(shown("well", 80))
    assert 'files, host: isolation "auto", 0 of 16 connections of single clients\n' in text
    assert text.count("SERVES") == 1


def test_full_queues_and_limits_are_said_with_the_setting_that_bounds_them() -> None:
    texts = [sentence.text for sentence in said("busy")]
    assert "There are 2048 of 2048 connections of clients; more are turned away." in texts
    assert (
        "256 requests (of at most 256) wait for `files`, which has 64 in hand, the most it is given at once; "
        "further ones are refused."
    ) in texts
    assert "3 requests (of at most 256) wait for `web`, which has 64 in hand, the most it is given at once." in texts
    advice = [sentence.advice for sentence in said("busy")]
    assert "`limits.connections` is the most there may be" in advice


def test_a_server_that_works_in_part_or_came_back_is_worth_a_word() -> None:
    texts = [sentence.text for sentence in said("partly")]
    assert texts[1].startswith("`web` works, but 1 of its 3 connections is out of order: connection refused.")
    assert texts[2] == "`web` came back 1 min ago; 5 restarts so far."


@pytest.mark.parametrize("condition", ["nothing behind it", "starting", "stopping"])
def test_ends_and_beginnings_are_no_alarm(condition: str) -> None:
    assert all(sentence.tone != "bad" for sentence in said(condition))


def test_an_error_without_next_attempt_is_tried_when_it_is_needed() -> None:
    found = sentences(read(statistics(backend("web", slot("down", error="odd", since_s=None)))))
    assert "`web` is down: odd. tidegate tries it again when it is next needed." in found[1].text


def test_what_failed_is_out_of_order_also_while_it_is_tried_again() -> None:
    found = read(statistics(backend("web", slot("starting", error="connection refused"))))
    assert not found.backends[0].works
    assert "connection refused. tidegate is trying it again now." in sentences(found)[1].text


def test_a_configuration_that_was_refused_is_said() -> None:
    last = {"result": "refused", "at": "2026-11-21T11:00:00Z", "error": "a.toml:3: `port` is no field\nmore"}
    refused = {"files": ["a.toml"], "last_reload": {**last, "problems": [{}, {}]}}
    found = sentences(read(statistics(backend("files", slot()), configuration=refused)))
    assert found[1].text == (
        "The configuration cannot be used: a.toml:3: `port` is no field (and 1 more). tidegate goes on with the last "
        "good one."
    )
    applied = {"files": ["a.toml"], "last_reload": {**last, "result": "applied", "error": None}}
    assert len(sentences(read(statistics(backend("files", slot()), configuration=applied)))) == 1


def test_workers_are_shown_with_what_they_run_even_where_its_manifest_is_elsewhere(tmp_path: Path) -> None:
    folder, _ = write_model(tmp_path / "words", limits={"memory_bytes": 3 << 20})
    models = [{"path": str(folder), "shipped": False}, {"path": "/elsewhere/far", "shipped": False}]
    found = statistics(backend("texts", slot(), models=models, at_work=["m:words"]), backend("files", slot()))
    text = "\n".join(painted(line, None, colours=False) for line in picture(found, read(found), None))
    assert re.search(r"texts +ready .* models +4711", text)
    assert re.search(r"files +ready .* stdio +4711", text)
    assert re.search(r"words +texts +text-classification +3\.0 MiB +loaded", text)
    assert re.search(r"far +texts +- +- +not loaded", text)


@pytest.mark.parametrize("room", [40, 80, 200])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition_fits_every_window(condition: str, room: int) -> None:
    lines = shown(condition, room)
    assert max(map(width, lines)) <= room
    assert all(line == clean(line) for line in lines)


def test_80_columns_have_the_essentials_and_200_everything() -> None:
    narrow = next(line for line in shown("one parked", 80) if line.startswith("BACKEND"))
    wide = next(line for line in shown("one parked", 200) if line.startswith("BACKEND"))
    assert {"STATE", "FOR", "SPEAKS", "PID", "MEMORY", "RESTARTS"} <= set(narrow.split())
    assert {"BY", "NEXT", "QUEUED", "TOOLS", "CONNECTIONS"} <= set(wide.split())


def test_the_last_words_of_who_is_in_trouble_are_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"line {number}" for number in range(9)]
    well = slot(link={"pid": 1, "running": True, "stderr": words})
    ill = dict(PARKED, link={"pid": None, "running": False, "stderr": words})
    monkeypatch.setitem(CONDITIONS, "words", statistics(backend("a", well), backend("b", ill)))
    lines = shown("words", 80)
    assert [line.split()[-1] for line in lines if "line " in line] == ["8", "5", "6", "7", "8"]


def test_names_of_servers_cannot_steer_the_terminal() -> None:
    text = "\n".join(shown("wide names", 200))
    assert ESCAPE not in text
    assert "\x1b" not in text
    assert WIDE in text


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(odd_statistics, st.sampled_from((40, 80, 200)))
def test_odd_statistics_give_sentences_all_the_same(odd: dict[str, object], room: int) -> None:
    found = read(odd)
    told = sentences(found)
    assert told[0].text
    for sentence in told:
        assert sentence.text == clean(sentence.text)
        assert "\n" not in sentence.text + sentence.advice
        assert "None" not in sentence.text or "None" in str(odd)
        assert "nan" not in sentence.text or "nan" in str(odd)
    if not found.stopping:
        assert (told[0].tone == "bad") == any(not entry.works for entry in found.backends)
    for line in picture({}, found, room):
        assert width(painted(line, None, colours=False)) <= room


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3599, "59 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86400 * 4 + 3600 * 6, "4 d 6 h"),
    ],
)
def test_a_stretch_of_time_is_said_in_two_units(seconds: float, words: str) -> None:
    assert stretch(seconds) == words


def test_a_connection_that_is_down_needs_no_error_to_be_said() -> None:
    found = sentences(read(statistics(backend("web", dict(DOWN, error=None)))))
    assert found[1].text.startswith("`web` has been down for 2 min 5 s. tidegate tries")

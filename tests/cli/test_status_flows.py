"""`tidegate status --flows`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gateway_states import ESCAPE, WIDE
from hypothesis import given
from hypothesis import strategies as st
from running_gateway import Running, gateway, workshop_config

from tidegate.cli import exit_codes, main
from tidegate.cli.flows import picture
from tidegate.cli.gateway_facts import read
from tidegate.cli.terminal import width

Capture = pytest.CaptureFixture[str]


def row(**more: Any) -> dict[str, Any]:
    return {
        "transport": "http",
        "era": "session",
        "client": "Claude Desktop",
        "principal": "laptop",
        "method": "tools/call",
        "name": "files__read_text_file",
        "backend": "files",
        "serves": "shared",
        "replica": 1,
        "calls": 120_000,
        "tool_errors": 3,
        "mean_s": 0.000251,
        "p99_s": 0.0042,
        "age_s": 7200.5,
        "used_ago_s": 3.2,
        **more,
    }


def flow_page(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "on": True,
        "flows": len(rows),
        "in_flight": 0,
        "relayed_total": 950,
        "installed_total": 12,
        "voided_total": 2,
        "voided": {"why": "lists", "backend": "files", "ago_s": 200.0},
        "handed_over": {"client": 1, "server": 0, "session": 0, "slow": 4, "all": 0},
        "calls": {"relayed": 950, "of": 1000},
        "rows": list(rows),
        **more,
    }


def shown(page: Any, room: int | None = 200) -> list[str]:
    return ["".join(span.text for span in line).rstrip() for line in picture(page, room)]


def test_words_say_how_much_is_repeated_what_was_handed_over_and_why_all_was_forgotten() -> None:
    lines = shown(flow_page(row()))
    assert lines[0] == "The relay has 1 flow and did 950 of 1000 calls (95.0 %) by itself."
    assert lines[1].startswith("5 further calls it began and handed over: 1 as the client left or sent something else ")
    assert lines[1].endswith(", 4 as they took more than a second.")
    assert lines[2] == "All flows were last forgotten 3 min 20 s ago, as `files` lists other things; 2 times so far."


def test_a_wide_window_shows_all_of_a_flow() -> None:
    _, _, _, _, head, line = shown(flow_page(row(replica=2)))
    titles = "FROM ERA METHOD NAME BACKEND SLOT FOR PROGRAM CALLS FAILED MEAN P99 AGE LAST USED"
    assert " ".join(head.split()) == titles
    assert " ".join(line.split()) == (
        "http session tools/call files__read_text_file files shared #2 laptop Claude Desktop 120000 3 0.25 ms 4.20 ms "
        "2 h 3 s ago"
    )


def test_eighty_columns_show_whose_and_how_many() -> None:
    lines = shown(flow_page(row(), row(transport="unix", name="x", calls=0, mean_s=None, used_ago_s=None)), 80)
    assert max(map(width, lines)) <= 80
    head = next(line for line in lines if line.startswith("FROM"))
    assert {"NAME", "BACKEND", "CALLS", "FOR"} <= set(head.split())
    assert "MEAN" in head


def test_rows_that_were_left_out_are_counted() -> None:
    assert shown(flow_page(row(), flows=7))[-1] == "and 6 more, which were used before these"


def test_a_relay_that_is_off_says_so() -> None:
    first, *rest = shown(flow_page(on=False, voided=None, handed_over={}))
    assert first.startswith("The relay is off: every call is decided in Python.")
    assert rest == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([WIDE, ESCAPE, "lists", ""]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*flow_page(), *row(), "why", "relayed"]), inner, max_size=8)
        ),
        max_leaves=20,
    ),
    st.sampled_from([80, 200]),
)
def test_whatever_the_page_says_it_is_shown_within_the_window(odd: Any, room: int) -> None:
    for page in (odd if isinstance(odd, dict) else {}, {**flow_page(row()), "rows": odd}, flow_page(row(name=odd))):
        for line in shown(page, room):
            assert width(line) <= room
            assert "\x1b" not in line


def test_a_running_gateway_shows_what_it_repeats(at_home: Running, capsys: Capture) -> None:
    assert main(["status", "--flows"]) == exit_codes.OK
    assert capsys.readouterr().out.startswith("The relay has ")
    assert main(["status", "--flows", "--json"]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out)["on"] is True


def test_status_has_a_line_about_it(at_home: Running, capsys: Capture) -> None:
    assert main(["status"]) == exit_codes.OK
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("relay ")]
    assert " calls so far, " in line
    assert read({"relay": {"on": False, "relayed_total": 1, "flows": 0}}).relay == "off; 1 call so far, 0 flows"


def test_serve_can_do_without_it_whatever_the_file_says_now_and_later(capsys: Capture) -> None:
    config = "relay = true\n" + workshop_config()
    with gateway(config, flags=["--no-relay"]) as running:
        Path(running.config).write_text(config + "[limits]\nsessions = 7\n", encoding="utf-8")
        assert main(["reload", "--admin", running.admin]) == exit_codes.OK
        capsys.readouterr()
        assert main(["status", "--admin", running.admin, "--json"]) == exit_codes.OK
        status = json.loads(capsys.readouterr().out)
        assert status["limits"]["sessions"] == 7
        assert status["relay"]["on"] is False


def test_a_reload_switches_lines_for_requests_on_and_says_so(capsys: Capture) -> None:
    config = workshop_config()
    with gateway(config, flags=["--no-watch"]) as running:
        said = Path(running.config).with_name("stderr")
        call = ["call", "echo", "text=payload", "--unix", running.unix]
        assert main(call) == exit_codes.OK
        Path(running.config).write_text("access_log = true\n" + config, encoding="utf-8")
        capsys.readouterr()
        assert main(["reload", "--admin", running.admin]) == exit_codes.OK
        assert "  settings: access_log" in capsys.readouterr().out.splitlines()
        assert main(call) == exit_codes.OK
        lines = [line for line in said.read_text().splitlines() if " request method=tools/call " in line]
        assert len(lines) == 1
        assert (
            " INFO tidegate.access request method=tools/call name=echo backend=workshop principal=anonymous" in lines[0]
        )
        assert "payload" not in lines[0]
        capsys.readouterr()
        assert main(["logs", "--admin", running.admin, "--json"]) == exit_codes.OK
        assert "tidegate.access" not in capsys.readouterr().out

"""One table of a TOML text that is somebody else's: what was not meant to change keeps its bytes."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from tidegate.config.json_edit import NotEditable
from tidegate.config.toml_edit import TomlText

PATH = ("mcp_servers", "tidegate")
ENTRY: dict[str, Any] = {"command": "/usr/bin/tidegate", "args": ["connect"]}

CODEX = '''\
# mine
model = "gpt"   # the best
notes = """
[mcp_servers.tidegate]
command = "not this one"
"""
pairs = [
  [1, 2],
]

[mcp_servers.docs]
command = "npx"

# about the screen
[tui]
theme = "dark"
'''


def edited(text: str, values: dict[str, Any] = ENTRY) -> str:
    toml_text = TomlText(text)
    toml_text.set(PATH, values)
    return toml_text.text


def removed(text: str) -> str:
    toml_text = TomlText(text)
    toml_text.remove(PATH)
    return toml_text.text


def test_a_table_is_appended_and_taken_out_again_byte_by_byte() -> None:
    after = edited(CODEX)
    assert after == CODEX + '\n[mcp_servers.tidegate]\ncommand = "/usr/bin/tidegate"\nargs = ["connect"]\n'
    assert removed(after) == CODEX


def test_an_empty_file_gets_the_table_alone() -> None:
    after = edited("")
    assert tomllib.loads(after) == {"mcp_servers": {"tidegate": ENTRY}}
    assert after.startswith("[mcp_servers.tidegate]\n")
    assert removed(after) == ""


def test_values_are_replaced_where_they_stand_and_others_of_the_table_stay() -> None:
    text = (
        "[mcp_servers.tidegate] # by hand\n# old one\ncommand = '/old' # behind\n"
        "args = [\n  'connect', # x\n  '-v',\n]\n"
        "startup_timeout_sec = 20 # slow\n\n[mcp_servers.tidegate.env]\nA = '1'\n\n# next\n[tui]\n"
    )
    after = edited(text)
    assert after == (
        '[mcp_servers.tidegate] # by hand\n# old one\ncommand = "/usr/bin/tidegate" # behind\n'
        'args = ["connect"]\n'
        "startup_timeout_sec = 20 # slow\n\n[mcp_servers.tidegate.env]\nA = '1'\n\n# next\n[tui]\n"
    )
    assert removed(after) == "# next\n[tui]\n"


def test_a_value_that_was_missing_is_added() -> None:
    after = edited("[mcp_servers.tidegate]\nenabled = false\n\n[x]\n")
    assert tomllib.loads(after) == {"mcp_servers": {"tidegate": {**ENTRY, "enabled": False}}, "x": {}}


def test_lines_end_as_they_did() -> None:
    after = edited("a = 1\r\n")
    assert "\n" not in after.replace("\r\n", "")
    assert tomllib.loads(after)["mcp_servers"]["tidegate"] == ENTRY


@pytest.mark.parametrize(
    "text",
    [
        'mcp_servers = { tidegate = { command = "x" } }\n',
        '[mcp_servers]\ntidegate = { command = "x" }\n',
        'mcp_servers.tidegate.command = "x"\n',
        'mcp_servers = { docs = { command = "x" } }\n',
    ],
)
def test_what_is_written_inline_is_refused_for_a_person_to_change(text: str) -> None:
    with pytest.raises(NotEditable, match="change it by hand"):
        edited(text)
    if "tidegate" in text:
        with pytest.raises(NotEditable, match="change it by hand"):
            removed(text)


def test_what_is_no_toml_is_refused_with_its_place() -> None:
    with pytest.raises(NotEditable, match=r"^line 2, column 5: not TOML"):
        edited("a = 1\nb = \n")


def test_taking_out_what_is_not_there_changes_nothing() -> None:
    assert removed(CODEX) == CODEX


def test_the_comment_behind_a_value_stays_and_a_value_that_is_none_goes() -> None:
    before = """\
[mcp_servers.tidegate]
command = "a # b"  # why
args = [  # of it
  "#",
]\t# all
env = 'gone'  # too
# between
other = 1
"""
    after = edited(before, {"command": "new", "args": [1], "env": None, "absent": None})
    assert (
        after
        == """\
[mcp_servers.tidegate]
command = "new"  # why
args = [1]\t# all
# between
other = 1
"""
    )


def test_a_value_that_is_written_key_by_key_is_replaced_as_a_whole() -> None:
    before = "[mcp_servers.tidegate]\nenv.a = 1\ncommand = 'x'\nenv.b = 2\n"
    assert edited(before, {"env": {"a": 1, "c": 3}}) == (
        "[mcp_servers.tidegate]\nenv = { a = 1, c = 3 }\ncommand = 'x'\n"
    )

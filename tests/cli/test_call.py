"""`tidegate call`."""

from __future__ import annotations

import base64
import io
import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest
from running_gateway import END_S, READY_S, Running, command, gateway, read_until, workshop_config
from workshop import BYTES, PNG

from tidegate.cli import exit_codes, main
from tidegate.cli.client import Client
from tidegate.config.bearer_token import token_sha256

pytestmark = pytest.mark.usefixtures("at_home")

Capture = pytest.CaptureFixture[str]


def echoed(capsys: Capture) -> object:
    return json.loads(capsys.readouterr().out)


# -- arguments ------------------------------------------------------------------------------------------------


def test_values_are_read_by_the_type_the_tool_asks_for(capsys: Capture) -> None:
    words = ["text=12", "times=3", "ratio=1e3", "loud=true", 'extra={"a": [1]}', "colour=red", "maybe=null"]
    assert main(["call", "echo", *words]) == exit_codes.OK
    assert echoed(capsys) == {
        "text": "12",
        "times": 3,
        "ratio": 1000.0,
        "loud": True,
        "extra": {"a": [1]},
        "colour": "red",
        "maybe": None,
    }


def test_a_list_is_given_as_json_or_item_by_item(capsys: Capture) -> None:
    assert main(["call", "echo", "text=", "tags=a", "tags=b c", "counts=[1, 2]"]) == exit_codes.OK
    assert echoed(capsys) == {"text": "", "tags": ["a", "b c"], "counts": [1, 2]}


def test_json_is_taken_as_it_is(capsys: Capture) -> None:
    assert main(["call", "echo", 'text:="=:="', 'new:={"x": null}']) == exit_codes.OK
    assert echoed(capsys) == {"text": "=:=", "new": {"x": None}}


def test_a_value_may_come_from_a_file(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("drei\nvier ä", encoding="utf-8")
    (tmp_path / "tags.json").write_text('["x"]\n', encoding="utf-8")
    words = [f"text=@{tmp_path}/note.txt", f"tags:=@{tmp_path}/tags.json"]
    assert main(["call", "echo", *words]) == exit_codes.OK
    assert echoed(capsys) == {"text": "drei\nvier ä", "tags": ["x"]}


def test_arguments_may_be_one_json_object(capsys: Capture) -> None:
    assert main(["call", "echo", "--args", '{"text": "a", "times": 1}', "times=2"]) == exit_codes.OK
    assert echoed(capsys) == {"text": "a", "times": 2}


def test_arguments_may_come_from_stdin(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"text": "from stdin"}\n'))
    assert main(["call", "echo", "-", "times=2"]) == exit_codes.OK
    assert echoed(capsys) == {"text": "from stdin", "times": 2}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["text=a", "times=x"], "`times`: expected integer 1…5, got `x`"),
        (["text=a", "times=true"], "`times`: expected integer"),
        (["text=a", "loud=yes"], "`loud`: expected boolean (`true` or `false`), got `yes`"),
        (["text=a", "colour=blue"], "`colour`: expected one of red, green, got `blue`"),
        (["text=a", "extra=[]"], "`extra`: expected object (JSON)"),
        (["text=a", "extra:={"], "`extra:=` must be followed by JSON"),
        (["text=a", "nonsense"], "expected `key=value`, got `nonsense`"),
        (["text=@/nowhere/at.all"], "`/nowhere/at.all` cannot be read"),
        ([], "missing: `text`"),
        (["--args", "[]"], "one JSON object"),
        (["--args", '{"a": NaN}'], "one JSON object"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_sent(words: list[str], said: str, capsys: Capture) -> None:
    assert main(["call", "echo", *words]) == exit_codes.USAGE
    assert said in capsys.readouterr().err


def test_an_argument_the_tool_forbids_is_refused_with_the_nearest_one(capsys: Capture) -> None:
    assert main(["call", "strict", "mod=a"]) == exit_codes.USAGE
    assert "no argument `mod`; did you mean `mode`?" in capsys.readouterr().err


def test_an_argument_the_tool_does_not_describe_is_sent_with_a_warning(capsys: Capture) -> None:
    assert main(["call", "echo", "text=a", "txet=b"]) == exit_codes.OK
    captured = capsys.readouterr()
    assert "did you mean `text`?" in captured.err
    assert json.loads(captured.out) == {"text": "a", "txet": "b"}


def test_arguments_that_http_repeats_in_headers_are_repeated(at_home: Running, capsys: Capture) -> None:
    assert main(["call", "strict", "mode=groß", "--http", at_home.http]) == exit_codes.OK
    assert "groß" in capsys.readouterr().out


# -- results --------------------------------------------------------------------------------------------------


def test_an_unknown_tool_is_answered_with_close_matches(capsys: Capture) -> None:
    assert main(["call", "ehco"]) == exit_codes.FAILED
    assert "no tool `ehco`; did you mean `echo`" in capsys.readouterr().err


def test_a_tool_that_fails_exits_1_and_says_so_on_stderr(capsys: Capture) -> None:
    assert main(["call", "fail"]) == exit_codes.FAILED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "it broke \\x1b[31m" in captured.err


def test_structured_content_is_printed_where_there_is_no_text(capsys: Capture) -> None:
    assert main(["call", "structured"]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert "\x9b" not in shown
    assert json.loads(shown) == {"answer": 42, "odd": "\x9b"}


def test_json_is_the_result_as_it_came(capsys: Capture) -> None:
    assert main(["call", "nasty", "--json"]) == exit_codes.OK
    shown = capsys.readouterr().out
    assert not set(shown) & set("\x1b\x9b\u202e")
    assert json.loads(shown)["content"][0]["text"].startswith("\x1b]0;owned")


def test_pictures_sound_and_bytes_become_files_with_harmless_names(capsys: Capture, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder"
    assert main(["call", "paint", "--output", str(target)]) == exit_codes.OK
    captured = capsys.readouterr()
    files = {path.name: path.read_bytes() for path in target.iterdir()}
    picture = base64.b64decode(PNG)
    assert files == {"paint.png": picture, "paint.wav": picture, "evil_31m.zip": base64.b64decode(BYTES)}
    assert all(str(target / name) in captured.err for name in files)
    assert captured.out == "a picture\nworkshop://note  note\n"


def test_an_existing_file_is_never_written_over(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "paint.png").write_text("mine")
    (tmp_path / "paint-2.png").symlink_to(tmp_path / "elsewhere")
    assert main(["call", "paint", "--output", str(tmp_path)]) == exit_codes.OK
    assert (tmp_path / "paint.png").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "paint-3.png").read_bytes() == base64.b64decode(PNG)


@pytest.mark.parametrize("way", ["http", "tcp", "unix"])
def test_progress_is_told_on_stderr_while_it_runs(way: str, at_home: Running, capsys: Capture) -> None:
    assert main(["call", "steps", f"--{way}", getattr(at_home, way)]) == exit_codes.OK
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["1/3 (33 %) step 1", "2/3 (67 %) step 2", "3/3 (100 %) step 3"]
    assert captured.out == "done\n"


def test_a_person_sees_how_long_it_takes_where_the_server_says_nothing(at_home: Running) -> None:
    ours, theirs = pty.openpty()
    words, environ = command("call", "hold")
    with subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
    ) as process:
        os.close(theirs)
        said = read_until(ours, b"1 holding  2 s", 30)
        process.send_signal(signal.SIGINT)
        while more := read_until(ours, b"\n", 30):
            said += more
        assert process.wait(30) == exit_codes.INTERRUPTED
    os.close(ours)
    assert b"1 holding  1 s" in said
    assert said.endswith(b"\x1b[K")


def test_progress_may_be_hidden_and_is_not_asked_for_then(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    request = Client.request

    def noted(self: Client, method: str, *args: object, **more: object) -> object:
        asked.extend([more.get("progress")] if method == "tools/call" else [])
        return request(self, method, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Client, "request", noted)
    assert main(["call", "steps", "--quiet"]) == exit_codes.OK
    assert capsys.readouterr().err == ""
    assert main(["call", "steps"]) == exit_codes.OK
    assert asked == [False, True]


def test_who_gives_the_name_of_a_file_for_the_file_is_told(capsys: Capture, tmp_path: Path) -> None:
    picture = tmp_path / "note.png"
    picture.write_bytes(b"x")
    assert main(["call", "look", f"image={picture}", f"note={picture}"]) == exit_codes.FAILED
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == (
        f"tidegate: look: `image=@{picture}` sends the file; `image={picture}` sends its name"
    )
    assert said.err.count("sends the file") == 1
    assert main(["call", "look", "image=@" + str(picture)]) == exit_codes.FAILED
    assert main(["call", "look", "image=" + "a" * 9_000]) == exit_codes.FAILED
    assert "sends the file" not in capsys.readouterr().err


def test_logs_are_shown_on_request_alone(capsys: Capture) -> None:
    assert main(["call", "chatter"]) == exit_codes.OK
    assert capsys.readouterr().err == ""
    assert main(["call", "chatter", "--log-level", "info"]) == exit_codes.OK
    assert capsys.readouterr().err == "[info bench] sawing \\x1b[1m\n"


def test_silence_that_is_too_long_ends_the_call(capsys: Capture) -> None:
    assert main(["call", "hold", "--timeout", "0.3"]) == exit_codes.FAILED
    assert "within 0.3 s" in capsys.readouterr().err
    assert main(["call", "was_cancelled"]) == exit_codes.OK
    assert capsys.readouterr().out == "yes\n"


# -- tokens ---------------------------------------------------------------------------------------------------

_TOKEN = "tg_a-token-that-is-only-used-here-0123456789"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> object:
    client = f'[clients.laptop]\ntoken_sha256 = "{token_sha256(_TOKEN)}"\ntools = ["echo"]\n'
    with gateway(workshop_config() + client) as running:
        yield running


@pytest.mark.parametrize("way", ["http", "tcp"])
def test_without_a_token_a_guarded_gateway_refuses(way: str, guarded: Running, capsys: Capture) -> None:
    assert main(["call", "echo", "text=a", f"--{way}", getattr(guarded, way)]) == exit_codes.REFUSED
    assert "token" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["http", "tcp"])
def test_a_token_opens_what_it_may_use_and_nothing_else(
    way: str, guarded: Running, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_TOKEN", _TOKEN)
    where = [f"--{way}", getattr(guarded, way)]
    assert main(["call", "echo", "text=a", *where]) == exit_codes.OK
    assert echoed(capsys) == {"text": "a"}
    assert main(["call", "fail", *where]) == exit_codes.FAILED
    assert "no tool `fail`" in capsys.readouterr().err


# -- a person at the keyboard ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["http", "tcp", "unix"])
def test_ctrl_c_cancels_the_call_and_exits_130(way: str, at_home: Running, capsys: Capture) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # an ignored one would be inherited
    try:
        words, environ = command("call", "hold", f"--{way}", getattr(at_home, way))
        with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            assert b"holding" in read_until(process.stderr.fileno(), b"\n", READY_S)
            process.send_signal(signal.SIGINT)
            assert process.wait(END_S) == exit_codes.INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, before)
    assert main(["call", "was_cancelled"]) == exit_codes.OK
    assert capsys.readouterr().out == "yes\n"


def answered(tool: str, *answers: tuple[str, str]) -> tuple[int, str, str]:
    """Runs `call` on a terminal, typing each answer after its prompt. Returns exit code, stdout and what was seen."""
    ours, theirs = pty.openpty()
    words, environ = command("call", tool)
    with subprocess.Popen(words, env=environ, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        assert process.stdout is not None
        try:
            seen = b""
            for prompt, answer in answers:
                seen += read_until(ours, prompt.encode(), READY_S)
                os.write(ours, answer.encode())
            out = read_until(process.stdout.fileno(), b"no such mark", READY_S)
            code = process.wait(END_S)
            seen += read_until(ours, b"no such mark", READY_S)
        finally:
            process.kill()
            os.close(ours)
    return code, out.decode(), seen.decode()


def test_a_form_is_asked_field_by_field_and_the_call_made_again() -> None:
    code, out, seen = answered(
        "ask",
        ("Your name (string from 2 characters): ", "x\n"),
        ("Your name (string from 2 characters): ", "Ada\n"),
        ("size (number): ", "2\n"),
        ("age (integer from 18, optional): ", "17\n"),
        ("age (integer from 18, optional): ", "36\n"),
        ("news (yes or no, default no): ", "\n"),
    )
    assert code == exit_codes.OK, seen
    content = {"name": "Ada", "size": "l", "age": 36, "news": False}
    assert json.loads(out) == {"answers": {"one": {"action": "accept", "content": content}}, "state": "opaque ☃"}
    assert "`ask` asks:" in seen
    assert "1) Small [s]" in seen


def test_a_person_may_refuse_to_answer() -> None:
    code, out, _ = answered("ask", ("Your name", "!\n"))
    assert code == exit_codes.OK
    assert json.loads(out)["answers"] == {"one": {"action": "decline"}}


def test_a_person_may_give_up() -> None:
    code, out, _ = answered("ask", ("Your name", "\x04"))
    assert code == exit_codes.OK
    assert json.loads(out)["answers"] == {"one": {"action": "cancel"}}


def test_a_page_is_shown_whole_and_opened_by_the_person_alone() -> None:
    code, out, seen = answered("visit", ("press Enter", "\n"))
    assert code == exit_codes.OK
    assert "https://example.com/sign-in" in seen
    assert json.loads(out)["answers"] == {"one": {"action": "accept"}}


@pytest.mark.parametrize("tool", ["ask", "ask_anyway"])
def test_without_a_terminal_a_question_is_explained(tool: str, capsys: Capture) -> None:
    assert main(["call", tool]) == exit_codes.FAILED
    assert "terminal" in capsys.readouterr().err

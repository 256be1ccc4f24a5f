"""The official TypeScript SDKs across eras, at either end: 1.x, which knows sessions only, and 2.x held to 2026-07-28.

A client process makes one visit through a running gateway and prints what it saw (`visit.mjs`); the tests here each
look at one part of that. What a server says is the same whichever era its client is of, so a visit through the gateway
is compared with a direct one of the server's own era, made with the same SDKs. At the end of the file the other side is
the Python SDK.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from everything import listening
from fronts import client_transport
from gateway_process import UNHURRIED, Gateway, backend, command, environment, gateway
from houses import House, Houses
from mcp import types
from node_runtime import node
from person import REVISION, Era, Person, text_of
from roads import Road

HERE = Path(__file__).resolve().parent
LIMIT_S = 60
ACROSS: tuple[tuple[Era, Era], ...] = (("session", "stateless"), ("stateless", "session"))
ROADS = [
    Road(client, way_in, way_out, server)
    for client, server in ACROSS
    for way_out in ("stdio", "http")
    for way_in in ("http", "stdio")
]
RESOURCE_NOT_FOUND: dict[Era, int] = {"session": -32002, "stateless": -32602}

Seen = dict[str, Any]


def server_command(era: Era, transport: str, folder: Path) -> list[str]:
    return [node(), str(HERE / f"{era}_server.mjs"), transport, str(folder)]


def client_run(era: Era, wanted: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [node(), str(HERE / f"{era}_client.mjs"), json.dumps(wanted)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def visited(era: Era, wanted: dict[str, Any]) -> Seen:
    """One run of a client program; its stdout is what it saw."""
    run = client_run(era, wanted)
    assert run.returncode == 0, run.stderr[-3000:]
    seen = json.loads(run.stdout)
    assert isinstance(seen, dict)
    return seen


def address(road: Road, daemon: Gateway) -> dict[str, Any]:
    """Where a client program finds the daemon."""
    if road.way_in == "http":
        return {"url": daemon.http}
    return {"command": [*command(), "connect"], "env": {**environment(), "TIDEGATE_SOCKET": daemon.unix}}


SETTLE_S = 5.2
"""A little longer than the gateway takes a question that names no request for one of a request that was given up."""


class Visits:
    """Visits through gateways in front of the TypeScript servers; each gateway starts when first asked for."""

    def __init__(self, stack: ExitStack, new_folder: Callable[[str], Path]) -> None:
        self._stack = stack
        self._new_folder = new_folder
        self._daemons: dict[tuple[Era, str], tuple[Gateway, Path]] = {}
        self._seen: dict[str, Seen] = {}
        self._settled_s: dict[Path, float] = {}

    def daemon(self, road: Road) -> tuple[Gateway, Path]:
        if (key := (road.server, road.way_out)) not in self._daemons:
            folder = self._new_folder(f"{road.server}-{road.way_out}")
            launch = server_command(road.server, road.way_out, folder)
            if road.way_out == "stdio":
                table = backend("shore", command=launch)
            else:
                table = backend("shore", url=self._stack.enter_context(listening(launch, {}, "/mcp")))
            self._daemons[key] = self._stack.enter_context(gateway(UNHURRIED + table)), folder
        return self._daemons[key]

    def through(self, road: Road, **wanted: Any) -> Seen:
        """What was seen on this road with these wishes; made once."""
        return self._made(road, *self.daemon(road), **wanted)

    def at(self, house: House, road: Road, **wanted: Any) -> Seen:
        """The same at somebody else's server."""
        return self._made(road, house.gateway, house.journal.folder, **wanted)

    def _made(self, road: Road, daemon: Gateway, folder: Path, **wanted: Any) -> Seen:
        key = f"{road} {folder} {sorted(wanted.items())}"
        if key not in self._seen:
            own = {"folder": str(folder), "key": f"visit-{len(self._seen)}"}
            # A visit ends with a call that is given up; until its server must have heard, nothing is asked aside.
            time.sleep(max(0.0, self._settled_s.get(folder, 0.0) - time.monotonic()))
            self._seen[key] = visited(road.client, {**own, **address(road, daemon), **wanted})
            self._settled_s[folder] = time.monotonic() + SETTLE_S
        return self._seen[key]

    def direct(self, era: Era) -> Seen:
        """What a client of the server's own era sees, with no gateway between them."""
        if era not in self._seen:
            folder = self._new_folder(f"{era}-direct")
            wanted = {"folder": str(folder), "key": "direct", "command": server_command(era, "stdio", folder)}
            self._seen[era] = visited(era, wanted)
        return self._seen[era]


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visits]:
    with ExitStack() as stack:
        yield Visits(stack, tmp_path_factory.mktemp)


def on_roads(*, client: Era | None = None) -> pytest.MarkDecorator:
    roads = [road for road in ROADS if client in (None, road.client)]
    return pytest.mark.parametrize("road", roads, ids=str)


def words(outcome: Seen) -> str:
    """The text of a tool's answer, which is no error."""
    answer = outcome.get("answer", outcome)
    assert answer.get("isError") is False, outcome
    [content] = answer["content"]
    return str(content["text"])


def without_id(asked: list[Seen]) -> list[Seen]:
    return [{key: value for key, value in each.items() if key != "has_id"} for each in asked]


@pytest.mark.parametrize("transport", ["stdio", "http"])
@pytest.mark.parametrize(
    ("client", "server", "refusal"),
    [("session", "stateless", "Unsupported protocol version"), ("stateless", "session", "pinned protocol version")],
)
def test_without_a_gateway_the_eras_do_not_meet(
    tmp_path: Path, client: Era, server: Era, refusal: str, transport: str
) -> None:
    launch = server_command(server, transport, tmp_path)
    with ExitStack() as stack:
        reached: dict[str, Any] = {"command": launch}
        if transport == "http":
            reached = {"url": stack.enter_context(listening(launch, {}, "/mcp"))}
        run = client_run(client, {"folder": str(tmp_path), "key": "k", **reached})
    assert run.returncode != 0
    assert run.stdout == ""
    assert refusal in run.stderr


@pytest.mark.proves("open", "lists", "tools", "prompts", "resources", "completion", "errors.tool")
@on_roads()
def test_lists_and_calls_are_those_of_the_server(visits: Visits, road: Road) -> None:
    seen, direct = visits.through(road), visits.direct(road.server)
    assert seen["revision"] == REVISION[road.client]
    assert seen["server"] == direct["server"]
    names = [tool["name"] for tool in direct["tools"]]
    assert [tool for tool in seen["tools"] if tool["name"] in names] == direct["tools"]
    for part in ("prompts", "resources", "add", "fail", "greet"):
        assert seen[part] == direct[part], part
    assert seen["complete"]["values"] == ["Ada", "Alan"]


@pytest.mark.proves("errors.not-found", "errors.protocol")
@on_roads()
def test_what_does_not_exist_is_refused_in_the_words_of_the_clients_era(visits: Visits, road: Road) -> None:
    seen = visits.through(road)
    assert seen["missing"]["refused"]["code"] == RESOURCE_NOT_FOUND[road.client]
    assert seen["missing"]["refused"]["data"] == {"uri": "eras://missing"}
    for part in ("unknown_tool", "unknown_prompt"):
        assert seen[part]["refused"]["code"] == -32602, part


@on_roads()
@pytest.mark.parametrize(
    "part",
    [
        pytest.param("ask_form", marks=pytest.mark.proves("elicitation.form")),
        pytest.param("ask_form_decline", marks=pytest.mark.proves("elicitation.form")),
        pytest.param("ask_form_cancel", marks=pytest.mark.proves("elicitation.form")),
        pytest.param("ask_model", marks=pytest.mark.proves("sampling")),
        pytest.param("ask_roots", marks=pytest.mark.proves("roots")),
    ],
)
def test_one_question_reaches_the_client_and_its_answer_the_server(visits: Visits, road: Road, part: str) -> None:
    seen, direct = visits.through(road)[part], visits.direct(road.server)[part]
    assert words(seen) == words(direct)
    assert seen["asked"] == direct["asked"]


@pytest.mark.proves("elicitation.url")
@on_roads()
def test_a_page_to_visit_has_an_id_where_the_era_has_one(visits: Visits, road: Road) -> None:
    seen, direct = visits.through(road)["ask_url"], visits.direct(road.server)["ask_url"]
    assert words(seen) == words(direct)
    assert without_id(seen["asked"]) == without_id(direct["asked"])
    assert [each["has_id"] for each in seen["asked"]] == [road.client == "session"]


@pytest.mark.proves("questions.together")
@on_roads()
def test_several_questions_at_once_are_all_asked_and_answered(visits: Visits, road: Road) -> None:
    seen, direct = visits.through(road)["ask_together"], visits.direct(road.server)["ask_together"]
    assert words(seen) == words(direct)
    assert sorted(seen["asked"], key=str) == sorted(direct["asked"], key=str)


@pytest.mark.proves("questions.rounds")
@on_roads()
def test_rounds_build_on_each_other(visits: Visits, road: Road) -> None:
    seen, direct = visits.through(road)["ask_rounds"], visits.direct(road.server)["ask_rounds"]
    assert words(seen) == words(direct)
    assert seen["asked"] == direct["asked"]


@on_roads()
@pytest.mark.parametrize(
    "part",
    [
        pytest.param("ask_prompt", marks=pytest.mark.proves("questions.prompt")),
        pytest.param("ask_resource", marks=pytest.mark.proves("questions.resource")),
    ],
)
def test_prompts_and_resources_ask_as_tools_do(visits: Visits, road: Road, part: str) -> None:
    assert visits.through(road)[part] == visits.direct(road.server)[part]


@pytest.mark.proves("questions.own")
@on_roads()
def test_calls_that_ask_at_the_same_time_do_not_mix_their_answers(visits: Visits, road: Road) -> None:
    assert visits.through(road)["parallel"] == visits.direct(road.server)["parallel"]


@on_roads(client="stateless")
def test_a_question_not_marked_with_its_call_is_answered_too(visits: Visits, road: Road) -> None:
    seen = visits.through(road)["ask_form_aside"]
    assert words(seen) == "form: my name for Who? (accept)/3"
    assert len(seen["asked"]) == 1


@pytest.mark.proves("elicitation.required")
@on_roads(client="stateless")
def test_a_server_that_needs_a_page_visited_first_is_called_again_after_the_visit(visits: Visits, road: Road) -> None:
    """-32042 is of 2025-11-25 only: a stateless client is asked, and then the call is made once more."""
    seen = visits.through(road)["visit_first"]
    assert words(seen) == "visited"
    assert [each["url"] for each in seen["asked"]] == ["https://example.test/first"]


@pytest.mark.proves("progress")
@on_roads()
def test_progress_comes_with_the_call_it_belongs_to(visits: Visits, road: Road) -> None:
    assert visits.through(road)["progress"] == visits.direct(road.server)["progress"]


@pytest.mark.proves("logs.set-level")
@on_roads(client="session")
def test_logs_come_from_the_level_that_the_session_set(visits: Visits, road: Road) -> None:
    assert visits.through(road)["logs"] == visits.direct(road.server)["logs"]


@pytest.mark.proves("logs.by-request")
@on_roads(client="stateless")
def test_logs_come_from_the_level_that_the_request_names(visits: Visits, road: Road) -> None:
    assert visits.through(road)["logs"] == visits.direct(road.server)["logs"]


def how_cancelled(road: Road) -> pytest.MarkDecorator:
    by_stream = road.client == "stateless" and road.way_in == "http"
    return pytest.mark.proves("cancel.stream" if by_stream else "cancel.notification")


@pytest.mark.parametrize("road", [pytest.param(road, marks=how_cancelled(road), id=str(road)) for road in ROADS])
def test_a_cancelled_call_ends_at_the_server(visits: Visits, road: Road) -> None:
    """The visit waits until the server has noted it."""
    assert visits.through(road)["cancel"] == visits.direct(road.client)["cancel"]


@pytest.mark.proves("changes.lists")
@on_roads()
def test_a_change_of_the_tools_is_told_and_the_new_one_works(visits: Visits, road: Road) -> None:
    grows = visits.through(road)["grows"]
    assert grows.get("told") == ["tools"], grows
    assert grows["grown"].startswith("I am visit-"), grows


@pytest.mark.proves("changes.resources")
@on_roads()
def test_a_resource_that_changes_once_it_is_watched_is_told_of(visits: Visits, road: Road) -> None:
    """It changes a single time, right after the client heard that it is watched."""
    updates = visits.through(road)["updates"]
    assert updates.get("told") == ["eras://watched"], updates
    assert updates["now"].startswith("visit-")


@pytest.mark.proves("abilities.undeclared")
@on_roads()
def test_a_client_that_declared_nothing_is_never_asked(visits: Visits, road: Road) -> None:
    seen = visits.through(road, able=False, steps=["add", "ask_form", "ask_model", "ask_roots", "ask_together"])
    assert words(seen.pop("add")) == "5.5"
    assert seen.pop("revision") == REVISION[road.client]
    for part, outcome in seen.items():
        assert "refused" in outcome or outcome["answer"]["isError"], part


@pytest.mark.proves("state.tampered", "state.other-request", "state.twice", "answers.malformed")
@on_roads(client="stateless")
def test_a_request_state_serves_its_own_request_once(visits: Visits, road: Road) -> None:
    seen = visits.through(road, steps=[], misuse=True)["misuse"]
    assert seen["first"] == {"resultType": "input_required", "methods": ["elicitation/create"]}
    for part in ("tampered", "other_arguments", "other_tool", "again", "malformed"):
        assert seen[part].get("code") == -32602, (part, seen[part])
    assert seen["right"] == seen["mended"] == {"text": "form: Ada/1"}


@pytest.mark.proves("answers.some", "answers.unknown")
@on_roads(client="stateless")
def test_answers_may_come_piece_by_piece(visits: Visits, road: Road) -> None:
    seen = visits.through(road, steps=[], misuse=True)["misuse"]["piecemeal"]
    assert seen["answer"] == {"text": "together: Ada/1 | assistant none so endTurn | file:///one=one"}
    assert seen["rounds"] == 3


PYTHON_TOOLS = {
    "elicit_form": "name: accept(name=my name for What is the name of you?)",
    "elicit_url": "page: accept()",
    "sample": "model: thought of 'Say something'",
    "list_roots": "roots: file:///srv/one file:///srv/%C3%A9",
    "ask_together": (
        "name: accept(name=my name for Your name?); model: thought of 'A greeting, please'; "
        "roots: file:///srv/one file:///srv/%C3%A9"
    ),
    "ask_in_rounds": (
        "accept(word=my word for Round 1 after nothing); "
        "accept(word=my word for Round 2 after accept(word=my word for Round 1 after nothing)); "
        "accept(word=my word for Round 3 after accept(word=my word for Round 2 after "
        "accept(word=my word for Round 1 after nothing)))"
    ),
    "report": "reported",
    "log": "logged",
}
"""Tools of the Python servers (`offers.py`), and what each ends with for our TypeScript clients."""
PYTHON_CALLS = [{"name": name, **({"level": "warning"} if name == "log" else {})} for name in PYTHON_TOOLS]
PYTHON_ROADS = [road for road in ROADS if road.way_in == "http"]


@pytest.fixture
def at_python(houses: Houses, visits: Visits, road: Road) -> Seen:
    """A visit of a TypeScript client at a Python server."""
    return visits.at(houses.open(road.server, road.way_out), road, calls=PYTHON_CALLS, steps=["cancel", "grows"])


@pytest.mark.parametrize("road", PYTHON_ROADS, ids=str)
@pytest.mark.parametrize("name", list(PYTHON_TOOLS))
def test_a_python_server_hears_a_typescript_clients_answers(at_python: Seen, road: Road, name: str) -> None:
    assert words(at_python[name]) == PYTHON_TOOLS[name]


@pytest.mark.parametrize("road", PYTHON_ROADS, ids=str)
def test_a_typescript_client_hears_a_python_server(at_python: Seen, road: Road) -> None:
    assert at_python["report"]["progress"] == [[1, 3, "step 1"], [2, 3, "step 2"], [3, 3, "step 3"]]
    logged = [(each["level"], each["logger"], each["data"]) for each in at_python["log"]["logged"]]
    assert logged == [("warning", "eras", "at warning"), ("error", "eras", "at error")]
    grows = at_python["grows"]
    assert grows.get("told") == ["tools"], grows
    assert grows["grown"].startswith("I am visit-"), grows


@pytest.mark.parametrize("road", PYTHON_ROADS, ids=str)
def test_a_typescript_client_cancels_at_a_python_server(at_python: Seen, visits: Visits, road: Road) -> None:
    assert at_python["cancel"] == visits.direct(road.client)["cancel"]


class Reader(Person):
    """Fills in forms of our TypeScript servers: `cups` is a number."""

    def accept(self, params: types.ElicitRequestParams) -> types.ElicitResult:
        content: dict[str, str | int | float | bool | list[str] | None] = {"name": self.name, "cups": 3}
        url = isinstance(params, types.ElicitRequestURLParams)
        return types.ElicitResult(action="accept", content=None if url else content)


TYPESCRIPT_TOOLS = {
    "ask_form": "form: Ada/3",
    "ask_url": "url: accept without content",
    "ask_model": "model: assistant none Ada to 'What about tides?' undefined",
    "ask_roots": "roots: file:///home/Ada=undefined",
    "ask_together": "together: Ada/3 | assistant none Ada to 'Together?' undefined | file:///home/Ada=undefined",
    "ask_rounds": "rounds: Ada/3, Ada/3, Ada/3 | assistant none Ada to 'Ada/3 + Ada/3 + Ada/3' undefined",
}
"""Tools of the TypeScript servers (`conversations.mjs`), and what each ends with for a Python client."""


@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
@pytest.mark.parametrize("road", PYTHON_ROADS, ids=str)
async def test_a_typescript_server_hears_a_python_clients_answers(visits: Visits, road: Road) -> None:
    person = Reader()
    daemon, _ = visits.daemon(road)
    async with person.client(client_transport(road.way_in, daemon), road.client) as client:
        said = {name: text_of(await client.call_tool(name, {})) for name in TYPESCRIPT_TOOLS}
        await client.call_tool("count", {"to": 3}, progress_callback=person.on_progress)
    assert said == TYPESCRIPT_TOOLS
    assert person.progress == [(step, 3, f"step {step}") for step in (1, 2, 3)]

"""Is what comes through the gateway what the server said? The same requests to both, compared value by value.

    python tests/conformance/same_answers.py --direct URL --through URL [--to-the-letter]

The conformance suite checks shapes; an empty list or a swallowed notification can pass it. Here every tool, prompt,
resource, template and completion of the everything-server is used in both eras, with the notifications and questions
on the way.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
from raw_client import Answer, Era, Number, RawClient, header_value, raw_client

ERAS: tuple[Era, ...] = ("session", "stateless")

NOT_COMPARED = {
    "id": "each hop numbers its own requests",
    "requestState": "sealed anew for every answer",
    "io.modelcontextprotocol/serverInfo": "a gateway may introduce itself",
    "io.modelcontextprotocol/subscriptionId": "is a request id",
}
"""Member name → why its value may differ. Whether it is there must still agree, the introduction excepted."""

MAY_BE_ABSENT = {"io.modelcontextprotocol/serverInfo", "_meta"}


@dataclass(frozen=True)
class Request:
    """One thing to ask. `own_words`: the gateway may answer it itself, so that the text of an error is its own."""

    method: str
    params: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    own_words: bool = False

    def __str__(self) -> str:
        return (
            f"{self.method} {self.params.get('name') or self.params.get('uri') or self.params.get('ref') or ''}".strip()
        )


@dataclass(frozen=True)
class Difference:
    """One value that is not the same, and where."""

    era: Era
    request: str
    where: str
    direct: Any
    through: Any

    def __str__(self) -> str:
        return f"{self.era}: {self.request}: {self.where}: direct {self.direct!r}, through {self.through!r}"


ARGUMENTS: dict[str, dict[str, Any]] = {
    "test_sampling": {"prompt": "Say hello"},
    "test_elicitation": {"message": "Who are you?"},
    "test_x_mcp_header": {"region": "Nürnberg", "query": "q"},
    "json_schema_2020_12_tool": {"name": "Ada", "email": "ada@example.org"},
    "wait_a_while": {"seconds": 0.01},
    "echo_arguments": {
        "z": 1,
        "a": {"nested": [1, 2.5, None, True, "é\u2028\U0001f600"], "empty": {}},
        "big": 9007199254740993,
        "text": 'quotes " and \\ and \n and \u0000',
    },
}
UNEVEN = {"test_reconnection": "closes its own stream, which a session client follows by GET"}
"""Tools left out, and why."""


async def requests_of(client: RawClient) -> list[Request]:
    """Everything that can be asked of this server, found by asking it."""
    # A level first: before it, a session server sends what it likes.
    wanted = [Request("logging/setLevel", {"level": "info"})] if client.era == "session" else []
    wanted += [Request(f"{kind}/list") for kind in ("tools", "prompts", "resources", "resources/templates")]
    for tool in (await client.request("tools/list", {})).last["result"]["tools"]:
        if tool["name"] in UNEVEN:
            continue
        wanted += list(_calls(client.era, tool))
    for prompt in (await client.request("prompts/list", {})).last["result"]["prompts"]:
        filled = {each["name"]: f"test://{each['name']}" for each in prompt.get("arguments", [])}
        wanted.append(Request("prompts/get", {"name": prompt["name"], "arguments": filled}))
        for argument in filled:
            ref = {"type": "ref/prompt", "name": prompt["name"]}
            wanted.append(Request("completion/complete", {"ref": ref, "argument": {"name": argument, "value": "par"}}))
    for uri in await _uris(client):
        wanted.append(Request("resources/read", {"uri": uri}))
    template = {"type": "ref/resource", "uri": "test://template/{id}/data"}
    typed = {"argument": {"name": "id", "value": "p"}, "context": {"arguments": {"other": "pier"}}}
    wanted += [
        Request("completion/complete", {"ref": template, **typed}),
        Request("resources/read", {"uri": "test://template/a%20b/data"}),
        Request("resources/read", {"uri": "test://nothing-here"}),
        Request("tools/call", {"name": "no_such_tool", "arguments": {}}, own_words=True),
        Request("prompts/get", {"name": "no_such_prompt"}, own_words=True),
        Request("no/such_method", own_words=True),
    ]
    if client.era == "session":
        wanted += [
            Request("ping"),
            Request("resources/subscribe", {"uri": "test://watched-resource"}),
            Request("resources/unsubscribe", {"uri": "test://watched-resource"}),
        ]
    return wanted


def _calls(era: Era, tool: dict[str, Any]) -> Iterator[Request]:
    """A tool as it is called plainly, and with progress and logs asked for."""
    name = tool["name"]
    arguments = ARGUMENTS.get(name, {})
    headers: dict[str, str] = {}
    if era == "stateless":
        for argument, schema in tool["inputSchema"].get("properties", {}).items():
            if (mark := schema.get("x-mcp-header")) and argument in arguments:
                headers[f"mcp-param-{mark}"] = header_value(str(arguments[argument]))
    yield Request("tools/call", {"name": name, "arguments": arguments}, headers)
    if "progress" in name or "log" in name or "stream" in name:
        meta: dict[str, Any] = {"progressToken": f"token of {name}", "example.org/mine": {"b": 1, "a": 2}}
        if era == "stateless":
            meta["io.modelcontextprotocol/logLevel"] = "debug"
        yield Request("tools/call", {"name": name, "arguments": arguments, "_meta": meta}, headers)


async def _uris(client: RawClient) -> list[str]:
    """Every listed resource, on all pages."""
    uris: list[str] = []
    params: dict[str, Any] = {}
    while True:
        result = (await client.request("resources/list", params)).last["result"]
        uris += [resource["uri"] for resource in result["resources"]]
        if "nextCursor" not in result:
            return uris
        params = {"cursor": result["nextCursor"]}


async def _ask(client: RawClient, request: Request) -> list[Answer]:
    """The answers to one request; a list is walked to its end and handed back as one page."""
    answers = await client.call(request.method, request.params, request.headers)
    if not request.method.endswith("/list"):
        return answers
    whole = answers[-1].last
    result = whole.get("result", {})
    while "nextCursor" in result:
        more = (await client.request(request.method, {"cursor": result.pop("nextCursor")})).last["result"]
        for key, value in more.items():
            if isinstance(value, list):
                result[key] += value
        if "nextCursor" in more:
            result["nextCursor"] = more["nextCursor"]
    return [Answer(answers[-1].status, whole)]


async def compare(
    direct_url: str, through_url: str, era: Era, *, letter: bool = False, across: bool = False
) -> tuple[int, list[Difference]]:
    """How many requests were compared in this era, and what differed.

    `letter` also compares the order of members and the spelling of numbers. That is for two ways to one HTTP server:
    the same server writes some numbers differently on stdio. `across`: the gateway's server is of the other era, so
    that only what came of a call is compared, not in how many rounds.
    """
    found: list[Difference] = []
    async with raw_client(direct_url, era) as (direct, hello), raw_client(through_url, era) as (through, welcome):
        wanted = await requests_of(direct)
        found += [
            Difference(era, "hello", *each)
            for each in _missing(_capabilities(hello), _capabilities(welcome), "capabilities")
        ]
        for request in wanted:
            try:
                ours = await _ask(direct, request)
            except AssertionError as failure:
                raise AssertionError(f"directly: {request}: {failure}") from failure
            try:
                theirs = await _ask(through, request)
            except Exception as failure:  # whatever went wrong is what differs
                found.append(Difference(era, str(request), "answer", "an answer", repr(failure)))
                continue
            seen = [[_plain(request, each) for each in side] for side in (ours, theirs)]
            direct_value, through_value = map(_whole, seen) if across else seen
            found += [
                Difference(era, str(request), *each) for each in _differences(direct_value, through_value, "", letter)
            ]
    return len(wanted), found


def _capabilities(hello: Answer) -> dict[str, Any]:
    return dict(hello.last.get("result", {}).get("capabilities", {}))


def _missing(direct: Any, through: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """What the server offers and the gateway does not; the gateway may offer more."""
    for key, value in direct.items():
        if key not in through:
            yield f"{where}.{key}", value, "absent"
        elif isinstance(value, dict) and isinstance(through[key], dict):
            yield from _missing(value, through[key], f"{where}.{key}")
        elif value is True and through[key] is not True:
            yield f"{where}.{key}", value, through[key]


def _plain(request: Request, answer: Answer) -> dict[str, Any]:
    """An answer as one value."""
    last = dict(answer.last)
    if "error" in last and request.own_words:
        last["error"] = {key: value for key, value in last["error"].items() if key == "code"}
    return {"status": answer.status, "frames": answer.frames, "last": last}


def _whole(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """All rounds of a call as one: what was told and asked on the way, whatever carried it, and how it ended."""
    told: list[Any] = []
    asked: list[Any] = []
    for each in rounds:
        for frame in each["frames"]:
            (asked if "id" in frame else told).append({"method": frame["method"], "params": frame.get("params", {})})
        asked += [
            {"method": question["method"], "params": question.get("params", {})}
            for question in each["last"].get("result", {}).get("inputRequests", {}).values()
        ]
    return {"status": rounds[-1]["status"], "told": told, "asked": asked, "last": rounds[-1]["last"]}


def _differences(direct: Any, through: Any, where: str, letter: bool) -> Iterator[tuple[str, Any, Any]]:
    """Every place where two values differ."""
    if isinstance(direct, dict) and isinstance(through, dict):
        for key in [*direct, *(key for key in through if key not in direct)]:
            here = f"{where}.{key}" if where else key
            if (key in direct) != (key in through):
                if key not in MAY_BE_ABSENT or (key == "_meta" and not _only_introduces(direct, through)):
                    yield here, direct.get(key, "absent"), through.get(key, "absent")
            elif key == "ttlMs":
                if not _remaining(direct[key], through[key]):
                    yield here, direct[key], through[key]
            elif key not in NOT_COMPARED or where.endswith(("arguments", "content", "structuredContent")):
                yield from _differences(direct[key], through[key], here, letter)
        shared = [key for key in through if key in direct]
        if letter and shared != [key for key in direct if key in through] and not _is_list_result(direct):
            yield f"{where} (key order)", list(direct), list(through)
    elif isinstance(direct, list) and isinstance(through, list):
        if len(direct) != len(through):
            yield f"{where} (length)", direct, through
        for index, (ours, theirs) in enumerate(zip(direct, through, strict=False)):
            yield from _differences(ours, theirs, f"{where}[{index}]", letter)
    elif isinstance(direct, Number) and isinstance(through, Number) and not letter:
        if not direct.equals(through):
            yield where, direct, through
    elif direct != through:
        yield where, direct, through


def _is_list_result(value: dict[str, Any]) -> bool:
    """A catalogue puts its own list together; what stands in it is the server's, the frame around it is not."""
    return not {"tools", "prompts", "resources", "resourceTemplates"}.isdisjoint(value)


def _only_introduces(direct: dict[str, Any], through: dict[str, Any]) -> bool:
    """Whether the `_meta` that only one side has says no more than who the server is."""
    meta = direct.get("_meta", through.get("_meta"))
    return isinstance(meta, dict) and set(meta) <= {"io.modelcontextprotocol/serverInfo"}


def _remaining(direct: Any, through: Any) -> bool:
    """A cached answer may say how much of its time is left."""
    if not isinstance(direct, Number) or not isinstance(through, Number):
        return False
    return 0 <= int(through.text) <= int(direct.text)


async def _main(options: argparse.Namespace) -> int:
    failed = 0
    for era in ERAS:
        count, found = await compare(options.direct, options.through, era, letter=options.to_the_letter)
        print(f"{era}: {count} requests, {len(found)} differences")
        for difference in found:
            print(f"  {difference}")
        failed += len(found)
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Compares the answers of a server with and without the gateway before it."
    )
    parser.add_argument("--direct", required=True, metavar="URL")
    parser.add_argument("--through", required=True, metavar="URL")
    parser.add_argument("--to-the-letter", action="store_true", help="order of members and spelling of numbers, too")
    return anyio.run(_main, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())

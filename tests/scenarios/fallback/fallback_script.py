"""What the demonstration asks of a box with a model and a cloud behind it, and who has to serve it; played for real."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from fake_cloud import KEY, FakeCloud, broken, cut_stream
from gateway_process import Gateway, GatewayFailed, gateway

SILENCE_S = 60.0
"""How long a question may take: some 0.5 s by the model on an idle box."""
FORGOTTEN_S = 5.1
"""After that the gateway looks at heat again, and tries a link again that failed once."""
COOL_C, HOT_C = 51, 91
SECRET = "Ada"
"""What the cloud must not see."""
MODELS = ("chat",)
"""Of those that come with tidegate, what this needs."""
CONFIGURATION = """
[limits]
rate_per_s = 0

[power]
sysfs = "{sysfs}"

[backends.chat]
models = [{{ path = "chat" }}]

[backends.cloud]
openai = "{cloud}"
chat_model = "large"
headers = {{ Authorization = "Bearer {key}" }}
remote = true

[capabilities.ask]
order = ["chat__chat", "cloud__chat"]
busy_ms = 60000
stay = ["private"]

[capabilities.advise]
order = ["cloud__chat", "chat__chat"]
busy_ms = 60000
stay = ["private"]
"""


@dataclass(frozen=True)
class Ask:
    """One question. `why` and `where` are what the answer has to say; `where` "": an error with `why` as its reason."""

    capability: str
    text: str
    where: str
    why: str
    private: bool = False
    in_pieces: bool = False
    amid: str = ""
    """What happens while it is answered: the name of a method of `Stage`."""


@dataclass(frozen=True)
class Happens:
    """Something becomes of the box, the cloud or the link between them."""

    what: str
    how: str
    """The name of a method of `Stage`."""


@dataclass(frozen=True)
class Shown:
    """A row: what was asked, who served it, where, why, for how long, after whom, and what it said."""

    ask: Ask
    tool: str = ""
    where: str = ""
    why: str = ""
    duration_ms: float = 0.0
    before: tuple[str, ...] = ()
    """Tools that were asked first, and what became of that."""
    said: str = ""
    wrong: str = ""


@dataclass(frozen=True)
class Verdict:
    words: str
    wrong: str = ""


Move: TypeAlias = Ask | Happens
FRANCE = "What is the capital of France?"
NAME = f"My name is {SECRET}. What is my name?"

MOVES: tuple[Move, ...] = (
    Ask("ask", FRANCE, "local", "preferred"),
    Ask("advise", FRANCE, "cloud", "preferred"),
    Ask("advise", NAME, "local", "stays", private=True),
    Happens("the cloud has trouble of its own: HTTP status 500", "cloud_breaks"),
    Ask("advise", FRANCE, "local", "failed"),
    Happens("the cloud works, and the link breaks in the middle of its answer", "cloud_will_break_off"),
    Ask("advise", FRANCE, "", "answer_cut", in_pieces=True),
    Ask("advise", FRANCE, "local", "link_down"),
    Happens("the cloud works; the model's process hangs, and is killed while it should answer", "cloud_works"),
    Ask("ask", FRANCE, "cloud", "down", amid="model_dies"),
    Ask("ask", NAME, "local", "preferred", private=True),
    Ask("ask", FRANCE, "local", "preferred"),
    Happens(f"the box gets hot: {HOT_C} °C", "box_gets_hot"),
    Ask("ask", FRANCE, "cloud", "hot"),
    Ask("ask", NAME, "local", "stays", private=True),
    Happens("the link to the cloud is cut", "link_is_cut"),
    Ask("advise", FRANCE, "local", "link_down"),
    Ask("ask", FRANCE, "local", "link_down"),
    Happens(f"the link is back, and the box at {COOL_C} °C", "all_is_well"),
    Ask("ask", FRANCE, "local", "preferred"),
    Ask("advise", FRANCE, "cloud", "preferred"),
)


class Stage:
    """Everything runs."""

    def __init__(self, gate: Gateway, cloud: FakeCloud, sysfs: Path) -> None:
        self._gate = gate
        self._sysfs = sysfs
        self.cloud = cloud
        self._numbers = 0

    # -- what happens ---------------------------------------------------------------------------------------------

    async def cloud_breaks(self) -> None:
        self.cloud.fault = broken

    async def cloud_will_break_off(self) -> None:
        self.cloud.fault = cut_stream(3, reset=True)

    async def cloud_works(self) -> None:
        self.cloud.fault = None

    async def model_dies(self) -> None:
        """Stopped before it is asked, so that it surely does not answer."""
        worker = self._worker()
        os.kill(worker, signal.SIGSTOP)
        await asyncio.sleep(0.3)
        os.kill(worker, signal.SIGKILL)

    async def box_gets_hot(self) -> None:
        set_heat(self._sysfs, HOT_C)
        await asyncio.sleep(FORGOTTEN_S)

    async def link_is_cut(self) -> None:
        await self.cloud.go()

    async def all_is_well(self) -> None:
        set_heat(self._sysfs, COOL_C)
        await self.cloud.come()
        await asyncio.sleep(FORGOTTEN_S)

    def _worker(self) -> int:
        for child in self._gate.descendants():
            if "tidegate.models" in child.command and "setpriv" not in child.command:
                return int(child.pid)
        raise GatewayFailed("no model's process runs")

    # -- questions ------------------------------------------------------------------------------------------------

    async def ask(self, ask: Ask) -> Shown:
        self._numbers += 1
        meta: dict[str, Any] = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        if ask.private:
            meta["io.tidegate/data-class"] = "private"
        if ask.in_pieces:
            meta["progressToken"] = "pieces"
        arguments = {"messages": [{"role": "user", "content": ask.text}], "max_tokens": 12}
        params = {"name": ask.capability, "arguments": arguments, "_meta": meta}
        request = {"jsonrpc": "2.0", "id": self._numbers, "method": "tools/call", "params": params}
        amid: Callable[[], Awaitable[None]] | None = getattr(self, ask.amid) if ask.amid else None
        async with asyncio.timeout(SILENCE_S):
            return shown_for(ask, *await self._exchange(request, amid))

    async def _exchange(
        self, request: dict[str, Any], amid: Callable[[], Awaitable[None]] | None
    ) -> tuple[dict[str, Any], str]:
        """The answer, and the pieces that came before it."""
        reader, writer = await asyncio.open_connection(*self._gate.tcp, limit=1 << 20)
        pieces: list[str] = []
        try:
            if amid is not None:
                happening = asyncio.ensure_future(amid())
                await asyncio.sleep(0.1)
            writer.write(json.dumps(request).encode() + b"\n")
            while line := await reader.readline():
                message = json.loads(line)
                if message.get("method") == "notifications/progress":
                    pieces.append(message["params"].get("message", ""))
                elif message.get("id") == request["id"]:
                    if amid is not None:
                        await happening
                    return message, "".join(pieces)
            raise GatewayFailed("the gateway closed the connection")
        finally:
            writer.close()


def shown_for(ask: Ask, answer: dict[str, Any], pieces: str) -> Shown:
    if "error" in answer:
        error = answer["error"]
        why = (error.get("data") or {}).get("reason", "")
        shown = Shown(ask, why=why, said=f"“{pieces}” … {error['message']}" if pieces else error["message"])
        return shown if not ask.where and why == ask.why else _wrong(shown)
    by = answer["result"]["_meta"]["io.tidegate/served-by"]
    before = tuple(f"{one['tool']}: {one['outcome']}" for one in by["attempts"][:-1])
    said = answer["result"]["content"][0]["text"]
    shown = Shown(ask, by["tool"], by["where"], by["why"], by["duration_ms"], before, said)
    return shown if (shown.where, shown.why) == (ask.where, ask.why) else _wrong(shown)


def _wrong(shown: Shown) -> Shown:
    ask = shown.ask
    values = {name: getattr(shown, name) for name in ("tool", "where", "why", "duration_ms", "before", "said")}
    return Shown(ask, **values, wrong=f"it should have been {ask.where or 'an error'}, {ask.why}")


def set_heat(sysfs: Path, degrees_c: int) -> None:
    """A box on its battery, so that the model leaves a core to others."""
    files = {
        "thermal/thermal_zone0": {"type": "cpu-thermal", "temp": str(degrees_c * 1000)},
        "power_supply/BAT0": {"type": "Battery", "present": "1", "status": "Discharging", "capacity": "80"},
    }
    for place, values in files.items():
        folder = sysfs / "class" / place
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in values.items():
            (folder / name).write_text(f"{value}\n", encoding="ascii")


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    cloud = FakeCloud(says=lambda body: "Paris is the capital of France, says the cloud.")
    with tempfile.TemporaryDirectory(prefix="tg-") as folder:
        sysfs = Path(folder)
        set_heat(sysfs, COOL_C)
        await cloud.come()
        try:
            with gateway(CONFIGURATION.format(sysfs=sysfs, cloud=cloud.url, key=KEY)) as gate:
                yield Stage(gate, cloud, sysfs)
        finally:
            await cloud.go()


async def play() -> AsyncIterator[Happens | Shown | Verdict]:
    """Each thing that happens, when it has; each question, when it is answered; at the end what to make of it."""
    asked = 0
    async with stage() as now:
        for move in MOVES:
            if isinstance(move, Happens):
                yield move
                await getattr(now, move.how)()
            else:
                asked += 1
                yield await now.ask(move)
        seen = [one.raw for one in now.cloud.asked]
    leaked = sum(SECRET.encode() in raw for raw in seen)
    wrong = f"the cloud saw {leaked} of the private questions" if leaked else ""
    yield Verdict(f"{asked} questions; the cloud saw {len(seen)} of them, and none of the private ones", wrong)

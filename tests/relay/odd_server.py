"""A scripted server that answers at once, and oddly: in the way that each call's own arguments name.

Nothing depends on time or on the gateway's ids, so the same calls always get the same answers.
"""

from __future__ import annotations

from scripted_server import Received, ScriptedServer, dump, tool

LONG = "tide " * 700
"""Worth compressing."""
HUGE = "high water " * 7000


class OddServer(ScriptedServer):
    """Holds what it was told to hold, until `release`."""

    def __init__(self, era: str, name: str = "one") -> None:
        super().__init__(era, name, tools=(tool("echo"), tool("other")))
        self.held: list[Received] = []

    def serve(self, received: Received) -> None:
        if received.method not in ("tools/call", "prompts/get", "resources/read"):
            super().serve(received)
            return
        arguments = received.params.get("arguments")
        ways = arguments.get("do", "ok") if isinstance(arguments, dict) else "ok"
        if ways == "hold":
            self.held.append(received)
            return
        for way in str(ways).split("+"):
            self.act(received, way)

    def release(self, which: int, way: str) -> None:
        """Answers one of those that were held."""
        if self.held:
            self.act(self.held.pop(which % len(self.held)), way)

    def result(self, received: Received, more: bytes = b"") -> bytes:
        """A good one, for the method."""
        kind = b'"resultType":"complete",' if self.era == "modern" else b""
        if received.method == "prompts/get":
            return b"{" + kind + b'"messages":[]' + more + b"}"
        if received.method == "resources/read":
            hints = b'"ttlMs":0,"cacheScope":"private",' if self.era == "modern" else b""
            return b"{" + kind + hints + b'"contents":[]' + more + b"}"
        return b"{" + kind + b'"content":[{"type":"text","text":"x"}]' + more + b"}"

    def act(self, received: Received, way: str) -> None:
        result = self.result(received)
        own_id = dump(received.id)
        plain = {
            "ok": result,
            "tool-error": self.result(received, b',"isError":true'),
            "tool-error-inside": self.result(received, b',"structuredContent":{"isError":true}'),
            "long": self.result(received, b',"x":"' + LONG.encode() + b'"'),
            "huge": self.result(received, b',"x":"' + HUGE.encode() + b'"'),
            "spaced": b"{ " + result[1:-1].replace(b",", b" ,  ") + b" }",
            "structured": self.result(received, b',"structuredContent":{"a":1.0}'),
            "link": self.result(received, b',"content2":[{"type":"resource_link","uri":"x:y","name":"z"}]'),
            "meta": self.result(received, b',"_meta":{"io.modelcontextprotocol/x":1,"a":null}'),
            "asks": b'{"resultType":"input_required","inputRequests":{"q":{"method":"roots/list"}},"requestState":"s"}',
            "other-type": b'{"resultType":"odd","content":[]}',
            "typed": b'{"resultType":"complete","content":[]}',
            "untyped": b'{"content":[]}',
            "task-type": b'{"resultType":"task","taskId":"t"}',
            "array": b"[1]",
            "text": b'"x"',
            "null": b"null",
            "empty": b"{}",
            "twice-keyed": b'{"content":[],"content":[]}',
        }
        if way in plain:
            received.say(b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (own_id, plain[way]), last=True)
        elif way == "id-last":
            received.say(b'{"result":%b, "jsonrpc":"2.0","id":%b}' % (result, own_id), last=True)
        elif way == "extra":
            received.say(b'{"jsonrpc":"2.0","id":%b,"result":%b,"x":[1.0]}' % (own_id, result), last=True)
        elif way == "both":
            error = b'{"code":1,"message":"m"}'
            received.say(b'{"jsonrpc":"2.0","id":%b,"result":%b,"error":%b}' % (own_id, result, error), last=True)
        elif way == "no-version":
            received.say(b'{"id":%b,"result":%b}' % (own_id, result), last=True)
        elif way == "error":
            received.fail(-32050, "no luck", {"why": [1]})
        elif way == "error-odd":
            received.say(b'{"jsonrpc":"2.0","id":%b,"error":{"code":"x"}}' % own_id, last=True)
        elif way == "text-id":
            received.say(b'{"jsonrpc":"2.0","id":"%b","result":%b}' % (own_id, result), last=True)
        elif way == "float-id":
            received.say(b'{"jsonrpc":"2.0","id":%b.0,"result":%b}' % (own_id, result), last=True)
        elif way == "other-id":
            received.say(b'{"jsonrpc":"2.0","id":987654,"result":%b}' % result)
        elif way == "garbage":
            received.say(b'{"jsonrpc":"2.0","id":%b,"result":' % own_id)
        elif way == "log":
            received.notify("notifications/message", {"level": "error", "data": "x"})
        elif way == "progress":
            received.notify("notifications/progress", {"progressToken": received.id, "progress": 1})
        elif way == "unknown":
            received.notify("notifications/odd", {"a": 1.0})
        elif way == "ping":
            received.ask("ping", {})
        elif way == "elicit":
            received.ask("elicitation/create", {"message": "?", "requestedSchema": {"type": "object"}})
        elif way == "changed":
            received.notify("notifications/tools/list_changed", None)
        elif way == "hang-up":
            received.channel.hang_up()
        else:
            # Traffic is damaged on purpose, the names of ways with it.
            received.fail(-32099, "unknown way")


ENDINGS = (
    *("ok",) * 24, "tool-error", "tool-error-inside", "long", "huge", "spaced", "structured", "link", "meta", "asks",
    "other-type", "typed", "untyped", "task-type", "array", "text", "null", "empty", "twice-keyed", "id-last", "extra",
    "both", "no-version", "error", "error-odd", "text-id", "float-id", "garbage",
)  # fmt: skip
"""How a call may end, or fail to."""
ASIDES = ("log", "progress", "unknown", "ping", "elicit", "other-id", "garbage", "changed")
"""What may be said before or after that."""

"""Statistics of gateways in every condition, for what is made of them: sentences, tables, live pictures."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

WIDE = "漢字サーバー"
ESCAPE = "evil\x1b[2J\x1b]0;owned\x07‮name"


def slot(state: str = "ready", **more: Any) -> dict[str, Any]:
    return {
        "serves": "shared",
        "why": "nothing can be asked of them",
        "state": state,
        "since_s": 125.0,
        "next_attempt_s": None,
        "error": None,
        "era": "session",
        "revision": "2025-11-25" if state == "ready" else None,
        "in_flight": 0,
        "waiting": 0,
        "restarts": 0,
        "offers": {"tools": 7},
        "warnings": [],
        "link": {"pid": 4711, "running": True, "stderr": [], "memory_bytes": 48_000_000} if state == "ready" else {},
        **more,
    }


def backend(name: str, *slots: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "backend": name,
        "transport": "stdio",
        "isolation": "auto",
        "keeps_session": True,
        "own_connections": 0,
        "max_connections": 16,
        "queued": 0,
        "catalogue": "live",
        "limits": {"max_in_flight": 64, "max_queued": 256},
        "slots": list(slots),
        **more,
    }


def statistics(*backends: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "version": "0.1.0",
        "ready": True,
        "pid": 811,
        "uptime_s": 4 * 86400 + 3600.0,
        "memory_bytes": 41_000_000,
        "limits": {"in_flight": 1024, "sessions": 4096},
        "listen": {"http": ["http://127.0.0.1:8808/mcp"], "unix": "/run/tidegate/tidegate.sock"},
        "connections": {"open": 4, "limit": 2048, "served_total": 40, "refused_total": 0},
        "sessions": 2,
        "listeners": 1,
        "in_flight": 3,
        "suspended": {"calls": 0, "limit": 256},
        "backends": list(backends),
        **more,
    }


DOWN = slot("down", error="backend `web`: connection refused", next_attempt_s=12.4, restarts=2)
PARKED = slot("parked", error="backend `mail` exited with status 3", next_attempt_s=540.0, restarts=5)
LONG = ["x" * 3000, "Traceback (most recent call last):", ESCAPE, f"{WIDE} " * 60]

CONDITIONS = {
    "well": statistics(backend("files", slot()), backend("host", slot(), transport="builtin")),
    "nothing behind it": statistics(),
    "one down": statistics(backend("files", slot()), backend("web", DOWN)),
    "one parked": statistics(backend("files", slot()), backend("mail", PARKED, catalogue="remembered")),
    "all down": statistics(backend("web", DOWN), backend("mail", PARKED)),
    "long stderr": statistics(
        backend("files", slot(link={"pid": 1, "running": True, "stderr": LONG, "memory_bytes": 10**9}))
    ),
    "wide names": statistics(backend(WIDE, slot()), backend(ESCAPE, DOWN), backend("n" * 300, slot())),
    "twelve": statistics(*[backend(f"server-number-{at}", slot() if at % 3 else DOWN) for at in range(12)]),
    "busy": statistics(
        backend("files", slot(in_flight=64), queued=256),
        backend("web", slot(in_flight=64), queued=3),
        in_flight=1024,
        connections={"open": 2048, "limit": 2048, "refused_total": 17},
    ),
    "partly": statistics(backend("web", slot(restarts=3, since_s=60.0), DOWN, slot("starting", since_s=3.0))),
    "starting": statistics(backend("web", slot("starting", since_s=4.0)), backend("idle")),
    "models": statistics(
        backend(
            "vision", slot(), models=[{"path": f"/no/such/{name}", "shipped": False} for name in ("a", WIDE, ESCAPE)]
        ),
        backend("texts", models=[{"path": "no-such-model", "shipped": True}]),
    ),
    "stopping": statistics(backend("files", slot()), ready=False),
}

_odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _mostly(known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(known, known, known, _odd)


_slots = st.fixed_dictionaries(
    {},
    optional={
        "state": _mostly(st.sampled_from(("ready", "starting", "down", "parked", "idle"))),
        "since_s": _mostly(st.floats(0, 1e9)),
        "next_attempt_s": _mostly(st.floats(0, 1e4)),
        "error": _mostly(st.text(max_size=200)),
        "revision": _mostly(st.text(max_size=12)),
        "in_flight": _mostly(st.integers(0, 100)),
        "waiting": _mostly(st.integers(0, 100)),
        "restarts": _mostly(st.integers(0, 100)),
        "offers": _mostly(st.dictionaries(st.just("tools"), st.integers(0, 99))),
        "warnings": _mostly(st.lists(st.text(max_size=100), max_size=2)),
        "serves": _mostly(st.text(max_size=12)),
        "why": _mostly(st.text(max_size=100)),
        "link": _mostly(
            st.fixed_dictionaries(
                {},
                optional={
                    "pid": _mostly(st.integers(1, 2**22)),
                    "running": _odd,
                    "memory_bytes": _mostly(st.integers(0, 2**40)),
                    "stderr": _mostly(st.lists(st.text(max_size=300), max_size=5)),
                },
            )
        ),
    },
)

_backends = st.fixed_dictionaries(
    {},
    optional={
        "backend": _mostly(st.text(max_size=40)),
        "transport": _mostly(st.just("stdio")),
        "catalogue": _mostly(st.sampled_from(("live", "remembered"))),
        "queued": _mostly(st.integers(0, 1000)),
        "limits": _mostly(st.fixed_dictionaries({"max_in_flight": st.integers(0, 99), "max_queued": _odd})),
        "slots": _mostly(st.lists(_mostly(_slots), max_size=3)),
        "at_work": _mostly(st.lists(_mostly(st.text(max_size=15)), max_size=2)),
        "models": _mostly(
            st.lists(_mostly(st.fixed_dictionaries({"path": st.text(max_size=9), "shipped": _odd})), max_size=2)
        ),
    },
)

odd_statistics: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "backends": _mostly(st.lists(_mostly(_backends), max_size=4)),
        **dict.fromkeys(
            ("version", "pid", "uptime_s", "memory_bytes", "ready", "listen", "sessions", "listeners"), _odd
        ),
        **dict.fromkeys(("in_flight", "suspended", "connections", "limits", "configuration"), _odd),
    },
)
"""What no gateway says, or not this one: members missing, of another type, out of all bounds."""

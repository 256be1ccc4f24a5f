"""What an error says of how an attempt ended, by its slug, whoever wrote it: the gateway, a worker, a plugin.

A slug that stands in no table is a failure of that one call.
"""

from __future__ import annotations

from typing import Final

from tidegate.pipeline.capabilities.decision import Ended

FINAL: Final = frozenset(("ambiguous_call", "filter_failed", "unauthorized", "rate_limited", "too_deep", "too_large"))
"""What has nothing to do with the tool, or must not be got round by asking another one."""
_WAITED: Final = frozenset(("overloaded", "model_busy", "upstream_busy", "plugin_busy"))
_UNREACHED: Final = frozenset(("upstream_unreachable", "upstream_closed"))
_TIMED_OUT: Final = frozenset(("upstream_timeout", "model_deadline", "plugin_deadline"))
_NO_MEMORY: Final = frozenset(("model_out_of_memory", "plugin_out_of_memory", "no_memory"))
_MISSING: Final = frozenset(("model_missing", "model_refused", "unknown_tool"))


def how_ended(slug: str) -> Ended:
    if slug in _WAITED:
        return "withdrawn"
    if slug in _UNREACHED:
        return "unreached"
    if slug in _TIMED_OUT:
        return "timeout"
    if slug in _NO_MEMORY:
        return "no_memory"
    return "missing" if slug in _MISSING else "failed"

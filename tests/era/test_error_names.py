"""Errors of the gateway's own as a client reads them: where the code says nothing, `data.reason` does."""

from __future__ import annotations

import json

import pytest

from tidegate.errors import (
    CapabilityFailed,
    FilterFailed,
    InvalidParams,
    Overloaded,
    QuestionUnanswered,
    TidegateError,
    UnsupportedProtocolVersion,
    UpstreamBusy,
    UpstreamClosed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tidegate.pipeline.era.wire import error_message


@pytest.mark.parametrize("stateless", [True, False])
@pytest.mark.parametrize(
    ("error", "data"),
    [
        (UpstreamClosed("it died"), {"reason": "upstream_closed"}),
        (UpstreamTimeout("too slow"), {"reason": "upstream_timeout"}),
        (UpstreamUnreachable("not there"), {"reason": "upstream_unreachable"}),
        (UpstreamBusy("not now"), {"reason": "upstream_busy"}),
        (TidegateError("it broke"), {"reason": "internal"}),
        (CapabilityFailed("none", data={"reason": "x", "attempts": []}), {"reason": "x", "attempts": []}),
        (FilterFailed("no", data={"filter": "f"}), {"reason": "filter_failed", "filter": "f"}),
        (QuestionUnanswered("no", data={"cause": "c"}), {"reason": "question_unanswered", "cause": "c"}),
        (InvalidParams("no such argument"), None),
        (Overloaded("full"), None),
        (UnsupportedProtocolVersion("1", ("2",)), {"supported": ["2"], "requested": "1"}),
    ],
)
def test_an_error_whose_code_says_nothing_has_its_name_in_data(
    error: TidegateError, data: object, stateless: bool
) -> None:
    shown, code = error_message(b"1", error, stateless=stateless)
    body = json.loads(shown)["error"]
    assert (body["code"], body["message"], body.get("data")) == (code, str(error), data)

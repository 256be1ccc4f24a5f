"""`POST /reload`: the operator's word that the configuration is to be read again.

Answered when what was read is in force, or with the problems of the files, and then nothing has changed. A page in
a browser cannot have it done: whatever names an origin is refused, its own included.
"""

from __future__ import annotations

from tidegate.admin.answer import answer
from tidegate.admin.http import AdminHttp
from tidegate.control.reloading import Outcome, Reloading
from tidegate.pipeline.accept.http_request import HttpRequest


def add_reload_page(pages: AdminHttp, reloading: Reloading) -> None:
    def reload(request: HttpRequest) -> None:
        if "origin" in request.headers or "sec-fetch-site" in request.headers:
            answer(request, 403, {"error": "not for browsers: use `tidegate reload`"})
            return

        def told(outcome: Outcome) -> None:
            answer(request, 422 if outcome.problems else 200, outcome.fields())

        reloading.request("POST /reload", told)

    pages.add("/reload", ("POST",), reload)

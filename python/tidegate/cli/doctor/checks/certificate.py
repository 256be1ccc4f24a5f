"""The TLS certificate of a server is not accepted."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.cli.doctor.case import Case
from tidegate.cli.doctor.check import BackendCheck
from tidegate.cli.doctor.finding import Finding
from tidegate.config.snapshot import Backend


def _look(case: Case, backend: Backend) -> Iterator[Finding]:
    visit = case.visits[backend.name]
    if visit.step != "tls":
        return
    key = "openai" if backend.transport == "openai" else "url"
    host = visit.address.rpartition(":")[0]
    reason = visit.failed.lower()
    show = f"openssl s_client -connect {visit.address} -servername {host} </dev/null"
    paste: tuple[str, ...]
    if "expired" in reason or "not yet valid" in reason:
        fix, paste = "see whether the clock of this box is right; if it is, the server needs a new one", ("date", show)
    elif "self-signed" in reason or "self signed" in reason or "unable to get" in reason:
        fix = "have this box trust whoever signed it"
        paste = ("cp their-ca.pem /usr/local/share/ca-certificates/their-ca.crt", "update-ca-certificates")
    elif "hostname mismatch" in reason or "doesn't match" in reason or "ip address mismatch" in reason:
        fix, paste = f"write the name that the certificate is for into `{key}`", (show,)
    elif "wrong version number" in reason or "record layer" in reason or "wrong_version_number" in reason:
        fix = "it speaks no TLS there: write `http://`, or the port that does"
        paste = (f'{key} = "http://{visit.address}/{"v1" if key == "openai" else "mcp"}"',)
    else:
        fix, paste = "see what the server presents", (show,)
    yield Finding(
        "error",
        f"the TLS connection to `{visit.address}` fails",
        f"shook hands as the gateway does: {case.quote(visit.failed)}",
        "the gateway sends no request, and no token, over a connection that it cannot trust",
        fix,
        paste,
    )


CHECK = BackendCheck(
    "certificate",
    "certificates of servers reached by https are accepted",
    lambda case, backend: backend.url.startswith("https:"),
    _look,
    needs="visit",
)

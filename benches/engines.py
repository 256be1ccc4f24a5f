"""What stands between the load and the backend, and the backend: each started as a process of its own."""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import time
from pathlib import Path

from machine import HERE, TREE, run
from processes import WORK, Process, announced
from wire import TOKEN

_ROOM = """
connections = 4096
sessions = 4096
in_flight = 4096
"""
LIMITS = f"""
[limits]
rate_per_s = 0{_ROOM}"""
"""No token, no rate limit."""
GUARDED = f"""
[limits]
rate_per_s = 1000000
burst = 1000000{_ROOM}
[clients.bench]
token_sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
tools = ["other_*", "ec*"]
"""
"""A token, patterns over tools, and a rate that is counted and never reached."""


def build() -> None:
    """Compiles the backend and the loads, when they are older than their source."""
    WORK.mkdir(exist_ok=True)
    for name in ("echo_server", "line_load", "http_load"):
        source, program = HERE / f"{name}.rs", WORK / name
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            run("rustc", "-O", "--edition", "2024", "-o", program, source)


def echo_server(kind: str, tools: int = 2, text_bytes: int = 0) -> tuple[Process, int]:
    """The backend and its port. `kind`: http, http-session or tcp. `text_bytes`: of what `echo` answers, at least."""
    process = Process(WORK / "echo_server", kind, str(tools), str(text_bytes), says=True)
    return process, int(process.said)


def stdio_table(tools: int = 2) -> str:
    return f"command = {json.dumps([str(WORK / 'echo_server'), 'stdio', str(tools)])}"


def gateway(
    name: str, backend: str, *flags: str, tcp: bool = False, admin: bool = False, config: str = LIMITS
) -> Process:
    """A daemon with one backend; `backend` is the body of its table, `config` all the other tables."""
    file = WORK / f"{name}.toml"
    file.write_text(f"{config}\n[backends.bench]\n{backend}\nmax_in_flight = 4096\n")
    where = ["--http", "127.0.0.1:0", "--unix", "", "--admin", "127.0.0.1:0" if admin else ""]
    listens = [*where, "--tcp", "127.0.0.1:0"] if tcp else where
    serve = (sys.executable, "-m", "tidegate", "serve", "--config", file)
    return Process(*serve, *listens, *flags, says=True, environment=python_path())


def python_path() -> dict[str, str]:
    return {"PYTHONPATH": str(TREE / "python")}


def http_url(process: Process) -> str:
    urls = announced(process)["http"]
    assert isinstance(urls, list)
    return str(urls[0])


def tcp_port(process: Process) -> int:
    addresses = announced(process)["tcp"]
    assert isinstance(addresses, list)
    return int(str(addresses[0]).rpartition(":")[2])


def forwarder(backend_port: int) -> tuple[Process, int]:
    port = free_port()
    return Process(sys.executable, HERE / "forwarder.py", str(port), str(backend_port), says=True), port


UNBUFFERED = (
    "proxy_buffering off; proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 64k; "
    "proxy_max_temp_file_size 0;"
)
"""For `nginx`. Its default puts what the client has not yet taken of a large answer into a file."""


def nginx(backend_port: int, settings: str = "") -> tuple[Process, int]:
    """`settings` belong into its block `http`."""
    port = free_port()
    process = Process("nginx", *nginx_flags(WORK, port, backend_port, settings=settings))
    try:
        wait_port(port)
    except BaseException:
        process.end()
        raise
    finally:
        (WORK / f"nginx_{port}.conf").unlink()
    return process, port


def nginx_flags(folder: Path, port: int, backend_port: int, main: str = "", settings: str = "") -> list[str | Path]:
    """One worker that passes HTTP on over kept-alive connections, without access log: the least a hop costs."""
    file, log = folder / f"nginx_{port}.conf", folder / "nginx.log"
    file.write_text(f"""
daemon off; worker_processes 1; pid {folder}/nginx_{port}.pid; error_log {log}; {main}
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; {settings}
  upstream backend {{ server 127.0.0.1:{backend_port}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
""")
    return ["-e", log, "-p", folder, "-c", file]


def wait_port(port: int) -> None:
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise TimeoutError(f"nothing listens on {port}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def has_relay() -> bool:
    """Whether this tree's gateway has a relay that can be turned off."""
    return "--no-relay" in run(sys.executable, "-m", "tidegate", "serve", "--help", environment=python_path())

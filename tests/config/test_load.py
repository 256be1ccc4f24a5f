"""Files to a snapshot: what they mean, how they are laid over each other, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.config.embedded import default_snapshot
from tidegate.config.load import load
from tidegate.config.problems import Problem, problems_of
from tidegate.config.snapshot import Backend, Client, Grants, Secret, Snapshot
from tidegate.errors import ConfigError

ENVIRON = {"XDG_RUNTIME_DIR": "/run/user/7"}

HASH = "a" * 64


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def snapshot_of(tmp_path: Path, text: str, name: str = "tidegate.toml") -> Snapshot:
    return load([write(tmp_path / name, text)], ENVIRON).snapshot


def mistakes(tmp_path: Path, text: str, name: str = "tidegate.toml") -> list[str]:
    """Line, key and message of each problem."""
    file = write(tmp_path / name, text)
    with pytest.raises(ConfigError) as caught:
        load([file], ENVIRON)
    assert all(problem.file == file for problem in problems_of(caught.value))
    return [f"{problem.line}: {problem.key}: {problem.message}" for problem in problems_of(caught.value)]


def test_an_empty_file_is_the_embedded_default(tmp_path: Path) -> None:
    snapshot = snapshot_of(tmp_path, "")
    assert snapshot.listen == default_snapshot(ENVIRON).listen
    assert snapshot.limits == default_snapshot(ENVIRON).limits
    host, *others = snapshot.backends
    plugins = [one for one in others if not one.models]
    assert snapshot.backends == default_snapshot(ENVIRON).backends
    assert host == Backend(name="host", transport="builtin", address="host", prefix="")
    # Those of a build without the compilers for them are not there.
    assert all(one.plugin is not None and one.plugin.shipped for one in plugins)
    assert all(one.plugin is not None and one.plugin.grants == Grants() for one in plugins)
    assert snapshot.sources == (str(tmp_path / "tidegate.toml"),)


def test_a_file_that_names_backends_replaces_the_built_in_one(tmp_path: Path) -> None:
    assert [backend.name for backend in snapshot_of(tmp_path, "[backends.a]\nurl = 'http://h/mcp'").backends] == ["a"]
    assert snapshot_of(tmp_path, "[backends]").backends == ()


def test_each_way_to_reach_a_backend_gives_its_transport(tmp_path: Path) -> None:
    snapshot = snapshot_of(
        tmp_path,
        """
        [backends]
        listed.command = ["npx", "-y", "x"]
        apart.command = "npx"
        apart.args = ["-y", "x"]
        web.url = "https://h.example/mcp"
        old.url = "https://h.example/sse"
        old.transport = "sse"
        line.tcp = "device:7000"
        local.unix = "/run/x.sock"
        box.builtin = "host"
        """,
    )
    assert {
        backend.name: (backend.transport, backend.command, backend.url, backend.address)
        for backend in snapshot.backends
    } == {
        "listed": ("stdio", ("npx", "-y", "x"), "", ""),
        "apart": ("stdio", ("npx", "-y", "x"), "", ""),
        "web": ("http", (), "https://h.example/mcp", ""),
        "old": ("sse", (), "https://h.example/sse", ""),
        "line": ("tcp", (), "", "device:7000"),
        "local": ("unix", (), "", "/run/x.sock"),
        "box": ("builtin", (), "", "host"),
    }


def test_every_key_of_a_backend_reaches_the_snapshot(tmp_path: Path) -> None:
    snapshot = snapshot_of(
        tmp_path,
        """
        [backends.files]
        command = "server"
        env = { A = "1" }
        cwd = "/srv"
        prefix = "f."
        aliases = { read_file = "read" }
        include = ["read_*"]
        exclude = ["write_*"]
        descriptions = { read_file = "Reads." }
        isolation = "session"
        enabled = false
        call_timeout_s = 1
        start_timeout_s = 2.5
        probe_timeout_s = 3
        max_in_flight = 5
        """,
    )
    assert snapshot.backends == (
        Backend(
            name="files",
            transport="stdio",
            command=("server",),
            env=(("A", Secret("1")),),
            cwd="/srv",
            prefix="f.",
            aliases=(("read_file", "read"),),
            include=("read_*",),
            exclude=("write_*",),
            descriptions=(("read_file", "Reads."),),
            isolation="session",
            enabled=False,
            call_timeout_s=1,
            start_timeout_s=2.5,
            probe_timeout_s=3,
            max_in_flight=5,
        ),
    )


def test_listeners_clients_and_limits_reach_the_snapshot(tmp_path: Path) -> None:
    snapshot = snapshot_of(
        tmp_path,
        f"""
        [listen]
        http = "0.0.0.0:8808"
        tcp = [":7000", "[::1]:0"]
        unix = ""
        unix_mode = "0660"
        admin = ""
        allowed_hosts = ["Box.local"]
        allowed_origins = ["https://Console.example"]
        [limits]
        depth = 32
        rate_per_s = 0
        [clients.laptop]
        token_sha256 = "{HASH.upper()}"
        tools = ["files__*"]
        prompts = []
        rate_per_s = 2
        """,
    )
    listen = snapshot.listen
    assert (listen.http, listen.tcp) == (("0.0.0.0:8808",), ("127.0.0.1:7000", "[::1]:0"))
    assert (listen.unix, listen.unix_mode, listen.admin) == ("", 0o660, "")
    assert (listen.allowed_hosts, listen.allowed_origins) == (("box.local",), ("https://console.example",))
    assert (snapshot.limits.depth, snapshot.limits.rate_per_s) == (32, 0)
    assert snapshot.clients == (
        Client(name="laptop", token_sha256=HASH, tools=("files__*",), prompts=(), rate_per_s=2),
    )


def test_later_files_win_key_by_key(tmp_path: Path) -> None:
    first = write(
        tmp_path / "a.toml",
        "[listen]\nhttp = ['127.0.0.1:1']\nadmin = '127.0.0.1:2'\n"
        "[backends.x]\ncommand = ['p', 'q']\nenv = {A = '1', B = '2'}",
    )
    second = write(
        tmp_path / "b.toml",
        "listen.http = '127.0.0.1:3'\n[backends.x]\nenv.B = '3'\ncwd = '/'\n[backends.y]\ntcp = 'h:1'",
    )
    snapshot = load([first, second], ENVIRON).snapshot
    assert (snapshot.listen.http, snapshot.listen.admin) == (("127.0.0.1:3",), "127.0.0.1:2")
    x, y = snapshot.backends
    assert (x.command, x.env, x.cwd) == (("p", "q"), (("A", Secret("1")), ("B", Secret("3"))), "/")
    assert y.address == "h:1"
    assert snapshot.sources == (first, second)


def test_a_later_file_may_reach_a_backend_in_another_way(tmp_path: Path) -> None:
    first = write(tmp_path / "a.toml", "[backends.x]\ncommand = 'p'\nargs = ['q']\ntransport = 'stdio'\nprefix = 'p'")
    second = write(tmp_path / "b.toml", "[backends.x]\nurl = 'http://h/'")
    (backend,) = load([first, second], ENVIRON).snapshot.backends
    assert (backend.transport, backend.url, backend.command, backend.prefix) == ("http", "http://h/", (), "p")


def test_a_toml_file_and_a_desktop_file_make_one_configuration(tmp_path: Path) -> None:
    toml = write(tmp_path / "tidegate.toml", "[backends.a]\nurl = 'http://h/'")
    desktop = write(tmp_path / "desktop.json", '{"mcpServers": {"b": {"command": "p"}}}')
    assert [backend.name for backend in load([toml, desktop], ENVIRON).snapshot.backends] == ["a", "b"]


def test_a_problem_says_in_which_of_several_files_it_is(tmp_path: Path) -> None:
    first = write(tmp_path / "a.toml", "[backends.x]\ncommand = 'p'")
    second = write(tmp_path / "b.toml", "\n[backends.x]\nmax_in_flight = 0")
    with pytest.raises(ConfigError) as caught:
        load([first, second], ENVIRON)
    assert problems_of(caught.value) == [Problem(second, 3, "backends.x.max_in_flight", "expected at least 1, got 0")]


def test_the_message_is_file_line_key_and_what_was_expected(tmp_path: Path) -> None:
    file = write(tmp_path / "tidegate.toml", "# one\n[backends.files]\ncommand = 3\n")
    with pytest.raises(ConfigError) as caught:
        load([file], ENVIRON)
    assert str(caught.value) == f"{file}:3: backends.files.command: expected a list of strings, got 3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[backends.a]\nargs = ['x']",
            ["1: backends.a: expected one of", "2: backends.a.args: expected `command` beside"],
        ),
        ("[backends.a]\ncommand = 'x'\nurl = 'http://h/'", ["3: backends.a.url: expected one way to reach"]),
        (
            "[backends.a]\ntcp = 'h:1'\ntransport = 'http'",
            ['3: backends.a.transport: expected "tcp" (or nothing) beside'],
        ),
        ("[backends.a]\nurl = 'http://h/'\ntransport = 'ws'", ['3: backends.a.transport: expected "stdio", ']),
        ("[backends.a]\ncommand = []", ["2: backends.a.command: expected a list that is not empty"]),
        ("[backends.a]\ncommand = ['p', 1]", ["2: backends.a.command[1]: expected a string, got 1"]),
        ("[backends.a]\ncommand = 'p'\nenv = ['A']", ["3: backends.a.env: expected a table of strings, got a list"]),
        (
            "[backends.a]\ncomand = 'p'",
            ["1: backends.a: expected one of", "2: backends.a.comand: unknown key; did you mean `command`?"],
        ),
        ("[backends.A]\ncommand = 'p'", ["1: backends.A: expected a name"]),
        ("[backends.a__b]\ncommand = 'p'", ["1: backends.a__b: expected a name"]),
        (f"[backends.{'a' * 33}]\ncommand = 'p'", [f"1: backends.{'a' * 33}: expected a name"]),
        ("[backends.a]\nurl = 'ftp://h/'", ["2: backends.a.url: expected `http://` or `https://`"]),
        ("[backends.a]\ntcp = 'h'", ["2: backends.a.tcp: expected `host:port`"]),
        ("[backends.a]\ntcp = 'h:0'", ["2: backends.a.tcp: expected the port"]),
        ("[backends.a]\nunix = 'x.sock'", ["2: backends.a.unix: expected an absolute path"]),
        ("[backends.a]\nbuiltin = 'moon'", ['2: backends.a.builtin: expected "host", got "moon"']),
        ("backends = 3", ["1: backends: expected a table, got 3"]),
        ("backends.a = 'p'", ["1: backends.a: expected a table, got a string"]),
        (
            "[backends.a]\nurl = 'http://h/'\nheaders = {Content-Length = '1'}",
            ["3: backends.a.headers.Content-Length: expected a header"],
        ),
        ("[backends.a]\nurl = 'http://h/'\nheaders = {X = \"a\\nb\"}", ["3: backends.a.headers.X: expected one line"]),
        ("[listen]\nhttp = ['nowhere']", ["2: listen.http[0]: expected `host:port`"]),
        ("[listen]\nhttp = ':1'\nadmin = ':1'", ["3: listen.admin: expected an address of its own"]),
        ("[listen]\nunix_mode = 600", ["2: listen.unix_mode: expected a file mode"]),
        (f"[listen]\nunix = '/{'x' * 110}'", ["2: listen.unix: expected a path of at most 107 bytes"]),
        ("[listen]\nallowed_hosts = ['http://x']", ["2: listen.allowed_hosts[0]: expected a host name"]),
        ("[listen]\nallowed_origins = ['x']", ["2: listen.allowed_origins[0]: expected `scheme://host`"]),
        ("[limits]\ndepth = 1.5", ["2: limits.depth: expected a whole number, got 1.5"]),
        ("[limits]\ndepth = '9'", ["2: limits.depth: expected a whole number, got a string"]),
        ("[limits]\nhead_timeout_s = inf", ["2: limits.head_timeout_s: expected"]),
        ("[limits]\nhead_timeout_s = 0", ["2: limits.head_timeout_s: expected more than 0, got 0"]),
        ("[limit]\n", ["1: limit: unknown key; did you mean `limits`?"]),
        ("[clients.a]\ntools = ['*']", ["1: clients.a.token_sha256: expected it to be given"]),
        ("[clients.a]\ntoken_sha256 = 'tg_x'", ["2: clients.a.token_sha256: expected 64 hexadecimal digits"]),
        (
            f"[clients.a]\ntoken_sha256 = '{HASH}'\n[clients.b]\ntoken_sha256 = '{HASH}'",
            ["4: clients.b.token_sha256: expected a token of its own; client `a` has the same"],
        ),
        (
            "[backends.a]\ntcp = 'h:1'\naliases = {x = 'same'}\n[backends.b]\ntcp = 'h:2'\naliases.y = 'same'",
            ["6: backends.b.aliases.y: expected a name of its own; `same` is already the alias of `x` of backend `a`"],
        ),
        ("[backends.a\n", ["1: : not TOML:"]),
        ("a = 1\n\na = 2\n", ["3: : not TOML:"]),
    ],
)
def test_a_mistake_is_reported_with_its_line_its_key_and_what_was_expected(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    found = mistakes(tmp_path, text)
    assert len(found) == len(expected)
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)


def test_all_mistakes_of_all_files_are_reported_together(tmp_path: Path) -> None:
    first = write(tmp_path / "a.toml", "[limits]\ndepth = 'x'\n[backends.x]\n")
    second = write(tmp_path / "b.json", '{"mcpServers": {"y": {"command": "${NOPE}"}}}')
    missing = str(tmp_path / "c.toml")
    with pytest.raises(ConfigError) as caught:
        load([first, second, missing], ENVIRON)
    assert [(problem.file, problem.line, problem.key) for problem in problems_of(caught.value)] == [
        (first, 2, "limits.depth"),
        (first, 3, "backends.x"),
        (second, 1, "mcpServers.y.command"),
        (missing, 0, ""),
    ]


@pytest.mark.parametrize("key", ["http", "tcp"])
def test_a_public_address_without_clients_is_refused_and_the_message_names_the_ways_out(
    tmp_path: Path, key: str
) -> None:
    (mistake,) = mistakes(tmp_path, f"[listen]\n{key} = ['127.0.0.1:1', '0.0.0.0:2']")
    assert mistake.startswith(f"2: listen.{key}[1]: `0.0.0.0:2` is reachable from other machines")
    assert "tidegate token new" in mistake
    assert "allow_public = true" in mistake
    assert snapshot_of(tmp_path, f"[listen]\n{key} = '0.0.0.0:2'\nallow_public = true").listen.allow_public
    assert snapshot_of(tmp_path, f"[listen]\n{key} = '0.0.0.0:2'\n[clients.a]\ntoken_sha256 = '{HASH}'").clients


def test_clients_do_not_make_a_public_admin_address_safe(tmp_path: Path) -> None:
    (mistake,) = mistakes(tmp_path, f"[listen]\nadmin = '[::]:1'\n[clients.a]\ntoken_sha256 = '{HASH}'")
    assert mistake.startswith("2: listen.admin: `[::]:1` is reachable")


def test_an_open_door_is_reported_beside_other_mistakes(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "[listen]\nhttp = '0.0.0.0:1'\n[backends.a]\ncommand = 1")
    assert [line.partition(" ")[0] for line in found] == ["2:", "4:"]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = '\xe9'"])
def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="expected UTF-8 text"):
        load([str(file)], ENVIRON)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_bytes(b"\xef\xbb\xbf[limits]\ndepth = 9\n")
    assert load([str(file)], ENVIRON).snapshot.limits.depth == 9


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    file = write(tmp_path / "tidegate.toml", "#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="at most 1048576 bytes"):
        load([file], ENVIRON)


@pytest.mark.parametrize("text", ["a = " + "[" * 5000 + "]" * 5000, "a = " + "9" * 5000])
def test_hostile_toml_is_a_problem_and_not_a_crash(tmp_path: Path, text: str) -> None:
    assert mistakes(tmp_path, text)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' + "9" * 5000 + "}", "{", '{"mcpServers": NaN}', "{} {}"])
def test_hostile_json_is_a_problem_and_not_a_crash(tmp_path: Path, text: str) -> None:
    assert mistakes(tmp_path, text, "a.json")


def test_a_directory_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load([str(tmp_path)], ENVIRON)


def test_what_does_nothing_is_noted_without_being_refused(tmp_path: Path) -> None:
    loaded = load([write(tmp_path / "a.toml", "[backends.a]\nurl = 'http://h/sse'\nenv = {A = '1'}")], ENVIRON)
    assert [(note.line, note.key) for note in loaded.notes] == [(3, "backends.a.env"), (2, "backends.a.url")]

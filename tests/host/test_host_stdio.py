"""The stand-alone server as the official Python SDK client meets it, in both eras."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError

import tidegate

PYTHON_PATH = str(Path(tidegate.__path__[0]).parent)
COMMAND = [sys.executable, "-m", "tidegate.host"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": PYTHON_PATH}
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'


@pytest.mark.parametrize(
    ("mode", "revision", "not_found"),
    [("legacy", "2025-11-25", -32002), ("auto", "2026-07-28", -32602), ("2026-07-28", "2026-07-28", -32602)],
)
def test_the_official_client_uses_everything(mode: str, revision: str, not_found: int) -> None:
    async def use() -> None:
        server = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env={"PYTHONPATH": PYTHON_PATH})
        with anyio.fail_after(60):
            async with Client(stdio_client(server), mode=mode) as client:
                assert client.protocol_version == revision
                tools = (await client.list_tools()).tools
                assert [tool.name for tool in tools][:2] == ["overview", "load"]
                for tool in tools:  # the client checks structured content against outputSchema
                    result = await client.call_tool(tool.name, {})
                    assert not result.is_error
                    assert result.structured_content is not None
                for resource in (await client.list_resources()).resources:
                    assert (await client.read_resource(resource.uri)).contents
                (template,) = (await client.list_resource_templates()).resource_templates
                assert template.uri_template == "host://disks/{mount}"
                assert (await client.call_tool("processes", {"limit": 99})).is_error
                with pytest.raises(MCPError) as unknown_tool:
                    await client.call_tool("nope", {})
                assert unknown_tool.value.error.code == -32602
                with pytest.raises(MCPError) as unknown_resource:
                    await client.read_resource("host://nope")
                assert unknown_resource.value.error.code == not_found
                with pytest.raises(MCPError) as undeclared:
                    await client.list_prompts()
                assert undeclared.value.error.code == -32601

    anyio.run(use)


def test_it_answers_what_it_was_sent_and_exits_when_stdin_closes() -> None:
    done = subprocess.run(COMMAND, input=PING * 3, capture_output=True, timeout=60, env=ENVIRONMENT, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert [json.loads(line)["result"] for line in done.stdout.splitlines()] == [{}, {}, {}]


def test_it_exits_quietly_when_nobody_reads_its_answers() -> None:
    with subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(PING)
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdout.close()
        process.stdin.write(PING)
        process.stdin.flush()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""

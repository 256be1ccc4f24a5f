"""Facts about the box tidegate runs on, as an MCP server of its own: read-only, no configuration.

The gateway uses it in process (`dialogue.HostDialogue`, backend transport `builtin`); `python -m tidegate.host`
is the same server on stdio. Below it: `errors`, `clock` and the standard library, nothing else, so that it
costs an idle daemon next to nothing.
"""

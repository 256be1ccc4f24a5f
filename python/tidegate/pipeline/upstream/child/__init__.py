"""Processes that serve over their standard streams: how they are started, watched, bounded and ended without a rest.

Imported with `upstream/stdio_child.py`, so by a gateway that has started one. Nothing here knows MCP.
"""

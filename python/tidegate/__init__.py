"""tidegate: the edge MCP gateway."""

from typing import Final

__version__: Final = "0.1.0"

"""The process that serves a set of models: MCP over two pipes, a queue and a thread for each model."""

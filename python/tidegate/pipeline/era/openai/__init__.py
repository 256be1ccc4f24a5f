"""Clients that speak OpenAI's HTTP interface instead of MCP: chat completions, embeddings, the list of models.

What such a client asks for becomes calls of tools of the catalogue, in its own name, with all that belongs to a call.
Off unless the configuration names models; imported when the first such request comes.
"""

"""Filters: plugins that see the calls of chosen tools on their way to the server, and the results on their way back."""

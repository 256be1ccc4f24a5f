"""One subject a file; each is a `host.fact.Fact`."""

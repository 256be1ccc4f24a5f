"""Capabilities: tools of the gateway's own, each served by whichever of several tools can do it now, here or in the
cloud.

`decision.py` says who is asked next, `facts.py` and `locality.py` what that goes by, `serving.py` leads one call
through it, and `upstream/capability.py` is the server that all of it is to the rest of the gateway.
"""

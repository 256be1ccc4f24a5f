"""Runs `tidegate` with idle ends that come after a second instead of a minute: `python soak_hasty.py serve …`.

A server that seems to hang has five seconds to say that it does not, instead of that minute.
"""

from tidegate.cli import main
from tidegate.pipeline.upstream import connection_pool, hung_check, lanes

for module, name, seconds in (
    (connection_pool, "_IDLE_S", 1.0),
    (lanes, "_IDLE_S", 1.0),
    (lanes, "_SWEEP_S", 1.0),
    (hung_check, "_PATIENCE_S", 5.0),
):
    assert hasattr(module, name), f"{module.__name__} has no {name} any more"
    setattr(module, name, seconds)

if __name__ == "__main__":
    raise SystemExit(main())

"""Runs `tidegate` with idle ends that come after a second instead of a minute: `python soak_hasty.py serve …`."""

from tidegate.cli import main
from tidegate.pipeline.upstream import connection_pool, lanes

for module, name in ((connection_pool, "_IDLE_S"), (lanes, "_IDLE_S"), (lanes, "_SWEEP_S")):
    assert hasattr(module, name), f"{module.__name__} has no {name} any more"
    setattr(module, name, 1.0)

if __name__ == "__main__":
    raise SystemExit(main())

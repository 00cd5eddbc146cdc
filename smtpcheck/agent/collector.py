"""CPython's garbage collector in the process of an agent: it looks for cycles among new objects only.

With ten thousand checks a whole collection visits half a million objects, almost all of which stay: settings, reports
and code. It holds the event loop for that long, again every few seconds.

Rules of this file:
- It concerns the whole process, so `smtpcheck run` uses it, which owns its process; an agent inside another program
  leaves the collector alone.
- What survives a whole collection is frozen: the next one does not visit it. Reference counts free it as before.
- Cycles that became garbage after that wait for `settle`: at the start, after a reload, and every few hours.
- Thresholds stay Python's own. Where collections are incremental (a whole one is then never automatic), only `settle`
  freezes.
"""

import gc
from typing import Any

_WHOLE = 2


def keep_pauses_short() -> None:
    """Freeze, from now on, whatever survives a whole collection."""
    if _freeze not in gc.callbacks:
        gc.callbacks.append(_freeze)


def settle() -> None:
    """Free all garbage, also what was frozen before it became garbage; what is left is frozen."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.collect()  # the next whole collection is due by what this one leaves: nothing


def _freeze(phase: str, info: dict[str, Any]) -> None:
    if phase == "stop" and info["generation"] == _WHOLE:
        gc.freeze()

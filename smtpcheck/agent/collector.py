"""CPython's garbage collector in the process of an agent: it looks for cycles among new objects only.

With ten thousand checks a whole collection visits half a million objects, almost all of which stay: settings, reports
and code. It holds the event loop for that long, again every few seconds.

Rules of this file:
- It concerns the whole process, so `smtpcheck run` uses it, which owns its process; an agent inside another program
  leaves the collector alone.
- What survives a whole collection is frozen: the next one does not visit it. Reference counts free it as before, also
  all that a reload replaces.
- Cycles that became garbage after that wait for `settle`: at the start, and every few hours.
- A whole collection visits what is new since the last one, so it is made often: each is short, and all together cost
  the same. Where collections are incremental (a whole one is then never automatic), only `settle` freezes.
"""

import gc
from typing import Any

_WHOLE = 2
_THRESHOLDS = (700, 5, 2)
"""A whole collection after some 12,000 new objects (`gc.set_threshold`); Python's own thresholds make it 80,000."""


def keep_pauses_short() -> None:
    """Freeze, from now on, whatever survives a whole collection, and make those often."""
    gc.set_threshold(*_THRESHOLDS)
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

"""What signals do to `run` and `demo`.

Rules of this file:
- SIGTERM and SIGINT end the process in order from its first moment on: `exit_on_sigterm` until there is a loop.
- SIGHUP reloads; where the terminal that the process was started on has gone, it ends the process, which nobody could
  stop any more. A process started with nohup ignores that.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine

_STREAMS = (0, 1, 2)


def exit_on_sigterm(code: int = 128 + signal.SIGTERM) -> None:
    """End the process with `code` at SIGTERM."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(code))


def stop_event() -> asyncio.Event:
    """Return an event of the running loop that SIGTERM and SIGINT set, and the end of the terminal."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, stop.set)
    return stop


def reload_on_hangup(stop: asyncio.Event, reload: Callable[[], Coroutine[object, object, object]]) -> None:
    """Run `reload` at SIGHUP; where a terminal has gone that is here now, set `stop` instead."""
    loop, reloads = asyncio.get_running_loop(), set[asyncio.Task[object]]()
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    terminals = [] if ignored else [stream for stream in _STREAMS if os.isatty(stream)]

    def hangup() -> None:
        if terminals and not all(map(os.isatty, terminals)):
            stop.set()
            return
        task = loop.create_task(reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    loop.add_signal_handler(signal.SIGHUP, hangup)

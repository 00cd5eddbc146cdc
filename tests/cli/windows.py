"""smtpcheck as Windows would run it: `python tests/cli/windows.py COMMAND...`.

What smtpcheck itself imports and calls is restricted to what Python has on Windows, and `sys.platform` is "win32" for
it; the libraries, which do their own part on Windows, see the real machine.

Rules of this file:
- A name is missing where Python's documentation says "Availability: Unix" (or "not Windows") of it.
- What asyncio's ProactorEventLoop does not support raises NotImplementedError
  (https://docs.python.org/3/library/asyncio-platforms.html#windows).
"""

import asyncio
import builtins
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

MODULES = frozenset(
    {"curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty", "uvloop"}
)
MISSING: Mapping[str, frozenset[str]] = {
    "asyncio": frozenset({"open_unix_connection", "start_unix_server"}),
    "os": frozenset(
        {
            *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC", "O_DSYNC", "O_NOCTTY", "EX_OK"),
            *(
                "chown",
                "chroot",
                "confstr",
                "fchdir",
                "fchown",
                "fdatasync",
                "fork",
                "forkpty",
                "fpathconf",
                "fstatvfs",
            ),
            *("getegid", "geteuid", "getgid", "getgroups", "getloadavg", "getpgid", "getpgrp", "getpriority", "getuid"),
            *("killpg", "lchown", "mkfifo", "mknod", "nice", "openpty", "pathconf", "posix_spawn", "pread", "preadv"),
            *("pwrite", "pwritev", "sched_getaffinity", "sched_setaffinity", "sched_yield", "sendfile", "setegid"),
            *("seteuid", "setgid", "setgroups", "setpgid", "setpriority", "setsid", "setuid", "statvfs", "sync"),
            *("sysconf", "tcgetpgrp", "uname", "wait", "wait3", "wait4", "waitid", "WEXITSTATUS", "WIFSIGNALED"),
        }
    ),
    "signal": frozenset(
        {
            *("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH"),
            *(
                "alarm",
                "pause",
                "pthread_kill",
                "pthread_sigmask",
                "setitimer",
                "siginterrupt",
                "sigpending",
                "sigwait",
            ),
        }
    ),
    "socket": frozenset({"AF_UNIX", "CMSG_LEN", "MSG_DONTWAIT", "SCM_RIGHTS", "SO_REUSEPORT", "recv_fds", "send_fds"}),
    "time": frozenset({"CLOCK_BOOTTIME", "CLOCK_MONOTONIC", "clock_gettime", "clock_gettime_ns", "tzset"}),
}
"""By module: what it does not have on Windows."""


class _AsOnWindows(ModuleType):
    """A module without what it lacks on Windows."""

    def __init__(self, real: ModuleType, **other: object) -> None:
        super().__init__(real.__name__, real.__doc__)
        self._real = real
        self.__dict__.update(other)

    def __getattr__(self, name: str) -> Any:
        if name in MISSING.get(self.__name__, ()):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on Windows")
        return getattr(self._real, name)


_SEEN = {name: _AsOnWindows(__import__(name)) for name in MISSING} | {"sys": _AsOnWindows(sys, platform="win32")}
_import = builtins.__import__


def _import_as_on_windows(
    name: str,
    globals: Mapping[str, Any] | None = None,  # noqa: A002 - as the real one
    locals: Mapping[str, Any] | None = None,  # noqa: A002
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    importer = str((globals or {}).get("__name__", ""))
    if importer.partition(".")[0] != "smtpcheck" or level:
        return _import(name, globals, locals, fromlist, level)
    if name.partition(".")[0] in MODULES:
        raise ModuleNotFoundError(f"No module named {name!r} on Windows (imported by {importer})", name=name)
    return _SEEN.get(name) or _import(name, globals, locals, fromlist, level)


def _not_implemented(*_: object, **__: object) -> None:
    raise NotImplementedError


def install() -> None:
    """Show Windows to smtpcheck, of which nothing has been imported yet, for the rest of this process."""
    assert not any(name.partition(".")[0] == "smtpcheck" for name in sys.modules)
    builtins.__import__ = _import_as_on_windows
    loop = asyncio.SelectorEventLoop
    for name in ("add_signal_handler", "remove_signal_handler", "add_reader", "add_writer", "create_unix_server"):
        setattr(loop, name, _not_implemented)


if __name__ == "__main__":
    install()
    from smtpcheck.cli import main

    sys.exit(main())

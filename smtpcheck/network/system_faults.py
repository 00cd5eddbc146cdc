"""What an error of the operating system says: of the server, of the network, or of this machine.

Rules of this file:
- A shortage of this machine (descriptors, memory, threads) is never the server's fault: it has a kind of its own.
- Of a failed lookup the name service's words do not say so, for a resolver without a descriptor fails like one without
  a name server; whether a descriptor is left is then tried.
"""

import errno
import os

from smtpcheck.model.report import Fault, FaultKind

_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN})

_KINDS = {
    **dict.fromkeys(_SHORTAGES, FaultKind.OUT_OF_RESOURCES),
    errno.ECONNREFUSED: FaultKind.REFUSED,
    errno.ECONNRESET: FaultKind.RESET,
    errno.ECONNABORTED: FaultKind.RESET,
    errno.EPIPE: FaultKind.RESET,
    errno.ETIMEDOUT: FaultKind.TIMEOUT,
    errno.ENETUNREACH: FaultKind.UNREACHABLE,
    errno.EHOSTUNREACH: FaultKind.UNREACHABLE,
    errno.ENETDOWN: FaultKind.UNREACHABLE,
    errno.EADDRNOTAVAIL: FaultKind.UNREACHABLE,
    errno.EAFNOSUPPORT: FaultKind.UNREACHABLE,
}


def os_fault(error: OSError) -> Fault:
    """Return the fault that an error of a connection amounts to, in the system's words."""
    kind = _KINDS.get(error.errno or 0, FaultKind.OS)
    # asyncio puts its own words in place of the system's.
    return Fault(kind, os.strerror(error.errno) if error.errno else str(error))


def is_shortage(error: BaseException) -> bool:
    """Return whether this machine lacked a descriptor, memory or a thread."""
    if isinstance(error, OSError):
        return error.errno in _SHORTAGES
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "start new thread" in str(error))


def has_descriptor_left() -> bool:
    """Return whether this process can open one more file."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return not is_shortage(error)
    return True

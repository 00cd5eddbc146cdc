"""File descriptors: enough for the checks, whatever is connected to the page.

Rules of this file:
- The limit is raised as far as the system allows, to what the configuration needs at most; where that is not enough,
  the log says so at the start.
- The page gets what the checks leave, and always a few.
"""

import structlog

from smtpcheck.config import Settings
from smtpcheck.web.connections import MOST_CONNECTIONS

_OF_THE_PROCESS = 128
"""Files, the state, threads that look names up, issuers, notifiers."""
_LEAST_FOR_THE_PAGE = 8
_log = structlog.get_logger(__name__)


def reserve_descriptors(settings: Settings) -> int:
    """Raise the limit of open files to what the settings need; return how many connections the page may have."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MOST_CONNECTIONS
    checks = needed_by_checks(settings)
    needed = checks + MOST_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return MOST_CONNECTIONS
    _log.warning(
        "few file descriptors: checks may fail for lack of them",
        limit=soft,
        needed=needed,
        fix="raise the limit (ulimit -n, LimitNOFILE=), or lower agent.max_open_connections",
    )
    return max(_LEAST_FOR_THE_PAGE, soft - checks)


def needed_by_checks(settings: Settings) -> int:
    """Return how many descriptors the checks need at most: two attempts at a connection, finders, issuers, the rest."""
    connections = min(settings.agent.max_open_connections, len(settings.checks) + len(settings.loopbacks))
    finders = sum(len(plan.searched) for plan in settings.loopbacks.values())
    return 2 * connections + finders + len(settings.credentials) + _OF_THE_PROCESS

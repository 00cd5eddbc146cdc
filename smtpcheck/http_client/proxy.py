"""Which proxy a request goes by: the configured one, else what the environment names (HTTPS_PROXY, NO_PROXY).

Rule of this file: the environment decides nothing else of a request, and nothing of one to this machine itself.
"""

import os
import sys

from smtpcheck.http_client.urls import origin_of

_VARIABLES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


def _names_no_proxy() -> bool:
    """Return whether there is surely none; to look through the whole environment takes as long as half a request."""
    return sys.platform == "linux" and not any(name in os.environ for name in _VARIABLES)


def proxy_for(url: str, configured: str | None) -> str | None:
    """Return the URL of the proxy for a request; None: it goes straight."""
    from requests.utils import get_environ_proxies  # noqa: PLC0415 - it reads NO_PROXY as curl does

    origin = origin_of(url)
    if configured or origin is None or _names_no_proxy():
        return configured
    found = get_environ_proxies(url)
    return found.get(origin[0]) or found.get("all")

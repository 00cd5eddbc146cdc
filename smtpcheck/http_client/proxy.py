"""Which proxy a request goes by: the configured one, else what the environment names (HTTPS_PROXY, NO_PROXY).

Rule of this file: the environment decides nothing else of a request, and nothing of one to this machine itself.
"""

from smtpcheck.http_client.urls import origin_of


def proxy_for(url: str, configured: str | None) -> str | None:
    """Return the URL of the proxy for a request; None: it goes straight."""
    from requests.utils import get_environ_proxies  # noqa: PLC0415 - it reads NO_PROXY as curl does

    origin = origin_of(url)
    if configured or origin is None:
        return configured
    found = get_environ_proxies(url)
    return found.get(origin[0]) or found.get("all")

"""`requests` for a library that uses it by name: its functions, each of them a bounded exchange.

Rule of this file: only the modules of the library that is named see it; `requests` itself stays as it is.
"""

import sys
from typing import Any

import requests

from smtpcheck.http_client.blocking import BlockingSession
from smtpcheck.http_client.exchange import Limits


def bound_requests(library: str, limits: Limits) -> None:
    """Have the modules of a library that are loaded use bounded exchanges, and no redirect followed."""
    bounded = _BoundedRequests(limits)
    for name, module in tuple(sys.modules.items()):
        if name.startswith(f"{library}.") and getattr(module, "requests", None) is requests:
            module.__dict__["requests"] = bounded


class _BoundedRequests:
    """Stands for the module `requests`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def __getattr__(self, name: str) -> Any:
        """Return whatever else the module has: its exceptions, its codes."""
        return getattr(requests, name)

    def Session(self) -> BlockingSession:  # noqa: N802 - as requests calls it
        return BlockingSession(limits=self._limits, library_chooses_tls=True)

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        with self.Session() as session:
            return session.request(method, url, **kwargs)

    def get(self, url: str, params: Any = None, **kwargs: Any) -> requests.Response:
        return self.request("GET", url, params=params, **kwargs)

    def head(self, url: str, **kwargs: Any) -> requests.Response:
        return self.request("HEAD", url, **kwargs)

    def post(self, url: str, data: Any = None, json: Any = None, **kwargs: Any) -> requests.Response:
        return self.request("POST", url, data=data, json=json, **kwargs)

    def put(self, url: str, data: Any = None, **kwargs: Any) -> requests.Response:
        return self.request("PUT", url, data=data, **kwargs)

    def patch(self, url: str, data: Any = None, **kwargs: Any) -> requests.Response:
        return self.request("PATCH", url, data=data, **kwargs)

    def delete(self, url: str, **kwargs: Any) -> requests.Response:
        return self.request("DELETE", url, **kwargs)

"""One read of a provider's directory: a token, the tenant's pace, one bounded exchange.

Rules of this file:
- The token goes to the address that the request was built for, and no redirect is followed here.
- What brings no usable answer is a `NotReadableError`; it holds no part of an answer but the provider's own error code.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from smtpcheck.http_client.client import Client
from smtpcheck.http_client.exchange import Fault, FaultKind, Limits, Response
from smtpcheck.inspection.not_readable import NotReadableError
from smtpcheck.inspection.pace import TenantPace
from smtpcheck.model.inspection import Obstacle
from smtpcheck.secrets.secret import Secret

TOKEN_SECONDS = 30.0
"""How long a token is waited for."""
LIMITS = Limits(seconds=30.0, connect_seconds=10.0, octets=4 * 1024 * 1024)
MOST_PAGES = 10
"""Pages that are read of one answer; one that has more is not read at all, for what is missing would not be known."""

_THROTTLED = frozenset({429, 503, 504})


@dataclass(frozen=True, slots=True)
class ReaderToken:
    """A token of the inspector."""

    secret: Secret
    tenant_id: str
    """The tenant that it is of, empty where it does not say."""


GetToken = Callable[[str], Awaitable[ReaderToken]]
"""Returns a token for a scope. Raises NotReadableError."""


class Reader:
    """Reads from one tenant."""

    def __init__(self, client: Client, token: GetToken, pace: TenantPace) -> None:
        """Ask by `client` with the tokens of the inspector, as fast as `pace` allows."""
        self._client, self._pace = client, pace
        self.token = token

    async def exchange(
        self,
        method: str,
        url: str,
        token: ReaderToken | None,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        keep: Iterable[str] = (),
    ) -> Response | Fault:
        """Make one request at the tenant's pace; a fault or a throttled answer holds back those that follow.

        Without a token it is a request for what is public. Raises NotReadableError while the tenant is left alone, and
        where the answer asks for that.
        """
        authorization = {"Accept": "application/json"}
        if token is not None:
            authorization["Authorization"] = f"Bearer {token.secret.reveal()}"
        async with self._pace.slot():
            answer = await self._client.request(
                method, url, headers={**authorization, **(headers or {})}, body=body, keep=keep
            )
        if isinstance(answer, Fault):
            if answer.kind is not FaultKind.PROTOCOL:
                self._pace.failed()
            return answer
        if answer.status in _THROTTLED:
            raise self.throttled(answer)
        if answer.status < 500:
            self._pace.succeeded()
        return answer

    def throttled(self, answer: Response) -> NotReadableError:
        """Hold back the requests that follow, and return what an answer is that asks for that."""
        self._pace.failed(answer.retry_after)
        return NotReadableError(Obstacle.THROTTLED, f"the provider is throttling (HTTP {answer.status})")


def unreachable(fault: Fault) -> NotReadableError:
    """Return what a fault is to who asked."""
    return NotReadableError(Obstacle.UNREACHABLE, f"{fault.endpoint} gives no answer: {fault.detail}")

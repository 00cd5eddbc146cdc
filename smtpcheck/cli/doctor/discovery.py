"""The issuer's discovery document: whether the authority is reachable, who it says it is, and what time it has.

Rules of this file:
- One request without any secret (OpenID Connect Discovery 1.0, 4). What the world does is a value, never an exception.
- Microsoft's own issuers name themselves by other hosts than they are asked at; any other one must name its own.
"""

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

from smtpcheck.http_client.exchange import Fault, Response
from smtpcheck.http_client.trust import CaUnusableError
from smtpcheck.http_client.urls import netloc_of
from smtpcheck.model.report import TokenError
from smtpcheck.oauth.answer import token_error
from smtpcheck.oauth.clouds import CLOUDS
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.microsoft import Microsoft
from smtpcheck.oauth.microsoft_user import MicrosoftUser
from smtpcheck.oauth.session import IssuerSession, unanswered

_OWN_HOSTS = frozenset(facts.authority for facts in CLOUDS.values())


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the authority answered."""

    authority: str
    issuer: str = ""
    """What it calls itself; empty where it said nothing usable."""
    clock_offset: float | None = None
    """Its Date header less our clock, in seconds; None where it sent none."""
    error: str = ""
    """Why there is no answer, or no usable one."""
    mismatch: bool = False
    """Whether it names an issuer of another host."""


def authority_of(credential: Credential) -> str:
    """Return the URL of the credential's tenant at Entra or an issuer that speaks like it; empty for any other."""
    match credential:
        case Microsoft():
            return credential.authority_url
        case MicrosoftUser():
            return credential.login_issuer
        case _:
            return ""


async def discover(credential: Credential, timeout: float) -> Discovery | None:  # noqa: ASYNC109
    """Ask the credential's authority for its discovery document; None where it has no authority of that kind.

    What has not come after `timeout` seconds is not waited for.
    """
    authority = authority_of(credential)
    if not authority:
        return None
    try:
        async with asyncio.timeout(timeout):
            return await asyncio.to_thread(_ask, credential, authority)
    except TimeoutError:
        return Discovery(authority, error=f"no answer within {timeout:g} s")


def _ask(credential: Credential, authority: str) -> Discovery:
    try:
        session = IssuerSession(ca_file=credential.ca_file, proxy=credential.proxy)
    except CaUnusableError as error:
        return Discovery(authority, error=str(error))
    with session:
        answer = session.exchange("GET", f"{authority}/v2.0/.well-known/openid-configuration")
    if isinstance(answer, Fault):
        return Discovery(authority, error=_reason(unanswered(answer, requested_scope="")))
    return _read(authority, answer)


def _read(authority: str, answer: Response) -> Discovery:
    as_error = token_error(answer, requested_scope="")
    document = answer.json
    issuer = document.get("issuer") if document and answer.status == 200 else None
    if not isinstance(issuer, str):
        return Discovery(authority, clock_offset=as_error.clock_offset, error=_reason(as_error))
    home = urlsplit(authority).netloc
    mismatch = home not in _OWN_HOSTS and netloc_of(issuer) != home
    return Discovery(authority, issuer=issuer[:512], clock_offset=as_error.clock_offset, mismatch=mismatch)


def _reason(error: TokenError) -> str:
    status = f"HTTP {error.http_status}" if error.http_status else ""
    return ": ".join(part for part in (status, error.description or error.error or error.kind.value) if part)

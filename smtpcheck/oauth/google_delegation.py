"""Tokens for mailboxes by domain-wide delegation, by google-auth.

Rules of this file:
- google-auth decides what is sent; what came back is evaluated by the session's record of it. It would ask again by
  itself after a 5xx, so an answer that is not a success ends its work at once.
- The assertion names the mailbox as subject and is signed with the account's key; or, without a key, by the IAM
  Credentials API (`signBlob`), asked with a token of the workload identity federation.
- The issuer is what the key's own file names as `token_uri`.
- A federation may read its own token from the metadata service of its machine (Azure, AWS), which speaks plain HTTP: at
  a link-local address only, which nobody else can have, and never by a proxy.
"""

import ipaddress
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.auth import aws, iam, identity_pool
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport import Request
from google.oauth2 import service_account

from smtpcheck.http_client.blocking import ExchangeError
from smtpcheck.http_client.exchange import Response
from smtpcheck.http_client.trust import CaUnusableError
from smtpcheck.http_client.urls import endpoint_of, host_of
from smtpcheck.model.printable import printable
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth.answer import has_token, token_error, token_response
from smtpcheck.oauth.flow import CredentialLifetime, Flow, IssuedToken
from smtpcheck.oauth.kept_key import PARSING, KeptKey
from smtpcheck.oauth.session import IssuerSession, unanswered
from smtpcheck.secrets.secret import Secret

_TOKEN_URI = "https://oauth2.googleapis.com/token"
_AWS = "urn:ietf:params:aws:token-type:aws4_request"
_AWS_IPV6_METADATA = ipaddress.ip_address("fd00:ec2::254")
_IAM_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True, slots=True)
class Delegation:
    """What a service account asks with."""

    key_file: Path
    address: str | None
    """The account's address, where the file does not name it."""
    scope: str
    ca_file: Path | None
    proxy: str | None


class DelegationFlow(Flow):
    """A token for each mailbox."""

    def __init__(self, account: Delegation) -> None:
        self._account = account
        self._key = KeptKey(account.key_file, _credentials_of)
        self._token_uri = _TOKEN_URI

    @property
    def issuer(self) -> str:
        """The host that is asked, as the key's file says since it was read first."""
        return host_of(self._token_uri)

    @property
    def lifetime(self) -> CredentialLifetime:
        """Nothing: Google's keys end when a user deletes them."""
        return CredentialLifetime()

    def request(self, subject: str | None, scope: str = "") -> IssuedToken | TokenError:
        """Ask for a token of the mailbox `subject`."""
        scope = scope or self._account.scope
        try:
            info = _read(self._account.key_file)
            self._token_uri = str(info.get("token_uri", _TOKEN_URI))
            session = IssuerSession(ca_file=self._account.ca_file, proxy=self._account.proxy)
        except _KeyUnusableError as error:
            return self._failure(TokenErrorKind.CERTIFICATE_UNUSABLE, str(error), scope)
        except CaUnusableError as error:
            return self._failure(TokenErrorKind.TLS, str(error), scope)
        transport = _Transport(session)
        try:
            return self._ask(info, transport, subject, scope)
        finally:
            transport.close()

    def _ask(
        self, info: Mapping[str, Any], transport: "_Transport", subject: str | None, scope: str
    ) -> IssuedToken | TokenError:
        asked_at = time.time()
        try:
            self._credentials(info, transport, subject, scope).refresh(transport)
        except ExchangeError as error:
            return unanswered(error.fault, requested_scope=scope)
        except _KeyUnusableError as error:
            return self._failure(TokenErrorKind.CERTIFICATE_UNUSABLE, str(error), scope)
        except GoogleAuthError as error:
            if transport.response is None:
                return self._failure(TokenErrorKind.SECRET_UNREADABLE, printable(str(error), limit=500), scope)
        except (OverflowError, ValueError, TypeError):  # a number that google-auth does not expect; ours is read below
            if transport.response is None or transport.response.endpoint != endpoint_of(self._token_uri):
                raise
        except Exception:
            if transport.response is None or has_token(transport.response):
                raise
        if transport.response is None or not has_token(transport.response):
            return self._refusal(transport, scope)
        answer = token_response(transport.response, asked_at=asked_at)
        return IssuedToken(answer.token, answer.expires_at)

    def _credentials(self, info: Mapping[str, Any], transport: "_Transport", subject: str | None, scope: str) -> Any:
        if info.get("type") == "service_account":
            return self._key.read().with_subject(subject).with_scopes([scope])
        try:
            kind: Any = aws.Credentials if info.get("subject_token_type") == _AWS else identity_pool.Credentials
            source: Any = kind.from_info(info, scopes=[_IAM_SCOPE])
        except (ValueError, TypeError, GoogleAuthError):
            text = "is neither a service account's key nor a workload identity federation by file or URL"
            raise _KeyUnusableError(f"{self._account.key_file} {text}") from None
        email = self._account.address or getattr(source, "service_account_email", None)
        if not email:
            raise _KeyUnusableError(f"{self._account.key_file} names no service account: configure service_account")
        source.refresh(transport)
        signer = iam.Signer(transport, _Bearer(source.token), email)  # type: ignore[no-untyped-call]
        return service_account.Credentials(  # type: ignore[no-untyped-call]
            signer, email, self._token_uri, scopes=[scope], subject=subject
        )

    def _refusal(self, transport: "_Transport", scope: str) -> TokenError:
        if transport.response is None:
            raise RuntimeError("nobody was asked")
        return token_error(transport.response, requested_scope=scope)

    def _failure(self, kind: TokenErrorKind, description: str, scope: str) -> TokenError:
        return TokenError(
            kind=kind,
            at=time.time(),
            endpoint=endpoint_of(self._token_uri),
            description=description,
            requested_scope=scope,
        )


class _KeyUnusableError(Exception):
    """The key's file cannot be used. Says which and why."""


class _NotSuccessfulError(Exception):
    """The answer is not a success; the session has it."""


@dataclass(frozen=True)
class _Response:
    """An answer as google-auth takes it."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class _Bearer(Credentials):
    """A token as it is. google-auth's own kinds ask further hosts in the background when they are used."""

    def __init__(self, token: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.token = token

    def refresh(self, request: Any) -> None:
        """Do nothing: it is fresh."""


class _Transport(Request):
    """Lets google-auth ask by our session."""

    def __init__(self, session: IssuerSession) -> None:
        self._session = session
        self._metadata: IssuerSession | None = None
        self.response: Response | None = None
        """The last one, from whichever host; None where the last request got none."""

    def __call__(
        self, url: str, method: str = "GET", body: Any = None, headers: Any = None, timeout: Any = None, **kwargs: Any
    ) -> _Response:
        """Ask, and end google-auth's work unless the answer is a success."""
        del timeout, kwargs
        self.response, session = None, self._session_for(url)
        response = session.request(method, url, data=body, headers=headers)
        self.response = session.response
        if response.status_code != 200:
            raise _NotSuccessfulError
        return _Response(response.status_code, response.headers, response.content)

    def _session_for(self, url: str) -> IssuerSession:
        if not url.startswith("http:"):
            return self._session
        if not is_metadata_address(url):
            raise _KeyUnusableError(
                f"the federation names {endpoint_of(url)}, which is neither https nor a link-local metadata address"
            )
        self._metadata = self._metadata or IssuerSession(local=True)
        return self._metadata

    def close(self) -> None:
        """Close what is open."""
        self._session.close()
        if self._metadata is not None:
            self._metadata.close()


def is_metadata_address(url: str) -> bool:
    """Return whether the URL is that of a cloud's metadata service, by its address: a name could be anybody's."""
    try:
        address = ipaddress.ip_address(host_of(url))
    except ValueError:
        return False
    return address.is_link_local or address == _AWS_IPV6_METADATA


def _credentials_of(path: Path, _: Secret | None) -> Any:
    """Return the credentials of the key in a service account's file, for nobody and no scope yet."""
    info = _read(path)
    try:
        with PARSING:
            return service_account.Credentials.from_service_account_info(info)  # type: ignore[no-untyped-call]
    except (ValueError, GoogleAuthError) as error:
        raise _KeyUnusableError(f"{path} has no usable key ({type(error).__name__})") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        info = json.loads(path.read_bytes())
    except OSError as error:
        raise _KeyUnusableError(f"{path} cannot be read ({(error.strerror or '').lower()})") from None
    except ValueError:
        raise _KeyUnusableError(f"{path} is not JSON") from None
    if not isinstance(info, dict):
        raise _KeyUnusableError(f"{path} is not the JSON of a service account")
    return info

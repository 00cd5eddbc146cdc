"""Amazon SES, API v2: account, identities and messages, behind requests that are signed (Signature Version 4).

Rules of this file:
- The signature is computed from AWS's description (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html),
  not by the library that a client signs with.
- Errors are those of the service's model, named in the header `x-amzn-ErrorType`.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from aiohttp import web

from smtpcheck.sandbox.api_account import ApiMessage
from smtpcheck.sandbox.mail_store import FROM_THIRD_PARTY, MailStore

_SKEW_SECONDS = 300
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<id>[A-Z0-9]+)/(?P<day>\d{8})/(?P<region>[a-z0-9-]+)/ses/aws4_request, "
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(slots=True)
class SesAccount:
    """One account in one region."""

    key_id: str
    secret: str = field(repr=False)
    region: str = "eu-central-1"
    sending: bool = True
    production: bool = True
    enforcement: str = "HEALTHY"
    quota: float = 50_000.0
    sent: float = 12.0
    identities: dict[str, bool] = field(default_factory=lambda: {"contoso.example": True})
    """Addresses and domains, each with whether it is verified."""
    allowed: frozenset[str] = frozenset({"ses:GetAccount", "ses:GetEmailIdentity", "ses:SendEmail"})
    throttled: int = 0

    def verifies(self, address: str) -> bool:
        """Return whether it may send from the address."""
        return self.identities.get(address) is True or self.identities.get(address.rpartition("@")[2]) is True


class Ses:
    """The service.

    Attributes:
        accounts: by the id of the access key.
        messages: the last messages that were taken.
        asked: method and path of each request so far.
        clock: the time in Unix seconds.
    """

    def __init__(self, store: MailStore, clock: Callable[[], float] = time.time) -> None:
        """Deliver into `store`."""
        self.accounts: dict[str, SesAccount] = {}
        self.messages: deque[ApiMessage] = deque(maxlen=1000)
        self.asked: deque[tuple[str, str]] = deque(maxlen=10_000)
        self.clock = clock
        self._store = store

    def add(self, account: SesAccount) -> SesAccount:
        """Open an account."""
        self.accounts[account.key_id] = account
        return account

    def serve(self, app: web.Application, prefix: str) -> None:
        """Add its addresses to an application."""
        app.router.add_get(prefix + "/v2/email/account", self._account)
        app.router.add_get(prefix + "/v2/email/identities/{identity}", self._identity)
        app.router.add_post(prefix + "/v2/email/outbound-emails", self._send)

    async def _account(self, request: web.Request) -> web.Response:
        account = await self._entered(request, "ses:GetAccount")
        if isinstance(account, web.Response):
            return account
        quota = {"Max24HourSend": account.quota, "MaxSendRate": 14.0, "SentLast24Hours": account.sent}
        return web.json_response(
            {
                "DedicatedIpAutoWarmupEnabled": False,
                "EnforcementStatus": account.enforcement,
                "ProductionAccessEnabled": account.production,
                "SendQuota": quota,
                "SendingEnabled": account.sending,
            }
        )

    async def _identity(self, request: web.Request) -> web.Response:
        account = await self._entered(request, "ses:GetEmailIdentity")
        if isinstance(account, web.Response):
            return account
        name = unquote(request.match_info["identity"])
        verified = account.identities.get(name)
        if verified is None:
            return _error(404, "NotFoundException", f"Email identity {name} does not exist.")
        return web.json_response(
            {
                "IdentityType": "EMAIL_ADDRESS" if "@" in name else "DOMAIN",
                "VerifiedForSendingStatus": verified,
                "VerificationStatus": "SUCCESS" if verified else "PENDING",
                "DkimAttributes": {"SigningEnabled": True, "Status": "SUCCESS" if verified else "PENDING"},
            }
        )

    async def _send(self, request: web.Request) -> web.Response:
        account = await self._entered(request, "ses:SendEmail")
        if isinstance(account, web.Response):
            return account
        body = json.loads(await request.read())
        sender, recipients = str(body.get("FromEmailAddress", "")), body.get("Destination", {}).get("ToAddresses", [])
        if not account.sending:
            return _error(400, "SendingPausedException", "Sending paused for this account.")
        needed = [sender] if account.production else [sender, *recipients]
        if failed := [address for address in needed if not account.verifies(address)]:
            message = "Email address is not verified. The following identities failed the check in region"
            return _error(400, "MessageRejected", f"{message} {account.region.upper()}: {', '.join(failed)}")
        if account.sent >= account.quota:
            return _error(429, "LimitExceededException", "Daily message quota exceeded.")
        content = base64.b64decode(body["Content"]["Raw"]["Data"])
        account.sent += len(recipients)
        self.messages.append(ApiMessage("ses", sender, str(recipients[0]), content))
        self._store.send(sender, recipients, content, FROM_THIRD_PARTY)
        return web.json_response({"MessageId": f"0102{secrets.token_hex(12)}-000000"})

    async def _entered(self, request: web.Request, right: str) -> SesAccount | web.Response:
        """Return whose signature the request has, or the refusal."""
        self.asked.append((request.method, request.path))
        found = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if found is None:
            return _error(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        account = self.accounts.get(found["id"])
        if account is None:
            return _error(403, "UnrecognizedClientException", "The security token included in the request is invalid.")
        if abs(_time(request.headers.get("X-Amz-Date", "")) - self.clock()) > _SKEW_SECONDS:
            return _error(403, "RequestExpired", "Signature expired: is now earlier than allowed.")
        if found["region"] != account.region:
            message = f"Credential should be scoped to a valid region, not '{found['region']}'."
            return _error(403, "SignatureDoesNotMatch", message)
        if not hmac.compare_digest(_signature(request, await request.read(), account, found), found["signature"]):
            message = "The request signature we calculated does not match the signature you provided."
            return _error(403, "SignatureDoesNotMatch", message)
        if account.throttled > 0:
            account.throttled -= 1
            return _error(429, "TooManyRequestsException", "Too many requests")
        if right not in account.allowed:
            message = f"User: arn:aws:iam::1:user/mail is not authorized to perform: {right} on resource: *"
            return _error(403, "AccessDeniedException", message)
        return account


def _signature(request: web.Request, body: bytes, account: SesAccount, found: re.Match[str]) -> str:
    names = found["names"].split(";")
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names)
    path = quote(request.raw_path.partition("?")[0], safe="/~")
    query = "&".join(sorted(request.query_string.split("&"))) if request.query_string else ""
    digest = hashlib.sha256(body).hexdigest()
    canonical = "\n".join((request.method, path, query, headers, found["names"], digest))
    scope = f"{found['day']}/{account.region}/ses/aws4_request"
    date = request.headers.get("X-Amz-Date", "")
    text = "\n".join(("AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{account.secret}".encode()
    for part in (found["day"], account.region, "ses", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _time(text: str) -> float:
    try:
        return time.mktime(time.strptime(text, "%Y%m%dT%H%M%SZ")) - time.timezone
    except ValueError:
        return 0.0


def _error(status: int, kind: str, message: str) -> web.Response:
    headers = {"x-amzn-ErrorType": kind, "x-amzn-RequestId": secrets.token_hex(16)}
    return web.json_response({"message": message}, status=status, headers=headers)

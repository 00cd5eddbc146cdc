"""Amazon SES, API v2 (https://docs.aws.amazon.com/ses/latest/APIReference-V2/): the account's state before any message.

Rules of this file:
- The proof reads the account and the sender's identity: it cannot send. Quota, sandbox, review and verification are
  facts of the run.
- Requests are signed by botocore, the extra `ses`, which is imported only here and only then.
- SES knows no idempotency: what became of a message after an uncertain end stays uncertain.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

from msgspec import structs

from smtpcheck.http_client.connection import HttpRequest
from smtpcheck.http_client.exchange import Response
from smtpcheck.mail_api.api import NOTHING, Facts, MailApi, Outgoing, Reading, Ruling, answer_of
from smtpcheck.model.cause import Cause
from smtpcheck.model.check import Check
from smtpcheck.model.report import ApiAnswer
from smtpcheck.secrets.secret import Secret

ACCOUNT = "/v2/email/account"
IDENTITIES = "/v2/email/identities/"
SEND = "/v2/email/outbound-emails"
_ERROR_HEADER = "x-amzn-errortype"
_REQUEST_ID = "x-amzn-requestid"
_QUOTA = {
    "quota_in_24_hours": "Max24HourSend",
    "rate_a_second": "MaxSendRate",
    "sent_in_24_hours": "SentLast24Hours",
}
"""The account's quota: the fact and its name at SES. A quota of -1 is none."""
_SERVICE = "ses"
_SEPARATOR = "\n"

NOT_INSTALLED = "needs botocore, which is not installed"
INSTALL = "install the extra: pip install 'smtpcheck[ses]'"


def is_installed() -> bool:
    """Return whether requests can be signed, and load what signs them: some 100 ms that no run should wait for."""
    try:
        import botocore.auth  # noqa: PLC0415 - the extra `ses`
        import botocore.awsrequest  # noqa: PLC0415
        import botocore.credentials  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True


class Ses(MailApi):
    """Mail by Amazon SES."""

    name = "ses"
    credential_types = frozenset({"aws"})
    permissions = ("ses:SendEmail", "ses:SendRawEmail", "ses:GetAccount", "ses:GetEmailIdentity")
    kept_headers = (_ERROR_HEADER, _REQUEST_ID)
    takes = frozenset({"region", "domain"})

    def base_in(self, region: str) -> str | None:
        """Return the address of a region."""
        if not region:
            return None
        return f"https://email.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"

    def proof(self, check: Check) -> tuple[HttpRequest, ...]:
        """Return the questions about the account and about the sender: its address, then its domain."""
        address, domain = check.sender, check.sender.rpartition("@")[2]
        if check.via is not None and check.via.domain:
            return _get(check, ACCOUNT), _get(check, IDENTITIES + quote(check.via.domain, safe="@"))
        return (
            _get(check, ACCOUNT),
            _get(check, IDENTITIES + quote(address, safe="@")),
            _get(check, IDENTITIES + quote(domain, safe="")),
        )

    def message(self, check: Check, outgoing: Outgoing) -> HttpRequest:
        """Return the request that sends the message as it is."""
        body = {
            "FromEmailAddress": check.sender,
            "Destination": {"ToAddresses": [check.recipient]},
            "Content": {"Raw": {"Data": base64.b64encode(outgoing.content).decode()}},
        }
        headers = {"Content-Type": "application/json"}
        return HttpRequest("POST", _base(check) + SEND, headers, json.dumps(body).encode())

    def read_proof(self, check: Check, response: Response, known: Facts = NOTHING) -> Reading:
        """Return what the account's state or the identity's says."""
        answer = _answer(response)
        path = urlsplit(response.url).path
        is_last = path == urlsplit(self.proof(check)[-1].url).path
        if path.endswith(ACCOUNT) and response.status == 200 and response.json is not None:
            return _account(response.json, Reading(Ruling.ACCEPTED, answer))
        if response.status == 200 and response.json is not None:
            return _identity(response.json, Reading(Ruling.ACCEPTED, answer), known, is_last=is_last)
        if response.status == 404 and answer.error == "NotFoundException":
            if not is_last or known.get("identity_verified") == 1.0:
                return Reading(Ruling.ACCEPTED, answer)
            text = f"neither {check.sender} nor its domain is an identity in this region"
            unverified = structs.replace(answer, text=text, causes=((Cause.SENDER_UNVERIFIED, 0.95),))
            return Reading(Ruling.REFUSED, unverified, {"identity_verified": 0.0})
        return Reading(Ruling.REFUSED, answer)

    def read_message(self, check: Check, response: Response) -> Reading:  # noqa: ARG002
        """Return whether SES took the message."""
        taken = response.status == 200 and response.json is not None
        return Reading(Ruling.ACCEPTED if taken else Ruling.REFUSED, _answer(response))

    def authorized(self, check: Check, request: HttpRequest, secret: Secret, *, now: float) -> HttpRequest:  # noqa: ARG002
        """Return the request signed (Signature Version 4) for the check's region."""
        assert check.via is not None  # noqa: S101 - only a check by an API comes here
        return signed(request, secret, check.via.region)


def signed(request: HttpRequest, secret: Secret, region: str) -> HttpRequest:
    """Return a request with its signature, made now by AWS's own implementation."""
    from botocore.auth import SigV4Auth  # noqa: PLC0415 - the extra `ses`
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415
    from botocore.credentials import Credentials  # noqa: PLC0415

    key_id, _, rest = secret.reveal().partition(_SEPARATOR)
    key, _, session = rest.partition(_SEPARATOR)
    prepared = AWSRequest(method=request.method, url=request.url, data=request.body, headers=dict(request.headers))
    SigV4Auth(Credentials(key_id, key, session or None), _SERVICE, region).add_auth(prepared)
    headers = {**request.headers, **{name: str(value) for name, value in prepared.headers.items()}}
    return replace(request, headers=headers, secrets=request.secrets | {part for part in (key, session) if part})


def _account(body: Mapping[str, Any], reading: Reading) -> Reading:
    """Return whether the account may send, with its quota as facts."""
    quota = body.get("SendQuota")
    numbers = quota if isinstance(quota, dict) else {}
    enforcement = str(body.get("EnforcementStatus", ""))[:32]
    facts: dict[str, float | str] = {
        "sending_enabled": float(body.get("SendingEnabled") is True),
        "production_access": float(body.get("ProductionAccessEnabled") is True),
        **({"enforcement_status": enforcement} if enforcement else {}),
        **{name: number for name, key in _QUOTA.items() if (number := _number(numbers.get(key))) is not None},
    }
    if enforcement == "SHUTDOWN" or body.get("SendingEnabled") is not True:
        text = f"sending is disabled for the account (enforcement status {enforcement or 'unknown'})"
        answer = structs.replace(reading.answer, text=text, causes=((Cause.ACCOUNT_BLOCKED_OUTBOUND_SPAM, 0.95),))
        return Reading(Ruling.REFUSED, answer, facts)
    sent, most = facts.get("sent_in_24_hours"), facts.get("quota_in_24_hours")
    if isinstance(sent, float) and isinstance(most, float) and 0 <= most <= sent:
        text = f"{sent:g} of {most:g} messages in 24 hours are sent"
        answer = structs.replace(reading.answer, text=text, causes=((Cause.QUOTA_EXHAUSTED, 0.95),))
        return Reading(Ruling.REFUSED, answer, facts)
    return Reading(Ruling.ACCEPTED, reading.answer, facts)


def _identity(body: Mapping[str, Any], reading: Reading, known: Facts, *, is_last: bool) -> Reading:
    """Return whether the sender's identity may send; an address that is not verified may have a domain that is."""
    verified = body.get("VerifiedForSendingStatus") is True
    dkim = body.get("DkimAttributes")
    status = str(dkim.get("Status", ""))[:32] if isinstance(dkim, dict) else ""
    is_verified = verified or known.get("identity_verified") == 1.0
    facts: dict[str, float | str] = {
        "identity_verified": float(is_verified),
        **({"dkim_status": status} if status else {}),
    }
    if is_verified or not is_last:
        return Reading(Ruling.ACCEPTED, reading.answer, facts)
    text = f"the identity is not verified (status {str(body.get('VerificationStatus', 'unknown'))[:32]})"
    return Reading(
        Ruling.REFUSED, structs.replace(reading.answer, text=text, causes=((Cause.SENDER_UNVERIFIED, 0.95),)), facts
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _get(check: Check, path: str) -> HttpRequest:
    return HttpRequest("GET", _base(check) + path, {"Accept": "application/json"})


def _base(check: Check) -> str:
    assert check.via is not None  # noqa: S101 - only a check by an API comes here
    return check.via.base


def _answer(response: Response) -> ApiAnswer:
    body = response.json or {}
    named = response.headers.get(_ERROR_HEADER, "") or str(body.get("__type", ""))
    error = named.partition(":")[0].rpartition("#")[2]
    return answer_of(
        response,
        error=error if response.status >= 400 else "",
        text=body.get("message") or body.get("Message"),
        request_id=_REQUEST_ID,
        message_id=body.get("MessageId"),
    )

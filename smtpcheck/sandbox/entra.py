"""The error answers of Microsoft Entra, as data.

Texts and HTTP statuses follow the reference of error codes
(https://learn.microsoft.com/entra/identity-platform/reference-error-codes) and answers seen in public reports.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """One AADSTS error: HTTP status, OAuth error (RFC 6749 5.2) and text with places to fill in."""

    status: int
    error: str
    text: str


ERRORS: Mapping[int, ErrorEntry] = {
    7000215: ErrorEntry(
        401,
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not "
        "the client secret ID, for a secret added to app '{client_id}'.",
    ),
    7000222: ErrorEntry(
        401,
        "invalid_client",
        "The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal to create new keys "
        "for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: "
        "https://aka.ms/certCreds.",
    ),
    7000218: ErrorEntry(
        401,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    7000112: ErrorEntry(400, "unauthorized_client", "Application '{client_id}'({name}) is disabled."),
    700016: ErrorEntry(
        400,
        "unauthorized_client",
        "Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You may have sent your authentication request to the wrong tenant.",
    ),
    700021: ErrorEntry(
        401, "invalid_client", "Client assertion application identifier doesn't match 'client_id' parameter."
    ),
    700023: ErrorEntry(401, "invalid_client", "Client assertion audience claim does not match Realm issuer."),
    700024: ErrorEntry(
        401,
        "invalid_client",
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {start}, "
        "expiry time of assertion {end}.",
    ),
    700027: ErrorEntry(
        401,
        "invalid_client",
        "Client assertion failed signature validation. [Reason - {reason}, Thumbprint of key used by client: "
        "'{thumbprint}']",
    ),
    50027: ErrorEntry(401, "invalid_client", "JWT token is invalid or malformed."),
    1002012: ErrorEntry(
        400,
        "invalid_scope",
        "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
        "/.default suffixed to the resource identifier (application ID URI).",
    ),
    500011: ErrorEntry(
        400,
        "invalid_resource",
        "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant. You might have sent your authentication request to the wrong tenant.",
    ),
    90002: ErrorEntry(
        400,
        "invalid_tenant",
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud. Check with your subscription administrator, this may happen if there are no active "
        "subscriptions for the tenant.",
    ),
    900144: ErrorEntry(400, "invalid_request", "The request body must contain the following parameter: '{parameter}'."),
    70003: ErrorEntry(400, "unsupported_grant_type", "The app requested an unsupported grant type '{grant_type}'."),
    90055: ErrorEntry(
        429, "temporarily_unavailable", "The tenant has exceeded the rate limit of requests. Please try again later."
    ),
    50196: ErrorEntry(
        400, "invalid_grant", "The server terminated an operation because it encountered a client request loop."
    ),
    53003: ErrorEntry(
        400,
        "invalid_grant",
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
    ),
    90033: ErrorEntry(503, "temporarily_unavailable", "A transient error has occurred. Please try again."),
}


class EntraError(Exception):
    """A request that Entra refuses."""

    def __init__(self, code: int, *, retry_after: int | None = None, **values: object) -> None:
        """Refuse with an AADSTS code of `ERRORS`; `values` fill its text, `retry_after` is in seconds."""
        super().__init__(code)
        self.code = code
        self.retry_after = retry_after
        self.values = values


def error_body(code: int, values: Mapping[str, object], correlation_id: str, now: float) -> dict[str, object]:
    """Return the JSON of an error answer; `values` fill the text, `now` is its timestamp (Unix seconds)."""
    entry = ERRORS[code]
    stamp = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%SZ}"
    trace_id = str(uuid.uuid4())
    ids = f"Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {stamp}"
    return {
        "error": entry.error,
        "error_description": f"AADSTS{code}: {entry.text.format_map(values)} {ids}",
        "error_codes": [code],
        "timestamp": stamp,
        "trace_id": trace_id,
        "correlation_id": correlation_id,
        "error_uri": f"https://login.microsoftonline.com/error?code={code}",
    }

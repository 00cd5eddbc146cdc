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
    50105: ErrorEntry(
        400,
        "invalid_grant",
        "Your administrator has configured the application {name} ('{client_id}') to block users unless they are "
        "specifically granted ('assigned') access to the application.",
    ),
    53003: ErrorEntry(
        400,
        "invalid_grant",
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
    ),
    90033: ErrorEntry(503, "temporarily_unavailable", "A transient error has occurred. Please try again."),
    # Paths of many tenants
    50059: ErrorEntry(
        400,
        "invalid_request",
        "No tenant-identifying information found in either the request or implied by any provided credentials.",
    ),
    50194: ErrorEntry(
        400,
        "invalid_request",
        "Application '{client_id}'({name}) is not configured as a multi-tenant application. Usage of the /{path} "
        "endpoint is not supported for such apps created after '10/15/2018'. Use a tenant-specific endpoint or "
        "configure the application to be multi-tenant.",
    ),
    9002331: ErrorEntry(
        400,
        "invalid_request",
        "Application '{client_id}'({name}) is configured for use by Microsoft Account users only. Please use the "
        "/consumers endpoint to serve this request.",
    ),
    9002332: ErrorEntry(
        400,
        "invalid_request",
        "Application '{client_id}'({name}) is configured for use by Azure Active Directory users only. Please do not "
        "use the /consumers endpoint to serve this request.",
    ),
    # Users
    50020: ErrorEntry(
        400,
        "interaction_required",
        "User account '{{EmailHidden}}' from identity provider 'live.com' does not exist in tenant '{tenant}' and "
        "cannot access the application in that tenant. The account needs to be added as an external user in the "
        "tenant first. Sign out and sign in again with a different Azure Active Directory user account.",
    ),
    50034: ErrorEntry(
        400,
        "invalid_grant",
        "The user account {{EmailHidden}} does not exist in the {tenant} directory. To sign into this application, "
        "the account must be added to the directory.",
    ),
    50057: ErrorEntry(400, "invalid_grant", "The user account is disabled."),
    500341: ErrorEntry(
        400,
        "invalid_grant",
        "The user account {{EmailHidden}} has been deleted from the {tenant} directory. To sign into this "
        "application, the account must be added to the directory.",
    ),
    50076: ErrorEntry(
        400,
        "invalid_grant",
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must "
        "use multi-factor authentication to access '00000002-0000-0ff1-ce00-000000000000'.",
    ),
    65001: ErrorEntry(
        400,
        "invalid_grant",
        "The user or administrator has not consented to use the application with ID '{client_id}' named '{name}'. "
        "Send an interactive authorization request for this user and resource.",
    ),
    # Scopes of users
    70011: ErrorEntry(
        400,
        "invalid_scope",
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter "
        "'scope' is not valid. The scope {scope} is not valid.",
    ),
    700022: ErrorEntry(
        400,
        "invalid_scope",
        "The provided value for the input parameter scope is not valid because it contains more than one resource. "
        "Scope {scope} is not valid.",
    ),
    # Device codes
    70016: ErrorEntry(
        400, "authorization_pending", "OAuth 2.0 device flow error. Authorization is pending. Continue polling."
    ),
    70018: ErrorEntry(
        400,
        "bad_verification_code",
        "Invalid verification code due to User typing in wrong user code for device code flow.",
    ),
    70020: ErrorEntry(
        400,
        "expired_token",
        "The provided value for the input parameter 'device_code' is not valid. This device code has expired.",
    ),
    65004: ErrorEntry(400, "authorization_declined", "User declined to consent to access the app."),
    # Refresh tokens
    9002313: ErrorEntry(400, "invalid_request", "Invalid request. Request is malformed or invalid."),
    70000: ErrorEntry(
        400,
        "invalid_grant",
        "The user could not be authenticated or the grant is expired. The user must first sign in and if needed grant "
        "the client application access to the requested scope.",
    ),
    70008: ErrorEntry(
        400,
        "invalid_grant",
        "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive "
        "authorization request for this user and resource.",
    ),
    700082: ErrorEntry(
        400,
        "invalid_grant",
        "The refresh token has expired due to inactivity. The token was issued on {issued} and was inactive for "
        "90.00:00:00.",
    ),
    50173: ErrorEntry(
        400,
        "invalid_grant",
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have "
        "changed or reset their password. The grant was issued on '{issued}' and the TokensValidFrom date (before "
        "which tokens are not valid) for this user is '{valid_from}'.",
    ),
    # Public clients
    700025: ErrorEntry(
        401,
        "invalid_client",
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
    ),
    # Federated credentials
    50013: ErrorEntry(401, "invalid_client", "Assertion failed signature validation. [Reason - {reason}]"),
    70021: ErrorEntry(
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion. Assertion Issuer: '{issuer}'. Assertion "
        "Subject: '{subject}'. Assertion Audience: '{audience}'. "
        "https://docs.microsoft.com/en-us/azure/active-directory/develop/workload-identity-federation",
    ),
    700211: ErrorEntry(
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion issuer '{issuer}'. "
        "https://learn.microsoft.com/entra/workload-id/workload-identity-federation",
    ),
    700212: ErrorEntry(
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion audience '{audience}'. "
        "https://learn.microsoft.com/entra/workload-id/workload-identity-federation",
    ),
    700213: ErrorEntry(
        401,
        "invalid_client",
        "No matching federated identity record found for presented assertion subject '{subject}'. "
        "https://learn.microsoft.com/entra/workload-id/workload-identity-federation",
    ),
    70025: ErrorEntry(
        401, "invalid_client", "The client '{client_id}'({name}) has no configured federated identity credentials."
    ),
}

SUBERRORS: Mapping[int, str] = {50173: "token_expired", 65001: "consent_required", 50076: "basic_action"}
"""What some errors say further, in a member of their own."""


class EntraError(Exception):
    """A request that Entra refuses."""

    def __init__(self, code: int, *, retry_after: int | None = None, **values: object) -> None:
        """Refuse with an AADSTS code of `ERRORS`.

        `values` fill its text or replace its `error`, `retry_after` is in seconds.
        """
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
    suberror = {"suberror": SUBERRORS[code]} if code in SUBERRORS else {}
    return suberror | {
        "error": values.get("error", entry.error),
        "error_description": f"AADSTS{code}: {entry.text.format_map(values)} {ids}",
        "error_codes": [code],
        "timestamp": stamp,
        "trace_id": trace_id,
        "correlation_id": correlation_id,
        "error_uri": f"https://login.microsoftonline.com/error?code={code}",
    }

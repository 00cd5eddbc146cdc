"""What Google has: clients, service accounts and users; and the error answers of its token endpoint, as data.

Rules of this file:
- All of it is mutable as at Google: a key may be deleted or a delegation withdrawn while a check runs.
- Texts and HTTP statuses follow https://developers.google.com/identity/protocols/oauth2/service-account#jwt-error-codes
  and https://developers.google.com/identity/protocols/oauth2/native-app, and answers seen in public reports.
"""

import json
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

MAIL_SCOPE = "https://mail.google.com/"
API_SCOPES = frozenset({"https://www.googleapis.com/auth/gmail.send", "https://www.googleapis.com/auth/gmail.readonly"})
DIRECTORY_SCOPE = "https://www.googleapis.com/auth/admin.directory.user.readonly"
IAM_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
SIGN_IN_SCOPES = frozenset({"openid", "email", "profile", "https://www.googleapis.com/auth/userinfo.email"})
SCOPES = frozenset({MAIL_SCOPE, DIRECTORY_SCOPE, IAM_SCOPE}) | API_SCOPES | SIGN_IN_SCOPES
"""The scopes that the issuer knows."""


class Fault(StrEnum):
    """What the token endpoint refuses for."""

    NOT_DELEGATED = "not_delegated"
    DELEGATION_MISSING = "delegation_missing"
    SCOPE_NOT_DELEGATED = "scope_not_delegated"
    ADMIN_POLICY = "admin_policy"
    CLIENT_UNKNOWN = "client_unknown"
    CLIENT_SECRET_WRONG = "client_secret_wrong"
    CLIENT_DELETED = "client_deleted"
    CLIENT_DISABLED = "client_disabled"
    ORG_INTERNAL = "org_internal"
    ACCOUNT_UNKNOWN = "account_unknown"
    USER_UNKNOWN = "user_unknown"
    USER_DELETED = "user_deleted"
    USER_SUSPENDED = "user_suspended"
    ACCOUNT_DISABLED = "account_disabled"
    ASSERTION_TIMES = "assertion_times"
    ASSERTION_SIGNATURE = "assertion_signature"
    ASSERTION_AUDIENCE = "assertion_audience"
    ASSERTION_BROKEN = "assertion_broken"
    SCOPE = "scope"
    DEVICE_SCOPE = "device_scope"
    GRANT_TYPE = "grant_type"
    PARAMETER_MISSING = "parameter_missing"
    REFRESH_TOKEN_DEAD = "refresh_token_dead"
    REFRESH_TOKEN_UNKNOWN = "refresh_token_unknown"
    CODE = "code"
    CODE_VERIFIER = "code_verifier"
    REDIRECT_URI = "redirect_uri"
    PENDING = "pending"
    SLOW_DOWN = "slow_down"
    DECLINED = "declined"
    EXPIRED = "expired"
    TOKEN = "token"
    UNAVAILABLE = "unavailable"
    RATE = "rate"


ERRORS: Mapping[Fault, tuple[int, str, str]] = {
    Fault.NOT_DELEGATED: (
        401,
        "unauthorized_client",
        (
            "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of "
            "the scopes requested."
        ),
    ),
    Fault.DELEGATION_MISSING: (401, "unauthorized_client", "Unauthorized client or scope in request."),
    Fault.SCOPE_NOT_DELEGATED: (403, "access_denied", "Requested client not authorized."),
    Fault.ADMIN_POLICY: (400, "admin_policy_enforced", "Access to your account data is restricted by policies."),
    Fault.CLIENT_UNKNOWN: (401, "invalid_client", "The OAuth client was not found."),
    Fault.CLIENT_SECRET_WRONG: (401, "invalid_client", "The provided client secret is invalid."),
    Fault.CLIENT_DELETED: (401, "deleted_client", "The OAuth client was deleted."),
    Fault.CLIENT_DISABLED: (401, "disabled_client", "The OAuth client was disabled."),
    Fault.ORG_INTERNAL: (403, "org_internal", "This client is restricted to users within its organization."),
    Fault.ACCOUNT_UNKNOWN: (400, "invalid_grant", "Invalid grant: account not found"),
    Fault.USER_UNKNOWN: (400, "invalid_grant", "Invalid email or User ID"),
    Fault.USER_DELETED: (400, "invalid_grant", "Account has been deleted"),
    Fault.USER_SUSPENDED: (400, "invalid_grant", "Account disabled"),
    Fault.ACCOUNT_DISABLED: (400, "invalid_grant", "Robot is disabled."),
    Fault.ASSERTION_TIMES: (
        400,
        "invalid_grant",
        (
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat "
            "and exp values in the JWT claim."
        ),
    ),
    Fault.ASSERTION_SIGNATURE: (400, "invalid_grant", "Invalid JWT Signature."),
    Fault.ASSERTION_AUDIENCE: (400, "invalid_grant", "Invalid JWT: Failed audience check."),
    Fault.ASSERTION_BROKEN: (400, "invalid_request", "Bad Request"),
    Fault.SCOPE: (400, "invalid_scope", "Invalid OAuth scope or ID token audience provided."),
    Fault.DEVICE_SCOPE: (400, "invalid_scope", "Invalid device flow scope: {scope}"),
    Fault.GRANT_TYPE: (400, "unsupported_grant_type", "Invalid grant_type: {grant_type}"),
    Fault.PARAMETER_MISSING: (400, "invalid_request", "Missing required parameter: {parameter}"),
    Fault.REFRESH_TOKEN_DEAD: (400, "invalid_grant", "Token has been expired or revoked."),
    Fault.REFRESH_TOKEN_UNKNOWN: (400, "invalid_grant", "Bad Request"),
    Fault.CODE: (400, "invalid_grant", "Malformed auth code."),
    Fault.CODE_VERIFIER: (400, "invalid_grant", "Invalid code verifier."),
    Fault.REDIRECT_URI: (400, "redirect_uri_mismatch", "Bad Request"),
    Fault.PENDING: (428, "authorization_pending", "Precondition Required"),
    Fault.SLOW_DOWN: (403, "slow_down", "Forbidden"),
    Fault.DECLINED: (403, "access_denied", "Forbidden"),
    Fault.EXPIRED: (400, "expired_token", "Bad Request"),
    Fault.TOKEN: (400, "invalid_token", "Invalid Value"),
    Fault.UNAVAILABLE: (503, "temporarily_unavailable", "Service Unavailable"),
    Fault.RATE: (429, "rate_limit_exceeded", "Rate Limit Exceeded"),
}


class GoogleError(Exception):
    """A request that Google refuses."""

    def __init__(self, fault: Fault, **values: str) -> None:
        """Refuse for the fault; `values` fill its text."""
        super().__init__(fault)
        status, error, text = ERRORS[fault]
        self.status = status
        self.body = {"error": error, "error_description": text.format_map(values)}


@dataclass(slots=True)
class GoogleUser:
    """One account with a mailbox."""

    address: str
    name: str = ""
    deleted: bool = False
    suspended: bool = False
    suspension_reason: str = "ADMIN"
    archived: bool = False
    mailbox_created: bool = True
    aliases: tuple[str, ...] = ()
    id: str = field(default_factory=lambda: str(10**20 + secrets.randbelow(10**20)))

    @property
    def addresses(self) -> frozenset[str]:
        """Return all of its addresses in lower case."""
        return frozenset(each.casefold() for each in (self.address, *self.aliases))


@dataclass(slots=True)
class GoogleClient:
    """One OAuth client of a project, of the kind "desktop app"."""

    client_id: str = field(
        default_factory=lambda: f"{secrets.randbelow(10**12):012}-{secrets.token_hex(16)}.apps.googleusercontent.com"
    )
    secret: str = field(default_factory=lambda: f"GOCSPX-{secrets.token_urlsafe(21)}")
    testing: bool = False
    """The consent screen is external and in testing: refresh tokens die after seven days."""
    test_users: frozenset[str] | None = None
    """Who may sign in while it is in testing; None for anybody."""
    fault: Fault | None = None
    """What every request is refused for."""


@dataclass(slots=True)
class ServiceAccount:
    """One service account with the keys that it may sign with, and what an administrator delegated to it."""

    email: str = "smtpcheck@contoso-project.iam.gserviceaccount.com"
    unique_id: str = field(default_factory=lambda: str(10**20 + secrets.randbelow(10**20)))
    """The numeric client id that domain-wide delegation names."""
    delegated: frozenset[str] | None = frozenset({MAIL_SCOPE})
    """The scopes of its entry in the domain-wide delegation; None for no entry."""
    keys: dict[str, str] = field(default_factory=dict)
    """Public keys in PEM by their id; taken away, a key is deleted."""
    disabled_keys: dict[str, str] = field(default_factory=dict)
    """Why a key is disabled, by its id, in IAM's words."""
    key_ends: dict[str, float] = field(default_factory=dict)
    """When a key expires (Unix seconds), by its id; most never do."""
    disabled: bool = False
    fault: Fault | None = None
    """What every request is refused for."""

    def key_file(self, token_uri: str) -> str:
        """Make a new key and return its file in JSON, as the console gives it for download."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        key_id = uuid.uuid4().hex + secrets.token_hex(4)
        self.keys[key_id] = (
            key.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        content = {
            "type": "service_account",
            "project_id": self.email.partition("@")[2].partition(".")[0],
            "private_key_id": key_id,
            "private_key": private.decode(),
            "client_email": self.email,
            "client_id": self.unique_id,
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_x509_cert_url": f"https://www.googleapis.com/robot/v1/metadata/x509/{quote(self.email)}",
            "universe_domain": "googleapis.com",
        }
        return json.dumps(content, indent=2) + "\n"

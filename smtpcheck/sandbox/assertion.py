"""The check of a client's signed assertion, as Entra does it: signed by the client itself, or by an issuer it trusts.

Rules of this file:
- An own certificate is found by its thumbprint, then signature, names, audience and times are judged, each with its own
  error (RFC 7523 section 3, https://learn.microsoft.com/entra/identity-platform/certificate-credentials).
- An assertion whose issuer is not the client is a foreign one's, if there are federated credentials or no thumbprint:
  issuer, subject and audience must be those of one of them, letter by letter
  (https://learn.microsoft.com/entra/workload-id/workload-identity-federation).
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from jwt.types import Options

from smtpcheck.sandbox.directory import App, FederatedCredential
from smtpcheck.sandbox.entra import EntraError

_SKEW_SECONDS = 300
_THUMBPRINTS = {"x5t#S256": hashes.SHA256(), "x5t": hashes.SHA1()}  # noqa: S303 - RFC 7515 4.1.7 names SHA-1
_UNJUDGED: Options = {
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_aud": False,
    "verify_sub": False,
}


def verify_assertion(assertion: str, app: App, audiences: Sequence[str], now: float) -> None:
    """Return if the assertion proves the application; raise `EntraError` with Entra's own code otherwise.

    `audiences` are what the `aud` of an assertion of its own may be, `now` the time in Unix seconds.
    """
    try:
        header = jwt.get_unverified_header(assertion)
        unverified = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise EntraError(50027) from error
    signs_itself = header.keys() & _THUMBPRINTS.keys() and not app.federated
    if unverified.get("iss") != app.client_id and not signs_itself:
        _verify_federated(assertion, unverified, app, now)
        return
    certificate, thumbprint = _registered(header, app.certificates)
    if certificate is None:
        raise EntraError(700027, reason="The key was not found.", thumbprint=thumbprint)
    _check_signature(assertion, certificate, thumbprint)
    if not unverified.get("iss") == unverified.get("sub") == app.client_id:
        raise EntraError(700021)
    if unverified.get("aud") not in audiences:
        raise EntraError(700023)
    _check_times(unverified, now)


def _verify_federated(assertion: str, claims: Mapping[str, object], app: App, now: float) -> None:
    if not app.federated:
        raise EntraError(70025, client_id=app.client_id, name=app.name)
    wrong = {credential: _differences(credential, claims) for credential in app.federated}
    credential = min(wrong, key=lambda one: len(wrong[one]))
    issuer, subject, audience = (claims.get(name) for name in ("iss", "sub", "aud"))
    match wrong[credential]:
        case []:
            pass
        case [code]:
            raise EntraError(code, issuer=issuer, subject=subject, audience=audience)
        case _:
            raise EntraError(70021, issuer=issuer, subject=subject, audience=audience)
    try:
        jwt.decode(assertion, credential.public_pem, algorithms=["RS256"], options=_UNJUDGED)
    except jwt.InvalidTokenError as error:
        reason = "The key was found, but use of the key to verify the signature failed."
        raise EntraError(50013, reason=reason) from error
    _check_times(claims, now)


def _differences(credential: FederatedCredential, claims: Mapping[str, object]) -> list[int]:
    """Return the codes of what in the claims is not the credential's."""
    pairs = {
        700211: (credential.issuer, claims.get("iss")),
        700213: (credential.subject, claims.get("sub")),
        700212: (credential.audience, claims.get("aud")),
    }
    return [code for code, (wanted, sent) in pairs.items() if sent not in (wanted, [wanted])]


def _registered(header: Mapping[str, object], certificates: Sequence[bytes]) -> tuple[x509.Certificate | None, str]:
    sent = ""
    for name, algorithm in _THUMBPRINTS.items():
        sent = str(header.get(name, "")).rstrip("=")
        if not sent:
            continue
        for certificate in map(x509.load_pem_x509_certificate, certificates):
            if base64.urlsafe_b64encode(certificate.fingerprint(algorithm)).decode().rstrip("=") == sent:
                return certificate, sent
        break
    return None, sent


def _check_signature(assertion: str, certificate: x509.Certificate, thumbprint: str) -> None:
    key = certificate.public_key()
    try:
        jwt.decode(assertion, key, algorithms=["RS256", "PS256"], options=_UNJUDGED)  # type: ignore[arg-type]
    except jwt.InvalidTokenError as error:
        reason = "The key was found, but use of the key to verify the signature failed."
        raise EntraError(700027, reason=reason, thumbprint=thumbprint) from error


def _check_times(claims: Mapping[str, object], now: float) -> None:
    start, end = claims.get("nbf", claims.get("iat")), claims.get("exp")
    if not isinstance(start, int | float) or not isinstance(end, int | float):
        raise EntraError(50027)
    if not start - _SKEW_SECONDS <= now < end + _SKEW_SECONDS:
        raise EntraError(700024, now=_time(now), start=_time(start), end=_time(end))


def _time(timestamp: float) -> str:
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%dT%H:%M:%S}.0000000Z"

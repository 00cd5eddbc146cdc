"""The check of a client's signed assertion, as Entra does it.

Rule of this file: the certificate is found by its thumbprint, then signature, names, audience and times are judged,
each with its own error (RFC 7523 section 3,
https://learn.microsoft.com/entra/identity-platform/certificate-credentials).
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from smtpcheck.sandbox.entra import EntraError

_SKEW_SECONDS = 300
_THUMBPRINTS = {"x5t#S256": hashes.SHA256(), "x5t": hashes.SHA1()}  # noqa: S303 - RFC 7515 4.1.7 names SHA-1


def verify_assertion(
    assertion: str, client_id: str, audiences: Sequence[str], certificates: Sequence[bytes], now: float
) -> None:
    """Return if the assertion proves the client; raise `EntraError` with Entra's own code otherwise.

    `certificates` are the client's registered certificates in PEM, `audiences` what its `aud` may be, `now` the time in
    Unix seconds.
    """
    try:
        header = jwt.get_unverified_header(assertion)
        unverified = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise EntraError(50027) from error
    certificate, thumbprint = _registered(header, certificates)
    if certificate is None:
        raise EntraError(700027, reason="The key was not found.", thumbprint=thumbprint)
    _check_signature(assertion, certificate, thumbprint)
    _check_claims(unverified, client_id, audiences, now)


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
    unjudged = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
    try:
        jwt.decode(assertion, key, algorithms=["RS256", "PS256"], options=unjudged)  # type: ignore[arg-type]
    except jwt.InvalidTokenError as error:
        reason = "The key was found, but use of the key to verify the signature failed."
        raise EntraError(700027, reason=reason, thumbprint=thumbprint) from error


def _check_claims(claims: Mapping[str, object], client_id: str, audiences: Sequence[str], now: float) -> None:
    if not claims.get("iss") == claims.get("sub") == client_id:
        raise EntraError(700021)
    if claims.get("aud") not in audiences:
        raise EntraError(700023)
    start, end = claims.get("nbf", claims.get("iat")), claims.get("exp")
    if not isinstance(start, int | float) or not isinstance(end, int | float):
        raise EntraError(50027)
    if not start - _SKEW_SECONDS <= now < end + _SKEW_SECONDS:
        raise EntraError(700024, now=_time(now), start=_time(start), end=_time(end))


def _time(timestamp: float) -> str:
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%dT%H:%M:%S}.0000000Z"

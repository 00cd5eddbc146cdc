"""What a server's certificate says (RFC 5280), field by field.

Rules of this file:
- OpenSSL takes certificates that `cryptography` cannot parse. What can be read is read, by the one or the other, and
  the rest is named (`CertificateFacts.unreadable`): nothing raises, whatever the certificate holds.
- A certificate is a server's own text: what is kept of it is bounded.
"""

import functools
import hashlib
import ssl
from collections.abc import Callable, Mapping
from typing import TypeVar

from cryptography import x509

from smtpcheck.model.report import CertificateFacts

MAX_NAMES = 100
_LONGEST = 1000
_T = TypeVar("_T")


@functools.lru_cache(maxsize=512)
def certificate_facts(der: bytes, *, verified: bool) -> CertificateFacts | None:
    """Read a certificate in DER form; None if it cannot be parsed as a whole. Remembers the last few hundred."""
    unreadable: list[str] = []

    def field(name: str, read: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return read()
        except Exception:  # noqa: BLE001 - a parser of untrusted input; its own errors share no type
            unreadable.append(name)
            return otherwise

    try:
        certificate = x509.load_der_x509_certificate(der)
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except Exception:  # noqa: BLE001 - as above
        return None
    return CertificateFacts(
        not_before=begin.timestamp(),
        not_after=end.timestamp(),
        subject=field("subject", lambda: certificate.subject.rfc4514_string()[:_LONGEST], ""),
        issuer=field("issuer", lambda: certificate.issuer.rfc4514_string()[:_LONGEST], ""),
        names=field("names", lambda: _names(certificate), ()),
        fingerprint=hashlib.sha256(der).hexdigest(),
        self_signed=field("self_signed", lambda: certificate.subject == certificate.issuer, otherwise=False),
        verified=verified,
        unreadable=tuple(unreadable),
    )


def facts_by_openssl(der: bytes, decoded: Mapping[str, object]) -> CertificateFacts | None:
    """Return what OpenSSL has read of a certificate that it has verified; None if there are not even dates.

    `decoded` is what `SSLObject.getpeercert` returns.
    """
    try:
        begin, end = (ssl.cert_time_to_seconds(str(decoded[key])) for key in ("notBefore", "notAfter"))
    except (KeyError, ValueError):
        return None
    subject, issuer = (_distinguished_name(decoded.get(key)) for key in ("subject", "issuer"))
    listed = decoded.get("subjectAltName")
    named = [each for each in listed if isinstance(each, tuple)] if isinstance(listed, tuple) else []
    names = tuple(str(value)[:_LONGEST] for kind, value in named if kind in {"DNS", "IP Address"})
    return CertificateFacts(
        not_before=float(begin),
        not_after=float(end),
        subject=subject,
        issuer=issuer,
        names=names[:MAX_NAMES],
        fingerprint=hashlib.sha256(der).hexdigest(),
        self_signed=subject == issuer,
        verified=True,
        unreadable=("extensions",),
    )


def _distinguished_name(listed: object) -> str:
    """Return a name as `ssl` decodes it in the form of RFC 4514, the most specific part first."""
    parts = [pair for rdn in listed for pair in rdn] if isinstance(listed, tuple) else []
    return ",".join(f"{_SHORT.get(key, key)}={value}" for key, value in reversed(parts))[:_LONGEST]


_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
}


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    names = extension.value
    dns = names.get_values_for_type(x509.DNSName)
    addresses = names.get_values_for_type(x509.IPAddress)
    return tuple(name[:_LONGEST] for name in (*dns, *map(str, addresses))[:MAX_NAMES])

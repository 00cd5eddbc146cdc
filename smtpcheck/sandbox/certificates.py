"""The sandbox's certificate authority, and the certificates that its servers show.

Rules of this file:
- Every listener asks for a kind of certificate by name, so that a scenario can name a broken one.
- Good certificates live as long as public ones do, so that a page and a board show what they would show of a real one.
"""

import ssl
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import trustme

_LIFE = timedelta(days=90)


class Certificate(StrEnum):
    """What a listener shows to its clients."""

    VALID = "valid"
    EXPIRED = "expired"
    UNTRUSTED = "untrusted"
    """Issued by an authority that no check trusts."""
    WRONG_NAME = "wrong_name"
    """Valid, but for another host."""


class Authority:
    """A certificate authority for `localhost`, new in each world."""

    def __init__(self) -> None:
        self._ca = trustme.CA(organization_name="smtpcheck sandbox")

    @property
    def pem(self) -> bytes:
        """Return the authority's own certificate in PEM, for `ca_file`."""
        return self._ca.cert_pem.bytes()

    def server_context(self, certificate: Certificate) -> ssl.SSLContext:
        """Return a server's TLS context (1.2 or newer) that shows the certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._issue(certificate).configure_cert(context)
        return context

    def _issue(self, certificate: Certificate) -> trustme.LeafCert:
        match certificate:
            case Certificate.EXPIRED:
                return self._ca.issue_cert("localhost", not_after=datetime.now(UTC) - timedelta(days=1))
            case Certificate.UNTRUSTED:
                return trustme.CA(organization_name="unknown authority").issue_cert("localhost")
            case Certificate.WRONG_NAME:
                return self._ca.issue_cert("mail.example.org")
            case Certificate.VALID:
                return self._ca.issue_cert("localhost", "127.0.0.1", not_after=datetime.now(UTC) + _LIFE)

    def client_credential(self, name: str) -> tuple[str, str]:
        """Return an RSA key and its certificate, both in PEM, for a client that signs assertions."""
        issued = self._ca.issue_cert(
            common_name=name, key_type=trustme.KeyType.RSA, not_after=datetime.now(UTC) + _LIFE
        )
        return issued.private_key_pem.bytes().decode(), issued.cert_chain_pems[0].bytes().decode()

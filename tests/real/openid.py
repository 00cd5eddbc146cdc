"""An OpenID provider that is not ours, on loopback: npm's certified `oidc-provider` at the release of `issuer/`."""

import json
import re
import secrets
import shutil
import subprocess
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import jwt
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.real.daemon import Daemon, free_port, real_binary
from tests.real.mail import Certificates
from tests.real.tokens import AUDIENCE, SCOPE

MAILBOX = "anna@example.test"
RESOURCE = "urn:example:smtp"
OPAQUE = "urn:example:opaque"
"""The resource whose tokens are introspected."""
KEY_ID = "issuer-key"
CLIENTS = ("basic", "post", "assertion", "device")
"""Those that get tokens; a token names its own as `azp`."""
_SOURCE = Path(__file__).parent / "issuer"
_PATH = "/tenant"
_INSTALL_SECONDS = 300
_STEPS = 8


class OpenIDProvider(Daemon):
    """A running provider.

    Attributes:
        issuer: its address, with one segment of a path.
        secret: what the clients `basic` and `post` prove themselves with.
        private_key: what the client `assertion` signs with, in PEM (`private_key_jwt`, RS256).
        public_pem: the key that verifies its tokens; their `kid` is `KEY_ID`.
    """

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        """Install and start it.

        The client `device` is public, `dovecot` may only introspect, and all others have client credentials.
        """
        node, npm = real_binary("node"), real_binary("npm")
        for source in _SOURCE.iterdir():
            shutil.copy(source, folder)
        command = [npm, "ci", "--no-audit", "--no-fund", "--prefer-offline", "--prefix", str(folder)]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, timeout=_INSTALL_SECONDS)
        self.port = free_port()
        self.issuer = f"https://localhost:{self.port}{_PATH}"
        self.secret = secrets.token_urlsafe(32)
        own, clients = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
        self.public_pem = (
            own.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )
        self.private_key = clients.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        self._ca = str(certificates.ca)
        settings = {
            "port": self.port,
            "path": _PATH,
            "audience": AUDIENCE,
            "scope": SCOPE,
            "mailbox": MAILBOX,
            "resource": RESOURCE,
            "opaque": OPAQUE,
            "cookie": secrets.token_urlsafe(32),
            "key": {**_jwk(own), "kid": KEY_ID},
            "tls": {"key": str(certificates.key), "chain": str(certificates.chain)},
            "clients": self._clients(clients.public_key()),
        }
        path = folder / "settings.json"
        path.write_text(json.dumps(settings))
        super().__init__([node, folder / "issuer.mjs", path], log=folder / "issuer.log", ports=[self.port])

    def _clients(self, key: rsa.RSAPublicKey) -> list[dict[str, object]]:
        def client(name: str, method: str, grants: list[str], **further: object) -> dict[str, object]:
            return {
                "client_id": name,
                "token_endpoint_auth_method": method,
                "grant_types": grants,
                "redirect_uris": [],
                "response_types": [],
                **further,
            }

        applications = ["client_credentials"]
        users = ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]
        return [
            client("basic", "client_secret_basic", applications, client_secret=self.secret),
            client("post", "client_secret_post", applications, client_secret=self.secret),
            client("assertion", "private_key_jwt", applications, jwks={"keys": [_jwk(key)]}),
            client("device", "none", users, application_type="native"),
            client("dovecot", "client_secret_basic", [], client_secret=self.secret),
        ]

    def session(self) -> requests.Session:
        """Return a session that trusts the provider; whoever asks for it closes it."""
        session = requests.Session()
        session.trust_env = False
        session.verify = self._ca
        return session

    def approve(self, address: str, mailbox: str = MAILBOX) -> None:
        """Do what the user does in the browser: open the complete address, confirm, sign in as the mailbox, consent."""
        with self.session() as session:
            page = session.get(address, timeout=10)
            for _ in range(_STEPS):
                form = re.search(r"<form[^>]*action=\"([^\"]*)\"", page.text)
                if page.status_code != 200 or form is None:
                    break
                inputs = re.findall(r"<(?:input|button)\b[^>]*>", page.text)
                fields = dict(filter(None, map(_field, inputs))) | {"login": mailbox, "password": "any"}
                page = session.post(urljoin(page.url, unescape(form[1])), data=fields, timeout=10)
        if page.status_code != 200 or "Sign-in Success" not in page.text:
            raise AssertionError(f"the device was not approved: {page.status_code} {page.text[:2000]}")


def _jwk(key: rsa.RSAPrivateKey | rsa.RSAPublicKey) -> dict[str, object]:
    members = jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    del members["key_ops"]  # the provider looks for keys that verify, among its own as well
    return {**members, "alg": "RS256", "use": "sig"}


def _field(tag: str) -> tuple[str, str] | None:
    """Return name and value of an input of a form; None for one without a name, and for what aborts."""
    name, value = re.search(r"\bname=\"([^\"]*)\"", tag), re.search(r"\bvalue=\"([^\"]*)\"", tag)
    return (name[1], unescape(value[1]) if value else "") if name and name[1] != "abort" else None

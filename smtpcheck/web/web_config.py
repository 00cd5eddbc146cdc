"""`--web.config.file`: TLS, client certificates, users and headers, in the format of Prometheus' exporter-toolkit.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md

Rules of this file:
- The format is the toolkit's. What we cannot do we refuse where leaving it out would make the page less safe (client
  certificates that nobody verifies), and take without effect where it would not: `http2`, for we speak HTTP/1.1, and
  `curve_preferences`, for OpenSSL's order stands.
- Paths are relative to the file. No message shows a hash.
- Cipher suites have IANA's names, as Go's crypto/tls lists them; https://pkg.go.dev/crypto/tls#pkg-constants.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from smtpcheck.config.problems import Place, Problem, Problems, nearest
from smtpcheck.config.yaml_reader import read

CIPHER_SUITES: Mapping[str, str] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    # The suites of TLS 1.3 are always offered, here as in Go.
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}


_TOP_KEYS = frozenset({"tls_server_config", "http_server_config", "basic_auth_users"})
_TLS_FILES = ("cert_file", "key_file", "client_ca_file")
_TLS_KEYS = frozenset(
    {
        *_TLS_FILES,
        "client_auth_type",
        "client_allowed_sans",
        "min_version",
        "max_version",
        "cipher_suites",
        "prefer_server_cipher_suites",
        "curve_preferences",
    }
)
_HEADERS: Mapping[str, tuple[str, ...] | None] = {
    "Content-Security-Policy": None,
    "Strict-Transport-Security": None,
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": None,
}
"""The headers that may be set, and the values that each may have; None for any."""
_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_UNVERIFIED = frozenset({"RequestClientCert", "RequireAnyClientCert"})
_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """How to speak TLS to those who ask."""

    cert_file: FilePath
    key_file: FilePath
    client_ca_file: FilePath | None
    client_auth: ssl.VerifyMode
    allowed_sans: frozenset[str]
    """If any, a client's certificate must bear one of these names."""
    min_version: ssl.TLSVersion
    max_version: ssl.TLSVersion
    ciphers: tuple[str, ...]
    """OpenSSL's names of the suites up to TLS 1.2; empty for the library's choice."""
    prefer_server_ciphers: bool

    def context(self) -> ssl.SSLContext:
        """Return the context that this makes. Raises OSError where a file cannot be used."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version, context.maximum_version = self.min_version, self.max_version
        if self.ciphers:
            context.set_ciphers(":".join(self.ciphers))
        if self.prefer_server_ciphers:
            context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        context.load_cert_chain(self.cert_file, self.key_file, password=_no_passphrase)
        if self.client_ca_file:
            context.load_verify_locations(self.client_ca_file)
        context.verify_mode = self.client_auth
        return context


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What the file says; without arguments what holds where there is none."""

    tls: TlsConfig | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)
    """Users and the bcrypt hashes of their passwords."""

    @property
    def authenticates(self) -> bool:
        """Return whether nobody is served without a password or a verified certificate."""
        return bool(self.users) or (self.tls is not None and self.tls.client_auth is ssl.CERT_REQUIRED)


def load(path: FilePath) -> tuple[WebConfig | None, tuple[Problem, ...]]:
    """Read the file; return what it says, None if anything is wrong with it, and every problem."""
    problems = Problems()
    document = read(path, problems)
    if document is None:
        return None, problems.in_order([str(path)])
    reader = _Reader(path, problems)
    config = reader.config(Place(document), document.value)
    found = problems.in_order([str(path)])
    return (None if found else config), found


def _no_passphrase() -> str:
    """Refuse a key with a passphrase, instead of asking the terminal for it."""
    raise ssl.SSLError("the key has a passphrase")


class _Reader:
    """Makes the configuration of what stands in the file, and tells what is wrong."""

    def __init__(self, path: FilePath, problems: Problems) -> None:
        self._folder = path.parent
        self._problems = problems

    def config(self, place: Place, value: Any) -> WebConfig:
        top = self._section(place, value, _TOP_KEYS)
        tls = self._tls(place / "tls_server_config", top["tls_server_config"]) if top.get("tls_server_config") else None
        http = self._section(place / "http_server_config", top.get("http_server_config"), {"http2", "headers"})
        return WebConfig(
            tls=tls,
            headers=self._headers(place / "http_server_config" / "headers", http.get("headers")),
            users=self._users(place / "basic_auth_users", top.get("basic_auth_users")),
        )

    def _section(self, place: Place, value: Any, known: frozenset[str] | set[str] | None = None) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._problems.error(place, "must be a mapping")
            return {}
        for key in value:
            if known is not None and key not in known:
                self._problems.error(place / key, "unknown key", hint=nearest(key, known))
        return value

    def _headers(self, place: Place, value: Any) -> dict[str, str]:
        headers = {}
        for name, text in self._section(place, value, frozenset(_HEADERS)).items():
            allowed = _HEADERS.get(name)
            if not isinstance(text, str) or not text.isprintable():
                self._problems.error(place / name, "must be one line of text")
            elif text and allowed and text.lower() not in allowed:
                self._problems.error(place / name, f"must be {' or '.join(allowed)}", value=text)
            elif text:
                headers[name] = text
        return headers

    def _users(self, place: Place, value: Any) -> dict[str, str]:
        users = {}
        for user, hashed in self._section(place, value).items():
            if isinstance(hashed, str) and _BCRYPT.fullmatch(hashed):
                users[user] = hashed
            else:
                self._problems.error(place / user, "must be a bcrypt hash", hint="make one with: htpasswd -nB USER")
        return users

    def _tls(self, place: Place, value: Any) -> TlsConfig | None:
        section = self._section(place, value, _TLS_KEYS)
        cert, key, client_ca = (self._file(place / name, section.get(name)) for name in _TLS_FILES)
        for name, given in (("cert_file", cert), ("key_file", key)):
            if given is None and name not in section:
                self._problems.error(place, f"{name} is missing")
        client_auth = self._client_auth(place, section)
        if cert is None or key is None:
            return None
        config = TlsConfig(
            cert_file=cert,
            key_file=key,
            client_ca_file=client_ca,
            client_auth=client_auth,
            allowed_sans=frozenset(self._texts(place / "client_allowed_sans", section.get("client_allowed_sans"))),
            min_version=self._version(place / "min_version", section.get("min_version", "TLS12")),
            max_version=self._version(place / "max_version", section.get("max_version", "TLS13")),
            ciphers=self._ciphers(place / "cipher_suites", section.get("cipher_suites")),
            prefer_server_ciphers=section.get("prefer_server_cipher_suites", True) is not False,
        )
        self._try(place, config)
        return config

    def _client_auth(self, place: Place, section: Mapping[str, Any]) -> ssl.VerifyMode:
        name = section.get("client_auth_type") or "NoClientCert"
        mode = _CLIENT_AUTH.get(name) if isinstance(name, str) else None
        if mode is None:
            hint = (
                "a certificate that is not verified proves nothing; use RequireAndVerifyClientCert"
                if name in _UNVERIFIED
                else nearest(name, _CLIENT_AUTH)
            )
            self._problems.error(place / "client_auth_type", "is not supported", value=name, hint=hint)
            return ssl.CERT_NONE
        if mode is not ssl.CERT_NONE and not section.get("client_ca_file"):
            self._problems.error(place, "client_ca_file is missing: client_auth_type needs it")
        if mode is ssl.CERT_NONE and section.get("client_ca_file"):
            self._problems.error(
                place / "client_ca_file", "has no effect", hint="set client_auth_type: RequireAndVerifyClientCert"
            )
        if mode is not ssl.CERT_REQUIRED and section.get("client_allowed_sans"):
            self._problems.error(place / "client_allowed_sans", "needs client_auth_type: RequireAndVerifyClientCert")
        return mode

    def _file(self, place: Place, value: Any) -> FilePath | None:
        if value is None:
            return None
        if isinstance(value, str) and (path := self._folder / value).is_file():
            return path
        self._problems.error(place, "is no file that can be read", value=value)
        return None

    def _version(self, place: Place, value: Any) -> ssl.TLSVersion:
        version = _VERSIONS.get(value) if isinstance(value, str) else None
        if version is None:
            self._problems.error(place, "must be TLS10, TLS11, TLS12 or TLS13", value=value)
        return version or ssl.TLSVersion.TLSv1_2

    def _texts(self, place: Place, value: Any) -> tuple[str, ...]:
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self._problems.error(place, "must be a list of texts")
        return ()

    def _ciphers(self, place: Place, value: Any) -> tuple[str, ...]:
        names = []
        for index, suite in enumerate(self._texts(place, value)):
            if suite not in CIPHER_SUITES:
                self._problems.error(place / index, "is no cipher suite known here", value=suite)
            elif name := CIPHER_SUITES[suite]:
                names.append(name)
        return tuple(names)

    def _try(self, place: Place, config: TlsConfig) -> None:
        """Make a context once, so that what OpenSSL refuses is told now."""
        try:
            config.context()
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            self._problems.error(
                place,
                f"cannot be used: {str(reason).replace('_', ' ').lower()}",
                hint="look at its files and versions",
            )

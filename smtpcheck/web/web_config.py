"""`--web.config.file`: TLS, client certificates, users and headers, in the format of Prometheus' exporter-toolkit.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md

Rules of this file:
- The format is the toolkit's. What we cannot do we refuse where ignoring it would make the page less safe (client
  certificates that nobody verifies), and take without effect where it would not: `http2`, for we speak HTTP/1.1, and
  `curve_preferences`, for OpenSSL's order holds.
- It is read as the configuration is: every problem of the file at once, with its line; a key without a value is as if
  it were not there.
- Paths are relative to the file. No message shows a hash.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from smtpcheck.config.problems import Place, Problem, Problems, nearest
from smtpcheck.config.validation import ConfigSection, validated
from smtpcheck.config.yaml_reader import read
from smtpcheck.web.ciphers import CIPHER_SUITES

_CLIENT_AUTH = {
    "": ssl.CERT_NONE,
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
    """If any, a client's certificate must have one of these names."""
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
    config = _read(path, problems)
    found = problems.in_order([str(path)])
    return (None if found else config), found


def _read(path: FilePath, problems: Problems) -> WebConfig | None:
    document = read(path, problems)
    if document is None:
        return None
    top = Place(document)
    raw = {} if document.value is None else document.value
    section = validated(_FileSection, raw, lambda below: top + below, problems, path.parent)
    if section is None:
        return None
    tls = section.tls_server_config
    headers = section.http_server_config.headers.model_dump(by_alias=True)
    return WebConfig(
        tls=_tls_config(tls, top / "tls_server_config", problems) if tls else None,
        headers={name: text for name, text in headers.items() if text},
        users=section.basic_auth_users,
    )


def _no_passphrase() -> str:
    """Refuse a key with a passphrase, instead of asking the terminal for it."""
    raise ssl.SSLError("the key has a passphrase")


# -- what may be in the file ------------------------------------------------------------------------------------------


def _existing(given: str, info: ValidationInfo) -> FilePath:
    path = FilePath((info.context or {})["folder"]) / given
    if not path.is_file():
        raise ValueError("is not a file that can be read")
    return path


def _client_auth(name: str) -> str:
    if name in _CLIENT_AUTH:
        return name
    hint = (
        "a certificate that is not verified proves nothing; use RequireAndVerifyClientCert"
        if name in _UNVERIFIED
        else nearest(name, filter(None, _CLIENT_AUTH))
    )
    raise ValueError(f"is not supported\n{hint}")


def _suite(name: str) -> str:
    if name not in CIPHER_SUITES:
        raise ValueError("is not a cipher suite known here")
    return name


def _hash(text: str) -> str:
    if not _BCRYPT.fullmatch(text):
        raise ValueError("must be a bcrypt hash\ncreate one with: htpasswd -nB USER")
    return text


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of text")
    return text


def _one_of(*allowed: str) -> AfterValidator:
    def check(text: str) -> str:
        if text and text.lower() not in allowed:
            raise ValueError(f"must be {' or '.join(allowed)}")
        return text

    return AfterValidator(check)


_File = Annotated[str, AfterValidator(_existing)]
_Version = Literal["TLS10", "TLS11", "TLS12", "TLS13"]
_Header = Annotated[str, AfterValidator(_one_line)]


class _WebSection(ConfigSection):
    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, raw: object) -> object:
        return {key: value for key, value in raw.items() if value is not None} if isinstance(raw, dict) else raw


class _TlsSection(_WebSection):
    cert_file: _File
    key_file: _File
    client_ca_file: _File | None = None
    client_auth_type: Annotated[str, AfterValidator(_client_auth)] = ""
    client_allowed_sans: tuple[str, ...] = ()
    min_version: _Version = "TLS12"
    max_version: _Version = "TLS13"
    cipher_suites: tuple[Annotated[str, AfterValidator(_suite)], ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: object = None


class _HeadersSection(_WebSection):
    content_security_policy: _Header = Field("", alias="Content-Security-Policy")
    strict_transport_security: _Header = Field("", alias="Strict-Transport-Security")
    x_content_type_options: Annotated[_Header, _one_of("nosniff")] = Field("", alias="X-Content-Type-Options")
    x_frame_options: Annotated[_Header, _one_of("deny", "sameorigin")] = Field("", alias="X-Frame-Options")
    x_xss_protection: _Header = Field("", alias="X-XSS-Protection")


class _HttpSection(_WebSection):
    http2: object = None
    headers: _HeadersSection = Field(default_factory=lambda: _HeadersSection.model_validate({}))


class _FileSection(_WebSection):
    tls_server_config: _TlsSection | None = None
    http_server_config: _HttpSection = Field(default_factory=_HttpSection)
    basic_auth_users: dict[str, Annotated[str, AfterValidator(_hash)]] = Field(default_factory=dict)


def _tls_config(section: _TlsSection, place: Place, problems: Problems) -> TlsConfig:
    """Return the settings of TLS, and report what does not go together."""
    mode = _CLIENT_AUTH[section.client_auth_type]
    if mode is not ssl.CERT_NONE and not section.client_ca_file:
        problems.error(place, "client_ca_file is missing: client_auth_type needs it")
    if mode is ssl.CERT_NONE and section.client_ca_file:
        hint = "set client_auth_type: RequireAndVerifyClientCert"
        problems.error(place / "client_ca_file", "has no effect", hint=hint)
    if mode is not ssl.CERT_REQUIRED and section.client_allowed_sans:
        problems.error(place / "client_allowed_sans", "needs client_auth_type: RequireAndVerifyClientCert")
    config = TlsConfig(
        cert_file=FilePath(section.cert_file),
        key_file=FilePath(section.key_file),
        client_ca_file=FilePath(section.client_ca_file) if section.client_ca_file else None,
        client_auth=mode,
        allowed_sans=frozenset(section.client_allowed_sans),
        min_version=_VERSIONS[section.min_version],
        max_version=_VERSIONS[section.max_version],
        ciphers=tuple(filter(None, (CIPHER_SUITES[suite] for suite in section.cipher_suites))),
        prefer_server_ciphers=section.prefer_server_cipher_suites,
    )
    try:
        config.context()  # so that what OpenSSL refuses is reported now
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        message = f"cannot be used: {str(reason).replace('_', ' ').lower()}"
        problems.error(place, message, hint="check its files and versions")
    return config

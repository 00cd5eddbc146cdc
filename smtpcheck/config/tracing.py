"""The settings of OTLP: where traces go, and whether the packages for it are installed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from smtpcheck.secrets.source import SecretSource

NOT_INSTALLED = "needs packages that are not installed"
INSTALL = "pip install 'smtpcheck[otlp]'"


@dataclass(frozen=True, slots=True)
class Otlp:
    """Where traces go, by OTLP over HTTP."""

    endpoint: str
    """A URL; `/v1/traces` is added unless it ends so."""
    headers: Mapping[str, SecretSource] = field(default_factory=dict)


def is_installed() -> bool:
    """Return whether the packages of the extra are there."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False

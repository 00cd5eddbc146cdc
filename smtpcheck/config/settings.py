"""The settings: what a configuration means, with every default filled in.

Rule of this file: settings are never mutated; a reload makes new ones.
"""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from smtpcheck.config.alerts import AlertSettings
from smtpcheck.config.problems import Problem
from smtpcheck.config.tracing import Otlp
from smtpcheck.inspection.plan import InspectionPlan
from smtpcheck.loopback.plan import Loopback
from smtpcheck.model.check import Check
from smtpcheck.model.shard import ALONE, ShardAssignment
from smtpcheck.oauth.credential import Credential
from smtpcheck.secrets.source import SecretSource


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What concerns the agent as a whole."""

    listen: tuple[str, int]
    """Host and port of the web page and the metrics; port 0 takes a free one."""
    state: Path
    """The folder of what survives a restart."""
    max_open_connections: int = 200
    expose_addresses: bool = False
    """Whether metrics may show mailboxes."""
    fresh_every: float = 3600.0
    """Seconds after which the issuer is asked for a token at the latest, bypassing caches."""
    token_key: SecretSource | None = None
    """What refresh tokens are encrypted with on disk; None: with nothing."""
    otlp: Otlp | None = None
    """Where traces of the runs go; None: where OpenTelemetry's variables say, if they do."""
    external_url: str = ""
    """Where others find the page, without a slash at its end; empty where it is not configured."""
    connectivity: tuple[tuple[str, int], ...] = ()
    """Hosts and ports that witness whether the agent has network, beside the servers of its checks."""

    @property
    def page(self) -> str:
        """Return where the page is, as far as is known, without a slash at its end."""
        if self.external_url:
            return self.external_url
        host, port = self.listen
        if host in {"0.0.0.0", "::"}:
            host = platform.node() or "localhost"
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole configuration that can be used."""

    agent: AgentSettings
    credentials: Mapping[str, Credential] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    loopbacks: Mapping[str, Loopback] = field(default_factory=dict)
    """By the name of the check."""
    inspections: Mapping[str, InspectionPlan] = field(default_factory=dict)
    """By the name of the credential that is inspected."""
    label_names: tuple[str, ...] = ()
    """The names of the user's labels over all checks, sorted."""
    alerts: AlertSettings | None = None
    """None: there are no alerts."""
    files: tuple[Path, ...] = ()
    """Every file that was read: YAML, and tables of mailboxes; no secrets."""
    sharding: ShardAssignment = ALONE
    """All agents that share the configuration's checks; those above are this one's."""
    by_name: Mapping[str, Check] = field(init=False, repr=False, compare=False)
    """The checks by their names."""

    def __post_init__(self) -> None:
        """Put the checks by their names, once for all who ask."""
        object.__setattr__(self, "by_name", MappingProxyType({check.name: check for check in self.checks}))

    def keeping(self, before: "Settings") -> "Settings":
        """Return these settings with the very checks of `before` that are equal: what is new is seen without a look."""

        def kept(check: Check) -> Check:
            known = before.by_name.get(check.name)
            return known if known is not None and known == check else check

        following = tuple(map(kept, self.sharding.following))
        return replace(self, checks=tuple(map(kept, self.checks)), sharding=replace(self.sharding, following=following))


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading gave."""

    settings: Settings | None
    """None when any problem is an error."""
    problems: tuple[Problem, ...] = ()
    """By file and line."""
    contents: Mapping[Path, str] = field(default_factory=dict)
    """A digest of each file that was read, empty for one that could not be: also where there are no settings."""

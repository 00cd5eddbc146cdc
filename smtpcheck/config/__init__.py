"""The configuration: YAML to frozen settings, with every problem at once.

- `load` reads files, `from_options` makes the same settings of options; both give a `Loaded`.
- `traffic_of` says what a configuration will cause at each host and issuer, `json_schema` describes it to an editor.
"""

from smtpcheck.config.fields import parse_listen
from smtpcheck.config.loading import load
from smtpcheck.config.options import from_options
from smtpcheck.config.problems import Problem
from smtpcheck.config.schema import json_schema
from smtpcheck.config.settings import AgentSettings, Loaded, Settings
from smtpcheck.config.traffic import HostTraffic, IssuerTraffic, Traffic, traffic_of
from smtpcheck.model.duration import parse_duration

__all__ = [
    "AgentSettings",
    "HostTraffic",
    "IssuerTraffic",
    "Loaded",
    "Problem",
    "Settings",
    "Traffic",
    "from_options",
    "json_schema",
    "load",
    "parse_duration",
    "parse_listen",
    "traffic_of",
]

"""The configuration: from YAML or options to frozen settings, with every problem at once, and what they will cause.

What credentials, notifiers and finders are is in `oauth/`, `alerts/` and `loopback/`; no connection is opened here.
"""

from smtpcheck.config.fields import parse_listen
from smtpcheck.config.loading import contents_now, load
from smtpcheck.config.options import for_mailboxes, from_options
from smtpcheck.config.problems import Problem
from smtpcheck.config.schema import api_json_schema, json_schema
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
    "api_json_schema",
    "contents_now",
    "for_mailboxes",
    "from_options",
    "json_schema",
    "load",
    "parse_duration",
    "parse_listen",
    "traffic_of",
]

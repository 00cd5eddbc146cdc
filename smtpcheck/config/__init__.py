"""The configuration: YAML to frozen settings, with every problem at once.

- `load` reads files, `check_from_options` makes the same settings of options; both give a `Loaded`.
- `demand` says what a configuration will cause at each host and issuer, `json_schema` describes it to an editor.
"""

from smtpcheck.config.fields import parse_duration, parse_listen
from smtpcheck.config.loading import load
from smtpcheck.config.problems import Problem
from smtpcheck.config.settings import AgentSettings, Loaded, Settings

__all__ = [
    "AgentSettings",
    "Loaded",
    "Problem",
    "Settings",
    "load",
    "parse_duration",
    "parse_listen",
]

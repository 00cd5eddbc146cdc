"""The descriptions that come with smtpcheck, one YAML file each."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from smtpcheck.mail_api.description import Description, description_of

SHIPPED = tuple(
    sorted(item.name.removesuffix(".yaml") for item in files(__package__).iterdir() if item.name.endswith(".yaml"))
)
"""The names of the APIs."""


@cache
def shipped(api: str) -> Description:
    """Return the description of an API in `SHIPPED`. A fault in the data is a fault of ours and raises."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    raw = yaml.load(files(__package__).joinpath(f"{api}.yaml").read_bytes(), Loader=loader)  # noqa: S506
    return description_of(raw)

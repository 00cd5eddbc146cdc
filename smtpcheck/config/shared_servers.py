"""The `server` of thousands of checks, validated once for all that say the same.

Rule of this file: only what is right is shared; what is wrong is reported by each check that says it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smtpcheck.config.models import ServerSection


class SharedServers:
    """The servers of one configuration as it comes together."""

    def __init__(self) -> None:
        self._valid: dict[tuple[Path | None, str], ServerSection | None] = {}

    def put_into(self, raw: Mapping[str, Any], folder: Path | None) -> Mapping[str, Any]:
        """Return a check as it was written with its server as a section, if that is one."""
        server = raw.get("server")
        if not isinstance(server, dict):
            return raw
        key = folder, repr(server)
        if key not in self._valid:
            self._valid[key] = _section(server, folder)
        section = self._valid[key]
        return raw if section is None else {**raw, "server": section}


def _section(server: dict[str, Any], folder: Path | None) -> ServerSection | None:
    try:
        return ServerSection.model_validate(server, context={"folder": folder})
    except ValidationError:
        return None

"""The files that describe mail APIs of the user's own: each is read once, and every problem in it reported.

Rule of this file: what a description may say is its own model's to decide (`mail_api/description.py`).
"""

from pathlib import Path

from smtpcheck.config.contents import Contents
from smtpcheck.config.problems import Place, Problems
from smtpcheck.config.validation import validated
from smtpcheck.config.yaml_reader import read
from smtpcheck.mail_api.description import Description


class ApiFiles:
    """The files of one configuration."""

    def __init__(self, problems: Problems, contents: Contents) -> None:
        """Report what is wrong to `problems`; `contents` notes what was read."""
        self._contents = contents
        self._problems = problems
        self._read: dict[Path, str] = {}

    @property
    def paths(self) -> tuple[Path, ...]:
        """Return the files that were asked for."""
        return tuple(self._read)

    def description(self, path: Path) -> str:
        """Return a file's description as JSON; empty where it has an error, which is reported."""
        if path not in self._read:
            self._read[path] = self._described(path)
        return self._read[path]

    def _described(self, path: Path) -> str:
        document = read(path, self._problems, self._contents)
        if document is None:
            return ""
        place = Place(document)
        if document.value is None:
            self._problems.error(place, "is empty", hint="describe the API: smtpcheck schema api")
            return ""
        found = validated(Description, document.value, place.__add__, self._problems, path.parent)
        return found.model_dump_json(by_alias=True, exclude_defaults=True) if found else ""

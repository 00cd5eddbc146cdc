"""YAML with line numbers.

Rules of this file:
- A mapping is a `Section`, a list is `Items`: a dict and a list that know the line of each member. Lines count from 1.
  What an alias or a merge key repeats has the line where it is written, for there it is mended.
- They are built from the parser's events, so that nesting is bounded before anything recurses: libyaml's own composer
  overflows the stack on a deep document. What aliases (`*name`) repeat is bounded too.
- A key that is repeated in one mapping is an error: YAML 1.2 forbids it (3.2.1.1), and one of the two would be lost.
- No message repeats a word of the file that might be a secret.
"""

from pathlib import Path
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from smtpcheck.config.contents import Contents
from smtpcheck.config.problems import KeyPath, Place, Problems

_DEEPEST = 24
_TOO_DEEP = f"is nested more than {_DEEPEST} levels deep"
_MOST_REPEATED = 1_000_000
_STRING = "tag:yaml.org,2002:str"


class Section(dict[str, Any]):
    """A mapping that knows the line of each key."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


class Items(list[Any]):
    """A list that knows the line of each item."""

    __slots__ = ("lines",)

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []


class Document:
    """One YAML file; a `Source` of problems."""

    def __init__(self, name: str, value: Any = None, *, has_variables: bool = False) -> None:
        self.name = name
        self.value = value
        self.has_variables = has_variables
        """Whether there may be variables of the environment in it."""

    def line(self, path: KeyPath) -> int | None:
        """Return the line of the value at `path`, or of the nearest thing around it."""
        line, value = None, self.value
        for key in path:
            if isinstance(value, Section) and isinstance(key, str) and key in value:
                line = value.lines.get(key, line)
            elif isinstance(value, Items) and isinstance(key, int) and key < len(value):
                line = value.lines[key]
            else:
                break
            value = value[key]
        return line

    def shown(self, path: KeyPath) -> str:
        """Return the path as `checks[3].mailbox`."""
        text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
        return text.removeprefix(".")


class _Line:
    """A line of a file that could not be read to its end."""

    def __init__(self, name: str, line: int | None) -> None:
        self.name = name
        self._line = line

    def line(self, path: KeyPath) -> int | None:  # noqa: ARG002
        return self._line

    def shown(self, path: KeyPath) -> str:  # noqa: ARG002
        return ""


class _Refused(Exception):  # noqa: N818 - it never leaves this file
    """The document ends here; says why and where."""

    def __init__(self, message: str, line: int, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.line, self.hint = message, line, hint


def _tagged(line: int) -> _Refused:
    return _Refused("a tag (a word that starts with !) has no meaning here", line, "write the value in quotes")


def read(path: Path, problems: Problems, contents: Contents | None = None) -> Document | None:
    """Read one YAML file, or report why it cannot be read and return None; `contents` notes what was read."""
    name = str(path)
    try:
        content = (contents or Contents()).read(path)
    except OSError as error:
        hint = "name the file or folder with -c (--config.file)" if isinstance(error, FileNotFoundError) else ""
        problems.error(Place(_Line(name, None)), f"cannot be read: {(error.strerror or 'refused').lower()}", hint=hint)
        return None
    return parse(content, name, problems)


def parse(content: bytes, name: str, problems: Problems) -> Document | None:
    """Parse the bytes of one YAML file, or report why that cannot be done and return None."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problems.error(Place(_Line(name, line)), "is not UTF-8 text", hint="save the file as UTF-8")
        return None
    loader = yaml.CSafeLoader(text)
    try:
        return Document(name, _Builder(loader, name, problems).document(), has_variables="${" in text)
    except _Refused as refused:
        problems.error(Place(_Line(name, refused.line)), refused.message, hint=refused.hint)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(part for part in (error.context, error.problem) if part)
        at = _Line(name, mark.line + 1 if mark else None)
        # libyaml scans ahead of its events, and newer ones have a limit of their own.
        too_deep = "nesting depth" in reason
        message = _TOO_DEEP if too_deep else f"is not valid YAML: {reason}"
        within = "".join(text.split("\n")[mark.line : mark.line + 1]) if mark else ""
        problems.error(Place(at), message, hint=_hint(error.problem or "", within))
    except yaml.YAMLError:
        first = next((index for index, character in enumerate(text) if not _allowed(character)), 0)
        at = _Line(name, text.count("\n", 0, first) + 1)
        problems.error(Place(at), "contains a control character, which YAML does not allow")
    finally:
        loader.dispose()
    return None


def _allowed(character: str) -> bool:
    return character in "\t\n\r\x85" or " " <= character <= "~" or character >= "\xa0"


def _hint(problem: str, line: str = "") -> str:
    before, variable, _ = line.partition("${")
    if variable and before[-1:] not in {'"', "'", "$"} and ("{" in before or "[" in before):
        return 'inside { } and [ ] write a variable of the environment in quotes: "${NAME}"'
    if "cannot start any token" in problem:
        return "indent with spaces, not with tabs; write a value that starts with @, % or ` in quotes"
    if "mapping values are not allowed" in problem:
        return "check the indentation; write a value that contains a colon and a space in quotes"
    if "undefined alias" in problem or "alias" in problem:
        return "write a value that starts with * in quotes"
    return ""


class _Builder:
    """Makes sections, items and values of the parser's events."""

    def __init__(self, loader: Any, name: str, problems: Problems) -> None:
        self._loader = loader
        self._name = name
        self._problems = problems
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._values = 0
        self._repeated_values = 0

    def document(self) -> Any:
        """Return the value of the only document, None for an empty file."""
        next_event = self._loader.get_event
        next_event()
        if isinstance(next_event(), yaml.StreamEndEvent):
            return None
        value = self._node(next_event(), 0)
        next_event()
        following = next_event()
        if not isinstance(following, yaml.StreamEndEvent):
            line = following.start_mark.line + 1
            raise _Refused(
                "contains a second document", line, "split it into two files: -c may be repeated, or name a folder"
            )
        return value

    def _node(self, event: Any, depth: int) -> Any:
        line = event.start_mark.line + 1
        self._values += 1
        if isinstance(event, AliasEvent):
            return self._repeated(event, line)
        before = self._values
        if isinstance(event, ScalarEvent):
            value = self._scalar(event, line)
        elif event.tag is not None:
            raise _tagged(line)
        elif depth >= _DEEPEST:
            raise _Refused(_TOO_DEEP, line)
        elif isinstance(event, MappingStartEvent):
            value = self._section(depth)
        else:
            assert isinstance(event, SequenceStartEvent)  # noqa: S101 - the parser gives no other
            value = self._items(depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, self._values - before + 1)
        return value

    def _repeated(self, event: Any, line: int) -> Any:
        if event.anchor not in self._anchors:
            raise _Refused("is not valid YAML: found undefined alias", line, _hint("undefined alias"))
        value, size = self._anchors[event.anchor]
        self._values += size
        self._repeated_values += size
        if self._repeated_values > _MOST_REPEATED:
            raise _Refused(f"its aliases repeat more than {_MOST_REPEATED} values", line)
        return value

    def _section(self, depth: int) -> Section:
        section, merged = Section(), []
        while not isinstance(event := self._loader.get_event(), MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, ScalarEvent):
                raise _Refused("a key must be plain text", line, "write a value that starts with *, { or [ in quotes")
            value = self._node(self._loader.get_event(), depth + 1)
            if event.implicit[0] and event.value == "<<":
                merged.append((value, line))
            elif event.value in section:
                first = section.lines[event.value]
                twice = Place(_Line(self._name, line))
                self._problems.error(
                    twice, f"duplicate key in a mapping: it is already in line {first}", hint="keep one"
                )
            else:
                section[event.value] = value
                section.lines[event.value] = line
        for value, line in merged:
            self._merge(section, value, line)
        return section

    def _merge(self, section: Section, value: Any, line: int) -> None:
        for part in value if isinstance(value, Items) else (value,):
            if not isinstance(part, Section):
                raise _Refused("<< takes a mapping or a list of mappings", line)
            for key in part.keys() - section.keys():
                section[key] = part[key]
                section.lines[key] = part.lines[key]

    def _items(self, depth: int) -> Items:
        items = Items()
        while not isinstance(event := self._loader.get_event(), SequenceEndEvent):
            items.lines.append(event.start_mark.line + 1)
            items.append(self._node(event, depth + 1))
        return items

    def _scalar(self, event: Any, line: int) -> Any:
        if event.tag is not None and event.tag != _STRING:
            raise _tagged(line)
        if event.tag == _STRING or not event.implicit[0]:
            return event.value
        tag = self._loader.resolve(yaml.ScalarNode, event.value, (True, False))
        if tag == _STRING:
            return event.value
        try:
            return self._loader.construct_object(yaml.ScalarNode(tag, event.value))
        except (ValueError, yaml.YAMLError):
            hint = "write a date such as 2027-03-01, and a text that looks like one in quotes"
            raise _Refused("is neither a number nor a valid date", line, hint) from None

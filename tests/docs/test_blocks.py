"""The documents as documents: languages of their blocks, links, headings, and the length of README."""

import json
import re
from urllib.parse import urlsplit

import pytest

from tests.docs.documents import DOCUMENTS, ROOT, Block, blocks, read
from tests.worlds import powershell
from tests.worlds.powershell_commands import COMMANDS

EXAMINED = {"yaml", "promql", "sh", "console", "json", "powershell", "conf", "python"}
"""By the tests of this folder; `conf` and `python` by `tests/real/test_own_identity_provider.py`, which runs them."""
SHOWN = {
    "text": "what a command prints, if it is directly after one; else what a server says or a picture of letters",
    "nginx": "a server of others, in front of ours",
    "csv": "a table that a configuration names; configurations.py has one like it",
    "markdown": "what a user may copy into a page of theirs",
}
"""What is not examined for itself."""


def test_every_block_has_a_language_that_is_examined() -> None:
    """A line for each block that has none, or one for which nobody has said what is done with it."""
    known = EXAMINED | set(SHOWN)
    others = [str(block) for name in DOCUMENTS for block in read(name).blocks if block.language not in known]
    assert others == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files_and_headings(document: str) -> None:
    broken = []
    for link in read(document).links:
        parts = urlsplit(link)
        if parts.scheme:
            continue
        path = (ROOT / document).parent / parts.path if parts.path else ROOT / document
        name = str(path.resolve().relative_to(ROOT))
        is_there = path.exists() and (not parts.fragment or parts.fragment in read(name).anchors)
        broken += [] if is_there else [link]
    assert broken == []


def test_what_contributing_names_is_there() -> None:
    """Rooms and files in back quotes, from the root or from `smtpcheck/`."""
    named = {
        phrase for phrase in read("CONTRIBUTING.md").phrases if re.fullmatch(r"(\.?[\w-]+/)+([\w-]+\.\w+)?", phrase)
    }
    assert len(named) > 20
    assert {path for path in named if not any((ROOT / place / path).exists() for place in ("", "smtpcheck"))} == set()


def test_every_document_is_reached_from_the_readme() -> None:
    reached, rest = set(), ["README.md"]
    while rest:
        name = rest.pop()
        if name in reached or not name.endswith(".md"):
            continue
        reached.add(name)
        paths = [urlsplit(link).path for link in read(name).links if not urlsplit(link).scheme and urlsplit(link).path]
        rest += [str(((ROOT / name).parent / path).resolve().relative_to(ROOT)) for path in paths]
    assert set(DOCUMENTS) - reached == set()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 20_000


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    assert isinstance(json.loads(block.text), dict | list)


def test_configuration_of_other_servers_is_where_it_is_run() -> None:
    assert {block.file for block in blocks("conf", "python")} <= {"docs/own-identity-provider.md"}


@pytest.mark.parametrize("block", blocks("powershell"), ids=str)
def test_powershell_uses_what_its_modules_have(block: Block) -> None:
    """In angle brackets stands what the reader fills in."""
    script = block.text.replace("<", "'").replace(">", "'")
    assert powershell.syntax_errors(script) == []
    for command in powershell.commands(script):
        assert {parameter.lstrip("-") for parameter in command.parameters} <= COMMANDS[command.name], command

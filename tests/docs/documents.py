"""The documents as a Markdown parser reads them: blocks of code, commands within sentences, headings and links.

What a writer needs to know; the other files of this folder run it:

- Every block names its language: `yaml`, `sh`, `console`, `text`, `json`, `promql`, `powershell`, `csv`, `ini`, ...
  `test_blocks.py` has the list, and says what is done with each.
- A `yaml` block is recognised by its keys. A configuration of smtpcheck is loaded and must be without any problem but
  secrets that the reader does not have. It may be a part: `configurations.py` says how a part is completed.
- A line of `...` alone stands for what is not shown.
- A `sh` block has commands, each with its comment after `#`. Those of smtpcheck are run in a folder with a good
  `checks.yaml`, against the sandbox; all others are run, or `commands.py` says why not. `smtpcheck setup` reads the
  last configuration with credentials above it.
- A `text` block directly after a `sh` block is what its last command prints, and is compared with what it prints. `…`
  in a line stands for what changes (times, ports, ids), and a line of `…` alone for any number of lines. A `console`
  block has both: `$ command`, then what it prints.
- `smtpcheck ...` in back quotes within a sentence is a command too: it and its options must exist.
- Links to files and headings are followed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "dashboards/README.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").glob("*.md")),
)


@dataclass(frozen=True)
class Block:
    """One block of code."""

    file: str
    line: int
    """Of its first line of code, from 1."""
    language: str
    text: str
    """Without the indentation that all lines share."""
    shows: "Block | None" = None
    """The block of commands directly before: this one is what the last of them prints."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Document:
    """One Markdown file."""

    name: str
    blocks: tuple[Block, ...]
    phrases: tuple[str, ...]
    """What is in back quotes within sentences."""
    anchors: frozenset[str]
    links: tuple[str, ...]


@cache
def read(name: str) -> Document:
    """Read one document by its path from the root."""
    tokens = MarkdownIt("commonmark").enable("table").parse((ROOT / name).read_text())
    inline = [child for token in tokens for child in token.children or ()]
    links = [child.attrGet("href") or child.attrGet("src") for child in inline if child.type in {"link_open", "image"}]
    return Document(
        name,
        tuple(_blocks(name, tokens)),
        tuple(child.content for child in inline if child.type == "code_inline"),
        frozenset(_anchors(tokens)),
        tuple(link for link in links if isinstance(link, str)),
    )


def blocks(*languages: str) -> list[Block]:
    """Return the blocks of some languages in all documents."""
    return [block for name in DOCUMENTS for block in read(name).blocks if block.language in languages]


def _blocks(name: str, tokens: list[Token]) -> Iterator[Block]:
    previous: Block | None = None
    for token in tokens:
        if token.type == "fence" and token.map:
            block = Block(name, token.map[0] + 2, token.info.strip(), dedent(token.content))
            if block.language == "text" and previous and previous.language == "sh":
                block = replace(block, shows=previous)
            yield block
            previous = block
        else:
            previous = None


def _anchors(tokens: list[Token]) -> Iterator[str]:
    """Yield the anchors of the headings as GitHub makes them: the second of one text has -1 at its end."""
    seen: dict[str, int] = {}
    for heading, content in pairwise(tokens):
        if heading.type == "heading_open":
            text = "".join(child.content for child in content.children or ())
            anchor = re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-")
            count = seen.setdefault(anchor, 0)
            seen[anchor] += 1
            yield f"{anchor}-{count}" if count else anchor

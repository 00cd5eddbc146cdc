"""PowerShell as a parser reads it: which commands a script runs with which parameters, and what its literals are."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_powershell.language()))


@dataclass(frozen=True)
class Command:
    """One use of a command."""

    name: str
    parameters: tuple[str, ...]
    arguments: tuple[str, ...]
    """Arguments without a name, as they were written."""


def nodes(script: str) -> Iterator[Node]:
    """Yield every node of a script, outer ones first."""
    rest = [_PARSER.parse(script.encode()).root_node]
    while rest:
        node = rest.pop()
        yield node
        rest.extend(reversed(node.children))


def syntax_errors(script: str) -> list[str]:
    """Return where the parser could not follow."""
    return [f"line {node.start_point.row + 1}" for node in nodes(script) if node.is_error or node.is_missing]


def commands(script: str) -> list[Command]:
    """Return every use of a command."""
    return [_command(node) for node in nodes(script) if node.type == "command"]


def functions(script: str) -> set[str]:
    """Return the names of the functions that the script defines."""
    return {_text(child) for node in nodes(script) for child in node.children if child.type == "function_name"}


def variables(script: str) -> set[str]:
    """Return the names of all variables, also those within texts."""
    return {_text(node) for node in nodes(script) if node.type == "variable"}


def value_of(expression: str) -> str:
    """Return the value of a literal in single quotes, or of one that is decoded."""
    decoded = re.fullmatch(r"\(\[regex\]::Unescape\((.*)\)\)", expression)
    quoted = re.fullmatch(r"'((?:[^']|'')*)'", decoded[1] if decoded else expression)
    assert quoted, expression
    text = quoted[1].replace("''", "'")
    if not decoded:
        return text
    assert re.fullmatch(r"(?:[^\\]|\\u[0-9A-F]{4})*", text), text
    units = re.sub(r"\\u([0-9A-F]{4})", lambda unit: chr(int(unit[1], 16)), text)
    return units.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "surrogatepass")


def _command(node: Node) -> Command:
    elements = [child for each in node.children if each.type == "command_elements" for child in each.children]
    parameters = tuple(_text(each).strip("-:") for each in elements if each.type == "command_parameter")
    others = tuple(_text(each) for each in elements if each.type not in {"command_parameter", "command_argument_sep"})
    name = next(_text(each) for each in node.children if each.type in {"command_name", "command_name_expr"})
    return Command(name, parameters, others)


def _text(node: Node) -> str:
    return (node.text or b"").decode()

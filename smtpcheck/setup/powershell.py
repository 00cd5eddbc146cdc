"""Values as PowerShell writes them: the only way by which anything of a configuration enters a PowerShell script.

Rules of this file:
- The text is ASCII, whatever the value: Windows PowerShell reads a script without a byte order mark in the machine's
  code page, and PowerShell takes typographic quotes for quotes.
- A value is a literal in single quotes, in which PowerShell expands nothing, or for other characters an expression in
  brackets that decodes one.
"""

from collections.abc import Mapping, Sequence

Value = str | bool | int | None | Sequence["Value"] | Mapping[str, "Value"]

_WIDTH = 140


def quote(text: str) -> str:
    """Return an expression whose value is `text`."""
    if all(" " <= character <= "~" for character in text):
        return "'" + text.replace("'", "''") + "'"
    units = text.encode("utf-16-be", "surrogatepass")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    escaped = "".join(
        chr(code) if 0x20 <= code <= 0x7E and chr(code) not in "\\'" else f"\\u{code:04X}" for code in codes
    )
    return f"([regex]::Unescape('{escaped}'))"


def literal(value: Value, indent: int = 0) -> str:
    """Return an expression for texts, numbers, truth values, nothing, lists and tables of them.

    Lines but the first begin with `indent` blanks at least.
    """
    match value:
        case None:
            return "$null"
        case bool():
            return "$true" if value else "$false"
        case int():
            return str(value)
        case str():
            return quote(value)
        case Mapping():
            return _enclosed("@{", [f"{key} = {literal(each, indent + 4)}" for key, each in value.items()], "}", indent)
    return _enclosed("@(", [literal(each, indent + 4) for each in value], ")", indent)


def comment(text: str) -> str:
    """Return a text as a line of comment, whatever its characters."""
    plain = "".join(each if " " <= each <= "~" else f"\\u{ord(each):04X}" for each in text)
    return f"# {plain}".rstrip()


def _enclosed(opening: str, parts: list[str], closing: str, indent: int) -> str:
    """Return the parts on one line where they fit, else each on its own."""
    if not parts:
        return opening + closing
    separator = "; " if opening == "@{" else ", "
    padding = "" if opening == "@(" else " "
    flat = f"{opening}{padding}{separator.join(parts)}{padding}{closing}"
    if "\n" not in flat and len(flat) + indent <= _WIDTH:
        return flat
    margin = " " * (indent + 4)
    between = "\n" if opening == "@{" else ",\n"
    return f"{opening}\n{between.join(margin + part for part in parts)}\n{' ' * indent}{closing}"

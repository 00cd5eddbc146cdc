"""Values as Terraform writes them: the only way by which anything of a configuration enters a script for Terraform.

Rule of this file: a text is a literal in which Terraform expands nothing.
"""


def quote(text: str) -> str:
    """Return a literal whose value is `text`; a lone surrogate, which Terraform has no form for, becomes U+FFFD."""
    return f'"{"".join(map(_escaped, text)).replace("${", "$${").replace("%{", "%%{")}"'


def heredoc(text: str) -> str:
    """Return a literal of several lines whose value is `text`, which ends with a line end.

    Raises:
        ValueError: A line of the text is the mark of its end.
    """
    if any(line.strip() == _MARK for line in text.splitlines()):
        raise ValueError(f"a line of the text is {_MARK}")
    return f"<<{_MARK}\n{text.replace('${', '$${').replace('%{', '%%{')}{_MARK}"


def comment(text: str) -> str:
    """Return a text as a line of comment, whatever its characters."""
    plain = "".join(each if each.isprintable() else f"\\u{ord(each):04X}" for each in text)
    return f"# {plain}".rstrip()


_MARK = "END_OF_SCRIPT"


def _escaped(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    if 0xD800 <= code <= 0xDFFF:
        return "\\uFFFD"
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"

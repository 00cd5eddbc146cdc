"""Text from outside, made fit for terminals, logs, files and pages.

Rules of this file:
- Pure. What a server, an issuer, a file or a user sends passes through here where it enters, before it is kept.
- A character that is not printable is escaped, never dropped: nobody mistakes the result for the original. That covers
  control characters, which move a terminal's cursor, and lone surrogates, which no encoder takes.
"""


def printable(text: str, *, keep: str = "", limit: int | None = None) -> str:
    """Return the text, cut to `limit`, with every character escaped that is neither printable nor in `keep`."""
    text = text[:limit]
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text)[:limit]

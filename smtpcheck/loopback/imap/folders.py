r"""Which folders of an IMAP mailbox are searched, in which order, and what each is for.

Rules of this file:
- Pure. A folder's purpose is what the server says of it (RFC 6154 special use); only where no folder is said to be for
  junk, for sent mail or for trash are names looked at, those that mail programs have given them in many languages.
- INBOX comes first, then junk, then sent mail; then the others, and a view of all mail (`\All`) last, for it shows each
  message a second time. Views of marked mail (`\Flagged`, `\Important`) show nothing of their own and are skipped.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from smtpcheck.loopback.finder import FolderKind

_SKIPPED = frozenset({"\\noselect", "\\nonexistent", "\\flagged", "\\important", "\\drafts"})
_INBOX, _ALL, _TRASH = "inbox", "\\all", "\\trash"

_FLAGS = {"\\junk": FolderKind.JUNK, "\\sent": FolderKind.SENT}

_NAMES: dict[FolderKind, frozenset[str]] = {
    FolderKind.JUNK: frozenset(
        {"junk", "junk email", "junk e-mail", "junk mail", "spam", "bulk", "bulk mail", "junk-e-mail", "spamverdacht"}
        | {"courrier indésirable", "indésirables", "pourriel", "correo no deseado", "posta indesiderata", "ongewenst"}
        | {
            "ongewenste e-mail",
            "lixo eletrônico",
            "lixo eletrónico",
            "wiadomości-śmieci",
            "skräppost",
            "uønsket e-post",
        }
        | {"нежелательная почта", "спам", "迷惑メール", "垃圾邮件", "垃圾郵件"}
    ),
    FolderKind.SENT: frozenset(
        {"sent", "sent items", "sent messages", "sent mail", "gesendet", "gesendete elemente", "gesendete objekte"}
        | {"éléments envoyés", "envoyés", "messages envoyés", "elementos enviados", "enviados", "posta inviata"}
        | {"verzonden", "verzonden items", "itens enviados", "elementy wysłane", "skickat", "sendte elementer"}
        | {"отправленные", "送信済みアイテム", "送信済み", "已发送邮件", "寄件備份"}
    ),
}

COMMON_NAMES = frozenset({"inbox"}).union(*_NAMES.values())
"""In lower case: what such folders are called anywhere, so that the name says nothing of the mailbox's owner."""

_RANK = {FolderKind.INBOX: 0, FolderKind.JUNK: 1, FolderKind.SENT: 2, FolderKind.OTHER: 3}


@dataclass(frozen=True, slots=True)
class Listed:
    """One folder as LIST describes it (RFC 9051 7.3.1)."""

    name: str
    delimiter: str
    """What separates the parts of the name; empty if nothing does."""
    flags: frozenset[str]
    """In lower case, as `\\junk`."""

    @property
    def last_part(self) -> str:
        """Return the name without its parents."""
        return self.name.rpartition(self.delimiter)[2] if self.delimiter else self.name


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder to search."""

    name: str
    kind: FolderKind


def in_order(listed: Iterable[Listed], most: int) -> tuple[Folder, ...]:
    """Return the folders to search, best first, of the others at most `most`."""
    usable = [folder for folder in listed if not folder.flags & _SKIPPED]
    kinds = {folder.name: _kind(folder) for folder in usable}
    for kind, names in _NAMES.items():
        if kind not in kinds.values():
            kinds |= {folder.name: kind for folder in usable if folder.last_part.casefold() in names}
    views = {folder.name for folder in usable if _ALL in folder.flags}
    order = sorted(usable, key=lambda folder: (_RANK[kinds[folder.name]], folder.name in views))
    known = [Folder(folder.name, kinds[folder.name]) for folder in order]
    others = [folder for folder in known if folder.kind is FolderKind.OTHER]
    named = [folder for folder in known if folder.kind is not FolderKind.OTHER]
    inbox = [] if any(folder.kind is FolderKind.INBOX for folder in named) else [Folder("INBOX", FolderKind.INBOX)]
    return (*inbox, *named, *others[:most])


def trash_of(listed: Iterable[Listed]) -> str | None:
    """Return the folder that the server says is for deleted mail, None if it says so of none."""
    return next((folder.name for folder in listed if _TRASH in folder.flags), None)


def _kind(folder: Listed) -> FolderKind:
    if folder.name.casefold() == _INBOX:  # RFC 9051 5.1: this name in any case
        return FolderKind.INBOX
    return next((kind for flag, kind in _FLAGS.items() if flag in folder.flags), FolderKind.OTHER)

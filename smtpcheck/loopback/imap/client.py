"""What is asked of an IMAP server, by IMAPClient, with every failure in the server's own words.

Rules of this file:
- Synchronous and blocking, for a thread; what bounds it is the stream.
- The library is asked only through `_ask`. It raises whatever an answer that is none makes it stumble over, and that is
  a failure of the server's: an `ImapError`.
- The token goes after the server's `+`, never with the command: servers cut off long lines.
- IMAPClient's loggers are silent, for they write down every line that is sent.
- Only `UID EXPUNGE` (RFC 4315, part of RFC 9051) removes messages: a plain EXPUNGE removes what others have marked.
"""

import base64
import contextlib
import imaplib
import logging
import re
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar

from imapclient import IMAPClient

from smtpcheck.loopback.finder import FinderStep
from smtpcheck.loopback.imap.folders import Listed
from smtpcheck.loopback.imap.stream import InjectionError, Stream, StreamError, StreamImap4
from smtpcheck.mail.correlation_id import PREFIX
from smtpcheck.mail.message import SUBJECT_WORD, UNIQUE_HEADER
from smtpcheck.model.check import Mechanism, Provider
from smtpcheck.model.printable import printable
from smtpcheck.secrets.secret import Secret
from smtpcheck.smtp.sasl import (
    Redaction,
    ascii_password,
    challenge_answer,
    choose,
    client_messages,
    cram_md5,
    quoted_user,
    sasl_name,
)

logging.getLogger("imapclient").setLevel(logging.CRITICAL)

LOGOUT_SECONDS = 2.0
_DAEMONS = ("mailer-daemon", "postmaster", "microsoftexchange")
"""Who sends bounces: Gmail, Postfix and most others; Exchange Online to the outside, and within a tenant."""

_Result = TypeVar("_Result")

_LONGEST_DETAIL = 300
_MOST_CHALLENGES = 8
_CODE = re.compile(r"\[([A-Z][A-Z0-9-]{1,39})[\] ]", re.IGNORECASE)
_LIBRARY = re.compile(
    r"(?:command: [A-Z ]+ => )?(?:[A-Z]+ failed: |[A-Z ]+ command error: (?:BAD|NO) \[b(['\"])(?P<text>.*)\1\])?",
    re.IGNORECASE,
)
_BYTES = re.compile(r"\Ab(['\"])(.*)\1\Z", re.DOTALL)
"""What the libraries write around a server's words."""


class ImapError(Exception):
    """A step that did not succeed."""

    def __init__(self, step: FinderStep, detail: str, code: str = "", *, over: bool = False) -> None:
        """Take the server's words as `detail`, and its response code (RFC 5530) as `code`."""
        super().__init__(detail)
        self.step = step
        self.detail = detail
        self.code = code
        self.over = over


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched of one message."""

    uid: int
    arrived_at: float | None
    """INTERNALDATE, as Unix seconds."""
    header: bytes


class ImapConnection:
    """One connection, from the greeting on."""

    def __init__(self, stream: Stream, *, user: str, token: Secret, host: str, port: int) -> None:
        """Take the stream, and who logs in to what; nothing is read yet."""
        self._stream = stream
        self._user, self._token, self._host, self._port = user, token, host, port
        self._redaction = Redaction(token, ())
        self._client: Any = None
        self._is_over = self._is_secure = False

    def begin(self, context: ssl.SSLContext | None, server_name: str, *, early: bool) -> None:
        """Begin TLS by the context, if there is one, `early` or by STARTTLS, and read the greeting."""
        try:
            if context is not None and early:
                self._stream.begin_tls(context, server_name)
            elif context is not None:
                self._stream.starttls(context, server_name)
        except ssl.SSLCertVerificationError as error:
            raise ImapError(FinderStep.TLS, error.verify_message, over=True) from None
        except (OSError, InjectionError) as error:
            raise ImapError(FinderStep.TLS, self._printable(str(error)), over=True) from None
        except StreamError as error:
            raise self._gone(FinderStep.CONNECT, str(error)) from None
        self._is_secure = context is not None
        self._client = self._call(FinderStep.CONNECT, lambda: _Client(self._stream))

    def login(self, mechanism: Mechanism | None, *, password: bool) -> None:
        """Log in by the mechanism, or by what the server offers for a password, or for a token."""
        capabilities = self._capabilities()
        offered = frozenset(name.removeprefix("AUTH=") for name in capabilities if name.startswith("AUTH="))
        chosen = mechanism or choose(offered, Provider.GENERIC, password=password)
        if chosen is None and password:
            self._login_without_plain_or_login(capabilities)
            return
        chosen = chosen or Mechanism.XOAUTH2  # Yandex takes XOAUTH2 and does not say so.
        messages = client_messages(chosen, user=self._user, secret=self._token, host=self._host, port=self._port)
        self._redaction = Redaction(self._token, messages, password=chosen.carries_password)
        last = () if chosen.carries_password else (challenge_answer(chosen),)
        answers = iter([base64.b64decode(message) for message in (*messages, *last)])
        self._authenticate(sasl_name(chosen), lambda _: next(answers, None))

    def _login_without_plain_or_login(self, capabilities: frozenset[str]) -> None:
        """Log in by CRAM-MD5 (RFC 2195), else by the command LOGIN, over TLS alone (RFC 9051 6.2.3, 11.3)."""
        form = client_messages(Mechanism.PLAIN, user=self._user, secret=self._token, host=self._host, port=self._port)
        self._redaction = Redaction(self._token, form, password=True)
        if "AUTH=CRAM-MD5" in capabilities:
            self._authenticate("CRAM-MD5", lambda challenge: cram_md5(self._user, self._token, challenge))
            return
        if not self._is_secure or "LOGINDISABLED" in capabilities:
            offered = " ".join(sorted(name for name in capabilities if name.startswith(("AUTH=", "LOGIN"))))
            detail = f"the server offers no login by a password{' over TLS' if self._is_secure else ''}: {offered}"
            raise ImapError(FinderStep.LOGIN, self._printable(detail), over=True)
        try:
            user, secret = quoted_user(self._user), ascii_password(self._token)
        except ValueError as error:
            raise ImapError(FinderStep.LOGIN, str(error), over=True) from None
        self._call(FinderStep.LOGIN, lambda: self._client.login(user, secret))

    def _authenticate(self, name: str, respond: Callable[[bytes], bytes | None]) -> None:
        """Log in by a SASL mechanism; a challenge that is answered by None cancels it."""
        challenges: list[str] = []

        def answer(challenge: bytes) -> bytes | None:
            if len(challenges) == _MOST_CHALLENGES:
                raise StreamError("the server does not end its challenges")
            challenges.append(self._printable(challenge.decode("utf-8", "replace")))
            return respond(challenge)

        try:
            self._call(FinderStep.LOGIN, lambda: self._client.sasl_login(name, answer))
        except ImapError as error:
            detail = " ".join(filter(None, (error.detail, *challenges[1:])))
            raise ImapError(error.step, detail[: 2 * _LONGEST_DETAIL], error.code, over=True) from None

    @property
    def can_expunge_by_uid(self) -> bool:
        """Whether messages can be removed without those that others have marked (RFC 4315; RFC 9051 has it)."""
        return bool({"UIDPLUS", "IMAP4REV2"} & self._capabilities())

    @property
    def keeps_all_mail(self) -> bool:
        """Whether it is Gmail, where a message is gone only if it is deleted in the trash.

        https://developers.google.com/workspace/gmail/imap/imap-extensions
        """
        return "X-GM-EXT-1" in self._capabilities()

    def folders(self) -> tuple[Listed, ...]:
        """Return all folders."""
        listed = self._listed(self._client.list_folders)
        purposes = {"\\junk", "\\sent"}
        if "SPECIAL-USE" not in self._capabilities() or any(folder.flags & purposes for folder in listed):
            return listed
        special = {folder.name: folder.flags for folder in self._listed(self._list_special)}
        return tuple(Listed(one.name, one.delimiter, one.flags | special.get(one.name, frozenset())) for one in listed)

    def select(self, folder: str, *, readonly: bool) -> int:
        """Select a folder and return its UIDVALIDITY (RFC 9051 2.3.1.1); 0 where the server has none."""
        answer = self._call(FinderStep.SEARCH, lambda: self._client.select_folder(folder, readonly=readonly))
        validity = answer.get(b"UIDVALIDITY")
        return validity if isinstance(validity, int) else 0

    def candidates(self, since: date | None) -> Sequence[int]:
        """Return the UIDs of messages in the folder that may be ours, oldest first; `since` by their arrival."""
        arrived: list[object] = ["SINCE", since] if since else []
        in_subject = ["SUBJECT", SUBJECT_WORD]
        try:
            return self._search([*arrived, "OR", "HEADER", UNIQUE_HEADER, PREFIX, *in_subject])
        except ImapError as error:
            if error.over:
                raise
            return self._search([*arrived, *in_subject])  # a server that searches only the headers it keeps apart

    def bounce_candidates(self, since: date) -> Sequence[int]:
        """Return the UIDs of mail since a day that may be a bounce by its sender or its subject, oldest first."""
        criteria: list[object] = ["SINCE", since]
        for sender in _DAEMONS:
            criteria += ["OR", "FROM", sender]
        return self._search([*criteria, "SUBJECT", SUBJECT_WORD])

    def beginning(self, uid: int, octets: int) -> bytes:
        """Return at most so many octets of a message; empty where it is gone."""
        found = self._call(FinderStep.SEARCH, lambda: self._client.fetch([uid], [f"BODY.PEEK[]<0.{octets}>"]))
        parts = found.get(uid, {}).items()
        content = next((value for name, value in parts if name.startswith(b"BODY[]")), b"")
        return content[:octets] if isinstance(content, bytes) else b""

    def by_message_id(self, message_ids: Sequence[str]) -> Sequence[int]:
        """Return the UIDs of messages in the folder with one of these Message-IDs; at Gmail alone."""
        query = " OR ".join(f"rfc822msgid:{each.strip('<>')}" for each in message_ids)
        return sorted(self._call(FinderStep.SEARCH, lambda: self._client.gmail_search(query)))

    def fetch(self, uids: Sequence[int], names: Sequence[str]) -> Iterable[Fetched]:
        """Return when these messages arrived, and their headers of these names; one that is gone is skipped."""
        items = ["UID", "INTERNALDATE", f"BODY.PEEK[HEADER.FIELDS ({' '.join(names).upper()})]"]
        found = self._call(FinderStep.SEARCH, lambda: self._client.fetch(uids, items))
        return [_fetched(uid, message) for uid, message in found.items()]

    def remove(self, uids: Sequence[int]) -> None:
        """Mark these messages as deleted and remove exactly them."""
        self._call(FinderStep.DELETE, lambda: self._client.delete_messages(uids, silent=True))
        if not self.can_expunge_by_uid:
            raise ImapError(
                FinderStep.DELETE,
                "the server has no UIDPLUS (RFC 4315), without which a client cannot remove its own messages alone: "
                "what was found stays in the mailbox, marked as deleted, until it is expunged there",
            )
        self._call(FinderStep.DELETE, lambda: self._client.expunge(uids))

    def move(self, uids: Sequence[int], folder: str) -> None:
        """Move these messages to another folder (RFC 6851)."""
        self._call(FinderStep.DELETE, lambda: self._client.move(uids, folder))

    def logout(self) -> None:
        """Log out, without waiting long for an answer, and close."""
        self._stream.shorten(LOGOUT_SECONDS)
        if self._client is not None and not self._is_over:
            with contextlib.suppress(ImapError):
                self._call(FinderStep.SEARCH, self._client.logout)
        self._stream.close()

    def _capabilities(self) -> frozenset[str]:
        names = self._call(FinderStep.LOGIN, self._client.capabilities)
        return frozenset(bytes(name).decode("ascii", "replace").upper() for name in names)

    def _list_special(self) -> Any:
        """Ask for the folders with a purpose (RFC 6154 5.2); IMAPClient has no name for this command."""
        imap = self._client._imap  # noqa: SLF001
        _, data = imap._simple_command("LIST", "(SPECIAL-USE)", '""', '"*"')  # noqa: SLF001
        _, data = imap._untagged_response("OK", data, "LIST")  # noqa: SLF001
        return self._client._proc_folder_list(data)  # noqa: SLF001

    def _listed(self, command: Callable[[], Any]) -> tuple[Listed, ...]:
        def asked() -> tuple[Listed, ...]:
            return tuple(
                Listed(
                    str(name),
                    delimiter.decode("ascii") if delimiter else "",
                    frozenset(flag.decode("ascii").lower() for flag in flags),
                )
                for flags, delimiter, name in command()
            )

        return self._call(FinderStep.SEARCH, asked)

    def _search(self, criteria: list[object]) -> Sequence[int]:
        return sorted(self._call(FinderStep.SEARCH, lambda: self._client.search(criteria, charset=None)))

    def _call(self, step: FinderStep, question: Callable[[], _Result]) -> _Result:
        """Call the library; whatever does not succeed is an error of that step."""
        try:
            return question()
        except StreamError as error:
            failure = self._gone(step, str(error))
        except imaplib.IMAP4.readonly:
            failure = ImapError(FinderStep.DELETE, "the server opens a folder for reading only", "READ-ONLY", over=True)
        except imaplib.IMAP4.error as error:
            if self._stream.bye and self._stream.bye in str(error):
                failure = self._gone(step, "the server closed the connection")
            else:
                failure = self._refusal(step, error, over=isinstance(error, imaplib.IMAP4.abort))
        except Exception as error:  # noqa: BLE001 - nothing of ours is called in here
            failure = ImapError(step, f"the server's answer is not IMAP ({type(error).__name__})", over=True)
        self._is_over = failure.over
        raise failure

    def _gone(self, step: FinderStep, detail: str) -> ImapError:
        """Return the error of a connection that is over, with the server's last words (BYE, RFC 9051 7.1.5)."""
        text = self._printable(f"{detail}: {self._stream.bye}" if self._stream.bye else detail)
        return ImapError(step, text, _code_in(text), over=True)

    def _refusal(self, step: FinderStep, error: Exception, *, over: bool) -> ImapError:
        text = str(error)
        if (match := _LIBRARY.match(text)) is not None:
            text = text[match.end() :] if match["text"] is None else match["text"]
        text = _BYTES.sub(r"\2", text)
        text = self._printable(text)
        return ImapError(step, text, _code_in(text), over=over)

    def _printable(self, text: str) -> str:
        return self._redaction.text(printable(text))[:_LONGEST_DETAIL].strip()


def _code_in(text: str) -> str:
    found = _CODE.search(text)
    return found[1].upper() if found else ""


class _Client(IMAPClient):  # type: ignore[misc]
    """IMAPClient on a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        super().__init__("", ssl=False)
        self.normalise_times = False

    def _create_IMAP4(self) -> StreamImap4:  # noqa: N802 - the library's own name
        return StreamImap4(self._stream)

    def _set_read_timeout(self) -> None:
        """Do nothing: the stream bounds every wait."""


def _fetched(uid: int, message: Mapping[bytes, object]) -> Fetched:
    arrived = message.get(b"INTERNALDATE")
    header = next((value for name, value in message.items() if name.startswith(b"BODY[HEADER")), b"")
    return Fetched(
        uid,
        arrived.timestamp() if isinstance(arrived, datetime) else None,
        header if isinstance(header, bytes) else b"",
    )

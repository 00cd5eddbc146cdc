"""The SMTP submission dialogue of one check: bytes in, actions out.

Rules of this file:
- Pure: no socket, no clock. The time of each event enters as seconds since the run's begin.
- No bytes of a server raise: they become replies, or a `Fault` that ends the open phase.
- Each phase is one generator method, and `_run` is the whole conversation; a phase that ends with a
  fault ends it, and QUIT follows.
- A token or password is sent only over TLS (or where the configuration allows plain text), only to a server that
  answered EHLO, and only where the mechanism is offered or was configured.
- The end is RSET (if a mail transaction is open) and QUIT wherever the stream is still in step; an error in them is
  not a fault, for the aim was reached or missed before.
- A mechanism's long answer goes after the 334, never as an initial response beyond the 512 octets of a command line
  (RFC 4954 4): servers answer that with a 535 that looks like a bad token.
"""

import functools
from collections.abc import Generator, Mapping
from typing import Literal

from msgspec import Struct

from smtpcheck.model.check import Check, Depth, Phase, Security
from smtpcheck.model.interning import shared
from smtpcheck.model.report import Exchange, Fault, FaultKind, Reply, Step
from smtpcheck.secrets.secret import Secret
from smtpcheck.smtp import sasl
from smtpcheck.smtp.reply import ReplyParser, bounded, escaped

Then = Literal["read", "tls", "ask", "close"]
"""What the connection does next.

`tls`: begin the TLS handshake, then call `secured` or `fail`. `ask`: ask whether the message may be sent now, then call
`permit`. It is compared a hundred times in a run, and a member of an Enum costs 30 times as much until Python 3.12.
"""


class Action(Struct, frozen=True, gc=False):
    """What the connection has to do: send these bytes, then the next thing."""

    send: bytes
    then: Then


_WAIT = Action(b"", "read")
_HANDSHAKE = Action(b"", "tls")
_ASK = Action(b"", "ask")
_CLOSE = Action(b"", "close")

_Talk = Generator[Action, Reply, Reply]
_PhaseTalk = Generator[Action, Reply, bool]


class Plan(Struct, frozen=True, gc=False):
    """What one connection is for."""

    check: Check
    depth: Depth
    secret: Secret | None
    """The token or password; None below `Depth.AUTH`, and for a check that does not log in."""
    message: bytes = b""
    """At `Depth.SEND` the message, with CRLF line ends."""
    asks: bool = False
    """Whether to ask, at `Depth.SEND`, before DATA."""
    only_tls: bool = False
    """Stop as soon as TLS is there and send nothing more: for reading the certificate."""


class Dialogue:
    """One SMTP conversation up to a depth; `begin` first, then `receive`, `secured` and `fail` as things happen."""

    def __init__(self, plan: Plan) -> None:
        _refuse_control_characters(plan.check)
        self._plan = plan
        self._parser = ReplyParser()
        self._script = self._run()
        self._redaction: sasl.Redaction | None = None
        self._now = 0.0
        self._phase: Phase | None = None
        self._phase_start = 0.0
        self._exchanges: list[Exchange] = []
        self._pending: str | None = None
        self._in_step = True
        self._in_transaction = False
        self._encrypted = False
        self._permitted = False
        self.then: Then = "read"
        self.quitting = False
        """Whether nothing but QUIT is left, or not even that."""
        self.steps: list[Step] = []
        self.ehlo: tuple[str, ...] = ()
        self.mechanism = ""
        self.auth_line_length = 0

    # -----------------------------------------------------------------------------------------------------------------
    # What happens to the dialogue

    def begin(self, now: float) -> Action:
        """Begin, for the connection is established; return what to do."""
        self._now = now
        action = next(self._script)
        self.then = action.then
        return action

    def receive(self, data: bytes, now: float) -> Action:
        """Take bytes of the server; return what to do."""
        self._now = now
        if self.then == "tls":
            return self.fail(self._plain_text(data), now)
        self._parser.feed(data)
        send = b""
        while self.then == "read":
            reply = self._parser.next_reply()
            if reply is None:
                break
            if isinstance(reply, Fault):
                self.fail(reply, now)
                break
            action = self._script.send(reply)
            send += action.send
            self.then = action.then
        if self.then == "tls" and self._parser.rest:
            return self.fail(self._plain_text(self._parser.rest), now)
        return Action(send, self.then)

    def _plain_text(self, data: bytes) -> Fault:
        """Name what comes in clear where TLS must begin; behind a STARTTLS reply it may be injected (RFC 3207 6)."""
        injected = self._plan.check.server.security is Security.STARTTLS
        return Fault(FaultKind.STARTTLS_INJECTION if injected else FaultKind.TLS_NOT_SPOKEN, escaped(data))

    def secured(self, now: float) -> Action:
        """Go on after the TLS handshake; return what to do."""
        if self.then != "tls":
            return Action(b"", self.then)
        self._now = now
        self._encrypted = True
        action = next(self._script)
        self.then = action.then
        return action

    def permit(self, permitted: bool, now: float) -> Action:
        """Go on with or without permission to send the message (without, QUIT follows); return what to do."""
        if self.then != "ask":
            return Action(b"", self.then)
        self._now = now
        self._permitted = permitted
        action = next(self._script)
        self.then = action.then
        return action

    def fail(self, fault: Fault, now: float) -> Action:
        """End the open phase with a fault: nothing more can be said on this connection. A second call does nothing."""
        if self.then == "close":
            return _CLOSE
        self._now = now
        if self._pending is not None:
            self._exchanges.append(Exchange(self._pending, None))
            self._pending = None
        if fault.kind in _NO_MORE_BYTES:
            fault = self._parser.leftover_fault() or fault
        self._end_phase(fault)
        self._script.close()
        self.then = "close"
        return _CLOSE

    # -----------------------------------------------------------------------------------------------------------------
    # The conversation

    def _run(self) -> Generator[Action, Reply, None]:
        yield from self._reach()
        if self._in_step and not self._plan.only_tls:
            yield from self._quit()
        yield _CLOSE

    def _reach(self) -> _PhaseTalk:
        depth = self._plan.depth
        return (
            (yield from self._open())
            and (depth < Depth.AUTH or self._plan.check.credential is None or (yield from self._auth()))
            and (depth < Depth.SENDER or (yield from self._mail()))
            and (depth < Depth.RECIPIENT or (yield from self._rcpt()))
            and (depth < Depth.SEND or (yield from self._data()))
        )

    def _open(self) -> _PhaseTalk:
        match self._plan.check.server.security:
            case Security.STARTTLS:
                greeted = (yield from self._banner()) and (yield from self._ehlo(Phase.EHLO))
                if not (greeted and (yield from self._starttls())):
                    return False
                yield from self._tls()
                return not self._plan.only_tls and (yield from self._ehlo(Phase.EHLO_TLS))
            case Security.IMPLICIT:
                yield from self._tls()
                return not self._plan.only_tls and (yield from self._banner()) and (yield from self._ehlo(Phase.EHLO))
            case Security.NONE:
                return (yield from self._banner()) and (yield from self._ehlo(Phase.EHLO))

    def _banner(self) -> _PhaseTalk:
        self._begin_phase(Phase.BANNER)
        self._pending = ""
        reply = yield _WAIT
        return self._end_if(self._note(reply).code == 220)

    def _ehlo(self, phase: Phase) -> _PhaseTalk:
        self._begin_phase(phase)
        reply = yield from self._command(f"EHLO {self._plan.check.server.ehlo}")
        self.ehlo = reply.lines[1:]
        return self._end_if(reply.code == 250)

    def _starttls(self) -> _PhaseTalk:
        self._begin_phase(Phase.STARTTLS)
        offered = _keywords(self.ehlo).keys()
        if "STARTTLS" not in offered and offered - _NOTHING:
            return self._end_phase(Fault(FaultKind.STARTTLS_NOT_OFFERED, ", ".join(self.ehlo)))
        reply = yield from self._command("STARTTLS")
        if "STARTTLS" not in offered and reply.code in _UNKNOWN_COMMAND:
            return self._end_phase(Fault(FaultKind.STARTTLS_NOT_OFFERED, ", ".join(self.ehlo)))
        return self._end_if(reply.code == 220)

    def _tls(self) -> Generator[Action, Reply, None]:
        self._begin_phase(Phase.TLS)
        yield _HANDSHAKE
        self._end_phase(None)

    def _auth(self) -> _PhaseTalk:
        self._begin_phase(Phase.AUTH)
        check, secret = self._plan.check, self._plan.secret
        if secret is None:
            raise ValueError("authentication without a token or password")
        if not self._encrypted and not check.server.allow_plaintext:
            return self._end_phase(Fault(FaultKind.PLAINTEXT_REFUSED))
        offered = _keywords(self.ehlo).get("AUTH", ())
        mechanism = check.mechanism or sasl.choose(frozenset(offered), check.provider, password=check.password)
        if mechanism is None:
            return self._end_phase(Fault(FaultKind.MECHANISM_NOT_OFFERED, " ".join(offered)))
        self.mechanism = sasl.sasl_name(mechanism)
        messages = sasl.client_messages(
            mechanism, user=check.user or check.mailbox, secret=secret, host=check.server.host, port=check.server.port
        )
        self._redaction = sasl.Redaction(secret, messages, password=check.password)
        reply = yield from self._present(messages)
        if reply.code == 334:
            reply = yield from self._command(sasl.challenge_answer(mechanism))
        return self._end_if(reply.code == 235)

    def _present(self, messages: tuple[str, ...]) -> _Talk:
        """Send the messages, a single one as initial response where the line allows it; return the last reply."""
        line = f"AUTH {self.mechanism}"
        with_initial = f"{line} {messages[0]}"
        if len(messages) == 1 and len(with_initial) + 2 <= sasl.MAX_COMMAND_LINE:
            return (yield from self._sasl(with_initial, f"{line} {self._shown(messages[0])}"))
        reply = yield from self._sasl(line, line)
        for message in messages:
            if reply.code != 334:
                break
            reply = yield from self._sasl(message, self._shown(message))
        return reply

    def _shown(self, message: str) -> str:
        """Return what represents a message in the record; not even the length of a password is shown."""
        return "***" if self._plan.check.password else f"<{len(message)} octets>"

    def _sasl(self, line: str, shown: str) -> _Talk:
        if not self._plan.check.password:
            self.auth_line_length = max(self.auth_line_length, len(line) + 2)
        return self._command(line, shown)

    def _mail(self) -> _PhaseTalk:
        self._begin_phase(Phase.MAIL)
        reply = yield from self._command(f"MAIL FROM:<{self._plan.check.sender}>")
        self._in_transaction = reply.code // 100 == 2
        return self._end_if(self._in_transaction)

    def _rcpt(self) -> _PhaseTalk:
        self._begin_phase(Phase.RCPT)
        reply = yield from self._command(f"RCPT TO:<{self._plan.check.recipient}>")
        return self._end_if(reply.code // 100 == 2)

    def _data(self) -> _PhaseTalk:
        self._begin_phase(Phase.DATA)
        if self._plan.asks:
            yield _ASK
            if not self._permitted:
                self._phase = None
                return False
        reply = yield from self._command("DATA")
        if reply.code != 354:
            return self._end_if(reached=False)
        message = self._plan.message
        self._pending = f"<{len(message)} octets>"
        reply = yield Action(dot_stuffed(message), "read")
        self._in_transaction = False
        return self._end_if(self._note(reply).code // 100 == 2)

    def _quit(self) -> Generator[Action, Reply, None]:
        self._begin_phase(Phase.QUIT)
        self.quitting = True
        if self._in_transaction:
            yield from self._command("RSET")
        yield from self._command("QUIT")
        self._end_phase(None)

    # -----------------------------------------------------------------------------------------------------------------
    # Sentences and their record

    def _command(self, line: str, shown: str | None = None) -> _Talk:
        """Send a line and return its reply; `shown` represents it in the record."""
        self._pending = line if shown is None else shown
        reply = yield Action(f"{line}\r\n".encode(), "read")
        return self._note(reply)

    def _note(self, reply: Reply) -> Reply:
        """Record the pending command with its reply, without the token."""
        if self._redaction is not None:
            reply = self._redaction.reply(reply)
        reply = bounded(reply)
        challenge = ""
        if reply.code == 334:
            challenge = sasl.decode_challenge(reply.text)
        self._exchanges.append(Exchange(self._pending or "", reply, challenge))
        self._pending = None
        # RFC 5321 3.8: after 421 the server closes, whatever was asked.
        self._in_step = reply.code != 421
        return reply

    def _begin_phase(self, phase: Phase) -> None:
        self._phase = phase
        self._phase_start = self._now
        self._exchanges = []

    def _end_if(self, reached: bool) -> bool:
        return self._end_phase(None if reached else Fault(FaultKind.REPLY))

    def _end_phase(self, fault: Fault | None) -> bool:
        """Close the open phase; return whether it reached its aim."""
        if self._phase is None:
            return fault is None
        if self.quitting:
            fault = None
        elif fault is not None and self._redaction is not None:
            fault = Fault(fault.kind, self._redaction.text(fault.detail))
        seconds = self._now - self._phase_start
        self.steps.append(Step(self._phase, self._phase_start, seconds, shared(tuple(self._exchanges)), fault))
        self._phase = None
        return fault is None


@functools.lru_cache(maxsize=256)
def _keywords(ehlo: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Return what an EHLO's lines offer: keyword and parameters, in upper case (RFC 5321 4.1.1.1)."""
    found: dict[str, tuple[str, ...]] = {}
    for line in ehlo:
        # Old servers write "AUTH=LOGIN PLAIN" beside the proper line.
        keyword, *parameters = line.upper().replace("=", " ").split() or [""]
        found[keyword] = (*found.get(keyword, ()), *parameters)
    return found


_NOTHING = frozenset({"ENHANCEDSTATUSCODES"})
"""What Sendmail offers to a client that it refuses (ratecontrol, conncontrol, access); its next reply says why."""

_UNKNOWN_COMMAND = frozenset({500, 502, 503, 504})
"""Replies to STARTTLS that say no more than EHLO did (RFC 5321 4.2.4)."""

_NO_MORE_BYTES = frozenset({FaultKind.TIMEOUT, FaultKind.CLOSED, FaultKind.RESET})
"""After these no more bytes come: an unfinished line that is not SMTP says more than they do."""


def dot_stuffed(message: bytes) -> bytes:
    """Return the message as it goes over the wire after DATA (RFC 5321 4.5.2), with its end."""
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n")


def _refuse_control_characters(check: Check) -> None:
    """Raise `ValueError` where a setting would end its line and begin another command."""
    for value in (check.server.ehlo, check.mailbox, check.user, check.sender, check.recipient or ""):
        if not value.isprintable():
            raise ValueError("an address or name of a check contains a control character")

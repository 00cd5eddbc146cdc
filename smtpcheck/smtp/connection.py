"""The sockets: drives one dialogue over one connection.

Rules of this file:
- `converse` never raises for what the checked world does; it ends at the check's timeout at the latest, whatever the
  server does, and leaves no socket and no task behind.
- Bytes go straight from the transport through TLS into the dialogue, and its answer straight back; the coroutine wakes
  only when the connection is established and when the dialogue has ended.
- TLS begins in the same callback that read the STARTTLS reply, so that no plain text slips in behind it unseen.
- After a failed verification one more connection to the same address, without verification, reads the certificate. It
  ends with the handshake and sends nothing more.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import cast

from msgspec import Struct

from smtpcheck import __version__
from smtpcheck.mail.message import own_message
from smtpcheck.model.check import Check, Depth, Phase, Security
from smtpcheck.model.interning import shared
from smtpcheck.model.report import Attempt, Fault, FaultKind, Step, TlsFacts
from smtpcheck.network.connecting import connect, disconnect, summed_up
from smtpcheck.network.network import Network
from smtpcheck.network.resolver import AddressInfo
from smtpcheck.network.system_faults import os_fault
from smtpcheck.network.tls import VERIFICATION_FAILED, handshake_fault
from smtpcheck.network.tls_session import TlsSession
from smtpcheck.secrets.secret import Secret
from smtpcheck.smtp.dialogue import Action, Dialogue, Plan
from smtpcheck.system import SYSTEM, System

QUIT_SECONDS = 2.0
"""How long the answer to QUIT is waited for."""


class Conversation(Struct, frozen=True, gc=False):
    """What happened between connecting and QUIT."""

    steps: tuple[Step, ...]
    tls: TlsFacts | None
    attempts: tuple[Attempt, ...]
    mechanism: str
    """The SASL mechanism that was used, in upper case; empty if none was."""
    auth_line_length: int
    """The length in octets of the longest line that was sent for AUTH."""
    ehlo: tuple[str, ...]
    """The keyword lines of the last EHLO."""


async def converse(
    check: Check,
    depth: Depth,
    secret: Secret | None,
    *,
    origin: float,
    network: Network,
    message: bytes | None = None,
    consent: Callable[[], Awaitable[bool]] | None = None,
    system: System = SYSTEM,
) -> Conversation:
    """Talk to the check's server up to a depth.

    Args:
        check: what to do; its `timeout` bounds the whole conversation, name resolution included.
        depth: how far to go; the check's own depth is not looked at.
        secret: the token or password, sent from `Depth.AUTH` on; a check without a credential goes on without a login.
        origin: when the run began, on the monotonic clock; `Step.start` counts from there.
        network: built for this check's server.
        message: what to send at `Depth.SEND`, with CRLF line ends; a message of its own making if None.
        consent: asked before DATA, within the same time; where it says no, QUIT follows and no phase data is recorded.
        system: whose clocks count.

    Raises:
        ValueError: the depth needs no connection, or a token or password that is not there, or an address or name holds
            a control character.
    """
    if not depth.needs_connection or (depth.needs_token and check.credential is not None and secret is None):
        raise ValueError(f"no conversation of depth {depth} without its token or password")
    if depth >= Depth.SEND and message is None:
        now, unique = datetime.fromtimestamp(system.wall(), UTC), system.octets(16).hex()
        message = own_message(check, now=now, unique=unique, agent=f"smtpcheck/{__version__}")
    elapsed = partial(_seconds_since, origin, system.monotonic)
    run = _Run(Plan(check, depth, secret, message or b"", asks=consent is not None), elapsed, network)
    try:
        async with asyncio.timeout(check.timeout) as alarm:
            await run.go(alarm, consent)
    except TimeoutError:
        run.time_out()
    finally:
        run.close()
    # The transport closes its socket in the loop's next turn.
    await asyncio.sleep(0)
    return run.conversation()


def _seconds_since(origin: float, monotonic: Callable[[], float]) -> float:
    return monotonic() - origin


class _Run:
    """One conversation: dns, connect, then the dialogue."""

    def __init__(self, plan: Plan, elapsed: Callable[[], float], network: Network) -> None:
        self._plan = plan
        self._server = plan.check.server
        self._now = elapsed
        self._network = network
        self._dialogue = Dialogue(plan)
        self._link: _Link | None = None
        self._phase: Phase | None = None
        self._phase_start = 0.0
        self._steps: list[Step] = []
        self._attempts: list[Attempt] = []

    async def go(self, alarm: asyncio.Timeout, consent: Callable[[], Awaitable[bool]] | None) -> None:
        """Do all of it, unless the alarm ends it."""
        addresses = await self._resolve()
        if not addresses:
            return
        server, contexts = self._server, self._network.contexts
        context = None if server.security is Security.NONE else contexts.verified(server)
        self._begin(Phase.CONNECT)
        self._link = link = _Link(self._dialogue, self._now, alarm, context, server.server_name)
        try:
            peer = await connect(addresses, link, self._attempts)
        except OSError as error:
            self._end(self._now(), summed_up(self._attempts) or os_fault(error))
            return
        self._end_connect(link)
        await link.done
        if self._dialogue.then == "ask" and consent is not None:
            await link.go_on(permitted=await consent())
        if link.handshake_fault is not None and link.handshake_fault.kind in VERIFICATION_FAILED:
            await self._read_certificate(peer, alarm)

    async def _resolve(self) -> Sequence[AddressInfo]:
        self._begin(Phase.DNS)
        server = self._server
        answer = await self._network.resolver.resolve(server.host, server.port, server.ip_version)
        self._end(self._phase_start + answer.seconds, answer.fault)
        return answer.addresses

    async def _read_certificate(self, peer: AddressInfo, alarm: asyncio.Timeout) -> None:
        """Connect again to the same address and shake hands without verification."""
        self.close()
        dialogue = Dialogue(Plan(self._plan.check, Depth.CONNECT, None, only_tls=True))
        self._link = link = _Link(
            dialogue, self._now, alarm, self._network.contexts.unverified, self._server.server_name
        )
        with contextlib.suppress(OSError):
            await connect([peer], link, self._attempts)
            await link.done

    def time_out(self) -> None:
        """End the open phase, whichever it is, for the check's time is over."""
        server, seconds = self._server, self._plan.check.timeout
        fault = Fault(FaultKind.TIMEOUT, f"not done within {seconds:g} s")
        if self._phase is Phase.CONNECT and self._link is not None:
            self._end_connect(self._link)
        if self._phase is None:
            self._dialogue.fail(fault, self._now())
            return
        if self._network.resolver.is_queued(server.host, server.port, server.ip_version):
            detail = f"no slot for a name lookup became free within {seconds:g} s"
            fault = Fault(FaultKind.OUT_OF_RESOURCES, detail)
        self._end(self._now(), fault)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._link is not None:
            self._link.close()

    def conversation(self) -> Conversation:
        """Return what was seen."""
        dialogue = self._dialogue
        return Conversation(
            steps=(*self._steps, *dialogue.steps),
            tls=self._link.facts if self._link is not None else None,
            attempts=shared(tuple(self._attempts)),
            mechanism=dialogue.mechanism,
            auth_line_length=dialogue.auth_line_length,
            ehlo=dialogue.ehlo,
        )

    def _begin(self, phase: Phase) -> None:
        self._phase = phase
        self._phase_start = self._now()

    def _end_connect(self, link: "_Link") -> None:
        """End phase connect, if the link has its connection."""
        if link.begun_at is not None:
            self._end(link.begun_at, None)

    def _end(self, now: float, fault: Fault | None) -> None:
        if self._phase is not None:
            self._steps.append(Step(self._phase, self._phase_start, now - self._phase_start, (), fault))
            self._phase = None


class _Link(asyncio.Protocol):
    """Carries bytes between a transport and a dialogue, through TLS from where the dialogue wants it."""

    def __init__(
        self,
        dialogue: Dialogue,
        elapsed: Callable[[], float],
        alarm: asyncio.Timeout,
        context: ssl.SSLContext | None,
        server_name: str,
    ) -> None:
        self._dialogue = dialogue
        self._now = elapsed
        self._alarm = alarm
        self._context = context
        self._server_name = server_name
        self._transport: asyncio.Transport | None = None
        self._tls: TlsSession | None = None
        self.begun_at: float | None = None
        """When the connection was established."""
        self.done = asyncio.get_running_loop().create_future()
        """Has its result when all is said, or when the dialogue asks."""
        self.facts: TlsFacts | None = None
        self.handshake_fault: Fault | None = None

    async def go_on(self, *, permitted: bool) -> None:
        """Answer what the dialogue asked, and carry on until it has ended."""
        self.done = asyncio.get_running_loop().create_future()
        self._obey(self._dialogue.permit(permitted, self._now()))
        await self.done

    def close(self) -> None:
        """Close at once; over TLS the close_notify still goes out."""
        disconnect(self._transport, self._tls)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the dialogue."""
        self._transport = cast("asyncio.Transport", transport)
        self.begun_at = now = self._now()
        self._obey(self._dialogue.begin(now))

    def data_received(self, data: bytes) -> None:
        """Let the dialogue answer."""
        if self._tls is None:
            self._obey(self._dialogue.receive(data, self._now()))
        elif self._dialogue.then != "close":
            self._receive_secured(data, self._tls)

    def _receive_secured(self, data: bytes, tls: TlsSession) -> None:
        shaking_hands = not tls.established
        try:
            said = tls.receive(data)
        except ssl.SSLError as error:
            fault = handshake_fault(error)
            self.handshake_fault = fault if shaking_hands else None
            self._obey(self._dialogue.fail(fault, self._now()))
        else:
            if shaking_hands and tls.established:
                self.facts = tls.facts()
                self._obey(self._dialogue.secured(self._now()))
            if said:
                self._obey(self._dialogue.receive(said, self._now()))
            if tls.ended:
                self.eof_received()
        if self._transport is not None:
            self._flush(self._transport, tls)

    def eof_received(self) -> None:
        """Take the server's end of the stream for the end of the dialogue."""
        shaking_hands = self._tls is not None and not self._tls.established
        detail = "the server closed the connection during the handshake" if shaking_hands else ""
        self._obey(self._dialogue.fail(Fault(FaultKind.CLOSED, detail), self._now()))

    def connection_lost(self, exc: Exception | None) -> None:
        """End the dialogue, if it did not end before."""
        if self._dialogue.then != "close":
            fault = os_fault(exc) if isinstance(exc, OSError) else Fault(FaultKind.CLOSED)
            self._obey(self._dialogue.fail(fault, self._now()))

    def _obey(self, action: Action) -> None:
        transport, tls = self._transport, self._tls
        if action.send and transport is not None:
            if tls is None:
                transport.write(action.send)
            else:
                tls.say(action.send)
                self._flush(transport, tls)
        if action.then == "read":
            if self._dialogue.quitting:
                self._hurry()
        elif action.then == "tls" and transport is not None and self._context is not None:
            self._tls = TlsSession(self._context, self._server_name)
            self._flush(transport, self._tls)
        elif not self.done.done():
            self.done.set_result(None)

    @staticmethod
    def _flush(transport: asyncio.Transport, tls: TlsSession) -> None:
        if data := tls.take():
            transport.write(data)

    def _hurry(self) -> None:
        end = asyncio.get_running_loop().time() + QUIT_SECONDS
        when = self._alarm.when()
        if when is not None and end < when:
            self._alarm.reschedule(end)

"""The way to an API and back: connects, asks what its depth needs, and keeps what was seen as steps.

Rules of this file:
- `call` never raises for what the checked world does; it ends at the check's timeout at the latest, whatever the server
  does, and what it leaves open is in `Connections`.
- A message goes over a new connection, so that none is written into one that the server is about to close. It goes only
  once: what became of it is uncertain from when it was written, unless the API itself sends one key once.
- A proof cannot send. Where a kept connection ends under it, or does not answer in half the time, it is asked once more
  over a new one.
- A connection whose certificate has anything to warn of is not kept: each run sees it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from msgspec import structs

from smtpcheck.http_client.connection import HttpConnection, HttpRequest, open_connection
from smtpcheck.http_client.exchange import Limits, Response
from smtpcheck.http_client.phases import Phases
from smtpcheck.http_client.proxy import proxy_for
from smtpcheck.mail_api.api import MailApi, Outgoing, Reading, Ruling
from smtpcheck.mail_api.connections import Connections
from smtpcheck.model.check import Check, Phase
from smtpcheck.model.report import ApiAnswer, Attempt, Exchange, Fault, FaultKind, Step, TlsFacts
from smtpcheck.network.network import Network
from smtpcheck.secrets.secret import Secret
from smtpcheck.system import SYSTEM, System

LIMITS = Limits(octets=256 * 1024)
"""Of one response; the time is the check's."""

Renew = Callable[[], Awaitable[Secret | None]]
"""Gets a token that is newer than the one at hand; None where there is none."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one run asks of an API."""

    api: MailApi
    check: Check
    """Its `timeout` bounds the whole call, name resolution included."""
    secret: Secret | None
    """None: the run only connects."""
    outgoing: Outgoing | None = None
    """The message to send; None: the right to send is proven."""
    consent: Callable[[], Awaitable[bool]] | None = None
    """Asked before the message is sent, within the same time; where it says no, nothing is."""
    renew: Renew | None = None
    """Asked once where a refusal may be of an old token alone; None: the token is new."""
    proxy: str | None = None
    """The configured proxy."""


@dataclass(frozen=True, slots=True)
class Call:
    """What happened."""

    steps: tuple[Step, ...]
    tls: TlsFacts | None
    """None where a kept connection was used."""
    attempts: tuple[Attempt, ...]
    facts: dict[str, float | str] = field(default_factory=dict)
    """What the answers say of the account."""
    renewed: Secret | None = None
    """The newer token that was accepted where the older one was refused."""


async def call(
    task: Task, *, origin: float, network: Network, connections: Connections, system: System = SYSTEM
) -> Call:
    """Ask the API; `origin` is when the run began, on the monotonic clock: `Step.start` counts from there."""
    run = _Run(task, Phases(lambda: system.monotonic() - origin), network, connections, system)
    try:
        async with asyncio.timeout(task.check.timeout):
            await run.go()
    except TimeoutError:
        run.time_out()
    finally:
        run.release()
    # A transport closes its socket in the loop's next turn.
    await asyncio.sleep(0)
    return run.result()


class _Run:
    """One call."""

    def __init__(self, task: Task, phases: Phases, network: Network, connections: Connections, system: System) -> None:
        self._task, self._phases, self._network = task, phases, network
        self._connections, self._system = connections, system
        self._secret, self._renew = task.secret, task.renew
        self._connection: HttpConnection | None = None
        self._tls: TlsFacts | None = None
        self._is_kept = False
        """Whether the connection has served another run."""
        self._exchanges: list[Exchange] = []
        self._command = ""
        self._facts: dict[str, float | str] = {}
        self._renewed: Secret | None = None

    async def go(self) -> None:
        """Do all of it, unless a time limit ends it."""
        task = self._task
        if task.outgoing is None:
            self._connection = self._connections.take(task.check.server, self._system.monotonic())
            self._is_kept = self._connection is not None
        if self._connection is None and not await self._open():
            return
        if self._secret is None:
            return
        if task.outgoing is None:
            await self._prove()
        elif task.consent is None or await task.consent():
            await self._send(task.outgoing)

    async def _prove(self) -> None:
        for request in self._task.api.proof(self._task.check):
            if not await self._ask(request, self._proof_read, repeatable=True):
                return

    def _proof_read(self, check: Check, response: Response) -> Reading:
        return self._task.api.read_proof(check, response, dict(self._facts))

    async def _send(self, outgoing: Outgoing) -> None:
        api = self._task.api
        await self._ask(api.message(self._task.check, outgoing), api.read_message, repeatable=api.repeats)

    async def _open(self) -> bool:
        server = self._task.check.server
        proxy = proxy_for(f"https://{server.host}:{server.port}/", self._task.proxy)
        opened = await open_connection(
            server, network=self._network, proxy=proxy, phases=self._phases, monotonic=self._system.monotonic
        )
        self._connection, self._tls = opened.connection, opened.tls
        self._is_kept = False
        return opened.connection is not None

    async def _ask(self, request: HttpRequest, read: Callable[[Check, Response], Reading], *, repeatable: bool) -> bool:
        """Ask one thing, and with a newer token where the refusal may be of the older one; return whether it passed."""
        reading = await self._asked(request, read, repeatable=repeatable)
        renew, self._renew = self._renew, None
        if reading is None or reading.ruling is not Ruling.REFUSED or renew is None:
            return reading is not None and reading.ruling is Ruling.ACCEPTED
        if not self._task.api.may_be_stale(reading.answer):
            return False
        newer = await renew()
        refused = len(self._phases.steps) - 1
        if newer is None or newer == self._secret or not await self._is_connected():
            return False
        self._secret = newer
        again = await self._asked(request, read, repeatable=repeatable)
        if again is None or again.ruling is not Ruling.ACCEPTED:
            return False
        self._renewed = newer
        self._phases.steps[refused] = structs.replace(self._phases.steps[refused], fault=None)
        return True

    async def _is_connected(self) -> bool:
        connection = self._connection
        return (connection is not None and connection.can_be_used) or await self._open()

    async def _asked(
        self, request: HttpRequest, read: Callable[[Check, Response], Reading], *, repeatable: bool
    ) -> Reading | None:
        """Make one exchange and record it as a step; None where no response came."""
        self._command = f"{request.method} {request.url.partition('?')[0]}"
        self._phases.begin(Phase.REQUEST)
        outcome = await (self._exchanged_in_time(request) if self._is_kept else self._exchanged(request))
        again = isinstance(outcome, Fault) and outcome.kind is not FaultKind.NOT_SENDABLE and repeatable
        if again and (self._is_kept or self._task.outgoing is not None):
            self._phases.open = None
            if not await self._open():
                return None
            self._phases.begin(Phase.REQUEST)
            outcome = await self._exchanged(request)
        if isinstance(outcome, Fault):
            self._end(outcome, None)
            return None
        reading = read(self._task.check, outcome)
        self._facts |= reading.facts
        self._end(_fault_of(reading), reading.answer)
        return reading

    async def _exchanged(self, request: HttpRequest) -> Response | Fault:
        connection, secret, api = self._connection, self._secret, self._task.api
        assert connection is not None and secret is not None  # noqa: S101, PT018 - `go` has seen to both
        authorized = api.authorized(self._task.check, request, secret, now=self._system.wall())
        return await connection.exchange(authorized, LIMITS, keep=api.kept_headers, wall=self._system.wall)

    async def _exchanged_in_time(self, request: HttpRequest) -> Response | Fault:
        """Make an exchange over a kept connection, leaving time for a new one: what is dead says nothing."""
        try:
            async with asyncio.timeout(self._task.check.timeout / 2):
                return await self._exchanged(request)
        except TimeoutError:
            assert self._connection is not None  # noqa: S101 - it was just used
            self._connection.close()
            return Fault(FaultKind.TIMEOUT)

    def _end(self, fault: Fault | None, answer: ApiAnswer | None) -> None:
        self._phases.end(fault, exchanges=(Exchange(self._command, None, answer=answer),))

    def time_out(self) -> None:
        """End the open phase, for the check's time is over."""
        server, seconds = self._task.check.server, self._task.check.timeout
        fault = Fault(FaultKind.TIMEOUT, f"not done within {seconds:g} s")
        if self._phases.open is Phase.DNS and self._network.resolver.is_queued(
            server.host, server.port, server.ip_version
        ):
            fault = Fault(FaultKind.OUT_OF_RESOURCES, f"no slot for a name lookup became free within {seconds:g} s")
        if self._phases.open is Phase.REQUEST:
            self._end(fault, None)
        else:
            self._phases.end(fault)

    def release(self) -> None:
        """Keep the connection for another run, or close it."""
        if self._connection is None:
            return
        if self._tls is not None and self._has_to_warn(self._tls):
            self._connection.close()
        self._connections.keep(self._connection, self._system.monotonic())

    def _has_to_warn(self, tls: TlsFacts) -> bool:
        certificate = tls.certificate
        if certificate is None:
            return False
        return not certificate.names or certificate.not_after - self._system.wall() < self._task.check.warn.certificate

    def result(self) -> Call:
        """Return what was seen."""
        phases = self._phases
        return Call(tuple(phases.steps), self._tls, tuple(phases.attempts), self._facts, self._renewed)


def _fault_of(reading: Reading) -> Fault | None:
    if reading.ruling is Ruling.ACCEPTED:
        return None
    if reading.ruling is Ruling.SENT:
        return Fault(FaultKind.ACCEPTED, "the request that must send nothing was taken for a message")
    return Fault(FaultKind.REPLY)

"""What a run says to its server: an SMTP dialogue, or the requests of a mail API.

Rules of this file:
- `talk` alone decides between the two; all else of a run is the same for both.
- A proof by an API is made once within five minutes for a mailbox; a run that comes sooner has the last one's answer,
  and its step says so. A fresh token changes nothing of that.
- Where an API refuses a token that may be older than the consent, it is asked once more with a fresh one.
"""

from datetime import UTC, datetime

from msgspec import structs

from smtpcheck import __version__
from smtpcheck.check.kit import Kit
from smtpcheck.check.talk import OutgoingMessage, Talk
from smtpcheck.mail.message import own_message
from smtpcheck.mail_api.api import Outgoing
from smtpcheck.mail_api.apis import api_of
from smtpcheck.mail_api.call import Call, Task, call
from smtpcheck.model.check import Check, Depth, Via
from smtpcheck.model.report import Exchange, Step
from smtpcheck.oauth.token_cache import AcquiredToken
from smtpcheck.secrets.secret import Secret
from smtpcheck.smtp.connection import converse


async def talk(
    check: Check, kit: Kit, acquired: AcquiredToken | None, *, origin: float, outgoing: OutgoingMessage | None
) -> Talk:
    """Talk to the check's server as far as its depth, or only connect where there is no token.

    The check's `timeout` bounds it; `origin` is when the run began (monotonic seconds).
    """
    if check.via is not None:
        return await _by_api(check, check.via, kit, acquired, origin=origin, outgoing=outgoing)
    said = await converse(
        check,
        check.depth if acquired or not check.uses_credential else Depth.CONNECT,
        acquired.token if acquired else None,
        origin=origin,
        network=kit.network,
        message=outgoing.content if outgoing else None,
        consent=outgoing.consent if outgoing else None,
        system=kit.system,
    )
    return Talk(said.steps, said.tls, said.attempts, said.mechanism, said.auth_line_length, said.ehlo)


async def _by_api(
    check: Check,
    via: Via,
    kit: Kit,
    acquired: AcquiredToken | None,
    *,
    origin: float,
    outgoing: OutgoingMessage | None,
) -> Talk:
    host, proves = check.server.host, check.depth < Depth.SEND and acquired is not None
    if proves and (known := kit.apis.last_proof(host, check.mailbox, kit.monotonic())) is not None:
        age, made = known
        return structs.replace(made, steps=_as_remembered(made.steps, kit.monotonic() - origin, age))
    renewal = _Renewal(check, kit, acquired)
    task = Task(
        api_of(via),
        check,
        acquired.token if acquired else None,
        outgoing=None if proves or acquired is None else _outgoing(check, kit, outgoing),
        consent=outgoing.consent if outgoing else None,
        renew=renewal.renew if renewal.is_of_use else None,
        proxy=kit.proxy(check),
    )
    async with kit.apis.slot(host, check.mailbox):
        made = _talk(
            await call(task, origin=origin, network=kit.network, connections=kit.api_connections, system=kit.system),
            renewal,
        )
    if proves and any(exchange.answer for step in made.steps for exchange in step.exchanges):
        kit.apis.keep_proof(host, check.mailbox, made, kit.monotonic())
    return made


def _talk(made: Call, renewal: "_Renewal") -> Talk:
    renewed = renewal.acquired if made.renewed is not None else None
    return Talk(made.steps, made.tls, made.attempts, account=made.facts, renewed=renewed)


def _as_remembered(steps: tuple[Step, ...], start: float, age: float) -> tuple[Step, ...]:
    """Return the steps with an answer as they are shown by a run that asks nothing."""
    return tuple(
        structs.replace(
            step, start=start, seconds=0.0, exchanges=tuple(_aged(exchange, age) for exchange in step.exchanges)
        )
        for step in steps
        if any(exchange.answer for exchange in step.exchanges)
    )


def _aged(exchange: Exchange, age: float) -> Exchange:
    return structs.replace(exchange, command=f"{exchange.command} (answered {age:.0f} s before)")


def _outgoing(check: Check, kit: Kit, given: OutgoingMessage | None) -> Outgoing:
    if given is not None and given.content is not None:
        return Outgoing(given.content, given.key, is_searched_for=True)
    now, unique = datetime.fromtimestamp(kit.wall(), UTC), kit.system.octets(16).hex()
    content = own_message(check, now=now, unique=unique, agent=f"smtpcheck/{__version__}")
    return Outgoing(content, unique, is_searched_for=False)


class _Renewal:
    """Gets a fresh token for a run whose token comes from memory."""

    def __init__(self, check: Check, kit: Kit, held: AcquiredToken | None) -> None:
        self._check, self._kit = check, kit
        self.is_of_use = held is not None and held.facts is not None and held.facts.from_cache
        self.acquired: AcquiredToken | None = None
        """The token that it got."""

    async def renew(self) -> Secret | None:
        """Return a token that the issuer has just given, None where it gave none."""
        check = self._check
        answer = await self._kit.tokens.token(
            check.credential or "", check.mailbox, timeout=check.token_timeout, fresh=True, scope=check.scope
        )
        if not isinstance(answer, AcquiredToken) or answer.renewal_error is not None:
            return None
        self.acquired = answer
        return answer.token

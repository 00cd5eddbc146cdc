"""The broker: who asks the issuer, when, and what everybody else gets meanwhile."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from msgspec import structs

from smtpcheck.model.credential import CredentialState
from smtpcheck.model.report import TokenError, TokenErrorKind
from smtpcheck.oauth import broker as module
from smtpcheck.oauth import token_cache
from smtpcheck.oauth.broker import SEVERAL, TokenBroker
from smtpcheck.oauth.credential import Credential
from smtpcheck.oauth.flow import CredentialLifetime, Flow, IssuedToken
from smtpcheck.oauth.token_cache import AcquiredToken
from smtpcheck.oauth.token_store import TokenFile
from smtpcheck.secrets.file_state import FileState, file_state
from smtpcheck.secrets.secret import Secret

Answers = Callable[[str | None], IssuedToken | TokenError]


@dataclass
class Clock:
    """Both clocks, moved by hand."""

    now: float = 1000.0
    epoch: float = 1_800_000_000.0

    def wall(self) -> float:
        return self.epoch + self.now

    def monotonic(self) -> float:
        return self.now


@dataclass
class Issuer:
    """Counts what it is asked, and answers as it is told."""

    clock: Clock
    host: str = field(default="issuer.example", kw_only=True)
    life: float | None = 3600.0
    error: TokenError | None = None
    error_scope: str | None = None
    """For which scope alone there is the error; None for all."""
    refresh_in: float | None = None
    bug: bool = False
    known: CredentialLifetime = field(default_factory=lambda: CredentialLifetime(client_secret_expires_at=5.0))
    side_request: Callable[[], object] | None = None
    subjects: list[str | None] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    free: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.free.set()

    @property
    def asked(self) -> int:
        return len(self.subjects)

    def request(self, subject: str | None, scope: str = "") -> IssuedToken | TokenError:
        self.subjects.append(subject)
        self.scopes.append(scope)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        number = self.asked
        self.begun.release()
        assert self.free.wait(10)
        self.at_once -= 1
        if self.bug:
            raise ZeroDivisionError
        if self.error is not None and self.error_scope in {None, scope}:
            return structs.replace(self.error, at=self.clock.wall())
        end = None if self.life is None else self.clock.wall() + self.life
        return IssuedToken(Secret(f"token {number} of {subject}"), end, self.refresh_in)


class FakeFlow(Flow):
    @property
    def issuer(self) -> str:
        return self._issuer.host

    @property
    def lifetime(self) -> CredentialLifetime:
        return self._issuer.known

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer

    @property
    def side_request_due(self) -> bool:
        return self._issuer.side_request is not None

    def side_request(self) -> None:
        side_request, self._issuer.side_request = self._issuer.side_request, None
        if side_request is not None:
            side_request()

    def request(self, subject: str | None, scope: str = "") -> IssuedToken | TokenError:
        return self._issuer.request(subject, scope)


class Fake(Credential):
    issuers: ClassVar[dict[str, Issuer]] = {}

    type: Literal["fake"] = "fake"
    key: str = "one"
    secret_file: Path | None = None

    @property
    def scope(self) -> str:
        return "mail"

    def files(self) -> tuple[Path, ...]:
        return (self.secret_file,) if self.secret_file else ()

    def flow(self, login: TokenFile | None = None) -> Flow:
        return FakeFlow(self.issuers[self.key])


class PerMailbox(Fake):
    uses_subject: ClassVar[bool] = True


REFUSED = TokenError(TokenErrorKind.OAUTH, at=0.0, error="invalid_client", http_status=401)

GONE = structs.replace(REFUSED, error="invalid_grant", http_status=400)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer(clock: Clock) -> Issuer:
    issuer = Issuer(clock)
    Fake.issuers = {"one": issuer}
    return issuer


@pytest.fixture
async def broker(clock: Clock, issuer: Issuer) -> AsyncIterator[TokenBroker]:
    broker = TokenBroker({"a": Fake()}, wall=clock.wall, monotonic=clock.monotonic)
    yield broker
    issuer.free.set()
    await broker.close()


async def _ask(
    broker: TokenBroker, *, fresh: bool = False, subject: str | None = "x@example.org"
) -> AcquiredToken | TokenError:
    return await broker.token("a", subject, timeout=5, fresh=fresh)


async def _granted(broker: TokenBroker, *, fresh: bool = False, subject: str | None = "x@example.org") -> AcquiredToken:
    answer = await _ask(broker, fresh=fresh, subject=subject)
    assert isinstance(answer, AcquiredToken)
    return answer


async def _refused(broker: TokenBroker, *, fresh: bool = False, subject: str | None = "x@example.org") -> TokenError:
    answer = await _ask(broker, fresh=fresh, subject=subject)
    assert isinstance(answer, TokenError)
    return answer


async def _settle(broker: TokenBroker) -> None:
    """Look for what is due, and wait for the requests that it began."""
    await broker.refresh_due()
    tasks = [task for task in asyncio.all_tasks() if task.get_name().startswith("token ")]
    if tasks:
        await asyncio.wait(tasks)


async def test_ten_thousand_checks_share_one_request(broker: TokenBroker, issuer: Issuer) -> None:
    issuer.free.clear()
    askers = [asyncio.create_task(_ask(broker, subject=f"{number}@example.org")) for number in range(10_000)]
    await asyncio.to_thread(issuer.begun.acquire)
    issuer.free.set()
    tokens = {answer.token.reveal() for answer in await asyncio.gather(*askers) if isinstance(answer, AcquiredToken)}
    assert (issuer.subjects, tokens) == ([None], {"token 1 of None"})


async def test_a_run_that_waited_is_told_from_one_that_did_not(broker: TokenBroker, clock: Clock) -> None:
    first = await _granted(broker)
    clock.now += 7
    second = await _granted(broker)
    assert first.facts is not None
    assert second.facts is not None
    assert (first.facts.from_cache, second.facts.from_cache, second.waited) == (False, True, 0.0)
    assert structs.replace(first.facts, from_cache=True) == second.facts
    assert broker.peek("a", None) is second


async def test_at_most_two_requests_per_token_life(broker: TokenBroker, issuer: Issuer, clock: Clock) -> None:
    """Eight hours of checks every minute, with a look at what is due every five seconds."""
    await _granted(broker)
    for step in range(8 * 3600 // 5):
        clock.now += 5
        await _settle(broker)
        if step % 12 == 0:
            assert broker.peek("a", None) is not None
    assert 8 < issuer.asked <= 2 * 8 + 1


async def test_a_renewal_comes_at_half_of_the_life_and_the_old_token_serves_meanwhile(
    broker: TokenBroker, issuer: Issuer, clock: Clock
) -> None:
    await _granted(broker)
    broker.peek("a", None)
    clock.now += 1799
    await _settle(broker)
    assert issuer.asked == 1
    clock.now += 200
    issuer.free.clear()
    await broker.refresh_due()
    held = broker.peek("a", None)
    assert held is not None
    assert held.token == Secret("token 1 of None")
    issuer.free.set()
    await _settle(broker)
    assert (await _granted(broker)).token == Secret("token 2 of None")


async def test_a_token_of_a_long_life_is_renewed_every_hour(broker: TokenBroker, issuer: Issuer, clock: Clock) -> None:
    issuer.life = 86400.0
    await _granted(broker)
    broker.peek("a", None)
    clock.now += 3590
    await _settle(broker)
    assert issuer.asked == 1
    clock.now += 10
    await _settle(broker)
    assert issuer.asked == 2


async def test_a_token_that_nobody_uses_is_not_renewed(broker: TokenBroker, issuer: Issuer, clock: Clock) -> None:
    await _granted(broker)
    for _ in range(3):
        clock.now += 1999
        await _settle(broker)
    assert issuer.asked == 1


async def test_the_failure_of_a_mailbox_that_is_checked_no_more_is_forgotten(clock: Clock, issuer: Issuer) -> None:
    broker = TokenBroker({"a": PerMailbox()}, wall=clock.wall, monotonic=clock.monotonic)
    issuer.error = REFUSED
    await _refused(broker, subject="gone@example.org")
    issuer.error = None
    seen = []
    for _ in range(3):
        clock.now += 43_201
        await _granted(broker, subject="x@example.org")
        await _settle(broker)
        (state,) = broker.states()
        seen.append(state.success)
    assert seen == [False, True, True]
    await broker.close()


@pytest.mark.parametrize("which", ["wall", "monotonic"])
async def test_a_token_is_not_used_near_its_end_by_either_clock(
    broker: TokenBroker, issuer: Issuer, clock: Clock, which: str
) -> None:
    await _granted(broker)
    if which == "wall":
        clock.epoch += 3520
    else:
        clock.now += 3520
        clock.epoch -= 3520
    assert broker.peek("a", None) is None


async def test_a_dead_secret_makes_few_requests(broker: TokenBroker, issuer: Issuer, clock: Clock) -> None:
    """Ten thousand checks a minute for an hour: the failure is asked for again at growing distance only."""
    issuer.error = REFUSED
    errors = [await _refused(broker) for _ in range(10_000)]
    assert (issuer.asked, {error.at for error in errors}) == (1, {clock.wall()})
    begun, times = clock.now, [clock.now]
    for _ in range(3600):
        clock.now += 1
        before = issuer.asked
        await _refused(broker)
        times += [clock.now] * (issuer.asked - before)
    assert [time - begun for time in times[:7]] == [0, 30, 90, 210, 450, 750, 1050]


async def test_a_refused_renewal_is_trouble_and_the_old_token_serves(
    broker: TokenBroker, issuer: Issuer, clock: Clock
) -> None:
    await _granted(broker)
    broker.peek("a", None)
    issuer.error = REFUSED
    clock.now += 2000
    await _settle(broker)
    refused = structs.replace(REFUSED, at=clock.wall())
    held = await _granted(broker)
    assert (held.renewal_error, held.token) == (refused, Secret("token 1 of None"))
    (state,) = broker.states()
    assert (state.success, state.fresh_success, state.error) == (True, False, refused)
    await _settle(broker)
    assert issuer.asked == 2
    issuer.error = None
    clock.now += 30
    await _settle(broker)
    assert (await _granted(broker)).renewal_error is None


async def test_a_renewal_that_failed_before_it_was_due_is_tried_again_soon(
    broker: TokenBroker, issuer: Issuer, clock: Clock
) -> None:
    """As after "check now" during a short outage, or when a clock was set and set back: no warning until it is due."""
    await _granted(broker)
    issuer.error = REFUSED
    clock.now += 10
    assert (await _granted(broker, fresh=True)).renewal_error is not None
    issuer.error = None
    clock.now += 29
    await _settle(broker)
    assert issuer.asked == 2
    clock.now += 1
    await _settle(broker)
    assert (await _granted(broker)).renewal_error is None
    assert issuer.asked == 3


async def test_a_fresh_request_passes_the_memory_but_not_twice_in_a_moment(
    broker: TokenBroker, issuer: Issuer, clock: Clock
) -> None:
    await _granted(broker)
    clock.now += 1
    facts = (await _granted(broker, fresh=True)).facts
    assert facts is not None
    assert facts.from_cache
    clock.now += 9
    assert (await _granted(broker, fresh=True)).token == Secret("token 2 of None")
    issuer.error = REFUSED
    clock.now += 10
    assert (await _granted(broker, fresh=True)).renewal_error == structs.replace(REFUSED, at=clock.wall())
    issuer.error = None
    clock.now += 10
    assert (await _granted(broker, fresh=True)).renewal_error is None


async def test_what_the_issuer_asks_to_wait_is_kept_but_for_one_fresh_request(
    broker: TokenBroker, issuer: Issuer, clock: Clock
) -> None:
    """A user who has just fixed something need not wait for an hour; clicking again does not help, though."""
    issuer.error = structs.replace(REFUSED, kind=TokenErrorKind.THROTTLED, retry_after=600.0)
    await _refused(broker)
    clock.now += 300
    await _refused(broker)
    assert issuer.asked == 1
    for _ in range(5):
        again = await _refused(broker, fresh=True)
        clock.now += 60
    assert issuer.asked == 2
    clock.now += 299
    assert await _refused(broker, fresh=True) == again
    issuer.error = None
    clock.now += 1
    await _granted(broker)
    assert issuer.asked == 3


async def test_after_a_wait_that_was_kept_a_fresh_request_may_pass_the_next_one(
    broker: TokenBroker, issuer: Issuer, clock: Clock
) -> None:
    issuer.error = structs.replace(REFUSED, kind=TokenErrorKind.THROTTLED, retry_after=600.0)
    for asked in (2, 4):
        await _refused(broker)
        clock.now += 60
        await _refused(broker, fresh=True)
        assert issuer.asked == asked
        clock.now += 600


async def test_a_refusal_is_dated_by_the_first_of_the_row(broker: TokenBroker, issuer: Issuer, clock: Clock) -> None:
    """ "Has been refused since" says for how long, not when it was tried last."""
    await _granted(broker)
    issuer.error = REFUSED
    clock.now += 1000
    await _granted(broker, fresh=True)
    began = clock.wall()
    for _ in range(3):
        clock.now += 300
        held = await _granted(broker, fresh=True)
        assert (held.renewal_error, held.failing_since) == (structs.replace(REFUSED, at=clock.wall()), began)
    known = broker.peek("a", None)
    assert known is not None
    assert known.failing_since == began
    issuer.error = None
    clock.now += 10
    assert (await _granted(broker, fresh=True)).failing_since is None


async def test_the_time_limit_of_one_does_not_end_the_request_of_all(broker: TokenBroker, issuer: Issuer) -> None:
    issuer.free.clear()
    patient = asyncio.create_task(_ask(broker))
    cancelled = asyncio.create_task(_ask(broker))
    hasty = await broker.token("a", None, timeout=0.01)
    assert isinstance(hasty, TokenError)
    assert (hasty.kind, hasty.endpoint) == (TokenErrorKind.TIMEOUT, "https://issuer.example")
    cancelled.cancel()
    await asyncio.wait({cancelled})
    issuer.free.set()
    assert isinstance(await patient, AcquiredToken)
    assert (issuer.asked, broker.peek("a", None) is not None) == (1, True)


async def test_a_token_that_comes_too_late_serves_the_next_run(broker: TokenBroker, issuer: Issuer) -> None:
    issuer.free.clear()
    assert isinstance(await broker.token("a", None, timeout=0.01), TokenError)
    issuer.free.set()
    await _settle(broker)
    assert broker.peek("a", None) is not None
    assert issuer.asked == 1


async def test_a_changed_file_ends_the_waiting_and_verifies_a_token_at_hand(
    clock: Clock, issuer: Issuer, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_text("one")
    broker = TokenBroker({"a": Fake(secret_file=file)}, wall=clock.wall, monotonic=clock.monotonic)
    await broker.refresh_due()
    issuer.error = REFUSED
    await _refused(broker)
    issuer.error = None
    await _refused(broker)
    file.write_text("another")
    await broker.refresh_due()
    await _granted(broker)
    clock.now += 10
    file.write_text("a third")
    await _settle(broker)
    assert issuer.asked == 3
    await broker.close()


async def test_a_file_that_several_credentials_name_is_looked_at_once_and_concerns_all(
    clock: Clock, issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []

    def counted(path: Path) -> FileState | None:
        looked.append(path)
        return file_state(path)

    monkeypatch.setattr(token_cache, "file_state", counted)
    file = tmp_path / "ca.pem"
    file.write_text("one")
    names = [f"credential-{number}" for number in range(250)]
    broker = TokenBroker({name: Fake(secret_file=file) for name in names}, wall=clock.wall, monotonic=clock.monotonic)
    await broker.refresh_due()
    for name in names:
        await broker.token(name, None, timeout=5)
    clock.now += 10
    file.write_text("another")
    await broker.refresh_due()
    await _settle(broker)
    assert issuer.asked == 2 * len(names)
    assert len(looked) <= 4
    await broker.close()


async def test_each_mailbox_has_its_own_token_where_the_credential_says_so(clock: Clock, issuer: Issuer) -> None:
    broker = TokenBroker({"a": PerMailbox()}, wall=clock.wall, monotonic=clock.monotonic)
    names = [f"{number}@example.org" for number in range(5)]
    await asyncio.gather(*(_granted(broker, subject=name) for name in names * 3))
    assert (sorted(issuer.subjects, key=str), issuer.most_at_once) == (names, 1)
    issuer.error = GONE
    await _refused(broker, subject="gone@example.org")
    issuer.error = None
    await _granted(broker, subject="new@example.org")
    (state,) = broker.states()
    assert (state.success, state.fresh_success, state.requests) == (False, False, {"success": 6, "error": 1})
    await broker.close()


async def test_a_dead_key_costs_one_request_and_not_one_for_each_mailbox(clock: Clock, issuer: Issuer) -> None:
    broker = TokenBroker({"a": PerMailbox()}, wall=clock.wall, monotonic=clock.monotonic)
    issuer.error = REFUSED
    for _ in range(60):
        for number in range(50):
            await _refused(broker, subject=f"{number}@example.org")
        clock.now += 1
    assert issuer.asked == 2
    await broker.close()


async def test_a_refusal_of_every_mailbox_is_the_clients(clock: Clock, issuer: Issuer) -> None:
    broker = TokenBroker({"a": PerMailbox()}, wall=clock.wall, monotonic=clock.monotonic)
    issuer.error = structs.replace(REFUSED, error="unauthorized_client")
    for number in range(50):
        await _refused(broker, subject=f"{number}@example.org")
    assert issuer.asked == SEVERAL
    await broker.close()


async def test_refused_mailboxes_do_not_hold_up_those_that_have_a_token(clock: Clock, issuer: Issuer) -> None:
    broker = TokenBroker({"a": PerMailbox()}, wall=clock.wall, monotonic=clock.monotonic)
    await _granted(broker, subject="good@example.org")
    issuer.error = structs.replace(REFUSED, error="unauthorized_client")
    for number in range(9):
        await _refused(broker, subject=f"{number}@example.org")
    issuer.error = None
    await _granted(broker, subject="new@example.org")
    assert issuer.asked == 11
    await broker.close()


async def test_one_request_at_once_for_each_credential(clock: Clock, issuer: Issuer) -> None:
    broker = TokenBroker({"a": PerMailbox()}, wall=clock.wall, monotonic=clock.monotonic)
    issuer.free.clear()
    askers = [asyncio.create_task(_ask(broker, subject=f"{number}@example.org")) for number in range(5)]
    await asyncio.to_thread(issuer.begun.acquire)
    assert not await asyncio.to_thread(issuer.begun.acquire, timeout=0.1)
    issuer.free.set()
    await asyncio.gather(*askers)
    assert (issuer.asked, issuer.most_at_once) == (5, 1)
    await broker.close()


async def test_waiting_for_a_thread_is_not_the_issuers_time(clock: Clock, issuer: Issuer) -> None:
    names = [str(number) for number in range(3)]
    broker = TokenBroker(dict.fromkeys(names, Fake()), threads=2, wall=clock.wall, monotonic=clock.monotonic)
    issuer.free.clear()
    first = [asyncio.create_task(broker.token(name, None, timeout=10)) for name in names[:2]]
    for _ in range(2):
        await asyncio.to_thread(issuer.begun.acquire)
    third = asyncio.create_task(broker.token(names[2], None, timeout=1))
    await asyncio.wait({third}, timeout=1.2)
    assert (issuer.asked, third.done()) == (2, False)
    issuer.free.set()
    assert isinstance(await third, AcquiredToken)
    await asyncio.gather(*first)
    await broker.close()


async def test_a_request_that_gets_no_place_is_not_the_issuers_fault(
    clock: Clock, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent's own standstill says nothing of an issuer that was not asked."""
    monkeypatch.setattr(module, "QUEUE_SECONDS", 0.05)
    broker = TokenBroker({"a": Fake(), "b": Fake()}, threads=1, wall=clock.wall, monotonic=clock.monotonic)
    issuer.free.clear()
    first = asyncio.create_task(_ask(broker))
    await asyncio.to_thread(issuer.begun.acquire)
    waiting = await broker.token("b", None, timeout=5)
    assert isinstance(waiting, TokenError)
    assert (waiting.kind, issuer.asked) == (TokenErrorKind.NO_SLOT, 1)
    issuer.free.set()
    await first
    await broker.close()


async def test_issuers_that_hang_leave_places_to_those_that_answer(clock: Clock) -> None:
    """Once they have been seen to hang, they share half of the places."""
    slow, good = Issuer(clock, host="slow.example"), Issuer(clock)
    Fake.issuers = {"slow": slow, "good": good}
    names = [str(number) for number in range(10)]
    credentials = {name: Fake(key="slow") for name in names} | {"good": Fake(key="good")}
    broker = TokenBroker(credentials, threads=4, wall=clock.wall, monotonic=clock.monotonic)
    slow.error = structs.replace(REFUSED, kind=TokenErrorKind.TIMEOUT)
    await broker.token("0", None, timeout=5)
    slow.begun.acquire()
    slow.free.clear()
    hanging = [asyncio.create_task(broker.token(name, None, timeout=5)) for name in names[1:]]
    for _ in range(2):
        await asyncio.to_thread(slow.begun.acquire)
    answer = await broker.token("good", None, timeout=5)
    assert isinstance(answer, AcquiredToken)
    assert slow.at_once == 2
    slow.free.set()
    await asyncio.gather(*hanging)
    await broker.close()


async def test_a_reload_keeps_the_tokens_of_what_did_not_change(
    broker: TokenBroker, issuer: Issuer, clock: Clock
) -> None:
    Fake.issuers["two"] = other = Issuer(clock)
    held = await _granted(broker)
    broker.replace({"a": Fake(), "b": Fake(key="two")})
    assert (await _granted(broker)).token == held.token
    broker.replace({"a": Fake(key="two")})
    assert broker.peek("a", None) is None
    await _granted(broker)
    assert (issuer.asked, other.asked, broker.state("b")) == (1, 1, None)
    with pytest.raises(KeyError):
        broker.peek("b", None)


async def test_a_bug_in_a_flow_is_raised_and_not_repeated_for_everybody(
    broker: TokenBroker, issuer: Issuer, clock: Clock
) -> None:
    issuer.bug = True
    with pytest.raises(ZeroDivisionError):
        await _ask(broker)
    with pytest.raises(RuntimeError):
        await _ask(broker)
    issuer.bug = False
    clock.now += 30
    await _granted(broker)
    assert issuer.asked == 2


@pytest.mark.parametrize("life", [0.0, -10.0])
async def test_a_token_without_life_makes_no_storm(
    broker: TokenBroker, issuer: Issuer, clock: Clock, life: float
) -> None:
    issuer.life = life
    for _ in range(60):
        await _granted(broker)
        await _settle(broker)
        clock.now += 1
    assert issuer.asked <= 6


@pytest.mark.parametrize(("life", "used"), [(5.0, 2.5), (20.0, 15.0), (60.0, 54.0), (3600.0, 3510.0)])
async def test_a_token_is_not_used_shortly_before_it_expires(
    broker: TokenBroker, issuer: Issuer, clock: Clock, life: float, used: float
) -> None:
    """A login takes its time: the shorter the lifetime, the larger the part of it that is left unused."""
    issuer.life = life
    await _granted(broker)
    clock.now += used - 0.1
    assert broker.peek("a", None) is not None
    clock.now += 0.2
    assert broker.peek("a", None) is None


async def test_a_token_without_a_known_end_is_asked_for_again(
    broker: TokenBroker, issuer: Issuer, clock: Clock
) -> None:
    issuer.life, issuer.refresh_in = None, 300.0
    await _granted(broker)
    broker.peek("a", None)
    (state,) = broker.states()
    assert state.expires_at is None
    clock.now += 300
    await _settle(broker)
    assert issuer.asked == 2


async def test_the_state_before_and_after_the_first_token(broker: TokenBroker, clock: Clock) -> None:
    assert broker.state("a") == CredentialState(
        "a", "fake", requests={"success": 0, "error": 0}, client_secret_expires_at=5.0
    )
    await _granted(broker)
    assert broker.states() == (
        CredentialState(
            name="a",
            type="fake",
            success=True,
            expires_at=clock.wall() + 3600,
            acquisition_seconds=0.0,
            requests={"success": 1, "error": 0},
            fresh_success=True,
            client_secret_expires_at=5.0,
        ),
    )
    assert broker.issuer("a") == "issuer.example"


async def test_what_never_reached_the_issuer_is_no_request(broker: TokenBroker, issuer: Issuer) -> None:
    issuer.error = TokenError(TokenErrorKind.SECRET_UNREADABLE, at=0.0)
    await _refused(broker)
    (state,) = broker.states()
    assert (state.requests, state.success) == ({"success": 0, "error": 0}, False)


# -- what goes on although nobody asks --------------------------------------------------------------------------------


async def test_a_refresh_token_that_nobody_needs_is_kept_alive(
    broker: TokenBroker, issuer: Issuer, clock: Clock
) -> None:
    """Once when it is due, and not again before it is due again."""
    issuer.known = CredentialLifetime(keep_alive_at=clock.wall() + 100)
    await _settle(broker)
    assert issuer.asked == 0
    clock.now += 100
    issuer.free.clear()
    await broker.refresh_due()
    issuer.known = CredentialLifetime(keep_alive_at=clock.wall() + 604800)
    issuer.free.set()
    for _ in range(50):
        await _settle(broker)
        clock.now += 3600
    assert issuer.asked == 1


async def test_a_refresh_token_that_cannot_be_kept_alive_makes_few_requests(
    broker: TokenBroker, issuer: Issuer, clock: Clock
) -> None:
    issuer.known, issuer.error = CredentialLifetime(keep_alive_at=0.0), REFUSED
    for _ in range(720):
        await _settle(broker)
        clock.now += 5
    assert 10 < issuer.asked < 16
    state = broker.state("a")
    assert state is not None
    assert (state.success, state.error is not None) == (False, True)


async def test_a_login_ends_the_waiting(broker: TokenBroker, issuer: Issuer, clock: Clock) -> None:
    issuer.known, issuer.error = CredentialLifetime(login_at=1.0), REFUSED
    await broker.refresh_due()
    await _refused(broker)
    issuer.error = None
    await _refused(broker)
    issuer.known = CredentialLifetime(login_at=2.0)
    await broker.refresh_due()
    assert isinstance(await _ask(broker), AcquiredToken)


async def test_what_can_wait_is_done_beside_the_requests(broker: TokenBroker, issuer: Issuer) -> None:
    """A request for a token does not wait for it, and a fault of it harms nobody."""
    done = threading.Event()
    released = threading.Event()

    def side_request() -> None:
        released.wait(10)
        done.set()
        raise ZeroDivisionError

    issuer.side_request = side_request
    await broker.refresh_due()
    await _granted(broker)
    assert not done.is_set()
    released.set()
    await broker.side_request("a")
    assert done.is_set()


async def test_each_scope_has_its_own_token_and_the_credentials_own_is_one_of_them(
    broker: TokenBroker, issuer: Issuer
) -> None:
    answers = [await broker.token("a", None, timeout=5, scope=scope) for scope in ("", "mail", "graph", "graph")]
    tokens = [answer.token.reveal() for answer in answers if isinstance(answer, AcquiredToken)]
    assert tokens == ["token 1 of None", "token 1 of None", "token 2 of None", "token 2 of None"]
    assert issuer.scopes == ["", "graph"]
    facts = [answer.facts for answer in answers if isinstance(answer, AcquiredToken)]
    assert [each.scope for each in facts if each] == ["mail", "mail", "graph", "graph"]


async def test_a_scope_that_is_refused_is_no_fault_of_the_credential(
    broker: TokenBroker, issuer: Issuer, clock: Clock
) -> None:
    issuer.error, issuer.error_scope = structs.replace(GONE, error="consent_required"), "graph"
    assert isinstance(await broker.token("a", None, timeout=5, scope="graph"), TokenError)
    await _granted(broker)
    (state,) = broker.states()
    assert (state.success, state.fresh_success, state.error) == (True, True, None)
    assert state.requests == {"success": 1, "error": 1}
    again = await broker.token("a", None, timeout=5, scope="graph")
    assert isinstance(again, TokenError) and again.requested_scope == REFUSED.requested_scope
    assert issuer.asked == 2


async def test_where_only_another_scope_is_asked_for_it_is_what_the_credential_is_known_by(
    broker: TokenBroker, issuer: Issuer
) -> None:
    assert isinstance(await broker.token("a", None, timeout=5, scope="graph"), AcquiredToken)
    (state,) = broker.states()
    assert (state.success, state.fresh_success) == (True, True)
    assert state.expires_at is not None
    issuer.error, issuer.error_scope = structs.replace(GONE, error="consent_required"), "mail.read"
    assert isinstance(await broker.token("a", None, timeout=5, scope="mail.read"), TokenError)
    assert broker.states()[0].success is False


async def test_a_dead_secret_is_asked_with_once_for_all_scopes(broker: TokenBroker, issuer: Issuer) -> None:
    issuer.error = REFUSED
    await _refused(broker)
    assert isinstance(await broker.token("a", None, timeout=5, scope="graph"), TokenError)
    assert issuer.asked == 1

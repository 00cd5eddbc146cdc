"""The doctor on the embedded world: each cause in its step, what separates the ambiguous, and what is never done."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml

from smtpcheck import web
from smtpcheck.agent.agent import Agent
from smtpcheck.check.kit import build_kit
from smtpcheck.cli.doctor.document import as_json
from smtpcheck.cli.doctor.examination import Examination
from smtpcheck.cli.doctor.redacted_bundle import redacted
from smtpcheck.cli.doctor.result import Examined, Result, Stage, outcome_of
from smtpcheck.config import Settings, load
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome
from smtpcheck.oauth import broker
from smtpcheck.oauth.token_cache import AcquiredToken
from smtpcheck.sandbox import replies
from smtpcheck.sandbox.scenarios import SCENARIOS
from smtpcheck.sandbox.world import World
from tests.worlds.agents import only, unhurried

STAGES = {
    "secret-expired": Stage.APPLICATION,
    "secret-wrong": Stage.APPLICATION,
    "app-unknown": Stage.APPLICATION,
    "audience-wrong": Stage.TEST,
    "smtp-auth-disabled": Stage.TEST,
    "mailbox-right-missing": Stage.TEST,
    "sender-refused": Stage.TEST,
    "connections-throttled": Stage.TEST,
    "certificate-expired": Stage.CONNECTION,
    "starttls-missing": Stage.CONNECTION,
    "mechanism-missing": Stage.CONNECTION,
    "silent": Stage.CONNECTION,
    "slow": Stage.TEST,
    "sender-must-fail": Stage.TEST,
}
"""The step in which each scenario's cause must come out."""

REFUSING = ("password-must-fail", "mailbox-must-fail", "relay-must-fail")
"""Scenarios in which a refusal is what must come."""

SENDING = {
    *("aotsend-no-balance", "mailbox-right-missing", "sender-refused", "connections-throttled", "healthy-send"),
    *("mailbox-not-opened", "sender-blocked", "sender-nobody-may"),
}


def settings_of(config: Path) -> Settings:
    """Load a configuration that has no error."""
    settings = load([config]).settings
    assert settings
    return settings


class Seen:
    """A finished examination."""

    def __init__(self, examination: Examination, document: dict[str, Any]) -> None:
        self.stages: Mapping[Stage, Examined] = {examined.stage: examined for examined in examination.stages}
        self.outcome = outcome_of(examination.stages)
        self.document = document
        self.bundle = redacted(document, examination.evidence)

    def result(self, stage: Stage) -> Result:
        """Return a step's result."""
        return self.stages[stage].result

    def causes(self, stage: Stage) -> Sequence[Cause]:
        """Return a step's causes, best first."""
        return [finding.cause for finding in self.stages[stage].findings]

    def text(self, stage: Stage, result: Result | None = None) -> str:
        """Return a step's notes, or those of one result, a line each."""
        notes = self.stages[stage].notes
        return "\n".join(note.text for note in notes if result in {None, note.result})


async def examine(settings: Settings, name: str, *, send: bool = False, probe_refusal: bool = False) -> Seen:
    """Examine one check to its end."""
    check = next(check for check in settings.checks if check.name == name)
    kit = await build_kit(settings)
    try:
        examination = Examination(check, settings, kit, send=send, probe_refusal=probe_refusal)
        async for _ in examination.run():
            pass
        return Seen(examination, as_json(examination.evidence, examination.stages, kit.catalogue))
    finally:
        await kit.close()


def edit(config: Path, **changes: Mapping[str, object]) -> Settings:
    """Merge keys into checks or credentials of a configuration, by name."""
    document = yaml.safe_load(config.read_text())
    for name, keys in changes.items():
        for check in document["checks"]:
            if check["name"] == name:
                check.update(keys)
        if name in document["credentials"]:
            document["credentials"][name].update(keys)
    config.write_text(yaml.safe_dump(document))
    return settings_of(config)


async def test_every_scenario_has_its_cause_in_the_right_step(tmp_path: Path) -> None:
    """All twelve steps are there each time, none fails in a healthy world, and no secret stands in what comes out."""
    async with World(tmp_path) as world:
        unhurried(world)
        settings = settings_of(world.config)
        names = [scenario.name for scenario in SCENARIOS]
        found = await asyncio.gather(*(examine(settings, name, send=name in SENDING) for name in names))
        seen = dict(zip(names, found, strict=True))
        leaks = [
            name
            for name, one in seen.items()
            for secret in world.secrets()
            if secret in json.dumps(one.document) or secret in json.dumps(one.bundle)
        ]
    assert leaks == []
    assert [name for name, one in seen.items() if list(one.stages) != list(Stage)] == []
    for scenario in SCENARIOS:
        one = seen[scenario.name]
        failed = [stage for stage in Stage if one.result(stage) is Result.FAILED]
        # A loopback waits for mail, and doctor does not.
        cause, warnings = (None, frozenset()) if "loopback" in scenario.check else (scenario.cause, scenario.warnings)
        if scenario.name == "drift":  # doctor examines what fails now
            warnings = frozenset()
        wanted = {cause} if cause else set(warnings)
        named = {stage for stage in Stage if set(one.causes(stage)[:1]) & wanted}
        assert len(named) == bool(wanted), scenario.name
        assert scenario.name not in STAGES or named == {STAGES[scenario.name]}, scenario.name
        for stage in named:
            assert one.result(stage) is (Result.FAILED if cause else Result.WARNING), scenario.name
        assert bool(failed) == bool(cause), (scenario.name, failed)
        assert one.outcome is (Outcome.CRITICAL if cause else Outcome.WARNING), scenario.name


async def test_it_goes_on_after_a_failure(tmp_path: Path) -> None:
    """Without a token the connection is examined up to EHLO; what needs the token is skipped and says so."""
    async with World(tmp_path, only("secret-expired")) as world:
        seen = await examine(settings_of(world.config), "secret-expired")
        assert world.exchange.logins.total() == 0
    assert [seen.result(stage) for stage in Stage][:9] == [
        Result.OK,
        Result.FAILED,
        *[Result.SKIPPED] * 1,
        Result.OK,
        Result.SKIPPED,
        Result.OK,
        Result.SKIPPED,
        Result.OK,
        Result.SKIPPED,
    ]
    assert "EHLO offers AUTH LOGIN XOAUTH2" in seen.text(Stage.CONNECTION)
    assert seen.text(Stage.TEST) == "there is no token to log in with"


async def test_an_issuer_that_cannot_be_reached_belongs_to_the_first_step(tmp_path: Path) -> None:
    """The connection is examined all the same."""
    async with World(tmp_path, only("healthy")) as world:
        settings = settings_of(world.config)
        await world.issuer.close()
        seen = await examine(settings, "healthy")
    assert (seen.result(Stage.FLOW), seen.result(Stage.CONNECTION)) == (Result.FAILED, Result.OK)
    assert "the authority gives no discovery document" in seen.text(Stage.FLOW, Result.FAILED)
    assert seen.causes(Stage.FLOW) != []
    assert [stage for stage in Stage if seen.result(stage) is Result.FAILED] == [Stage.FLOW]


async def test_the_token_is_asked_for_past_the_one_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead secret must not hide behind a token that still holds."""
    monkeypatch.setattr(broker, "SPACING_SECONDS", 0.0)
    async with World(tmp_path, only("healthy")) as world:
        settings = settings_of(world.config)
        (app,) = world.issuer.tenants[0].apps.values()
        kit = await build_kit(settings)
        try:
            assert isinstance(await kit.tokens.token("contoso", None, timeout=10), AcquiredToken)
            app.secret_expired = True
            stages = [stage async for stage in Examination(settings.checks[0], settings, kit).run()]
        finally:
            await kit.close()
    causes = {finding.cause for examined in stages for finding in examined.findings}
    assert Cause.SECRET_EXPIRED in causes


async def test_the_wrong_audience_is_read_from_the_token(tmp_path: Path) -> None:
    """The scope and the claims say it before any server is asked."""
    async with World(tmp_path, only("audience-wrong")) as world:
        seen = await examine(settings_of(world.config), "audience-wrong")
    assert seen.result(Stage.SCOPES) is Result.FAILED
    assert "the token is for Microsoft Graph (https://graph.microsoft.com)" in seen.text(Stage.SCOPES)


async def test_another_mailbox_of_the_credential_separates(tmp_path: Path) -> None:
    """Where another mailbox logs in, causes that would stop every mailbox are ruled out and come last."""
    async with World(tmp_path, only("healthy", "healthy-sender")) as world:
        settings = settings_of(world.config)
        del world.exchange.mailboxes["healthy@contoso.example"]
        seen = await examine(settings, "healthy")
        assert dict(world.exchange.logins) == {"healthy@contoso.example": 1, "healthy-sender@contoso.example": 1}
        assert not world.exchange.messages
    assert (
        "the login of healthy-sender@contoso.example with the same credential is accepted: "
        "the fault is with healthy@contoso.example alone"
    ) in seen.text(Stage.TEST, Result.OK)
    excluded = set(seen.stages[Stage.TEST].excluded)
    assert {Cause.SERVICE_PRINCIPAL_NOT_REGISTERED, Cause.WRONG_TOKEN_AUDIENCE} <= excluded
    ruled_out = [cause in excluded for cause in seen.causes(Stage.TEST)]
    assert ruled_out == sorted(ruled_out)
    assert ruled_out[0] is False


async def test_another_mailbox_that_is_refused_too_excludes_nothing(tmp_path: Path) -> None:
    async with World(tmp_path, only("healthy", "healthy-sender")) as world:
        world.exchange.mailboxes.clear()
        seen = await examine(settings_of(world.config), "healthy")
    assert "healthy-sender@contoso.example, another mailbox of the credential, is refused too" in seen.text(Stage.TEST)
    assert seen.stages[Stage.TEST].excluded == ()


@pytest.mark.parametrize("closed", [False, True])
async def test_imap_with_the_same_token_separates(tmp_path: Path, closed: bool) -> None:
    """Where the loopback says how to log in there; nothing in the mailbox is touched, and nothing is sent."""
    async with World(tmp_path, only("mail-delivered")) as world:
        del world.exchange.mailboxes["mail-delivered@contoso.example"]
        if closed:
            world.authenticator.closed.add("mail-delivered@contoso.example")
        seen = await examine(settings_of(world.config), "mail-delivered")
        for_the_finder = 3
        assert (world.imap.connections.total(), len(world.exchange.messages)) == (1 + for_the_finder, 0)
    said = "IMAP refuses mail-delivered@contoso.example too" if closed else "IMAP accepts the same token"
    assert said in seen.text(Stage.TEST)
    assert (Cause.TOKEN_CORRUPT_OR_WRONG_KIND in seen.stages[Stage.TEST].excluded) != closed


async def test_a_reply_that_names_its_cause_needs_no_further_login(tmp_path: Path) -> None:
    async with World(tmp_path, only("smtp-auth-disabled", "healthy")) as world:
        seen = await examine(settings_of(world.config), "smtp-auth-disabled")
        assert dict(world.exchange.logins) == {"smtp-auth-disabled@contoso.example": 1}
    assert "further logins are not needed" in seen.text(Stage.TEST, Result.SKIPPED)


async def test_the_tokens_own_user_separates_a_shared_mailbox(tmp_path: Path) -> None:
    """A user's token that is refused for another mailbox is tried with its own user."""
    async with World(tmp_path, only("healthy", "healthy-sender")) as world:
        token = world.issuer.mint(
            upn="healthy-sender@contoso.example",
            scp="SMTP.Send",
            roles=None,
            idtyp=None,
            tid=world.issuer.tenants[0].id,
        )
        (tmp_path / "token").write_text(token)
        (tmp_path / "token").chmod(0o600)
        document = yaml.safe_load(world.config.read_text())
        document["credentials"]["anna"] = {"type": "token", "from": {"file": "token"}}
        document["checks"][0]["credential"] = "anna"
        world.config.write_text(yaml.safe_dump(document))
        seen = await examine(settings_of(world.config), "healthy")
        assert dict(world.exchange.logins) == {"healthy@contoso.example": 1, "healthy-sender@contoso.example": 1}
    assert (
        "the token belongs to healthy-sender@contoso.example, and healthy@contoso.example is to log in"
    ) in seen.text(Stage.TEST, Result.WARNING)
    assert "healthy@contoso.example is an alias or a shared mailbox" in seen.text(Stage.TEST, Result.OK)
    assert seen.causes(Stage.TEST)[0] in {Cause.USER_MISMATCH, Cause.SHARED_MAILBOX_AS_AUTH_IDENTITY}


async def test_nothing_is_sent_and_no_login_added_without_being_asked(tmp_path: Path) -> None:
    """A check of depth send is examined up to the recipient, with one token and one login."""
    async with World(tmp_path, only("healthy-send")) as world:
        settings = settings_of(world.config)
        seen = await examine(settings, "healthy-send")
        assert (len(world.exchange.messages), world.exchange.logins.total()) == (0, 1)
        assert world.issuer.token_requests.total() == 1
        assert "the recipient probe@contoso.example is accepted" in seen.text(Stage.TEST)
        assert seen.result(Stage.ERRORS) is Result.SKIPPED
        await examine(settings, "healthy-send", send=True)
        assert len(world.exchange.messages) == 1


async def test_the_proof_of_refusal(tmp_path: Path) -> None:
    """A token that nobody has signed is refused, by one login more; a server that takes it is found out."""
    async with World(tmp_path, only("healthy")) as world:
        settings = settings_of(world.config)
        seen = await examine(settings, "healthy", probe_refusal=True)
        assert world.exchange.logins.total() == 2
        assert seen.result(Stage.ERRORS) is Result.OK
        assert f"a wrong token is refused: {replies.AUTH_UNSUCCESSFUL}" in seen.text(Stage.ERRORS)
        tokens = []

        def take(token: str) -> Mapping[str, object]:
            tokens.append(token)
            claims: Mapping[str, object] = jwt.decode(token, options={"verify_signature": False})
            return claims

        world.exchange._claims = take  # type: ignore[method-assign]
        careless = await examine(settings, "healthy", probe_refusal=True)
    assert (careless.result(Stage.ERRORS), careless.causes(Stage.ERRORS)) == (
        Result.FAILED,
        [Cause.UNEXPECTED_SUCCESS],
    )
    right, wrong = (jwt.decode(token, options={"verify_signature": False}) for token in tokens)
    assert {name: wrong[name] for name in ("aud", "roles", "oid", "exp")}.items() <= right.items()
    assert tokens[1] not in world.issuer.minted


async def test_a_wrong_token_proves_nothing_where_the_right_one_is_refused(tmp_path: Path) -> None:
    async with World(tmp_path, only("smtp-auth-disabled")) as world:
        seen = await examine(settings_of(world.config), "smtp-auth-disabled", probe_refusal=True)
        assert world.exchange.logins.total() == 1
    assert seen.result(Stage.ERRORS) is Result.SKIPPED


async def test_what_has_changed_since_the_last_examination(tmp_path: Path) -> None:
    """EHLO, TLS and the certificate's issuer are compared with what was kept; then the new state is kept."""
    async with World(tmp_path, only("healthy")) as world:
        settings = settings_of(world.config)
        first = await examine(settings, "healthy")
        assert "no earlier examination" in first.text(Stage.MAINTENANCE)
        kept = tmp_path / "state" / "doctor" / "healthy.json"
        assert kept.stat().st_mode & 0o777 == 0o600
        assert "have not changed since" in (await examine(settings, "healthy")).text(Stage.MAINTENANCE)
        before = json.loads(kept.read_text())
        before["ehlo"] = ["XGONE", *(line for line in before["ehlo"] if not line.startswith("AUTH"))]
        before |= {"tls": "TLSv1.2 OLD", "certificate_issuer": "CN=Old CA"}
        kept.write_text(json.dumps(before))
        changed = (await examine(settings, "healthy")).text(Stage.MAINTENANCE, Result.WARNING)
        assert "have not changed since" in (await examine(settings, "healthy")).text(Stage.MAINTENANCE)
        assert sorted(path.name for path in kept.parent.iterdir()) == ["healthy.json"]
    added, removed = "AUTH LOGIN XOAUTH2 has been added to EHLO", "XGONE has been removed"
    for text in (added, removed, "TLS was TLSv1.2 OLD", "was CN=Old CA"):
        assert text in changed


@pytest.mark.parametrize("content", ["", "[]", "{", '{"ehlo": [1], "at": "x"}', '{"at": 1e300}'])
async def test_a_kept_file_that_is_no_use_does_no_harm(tmp_path: Path, content: str) -> None:
    async with World(tmp_path, only("healthy")) as world:
        kept = tmp_path / "state" / "doctor" / "healthy.json"
        kept.parent.mkdir(parents=True)
        kept.write_text(content)
        seen = await examine(settings_of(world.config), "healthy")
    assert seen.result(Stage.MAINTENANCE) in {Result.OK, Result.WARNING}
    assert json.loads(kept.read_text())["certificate_issuer"]


async def test_a_state_folder_that_cannot_be_written_is_said_and_no_fault(tmp_path: Path) -> None:
    async with World(tmp_path, only("healthy")) as world:
        (tmp_path / "state").write_text("a file, where the folder should be")
        seen = await examine(settings_of(world.config), "healthy")
    assert seen.result(Stage.MAINTENANCE) is Result.OK
    assert "cannot be stored in" in seen.text(Stage.MAINTENANCE, Result.HINT)


async def test_secrets_that_others_can_read_and_rights_beyond_smtp(tmp_path: Path) -> None:
    """The mode of the secret's file, and each role that SMTP does not need."""
    (scenario,) = only("healthy")
    roles = ("SMTP.SendAsApp", "Mail.ReadWrite")
    wide = replace(scenario, registration=replace(scenario.registration, roles=roles))
    async with World(tmp_path, [wide]) as world:
        (tmp_path / "contoso.secret").chmod(0o644)
        seen = await examine(settings_of(world.config), "healthy")
    warned = seen.text(Stage.SECRETS, Result.WARNING)
    assert "contoso.secret can be read by every user of this machine (mode 0644)" in warned
    assert "Mail.ReadWrite, which reads and changes the mail of every mailbox" in warned


async def test_ends_are_warned_of_in_the_last_step(tmp_path: Path) -> None:
    async with World(tmp_path, only("healthy")) as world:
        settings = edit(world.config, contoso={"client_secret_expires": "2026-01-02"})
        seen = await examine(settings, "healthy")
    assert "the client secret expired 2026-01-02" in seen.text(Stage.MAINTENANCE, Result.FAILED)
    assert seen.causes(Stage.MAINTENANCE) == [Cause.SECRET_EXPIRING]


@contextlib.asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[tuple[str, int]]:
    """Run an agent with its page, and give the page's address."""
    agent = await Agent.create(settings, partial(load, settings.files))
    stop = asyncio.Event()
    running = asyncio.create_task(agent.run(stop))
    try:
        async with web.serve(web.create_app(agent), ("127.0.0.1", 0), None) as address:
            yield address
    finally:
        stop.set()
        await running


async def test_the_agent_that_watches_is_asked(tmp_path: Path) -> None:
    """Whether it runs, and whether it knows the check."""
    async with World(tmp_path, only("healthy", "healthy-sender")) as world:
        settings = settings_of(world.config)
        async with served(replace(settings, checks=settings.checks[:1])) as address:
            asked = replace(settings, agent=replace(settings.agent, listen=address))
            known, unknown = [await examine(asked, name) for name in ("healthy", "healthy-sender")]
        gone = await examine(asked, "healthy")
    assert known.result(Stage.MONITORING) is Result.OK
    assert "runs this check" in known.text(Stage.MONITORING)
    assert "does not know this check" in unknown.text(Stage.MONITORING, Result.WARNING)
    assert "no agent runs at" in gone.text(Stage.MONITORING, Result.WARNING)


async def test_a_fault_of_our_own_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown in the step that was interrupted, and says nothing of the server."""

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async with World(tmp_path, only("healthy")) as world:
        monkeypatch.setattr("smtpcheck.check.conversation.converse", broken)
        seen = await examine(settings_of(world.config), "healthy")
    assert (seen.outcome, seen.causes(Stage.CONNECTION)) == (Outcome.UNKNOWN, [Cause.INTERNAL])


@pytest.mark.parametrize("name", REFUSING)
async def test_an_expected_refusal_is_a_test_that_is_passed_and_needs_no_further_login(
    tmp_path: Path, name: str
) -> None:
    """Nor a login with a wrong token: what is refused once a day is refused no more often for the doctor's sake."""
    async with World(tmp_path, only(name, "healthy")) as world:
        seen = await examine(settings_of(world.config), name, probe_refusal=True)
        logins = world.exchange.logins.total()
    assert seen.result(Stage.TEST) is Result.OK
    assert "refused as expected: 5" in seen.text(Stage.TEST, Result.OK)
    assert seen.text(Stage.ERRORS) == "the check expects a refusal already"
    assert logins == (name != "relay-must-fail")


async def test_a_check_that_expects_a_refusal_is_no_other_mailbox_to_compare_with(tmp_path: Path) -> None:
    (scenario,) = only("healthy")
    refused = replace(scenario, refuses={"AUTH": replies.AUTH_UNSUCCESSFUL})
    async with World(tmp_path, [refused, *only("mailbox-must-fail")]) as world:
        seen = await examine(settings_of(world.config), "healthy")
        assert world.exchange.logins.total() == 1
    assert "another mailbox: the configuration names none" in seen.text(Stage.TEST, Result.SKIPPED)


async def test_another_refusal_than_the_expected_one_fails_the_test(tmp_path: Path) -> None:
    (scenario,) = only("mailbox-must-fail")
    other = replace(scenario, refuses={"AUTH": replies.SMTP_AUTH_DISABLED_TENANT})
    async with World(tmp_path, [other]) as world:
        seen = await examine(settings_of(world.config), other.name)
    assert seen.causes(Stage.TEST)[0] is Cause.SMTP_AUTH_DISABLED_TENANT
    assert "a refusal 535 5.7.3 in phase auth was expected" in seen.stages[Stage.TEST].findings[0].evidence


async def test_a_refusal_of_a_message_is_tested_only_if_one_may_be_sent(tmp_path: Path) -> None:
    (scenario,) = only("sender-refused")
    keys = {"sender": "board@contoso.example", "recipient": "probe@contoso.example"}
    wanted = replace(scenario, check={**keys, "expect": {"phase": "data", "enhanced": "5.2.252"}})
    async with World(tmp_path, [wanted]) as world:
        settings = settings_of(world.config)
        shallow, deep = await examine(settings, wanted.name), await examine(settings, wanted.name, send=True)
    hints = shallow.text(Stage.TEST, Result.HINT)
    assert hints == "a refusal 5xx 5.2.252 in phase data is expected, and only --send gets that far"
    assert "data: refused as expected: 554 5.2.252 SendAsDenied" in deep.text(Stage.TEST, Result.OK)


async def test_a_password_is_examined_without_a_word_of_tokens(tmp_path: Path) -> None:
    async with World(tmp_path, only("password")) as world:
        settings = settings_of(world.config)
        seen = await examine(settings, "password")
        (tmp_path / "site.password").unlink()
        unread = await examine(settings, "password")
    assert seen.text(Stage.FLOW) == f"a password from file {tmp_path / 'site.password'}; no issuer is involved"
    assert {seen.result(stage) for stage in (Stage.APPLICATION, Stage.PERMISSIONS, Stage.SCOPES, Stage.TOKEN)} == {
        Result.SKIPPED
    }
    assert "the login as password@contoso.example is accepted" in seen.text(Stage.TEST, Result.OK)
    assert unread.causes(Stage.APPLICATION) == [Cause.SECRET_UNREADABLE]
    assert unread.text(Stage.TEST) == "there is no password to log in with"

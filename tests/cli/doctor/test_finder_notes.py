"""What the doctor says of the mailboxes in which a loopback looks for its messages, without sending one."""

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from smtpcheck.check.kit import Kit
from smtpcheck.cli.doctor.finder_notes import look_for_mail
from smtpcheck.cli.doctor.result import Result, Stage
from smtpcheck.limits.send_limits import Limits
from smtpcheck.loopback.finder import FinderError, FinderStep, Search, SearchRequest
from smtpcheck.loopback.plan import Find, FindVia, Loopback
from smtpcheck.model.cause import Cause
from smtpcheck.model.report import Outcome
from smtpcheck.sandbox.mail_store import Use
from smtpcheck.sandbox.scenario import CONTOSO_MAIL, DOMAIN, Finding, Registration, Scenario
from smtpcheck.sandbox.world import World
from tests.cli.doctor.test_doctor import Seen, examine, settings_of

LOOPBACK = {"to": f"probe-finder@{DOMAIN}"}
ARRIVES = Scenario("arrives", "Mail arrives.", check={"loopback": LOOPBACK}, registration=CONTOSO_MAIL)
IMAP = Find(FindVia.IMAP, "probe@example.org", "site")
SENDERS = Find(FindVia.IMAP, "billing@example.org", "site")
PLAN = Loopback(900.0, "billing@example.org", "probe@example.org", IMAP, 60.0, 900.0, Limits(12, 200), bounces=SENDERS)
OPEN = Search(folders=("INBOX", "Junk", *map(str, range(8))))


async def seen(folder: Path, scenario: Scenario) -> tuple[Seen, World]:
    """Return what the doctor says of a scenario's check, in whose mailbox there is mail of somebody else."""
    async with World(folder, (scenario,)) as world:
        box = world.store.box(f"probe-finder@{DOMAIN}").folders[Use.INBOX]
        box.add(b"Subject: smtpcheck probe of another\r\n\r\n", 0.0)
        found = await examine(settings_of(world.config), scenario.name)
        assert len(box.messages) == 1
        assert len(world.exchange.messages) == 0
        return found, world


async def test_login_folders_and_rights_are_shown_and_nothing_is_touched(tmp_path: Path) -> None:
    found, _ = await seen(tmp_path, ARRIVES)
    said = found.text(Stage.TEST, Result.OK)
    for part in (
        f"the login to probe-finder@{DOMAIN} by IMAP is accepted",
        "folders to search: INBOX, Junk Email, Sent Items",
        "found messages may be deleted there",
        f"bounces can be read in arrives@{DOMAIN} by IMAP",
    ):
        assert part in said
    assert found.result(Stage.TEST) is Result.OK


@pytest.mark.parametrize("via", ["imap", "graph"])
async def test_a_mailbox_that_lets_nobody_in_is_a_warning(tmp_path: Path, via: str) -> None:
    scenario = replace(ARRIVES, finding=Finding(via, closed=True))
    found, _ = await seen(tmp_path, scenario)
    assert found.causes(Stage.TEST) == [Cause.FINDER_FAILED]
    assert f"probe-finder@{DOMAIN} cannot be searched" in found.text(Stage.TEST, Result.WARNING)
    assert found.outcome is Outcome.WARNING


@pytest.mark.parametrize(
    ("roles", "result", "said"),
    [
        (("Mail.ReadWrite",), Result.OK, "may be deleted: the token has Mail.ReadWrite"),
        (("Mail.Read",), Result.WARNING, "cannot be deleted: the token has Mail.Read, and that takes Mail.ReadWrite"),
    ],
)
async def test_graph_shows_the_right_to_delete_in_the_token(
    tmp_path: Path, roles: Collection[str], result: Result, said: str
) -> None:
    reader = Registration("reader", roles=("SMTP.SendAsApp",), graph_roles=tuple(roles))
    found, _ = await seen(tmp_path, replace(ARRIVES, finding=Finding("graph", registration=reader)))
    assert said in found.text(Stage.TEST, result), found.text(Stage.TEST)


async def test_without_a_token_no_mailbox_is_tried(tmp_path: Path) -> None:
    expired = Registration("expired", secret_expired=True)
    async with World(tmp_path, (replace(ARRIVES, registration=expired),)) as world:
        found = await examine(settings_of(world.config), "arrives")
        assert world.imap.connections.total() == 0
    assert found.text(Stage.TEST) == "there is no token to log in with"


async def test_a_bundle_to_share_names_neither_mailboxes_nor_folders_of_somebody(tmp_path: Path) -> None:
    found, _ = await seen(tmp_path, ARRIVES)
    shared = json.dumps(found.bundle)
    assert "folders to search: INBOX, Junk Email, Sent Items, name-" in shared
    for private in ("probe-finder", "Archive", DOMAIN):
        assert private in json.dumps(found.document)
        assert private not in shared


# ---------------------------------------------------------------------------------------------------------------------
# Servers that let a client do less


class Finders:
    """Answers searches by mailbox and by whether anything is to be deleted."""

    def __init__(self, **answers: Search) -> None:
        self.answers, self.requests = answers, list[tuple[str, SearchRequest]]()

    async def search(self, find: Find, request: SearchRequest, **_: float) -> Search:
        self.requests.append((find.mailbox, request))
        kind = "bounces" if find == SENDERS else "deleting" if request.delete else "reading"
        return self.answers.get(kind, OPEN)


async def notes(plan: Loopback = PLAN, **answers: Search) -> tuple[list[tuple[Result, str]], list[Cause], Finders]:
    finders = Finders(**answers)
    kit = cast("Kit", cast("Any", SimpleNamespace(finders=finders, wall=lambda: 1.8e9)))
    found = await look_for_mail(plan, kit, 1.0)
    return [(note.result, note.text) for note in found.notes], [finding.cause for finding in found.findings], finders


def refused(step: FinderStep) -> Search:
    return Search(error=FinderError(step, "no", "NOPERM"))


async def test_no_message_is_its_own_to_the_search() -> None:
    _, _, finders = await notes()
    assert [mailbox for mailbox, _ in finders.requests] == ["probe@example.org", "probe@example.org", SENDERS.mailbox]
    assert not any(request.is_ours(request.targets[0].correlation_id) for _, request in finders.requests)
    assert not any(request.purge_before or request.removals for _, request in finders.requests)


async def test_after_a_refused_login_that_mailbox_is_left_alone() -> None:
    found, causes, finders = await notes(reading=refused(FinderStep.LOGIN))
    assert found[0] == (Result.WARNING, "probe@example.org cannot be searched: login: no (NOPERM)")
    assert (causes, len(finders.requests)) == ([Cause.FINDER_FAILED], 2)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refused(FinderStep.DELETE), "probe@example.org cannot be emptied of found messages: delete: no (NOPERM)"),
        (replace(OPEN, removes=False), "found messages are marked as deleted, and stay until the folder is expunged"),
    ],
)
async def test_what_cannot_be_deleted_is_a_warning(answer: Search, said: str) -> None:
    found, _, _ = await notes(deleting=answer)
    (warned,) = [text for result, text in found if result is Result.WARNING]
    assert warned.endswith(said)


async def test_what_is_not_wanted_is_not_tried() -> None:
    found, _, finders = await notes(replace(PLAN, delete=False, bounces=None))
    assert len(finders.requests) == 1
    assert [text for result, text in found if result is Result.HINT] == [
        "messages that are found stay there (delete: false)",
        "bounces are not searched for: a message that is returned counts as lost",
    ]
    found, _, finders = await notes(replace(PLAN, find=None))
    assert (len(finders.requests), found[0][0]) == (0, Result.HINT)


@pytest.mark.parametrize(("required", "result"), [(True, Result.WARNING), (False, Result.HINT)])
async def test_bounces_that_cannot_be_read_warn_only_where_they_were_asked_for(required: bool, result: Result) -> None:
    found, causes, _ = await notes(replace(PLAN, bounces_required=required), bounces=refused(FinderStep.LOGIN))
    assert found[-1][0] is result
    assert causes == ([Cause.FINDER_FAILED] if required else [])


async def test_many_folders_are_named_in_part() -> None:
    found, _, _ = await notes()
    assert (Result.OK, "folders to search: INBOX, Junk, 0, 1, 2 and 5 more") in found

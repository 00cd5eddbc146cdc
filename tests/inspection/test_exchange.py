"""Exchange by InvokeCommand: its quirks, and that nothing but reading is asked."""

import json
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.inspection.exchange import Cmdlet, kind_of, region_of
from smtpcheck.inspection.reader import MOST_PAGES
from smtpcheck.model.inspection import FactName, Obstacle
from smtpcheck.sandbox import exchange_admin
from tests.worlds.inspection import MAILBOX, Tenant, tenant

NOT_FOUND = "Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException"


@pytest.mark.parametrize("cmdlet", Cmdlet)
def test_every_cmdlet_reads(cmdlet: Cmdlet) -> None:
    assert cmdlet.shown.startswith(("Get-", "Test-"))


@pytest.mark.parametrize("cmdlet", Cmdlet)
def test_a_cmdlet_has_no_other_parameters_than_its_own(cmdlet: Cmdlet) -> None:
    with pytest.raises(ValueError, match="is not asked with Confirm"):
        cmdlet.body({"Confirm": False})


def test_a_value_stays_one_value() -> None:
    body = json.loads(Cmdlet.MAILBOX.body({"Identity": 'a"}}; Remove-Mailbox b'}))
    assert body["CmdletInput"]["Parameters"] == {"Identity": 'a"}}; Remove-Mailbox b'}


@pytest.mark.parametrize(
    ("location", "root"),
    [
        ("https://eurprd05.outlook.office365.com/adminapi/beta/x", "https://eurprd05.outlook.office365.com"),
        ("https://eurprd05.outlook.office365.com:443/x", "https://eurprd05.outlook.office365.com"),
        ("https://eurprd05.outlook.office365.com:8443/x", None),
        ("http://eurprd05.outlook.office365.com/x", None),
        ("https://outlook.office365.com.evil.example/x", None),
        ("https://evil.example/.outlook.office365.com", None),
        ("https://a@eur.outlook.office365.com/x", None),
        ("https://x.y.outlook.office365.com/", None),
        ("https://.outlook.office365.com/", None),
        ("/relative", None),
        ("https://[::1", None),
        ("", None),
    ],
)
def test_a_region_is_at_microsoft_or_is_not_followed(location: str, root: str | None) -> None:
    assert region_of(location) == root


@given(st.text(max_size=200))
def test_no_location_makes_it_raise(location: str) -> None:
    root = region_of(location)
    assert root is None or root.endswith(".outlook.office365.com")


@pytest.mark.parametrize(
    "message",
    [
        f"Ex6F9304|{NOT_FOUND}|The object 'x@y' couldn't be found.",
        json.dumps({"message": f"Ex6F9304|{NOT_FOUND}|x@y"}),
    ],
)
def test_of_a_mistake_its_kind_is_kept_and_none_of_its_words(message: str) -> None:
    content = {"error": {"code": "NotFound", "details": [{"code": "Client", "message": message}]}}
    assert kind_of(content) == "ManagementObjectNotFoundException"


@pytest.mark.parametrize(
    "content",
    [None, {}, {"error": "text"}, {"error": {"details": "x"}}, {"error": {"details": [{"message": "a|b|c"}]}}],
)
def test_a_mistake_without_a_kind_has_none(content: dict[str, object] | None) -> None:
    assert kind_of(content) == ""


async def obstacles(site: Tenant) -> dict[str, Obstacle]:
    return {each.question: each.obstacle for each in (await site.read()).not_readable}


async def test_an_application_that_exchange_does_not_know_is_a_fact(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        site.world.administration.unregistered.add(site.app.client_id)
        assert await site.value(FactName.REGISTERED) is False


async def test_the_switch_has_three_positions(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        for position in (None, True, False):
            site.mailbox.smtp_auth_disabled = position
            assert await site.value(FactName.SMTP_AUTH_OFF_MAILBOX) is position


async def test_rights_are_found_by_the_sid(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        assert await site.value(FactName.FULL_ACCESS) is True
        site.mailbox.closed_to.add(site.app.client_id)
        assert await site.value(FactName.FULL_ACCESS) is False


async def test_all_pages_are_read_with_the_same_body(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        site.world.issuer.exchange_admin.page_size = 1
        assert await site.value(FactName.FULL_ACCESS) is True
        asked = [name for name, _ in site.world.issuer.exchange_admin.asked]
        assert asked.count("Get-MailboxPermission") == 3


async def test_half_an_answer_proves_no_right_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows whose members have other names, as a later version may write them."""
    async with tenant(tmp_path) as site:
        renamed = {"Get-MailboxPermission": lambda *_: [{"Account": "S-1-5-21-1", "Rights": ["FullAccess"]}]}
        monkeypatch.setattr(exchange_admin, "_CMDLETS", {**exchange_admin._CMDLETS, **renamed})
        found = await site.read()
        assert found.find(FactName.FULL_ACCESS, MAILBOX) is None


@pytest.mark.parametrize("name", ["Get-Mailbox", "Get-CASMailbox", "Get-ServicePrincipal"])
async def test_an_empty_answer_is_not_that_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with tenant(tmp_path) as site:
        monkeypatch.setattr(exchange_admin, "_CMDLETS", {**exchange_admin._CMDLETS, name: lambda *_: []})
        found = await site.read()
        for absent in (FactName.MAILBOX_EXISTS, FactName.REGISTERED, FactName.SMTP_AUTH_OFF_MAILBOX):
            fact = found.find(absent, MAILBOX if absent.is_of_mailbox else "")
            assert fact is None or fact.value is not False or absent is FactName.SMTP_AUTH_OFF_MAILBOX


async def test_pages_without_end_prove_nothing(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        site.world.issuer.exchange_admin.endless = True
        found = await site.read()
        assert found.find(FactName.REGISTERED) is None
        asked = [name for name, _ in site.world.issuer.exchange_admin.asked]
        assert asked.count("Get-ServicePrincipal") == MOST_PAGES


async def test_without_any_role_it_is_asked_once_and_not_again_for_a_day(tmp_path: Path) -> None:
    """The refusal is NUL octets that claim to be gzip, before anything was answered."""
    async with tenant(tmp_path) as site:
        admin = site.world.issuer.exchange_admin
        admin.readers = set()
        assert (await obstacles(site))["exchange_registration"] is Obstacle.PERMISSION
        await site.read()
        assert len(admin.asked) == 1


async def test_a_cmdlet_that_the_role_lacks_is_left_alone_and_the_others_go_on(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        admin = site.world.issuer.exchange_admin
        admin.without = {"Test-ServicePrincipalAuthorization"}
        for _ in range(2):
            found = await site.read()
            assert found.find(FactName.REGISTERED) is not None
            assert found.find(FactName.SEND_FROM_ALIAS) is not None
        asked = [name for name, _ in admin.asked]
        assert asked.count("Test-ServicePrincipalAuthorization") == 1
        assert asked.count("Get-ServicePrincipal") == 2


@pytest.mark.parametrize("status", [404, 405])
async def test_where_it_is_not_offered_it_is_asked_again_after_a_day(tmp_path: Path, status: int) -> None:
    async with tenant(tmp_path) as site:
        admin = site.world.issuer.exchange_admin
        admin.status = status
        assert (await obstacles(site))["exchange_registration"] is Obstacle.UNAVAILABLE
        await site.read()
        assert len(admin.asked) == 1
        admin.status = 0
        later = site.inspector._wall() + 86401
        with patch.object(site.inspector, "_wall", lambda: later):
            assert await site.value(FactName.REGISTERED) is True


async def test_the_token_follows_no_redirect_elsewhere(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        site.world.issuer.exchange_admin.redirect = f"{site.world.issuer.url}adminapi/beta/elsewhere"
        found = await site.read()
        missed = next(each for each in found.not_readable if each.question == "exchange_registration")
        assert missed.detail == "Exchange names a region at another address"


async def test_an_inspector_without_the_permission_hears_which_one(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        site.auditor.roles = ()
        found = await site.read()
        missed = next(each for each in found.not_readable if each.question == "exchange_registration")
        assert missed.detail == "permission Exchange.ManageAsApp or a role such as Global Reader is missing"


async def test_nothing_but_what_exists_is_asked(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        await site.read()
        assert site.world.issuer.exchange_admin.refused == []

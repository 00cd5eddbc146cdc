"""What is said of the configured secret: it is one of the application's, it is none, or it is the ID of one."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from smtpcheck.diagnosis.inspected.causes import proven
from smtpcheck.diagnosis.inspected.view import View
from smtpcheck.model.inspection import FactName
from smtpcheck.oauth.secret_hint import is_id
from smtpcheck.secrets.secret import Secret
from tests.diagnosis.test_inspected import NOW, no_token
from tests.worlds.inspection import MAILBOX, Tenant, tenant

ID = "6a1c5c5e-3a6f-4b59-a1e2-6a0f3c2b9d99"
LATER = "2299-12-31T05:00:00Z"


async def said(site: Tenant) -> object:
    fact = await site.fact(FactName.LOCAL_SECRET)
    return fact.value if fact is not None else None


async def listing(site: Tenant, *secrets: Mapping[str, object]) -> object:
    """Return what is said where Entra lists these secrets."""
    listed = [{"keyId": ID, "endDateTime": LATER, **each} for each in secrets]
    body = {"appId": site.app.client_id, "passwordCredentials": listed, "keyCredentials": []}
    site.world.issuer.graph_directory.answers[f"/v1.0/applications(appId='{site.app.client_id}')"] = body
    return await said(site)


async def test_it_is_found_by_its_first_characters(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        assert await said(site) == "listed"
        site.app.secret = "zzz8Q~another"
        assert await said(site) == "not listed"


async def test_its_id_is_recognized_wherever_it_was_pasted(tmp_path: Path) -> None:
    """`validate` refuses one that is there at the start; this one came later, when the secret was replaced."""
    async with tenant(tmp_path) as site:
        (tmp_path / "contoso.secret").write_text(site.app.secrets()[0].key_id.upper())
        found = await site.read()
        fact = found.find(FactName.LOCAL_SECRET)
        assert fact is not None
        assert fact.value == "is the ID of a secret"
        (cause,) = proven(no_token(7000215), View(found, MAILBOX, NOW), {}, began=0.0)
        assert "is the ID of a secret of the application, not the secret" in cause.evidence[0]


async def test_where_entra_does_not_show_how_one_begins_nothing_is_said(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        begins = site.app.secret[:3]
        assert await listing(site, {"hint": "zzz"}, {"hint": None}) is None
        assert await listing(site, {"hint": "zzz"}, {}) is None
        assert await listing(site, {"hint": "zz"}) is None
        assert await listing(site, {"hint": [begins]}) is None
        assert await listing(site, {"hint": None}, {"hint": begins}) == "listed"
        assert await listing(site, {"hint": "zzz"}) == "not listed"
        assert await listing(site) == "not listed"


async def test_a_secret_that_cannot_be_read_is_nothing(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        (tmp_path / "contoso.secret").unlink()
        assert await said(site) is None


async def test_no_part_of_it_is_kept(tmp_path: Path) -> None:
    async with tenant(tmp_path) as site:
        found = await site.read()
        subject = await site.inspector.subject()
        secret = site.app.secret
    for shown in (repr(found), repr(subject)):
        assert secret not in shown
        assert secret[4:] not in shown


@pytest.mark.parametrize("written", [ID, ID.upper(), f"{{{ID}}}", f" {ID}\r\n"])
def test_an_id_is_one_however_it_is_written(written: str) -> None:
    assert is_id(Secret(written), ID)


@pytest.mark.parametrize("written", ["", "abc8Q~x", ID[:-1], f"{ID}x"])
def test_anything_else_is_no_id(written: str) -> None:
    assert not is_id(Secret(written), ID)

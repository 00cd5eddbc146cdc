"""What is special to IMAP: logins, TLS, folders and their purposes, and removing nothing of others."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from smtpcheck.loopback.finder import FinderStep, FolderKind
from smtpcheck.loopback.plan import Find
from smtpcheck.model.check import Mechanism, Server
from smtpcheck.sandbox.certificates import Certificate
from smtpcheck.sandbox.imap import GmailAuthenticator
from smtpcheck.sandbox.imap_session import Entry, ImapListener
from smtpcheck.sandbox.mail_store import NAMES, Box, Use
from tests.worlds.finders import PROBE, Site, by_gmail, by_imap, letter, more_imap, new_correlation_id, running

WITHOUT_UIDPLUS = ("IMAP4rev1", "SASL-IR", "MOVE")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running(tmp_path) as (world, finders):
        yield Site(world, finders, by_imap(world))


def at(site: Site, server: Server) -> Find:
    return replace(site.find, server=server)


@pytest.mark.parametrize("mechanism", [Mechanism.XOAUTH2, Mechanism.OAUTHBEARER])
async def test_both_mechanisms_log_in(site: Site, mechanism: Mechanism) -> None:
    google = Site(site.world, site.finders, by_gmail(site.world, mechanism))
    found = await google.search(google.send())
    assert (found.error, len(found.matches)) == (None, 1)


async def test_tls_begins_by_starttls_where_that_is_configured(site: Site) -> None:
    server = await more_imap(site.world, ImapListener(implicit_tls=False))
    found = await site.search(site.send(), find=at(site, server))
    assert (found.error, len(found.matches)) == (None, 1)


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (Certificate.EXPIRED, "certificate has expired"),
        (Certificate.UNTRUSTED, "unable to get local issuer"),
        (Certificate.WRONG_NAME, "Hostname mismatch"),
    ],
)
async def test_a_certificate_that_does_not_hold_gets_no_token(
    site: Site, certificate: Certificate, words: str, implicit: bool
) -> None:
    server = await more_imap(site.world, ImapListener(certificate, implicit_tls=implicit))
    found = await site.search(site.send(), find=at(site, server))
    assert found.error is not None and (found.error.step, found.folders) == (FinderStep.TLS, ())
    assert words in found.error.detail


async def test_an_application_without_the_permission_is_refused(site: Site) -> None:
    found = await site.search(site.send(), find=replace(site.find, credential="contoso"))
    assert found.error is not None
    assert (found.error.step, found.error.detail) == (FinderStep.LOGIN, "AUTHENTICATE failed.")


async def test_an_application_without_a_right_to_the_mailbox_is_told_in_exchanges_words(site: Site) -> None:
    site.world.authenticator.closed.add(PROBE)
    found = await site.search(site.send())
    assert found.error is not None
    assert (found.error.step, found.error.detail) == (
        FinderStep.SEARCH,
        "User is authenticated but not connected.",
    )


async def test_a_refusal_by_challenge_is_told_with_what_the_challenge_says(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GmailAuthenticator, "admit", lambda *_: Entry.REFUSED)
    google = Site(site.world, site.finders, by_gmail(site.world))
    found = await google.search(google.send())
    assert found.error is not None and found.error.step is FinderStep.LOGIN
    assert found.error.detail.startswith('AUTHENTICATE failed. {"status":"400"')


async def test_without_uidplus_nothing_is_removed_and_that_is_told(site: Site) -> None:
    """What another client has marked would be removed along by a plain EXPUNGE."""
    site.put(Use.INBOX, b"Subject: of another\r\n\r\n")
    site.box.folders[Use.INBOX].messages[0].flags.add("\\deleted")
    server = await more_imap(site.world, ImapListener(capabilities=WITHOUT_UIDPLUS))
    found = await site.search(site.send(), find=at(site, server))
    assert found.error is not None and found.error.step is FinderStep.DELETE
    assert "UIDPLUS" in found.error.detail
    assert not found.removes
    assert (await site.search(site.send())).removes
    assert [one.deleted for one in found.matches] == [False]
    assert site.lying() == [("inbox", 2)]


async def test_what_another_client_has_marked_as_deleted_is_not_removed_along(site: Site) -> None:
    site.put(Use.INBOX, b"Subject: of another\r\n\r\n")
    site.box.folders[Use.INBOX].messages[0].flags.add("\\deleted")
    found = await site.search(site.send())
    assert (found.error, [one.deleted for one in found.matches]) == (None, [True])
    assert site.lying() == [("inbox", 1)]


async def test_what_cannot_be_removed_is_told_of_every_folder(site: Site) -> None:
    server = await more_imap(site.world, ImapListener(capabilities=WITHOUT_UIDPLUS))
    found = await site.search(site.put_ours(Use.ARCHIVE), find=at(site, server))
    assert [(one.kind, one.deleted) for one in found.matches] == [(FolderKind.OTHER, False)]
    assert found.error is not None and found.error.step is FinderStep.DELETE


async def test_what_lies_beside_is_not_read_but_for_its_mark(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of messages of others, or of checks that delete nothing, do not use up what may be received."""
    monkeypatch.setattr("smtpcheck.loopback.imap.finder._BUDGET", 100_000)
    for _ in range(30):
        site.put(Use.INBOX, letter(new_correlation_id(), headers=["Received: by mx" + ".example" * 1500]) + b"\r\n")
    found = await site.search(site.send())
    assert (found.error, len(found.matches)) == (None, 1)
    assert [name for name, _ in found.matches[0].headers if name == "Received"]


async def test_folders_are_known_by_name_where_the_server_tells_no_purpose(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImapListener, "flags", dict.fromkeys(Use, ""))
    target = site.put_ours(Use.JUNK)
    sent = site.put_ours(Use.SENT)
    found = await site.search(target, sent)
    assert {(one.folder, one.kind) for one in found.matches} == {
        ("Junk Email", FolderKind.JUNK),
        ("Sent Items", FolderKind.SENT),
    }


async def test_a_connection_is_left_and_a_thread_set_free_after_each_search(site: Site) -> None:
    for _ in range(12):  # more than there are threads
        await site.search(site.send())
    assert (site.world.imap.open, site.world.imap.most_open) == (0, 1)


async def test_a_folder_that_refuses_does_not_keep_the_others_from_the_search(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = Box.named
    monkeypatch.setattr(Box, "named", lambda box, name: None if name == NAMES[Use.JUNK] else named(box, name))
    target = site.put_ours(Use.ARCHIVE)
    found = await site.search(target)
    assert [one.kind for one in found.matches] == [FolderKind.OTHER]
    assert found.error is not None
    assert (found.error.step, found.error.code) == (FinderStep.SEARCH, "NONEXISTENT")

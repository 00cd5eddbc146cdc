"""The chapter on one's own identity provider: its files, run by Dovecot and Postfix, and its checks, run by us."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml

from smtpcheck.agent.run_once import run_once
from smtpcheck.config import Settings, load
from smtpcheck.model.report import Outcome, Report
from smtpcheck.oauth.answer import TokenResponse
from smtpcheck.oauth.oauth2 import OAuth2
from smtpcheck.oauth.refresh import first_login
from smtpcheck.oauth.token_store import TokenStore
from tests.docs.documents import ROOT, Block, read
from tests.real.chapter import ISSUER, NAME, ChapterDovecot, ChapterPostfix, Place, files, place
from tests.real.mail import Certificates
from tests.real.openid import CLIENTS, MAILBOX, OPAQUE, OpenIDProvider
from tests.real.tokens import Signer, trust

PAGE = read(NAME)
CONFIGURATIONS = [block for block in PAGE.blocks if block.language == "yaml" and ISSUER in block.text]
WAYS = {"local": 0, "introspection": 1}
"""Which of the two files of the same name."""


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def here(
    way: str, folder: Callable[[str], Path], certificates: Certificates, openid: OpenIDProvider
) -> Iterator[Place]:
    """Return where the servers run, with the keys that the chapter's script has written."""
    here = place(folder(f"chapter-{way}"), certificates, openid)
    (script,) = files()["keys.py"]
    (here.folder / "keys.py").write_text(script)
    command: list[str | Path] = [
        sys.executable,
        here.folder / "keys.py",
        openid.issuer,
        here.folder / "oauth2-keys",
        *CLIENTS,
    ]
    subprocess.run(command, check=True, env={**os.environ, "REQUESTS_CA_BUNDLE": str(certificates.ca)})
    dovecot = ChapterDovecot(here, files()["/etc/dovecot/dovecot-oauth2.conf.ext"][WAYS[way]])
    try:
        postfix = ChapterPostfix(here)
        yield here
        postfix.stop()
    finally:
        dovecot.stop()


def _configured(block: Block, here: Place, folder: Path, way: str, **credential: object) -> Settings:
    """Return the settings of a block, with addresses, ids and secrets of this place."""
    text = here.here(block.text).replace("anna@example.org", MAILBOX)
    value = yaml.safe_load(text)
    trusted = {"ca_file": str(here.certificates.ca)}
    for given in value["credentials"].values():
        given |= {**trusted, **credential, **({"resource": OPAQUE} if way == "introspection" else {})}
    for check in value["checks"]:
        check["server"] = {"host": "127.0.0.1", "port": here.submission, "server_name": "localhost", **trusted}
        if "loopback" in check:
            server = {"host": "127.0.0.1", "port": here.imaps, "server_name": "localhost", **trusted}
            check["loopback"]["find"]["server"] = server
    path = folder / "checks.yaml"
    path.write_text(yaml.safe_dump({"agent": {"state": str(folder / "state")}, **value}))
    loaded = load([path])
    assert loaded.settings and not loaded.problems, loaded.problems
    return loaded.settings


def _block(grant: str) -> Block:
    (block,) = [block for block in CONFIGURATIONS if ("device_code" in block.text) is (grant == "device_code")]
    return block


async def test_an_application_logs_in_by_both_mechanisms_and_its_mail_arrives(
    here: Place, way: str, tmp_path: Path
) -> None:
    """A message that was sent and not found would be critical."""
    secret = {"client_id": "basic", "client_secret": {"value": here.openid.secret}}
    settings = _configured(_block("client_credentials"), here, tmp_path, way, **secret)
    reports = await run_once(settings, settings.checks, loopbacks=True)
    assert {name: (report.outcome, report.cause) for name, report in reports.items()} == {
        "anna": (Outcome.OK, None),
        "anna-oauthbearer": (Outcome.OK, None),
    }
    assert "data" in {step.phase for step in reports["anna"].steps}


async def test_a_user_logs_in(here: Place, way: str, tmp_path: Path) -> None:
    """By a device code, which Anna enters at the provider."""
    settings = _configured(_block("device_code"), here, tmp_path, way, client_id="device")
    credential = settings.credentials["anna"]
    assert isinstance(credential, OAuth2)
    visits: list[threading.Thread] = []

    def show(invitation: Any) -> None:
        address = f"{invitation.address}?user_code={invitation.code}"
        visits.append(threading.Thread(target=here.openid.approve, args=(address,)))
        visits[0].start()

    answer = credential.sign_in(show, threading.Event())
    visits[0].join()
    assert isinstance(answer, TokenResponse)
    login = first_login(answer, issuer=credential.login_issuer, client_id="device", now=0.0)
    assert login is not None
    TokenStore(settings.agent.state / "tokens").file("anna").write(login)
    reports = await run_once(settings, settings.checks)
    assert (reports["anna"].outcome, reports["anna"].cause) == (Outcome.OK, None)


class Refusals:
    """Logins at the site of local validation with tokens of a key that it trusts."""

    def __init__(self, here: Place) -> None:
        self._here, self._folder = here, here.folder
        self.signer = Signer()
        trust(here.folder / "oauth2-keys", self.signer.public_pem)

    def token(self, header: dict[str, str] | None = None, **claims: object) -> str:
        """Return a good token but for what is given; None takes a claim away."""
        good = self.signer.mint(MAILBOX, issuer=self._here.openid.issuer).reveal()
        merged = {**jwt.decode(good, options={"verify_signature": False}), **claims}
        present = {name: value for name, value in merged.items() if value is not None}
        return jwt.encode(present, self.signer._key, "RS256", {"typ": "JWT", **(header or {})})

    async def log_in(self, token: str, **keys: object) -> tuple[Report, str]:
        """Return the report of a check, and what Dovecot logged meanwhile."""
        log = self._here.folder / "dovecot.log"
        before = len(log.read_text())
        trusted = {"ca_file": str(self._here.certificates.ca)}
        server = {"host": "127.0.0.1", "port": self._here.submission, "server_name": "localhost", **trusted}
        check = {"name": "anna", "mailbox": MAILBOX, "credential": "site", "server": server, **keys}
        credentials = {"site": {"type": "token", "from": {"value": token}}}
        state = {"state": str(self._folder / "state")}
        path = self._folder / "refused.yaml"
        path.write_text(yaml.safe_dump({"agent": state, "credentials": credentials, "checks": [check]}))
        settings = load([path]).settings
        assert settings
        return (await run_once(settings, settings.checks))["anna"], log.read_text()[before:]


@pytest.fixture(scope="module")
def refusals(here: Place) -> Refusals:
    """Return logins by one key, for Dovecot keeps in memory what it has read."""
    return Refusals(here)


FAULTS: dict[str, dict[str, Any]] = {
    "Token has expired": {"exp": 1_700_000_000},
    "Username '' did not match ''": {"email": "bob@example.test"},
    "No username returned": {"email": None},
    "Issuer '' is not allowed": {"iss": "https://other.example.org"},
    "RS256 key '' not found": {"header": {"kid": "new"}},
    "configured scope '' missing from token scope ''": {"scope": "profile"},
    "scope set but not found in token": {"scope": None},
    "Cannot find '' field": {"header": {"typ": "at+jwt"}},
}
"""What Dovecot logs, without what it quotes, and what is wrong with the token then."""


def _unquoted(text: str) -> str:
    return re.sub(r"'[^']*'", "''", text)


def _rows() -> dict[str, str]:
    """Return the cause of each line of Dovecot's log in the page's table."""
    found = re.findall(r"^\| `([^`]+)` \|.*\| `(\w+)` \|$", (ROOT / NAME).read_text(), re.MULTILINE)
    return {_unquoted(line): cause for line, cause in found}


@pytest.mark.parametrize("way", ["local"], indirect=True)
async def test_what_dovecot_logs_of_a_bad_token_is_in_the_table(here: Place, refusals: Refusals) -> None:
    rows = _rows()
    for line, fault in FAULTS.items():
        report, log = await refusals.log_in(refusals.token(**fault))
        assert f"Local validation failed: {line}" in _unquoted(log)
        assert report.cause == rows[line], line
    forged, log = await refusals.log_in(refusals.signer.mint(MAILBOX, issuer=here.openid.issuer, forged=True).reveal())
    assert ("Local validation failed: Bad signature" in log, forged.cause) == (True, rows["Bad signature"])
    assert set(rows) == {*FAULTS, "Bad signature"}


@pytest.mark.parametrize("way", ["local"], indirect=True)
async def test_what_the_chapter_says_of_audience_and_sender(refusals: Refusals) -> None:
    """Dovecot looks at the scope alone, and a login sends from its own address alone."""
    elsewhere, _ = await refusals.log_in(refusals.token(aud="elsewhere"))
    assert elsewhere.outcome is Outcome.OK
    envelope = {"sender": "board@example.test", "recipient": MAILBOX, "depth": "recipient"}
    other, _ = await refusals.log_in(refusals.token(), **envelope)
    replies = [exchange.reply for step in other.steps for exchange in step.exchanges]
    refusal = next(reply for reply in replies if reply is not None and reply.code >= 500)
    assert (other.cause, refusal.code, refusal.enhanced) == ("sender_not_allowed", 553, "5.7.1")


@pytest.mark.parametrize("way", ["introspection"], indirect=True)
async def test_introspection_refuses_what_the_issuer_does_not_know(refusals: Refusals) -> None:
    report, log = await refusals.log_in(refusals.token())
    assert (report.outcome, "Introspection failed: Provided token is not valid" in log) == (Outcome.CRITICAL, True)


def test_every_file_of_the_chapter_is_run_or_says_that_it_is_not() -> None:
    run = {text for texts in files().values() for text in texts}
    shown = [block.text for block in PAGE.blocks if block.language in {"conf", "python"}]
    assert [text for text in shown if text not in run and "not run by the tests" not in text] == []

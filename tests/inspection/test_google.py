"""Google, read only: what is asked, with whose token, and what an answer means; half and hostile answers among them."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.inspection.google import GooglePath
from smtpcheck.inspection.google_access import root_of
from smtpcheck.inspection.inspectors import Inspectors
from smtpcheck.inspection.questions import QUESTIONS
from smtpcheck.inspection.questions.service_account import SERVICE_ACCOUNT_KEYS
from smtpcheck.model.inspection import FactName, IncidentStatus, Obstacle
from smtpcheck.oauth.google_key_file import AccountIdentity, read_identity
from smtpcheck.oauth.google_service_account import GoogleServiceAccount
from smtpcheck.sandbox.gmail_api import MailboxSettings
from smtpcheck.sandbox.google_admin import gmail_incident
from smtpcheck.sandbox.scenario import CredentialKind
from tests.worlds.google_inspection import INSPECTED, MAILBOX, customer

HOSTS = {"admin.googleapis.com", "iam.googleapis.com", "gmail.googleapis.com", "www.google.com"}
VALUES = {"mailbox": "x", "project": "x", "account": "x"}


@given(st.text(min_size=1, max_size=60), st.sampled_from(GooglePath))
def test_a_value_never_adds_to_a_request(value: str, path: GooglePath) -> None:
    """Whatever a mailbox or a project is called, the request is the same one: host, path and options."""
    text = value.encode("utf-8", "replace").decode()
    for root in ("", "https://localhost:8443"):
        parts = urlsplit(path.address(root, dict.fromkeys(VALUES, text)))
        plain = urlsplit(path.address(root, VALUES))
        assert (parts.scheme, parts.netloc, parts.query) == (plain.scheme, plain.netloc, plain.query)
        assert parts.path.count("/") == plain.path.count("/")


def test_only_reading_is_asked_for_and_only_at_google() -> None:
    for path in GooglePath:
        assert urlsplit(path.address("", VALUES)).netloc in HOSTS
        assert path.shown.startswith(f"GET {urlsplit(path.value).hostname}/")
        assert "{" not in path.shown
        assert path.source


async def test_all_that_is_said_to_be_given_is_given_and_no_more(tmp_path: Path) -> None:
    async with customer(tmp_path) as site:
        found = await site.read()
        said = {name for question in QUESTIONS if question.is_asked(site.inspector.plan) for name in question.gives}
        rare = {
            FactName.USER_SUSPENSION_REASON,
            FactName.MAILBOX_FORWARDS_TO,
            FactName.SERVICE_ACCOUNT_KEY_EXPIRES,
        }
        assert {fact.name for fact in found.facts} == said - rare
        assert found.not_readable == ()


async def test_the_inspector_asks_as_itself_and_needs_no_delegation(tmp_path: Path) -> None:
    async with customer(tmp_path) as site:
        await site.read()
        claims = [json.loads(_claims(each)) for each in site.world.google.assertions]
        of_inspector = [each for each in claims if each["iss"].startswith("workspace-auditor@")]
        assert of_inspector
        assert all("sub" not in each for each in of_inspector)
        assert {each["scope"] for each in claims if each.get("sub") == MAILBOX} == {"https://mail.google.com/"}


def _claims(assertion: str) -> str:
    part = assertion.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ({"suspended": True}, FactName.USER_SUSPENDED, True),
        ({"suspended": True, "suspension_reason": "WEB_LOGIN_REQUIRED"}, FactName.USER_SUSPENSION_REASON, "WEB_LOGIN_"),
        ({"archived": True}, FactName.USER_ARCHIVED, True),
        ({"mailbox_created": False}, FactName.USER_MAILBOX_CREATED, False),
        ({"deleted": True}, FactName.USER_EXISTS, False),
        ({"address": "anna@contoso.example", "aliases": (MAILBOX,)}, FactName.USER_ADDRESS_IS_ALIAS, True),
    ],
)
async def test_the_user_is_read(tmp_path: Path, change: dict[str, object], name: FactName, value: object) -> None:
    async with customer(tmp_path) as site:
        for key, new in change.items():
            setattr(site.user, key, new)
        read = await site.value(name)
        assert read == value or str(read).startswith(str(value))


async def test_another_customers_user_is_no_answer(tmp_path: Path) -> None:
    """Half an answer, or one about somebody else, says nothing of the mailbox."""
    async with customer(tmp_path) as site:
        site.admin.lies["users"] = {"primaryEmail": "other@fabrikam.example", "suspended": True}
        missed = await site.not_readable("workspace_user")
        assert (missed.obstacle, missed.detail) == (Obstacle.UNEXPECTED, "the answer is about another account")
        site.admin.lies["users"] = {"suspended": True}
        assert (await site.not_readable("workspace_user")).obstacle is Obstacle.UNEXPECTED


async def test_another_service_account_is_no_answer(tmp_path: Path) -> None:
    async with customer(tmp_path) as site:
        site.admin.lies["service accounts"] = {"email": "other@x.iam.gserviceaccount.com", "disabled": True}
        assert (await site.not_readable("service_account")).obstacle is Obstacle.UNEXPECTED


async def test_the_key_of_the_local_file_is_found_by_its_id(tmp_path: Path) -> None:
    async with customer(tmp_path) as site:
        assert await site.value(FactName.LOCAL_KEY) == "enabled"
        (key_id,) = site.account.keys
        site.account.key_ends[key_id] = 1.0
        assert await site.value(FactName.LOCAL_KEY) == "expired"
        site.account.disabled_keys[key_id] = "SERVICE_ACCOUNT_KEY_DISABLE_REASON_EXPOSED"
        assert await site.value(FactName.LOCAL_KEY) == "disabled (exposed)"
        site.account.keys.clear()
        assert await site.value(FactName.LOCAL_KEY) == "not listed"


@pytest.mark.parametrize(
    "keys",
    [
        [{"name": f"projects/-/serviceAccounts/x/keys/{number:040x}"} for number in range(3000)],
        [{"disabled": True}],
        ["text", 7],
        {"name": "an object"},
    ],
)
async def test_a_list_of_keys_that_cannot_be_whole_proves_nothing(tmp_path: Path, keys: object) -> None:
    async with customer(tmp_path) as site:
        site.admin.lies["keys"] = {"keys": keys}
        found = await site.read()
        assert not list(found.all(FactName.LOCAL_KEY))
        assert [each.obstacle for each in found.not_readable] == [Obstacle.UNEXPECTED]


async def test_further_pages_where_there_are_none_prove_nothing(tmp_path: Path) -> None:
    async with customer(tmp_path) as site:
        site.admin.lies["keys"] = {"keys": [], "nextPageToken": "again"}
        before = site.admin.asked["service accounts"]
        missed = await site.not_readable("service_account")
        assert missed.detail == "the answer has further pages, which it should not"
        assert site.admin.asked["service accounts"] - before == SERVICE_ACCOUNT_KEYS.needs.requests


@pytest.mark.parametrize(
    ("take", "question", "detail"),
    [
        ("directory_readers", "workspace_user", "or the inspector's role (Users > Read in the Workspace) is missing"),
        ("iam_viewers", "service_account", "(roles/iam.serviceAccountViewer in the project) is missing"),
    ],
)
async def test_a_role_that_is_missing_is_named(tmp_path: Path, take: str, question: str, detail: str) -> None:
    async with customer(tmp_path) as site:
        getattr(site.admin, take).clear()
        missed = await site.not_readable(question)
        assert missed.obstacle is Obstacle.PERMISSION
        assert detail in missed.detail


async def test_an_interface_that_is_switched_off_is_named(tmp_path: Path) -> None:
    async with customer(tmp_path) as site:
        site.admin.disabled = True
        missed = await site.not_readable("workspace_user")
        said = "the API behind Google Workspace is not enabled in the project"
        assert (missed.obstacle, missed.detail) == (Obstacle.UNAVAILABLE, said)


async def test_throttled_it_is_left_alone(tmp_path: Path) -> None:
    async with customer(tmp_path) as site:
        site.admin.throttled = 1
        found = await site.read()
        assert {each.obstacle for each in found.not_readable} == {Obstacle.THROTTLED}
        assert found.facts == ()
        assert sum(site.admin.asked.values()) == 1


async def test_a_delegation_is_proven_by_a_request_of_now(tmp_path: Path) -> None:
    """The token in memory still holds, and proves nothing of a delegation that was withdrawn since."""
    async with customer(tmp_path) as site:
        await site.kit.tokens.token("workspace", MAILBOX, timeout=30.0)
        found = (await site.read()).find(FactName.DELEGATED, MAILBOX)
        assert found is not None
        assert (found.value, found.item) == (True, "https://mail.google.com/")
        assert "https://mail.google.com/ alone" in found.asked


async def test_a_delegation_that_is_missing_is_proven_by_its_refusal(tmp_path: Path) -> None:
    async with customer(tmp_path, replace(INSPECTED, delegated=False)) as site:
        assert await site.value(FactName.DELEGATED) is False


async def test_another_refusal_says_nothing_of_the_delegation(tmp_path: Path) -> None:
    async with customer(tmp_path) as site:
        site.user.suspended = True
        found = await site.read()
        assert not list(found.all(FactName.DELEGATED, MAILBOX))
        missed = next(each for each in found.not_readable if each.question == "delegation")
        assert missed.detail == "the request for a token failed otherwise (invalid_grant)"


async def test_the_mailboxs_settings_are_read_with_its_own_token(tmp_path: Path) -> None:
    async with customer(tmp_path) as site:
        site.world.google.gmail_api.settings[MAILBOX] = MailboxSettings(
            imap=False, forwards_to="boss@contoso.example", unverified=("sales@contoso.example",)
        )
        found = await site.read()
        values = {fact.name: (fact.value, fact.personal) for fact in found.facts if fact.source == "Gmail"}
        assert values == {
            FactName.MAILBOX_IMAP: (False, False),
            FactName.MAILBOX_FORWARDS: (True, False),
            FactName.MAILBOX_FORWARDS_TO: ("boss@contoso.example", True),
            FactName.UNVERIFIED_SENDERS: (("sales@contoso.example",), True),
        }


async def test_of_a_users_credential_only_user_and_mailbox_are_read(tmp_path: Path) -> None:
    registration = replace(INSPECTED, kind=CredentialKind.GOOGLE_USER)
    async with customer(tmp_path, registration) as site:
        found = await site.read()
        assert {fact.source for fact in found.facts} == {"Google Workspace", "Gmail"}
        assert found.not_readable == ()


async def test_open_incidents_of_gmail_are_read_without_a_token(tmp_path: Path) -> None:
    async with customer(tmp_path) as site:
        other = {**gmail_incident(), "id": "calendar", "service_name": "Google Calendar", "affected_products": []}
        over = {**gmail_incident(), "id": "over", "end": "2026-11-27T04:00:00+00:00"}
        odd = {**gmail_incident(), "id": "odd", "most_recent_update": 7, "status_impact": "SOMETHING_NEW"}
        site.admin.incidents = [gmail_incident(), other, over, odd, {"id": 5}]
        found = (await site.read()).incidents
        assert [(each.provider, each.service, each.id, each.status) for each in found] == [
            ("google", "gmail", "nRLbNyPEvSuFU6hxqbPJ", IncidentStatus.DEGRADED),
            ("google", "gmail", "odd", IncidentStatus.OTHER),
        ]
        assert site.admin.tokens_for_the_public == 0


@pytest.mark.parametrize("content", [{}, {"incidents": []}])
async def test_a_list_of_incidents_that_is_none_is_not_readable(tmp_path: Path, content: object) -> None:
    async with customer(tmp_path) as site:
        site.admin.lies["incidents"] = content
        assert (await site.not_readable("gmail_incidents")).detail == "the answer is not a JSON list"


async def test_a_token_goes_to_no_other_issuer_than_its_own(tmp_path: Path) -> None:
    """The inspector's key is of this issuer, the inspected account's of Google itself: nothing of the one is sent."""
    async with customer(tmp_path) as site:
        key_file = tmp_path / "workspace.json"
        content = json.loads(key_file.read_text())
        key_file.write_text(json.dumps({**content, "token_uri": "https://oauth2.googleapis.com/token"}))
        inspected = site.settings.credentials["workspace"]
        assert isinstance(inspected, GoogleServiceAccount)
        assert root_of(inspected) == ""
        before = site.world.google.gmail_api.asked.copy()
        missed = await site.not_readable("gmail_settings")
        assert missed.detail == "its token is of another issuer than is asked"
        assert site.world.google.gmail_api.asked == before


def test_the_hosts_are_googles_own_unless_the_keys_file_says_otherwise(tmp_path: Path) -> None:
    key_file = tmp_path / "key.json"
    for token_uri, root in (
        ("https://oauth2.googleapis.com/token", ""),
        ("https://issuer.example:8443/token", "https://issuer.example:8443"),
        ("http://issuer.example/token", ""),
        (7, ""),
    ):
        key_file.write_text(json.dumps({"type": "service_account", "token_uri": token_uri}))
        assert root_of(GoogleServiceAccount(key_file=key_file)) == root
    key_file.unlink()
    assert root_of(GoogleServiceAccount(key_file=key_file)) == ""


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "client_email", "client_id", "private_key_id", "service_account_impersonation_url"]
                ),
                inner | st.just("service_account") | st.just("a@b.iam.gserviceaccount.com"),
                max_size=5,
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_key_file_says_something_printable_or_nothing(content: bytes) -> None:
    with NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        found = read_identity(Path(file.name))
    for text in (found.address, found.client_id, found.key_id, found.token_uri, found.project):
        assert text.isprintable()
        assert len(text) <= 300
    assert "/" not in unquote(found.address)
    assert found.project == "-" or found.address.endswith(f"@{found.project}.iam.gserviceaccount.com")


async def test_no_key_file_is_read_when_settings_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That happens in the event loop; who asks was read when the configuration was loaded."""
    async with customer(tmp_path) as site:

        def read(_credential: GoogleServiceAccount) -> AccountIdentity:
            raise AssertionError("a file is read in the event loop")

        settings = site.settings
        with monkeypatch.context() as patched:
            patched.setattr(GoogleServiceAccount, "identity", read)
            inspectors = Inspectors(settings.inspections, settings.credentials, site.kit.tokens)
        inspector = inspectors.get(site.inspector.plan.credential)
        assert inspector is not None
        assert inspector.is_local
        await inspectors.close()
